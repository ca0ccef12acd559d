//! `TetherDB.DB`: every verb, with its documentation for `help(DB)`.

#![allow(clippy::needless_pass_by_value)] // pyo3 hands arguments over by value

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString};

use super::about::{About, Known};
use super::arguments::Given;
use super::calls::{self, Calls};
use super::handle::Open;
use super::iterator::MessageIterator;
use super::receipt::Receipt;
use super::records::Records;
use super::{arguments, config, errors, json, logging, runtime};
use crate::config::{Config, Logging};
use crate::message::{BackendName, Message};
use crate::queue::{self, Level, LogLine};

/// An argument that may be left out, or be `None`, which means the same.
pub(super) type Optional<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

#[doc = include_str!("doc/DB.txt")]
#[pyclass(module = "TetherDB", frozen, subclass, weakref)]
pub(super) struct DB {
    /// `None` only while it is dropped.
    pub(super) open: ArcSwapOption<Open>,
}

#[pymethods]
impl DB {
    #[new]
    #[pyo3(signature = (config=None, config_file=None, *, on_error=None))]
    fn new(
        py: Python<'_>,
        config: Optional<'_, '_>,
        config_file: Optional<'_, '_>,
        on_error: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        if let Some(on_error) = &on_error
            && !on_error.bind(py).is_callable()
        {
            return Err(PyTypeError::new_err(format!(
                "on_error must be callable as on_error(key, value, backend, exception), got {}.",
                arguments::type_name(on_error.bind(py))
            )));
        }
        if let Some(on_error) = &on_error
            && is_coroutine_function(on_error.bind(py))?
        {
            return Err(PyTypeError::new_err(
                "on_error must be a plain function, which a thread calls: a coroutine function would never be \
                 awaited. Have it call asyncio.run_coroutine_threadsafe().",
            ));
        }
        let config = config::read(config, config_file)?;
        runtime::watch_exit(py)?;
        if config.logging == Logging::Debug {
            logging::set_up_debug(py)?;
        }
        // What is found in a journal is sent at once.
        runtime::watch(py)?;
        let open = Arc::new(Open::new(py, config, on_error, false)?);
        if open.channel.logs_debug() {
            for (backend, text) in opened(open.store.config()) {
                let line = LogLine::new(Level::Debug, text).on(backend);
                open.channel.log_now(py, &line)?;
            }
        }
        Ok(Self {
            open: ArcSwapOption::new(Some(open)),
        })
    }

