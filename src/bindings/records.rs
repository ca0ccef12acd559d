//! What `mapping` and the command line stand on: the verbs of one bucket, which raise whatever `errors` says.
//! `mapping[key] = value` has no result that could tell of a failure, and a `KeyError` for a server that is down would
//! be a lie.

#![allow(clippy::needless_pass_by_value)] // pyo3 hands arguments over by value

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::arguments::Given;
use super::db::DB;
use super::iterator::MessageIterator;
use super::{arguments, errors, json};
use crate::message::{BackendName, Message, stored_key};

/// Keys with their texts, and where the next page starts.
type TextsPage = (Vec<(String, String)>, Option<String>);

/// The records of one bucket, for `TetherDB._mapping` and `TetherDB.cli`.
#[pyclass(module = "TetherDB._tetherdb", frozen)]
pub(super) struct Records {
    db: Py<DB>,
    backend: BackendName,
    bucket: String,
}

impl Records {
    /// # Errors
    /// The backend is not configured: better told here than at the first record.
    pub(super) fn new(db: &Bound<'_, DB>, backend: BackendName, bucket: &str) -> PyResult<Self> {
        let py = db.py();
        let checked = db.get().open(py)?.store.check(backend, "", 0);
        checked.map_err(|error| errors::to_python(py, &error))?;
        Ok(Self {
            db: db.clone().unbind(),
            backend,
            bucket: bucket.to_owned(),
        })
    }
}

#[pymethods]
impl Records {
    #[getter]
    fn bucket(&self) -> &str {
        &self.bucket
    }

    #[getter]
    fn backend(&self) -> &str {
        self.backend.as_str()
    }

    /// The value, or `None`, which is no value.
    fn read<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let keys = [stored_key(&self.bucket, arguments::key(key)?)];
        let found = self.db.get().run(py, |store, interrupt| {
            store.read(self.backend, &keys, interrupt)
        })?;
        let first = found.into_iter().next();
        first.map(|(_, text)| json::decode(py, &text)).transpose()
    }

    fn write(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let backend = self.backend;
        let message = arguments::message(&self.bucket, key, value)?;
        let size = message.size() / 1024;
        self.db.get().change(py, size, move |store, interrupt| {
            store.write(backend, message.clone(), interrupt)
        })
    }

    fn write_many(&self, py: Python<'_>, items: &Bound<'_, PyAny>) -> PyResult<usize> {
        let backend = self.backend;
        let messages = arguments::messages(&self.bucket, items)?;
        let size = messages.len() + messages.iter().map(Message::size).sum::<usize>() / 1024;
        self.db.get().change(py, size, move |store, interrupt| {
            store.write_many(backend, messages.clone(), interrupt)
        })
    }

    /// How many of the keys existed.
    fn delete(&self, py: Python<'_>, keys: &Bound<'_, PyAny>) -> PyResult<usize> {
        let backend = self.backend;
        let keys = arguments::keys(&self.bucket, keys)?;
        let size = keys.len();
        self.db.get().change(py, size, move |store, interrupt| {
            store.delete(backend, keys.clone(), interrupt)
        })
    }

    /// A page of keys, and where the next one starts.
    fn keys(
        &self,
        py: Python<'_>,
        page_size: usize,
        start_after: Option<String>,
    ) -> PyResult<(Vec<String>, Option<String>)> {
        let (backend, bucket) = (self.backend, self.bucket.clone());
        let db = self.db.get();
        let listing = db.run_sized(py, page_size, move |store, interrupt| {
            let after = start_after.as_deref();
            store.list(backend, &bucket, after, page_size, false, interrupt)
        })?;
        let keys = listing.entries.into_iter().map(|(key, _)| key).collect();
        Ok((keys, listing.next_marker))
    }

    /// A page of keys with the text that is stored, and where the next one starts. Copying needs no values, and a text
    /// that is written again is the same to the letter, which a value need not be.
    fn texts(
        &self,
        py: Python<'_>,
        page_size: usize,
        start_after: Option<String>,
    ) -> PyResult<TextsPage> {
        let (backend, bucket) = (self.backend, self.bucket.clone());
        let db = self.db.get();
        let listing = db.run_sized(py, page_size, move |store, interrupt| {
            let after = start_after.as_deref();
            store.list(backend, &bucket, after, page_size, true, interrupt)
        })?;
        Ok((listing.entries, listing.next_marker))
    }

    /// The text that is stored under each of the keys, `None` where there is none.
    fn read_texts(&self, py: Python<'_>, keys: &Bound<'_, PyAny>) -> PyResult<Vec<Option<String>>> {
        let keys = arguments::keys(&self.bucket, keys)?;
        let mut texts = vec![None; keys.len()];
        let (backend, size) = (self.backend, keys.len());
        let found = self.db.get().run_sized(py, size, move |store, interrupt| {
            store.read(backend, &keys, interrupt)
        })?;
        for (at, text) in found {
            texts[at] = Some(text);
        }
        Ok(texts)
    }

    fn items(&self, py: Python<'_>, page_size: usize) -> MessageIterator {
        MessageIterator::raising(self.db.clone_ref(py), self.backend, &self.bucket, page_size)
    }

    /// Part of a cycle where whoever keeps it is also told of errors; `DB` breaks it.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.db)
    }
}

/// The records of one bucket of one backend, for `TetherDB.cli`.
#[pyfunction]
pub(super) fn records(
    db: &Bound<'_, DB>,
    bucket: &Bound<'_, PyAny>,
    backend: &Bound<'_, PyAny>,
) -> PyResult<Records> {
    let (bucket, backend) = (Given::Value(bucket.clone()), Given::Value(backend.clone()));
    let bucket = arguments::bucket(&bucket)?;
    Records::new(db, arguments::backend(&backend)?, bucket)
}
