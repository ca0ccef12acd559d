//! The configuration: read once, every problem named by its path, then held in types that cannot be wrong.

mod address;
mod advice;
mod etcd;
mod given;
mod json;
mod keys;
mod kinds;
mod read;
mod schema;
mod section;
#[cfg(test)]
mod tests;
mod tree;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use read::read;
pub use schema::schema;
pub use tree::Tree;

/// A whole, valid configuration.
#[derive(Clone)]
pub struct Config {
    /// What is logged.
    pub logging: Logging,
    /// What a failing verb does.
    pub errors: ErrorStyle,
    /// The local backend, which is always there.
    pub local: LocalConfig,
    /// The section `dynamodb`, if it is there.
    pub dynamodb: Option<DynamodbConfig>,
    /// The section `etcd`, if it is there.
    pub etcd: Option<EtcdConfig>,
    /// The queue.
    pub queue: QueueConfig,
}

/// `debug` and `logging`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logging {
    /// The debug lines, and errors.
    Debug,
    /// Errors and warnings.
    Info,
    /// Nothing at all.
    None,
}

/// `errors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorStyle {
    /// A failing verb raises.
    Raise,
    /// A failing verb logs one ERROR line and returns `False`, or its default.
    Log,
}

/// `local`.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// The file, as it was given: for people to read.
    pub filepath: PathBuf,
    /// The file, absolute: the working directory of the moment in which the configuration was read counts,
    /// whatever becomes of it later.
    pub path: PathBuf,
    /// What survives a power loss.
    pub synchronous: Synchronous,
    /// How long to wait for another process's lock.
    pub busy_timeout: Duration,
    /// Permission bits of a new file, before the umask.
    pub mode: u32,
}

/// `local.synchronous`, as `SQLite` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// An acknowledged write survives power loss.
    Full,
    /// Power loss may take the latest commits; the file stays sound.
    Normal,
    /// Power loss may take everything since the last checkpoint, and damage the file.
    Off,
}

/// `dynamodb`.
#[derive(Clone)]
pub struct DynamodbConfig {
    /// `table_name`.
    pub table_name: String,
    /// `region`.
    pub region: Option<String>,
    /// `endpoint_url`.
    pub endpoint_url: Option<String>,
    /// `profile`.
    pub profile: Option<String>,
    /// `create_table`.
    pub create_table: bool,
    /// `consistent_read`.
    pub consistent_read: bool,
    /// `timeout`.
    pub timeout: Duration,
}

/// `etcd`. Holds secrets, so it has no `Debug`.
#[derive(Clone)]
pub struct EtcdConfig {
    /// `endpoints`, or the one of `host` and `port`, as `host:port`.
    pub endpoints: Vec<String>,
    /// `username` and `password`.
    pub credentials: Option<(String, String)>,
    /// TLS, if it is used.
    pub tls: Option<TlsConfig>,
    /// `timeout`.
    pub timeout: Duration,
}

/// The TLS files, read when the configuration was.
#[derive(Clone)]
pub struct TlsConfig {
    /// `ca_cert_file`; without it the system's roots.
    pub ca_certificate: Option<Vec<u8>>,
    /// `cert_file` and `key_file`.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// `queue_batch`.
#[derive(Debug, Clone)]
pub struct QueueConfig {
    /// Most messages in one request.
    pub size: NonZeroUsize,
    /// How long a message waits for its batch to fill.
    pub timeout: Duration,
    /// Bound of the queue in messages, those in flight included.
    pub max_pending: NonZeroUsize,
    /// Bound of the queue in bytes of keys and values, those in flight included.
    pub max_pending_bytes: NonZeroUsize,
    /// What a producer that finds the queue full does.
    pub when_full: WhenFull,
    /// When a failed batch is tried again.
    pub retry: RetryConfig,
    /// How long the end of the program may take to deliver.
    pub exit_timeout: Duration,
    /// Where queued messages are kept until they are delivered, if not in memory alone.
    pub journal: Option<JournalConfig>,
}

/// `queue_batch.journal` and `journal_sync`.
#[derive(Debug, Clone)]
pub struct JournalConfig {
    /// The file, absolute.
    pub path: PathBuf,
    /// What survives a power loss.
    pub sync: JournalSync,
}

/// `queue_batch.journal_sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalSync {
    /// A message is on disk before the call returns.
    Always,
    /// Within a tenth of a second.
    Interval,
    /// When the system sees fit.
    Never,
}

/// `queue_batch.when_full`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// Wait for room.
    Block,
    /// Raise `QueueFull`.
    Raise,
}

/// `queue_batch.retry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryConfig {
    /// The first pause at most.
    pub initial: Duration,
    /// Any pause at most.
    pub max: Duration,
    /// How long after its first failure a message is given up.
    pub give_up_after: Duration,
}

impl Config {
    /// Reads and validates the JSON file at `path`.
    pub fn from_file(path: &Path) -> Result<Self> {
        if path.as_os_str().is_empty() {
            return Err(config_error(
                "the path of the configuration file is empty. Name the file, or write DB() for the defaults.",
            ));
        }
        let shown = path.display();
        let bytes = std::fs::read(path).map_err(|error| {
            let advice = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "Create it, or pass another path. (For the file of the records: \
                     DB({\"local\": {\"filepath\": ...}}).)"
                }
                std::io::ErrorKind::IsADirectory => "It is a directory: name the file in it.",
                std::io::ErrorKind::NotADirectory => {
                    "A part of the path is no directory: check it."
                }
                _ => "Check its permissions.",
            };
            config_error(&format!(
                "cannot read the configuration file {shown}: {error}. {advice}"
            ))
        })?;
        if bytes.starts_with(b"SQLite format 3\0") {
            return Err(config_error(&format!(
                "{shown} is a file of records, no configuration. Pass it as \
                 DB({{\"local\": {{\"filepath\": ...}}}})."
            )));
        }
        let tree =
            json::parse(&bytes).map_err(|problem| config_error(&format!("{shown} {problem}")))?;
        Self::from_tree(tree).map_err(|error| config_error(&format!("{shown}: {error}")))
    }

    /// Validates a configuration; all problems are in the one error.
    pub fn from_tree(tree: Tree) -> Result<Self> {
        let mut problems = Vec::new();
        let config = read(tree, &mut problems);
        if problems.is_empty() {
            return Ok(config);
        }
        Err(config_error(&problems.join("\n")))
    }
}

fn config_error(text: &str) -> Error {
    Error::new(Kind::Config, text)
}
