//! From what was written to what is used: every key of the configuration, with its default.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::address::address;
use super::etcd::read_etcd;
use super::section::Section;
use super::{
    Config, DynamodbConfig, ErrorStyle, JournalConfig, JournalSync, LocalConfig, Logging,
    QueueConfig, RetryConfig, Synchronous, Tree, WhenFull,
};

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            size: nonzero(10),
            timeout: Duration::from_secs(2),
            max_pending: nonzero(100_000),
            max_pending_bytes: nonzero(64 << 20),
            when_full: WhenFull::Block,
            retry: RetryConfig {
                initial: Duration::from_millis(100),
                max: Duration::from_secs(5),
                give_up_after: Duration::from_secs(300),
            },
            exit_timeout: Duration::from_secs(10),
            journal: None,
        }
    }
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            path: absolute(Path::new("localdb")),
            filepath: PathBuf::from("localdb"),
            synchronous: Synchronous::Full,
            busy_timeout: Duration::from_secs(5),
            mode: 0o666,
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
    let debug = root.boolean("debug");
    let logging = root.word(
        "logging",
        &[
            ("debug", Logging::Debug),
            ("info", Logging::Info),
            ("none", Logging::None),
        ],
    );
    if let (Some(debug), Some(logging)) = (debug, logging)
        && debug != (logging == Logging::Debug)
    {
        root.problem("logging", "contradicts 'debug'. Give one of the two.");
    }
    let logging = logging.unwrap_or(if debug == Some(true) {
        Logging::Debug
    } else {
        Logging::Info
    });
    let errors = root
        .word(
            "errors",
            &[("raise", ErrorStyle::Raise), ("log", ErrorStyle::Log)],
        )
        .unwrap_or(ErrorStyle::Raise);
    let local = root.take("local");
    let dynamodb = root.take("dynamodb");
    let etcd = root.take("etcd");
    let queue = root.take("queue_batch");
    root.finish();
    let local = local.map_or_else(LocalConfig::default, |given| {
        read_local(Section::new("local", given.tree, problems))
    });
    let config = Config {
        logging,
        errors,
        local,
        dynamodb: dynamodb
            .and_then(|given| read_dynamodb(Section::new("dynamodb", given.tree, problems))),
        etcd: etcd.map(|given| read_etcd(Section::new("etcd", given.tree, problems))),
        queue: queue.map_or_else(QueueConfig::default, |given| {
            read_queue(given.tree, problems)
        }),
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
    let filepath = section.path("filepath").unwrap_or(default.filepath);
    let synchronous = section
        .word(
            "synchronous",
            &[
                ("full", Synchronous::Full),
                ("normal", Synchronous::Normal),
                ("off", Synchronous::Off),
            ],
        )
        .unwrap_or(default.synchronous);
    let busy_timeout = section
        .seconds("busy_timeout", true)
        .unwrap_or(default.busy_timeout);
    let mut mode = default.mode;
    if let Some(text) = section.text("mode") {
        let digits = text.strip_prefix("0o").unwrap_or(&text);
        match u32::from_str_radix(digits, 8) {
            Ok(bits) if bits <= 0o777 => mode = bits,
            _ => section.problem(
                "mode",
                "expected permission bits as octal text, such as \"0600\".",
            ),
        }
    }
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
    let table_name = section.text("table_name");
    if table_name.is_none() && section.problem_count() == before {
        section.problem("table_name", "required: the name of the DynamoDB table.");
    }
    let region = section.text("region");
    let endpoint_url = section.text("endpoint_url");
    if let Some(url) = &endpoint_url
        && !is_url(url)
    {
        section.problem(
            "endpoint_url",
            "expected a URL such as http://localhost:8000, without user and password. Credentials come from the \
             environment or a profile.",
        );
    }
    let profile = section.text("profile");
    let create_table = section.boolean("create_table").unwrap_or(false);
    let consistent_read = section.boolean("consistent_read").unwrap_or(true);
    let timeout = section
        .seconds("timeout", false)
        .unwrap_or(Duration::from_secs(10));
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

/// Whether it leads to a host, by HTTP or HTTPS, and holds no user.
fn is_url(url: &str) -> bool {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let host = rest.map(|rest| rest.split('/').next().unwrap_or(rest));
    host.is_some_and(|host| address(host, 80).is_some()) && !url.contains(['@', ' '])
}

fn read_queue(tree: Tree, problems: &mut Vec<String>) -> QueueConfig {
    let default = QueueConfig::default();
    let mut section = Section::new("queue_batch", tree, problems);
    let size = section.integer("size", 1, u64::from(u32::MAX));
    let timeout = section.seconds("timeout", true);
    let interval = section.seconds("interval", true);
    if let (Some(timeout), Some(interval)) = (timeout, interval)
        && timeout != interval
    {
        section.problem(
            "interval",
            "contradicts 'timeout', of which it is another name. Give one of the two.",
        );
    }
    let max_pending = section.integer("max_pending", 1, u64::from(u32::MAX));
    let max_pending_bytes = section.integer("max_pending_bytes", 1, 1 << 50);
    let when_full = section.word(
        "when_full",
        &[("block", WhenFull::Block), ("raise", WhenFull::Raise)],
    );
    let journal = section.path("journal");
    let sync = section.word(
        "journal_sync",
        &[
            ("always", JournalSync::Always),
            ("interval", JournalSync::Interval),
            ("never", JournalSync::Never),
        ],
    );
    if journal.is_none() && sync.is_some() {
        section.problem("journal_sync", "needs 'journal': the path of the file.");
    }
    let exit_timeout = section.seconds("exit_timeout", true);
    let retry = section.take("retry");
    section.finish();
    QueueConfig {
        size: size.map_or(default.size, nonzero),
        timeout: timeout.or(interval).unwrap_or(default.timeout),
        max_pending: max_pending.map_or(default.max_pending, nonzero),
        max_pending_bytes: max_pending_bytes.map_or(default.max_pending_bytes, nonzero),
        when_full: when_full.unwrap_or(default.when_full),
        retry: retry.map_or(default.retry, |given| {
            read_retry(Section::new("queue_batch.retry", given.tree, problems))
        }),
        exit_timeout: exit_timeout.unwrap_or(default.exit_timeout),
        journal: journal.map(|path| JournalConfig {
            path: absolute(&path),
            sync: sync.unwrap_or(JournalSync::Always),
        }),
    }
}

fn read_retry(mut section: Section<'_>) -> RetryConfig {
    let default = QueueConfig::default().retry;
    let initial = section.seconds("initial", false);
    let max = section.seconds("max", false);
    let give_up_after = section.seconds("give_up_after", true);
    let retry = RetryConfig {
        initial: initial.unwrap_or_else(|| default.initial.min(max.unwrap_or(default.max))),
        max: max.unwrap_or_else(|| default.max.max(initial.unwrap_or(default.initial))),
        give_up_after: give_up_after.unwrap_or(default.give_up_after),
    };
    if retry.initial > retry.max {
        section.problem("initial", "is longer than 'max'. Swap the two.");
    }
    section.finish();
    retry
}
