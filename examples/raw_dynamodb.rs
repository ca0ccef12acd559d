//! The raw limit of `make bench` on `DynamoDB`: the same rows through the SDK alone, without Python, JSON or a queue.
//!
//! `raw_dynamodb WORK COUNT ROWS URL TABLE` does one work on COUNT rows and prints what it took as one JSON object.
//! What is read has been put there by `benchmarks/`: ROWS rows. Region and credentials come from the environment.

mod meter;

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use meter::{Meter, rows, scattered_keys};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;
type Item = HashMap<String, AttributeValue>;

const USAGE: &str =
    "usage: raw_dynamodb put|get|batches-N COUNT ROWS URL TABLE, N being how many are in flight";
/// Items in one `BatchWriteItem`: the most that the service takes.
const BATCH: usize = 25;

/// What is to be done.
#[derive(Clone, Copy)]
enum Work {
    Put,
    Get,
    Batches { in_flight: usize },
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [work, count, stored, url, table] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    // One request after the other has nothing for a second thread but hand-overs.
    let (work, mut runtime) = match (work.as_str(), work.strip_prefix("batches-")) {
        ("put", _) => (Work::Put, Builder::new_current_thread()),
        ("get", _) => (Work::Get, Builder::new_current_thread()),
        (_, Some(number)) => {
            let in_flight = number.parse()?;
            (Work::Batches { in_flight }, Builder::new_multi_thread())
        }
        _ => return Err(USAGE.into()),
    };
    let work = run(work, count.parse()?, stored.parse()?, url, table);
    println!("{}", runtime.enable_all().build()?.block_on(work)?);
    Ok(())
}

async fn run(work: Work, count: usize, stored: usize, url: &str, table: &str) -> Result<String> {
    let settings = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(RetryConfig::disabled())
        .endpoint_url(url)
        .load()
        .await;
    let client = Client::new(&settings);
    // Opens a connection, and finds the credentials.
    client.describe_table().table_name(table).send().await?;
    let (meter, done) = match work {
        Work::Put => {
            let rows = rows(count);
            (Meter::start(), put(&client, table, rows).await?)
        }
        Work::Get => {
            let keys = scattered_keys(count, stored);
            (Meter::start(), get(&client, table, keys).await?)
        }
        Work::Batches { in_flight } => {
            let rows = rows(count);
            (
                Meter::start(),
                batches(&client, table, rows, in_flight).await?,
            )
        }
    };
    let version = aws_sdk_dynamodb::meta::PKG_VERSION;
    let answer = meter.stop(count, &format!("aws-sdk-dynamodb {version}"));
    if done != count {
        return Err(format!("{done} rows instead of {count}").into());
    }
    Ok(answer)
}

fn item(key: &str, value: &str) -> Item {
    HashMap::from([
        ("key".to_owned(), AttributeValue::S(key.to_owned())),
        ("value".to_owned(), AttributeValue::S(value.to_owned())),
    ])
}

/// One request for each row.
async fn put(client: &Client, table: &str, rows: Vec<(String, String)>) -> Result<usize> {
    for (key, value) in &rows {
        let put = client.put_item().table_name(table);
        put.set_item(Some(item(key, value))).send().await?;
    }
    Ok(rows.len())
}

/// One consistent read for each key.
async fn get(client: &Client, table: &str, keys: Vec<String>) -> Result<usize> {
    let mut found = 0;
    for key in keys {
        let get = client.get_item().table_name(table).consistent_read(true);
        let answer = get.key("key", AttributeValue::S(key)).send().await?;
        found += usize::from(answer.item.is_some_and(|item| item.contains_key("value")));
    }
    Ok(found)
}

/// Batches of 25 rows, so many of them in flight.
async fn batches(
    client: &Client,
    table: &str,
    rows: Vec<(String, String)>,
    in_flight: usize,
) -> Result<usize> {
    let rows = Arc::new(rows);
    let next = Arc::new(AtomicUsize::new(0));
    let mut senders = JoinSet::new();
    for _ in 0..in_flight {
        let (client, table) = (client.clone(), table.to_owned());
        let (rows, next) = (Arc::clone(&rows), Arc::clone(&next));
        senders.spawn(async move {
            let mut written = 0;
            while let Some(chunk) = rows.chunks(BATCH).nth(next.fetch_add(1, Ordering::Relaxed)) {
                written += batch(&client, &table, chunk).await?;
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(written)
        });
    }
    let mut written = 0;
    while let Some(sender) = senders.join_next().await {
        written += sender??;
    }
    Ok(written)
}

async fn batch(client: &Client, table: &str, rows: &[(String, String)]) -> Result<usize> {
    let mut requests = Vec::with_capacity(rows.len());
    for (key, value) in rows {
        let put = PutRequest::builder().set_item(Some(item(key, value)));
        requests.push(WriteRequest::builder().put_request(put.build()?).build());
    }
    let batch = client.batch_write_item().request_items(table, requests);
    let answer = batch.send().await?;
    if answer
        .unprocessed_items
        .is_some_and(|left| !left.is_empty())
    {
        return Err("the service left items unprocessed".into());
    }
    Ok(rows.len())
}
