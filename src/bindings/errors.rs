//! The one place that makes Python exceptions of the engine's errors.

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyType};

use super::calls::{self, Calls};
use super::json;
use crate::error::{Error, Kind};
use crate::message::{BackendName, Failed};

/// The exception classes live in Python, where a class can have two bases.
fn class(py: Python<'_>, kind: Kind) -> PyResult<Bound<'_, PyType>> {
    static MODULE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let name = match kind {
        Kind::Config => "ConfigError",
        Kind::NotConfigured => "BackendNotConfigured",
        Kind::Limit => "LimitExceeded",
        Kind::QueueFull => "QueueFull",
        Kind::FlushTimeout => "FlushTimeout",
        Kind::Delivery => "DeliveryError",
        Kind::Timeout => "OperationTimeout",
        Kind::Unavailable => "Unavailable",
        Kind::Authentication => "AuthenticationFailed",
        Kind::Throttled => "Throttled",
        Kind::TableMissing => "TableMissing",
        Kind::Corrupt => "CorruptStore",
        Kind::Backend | Kind::Interrupted | Kind::Value => "BackendError",
    };
    let classes = calls::imported(py, &MODULE, "TetherDB._exceptions", "__dict__")?;
    Ok(classes.get_item(name)?.cast_into::<PyType>()?)
}

/// The exception for an error.
pub(super) fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    build(py, error).unwrap_or_else(|failure| failure)
}

fn build(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let text = error.to_string();
    let class = match error.kind() {
        Kind::Value => return Ok(PyValueError::new_err(text)),
        // Whoever was interrupted raises what the signal handler raised, not this.
        Kind::Interrupted => return Ok(PyRuntimeError::new_err(text)),
        kind => class(py, kind)?,
    };
    let exception = match error.kind() {
        Kind::Delivery => class.run((text, failed_list(py, error.failed())?))?,
        Kind::Backend
        | Kind::Timeout
        | Kind::Unavailable
        | Kind::Authentication
        | Kind::Throttled
        | Kind::TableMissing
        | Kind::Corrupt => {
            let backend = error.backend_name().map(BackendName::as_str);
            class.run((text, backend, error.retryable()))?
        }
        _ => class.run((text,))?,
    };
    Ok(PyErr::from_value(exception))
}

/// Whether a backend failed, and would fail again.
pub(super) fn is_for_good(py: Python<'_>, error: &PyErr) -> bool {
    let retryable = || {
        let retryable = error.value(py).attribute("retryable")?;
        retryable.extract::<bool>()
    };
    class(py, Kind::Backend).is_ok_and(|class| error.matches(py, class).unwrap_or(false))
        && !retryable().unwrap_or(true)
}

/// `[(key, value, backend, exception), ...]`
fn failed_list<'py>(py: Python<'py>, failed: &[Failed]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for failed in failed {
        let exception = to_python(py, &failed.error).into_value(py);
        list.append((
            failed.message.key(),
            json::decode(py, failed.message.value())?,
            failed.backend.as_str(),
            exception,
        ))?;
    }
    Ok(list)
}
