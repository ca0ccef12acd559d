//! What travels: the stored key, the stored text, and what was given up.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};

/// The three backends a verb can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackendName {
    /// A local `SQLite` file.
    Local,
    /// AWS `DynamoDB`.
    Dynamodb,
    /// etcd.
    Etcd,
}

impl BackendName {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 3] = [Self::Local, Self::Dynamodb, Self::Etcd];

    /// As a caller writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Dynamodb => "dynamodb",
            Self::Etcd => "etcd",
        }
    }

    /// Reads a caller's spelling.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == name)
            .ok_or_else(|| {
                let advice = Self::meant_by(name)
                    .map(|meant| format!(" Did you mean '{meant}'?"))
                    .unwrap_or_default();
                let got = quote(name);
                let text =
                    format!("backend must be 'local', 'dynamodb' or 'etcd', got {got}.{advice}");
                Error::new(Kind::Value, text)
            })
    }

    /// Which one was mistyped: other capitals, one letter more or less, or its beginning.
    fn meant_by(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        Self::ALL.into_iter().find(|known| {
            let known = known.as_str();
            strsim::damerau_levenshtein(&name, known) <= 1
                || name.len() > 2 && known.starts_with(&name)
        })
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stored key (`bucket:key`, or `key`) with its stored text, in one shared allocation.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    text: Arc<str>,
    key_len: usize,
}

impl Message {
    /// `text` is the key followed by the value; `key_len` is where the one ends, in bytes.
    ///
    /// # Panics
    /// If `key_len` is no character boundary of `text`: a bug in the caller, never input.
    pub fn from_parts(text: &str, key_len: usize) -> Self {
        assert!(text.is_char_boundary(key_len));
        Self {
            text: Arc::from(text),
            key_len,
        }
    }

    /// A message from a key and a value.
    pub fn new(key: &str, value: &str) -> Self {
        let mut text = String::with_capacity(key.len() + value.len());
        text.push_str(key);
        text.push_str(value);
        Self::from_parts(&text, key.len())
    }

    /// Key and value together, as in [`Self::from_parts`].
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The stored key, bucket included.
    pub fn key(&self) -> &str {
        &self.text[..self.key_len]
    }

    /// The stored text.
    pub fn value(&self) -> &str {
        &self.text[self.key_len..]
    }

    /// Bytes of key and value together: what the queue's bound counts.
    pub fn size(&self) -> usize {
        self.text.len()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} -> {:?}", self.key(), self.value())
    }
}

/// A message that was given up, with the reason.
#[derive(Debug, Clone)]
pub struct Failed {
    /// The message.
    pub message: Message,
    /// Where it should have gone.
    pub backend: BackendName,
    /// Why it did not.
    pub error: Error,
}

/// The sizes a backend takes, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest stored key.
    pub key: usize,
    /// The largest key and value together.
    pub item: usize,
    /// What the bound is called, for the error.
    pub source: &'static str,
    /// A key that is the backend's own.
    pub reserved: Option<&'static str>,
}

impl Limits {
    /// Refuses what the backend would refuse, before anything is sent or queued.
    pub fn check(&self, backend: BackendName, key: &str, value_len: usize) -> Result<()> {
        if self.reserved == Some(key) {
            let text = format!(
                "{backend} backend: key {} is TetherDB's own there. Take another one.",
                quote(key)
            );
            return Err(Error::new(Kind::Value, text));
        }
        if key.len() > self.key {
            return Err(Error::backend(
                Kind::Limit,
                backend,
                false,
                format!(
                    "key {} has {} bytes, the limit is {} ({}). Use a shorter key.",
                    quote(key),
                    key.len(),
                    self.key,
                    self.source
                ),
            ));
        }
        let size = key.len() + value_len;
        if size > self.item {
            return Err(Error::backend(
                Kind::Limit,
                backend,
                false,
                format!(
                    "the message of key {} has {size} bytes, the limit is {} ({}). Split the value.",
                    quote(key),
                    self.item,
                    self.source
                ),
            ));
        }
        Ok(())
    }
}

/// The stored key of `key` in `bucket`: `bucket:key`, or `key` alone without a bucket.
pub fn stored_key(bucket: &str, key: &str) -> String {
    if bucket.is_empty() {
        return key.to_owned();
    }
    let mut stored = String::with_capacity(bucket.len() + 1 + key.len());
    stored.push_str(bucket);
    stored.push(':');
    stored.push_str(key);
    stored
}

/// A key as error messages show it: quoted, and cut when it is very long.
pub fn quote(key: &str) -> String {
    const SHOWN: usize = 100;
    match key.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("'{}…'", &key[..cut]),
        None => format!("'{key}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_key_and_value_apart() {
        let message = Message::new("bücket:key", "välue");
        assert_eq!(message.key(), "bücket:key");
        assert_eq!(message.value(), "välue");
        assert_eq!(message.size(), "bücket:keyvälue".len());
    }

    #[test]
    fn a_bucket_is_a_plain_prefix() {
        assert_eq!(stored_key("", "k"), "k");
        assert_eq!(stored_key("a:b", "c"), stored_key("a", "b:c"));
    }

    #[test]
    fn limits_name_the_key_and_the_bound() {
        let limits = Limits {
            key: 4,
            item: 8,
            source: "test",
            reserved: Some("own"),
        };
        assert_eq!(
            limits
                .check(BackendName::Etcd, "own", 0)
                .unwrap_err()
                .kind(),
            Kind::Value
        );
        assert!(limits.check(BackendName::Local, "k", 7).is_ok());
        let long = limits.check(BackendName::Local, "k", 8).unwrap_err();
        assert_eq!(long.kind(), Kind::Limit);
        assert!(long.to_string().contains("'k'"), "{long}");
        assert!(limits.check(BackendName::Local, "keyed", 0).is_err());
    }

    #[test]
    fn unknown_backends_list_the_three() {
        let error = BackendName::parse("redis").unwrap_err().to_string();
        assert_eq!(
            error,
            "backend must be 'local', 'dynamodb' or 'etcd', got 'redis'."
        );
        for (given, meant) in [
            ("Local", "local"),
            ("LOCAL", "local"),
            ("dynamo", "dynamodb"),
            ("DynamoDB", "dynamodb"),
            ("etc", "etcd"),
        ] {
            let error = BackendName::parse(given).unwrap_err().to_string();
            assert!(
                error.ends_with(&format!("Did you mean '{meant}'?")),
                "{error}"
            );
        }
    }
}