    #[doc = include_str!("doc/write_message.txt")]
    #[pyo3(signature = (key, value, bucket=Given::Missing, backend=Given::Missing, queue=Given::Missing),
           text_signature = "($self, key, value, bucket='', backend='local', queue=False)")]
    fn write_message(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        bucket: Given<'_>,
        backend: Given<'_>,
        queue: Given<'_>,
    ) -> PyResult<bool> {
        let write = || {
            let name = arguments::backend(&backend)?;
            let message = arguments::message(arguments::bucket(&bucket)?, key, value)?;
            if arguments::flag("queue", &queue, false)? {
                self.enqueue(py, name, message, None)?;
            } else {
                self.change(py, message.size() / 1024, move |store, interrupt| {
                    store.write(name, message.clone(), interrupt)
                })?;
            }
            Ok(true)
        };
        self.settle(
            py,
            "write_message",
            About::message(&bucket, key, &backend),
            write(),
            || false,
        )
    }

    #[doc = include_str!("doc/write_queue_message.txt")]
    #[pyo3(signature = (key, value, bucket=Given::Missing, backend=Given::Missing, *, receipt=Given::Missing),
           text_signature = "($self, key, value, bucket='', backend='local', *, receipt=False)")]
    fn write_queue_message<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        bucket: Given<'_>,
        backend: Given<'_>,
        receipt: Given<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let write = || {
            let name = arguments::backend(&backend)?;
            let message = arguments::message(arguments::bucket(&bucket)?, key, value)?;
            if !arguments::flag("receipt", &receipt, false)? {
                self.enqueue(py, name, message, None)?;
                return Ok(truth(py, true));
            }
            let inner = queue::Receipt::default();
            self.enqueue(py, name, message, Some(inner.clone()))?;
            Ok(Bound::new(py, Receipt::new(inner))?.into_any())
        };
        self.settle(
            py,
            "write_queue_message",
            About::message(&bucket, key, &backend),
            write(),
            || truth(py, false),
        )
    }

    #[doc = include_str!("doc/read_message.txt")]
    #[pyo3(signature = (key, bucket=Given::Missing, backend=Given::Missing, default=None),
           text_signature = "($self, key, bucket='', backend='local', default=None)")]
    fn read_message<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        bucket: Given<'_>,
        backend: Given<'_>,
        default: Optional<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let fallback = || default.map_or_else(|| py.None().into_bound(py), Clone::clone);
        let read = || {
            let name = arguments::backend(&backend)?;
            let bucket = arguments::bucket(&bucket)?;
            let keys = [crate::message::stored_key(bucket, arguments::key(key)?)];
            let mut found = self.run(py, |store, interrupt| store.read(name, &keys, interrupt))?;
            match found.pop() {
                Some((_, text)) => json::decode(py, &text),
                None => Ok(fallback()),
            }
        };
        self.settle(
            py,
            "read_message",
            About::message(&bucket, key, &backend),
            read(),
            fallback,
        )
    }

    #[doc = include_str!("doc/update_message.txt")]
    #[pyo3(signature = (key, value, bucket=Given::Missing, backend=Given::Missing),
           text_signature = "($self, key, value, bucket='', backend='local')")]
    fn update_message(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        bucket: Given<'_>,
        backend: Given<'_>,
    ) -> PyResult<bool> {
        let update = || {
            let name = arguments::backend(&backend)?;
            let message = arguments::message(arguments::bucket(&bucket)?, key, value)?;
            self.change(py, message.size() / 1024, move |store, interrupt| {
                store.update(name, message.clone(), interrupt)
            })
        };
        self.settle(
            py,
            "update_message",
            About::message(&bucket, key, &backend),
            update(),
            || false,
        )
    }

    #[doc = include_str!("doc/delete_message.txt")]
    #[pyo3(signature = (key, bucket=Given::Missing, backend=Given::Missing),
           text_signature = "($self, key, bucket='', backend='local')")]
    fn delete_message(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        bucket: Given<'_>,
        backend: Given<'_>,
    ) -> PyResult<bool> {
        let delete = || {
            let name = arguments::backend(&backend)?;
            let bucket = arguments::bucket(&bucket)?;
            let keys = vec![crate::message::stored_key(bucket, arguments::key(key)?)];
            let count = self.change(py, 1, move |store, interrupt| {
                store.delete(name, keys.clone(), interrupt)
            })?;
            Ok(count > 0)
        };
        self.settle(
            py,
            "delete_message",
            About::message(&bucket, key, &backend),
            delete(),
            || false,
        )
    }

    #[doc = include_str!("doc/write_messages.txt")]
    #[pyo3(signature = (items, bucket=Given::Missing, backend=Given::Missing),
           text_signature = "($self, items, bucket='', backend='local')")]
    fn write_messages(
        &self,
        py: Python<'_>,
        items: &Bound<'_, PyAny>,
        bucket: Given<'_>,
        backend: Given<'_>,
    ) -> PyResult<usize> {
        let write = || {
            let name = arguments::backend(&backend)?;
            let messages = arguments::messages(arguments::bucket(&bucket)?, items)?;
            // A few huge messages keep the disk as busy as many small ones.
            let size = messages.len() + messages.iter().map(Message::size).sum::<usize>() / 1024;
            self.change(py, size, move |store, interrupt| {
                store.write_many(name, messages.clone(), interrupt)
            })
        };
        self.settle(
            py,
            "write_messages",
            About::backend(&backend),
            write(),
            || 0,
        )
    }

    #[doc = include_str!("doc/read_messages.txt")]
    #[pyo3(signature = (keys, bucket=Given::Missing, backend=Given::Missing),
           text_signature = "($self, keys, bucket='', backend='local')")]
    fn read_messages<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyAny>,
        bucket: Given<'_>,
        backend: Given<'_>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let read = || {
            let name = arguments::backend(&backend)?;
            let bucket = arguments::bucket(&bucket)?;
            let stored = arguments::keys(bucket, keys)?;
            let stored = Arc::new(stored);
            let keys = Arc::clone(&stored);
            let found = self.run_sized(py, stored.len(), move |store, interrupt| {
                store.read(name, &keys, interrupt)
            })?;
            let prefix = if bucket.is_empty() {
                0
            } else {
                bucket.len() + 1
            };
            let messages = PyDict::new(py);
            for (at, text) in found {
                if at % 4096 == 4095 {
                    py.check_signals()?;
                }
                messages.set_item(&stored[at][prefix..], json::decode(py, &text)?)?;
            }
            Ok(messages)
        };
        self.settle(
            py,
            "read_messages",
            About::backend(&backend),
            read(),
            || PyDict::new(py),
        )
    }

    #[doc = include_str!("doc/delete_messages.txt")]
    #[pyo3(signature = (keys, bucket=Given::Missing, backend=Given::Missing),
           text_signature = "($self, keys, bucket='', backend='local')")]
    fn delete_messages(
        &self,
        py: Python<'_>,
        keys: &Bound<'_, PyAny>,
        bucket: Given<'_>,
        backend: Given<'_>,
    ) -> PyResult<usize> {
        let delete = || {
            let name = arguments::backend(&backend)?;
            let stored = arguments::keys(arguments::bucket(&bucket)?, keys)?;
            self.change(py, stored.len(), move |store, interrupt| {
                store.delete(name, stored.clone(), interrupt)
            })
        };
        self.settle(
            py,
            "delete_messages",
            About::backend(&backend),
            delete(),
            || 0,
        )
    }

    #[doc = include_str!("doc/list_messages.txt")]
    #[pyo3(signature = (page_size=Given::Missing, start_after=None, bucket=Given::Missing, backend=Given::Missing),
           text_signature = "($self, page_size=10, start_after=None, bucket='', backend='local')")]
    fn list_messages<'py>(
        &self,
        py: Python<'py>,
        page_size: Given<'_>,
        start_after: Optional<'_, 'py>,
        bucket: Given<'_>,
        backend: Given<'_>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let list = || {
            let listing = self.listing(py, &page_size, start_after, &bucket, &backend, true)?;
            let texts = listing.entries.iter().map(|(_, text)| text.as_str());
            page_of(py, "messages", texts, listing.next_marker.as_deref())
        };
        let empty = || page_of(py, "messages", std::iter::empty(), None);
        self.settle(
            py,
            "list_messages",
            About::backend(&backend),
            list().map(Ok),
            empty,
        )?
    }

    #[doc = include_str!("doc/list_keys.txt")]
    #[pyo3(signature = (page_size=Given::Missing, start_after=None, bucket=Given::Missing, backend=Given::Missing),
           text_signature = "($self, page_size=10, start_after=None, bucket='', backend='local')")]
    fn list_keys<'py>(
        &self,
        py: Python<'py>,
        page_size: Given<'_>,
        start_after: Optional<'_, 'py>,
        bucket: Given<'_>,
        backend: Given<'_>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let list = || {
            let listing = self.listing(py, &page_size, start_after, &bucket, &backend, false)?;
            let keys = listing.entries.iter().map(|(key, _)| key.as_str());
            page_of(py, "keys", keys, listing.next_marker.as_deref())
        };
        let empty = || page_of(py, "keys", std::iter::empty(), None);
        self.settle(
            py,
            "list_keys",
            About::backend(&backend),
            list().map(Ok),
            empty,
        )?
    }

    #[doc = include_str!("doc/iter_messages.txt")]
    #[pyo3(signature = (bucket=Given::Missing, backend=Given::Missing, page_size=Given::Missing),
           text_signature = "($self, bucket='', backend='local', page_size=1000)")]
    fn iter_messages(
        slf: &Bound<'_, Self>,
        bucket: Given<'_>,
        backend: Given<'_>,
        page_size: Given<'_>,
    ) -> PyResult<MessageIterator> {
        let py = slf.py();
        let begin = || {
            let name = arguments::backend(&backend)?;
            let bucket = arguments::bucket(&bucket)?;
            let size = arguments::page_size(&page_size, 1000)?;
            // A wrong name fails here, not at the first record.
            let open = slf.get().open(py)?;
            let checked = open.store.check(name, "", 0);
            checked.map_err(|error| errors::to_python(py, &error))?;
            Ok(MessageIterator::new(
                slf.clone().unbind(),
                name,
                bucket,
                size,
            ))
        };
        let nothing = || MessageIterator::empty(slf.clone().unbind());
        slf.get().settle(
            py,
            "iter_messages",
            About::backend(&backend),
            begin(),
            nothing,
        )
    }

    #[doc = include_str!("doc/ping.txt")]
    #[pyo3(signature = (backend=Given::Missing), text_signature = "($self, backend='local')")]
    fn ping(&self, py: Python<'_>, backend: Given<'_>) -> PyResult<f64> {
        let name = arguments::backend(&backend)?;
        let took = self.run(py, |store, interrupt| store.ping(name, interrupt))?;
        Ok(took.as_secs_f64())
    }

    #[doc = include_str!("doc/flush.txt")]
    #[pyo3(signature = (timeout=None))]
    fn flush(&self, py: Python<'_>, timeout: Optional<'_, '_>) -> PyResult<()> {
        let deadline = arguments::deadline(timeout)?;
        let outcome = self.run(py, |store, interrupt| store.flush(deadline, interrupt));
        self.open(py)?.channel.sync(py)?;
        outcome
    }

    #[doc = include_str!("doc/stats.txt")]
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let open = self.open(py)?;
        let all = py.detach(|| open.store.stats());
        accounts(py, all)
    }

    /// The accounts of every queue in a form that only ever grows, `pending` apart; for `TetherDB.opentelemetry`.
    fn _totals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let open = self.open(py)?;
        let all = py.detach(|| open.store.stats());
        let result = PyDict::new(py);
        for stats in all {
            let entry = PyDict::new(py);
            for (name, count) in [
                ("accepted", stats.accepted + stats.requeued + stats.left),
                ("delivered", stats.delivered),
                ("failed", stats.failed + stats.requeued),
                ("retried", stats.retried),
                ("pending", stats.pending),
            ] {
                entry.set_item(name, count)?;
            }
            entry.set_item("delivery_time", stats.delivery_time.as_secs_f64())?;
            result.set_item(stats.backend.as_str(), entry)?;
        }
        Ok(result)
    }

    #[doc = include_str!("doc/failed_messages.txt")]
    #[pyo3(signature = (backend=None))]
    fn failed_messages<'py>(
        &self,
        py: Python<'py>,
        backend: Optional<'_, 'py>,
    ) -> PyResult<Bound<'py, PyList>> {
        let list = || {
            let name = Self::some_backend(backend)?;
            let failed = self.run(py, |store, interrupt| {
                store.failed_messages(name, interrupt)
            })?;
            Self::handed_back(py, &failed)
        };
        self.settle(py, "failed_messages", About::default(), list(), || {
            PyList::empty(py)
        })
    }

    #[doc = include_str!("doc/retry_failed.txt")]
    #[pyo3(signature = (backend=None))]
    fn retry_failed(&self, py: Python<'_>, backend: Optional<'_, '_>) -> PyResult<usize> {
        let retry = || {
            let name = Self::some_backend(backend)?;
            self.run(py, |store, interrupt| store.retry_failed(name, interrupt))
        };
        self.settle(py, "retry_failed", About::default(), retry(), || 0)
    }

    #[doc = include_str!("doc/drop_failed.txt")]
    #[pyo3(signature = (backend=None))]
    fn drop_failed(&self, py: Python<'_>, backend: Optional<'_, '_>) -> PyResult<usize> {
        let drop = || {
            let name = Self::some_backend(backend)?;
            self.run(py, |store, interrupt| store.drop_failed(name, interrupt))
        };
        self.settle(py, "drop_failed", About::default(), drop(), || 0)
    }

    #[doc = include_str!("doc/start.txt")]
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let start = self.run(py, |store, interrupt| store.start(interrupt));
        self.settle(py, "start", About::default(), start, || ())
    }

    #[doc = include_str!("doc/stop.txt")]
    #[pyo3(signature = (timeout=None))]
    fn stop(&self, py: Python<'_>, timeout: Optional<'_, '_>) -> PyResult<()> {
        let deadline = arguments::deadline(timeout)?;
        let outcome = self.run(py, |store, interrupt| store.stop(deadline, interrupt));
        self.open(py)?.channel.sync(py)?;
        outcome
    }

    #[doc = include_str!("doc/tether.txt")]
    #[pyo3(signature = (bucket=Given::Missing, wait=Given::Missing, backend=Given::Missing, *, key=None, queue=None),
           text_signature = "($self, bucket='', wait=True, backend='local', *, key=None, queue=None)")]
    fn tether<'py>(
        slf: &Bound<'py, Self>,
        bucket: Given<'py>,
        wait: Given<'py>,
        backend: Given<'py>,
        key: Optional<'_, 'py>,
        queue: Optional<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = Tether {
            bucket,
            wait,
            backend,
            key,
            queue,
        };
        options.decorate(slf, false)
    }

    #[doc = include_str!("doc/mapping.txt")]
    #[pyo3(signature = (bucket=Given::Missing, backend=Given::Missing),
           text_signature = "($self, bucket='', backend='local')")]
    fn mapping<'py>(
        slf: &Bound<'py, Self>,
        bucket: Given<'_>,
        backend: Given<'_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        static MAPPING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = slf.py();
        let name = arguments::backend(&backend)?;
        let records = Records::new(slf, name, arguments::bucket(&bucket)?)?;
        let class = calls::imported(py, &MAPPING, "TetherDB._mapping", "MessageMapping")?;
        class.run((records,))
    }

    /// Logs one ERROR line on behalf of `tether`.
    #[pyo3(signature = (text, backend, key))]
    fn _log_error(
        &self,
        py: Python<'_>,
        text: &str,
        backend: &str,
        key: Option<String>,
    ) -> PyResult<()> {
        let backend = BackendName::parse(backend).ok();
        let line = Known { backend, key }.mark(LogLine::new(Level::Error, text));
        self.open(py)?.channel.log_now(py, &line)
    }

    /// A time-ordered UUID (version 7), for `tether`.
    #[staticmethod]
    fn _new_key() -> String {
        uuid::Uuid::now_v7().to_string()
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let py = slf.py();
        slf.get()
            .run(py, |store, interrupt| store.start(interrupt))?;
        Ok(slf)
    }

    #[pyo3(signature = (_type, value, _traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        _type: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let stopped = self.stop(py, None);
        if let Err(error) = &stopped
            && !value.is_none()
        {
            // What the body raised must not vanish behind what its end raises.
            error.value(py).setattr("__context__", value)?;
        }
        stopped
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &*self.open.load() {
            Some(open) => open.channel.traverse(&visit),
            None => Ok(()),
        }
    }

    fn __clear__(&self) {
        if let Some(open) = &*self.open.load() {
            open.channel.clear();
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let open = self.open(py)?;
        let config = open.store.config();
        let path = PyString::new(py, &config.local.filepath.to_string_lossy()).repr()?;
        let mut text = format!("<TetherDB.DB: local {path}");
        if let Some(dynamodb) = &config.dynamodb {
            let table = PyString::new(py, &dynamodb.table_name).repr()?;
            text.push_str(", dynamodb ");
            text.push_str(table.to_str()?);
        }
        if config.etcd.is_some() {
            text.push_str(", etcd");
        }
        text.push('>');
        Ok(text)
    }

    #[expect(clippy::unused_self, reason = "the pickle protocol's signature")]
    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a DB cannot be pickled or copied: it has files and threads open. Pass its configuration, and \
             open a DB from it in the other process.",
        ))
    }
}

