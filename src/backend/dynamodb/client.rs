//! The verbs as DynamoDB's requests.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, PutRequest, WriteRequest};

use super::call::Way;
use super::error::{Failure, Next, is_refused_condition};
use super::item::{self, Item, KEY, VALUE};
use crate::backend::remote::{Client, Fault, List, Most, Part};
use crate::backend::{Failures, Page};
use crate::config::DynamodbConfig;
use crate::error::{Error, Kind, Result};
use crate::message::{BackendName, Limits, Message};
use crate::wait::Interrupt;

/// Of the service: items in a `BatchWriteItem`, keys in a `BatchGetItem`, bytes of a key, bytes of an item.
const MOST_WRITTEN: usize = 25;
const MOST_READ: usize = 100;
const LONGEST_KEY: usize = 2048;
const LARGEST_ITEM: usize = 400 << 10;
/// A request has 16 MB; some of it is not items.
const LARGEST_REQUEST: usize = 15 << 20;
/// Enough to keep the service busy, few enough that a throttled table is not stormed.
const MOST_IN_FLIGHT: usize = 8;

/// "key" and "value" are reserved words in expressions.
const KEY_ALIAS: &str = "#k";
const VALUE_ALIAS: &str = "#v";
const EXISTS: &str = "attribute_exists(#k)";

/// See the module.
pub(super) struct Dynamodb {
    way: Way,
}

impl Dynamodb {
    pub(super) fn new(config: DynamodbConfig) -> Self {
        Self {
            way: Way::new(config),
        }
    }

    fn table(&self) -> &str {
        &self.way.config.table_name
    }

    async fn put(&self, message: &Message) -> Result<(), Failure> {
        let request = |client: aws_sdk_dynamodb::Client| {
            let put = client.put_item().table_name(self.table());
            put.set_item(Some(item::item(message))).send()
        };
        let deadline = self.way.deadline();
        self.way.call(deadline, request).await.map(drop)
    }

    /// Writes a batch; what the service leaves of it goes again, and nothing else does.
    async fn put_batch(&self, messages: &[Message]) -> Result<Failures, Failure> {
        let deadline = self.way.deadline();
        let mut pauses = Way::pauses(deadline);
        // What the service left; `None` before the first answer: all of them.
        let mut left: Option<Vec<WriteRequest>> = None;
        loop {
            let request = |client: aws_sdk_dynamodb::Client| {
                let again = left.clone();
                let items = again.unwrap_or_else(|| messages.iter().map(write_request).collect());
                let batch = client.batch_write_item();
                batch.request_items(self.table(), items).send()
            };
            let answer = self.way.call(deadline, request).await?.answer;
            let unprocessed = answer.unprocessed_items.unwrap_or_default();
            let left = left.insert(unprocessed.into_values().flatten().collect());
            if left.is_empty() {
                return Ok(Failures::new());
            }
            if !pauses.wait().await {
                break;
            }
        }
        let keys: Vec<&str> = left.iter().flatten().filter_map(key_of).collect();
        let throttled = self.throttled("left some items of a batch unprocessed");
        let at_fault = messages
            .iter()
            .enumerate()
            .filter(|(_, message)| keys.contains(&message.key()));
        Ok(at_fault.map(|(at, _)| (at, throttled.clone())).collect())
    }

    fn throttled(&self, what: &str) -> Error {
        let text = format!(
            "table '{}' {what} until dynamodb.timeout of {} s. Raise its capacity or use on-demand billing, or do it slower.",
            self.table(),
            self.way.config.timeout.as_secs_f64()
        );
        Error::backend(Kind::Throttled, BackendName::Dynamodb, true, text)
    }

    async fn get(&self, key: &str) -> Result<Option<Item>, Failure> {
        let request = |client: aws_sdk_dynamodb::Client| {
            let get = client.get_item().table_name(self.table());
            let get = get.consistent_read(self.way.config.consistent_read);
            get.set_key(Some(item::key(key))).send()
        };
        let deadline = self.way.deadline();
        let answer = self.way.call(deadline, request).await?.answer;
        Ok(answer.item)
    }

