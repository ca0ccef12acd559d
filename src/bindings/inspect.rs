//! What the command line asks that no verb answers: a configuration, and a journal, without opening a store.

#![allow(clippy::needless_pass_by_value)] // pyo3 hands arguments over by value

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{config, errors, runtime};
use crate::config::JournalConfig;
use crate::message::BackendName;
use crate::queue::journal::{self, Journal};
use crate::queue::{Events, LogLine};

/// Checks a configuration as `DB` does, and opens nothing: where the local file is, which backends there are, and
/// where the journal is.
#[pyfunction]
#[pyo3(signature = (config=None, config_file=None))]
pub(super) fn inspect_config<'py>(
    py: Python<'py>,
    config: Option<&Bound<'py, PyAny>>,
    config_file: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let read = config::read(config, config_file)?;
    let mut backends = vec![BackendName::Local.as_str()];
    if read.dynamodb.is_some() {
        backends.push(BackendName::Dynamodb.as_str());
    }
    if read.etcd.is_some() {
        backends.push(BackendName::Etcd.as_str());
    }
    let found = PyDict::new(py);
    found.set_item("local", read.local.filepath)?;
    found.set_item("backends", backends)?;
    found.set_item("journal", read.queue.journal.map(|journal| journal.path))?;
    Ok(found)
}

/// Looks into the journal at `path`, whoever owns it: the process that opened it last, the messages as (key, text,
/// backend, error or None), and how many bytes of it are damaged.
#[pyfunction]
pub(super) fn look_into_journal(py: Python<'_>, path: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let look = runtime::detached(py, |interrupt| journal::look(&path, interrupt))?;
    let messages: Vec<_> = look
        .contents
        .into_iter()
        .map(|(_, live)| {
            let message = &live.message;
            let error = live.failed.map(|error| error.to_string());
            let (key, text) = (message.key().to_owned(), message.value().to_owned());
            (key, text, live.backend.as_str(), error)
        })
        .collect();
    let found = PyDict::new(py);
    found.set_item("owner", look.owner)?;
    found.set_item("messages", messages)?;
    found.set_item("damaged", look.damaged)?;
    Ok(found)
}

/// Drops the given-up messages from a journal that nobody owns, those of one backend or all; how many they were. Nothing
/// is delivered.
#[pyfunction]
#[pyo3(signature = (path, backend=None))]
pub(super) fn drop_failed_from_journal(
    py: Python<'_>,
    path: PathBuf,
    backend: Option<&str>,
) -> PyResult<usize> {
    let backend = backend.map(BackendName::parse).transpose();
    let backend = backend.map_err(|error| errors::to_python(py, &error))?;
    let config = JournalConfig {
        path,
        sync: crate::config::JournalSync::Always,
    };
    runtime::detached(py, |interrupt| {
        // One that is not there would be made.
        journal::look(&config.path, interrupt)?;
        let (journal, contents) = Journal::open(&config, Arc::new(Silent), interrupt)?;
        let numbers: Vec<_> = contents
            .into_iter()
            .filter(|(_, live)| live.failed.is_some())
            .filter(|(_, live)| backend.is_none_or(|backend| backend == live.backend))
            .map(|(number, _)| number)
            .collect();
        let count = numbers.len();
        journal.drop_failed(numbers, interrupt)?;
        journal.close();
        Ok(count)
    })
}

/// What a journal says of its damage, [`look_into_journal`] has said before.
struct Silent;

impl Events for Silent {
    fn wants_debug(&self) -> bool {
        false
    }

    fn log(&self, _: LogLine) {}

    fn given_up(&self, _: crate::message::Failed) {}
}
