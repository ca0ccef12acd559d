//! What `iter_messages` gives: pages are fetched as they are needed.

use std::collections::VecDeque;
use std::sync::Mutex;

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::about::About;
use super::db::DB;
use super::{errors, json};
use crate::message::BackendName;
use crate::store::Listing;
use crate::wait;

/// A lazy iterator of `(key, value)` pairs, from ``DB.iter_messages``.
#[pyclass(module = "TetherDB", frozen)]
pub(super) struct MessageIterator {
    db: Py<DB>,
    backend: BackendName,
    bucket: String,
    page_size: usize,
    /// It raises, whatever `errors` says.
    raises: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    page: VecDeque<(String, String)>,
    /// Where the next page starts.
    marker: Option<String>,
    exhausted: bool,
    /// A call is fetching a page; another one would fetch the same.
    busy: bool,
    /// A page failed for good: so many records come one at a time, so that all before the one at fault come out.
    careful: usize,
}

impl MessageIterator {
    pub(super) fn new(db: Py<DB>, backend: BackendName, bucket: &str, page_size: usize) -> Self {
        Self {
            db,
            backend,
            bucket: bucket.to_owned(),
            page_size,
            raises: false,
            state: Mutex::default(),
        }
    }

    /// One that raises, whatever `errors` says.
    pub(super) fn raising(
        db: Py<DB>,
        backend: BackendName,
        bucket: &str,
        page_size: usize,
    ) -> Self {
        Self {
            raises: true,
            ..Self::new(db, backend, bucket, page_size)
        }
    }

    /// What a failing `iter_messages` gives where errors are only logged.
    pub(super) fn empty(db: Py<DB>) -> Self {
        let iterator = Self::new(db, BackendName::Local, "", 1);
        wait::lock(&iterator.state).exhausted = true;
        iterator
    }

    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<(String, Bound<'py, PyAny>)>> {
        let Some((key, text)) = self.next_entry(py)? else {
            return Ok(None);
        };
        Ok(Some((key, json::decode(py, &text)?)))
    }

    fn next_entry(&self, py: Python<'_>) -> PyResult<Option<(String, String)>> {
        let (marker, careful) = {
            let mut state = wait::lock(&self.state);
            if state.busy {
                return Err(PyValueError::new_err(
                    "this iterator is in use by another call. Give each thread its own iter_messages().",
                ));
            }
            if let Some(entry) = state.page.pop_front() {
                return Ok(Some(entry));
            }
            if state.exhausted {
                return Ok(None);
            }
            state.busy = true;
            (state.marker.clone(), state.careful)
        };
        let fetched = self.fetch(py, marker.as_deref(), careful);
        let mut state = wait::lock(&self.state);
        state.busy = false;
        let listing = fetched?;
        state.exhausted = listing.next_marker.is_none();
        state.marker = listing.next_marker;
        state.page = listing.entries.into();
        Ok(state.page.pop_front())
    }

    fn fetch(&self, py: Python<'_>, marker: Option<&str>, careful: usize) -> PyResult<Listing> {
        let page = |size| {
            let db = self.db.get();
            db.page(py, self.backend, &self.bucket, marker, size)
        };
        if careful > 0 {
            let one = page(1)?;
            wait::lock(&self.state).careful = careful - 1;
            return Ok(one);
        }
        match page(self.page_size) {
            Err(error) if errors::is_for_good(py, &error) => {
                wait::lock(&self.state).careful = self.page_size;
                page(1)
            }
            other => other,
        }
    }
}

#[pymethods]
impl MessageIterator {
    /// Part of a cycle where whoever keeps the iterator is also told of errors; `DB` breaks it.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.db)
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<(String, Bound<'py, PyAny>)>> {
        if self.raises {
            return self.next(py);
        }
        // Its errors are those of its backend, which say so themselves.
        let about = About::default();
        let db = self.db.get();
        db.settle(py, "iter_messages", about, self.next(py), || {
            wait::lock(&self.state).exhausted = true;
            None
        })
    }
}
