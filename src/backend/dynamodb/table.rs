//! The table, created where `dynamodb.create_table` asks for it.

use std::time::Duration;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
};
use tokio::time::{Instant, sleep, timeout_at};

use super::connect::Connected;
use super::error::{Failure, Next, understand};
use super::item;
use crate::config::DynamodbConfig;
use crate::error::Kind;

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Creates the table if it is not there, and waits until it can be used.
pub(super) async fn create(
    connected: &Connected,
    config: &DynamodbConfig,
    deadline: Instant,
) -> Result<(), Failure> {
    let (client, name) = (&connected.client, &config.table_name);
    let mut creating = false;
    let mut seen = false;
    let wait = async {
        loop {
            let look = client.describe_table().table_name(name).send().await;
            let status = match look {
                Ok(found) => found.table.and_then(|table| table.table_status),
                Err(cause) => {
                    let failure = understand(&cause, name, &connected.place);
                    if failure.next != Next::Create {
                        return Err(failure);
                    }
                    None
                }
            };
            match status {
                Some(TableStatus::Creating) => seen = true,
                // Being changed or indexed, it can be used.
                Some(status) if status != TableStatus::Deleting => return Ok(()),
                None if !creating => {
                    ask(connected, name).await?;
                    creating = true;
                }
                _ => {}
            }
            sleep(LOOK_AGAIN).await;
        }
    };
    match timeout_at(deadline, wait).await {
        Ok(outcome) => outcome,
        Err(_) if !seen && !creating => Err(Failure::new(
            Kind::Timeout,
            Next::Again,
            format!(
                "no answer from {} within dynamodb.timeout of {} s, asked for table '{name}'. Check the network and \
                 the service, or allow it more time.",
                connected.place,
                config.timeout.as_secs_f64()
            ),
        )),
        Err(_) => Err(Failure::new(
            Kind::Timeout,
            Next::Again,
            format!(
                "table '{name}' at {} is being created and was not active in time. Try again in a moment, or raise \
                 dynamodb.timeout.",
                connected.place
            ),
        )),
    }
}

async fn ask(connected: &Connected, name: &str) -> Result<(), Failure> {
    let broken = |cause| {
        let text =
            format!("the request for a table could not be made: {cause}. Please report this bug.");
        Failure::new(Kind::Backend, Next::Stop, text)
    };
    let attribute = AttributeDefinition::builder()
        .attribute_name(item::KEY)
        .attribute_type(ScalarAttributeType::S)
        .build()
        .map_err(broken)?;
    let key = KeySchemaElement::builder()
        .attribute_name(item::KEY)
        .key_type(KeyType::Hash)
        .build()
        .map_err(broken)?;
    let created = connected
        .client
        .create_table()
        .table_name(name)
        .attribute_definitions(attribute)
        .key_schema(key)
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await;
    match created {
        Ok(_) => Ok(()),
        // Another process was a moment earlier.
        Err(cause)
            if cause
                .as_service_error()
                .and_then(ProvideErrorMetadata::code)
                == Some("ResourceInUseException") =>
        {
            Ok(())
        }
        Err(cause) => Err(understand(&cause, name, &connected.place)),
    }
}
