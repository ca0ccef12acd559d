//! What a `DB` has open, and how its verbs run: without the interpreter, interruptible, and failing as
//! `errors` says.

use std::sync::Arc;

use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::about::{About, Known};
use super::arguments::{self, Given};
use super::calls::Calls;
use super::db::{DB, Optional};
use super::events::{Channel, Sender};
use super::{errors, json, runtime};
use crate::config::{Config, ErrorStyle};
use crate::message::{BackendName, Failed, Message};
use crate::queue::{self, Level, LogLine};
use crate::store::{Listing, Store};

/// From this many messages on a call is large: its work takes longer than Ctrl-C may wait.
const LARGE: usize = 10_000;

/// What a handle has open. A `fork` makes the child build its own.
pub(super) struct Open {
    pub(super) store: Arc<Store>,
    pub(super) channel: Arc<Channel>,
}

impl Open {
    /// `forked`: the handle was open already in the process that this one was forked from.
    pub(super) fn new(
        py: Python<'_>,
        config: Config,
        on_error: Option<Py<PyAny>>,
        forked: bool,
    ) -> PyResult<Self> {
        let channel = Channel::new(py, config.logging, on_error);
        let sender = Arc::new(Sender(Arc::clone(&channel)));
        // Detached, since opening passes the fork gate: whoever forks holds it and waits for us.
        let store = if config.queue.journal.is_some() && !forked {
            // Reading a large journal takes a while, in which signal handlers could not run.
            runtime::aside(py, move |interrupt| {
                Store::open(config, sender, forked, interrupt)
            })?
        } else {
            runtime::detached(py, |interrupt| {
                Store::open(config, sender, forked, interrupt)
            })?
        };
        Ok(Self { store, channel })
    }
}

impl DB {
    /// What is open in this process. Every verb begins here, but for queued writes once a worker is there: see
    /// [`Self::enqueue`].
    pub(super) fn open(&self, py: Python<'_>) -> PyResult<Arc<Open>> {
        runtime::watch(py)?;
        let Some(open) = self.open.load_full() else {
            return Err(PyRuntimeError::new_err("this DB is being closed."));
        };
        if open.store.is_ours() {
            return Ok(open);
        }
        // After `fork`: a store of this process's own. The inherited one is the parent's, and is neither
        // used nor closed.
        let on_error = open.channel.on_error(py);
        let new = Arc::new(Open::new(py, open.store.config().clone(), on_error, true)?);
        // Another thread of the child may have been faster: then its store is the one.
        let seen = self.open.compare_and_swap(&open, Some(Arc::clone(&new)));
        let current = arc_swap::Guard::into_inner(seen);
        std::mem::forget(open.clone());
        match current {
            Some(current) if !Arc::ptr_eq(&current, &open) => {
                std::mem::forget(open);
                py.detach(|| drop(new));
                Ok(current)
            }
            _ => {
                std::mem::forget(open);
                Ok(new)
            }
        }
    }

