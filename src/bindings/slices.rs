//! Large arguments and large results, a slice at a time: an event loop is never kept for long.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::calls::Items;
use super::post::SLICE;
use super::{arguments, json};
use crate::executor;
use crate::message::{Failed, Message};
use crate::wait;

/// After so many items the clock is looked at.
const LOOK: usize = 16;

/// What has had room for more than these is let go of elsewhere.
const FEW: usize = 1000;

/// The messages or keys of an iterable, checked and made into what the engine takes.
#[pyclass(module = "TetherDB._tetherdb", frozen)]
pub(super) struct Gathering {
    iterator: Py<PyAny>,
    bucket: String,
    gathered: Mutex<Gathered>,
}

/// What has been gathered.
pub(super) enum Gathered {
    Messages(Vec<Message>),
    Keys(Vec<String>),
}

impl Gathering {
    pub(super) fn of_messages(bucket: &str, items: &Bound<'_, PyAny>) -> PyResult<Self> {
        let pairs = arguments::pairs(items)?;
        Ok(Self::new(bucket, pairs, Gathered::Messages(Vec::new())))
    }

    pub(super) fn of_keys(bucket: &str, keys: &Bound<'_, PyAny>) -> PyResult<Self> {
        let keys = arguments::key_items(keys)?;
        Ok(Self::new(bucket, keys, Gathered::Keys(Vec::new())))
    }

    fn new(bucket: &str, items: Items<'_>, gathered: Gathered) -> Self {
        Self {
            iterator: items.0.unbind(),
            bucket: bucket.to_owned(),
            gathered: Mutex::new(gathered),
        }
    }

    pub(super) fn messages(&self) -> Vec<Message> {
        match &mut *wait::lock(&self.gathered) {
            Gathered::Messages(messages) => std::mem::take(messages),
            Gathered::Keys(_) => Vec::new(),
        }
    }

    pub(super) fn keys(&self) -> Vec<String> {
        match &mut *wait::lock(&self.gathered) {
            Gathered::Keys(keys) => std::mem::take(keys),
            Gathered::Messages(_) => Vec::new(),
        }
    }

    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }
}

/// A call that was given up may leave hundreds of thousands here.
impl Drop for Gathering {
    fn drop(&mut self) {
        match std::mem::replace(&mut *wait::lock(&self.gathered), Gathered::Keys(Vec::new())) {
            Gathered::Messages(left) if left.capacity() > FEW => executor::let_go(left),
            Gathered::Keys(left) if left.capacity() > FEW => executor::let_go(left),
            _ => {}
        }
    }
}

#[pymethods]
impl Gathering {
    /// Takes more of the items; whether any are left.
    fn step(&self, py: Python<'_>) -> PyResult<bool> {
        let begun = Instant::now();
        // The iterator may run anybody's code, so nothing is locked meanwhile.
        let taken = std::mem::replace(&mut *wait::lock(&self.gathered), Gathered::Keys(Vec::new()));
        let mut items = Items(self.iterator.bind(py).clone());
        let (taken, more) = match taken {
            Gathered::Messages(mut messages) => {
                let more = take(&mut items, begun, &mut messages, |at, pair| {
                    arguments::message_of_pair(&self.bucket, at, pair)
                });
                (Gathered::Messages(messages), more)
            }
            Gathered::Keys(mut keys) => {
                let more = take(&mut items, begun, &mut keys, |at, item| {
                    arguments::key_of_item(&self.bucket, at, item)
                });
                (Gathered::Keys(keys), more)
            }
        };
        *wait::lock(&self.gathered) = taken;
        more
    }
}

fn take<'py, T>(
    items: &mut Items<'py>,
    begun: Instant,
    taken: &mut Vec<T>,
    make: impl Fn(usize, &Bound<'py, PyAny>) -> PyResult<T>,
) -> PyResult<bool> {
    for item in items {
        taken.push(make(taken.len(), &item?)?);
        if taken.len().is_multiple_of(LOOK) && begun.elapsed() > SLICE {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a verb has found.
#[pyclass(module = "TetherDB._tetherdb", frozen)]
pub(super) struct Slices {
    left: Mutex<Left>,
    /// Where the next page of a list starts.
    #[pyo3(get)]
    next_marker: Option<String>,
}

pub(super) enum Left {
    /// Keys and stored texts: `(key, value)`.
    Messages(VecDeque<(String, String)>),
    /// `str`
    Texts(VecDeque<String>),
    /// `(key, value, backend, error text)`
    Failed(VecDeque<Failed>),
}

impl Slices {
    pub(super) fn new(left: Left, next_marker: Option<String>) -> Self {
        Self {
            left: Mutex::new(left),
            next_marker,
        }
    }
}

/// Also when nothing is left: the memory of what was given out returns to the system with this.
impl Drop for Slices {
    fn drop(&mut self) {
        match std::mem::replace(&mut *wait::lock(&self.left), Left::Texts(VecDeque::new())) {
            Left::Messages(left) if left.capacity() > FEW => executor::let_go(left),
            Left::Texts(left) if left.capacity() > FEW => executor::let_go(left),
            Left::Failed(left) if left.capacity() > FEW => executor::let_go(left),
            _ => {}
        }
    }
}

#[pymethods]
impl Slices {
    /// Puts more into `target`, a dict of messages or a list of the others; whether anything is left.
    fn step(&self, target: &Bound<'_, PyAny>) -> PyResult<bool> {
        let (py, begun) = (target.py(), Instant::now());
        let mut count = 0_usize;
        loop {
            let more = match &*wait::lock(&self.left) {
                Left::Messages(left) => !left.is_empty(),
                Left::Texts(left) => !left.is_empty(),
                Left::Failed(left) => !left.is_empty(),
            };
            if !more || (count % LOOK == LOOK - 1 && begun.elapsed() > SLICE) {
                return Ok(more);
            }
            count += 1;
            if let Ok(dict) = target.cast::<PyDict>() {
                if let Some((key, value)) = self.pop(py)? {
                    dict.set_item(key, value)?;
                }
            } else {
                self.append(target.cast::<PyList>()?)?;
            }
        }
    }

    /// The next message; `None` after the last.
    fn pop<'py>(&self, py: Python<'py>) -> PyResult<Option<(String, Bound<'py, PyAny>)>> {
        let next = match &mut *wait::lock(&self.left) {
            Left::Messages(left) => left.pop_front(),
            Left::Texts(_) | Left::Failed(_) => None,
        };
        next.map(|(key, text)| Ok((key, json::decode(py, &text)?)))
            .transpose()
    }
}

impl Slices {
    fn append(&self, list: &Bound<'_, PyList>) -> PyResult<()> {
        let (text, failed) = match &mut *wait::lock(&self.left) {
            Left::Texts(left) => (left.pop_front(), None),
            Left::Failed(left) => (None, left.pop_front()),
            Left::Messages(_) => (None, None),
        };
        if let Some(text) = text {
            list.append(text)?;
        }
        if let Some(failed) = failed {
            let value = json::decode(list.py(), failed.message.value())?;
            let (key, text) = (failed.message.key(), failed.error.to_string());
            list.append((key, value, failed.backend.as_str(), text))?;
        }
        Ok(())
    }
}