    /// The items of keys that are all different.
    async fn get_batch(&self, keys: Vec<Item>) -> Result<Vec<Item>> {
        let deadline = self.way.deadline();
        let mut pauses = Way::pauses(deadline);
        let mut found = Vec::new();
        let wanted = KeysAndAttributes::builder().consistent_read(self.way.config.consistent_read);
        let mut left = wanted
            .set_keys(Some(keys))
            .build()
            .map_err(|cause| broken(&cause))?;
        loop {
            let request = |client: aws_sdk_dynamodb::Client| {
                let batch = client.batch_get_item();
                batch.request_items(self.table(), left.clone()).send()
            };
            let answer = self.way.call(deadline, request).await?.answer;
            let items = answer.responses.unwrap_or_default();
            found.extend(items.into_values().flatten());
            let unprocessed = answer.unprocessed_keys.unwrap_or_default();
            match unprocessed
                .into_values()
                .find(|keys| !keys.keys().is_empty())
            {
                None => return Ok(found),
                Some(keys) => left = keys,
            }
            if !pauses.wait().await {
                return Err(self.throttled("left some keys of a batch unprocessed"));
            }
        }
    }

    async fn texts(&self, part: Part<String>) -> Result<Vec<(usize, String)>> {
        if let [key] = part.items() {
            let found = self.get(key).await?;
            let text = found.map(|mut item| item::take_value(&mut item, key));
            return Ok(text
                .transpose()?
                .map(|text| (0, text))
                .into_iter()
                .collect());
        }
        // The service refuses a batch with a key given twice.
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, key) in part.items().iter().enumerate() {
            places.entry(key).or_default().push(at);
        }
        let keys = places.keys().map(|key| item::key(key)).collect();
        let mut texts = Vec::new();
        for mut item in self.get_batch(keys).await? {
            let key = item::take_key(&mut item)?;
            let text = item::take_value(&mut item, &key)?;
            let places = places.get(key.as_str()).into_iter().flatten();
            texts.extend(places.map(|&at| (at, text.clone())));
        }
        Ok(texts)
    }

    async fn delete_each(&self, part: Part<String>) -> Result<usize> {
        let mut existed = 0;
        for key in part.items() {
            let request = |client: aws_sdk_dynamodb::Client| {
                let delete = client
                    .delete_item()
                    .table_name(self.table())
                    .set_key(Some(item::key(key)))
                    .condition_expression(EXISTS)
                    .expression_attribute_names(KEY_ALIAS, KEY);
                async move {
                    match delete.send().await {
                        Ok(_) => Ok(true),
                        Err(error) if is_refused_condition(&error) => Ok(false),
                        Err(error) => Err(error),
                    }
                }
            };
            let deadline = self.way.deadline();
            let done = match self.way.call(deadline, request).await {
                Err(failure) if failure.sent => return Err(failure.unsure().into()),
                done => done?,
            };
            match done.unsure {
                // The attempt whose answer was lost may have deleted what this one did not find.
                Some(lost) if !done.answer => return Err(lost.unsure().into()),
                _ => existed += usize::from(done.answer),
            }
        }
        Ok(existed)
    }
}

fn write_request(message: &Message) -> WriteRequest {
    let put = PutRequest::builder().set_item(Some(item::item(message)));
    #[expect(
        clippy::expect_used,
        reason = "the item is all that the builder asks for"
    )]
    let put = put.build().expect("it has an item");
    WriteRequest::builder().put_request(put).build()
}

fn key_of(request: &WriteRequest) -> Option<&str> {
    let put = request.put_request()?;
    put.item().get(KEY)?.as_s().ok().map(String::as_str)
}

/// How many bytes a byte of a text takes in JSON.
fn spelled_length(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' => 2,
        0..=0x1f => 6,
        _ => 1,
    }
}

fn broken(cause: &BuildError) -> Failure {
    let text = format!("a request could not be made: {cause}. Please report this bug.");
    Failure::new(Kind::Backend, Next::Stop, text)
}

impl Client for Dynamodb {
    fn name(&self) -> BackendName {
        BackendName::Dynamodb
    }

    fn limits(&self) -> Limits {
        Limits {
            key: LONGEST_KEY,
            // The names of the attributes count.
            item: LARGEST_ITEM - KEY.len() - VALUE.len(),
            source: "DynamoDB's limit: 2048 bytes a key, 400 KB an item with its attribute names",
            reserved: None,
        }
    }

    fn timeout(&self) -> Duration {
        self.way.config.timeout
    }