    /// What a failing verb does: raise, or log and give `fallback`, as `errors` says.
    pub(super) fn settle<T>(
        &self,
        py: Python<'_>,
        verb: &str,
        about: About<'_, '_>,
        outcome: PyResult<T>,
        fallback: impl FnOnce() -> T,
    ) -> PyResult<T> {
        let error = match outcome {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let open = self.open(py)?;
        // KeyboardInterrupt and SystemExit are no failures of the verb.
        if open.store.config().errors == ErrorStyle::Raise
            || !error.is_instance_of::<PyException>(py)
        {
            return Err(error);
        }
        let line = failed(py, verb, about.known(), &error)?;
        open.channel.log_now(py, &line)?;
        Ok(fallback())
    }

    /// As [`Self::settle`], in a thread that must not wait.
    pub(super) fn settle_soon<T>(
        &self,
        py: Python<'_>,
        verb: &str,
        known: Known,
        error: PyErr,
        fallback: impl FnOnce() -> T,
    ) -> PyResult<T> {
        let open = self.open(py)?;
        if open.store.config().errors == ErrorStyle::Raise
            || !error.is_instance_of::<PyException>(py)
        {
            return Err(error);
        }
        open.channel.log_soon(py, failed(py, verb, known, &error)?);
        Ok(fallback())
    }

    /// Queues a message if that needs no waiting; whether it did.
    pub(super) fn try_enqueue(
        &self,
        py: Python<'_>,
        backend: BackendName,
        message: Message,
    ) -> PyResult<bool> {
        runtime::watch(py)?;
        let refused = match &*self.open.load() {
            Some(open) if open.store.is_ours() && !open.channel.logs_debug() => {
                match open.store.has_some_aside(backend) {
                    Ok(true) => return Ok(false),
                    Ok(false) => open.store.try_enqueue(backend, message, None),
                    Err(error) => Err(error),
                }
            }
            _ => return Ok(false),
        };
        let refused = refused.map_err(|error| errors::to_python(py, &error))?;
        Ok(refused.is_none())
    }

    /// Runs `work` without the interpreter; lines that it logged are out when this returns.
    pub(super) fn run<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Store, &dyn crate::wait::Interrupt) -> crate::error::Result<T> + Send,
    ) -> PyResult<T> {
        let open = self.open(py)?;
        let store: &Store = &open.store;
        let outcome = runtime::detached(py, |interrupt| work(store, interrupt));
        if open.channel.logs_debug() {
            open.channel.sync(py)?;
        }
        outcome
    }

    /// As [`Self::run`], for work that changes `size` messages, which may be many.
    pub(super) fn change<T: Send + 'static>(
        &self,
        py: Python<'_>,
        size: usize,
        work: impl Fn(&Store, &dyn crate::wait::Interrupt) -> crate::error::Result<T>
        + Send
        + Sync
        + 'static,
    ) -> PyResult<T> {
        if size >= LARGE {
            return self.run_sized(py, size, work);
        }
        let open = self.open(py)?;
        let store: &Store = &open.store;
        let outcome = runtime::anew(py, |interrupt| work(store, interrupt));
        if open.channel.logs_debug() {
            open.channel.sync(py)?;
        }
        outcome
    }

    /// As [`Self::run`], for work on `size` messages, which may be many.
    pub(super) fn run_sized<T: Send + 'static>(
        &self,
        py: Python<'_>,
        size: usize,
        work: impl FnOnce(&Store, &dyn crate::wait::Interrupt) -> crate::error::Result<T>
        + Send
        + 'static,
    ) -> PyResult<T> {
        if size < LARGE {
            return self.run(py, work);
        }
        let open = self.open(py)?;
        let store = Arc::clone(&open.store);
        let outcome = runtime::aside(py, move |interrupt| work(&store, interrupt));
        if open.channel.logs_debug() {
            open.channel.sync(py)?;
        }
        outcome
    }

    /// One page of records.
    pub(super) fn page(
        &self,
        py: Python<'_>,
        backend: BackendName,
        bucket: &str,
        after: Option<&str>,
        size: usize,
    ) -> PyResult<Listing> {
        let (bucket, after) = (bucket.to_owned(), after.map(str::to_owned));
        self.run_sized(py, size, move |store, interrupt| {
            store.list(backend, &bucket, after.as_deref(), size, true, interrupt)
        })
    }

    pub(super) fn enqueue(
        &self,
        py: Python<'_>,
        backend: BackendName,
        message: Message,
        receipt: Option<queue::Receipt>,
    ) -> PyResult<()> {
        runtime::watch(py)?;
        // The hot path: a look without taking a share, and no wait.
        let (message, receipt) = match &*self.open.load() {
            Some(open) if open.store.is_ours() && !open.channel.logs_debug() => {
                let refused = open.store.try_enqueue(backend, message, receipt);
                match refused.map_err(|error| errors::to_python(py, &error))? {
                    None => return Ok(()),
                    Some(left) => left,
                }
            }
            _ => (message, receipt),
        };
        self.run(py, |store, interrupt| {
            store.enqueue(backend, message, receipt, interrupt)
        })
    }

    pub(super) fn listing(
        &self,
        py: Python<'_>,
        page_size: &Given<'_>,
        start_after: Optional<'_, '_>,
        bucket: &Given<'_>,
        backend: &Given<'_>,
        values: bool,
    ) -> PyResult<Listing> {
        let size = arguments::page_size(page_size, 10)?;
        let after = start_after.map(arguments::start_after).transpose()?;
        let after = after.map(str::to_owned);
        let bucket = arguments::bucket(bucket)?.to_owned();
        let backend = arguments::backend(backend)?;
        self.run_sized(py, size, move |store, interrupt| {
            store.list(backend, &bucket, after.as_deref(), size, values, interrupt)
        })
    }

    pub(super) fn handed_back<'py>(
        py: Python<'py>,
        failed: &[Failed],
    ) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for failed in failed {
            let value = json::decode(py, failed.message.value())?;
            let text = failed.error.to_string();
            list.append((failed.message.key(), value, failed.backend.as_str(), text))?;
        }
        Ok(list)
    }

    pub(super) fn some_backend(backend: Optional<'_, '_>) -> PyResult<Option<BackendName>> {
        backend
            .map(|given| arguments::backend(&Given::Value(given.clone())))
            .transpose()
    }
}

/// The line of a verb that failed, where errors are only logged.
fn failed(py: Python<'_>, verb: &str, known: Known, error: &PyErr) -> PyResult<LogLine> {
    let error = error.value(py);
    let line = LogLine::new(Level::Error, format!("{verb} failed: {}", error.shown()?));
    let line = known.mark(line);
    // A backend's error has one, also where the call named none.
    let backend = error.some_attribute("backend")?;
    let backend = backend.and_then(|name| BackendName::parse(&name.extract::<String>().ok()?).ok());
    Ok(LogLine {
        backend: line.backend.or(backend),
        ..line
    })
}

impl Drop for DB {
    fn drop(&mut self) {
        let Some(open) = self.open.swap(None) else {
            return;
        };
        if !open.store.is_ours() {
            // Inherited by `fork` and never used here: the parent's, not to be closed.
            std::mem::forget(open);
            return;
        }
        // Closing a file may wait for the disk: not while holding the interpreter.
        let mut open = Some(open);
        Python::try_attach(|py| {
            let open = open.take();
            py.detach(|| drop(open));
        });
    }
}
