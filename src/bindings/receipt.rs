//! `TetherDB.Receipt`: how one queued message ended.

use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::calls::{self, Calls};
use super::errors;
use super::events::Channel;
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
    channel: Arc<Channel>,
    generation: u64,
}

impl Receipt {
    pub(super) fn new(inner: queue::Receipt, channel: Arc<Channel>) -> Self {
        Self {
            inner,
            channel,
            generation: process::generation(),
        }
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

    fn __await__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.check_owner()?;
        let event_loop = calls::import(py, "asyncio")?.run_method("get_running_loop", ())?;
        let future = event_loop.run_method("create_future", ())?;
        let (loop_handle, future_handle) = (event_loop.unbind(), future.clone().unbind());
        let (receipt, channel) = (self.inner.clone(), Arc::clone(&self.channel));
        self.inner.on_settled(move || {
            channel.call(Box::new(move |py| {
                let resolve = resolve(py, &receipt, &future_handle)?;
                // A closed loop has nobody left who waits.
                let _ = loop_handle
                    .bind(py)
                    .run_method("call_soon_threadsafe", (resolve,));
                Ok(())
            }));
        });
        future.run_method("__await__", ())
    }

    fn __repr__(&self) -> &'static str {
        match self.outcome() {
            None => "<TetherDB.Receipt: pending>",
            Some(Ok(())) => "<TetherDB.Receipt: delivered>",
            Some(Err(_)) => "<TetherDB.Receipt: given up>",
        }
    }
}

/// A callable for the event loop that gives the future its result, unless it was cancelled meanwhile.
fn resolve<'py>(
    py: Python<'py>,
    receipt: &queue::Receipt,
    future: &Py<PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let outcome = match receipt.outcome() {
        Some(Err(error)) => Some(errors::to_python(py, &error).into_value(py).into_any()),
        _ => None,
    };
    let settle = Settle {
        future: future.clone_ref(py),
        outcome,
    };
    Ok(Bound::new(py, settle)?.into_any())
}

#[pyclass(frozen)]
struct Settle {
    future: Py<PyAny>,
    outcome: Option<Py<PyAny>>,
}

#[pymethods]
impl Settle {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let future = self.future.bind(py);
        if future.run_method("done", ())?.is_truthy()? {
            return Ok(());
        }
        match &self.outcome {
            None => future.run_method("set_result", (true,))?,
            Some(error) => future.run_method("set_exception", (error,))?,
        };
        Ok(())
    }
}
