//! Messages as items, and back.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::error::{Error, Kind, Result};
use crate::message::{BackendName, Message, quote};

/// The partition key of the table: a string.
pub(super) const KEY: &str = "key";
/// The attribute with the stored text: a string.
pub(super) const VALUE: &str = "value";

/// Attribute names and their values.
pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) fn key(key: &str) -> Item {
    HashMap::from([(KEY.to_owned(), AttributeValue::S(key.to_owned()))])
}

pub(super) fn item(message: &Message) -> Item {
    HashMap::from([
        (KEY.to_owned(), AttributeValue::S(message.key().to_owned())),
        (
            VALUE.to_owned(),
            AttributeValue::S(message.value().to_owned()),
        ),
    ])
}

/// The key of an item; the table's schema says that it has one.
pub(super) fn take_key(item: &mut Item) -> Result<String> {
    match item.remove(KEY) {
        Some(AttributeValue::S(key)) => Ok(key),
        _ => Err(foreign("an item has no string attribute \"key\"")),
    }
}

/// The stored text of an item.
pub(super) fn take_value(item: &mut Item, key: &str) -> Result<String> {
    match item.remove(VALUE) {
        Some(AttributeValue::S(text)) => Ok(text),
        _ => Err(foreign(&format!(
            "the item of key {} has no string attribute \"value\"",
            quote(key)
        ))),
    }
}

fn foreign(what: &str) -> Error {
    let text = format!(
        "{what}: another program wrote it. Read it with that program, or delete or overwrite it."
    );
    Error::backend(Kind::Backend, BackendName::Dynamodb, false, text)
}