    fn most_written(&self) -> Most {
        Most {
            count: MOST_WRITTEN,
            bytes: LARGEST_REQUEST,
        }
    }

    /// As JSON, which the service's limit of a request counts.
    fn size(&self, message: &Message) -> usize {
        const FRAME: usize = 100;
        let spelled = |text: &str| -> usize { text.bytes().map(spelled_length).sum() };
        FRAME + spelled(message.key()) + spelled(message.value())
    }

    fn most_read(&self) -> usize {
        MOST_READ
    }

    /// Only a single delete tells whether the key existed.
    fn most_deleted(&self) -> usize {
        1
    }

    fn most_in_flight(&self) -> usize {
        MOST_IN_FLIGHT
    }

    fn is_atomic(&self) -> bool {
        false
    }

    async fn write(&self, part: Part<Message>) -> Result<Failures, Fault> {
        if let [message] = part.items() {
            self.put(message).await.map_err(Failure::fault)?;
            return Ok(Failures::new());
        }
        self.put_batch(part.items()).await.map_err(Failure::fault)
    }

    async fn read(&self, part: Part<String>) -> Result<Vec<(usize, String)>, Fault> {
        self.texts(part).await.map_err(Fault::Request)
    }

    async fn delete(&self, part: Part<String>) -> Result<usize, Fault> {
        self.delete_each(part).await.map_err(Fault::Request)
    }

    async fn update(&self, message: Message) -> Result<bool> {
        let request = |client: aws_sdk_dynamodb::Client| {
            let put = client
                .put_item()
                .table_name(self.table())
                .set_item(Some(item::item(&message)))
                .condition_expression(EXISTS)
                .expression_attribute_names(KEY_ALIAS, KEY);
            async move {
                match put.send().await {
                    Ok(_) => Ok(true),
                    Err(error) if is_refused_condition(&error) => Ok(false),
                    Err(error) => Err(error),
                }
            }
        };
        let deadline = self.way.deadline();
        Ok(self.way.call(deadline, request).await?.answer)
    }

    /// A table with one hash key can only be scanned, filter or not.
    async fn list(&self, list: List) -> Result<Page> {
        let mut entries = Vec::new();
        // The service knows no empty key; nothing comes before it.
        let after = list.after.as_deref().filter(|after| !after.is_empty());
        let mut start = after.map(item::key);
        loop {
            if list.cancel.cancelled() {
                return Err(Error::interrupted());
            }
            let room = list.limit - entries.len();
            let request = |client: aws_sdk_dynamodb::Client| {
                let scan = client
                    .scan()
                    .table_name(self.table())
                    .consistent_read(self.way.config.consistent_read)
                    .set_exclusive_start_key(start.clone())
                    .expression_attribute_names(KEY_ALIAS, KEY);
                let scan = if list.values {
                    scan.projection_expression("#k, #v")
                        .expression_attribute_names(VALUE_ALIAS, VALUE)
                } else {
                    scan.projection_expression(KEY_ALIAS)
                };
                // With a filter the service counts what it looks at, not what it finds.
                let scan = if list.prefix.is_empty() {
                    scan.limit(i32::try_from(room).unwrap_or(i32::MAX))
                } else {
                    scan.filter_expression("begins_with(#k, :prefix)")
                        .expression_attribute_values(
                            ":prefix",
                            AttributeValue::S(list.prefix.clone()),
                        )
                };
                scan.send()
            };
            let deadline = self.way.deadline();
            let answer = self.way.call(deadline, request).await?.answer;
            let more = answer.last_evaluated_key.is_some();
            for mut item in answer.items.unwrap_or_default() {
                if entries.len() == list.limit {
                    return Ok(Page {
                        entries,
                        more: true,
                    });
                }
                let key = item::take_key(&mut item)?;
                let text = if list.values {
                    item::take_value(&mut item, &key)?
                } else {
                    String::new()
                };
                entries.push((key, text));
            }
            if !more || entries.len() == list.limit {
                return Ok(Page { entries, more });
            }
            start = answer.last_evaluated_key;
        }
    }

    /// Reads a key that may well not be there: all that it needs is the right to read.
    async fn ping(&self) -> Result<()> {
        self.get("TetherDB").await?;
        Ok(())
    }

    fn close(&self) {
        self.way.close();
    }
}
