//! Every key of the configuration: its name, what it takes, its default and its meaning. Nothing of this stands
//! anywhere else: the reader (`read`, `etcd`) and the schema (`schema`) both take it from here.

use std::time::Duration;

use super::kinds::{Boolean, Key, Object, Seconds, Text, Word};
use super::{ErrorStyle, Logging};

/// The whole configuration.
pub(super) static ROOT: Object = Object {
    keys: &[
        &DEBUG,
        &LOGGING,
        &ERRORS,
        &LOCAL,
        &DYNAMODB,
        &ETCD,
        &QUEUE_BATCH,
        &SCHEMA,
    ],
    rules: &[],
};

pub(super) static DEBUG: Key<Boolean> = Key {
    name: "debug",
    about: "Whether the debug lines are written.",
    kind: Boolean { default: false },
};

pub(super) static LOGGING: Key<Word<Logging>> = Key {
    name: "logging",
    about: "What is logged: the debug lines too, warnings and errors, or nothing.",
    kind: Word {
        words: &[
            ("debug", Logging::Debug),
            ("info", Logging::Info),
            ("none", Logging::None),
        ],
        default: Logging::Info,
    },
};

pub(super) static ERRORS: Key<Word<ErrorStyle>> = Key {
    name: "errors",
    about: "What a failed verb does: raise, or log one line and return what means \"no\".",
    kind: Word {
        words: &[("raise", ErrorStyle::Raise), ("log", ErrorStyle::Log)],
        default: ErrorStyle::Raise,
    },
};

pub(super) static LOCAL: Key<Object> = Key {
    name: "local",
    about: "The local backend, one SQLite file; it is always there.",
    kind: Object {
        keys: &[
            &local::FILEPATH,
            &local::SYNCHRONOUS,
            &local::BUSY_TIMEOUT,
            &local::MODE,
        ],
        rules: &[],
    },
};

pub(super) static DYNAMODB: Key<Object> = Key {
    name: "dynamodb",
    about: "The DynamoDB backend, one table; credentials are found as in any AWS tool.",
    kind: Object {
        keys: &[
            &dynamodb::TABLE_NAME,
            &dynamodb::REGION,
            &dynamodb::ENDPOINT_URL,
            &dynamodb::PROFILE,
            &dynamodb::CREATE_TABLE,
            &dynamodb::CONSISTENT_READ,
            &dynamodb::TIMEOUT,
        ],
        rules: &[],
    },
};

pub(super) static ETCD: Key<Object> = Key {
    name: "etcd",
    about: "The etcd backend, one server or all members of a cluster.",
    kind: Object {
        keys: &[
            &etcd::HOST,
            &etcd::PORT,
            &etcd::ENDPOINTS,
            &etcd::USERNAME,
            &etcd::PASSWORD,
            &etcd::USE_SSL,
            &etcd::CA_CERT_FILE,
            &etcd::CERT_FILE,
            &etcd::KEY_FILE,
            &etcd::TIMEOUT,
        ],
        rules: &[&etcd::ONE_PLACE, &etcd::CREDENTIALS, &etcd::IDENTITY],
    },
};

pub(super) static QUEUE_BATCH: Key<Object> = Key {
    name: "queue_batch",
    about: "The queue of each backend: its batches, its bounds, its repetitions and its journal.",
    kind: Object {
        keys: &[
            &queue::SIZE,
            &queue::TIMEOUT,
            &queue::INTERVAL,
            &queue::MAX_PENDING,
            &queue::MAX_PENDING_BYTES,
            &queue::WHEN_FULL,
            &queue::JOURNAL,
            &queue::JOURNAL_SYNC,
            &queue::EXIT_TIMEOUT,
            &queue::RETRY,
        ],
        rules: &[&queue::SYNC_NEEDS_JOURNAL],
    },
};

pub(super) static SCHEMA: Key<Text> = Key {
    name: "$schema",
    about: "Where an editor finds this schema; TetherDB does not look at it.",
    kind: Text::OPTIONAL,
};

/// `local`.
pub(super) mod local {
    use super::super::Synchronous;
    use super::super::kinds::Permissions;
    use super::{Duration, Key, Seconds, Text, Word};

    pub(in super::super) static FILEPATH: Key<Text> = Key {
        name: "filepath",
        about: "The file; its folder must exist, and a relative path counts from the working directory.",
        kind: Text {
            default: Some("localdb"),
            ..Text::OPTIONAL
        },
    };

    pub(in super::super) static SYNCHRONOUS: Key<Word<Synchronous>> = Key {
        name: "synchronous",
        about: "What a power loss may take: nothing, the latest writes, or the soundness of the file.",
        kind: Word {
            words: &[
                ("full", Synchronous::Full),
                ("normal", Synchronous::Normal),
                ("off", Synchronous::Off),
            ],
            default: Synchronous::Full,
        },
    };