/// The arguments of `tether`.
pub(super) struct Tether<'a, 'py> {
    pub(super) bucket: Given<'py>,
    pub(super) wait: Given<'py>,
    pub(super) backend: Given<'py>,
    pub(super) key: Optional<'a, 'py>,
    pub(super) queue: Optional<'a, 'py>,
}

impl<'py> Tether<'_, 'py> {
    /// The decorator, or, where it is bare, what it makes of the function; with `coroutines` a coroutine function.
    pub(super) fn decorate(
        self,
        db: &Bound<'py, DB>,
        coroutines: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        static TETHER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = db.py();
        // Bare, `@db.tether`: the first argument is the function.
        let (function, bucket) = match self.bucket {
            Given::Value(given) if is_decorated(&given)? => (Some(given), Given::Missing),
            given => (None, given),
        };
        let name = arguments::backend(&self.backend)?;
        let open = db.get().open(py)?;
        let checked = open.store.check(name, "", 0);
        checked.map_err(|error| errors::to_python(py, &error))?;
        let options = PyDict::new(py);
        options.set_item("bucket", arguments::bucket(&bucket)?)?;
        options.set_item("backend", name.as_str())?;
        options.set_item("key", self.key.map(arguments::key).transpose()?)?;
        let waits = arguments::flag("wait", &self.wait, true)?;
        let queued = match self.queue {
            None => !waits,
            Some(queue) => arguments::flag("queue", &Given::Value(queue.clone()), false)?,
        };
        options.set_item("queue", queued)?;
        options.set_item("coroutines", coroutines)?;
        let tether = calls::imported(py, &TETHER, "TetherDB._tether", "tether")?;
        if let Some(function) = function {
            return tether.run_with((db, function), Some(&options));
        }
        let partial = calls::import(py, "functools")?.attribute("partial")?;
        partial.run_with((tether, db), Some(&options))
    }
}

