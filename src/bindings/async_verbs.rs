//! The verbs of `AsyncDB`: each begins, and gives the number of its call; the outcome comes by the loop's [`Post`].
//!
//! `TetherDB/_async_db.py` makes coroutines of them. What is checked, converted and raised is that of `DB`.

#![allow(clippy::needless_pass_by_value)] // pyo3 hands arguments over by value

use std::sync::Arc;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::about::{About, Known};
use super::arguments::{self, Given};
use super::async_call::{Caller, FALSE, NONE, RAISES, ZERO, errand, nothing, settle, to_python};
use super::db::{DB, Optional, Tether, accounts};
use super::post::{Post, outcome};
use super::receipt::Receipt;
use super::slices::{Gathering, Left, Slices};
use super::{errors, json};
use crate::backend::Change;
use crate::error::Result;
use crate::message::{BackendName, stored_key};
use crate::queue::{self, Level, LogLine};
use crate::reply::Reply;
use crate::store::{List, Listing, Store};
use crate::wait::Cancel;

/// See the module.
#[pyclass(module = "TetherDB._tetherdb", frozen)]
pub(super) struct AsyncVerbs {
    pub(super) db: Py<DB>,
}

#[pymethods]
impl AsyncVerbs {
    #[new]
    fn new(db: Py<DB>) -> Self {
        Self { db }
    }

    /// Queues a message if that needs no waiting: a receipt, or whether it is accepted. `None`: `enqueue` has to wait.
    #[expect(clippy::too_many_arguments, reason = "those of the verb")]
    fn try_enqueue(
        &self,
        py: Python<'_>,
        verb: &str,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        bucket: Given<'_>,
        backend: Given<'_>,
        receipt: Given<'_>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let db = self.db.bind(py);
        let queue = || {
            let name = arguments::backend(&backend)?;
            let message = arguments::message(arguments::bucket(&bucket)?, key, value)?;
            let wanted = arguments::flag("receipt", &receipt, false)?;
            if wanted {
                return Ok(None);
            }
            let accepted = db.get().try_enqueue(py, name, message)?;
            Ok(accepted.then_some(true))
        };
        match queue() {
            Ok(None) => Ok(None),
            Ok(Some(accepted)) => to_python(py, accepted).map(Some),
            Err(error) => {
                let known = About::message(&bucket, key, &backend).known();
                settle(db, verb, known, Err(error), FALSE).map(Some)
            }
        }
    }

    /// Queues a message, waiting for room: the receipt, or `True`.
    #[expect(clippy::too_many_arguments, reason = "those of the verb")]
    fn enqueue(
        &self,
        post: &Bound<'_, Post>,
        future: &Bound<'_, PyAny>,
        verb: &str,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        bucket: Given<'_>,
        backend: Given<'_>,
        receipt: bool,
    ) -> PyResult<u64> {
        let verbs = ["write_message", "write_queue_message"];
        let verb = verbs[usize::from(verb != verbs[0])];
        let caller = Caller::new(post, future, verb).about(About::message(&bucket, key, &backend));
        let inner = receipt.then(queue::Receipt::default);
        let theirs = inner.clone();
        self.begin(
            &caller,
            FALSE,
            |_| {
                let name = arguments::backend(&backend)?;
                let message = arguments::message(arguments::bucket(&bucket)?, key, value)?;
                Ok(move |store: &Arc<Store>, cancel, reply: Reply<()>| {
                    store.enqueue_later(name, message, theirs, cancel, reply);
                })
            },
            move |py, ()| match inner {
                None => to_python(py, true),
                Some(inner) => Ok(Py::new(py, Receipt::new(inner))?.into_any()),
            },
        )
    }

    fn write_message(
        &self,
        post: &Bound<'_, Post>,
        future: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        bucket: Given<'_>,
        backend: Given<'_>,
    ) -> PyResult<u64> {
        let caller = Caller::new(post, future, "write_message")
            .about(About::message(&bucket, key, &backend));
        let prepare = || {
            let message = arguments::message(arguments::bucket(&bucket)?, key, value)?;
            Ok(Change::Write(vec![message]))
        };
        self.change(&caller, FALSE, &backend, prepare, |_| true)
    }

