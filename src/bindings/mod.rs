//! The Python face: the only folder that knows pyo3. It converts, validates and hands on; nothing else.

// The documentation of classes and methods in here is what Python's `help` shows: plain text and doctests.
#![allow(
    clippy::doc_markdown,
    clippy::doc_lazy_continuation,
    clippy::doc_link_with_quotes
)]

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
mod iterator;
mod json;
mod logging;
mod post;
mod receipt;
mod records;
mod runtime;
mod slices;

use pyo3::prelude::*;

/// The extension module; `TetherDB/__init__.py` gives it its public name.
#[pymodule(name = "_tetherdb")]
mod tetherdb_module {
    use super::{Bound, PyModule, PyModuleMethods, PyResult, runtime};

    #[pymodule_export]
    use super::async_verbs::AsyncVerbs;
    #[pymodule_export]
    use super::config::config_schema;
    #[pymodule_export]
    use super::db::DB;
    #[pymodule_export]
    use super::iterator::MessageIterator;
    #[pymodule_export]
    use super::post::Post;
    #[pymodule_export]
    use super::receipt::Receipt;
    #[pymodule_export]
    use super::slices::{Gathering, Slices};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        runtime::watch_fork(module.py())
    }
}