    pub(in super::super) static BUSY_TIMEOUT: Key<Seconds> = Key {
        name: "busy_timeout",
        about: "Seconds to wait for another process's lock; then OperationTimeout.",
        kind: Seconds {
            zero: true,
            default: Duration::from_secs(5),
        },
    };

    pub(in super::super) static MODE: Key<Permissions> = Key {
        name: "mode",
        about: "Permission bits of a file that it creates, as octal text, less the umask.",
        kind: Permissions { default: 0o666 },
    };
}

/// `dynamodb`.
pub(super) mod dynamodb {
    use super::super::address::URL_PATTERN;
    use super::{Boolean, Duration, Key, Seconds, Text};

    pub(in super::super) static TABLE_NAME: Key<Text> = Key {
        name: "table_name",
        about: "The table; its partition key is the string attribute \"key\".",
        kind: Text {
            required: true,
            ..Text::OPTIONAL
        },
    };

    pub(in super::super) static REGION: Key<Text> = Key {
        name: "region",
        about: "Where the table is; without it the environment says so, then the profile.",
        kind: Text::OPTIONAL,
    };

    pub(in super::super) static ENDPOINT_URL: Key<Text> = Key {
        name: "endpoint_url",
        about: "Another endpoint than that of AWS, such as http://localhost:8000 of DynamoDB Local.",
        kind: Text {
            pattern: Some(URL_PATTERN),
            ..Text::OPTIONAL
        },
    };

    pub(in super::super) static PROFILE: Key<Text> = Key {
        name: "profile",
        about: "A profile of the AWS configuration files; it wins over keys in the environment.",
        kind: Text::OPTIONAL,
    };

    pub(in super::super) static CREATE_TABLE: Key<Boolean> = Key {
        name: "create_table",
        about: "Whether the table is created on first use, with on-demand billing.",
        kind: Boolean { default: false },
    };

    pub(in super::super) static CONSISTENT_READ: Key<Boolean> = Key {
        name: "consistent_read",
        about: "Whether reads see the latest writes; false halves their price.",
        kind: Boolean { default: true },
    };

    pub(in super::super) static TIMEOUT: Key<Seconds> = Key {
        name: "timeout",
        about: "Seconds for one request, repetition included.",
        kind: Seconds {
            zero: false,
            default: Duration::from_secs(10),
        },
    };
}

/// `etcd`.
pub(super) mod etcd {
    use super::super::address::{ENDPOINT_PATTERN, HOST_PATTERN};
    use super::super::kinds::{File, Integer, Rule, Texts};
    use super::{Boolean, Duration, Key, Seconds, Text};

    /// Where a server listens unless told otherwise.
    pub(in super::super) const DEFAULT_PORT: u16 = 2379;

    pub(in super::super) static HOST: Key<Text> = Key {
        name: "host",
        about: "The name or the address of one server.",
        kind: Text {
            default: Some("localhost"),
            pattern: Some(HOST_PATTERN),
            ..Text::OPTIONAL
        },
    };

    pub(in super::super) static PORT: Key<Integer> = Key {
        name: "port",
        about: "The port of that server.",
        kind: Integer {
            least: 1,
            most: 65535,
            default: DEFAULT_PORT as u64,
        },
    };

    pub(in super::super) static ENDPOINTS: Key<Texts> = Key {
        name: "endpoints",
        about: "All members of a cluster, as \"host:port\" or URLs, instead of host and port.",
        kind: Texts {
            pattern: ENDPOINT_PATTERN,
        },
    };

    pub(in super::super) static USERNAME: Key<Text> = Key {
        name: "username",
        about: "Who asks, where the server wants to know.",
        kind: Text::OPTIONAL,
    };

    pub(in super::super) static PASSWORD: Key<Text> = Key {
        name: "password",
        about: "The password of that user; better \"${NAME}\" of an environment variable than the text itself.",
        kind: Text::OPTIONAL,
    };

    pub(in super::super) static USE_SSL: Key<Boolean> = Key {
        name: "use_ssl",
        about: "Whether TLS is used; an https:// endpoint and a TLS file imply it.",
        kind: Boolean { default: false },
    };

    pub(in super::super) static CA_CERT_FILE: Key<File> = Key {
        name: "ca_cert_file",
        about: "The PEM file of the authority that signed the server's certificate; without it the system's roots.",
        kind: File,
    };

    pub(in super::super) static CERT_FILE: Key<File> = Key {
        name: "cert_file",
        about: "The PEM file of the client's own certificate, for mutual TLS.",
        kind: File,
    };

    pub(in super::super) static KEY_FILE: Key<File> = Key {
        name: "key_file",
        about: "The PEM file of that certificate's private key.",
        kind: File,
    };

    pub(in super::super) static TIMEOUT: Key<Seconds> = Key {
        name: "timeout",
        about: "Seconds for one request: connecting, authenticating and other members included.",
        kind: Seconds {
            zero: false,
            default: Duration::from_secs(5),
        },
    };

    pub(in super::super) static ONE_PLACE: Rule = Rule::Instead {
        key: ENDPOINTS.name,
        others: &[HOST.name, PORT.name],
        problem: "given beside 'host' or 'port'. Give either the list or the pair.",
    };

