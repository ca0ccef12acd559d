//! How a verb of `AsyncDB` begins, and what becomes of its outcome.

#![allow(clippy::needless_pass_by_value)] // as in `async_verbs`

use std::sync::Arc;

use pyo3::BoundObject;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt};

use super::about::{About, Known};
use super::arguments::{self, Given};
use super::async_verbs::AsyncVerbs;
use super::calls::Calls;
use super::db::DB;
use super::post::{Post, outcome};
use crate::backend::Change;
use crate::error::Result;
use crate::message::BackendName;
use crate::reply::Reply;
use crate::store::Store;
use crate::wait::Cancel;

/// Who waits for a call: the post of the running loop, and a future of it.
pub(super) struct Caller<'a, 'py> {
    post: &'a Bound<'py, Post>,
    future: &'a Bound<'py, PyAny>,
    verb: &'static str,
    about: About<'a, 'py>,
}

impl<'a, 'py> Caller<'a, 'py> {
    pub(super) fn new(
        post: &'a Bound<'py, Post>,
        future: &'a Bound<'py, PyAny>,
        verb: &'static str,
    ) -> Self {
        Self {
            post,
            future,
            verb,
            about: About::default(),
        }
    }

    /// What the call is about.
    pub(super) fn about(self, about: About<'a, 'py>) -> Self {
        Self { about, ..self }
    }
}

/// What a failing verb gives where errors are only logged.
pub(super) type Fallback = Option<fn(Python<'_>) -> Py<PyAny>>;

pub(super) const FALSE: Fallback = Some(|py| PyBool::new(py, false).to_owned().into_any().unbind());
pub(super) const ZERO: Fallback = Some(|py| PyInt::new(py, 0).into_any().unbind());
pub(super) const NONE: Fallback = Some(none);
/// It always raises.
pub(super) const RAISES: Fallback = None;

impl AsyncVerbs {
    /// Begins what `prepare` gives, and settles the future with what `give` makes of its outcome. What `prepare` raises is
    /// settled at once. Gives the number of the call, zero where it is over already.
    pub(super) fn begin<T, W>(
        &self,
        caller: &Caller<'_, '_>,
        fallback: Fallback,
        prepare: impl FnOnce(&Bound<'_, DB>) -> PyResult<W>,
        give: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<u64>
    where
        T: Send + 'static,
        W: FnOnce(&Arc<Store>, Arc<Cancel>, Reply<T>) + Send,
    {
        let py = caller.future.py();
        let db = self.db.bind(py);
        let verb = caller.verb;
        let prepared = prepare(db).and_then(|work| Ok((work, db.get().open(py)?)));
        let (work, open) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                let value = settle(db, verb, caller.about.known(), Err(error), fallback)?;
                caller.future.run_method("set_result", (value,))?;
                return Ok(0);
            }
        };
        let channel = Arc::clone(&open.channel);
        let known = caller.about.known_for_log(&open);
        let (number, cancel, reply) =
            caller
                .post
                .get()
                .expect_outcome(db, channel, verb, caller.future, move |db, found| {
                    let py = db.py();
                    let found = outcome(py, found).and_then(|found| give(py, found));
                    settle(db, verb, known, found, fallback)
                });
        let store = &open.store;
        py.detach(|| work(store, cancel, reply));
        Ok(number)
    }

    pub(super) fn change<T>(
        &self,
        caller: &Caller<'_, '_>,
        fallback: Fallback,
        backend: &Given<'_>,
        prepare: impl FnOnce() -> PyResult<Change>,
        give: impl FnOnce(usize) -> T + Send + 'static,
    ) -> PyResult<u64>
    where
        T: for<'py> IntoPyObject<'py>,
    {
        self.begin(
            caller,
            fallback,
            |_| {
                let name = arguments::backend(backend)?;
                let change = prepare()?;
                Ok(move |store: &Arc<Store>, cancel, reply| {
                    store.change_later(name, change, cancel, reply);
                })
            },
            move |py, count| to_python(py, give(count)),
        )
    }
}

/// What a verb gives or raises, as `errors` says.
pub(super) fn settle(
    db: &Bound<'_, DB>,
    verb: &str,
    known: Known,
    outcome: PyResult<Py<PyAny>>,
    fallback: Fallback,
) -> PyResult<Py<PyAny>> {
    let py = db.py();
    match (outcome, fallback) {
        (Err(error), Some(fallback)) => db
            .get()
            .settle_soon(py, verb, known, error, || fallback(py)),
        (outcome, _) => outcome,
    }
}

pub(super) fn to_python<T: for<'py> IntoPyObject<'py>>(
    py: Python<'_>,
    value: T,
) -> PyResult<Py<PyAny>> {
    let value = value.into_pyobject(py).map_err(Into::into)?;
    Ok(value.into_any().unbind())
}

fn none(py: Python<'_>) -> Py<PyAny> {
    py.None()
}

#[expect(clippy::unnecessary_wraps, reason = "as the other conversions are")]
pub(super) fn nothing(py: Python<'_>, (): ()) -> PyResult<Py<PyAny>> {
    Ok(py.None())
}

/// A verb of the queue about one backend, or all.
pub(super) fn errand<T: Send + 'static>(
    name: Option<BackendName>,
    work: fn(&Store, Option<BackendName>, &Cancel) -> Result<T>,
) -> impl FnOnce(&Arc<Store>, Arc<Cancel>, Reply<T>) + Send {
    move |store, cancel, reply| {
        store.errand_later(reply, move |store| work(store, name, &cancel));
    }
}
