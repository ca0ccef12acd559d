//! From what was written to what is used: every key of the table in `keys`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::address::is_url;
use super::etcd::read_etcd;
use super::keys::{self, dynamodb, local, queue, queue::retry};
use super::section::Section;
use super::{
    Config, DynamodbConfig, JournalConfig, LocalConfig, Logging, QueueConfig, RetryConfig, Tree,
};

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            size: nonzero(queue::SIZE.kind.default),
            timeout: queue::TIMEOUT.kind.default,
            max_pending: nonzero(queue::MAX_PENDING.kind.default),
            max_pending_bytes: nonzero(queue::MAX_PENDING_BYTES.kind.default),
            when_full: queue::WHEN_FULL.kind.default,
            retry: RetryConfig {
                initial: retry::INITIAL.kind.default,
                max: retry::MAX.kind.default,
                give_up_after: retry::GIVE_UP_AFTER.kind.default,
            },
            exit_timeout: queue::EXIT_TIMEOUT.kind.default,
            journal: None,
        }
    }
}

impl Default for LocalConfig {
    fn default() -> Self {
        let filepath = PathBuf::from(local::FILEPATH.default());
        Self {
            path: absolute(&filepath),
            filepath,
            synchronous: local::SYNCHRONOUS.kind.default,
            busy_timeout: local::BUSY_TIMEOUT.kind.default,
            mode: local::MODE.kind.default,
        }
    }
}

/// Where there is no working directory any more, opening the file says so.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Numbers read here have a least value of one; written as one they stay one.
fn nonzero(value: u64) -> NonZeroUsize {
    usize::try_from(value)
        .ok()
        .and_then(NonZeroUsize::new)
        .unwrap_or(NonZeroUsize::MAX)
}

/// Reads the whole configuration; what is wrong is added to `problems`.
pub(super) fn read(tree: Tree, problems: &mut Vec<String>) -> Config {
    let mut root = Section::new("", tree, problems);
    let debug = root.boolean(&keys::DEBUG);
    let logging = root.word(&keys::LOGGING);
    if let (Some(debug), Some(logging)) = (debug, logging)
        && debug != (logging == Logging::Debug)
    {
        root.problem(
            keys::LOGGING.name,
            "contradicts 'debug'. Give one of the two.",
        );
    }
    let logging = logging.unwrap_or(if debug == Some(true) {
        Logging::Debug
    } else {
        keys::LOGGING.kind.default
    });
    let errors = root
        .word(&keys::ERRORS)
        .unwrap_or(keys::ERRORS.kind.default);
    let local = root.object(&keys::LOCAL);
    let dynamodb = root.object(&keys::DYNAMODB);
    let etcd = root.object(&keys::ETCD);
    let queue = root.object(&keys::QUEUE_BATCH);
    // For editors alone.
    root.text(&keys::SCHEMA);
    root.finish();
    let local = local.map_or_else(LocalConfig::default, |tree| {
        read_local(Section::new("local", tree, problems))
    });
    let config = Config {
        logging,
        errors,
        local,
        dynamodb: dynamodb.and_then(|tree| read_dynamodb(Section::new("dynamodb", tree, problems))),
        etcd: etcd.map(|tree| read_etcd(Section::new("etcd", tree, problems))),
        queue: queue.map_or_else(QueueConfig::default, |tree| read_queue(tree, problems)),
    };
    let journal = config.queue.journal.as_ref();
    if journal.is_some_and(|journal| journal.path == config.local.path) {
        let text =
            "queue_batch.journal: is the file of local.filepath too. Name a file of its own.";
        problems.push(text.to_owned());
    }
    config
}

fn read_local(mut section: Section<'_>) -> LocalConfig {
    let default = LocalConfig::default();
    let filepath = section.path(&local::FILEPATH).unwrap_or(default.filepath);
    let synchronous = section
        .word(&local::SYNCHRONOUS)
        .unwrap_or(default.synchronous);
    let busy_timeout = section
        .seconds(&local::BUSY_TIMEOUT)
        .unwrap_or(default.busy_timeout);
    let mode = section.permissions(&local::MODE).unwrap_or(default.mode);
    section.finish();
    LocalConfig {
        path: absolute(&filepath),
        filepath,
        synchronous,
        busy_timeout,
        mode,
    }
}