    pub(in super::super) static CREDENTIALS: Rule = Rule::Together {
        keys: [USERNAME.name, PASSWORD.name],
        why: "Authentication needs both.",
    };

    pub(in super::super) static IDENTITY: Rule = Rule::Together {
        keys: [CERT_FILE.name, KEY_FILE.name],
        why: "Mutual TLS needs both.",
    };
}

/// `queue_batch`.
pub(super) mod queue {
    use super::super::kinds::{Integer, Object, Rule};
    use super::super::{JournalSync, WhenFull};
    use super::{Duration, Key, Seconds, Text, Word};

    /// Batches and bounds are numbers of messages, and held in 32 bits by servers.
    const MOST_MESSAGES: u64 = u32::MAX as u64;

    pub(in super::super) static SIZE: Key<Integer> = Key {
        name: "size",
        about: "Most messages in one batch; at most 128 go to etcd and 25 to DynamoDB.",
        kind: Integer {
            least: 1,
            most: MOST_MESSAGES,
            default: 10,
        },
    };

    pub(in super::super) static TIMEOUT: Key<Seconds> = Key {
        name: "timeout",
        about: "Seconds that a message waits for its batch to fill; 0 waits for nothing.",
        kind: Seconds {
            zero: true,
            default: Duration::from_secs(2),
        },
    };

    pub(in super::super) static INTERVAL: Key<Seconds> = Key {
        name: "interval",
        about: "Another name of timeout; give one of the two.",
        kind: Seconds {
            zero: true,
            default: TIMEOUT.kind.default,
        },
    };

    pub(in super::super) static MAX_PENDING: Key<Integer> = Key {
        name: "max_pending",
        about: "Most messages in the queue, those in flight included.",
        kind: Integer {
            least: 1,
            most: MOST_MESSAGES,
            default: 100_000,
        },
    };

    pub(in super::super) static MAX_PENDING_BYTES: Key<Integer> = Key {
        name: "max_pending_bytes",
        about: "Most bytes of keys and values in the queue, those in flight included.",
        kind: Integer {
            least: 1,
            most: 1 << 50,
            default: 64 << 20,
        },
    };

    pub(in super::super) static WHEN_FULL: Key<Word<WhenFull>> = Key {
        name: "when_full",
        about: "What a call does that finds the queue full: wait for room, or raise QueueFull.",
        kind: Word {
            words: &[("block", WhenFull::Block), ("raise", WhenFull::Raise)],
            default: WhenFull::Block,
        },
    };

    pub(in super::super) static JOURNAL: Key<Text> = Key {
        name: "journal",
        about: "A file that keeps queued messages until they are delivered; without it only memory does.",
        kind: Text::OPTIONAL,
    };

    pub(in super::super) static JOURNAL_SYNC: Key<Word<JournalSync>> = Key {
        name: "journal_sync",
        about: "When queued messages are on disk: before the call returns, within 0.1 s, or at the system's pace.",
        kind: Word {
            words: &[
                ("always", JournalSync::Always),
                ("interval", JournalSync::Interval),
                ("never", JournalSync::Never),
            ],
            default: JournalSync::Always,
        },
    };

    pub(in super::super) static EXIT_TIMEOUT: Key<Seconds> = Key {
        name: "exit_timeout",
        about: "Seconds that the end of the program may spend on delivering.",
        kind: Seconds {
            zero: true,
            default: Duration::from_secs(10),
        },
    };

    pub(in super::super) static RETRY: Key<Object> = Key {
        name: "retry",
        about: "When a failed batch is tried again, and when it is given up.",
        kind: Object {
            keys: &[&retry::INITIAL, &retry::MAX, &retry::GIVE_UP_AFTER],
            rules: &[],
        },
    };

    pub(in super::super) static SYNC_NEEDS_JOURNAL: Rule = Rule::Needs {
        key: JOURNAL_SYNC.name,
        other: JOURNAL.name,
        problem: "needs 'journal': the path of the file.",
    };

    /// `queue_batch.retry`.
    pub(in super::super) mod retry {
        use super::{Duration, Key, Seconds};

        pub(in super::super::super) static INITIAL: Key<Seconds> = Key {
            name: "initial",
            about: "Longest pause after the first failure, in seconds; it doubles with each further one.",
            kind: Seconds {
                zero: false,
                default: Duration::from_millis(100),
            },
        };

        pub(in super::super::super) static MAX: Key<Seconds> = Key {
            name: "max",
            about: "Longest pause of all, in seconds; not shorter than initial.",
            kind: Seconds {
                zero: false,
                default: Duration::from_secs(5),
            },
        };

        pub(in super::super::super) static GIVE_UP_AFTER: Key<Seconds> = Key {
            name: "give_up_after",
            about: "Seconds after its first failure when a message is given up.",
            kind: Seconds {
                zero: true,
                default: Duration::from_secs(300),
            },
        };
    }
}
