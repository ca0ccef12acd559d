//! The Python face: the only folder that knows pyo3. It converts, validates and hands on; nothing else.

// The documentation of classes and methods in here is what Python's `help` shows: plain text and doctests.
#![allow(
    clippy::doc_markdown,
    clippy::doc_lazy_continuation,
    clippy::doc_link_with_quotes
)]

mod arguments;
mod calls;
mod config;
mod db;
mod errors;
mod events;
mod gate;
mod handle;
mod iterator;
mod json;
mod logging;
mod receipt;
mod records;
mod runtime;

use pyo3::prelude::*;

/// The extension module; `TetherDB/__init__.py` gives it its public name.
#[pymodule(name = "_tetherdb")]
mod tetherdb_module {
    use super::{Bound, PyModule, PyModuleMethods, PyResult, runtime};

    #[pymodule_export]
    use super::db::DB;
    #[pymodule_export]
    use super::iterator::MessageIterator;
    #[pymodule_export]
    use super::receipt::Receipt;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        runtime::watch_fork(module.py())
    }
}