    fn read_message(
        &self,
        post: &Bound<'_, Post>,
        future: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        bucket: Given<'_>,
        backend: Given<'_>,
    ) -> PyResult<u64> {
        let caller =
            Caller::new(post, future, "read_message").about(About::message(&bucket, key, &backend));
        self.begin(
            &caller,
            NONE,
            |_| {
                let name = arguments::backend(&backend)?;
                let key = stored_key(arguments::bucket(&bucket)?, arguments::key(key)?);
                Ok(move |store: &Arc<Store>, cancel, reply| {
                    store.read_later(name, vec![key], cancel, reply);
                })
            },
            |py, mut found: Vec<(usize, String)>| match found.pop() {
                Some((_, text)) => Ok(json::decode(py, &text)?.unbind()),
                None => Ok(py.None()),
            },
        )
    }

    fn update_message(
        &self,
        post: &Bound<'_, Post>,
        future: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        bucket: Given<'_>,
        backend: Given<'_>,
    ) -> PyResult<u64> {
        let caller = Caller::new(post, future, "update_message")
            .about(About::message(&bucket, key, &backend));
        let prepare = || {
            let message = arguments::message(arguments::bucket(&bucket)?, key, value)?;
            Ok(Change::Update(message))
        };
        self.change(&caller, FALSE, &backend, prepare, |existed| existed > 0)
    }

    fn delete_message(
        &self,
        post: &Bound<'_, Post>,
        future: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        bucket: Given<'_>,
        backend: Given<'_>,
    ) -> PyResult<u64> {
        let caller = Caller::new(post, future, "delete_message")
            .about(About::message(&bucket, key, &backend));
        let prepare = || {
            let key = stored_key(arguments::bucket(&bucket)?, arguments::key(key)?);
            Ok(Change::Delete(vec![key]))
        };
        self.change(&caller, FALSE, &backend, prepare, |existed| existed > 0)
    }