/// Whether it stands below a decorator, as a function does. A `classmethod` or `property` cannot be called, but can
/// only be that; what is wrong with it is said where all functions are looked at.
fn is_decorated(given: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(given.is_callable()
        || given.some_attribute("__func__")?.is_some()
        || given.some_attribute("fget")?.is_some())
}

/// Whether it was made by `async def`: what `inspect` looks at, without importing that.
fn is_coroutine_function(function: &Bound<'_, PyAny>) -> PyResult<bool> {
    /// `inspect.CO_COROUTINE`
    const COROUTINE: u32 = 0x80;
    let mut function = function.clone();
    // What `functools.partial` was made of; not for ever, since some objects have any attribute.
    for _ in 0..8 {
        match function.some_attribute("func")? {
            Some(inner) => function = inner,
            None => break,
        }
    }
    let Some(code) = function.some_attribute("__code__")? else {
        return Ok(false);
    };
    let flags = code.some_attribute("co_flags")?;
    Ok(flags.is_some_and(|flags| {
        flags
            .extract::<u32>()
            .is_ok_and(|flags| flags & COROUTINE != 0)
    }))
}

/// What `stats` gives.
pub(super) fn accounts(py: Python<'_>, all: Vec<queue::Stats>) -> PyResult<Bound<'_, PyDict>> {
    let result = PyDict::new(py);
    for stats in all {
        let entry = PyDict::new(py);
        for (name, count) in [
            ("accepted", stats.accepted),
            ("pending", stats.pending),
            ("in_flight", stats.in_flight),
            ("delivered", stats.delivered),
            ("replaced", stats.replaced),
            ("failed", stats.failed),
            ("retried", stats.retried),
            ("batches", stats.batches),
            ("bytes", stats.bytes),
        ] {
            entry.set_item(name, count)?;
        }
        entry.set_item("last_error", stats.last_error)?;
        result.set_item(stats.backend.as_str(), entry)?;
    }
    Ok(result)
}

/// The debug lines of a handle that was opened.
fn opened(config: &Config) -> Vec<(BackendName, String)> {
    let path = config.local.filepath.display();
    let text = format!("Local backend initialized at: {path}");
    let mut lines = vec![(BackendName::Local, text)];
    if let Some(dynamodb) = &config.dynamodb {
        let table = &dynamodb.table_name;
        let text = format!("DynamoDB backend initialized with table: {table}");
        lines.push((BackendName::Dynamodb, text));
    }
    if let Some(etcd) = &config.etcd {
        let endpoints = etcd.endpoints.join(", ");
        let text = format!("etcd backend initialized at: {endpoints}");
        lines.push((BackendName::Etcd, text));
    }
    lines
}

fn truth(py: Python<'_>, value: bool) -> Bound<'_, PyAny> {
    pyo3::types::PyBool::new(py, value).to_owned().into_any()
}

/// `{name: [...], "next_marker": ...}`
fn page_of<'py, 'a>(
    py: Python<'py>,
    name: &str,
    items: impl Iterator<Item = &'a str>,
    next_marker: Option<&str>,
) -> PyResult<Bound<'py, PyDict>> {
    let list = PyList::empty(py);
    for (at, item) in items.enumerate() {
        if at % 4096 == 4095 {
            py.check_signals()?;
        }
        list.append(item)?;
    }
    let page = PyDict::new(py);
    page.set_item(name, list)?;
    page.set_item("next_marker", next_marker)?;
    Ok(page)
}
