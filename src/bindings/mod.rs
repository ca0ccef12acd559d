//! The Python face: the only folder that knows pyo3. It converts, validates and hands on; nothing else.

// The documentation of classes and methods in here is what Python's `help` shows: plain text and doctests.
#![allow(
    clippy::doc_markdown,
    clippy::doc_lazy_continuation,
    clippy::doc_link_with_quotes
)]

mod about;
mod arguments;
mod async_call;
mod async_verbs;
mod calls;
mod config;
mod db;
mod errors;
mod events;
mod gate;
mod handle;
mod inspect;
mod iterator;
mod json;
mod logging;
mod post;
mod receipt;
mod records;
mod runtime;
mod slices;

use std::sync::atomic::{AtomicI64, Ordering};

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

/// The extension module; `TetherDB/__init__.py` gives it its public name.
///
/// `gil_used`: a free-threaded interpreter turns its lock on when it imports this. What is here has not been read and
/// tested for running without one; on all others it means nothing.
#[pymodule(name = "_tetherdb", gil_used = true)]
mod tetherdb_module {
    use super::{Bound, PyModule, PyModuleMethods, PyResult, one_interpreter, runtime};

    #[pymodule_export]
    use super::async_verbs::AsyncVerbs;
    #[pymodule_export]
    use super::config::config_schema;
    #[pymodule_export]
    use super::db::DB;
    #[pymodule_export]
    use super::inspect::{drop_failed_from_journal, inspect_config, look_into_journal};
    #[pymodule_export]
    use super::iterator::MessageIterator;
    #[pymodule_export]
    use super::post::Post;
    #[pymodule_export]
    use super::receipt::Receipt;
    #[pymodule_export]
    use super::records::records;
    #[pymodule_export]
    use super::slices::{Gathering, Slices};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        one_interpreter(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        runtime::watch_fork(module.py())
    }
}

/// Refuses to be imported by a second interpreter of the process: classes, exceptions and hooks are kept once for the
/// process, and belong to the first. Since 3.12 Python refuses most of these by itself.
fn one_interpreter(py: Python<'_>) -> PyResult<()> {
    static FIRST: AtomicI64 = AtomicI64::new(-1);
    // SAFETY: attached, so that there is a current interpreter; -1 comes with an exception.
    let current = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    if current < 0 {
        return Err(PyErr::fetch(py));
    }
    match FIRST.compare_exchange(-1, current, Ordering::SeqCst, Ordering::SeqCst) {
        Err(first) if first != current => Err(PyImportError::new_err(
            "TetherDB works in one interpreter of a process, and another one has imported it before: use threads or \
             processes, not subinterpreters.",
        )),
        _ => Ok(()),
    }
}
