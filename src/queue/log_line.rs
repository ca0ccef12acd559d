//! One line of the log, and what it is about.

use super::Level;
use crate::message::BackendName;

/// A line on its way to the log. Its text is for people; the rest is for programs, and says no more than the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How loud it is.
    pub level: Level,
    /// What it says.
    pub text: String,
    /// The backend that it is about, if it is about one.
    pub backend: Option<BackendName>,
    /// The stored key, if it is about one message.
    pub key: Option<String>,
    /// How many messages it is about, if it counts any.
    pub count: Option<u64>,
}

impl LogLine {
    /// A line about nothing in particular.
    pub fn new(level: Level, text: impl Into<String>) -> Self {
        Self {
            level,
            text: text.into(),
            backend: None,
            key: None,
            count: None,
        }
    }

    /// It is about this backend.
    #[must_use]
    pub fn on(mut self, backend: BackendName) -> Self {
        self.backend = Some(backend);
        self
    }

    /// It is about the one message of this stored key.
    #[must_use]
    pub fn of(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self.count = Some(1);
        self
    }

    /// It is about so many messages.
    #[must_use]
    pub fn about(mut self, count: usize) -> Self {
        self.count = Some(count as u64);
        self
    }
}
