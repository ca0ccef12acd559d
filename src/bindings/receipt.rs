//! `TetherDB.Receipt`: how one queued message ended.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::calls::{self, Calls};
use super::errors;
use super::{arguments, runtime};
use crate::{process, queue};

/// Tells how one queued message ended.
///
/// ``write_queue_message(..., receipt=True)`` gives one. It can be awaited in a coroutine:
/// ``await receipt`` gives True once the message is delivered, and raises why it failed otherwise.
///
/// >>> import TetherDB
/// >>> with TetherDB.DB() as db:
/// ...     receipt = db.write_queue_message("key", {"a": 1}, receipt=True)
/// ...     db.flush()
/// ...     receipt.done()
/// True
#[pyclass(module = "TetherDB", frozen)]
pub(super) struct Receipt {
    inner: queue::Receipt,
    generation: u64,
}

impl Receipt {
    pub(super) fn new(inner: queue::Receipt) -> Self {
        Self {
            inner,
            generation: process::generation(),
        }
    }

    pub(super) fn inner(&self) -> &queue::Receipt {
        &self.inner
    }

    fn outcome(&self) -> Option<crate::error::Result<()>> {
        if self.generation == process::generation() {
            self.inner.outcome()
        } else {
            self.inner.try_outcome()
        }
    }

    /// A receipt that a `fork` has copied will never hear of its message, which is the parent's.
    fn check_owner(&self) -> PyResult<()> {
        if self.generation == process::generation() || self.outcome().is_some() {
            return Ok(());
        }
        Err(PyRuntimeError::new_err(
            "this receipt was made before fork: its message is the parent process's to deliver. Ask there.",
        ))
    }
}

#[pymethods]
impl Receipt {
    /// Whether the message has been delivered or given up. Never waits.
    ///
    /// >>> receipt.done()  # doctest: +SKIP
    /// True
    fn done(&self) -> bool {
        self.outcome().is_some()
    }

    /// Wait until the message is delivered or given up.
    ///
    /// timeout: seconds (float), or None for as long as it takes.
    ///
    /// Returns True once it is delivered, False if the timeout passed first. Raises the error for which
    /// it was given up; ValueError for a negative timeout; KeyboardInterrupt on Ctrl-C.
    ///
    /// >>> receipt.wait(timeout=5)  # doctest: +SKIP
    /// True
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        self.check_owner()?;
        let deadline = arguments::deadline(timeout)?;
        let inner = &self.inner;
        match runtime::detached(py, |interrupt| inner.wait(deadline, interrupt))? {
            None => Ok(false),
            Some(Ok(())) => Ok(true),
            Some(Err(error)) => Err(errors::to_python(py, &error)),
        }
    }

    /// Why the message was given up; None if it was delivered or has not ended. Never waits.
    ///
    /// >>> receipt.exception()  # doctest: +SKIP
    fn exception(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match self.outcome() {
            Some(Err(error)) => Some(errors::to_python(py, &error).into_value(py).into_any()),
            _ => None,
        }
    }

    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        static WAIT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = slf.py();
        slf.get().check_owner()?;
        calls::imported(py, &WAIT, "TetherDB._loops", "wait_for")?.run((slf,))
    }

    fn __repr__(&self) -> &'static str {
        match self.outcome() {
            None => "<TetherDB.Receipt: pending>",
            Some(Ok(())) => "<TetherDB.Receipt: delivered>",
            Some(Err(_)) => "<TetherDB.Receipt: given up>",
        }
    }
}
