//! What a verb was about: its backend and its key, for the line that says that it failed.

use pyo3::prelude::*;

use super::arguments::{self, Given};
use super::handle::Open;
use crate::config::ErrorStyle;
use crate::message::{BackendName, stored_key};
use crate::queue::LogLine;

/// The arguments of a call, looked at only where they are needed: they may be what is wrong.
#[derive(Clone, Copy, Default)]
pub(super) struct About<'a, 'py> {
    backend: Option<&'a Given<'py>>,
    key: Option<(&'a Given<'py>, &'a Bound<'py, PyAny>)>,
}

impl<'a, 'py> About<'a, 'py> {
    /// One message.
    pub(super) fn message(
        bucket: &'a Given<'py>,
        key: &'a Bound<'py, PyAny>,
        backend: &'a Given<'py>,
    ) -> Self {
        Self {
            backend: Some(backend),
            key: Some((bucket, key)),
        }
    }

    /// Several, or none.
    pub(super) fn backend(backend: &'a Given<'py>) -> Self {
        Self {
            backend: Some(backend),
            key: None,
        }
    }

    /// What is known of it.
    pub(super) fn known(self) -> Known {
        let key = self.key.and_then(|(bucket, key)| {
            let bucket = arguments::bucket(bucket).ok()?;
            Some(stored_key(bucket, arguments::key(key).ok()?))
        });
        let backend = self.backend.map(arguments::backend);
        Known {
            backend: backend.and_then(Result::ok),
            key,
        }
    }

    /// As [`Self::known`], for a call that may fail later: nothing where that is raised.
    pub(super) fn known_for_log(self, open: &Open) -> Known {
        match open.store.config().errors {
            ErrorStyle::Log => self.known(),
            ErrorStyle::Raise => Known::default(),
        }
    }
}

/// The same, without the arguments.
#[derive(Default)]
pub(super) struct Known {
    pub(super) backend: Option<BackendName>,
    pub(super) key: Option<String>,
}

impl Known {
    pub(super) fn mark(self, line: LogLine) -> LogLine {
        let line = match self.backend {
            Some(backend) => line.on(backend),
            None => line,
        };
        match &self.key {
            Some(key) => line.of(key),
            None => line,
        }
    }
}