fn read_dynamodb(mut section: Section<'_>) -> Option<DynamodbConfig> {
    let before = section.problem_count();
    let table_name = section.text(&dynamodb::TABLE_NAME);
    if table_name.is_none() && section.is_object() && section.problem_count() == before {
        section.problem(
            dynamodb::TABLE_NAME.name,
            "required: the name of the DynamoDB table.",
        );
    }
    let region = section.text(&dynamodb::REGION);
    let endpoint_url = section.text(&dynamodb::ENDPOINT_URL);
    if let Some(url) = &endpoint_url
        && !is_url(url)
    {
        section.problem(
            dynamodb::ENDPOINT_URL.name,
            "expected a URL such as http://localhost:8000, without user and password. Credentials come from the \
             environment or a profile.",
        );
    }
    let profile = section.text(&dynamodb::PROFILE);
    let create_table = section
        .boolean(&dynamodb::CREATE_TABLE)
        .unwrap_or(dynamodb::CREATE_TABLE.kind.default);
    let consistent_read = section
        .boolean(&dynamodb::CONSISTENT_READ)
        .unwrap_or(dynamodb::CONSISTENT_READ.kind.default);
    let timeout = section
        .seconds(&dynamodb::TIMEOUT)
        .unwrap_or(dynamodb::TIMEOUT.kind.default);
    section.finish();
    Some(DynamodbConfig {
        table_name: table_name?,
        region,
        endpoint_url,
        profile,
        create_table,
        consistent_read,
        timeout,
    })
}

fn read_queue(tree: Tree, problems: &mut Vec<String>) -> QueueConfig {
    let default = QueueConfig::default();
    let mut section = Section::new("queue_batch", tree, problems);
    let size = section.integer(&queue::SIZE);
    let timeout = section.seconds(&queue::TIMEOUT);
    let interval = section.seconds(&queue::INTERVAL);
    if let (Some(timeout), Some(interval)) = (timeout, interval)
        && timeout != interval
    {
        section.problem(
            queue::INTERVAL.name,
            "contradicts 'timeout', of which it is another name. Give one of the two.",
        );
    }
    let max_pending = section.integer(&queue::MAX_PENDING);
    let max_pending_bytes = section.integer(&queue::MAX_PENDING_BYTES);
    let when_full = section.word(&queue::WHEN_FULL);
    let journal = section.path(&queue::JOURNAL);
    let sync = section.word(&queue::JOURNAL_SYNC);
    section.check(&queue::SYNC_NEEDS_JOURNAL);
    let exit_timeout = section.seconds(&queue::EXIT_TIMEOUT);
    let retry = section.object(&queue::RETRY);
    section.finish();
    QueueConfig {
        size: size.map_or(default.size, nonzero),
        timeout: timeout.or(interval).unwrap_or(default.timeout),
        max_pending: max_pending.map_or(default.max_pending, nonzero),
        max_pending_bytes: max_pending_bytes.map_or(default.max_pending_bytes, nonzero),
        when_full: when_full.unwrap_or(default.when_full),
        retry: retry.map_or(default.retry, |tree| {
            read_retry(Section::new("queue_batch.retry", tree, problems))
        }),
        exit_timeout: exit_timeout.unwrap_or(default.exit_timeout),
        journal: journal.map(|path| JournalConfig {
            path: absolute(&path),
            sync: sync.unwrap_or(queue::JOURNAL_SYNC.kind.default),
        }),
    }
}

fn read_retry(mut section: Section<'_>) -> RetryConfig {
    let default = QueueConfig::default().retry;
    let initial = section.seconds(&retry::INITIAL);
    let max = section.seconds(&retry::MAX);
    let give_up_after = section.seconds(&retry::GIVE_UP_AFTER);
    let retry = RetryConfig {
        initial: initial.unwrap_or_else(|| default.initial.min(max.unwrap_or(default.max))),
        max: max.unwrap_or_else(|| default.max.max(initial.unwrap_or(default.initial))),
        give_up_after: give_up_after.unwrap_or(default.give_up_after),
    };
    if retry.initial > retry.max {
        section.problem(retry::INITIAL.name, "is longer than 'max'. Swap the two.");
    }
    section.finish();
    retry
}
