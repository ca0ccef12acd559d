//! The one error of the engine: what failed, on which backend and key, why, and what to do.
//!
//! `bindings/errors.rs` alone maps it to Python exceptions. Whether an operation may be retried is
//! decided where the cause is understood, in the backend, and carried along here.

use std::fmt;
use std::sync::Arc;

use crate::message::{BackendName, Failed};

/// The result of everything in the engine that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, one variant for each Python exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The configuration is wrong (`ConfigError`).
    Config,
    /// A verb named a backend that has no section or no code (`BackendNotConfigured`).
    NotConfigured,
    /// A size that the backend or the queue would refuse (`LimitExceeded`).
    Limit,
    /// An argument of the right type with an impossible value (`ValueError`).
    Value,
    /// The queue is full, or was stopped while the caller waited for room (`QueueFull`).
    QueueFull,
    /// A deadline of `flush` or `stop` passed (`FlushTimeout`).
    FlushTimeout,
    /// Messages were given up (`DeliveryError`).
    Delivery,
    /// Any other failure of a backend (`BackendError`).
    Backend,
    /// No answer until the deadline (`OperationTimeout`).
    Timeout,
    /// Refused, unreachable, or no secure connection (`Unavailable`).
    Unavailable,
    /// Wrong, missing or insufficient credentials (`AuthenticationFailed`).
    Authentication,
    /// Throttled until the deadline (`Throttled`).
    Throttled,
    /// The table does not exist (`TableMissing`).
    TableMissing,
    /// The stored data is damaged or not ours (`CorruptStore`).
    Corrupt,
    /// The waiting caller was interrupted by a signal; the bindings raise what it raised.
    Interrupted,
}

/// An error, cheap to clone because one failed commit answers many waiting callers.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: Kind,
    backend: Option<BackendName>,
    retryable: bool,
    text: String,
    failed: Vec<Failed>,
}

impl Error {
    /// An error that belongs to no backend.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            kind,
            backend: None,
            retryable: false,
            text: text.into(),
            failed: Vec::new(),
        }))
    }

    /// An error of a backend. `text` says what failed, why and what to do; the name is put before it.
    pub fn backend(
        kind: Kind,
        backend: BackendName,
        retryable: bool,
        text: impl fmt::Display,
    ) -> Self {
        Self(Arc::new(Inner {
            kind,
            backend: Some(backend),
            retryable,
            text: format!("{backend} backend: {text}"),
            failed: Vec::new(),
        }))
    }

    /// An error as it was, from its own whole text.
    pub fn restored(kind: Kind, backend: BackendName, retryable: bool, text: &str) -> Self {
        Self(Arc::new(Inner {
            kind,
            backend: Some(backend),
            retryable,
            text: text.to_owned(),
            failed: Vec::new(),
        }))
    }

    /// The same error, which may pass: the same call may succeed later.
    #[must_use]
    pub fn passing(&self) -> Self {
        Self(Arc::new(Inner {
            kind: self.0.kind,
            backend: self.0.backend,
            retryable: true,
            text: self.0.text.clone(),
            failed: self.0.failed.clone(),
        }))
    }

    /// A signal ended the wait.
    pub fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted")
    }

    /// Messages that were given up, handed back with their errors.
    pub fn delivery(text: impl Into<String>, failed: Vec<Failed>) -> Self {
        Self(Arc::new(Inner {
            kind: Kind::Delivery,
            backend: None,
            retryable: false,
            text: text.into(),
            failed,
        }))
    }

    /// The same error with more to its text.
    #[must_use]
    pub fn noted(&self, note: &str) -> Self {
        Self(Arc::new(Inner {
            kind: self.0.kind,
            backend: self.0.backend,
            retryable: self.0.retryable,
            text: format!("{} {note}", self.0.text),
            failed: self.0.failed.clone(),
        }))
    }

    /// What went wrong.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The backend it happened on, if any.
    pub fn backend_name(&self) -> Option<BackendName> {
        self.0.backend
    }

    /// Whether the same operation may succeed when it is tried again unchanged.
    pub fn retryable(&self) -> bool {
        self.0.retryable
    }

    /// The messages handed back, for [`Kind::Delivery`].
    pub fn failed(&self) -> &[Failed] {
        &self.0.failed
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({:?})", self.0.kind, self.0.text)
    }
}

impl std::error::Error for Error {}