    /// Whether verbs cause lines that shall be out when they return.
    fn logs_debug(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.db.bind(py).get().open(py)?.channel.logs_debug())
    }

    /// Logs some of the lines there are; whether all are out. `last`: it is asked no more.
    fn log_lines(&self, py: Python<'_>, last: bool) -> PyResult<bool> {
        let open = self.db.bind(py).get().open(py)?;
        let done = open.channel.log_what_is_ready(py);
        if last && !done {
            open.channel.be_impatient();
        }
        Ok(done)
    }

    /// One ERROR line on behalf of `tether`.
    fn log_error(
        &self,
        py: Python<'_>,
        text: &str,
        backend: &str,
        key: Option<String>,
    ) -> PyResult<()> {
        let backend = BackendName::parse(backend).ok();
        let line = Known { backend, key }.mark(LogLine::new(Level::Error, text));
        let open = self.db.bind(py).get().open(py)?;
        open.channel.log_soon(py, line);
        Ok(())
    }

    /// The handle is told of errors by whoever may hold this; it breaks the cycle.
    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&self.db)
    }

    /// Begins to take in the items of `write_messages`.
    #[staticmethod]
    fn gather_messages(items: &Bound<'_, PyAny>, bucket: Given<'_>) -> PyResult<Gathering> {
        Gathering::of_messages(arguments::bucket(&bucket)?, items)
    }

    /// Begins to take in the keys of `read_messages` and `delete_messages`.
    #[staticmethod]
    fn gather_keys(keys: &Bound<'_, PyAny>, bucket: Given<'_>) -> PyResult<Gathering> {
        Gathering::of_keys(arguments::bucket(&bucket)?, keys)
    }

    /// Raises, or logs and gives `fallback`, as `errors` says.
    #[pyo3(signature = (verb, backend, error, fallback, bucket=Given::Missing, key=None),
           text_signature = "($self, verb, backend, error, fallback, bucket='', key=None)")]
    fn settle<'py>(
        &self,
        verb: &str,
        backend: Given<'py>,
        error: Bound<'py, PyAny>,
        fallback: Bound<'py, PyAny>,
        bucket: Given<'py>,
        key: Optional<'_, 'py>,
    ) -> PyResult<Py<PyAny>> {
        let py = error.py();
        let db = self.db.bind(py).get();
        let about = match key {
            Some(key) => About::message(&bucket, key, &backend),
            None => About::backend(&backend),
        };
        let known = about.known();
        let error = PyErr::from_value(error);
        db.settle_soon(py, verb, known, error, || fallback.unbind())
    }

    fn write_messages(
        &self,
        post: &Bound<'_, Post>,
        future: &Bound<'_, PyAny>,
        gathered: &Bound<'_, Gathering>,
        backend: Given<'_>,
    ) -> PyResult<u64> {
        let caller = Caller::new(post, future, "write_messages").about(About::backend(&backend));
        let prepare = || Ok(Change::Write(gathered.get().messages()));
        self.change(&caller, ZERO, &backend, prepare, |count| count)
    }

    fn delete_messages(
        &self,
        post: &Bound<'_, Post>,
        future: &Bound<'_, PyAny>,
        gathered: &Bound<'_, Gathering>,
        backend: Given<'_>,
    ) -> PyResult<u64> {
        let caller = Caller::new(post, future, "delete_messages").about(About::backend(&backend));
        let prepare = || Ok(Change::Delete(gathered.get().keys()));
        self.change(&caller, ZERO, &backend, prepare, |count| count)
    }

    fn read_messages(
        &self,
        post: &Bound<'_, Post>,
        future: &Bound<'_, PyAny>,
        gathered: &Bound<'_, Gathering>,
        backend: Given<'_>,
    ) -> PyResult<u64> {
        let caller = Caller::new(post, future, "read_messages").about(About::backend(&backend));
        let bucket = gathered.get().bucket();
        let cut = if bucket.is_empty() {
            0
        } else {
            bucket.len() + 1
        };
        self.begin(
            &caller,
            NONE,
            |_| {
                let name = arguments::backend(&backend)?;
                let keys = gathered.get().keys();
                Ok(move |store: &Arc<Store>, cancel, reply| {
                    store.read_pairs_later(name, keys, cut, cancel, reply);
                })
            },
            |py, found| to_python(py, Slices::new(Left::Messages(found), None)),
        )
    }

    /// A page: of keys and texts, texts alone, or keys alone, as `what` says.
    #[expect(clippy::too_many_arguments, reason = "those of the verb")]
    fn page(
        &self,
        post: &Bound<'_, Post>,
        future: &Bound<'_, PyAny>,
        what: &str,
        page_size: Given<'_>,
        start_after: Optional<'_, '_>,
        bucket: Given<'_>,
        backend: Given<'_>,
    ) -> PyResult<u64> {
        let verb = match what {
            "keys" => "list_keys",
            "texts" => "list_messages",
            _ => "iter_messages",
        };
        let caller = Caller::new(post, future, verb).about(About::backend(&backend));
        // An iterator looks at what failed itself.
        let fallback = if verb == "iter_messages" {
            RAISES
        } else {
            NONE
        };
        self.begin(
            &caller,
            fallback,
            |_| {
                let page_size = arguments::page_size(&page_size, 10)?;
                let start_after = start_after.map(arguments::start_after).transpose()?;
                let list = List {
                    page_size,
                    start_after: start_after.map(str::to_owned),
                    bucket: arguments::bucket(&bucket)?.to_owned(),
                    values: verb != "list_keys",
                };
                let name = arguments::backend(&backend)?;
                Ok(
                    move |store: &Arc<Store>, cancel, reply: Reply<(Left, Option<String>)>| {
                        // Sorted out by the engine's thread: there may be many.
                        let sorted = Reply::new(move |page: Result<Listing>| {
                            reply.give(page.map(|page| sort_out(verb, page)));
                        });
                        store.list_later(name, &list, cancel, sorted);
                    },
                )
            },
            |py, (left, next_marker)| to_python(py, Slices::new(left, next_marker)),
        )
    }

    /// Refuses what `iter_messages` could not do, before its first record.
    fn check_iter(
        &self,
        py: Python<'_>,
        bucket: Given<'_>,
        backend: Given<'_>,
        page_size: Given<'_>,
    ) -> PyResult<()> {
        let name = arguments::backend(&backend)?;
        arguments::bucket(&bucket)?;
        arguments::page_size(&page_size, 1000)?;
        let open = self.db.bind(py).get().open(py)?;
        outcome(py, open.store.check(name, "", 0))
    }

    /// Whether a page that failed so would fail again: then its records come one by one.
    #[staticmethod]
    fn is_for_good(error: Bound<'_, PyAny>) -> bool {
        let py = error.py();
        errors::is_for_good(py, &PyErr::from_value(error))
    }

    /// As `DB.tether`; it makes coroutine functions.
    fn tether<'py>(
        &self,
        py: Python<'py>,
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
        options.decorate(self.db.bind(py), true)
    }

    fn ping(
        &self,
        post: &Bound<'_, Post>,
        future: &Bound<'_, PyAny>,
        backend: Given<'_>,
    ) -> PyResult<u64> {
        let caller = Caller::new(post, future, "ping");
        self.begin(
            &caller,
            RAISES,
            |_| {
                let name = arguments::backend(&backend)?;
                Ok(move |store: &Arc<Store>, cancel, reply| store.ping_later(name, cancel, reply))
            },
            |py, took: std::time::Duration| to_python(py, took.as_secs_f64()),
        )
    }

    fn flush(
        &self,
        post: &Bound<'_, Post>,
        future: &Bound<'_, PyAny>,
        timeout: Optional<'_, '_>,
    ) -> PyResult<u64> {
        let caller = Caller::new(post, future, "flush");
        self.begin(
            &caller,
            RAISES,
            |_| {
                let deadline = arguments::deadline(timeout)?;
                Ok(move |store: &Arc<Store>, cancel, reply| {
                    store.flush_later(deadline, cancel, reply);
                })
            },
            nothing,
        )
    }

    fn stop(
        &self,
        post: &Bound<'_, Post>,
        future: &Bound<'_, PyAny>,
        timeout: Optional<'_, '_>,
    ) -> PyResult<u64> {
        let caller = Caller::new(post, future, "stop");
        self.begin(
            &caller,
            RAISES,
            |_| {
                let deadline = arguments::deadline(timeout)?;
                Ok(move |store: &Arc<Store>, cancel, reply| {
                    store.stop_later(deadline, cancel, reply);
                })
            },
            nothing,
        )
    }

    /// `raises`: also where errors are only logged, as entering a `with` block does.
    fn start(
        &self,
        post: &Bound<'_, Post>,
        future: &Bound<'_, PyAny>,
        raises: bool,
    ) -> PyResult<u64> {
        let caller = Caller::new(post, future, "start");
        let work = |_: &Bound<'_, DB>| {
            Ok(|store: &Arc<Store>, cancel: Arc<Cancel>, reply| {
                store.errand_later(reply, move |store| store.start(&*cancel));
            })
        };
        let fallback = if raises { RAISES } else { NONE };
        self.begin(&caller, fallback, work, nothing)
    }

    fn stats(&self, post: &Bound<'_, Post>, future: &Bound<'_, PyAny>) -> PyResult<u64> {
        let caller = Caller::new(post, future, "stats");
        let work = |_: &Bound<'_, DB>| {
            Ok(|store: &Arc<Store>, _, reply| {
                store.errand_later(reply, |store| Ok(store.stats()));
            })
        };
        self.begin(&caller, RAISES, work, |py, all| {
            Ok(accounts(py, all)?.into_any().unbind())
        })
    }

    fn failed_messages(
        &self,
        post: &Bound<'_, Post>,
        future: &Bound<'_, PyAny>,
        backend: Optional<'_, '_>,
    ) -> PyResult<u64> {
        let caller = Caller::new(post, future, "failed_messages");
        self.begin(
            &caller,
            NONE,
            |_| {
                let name = DB::some_backend(backend)?;
                Ok(errand(name, |store, name, cancel| {
                    store.failed_messages(name, cancel)
                }))
            },
            |py, failed: Vec<_>| to_python(py, Slices::new(Left::Failed(failed.into()), None)),
        )
    }

    fn retry_failed(
        &self,
        post: &Bound<'_, Post>,
        future: &Bound<'_, PyAny>,
        backend: Optional<'_, '_>,
    ) -> PyResult<u64> {
        let caller = Caller::new(post, future, "retry_failed");
        self.begin(
            &caller,
            ZERO,
            |_| {
                let name = DB::some_backend(backend)?;
                Ok(errand(name, |store, name, cancel| {
                    store.retry_failed(name, cancel)
                }))
            },
            to_python::<usize>,
        )
    }

    fn drop_failed(
        &self,
        post: &Bound<'_, Post>,
        future: &Bound<'_, PyAny>,
        backend: Optional<'_, '_>,
    ) -> PyResult<u64> {
        let caller = Caller::new(post, future, "drop_failed");
        self.begin(
            &caller,
            ZERO,
            |_| {
                let name = DB::some_backend(backend)?;
                Ok(errand(name, |store, name, cancel| {
                    store.drop_failed(name, cancel)
                }))
            },
            to_python::<usize>,
        )
    }
}

/// What of a page the verb gives.
fn sort_out(verb: &str, page: Listing) -> (Left, Option<String>) {
    let entries = page.entries.into_iter();
    let left = match verb {
        "list_keys" => Left::Texts(entries.map(|(key, _)| key).collect()),
        "list_messages" => Left::Texts(entries.map(|(_, text)| text).collect()),
        _ => Left::Messages(entries.collect()),
    };
    (left, page.next_marker)
}
