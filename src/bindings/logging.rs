//! Python's `logging`: one line, and the handler where nobody has set one up.
//!
//! No verb imports the module, and no line does. It takes ten times as long as opening a `DB`; and a child forked
//! while one of its parent's threads imports a module waits for ever when it needs the same. Until the program has
//! imported it nobody can have set it up, so that a line goes where logging would write it then.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::{PyException, PyKeyError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{ffi, intern};

use super::calls::{self, Calls};
use super::{gate, runtime};
use crate::message::BackendName;
use crate::queue::{Level, LogLine};

/// The module, once the program has imported it to the end. Waits for nobody who is at it. Asked at every queued write, in
/// programs that never import it.
#[inline]
pub(super) fn loaded(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let name = intern!(py, "logging").as_ptr();
    // SAFETY: attached; what is found is borrowed, and nothing runs before it is made an owned reference.
    let module = unsafe {
        let found = ffi::PyDict_GetItemWithError(ffi::PyImport_GetModuleDict(), name);
        if found.is_null() && ffi::PyErr_Occurred().is_null() {
            return Ok(None);
        }
        Bound::from_borrowed_ptr_or_opt(py, found)
    };
    to_its_end(py, module)
}

fn to_its_end<'py>(
    py: Python<'py>,
    module: Option<Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if module.is_none()
        && let Some(error) = PyErr::take(py)
    {
        return Err(error);
    }
    match module {
        // Its last function, made when it has registered what it does at the end of the program.
        Some(module) if module.some_attribute("captureWarnings")?.is_some() => Ok(Some(module)),
        _ => Ok(None),
    }
}

fn logger<'py>(logging: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    logging.run_method("getLogger", ("TetherDB",))
}

/// One line, in the calling thread.
pub(super) fn log(py: Python<'_>, line: &LogLine) -> PyResult<()> {
    // The program may have imported logging since the last verb.
    runtime::watch(py)?;
    gate::within(py, || {
        if FINISHED.load(Ordering::SeqCst) && !runtime::is_main_thread(py) {
            return Ok(());
        }
        let Some(logging) = loaded(py)? else {
            return last_resort(py, line.level, &line.text);
        };
        let method = match line.level {
            Level::Debug => "debug",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        // As an argument, not as the format: keys and values may hold percent signs.
        let method = logger(&logging)?.attribute(method)?;
        let (keywords, fields) = (PyDict::new(py), fields(py, line)?);
        keywords.set_item("extra", &fields)?;
        loop {
            match method.run_with(("%s", &line.text), Some(&keywords)) {
                Err(error) if give_way(py, &fields, &error)? => {}
                other => return other.map(drop),
            }
        }
    })
}

/// Attributes of every record, so that a format may name them: what the line is about, or `None`.
fn fields<'py>(py: Python<'py>, line: &LogLine) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("backend", line.backend.map(BackendName::as_str))?;
    fields.set_item("key", line.key.as_deref())?;
    fields.set_item("count", line.count)?;
    Ok(fields)
}

/// Where the program's own record factory has set one of the fields, logging refuses ours, before anything is logged: takes
/// out that one, and says whether to try again without it.
fn give_way(py: Python<'_>, fields: &Bound<'_, PyDict>, error: &PyErr) -> PyResult<bool> {
    if !error.is_instance_of::<PyKeyError>(py) {
        return Ok(false);
    }
    let text = error.value(py).shown()?;
    for name in fields.keys() {
        if text.contains(&format!("Attempt to overwrite '{name}' in LogRecord")) {
            fields.del_item(name)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// What logging does where nobody has set it up: warnings and errors go to `sys.stderr`, as they are. As there, a stream
/// that cannot be written to is no failure of what is logged.
fn last_resort(py: Python<'_>, level: Level, text: &str) -> PyResult<()> {
    let write = || {
        let stderr = calls::import(py, "sys")?.some_attribute("stderr")?;
        let Some(stderr) = stderr.filter(|stderr| !stderr.is_none() && level != Level::Debug)
        else {
            return Ok(());
        };
        stderr.run_method("write", (format!("{text}\n"),))?;
        match stderr.some_attribute("flush")? {
            Some(flush) => flush.run(()).map(drop),
            None => Ok(()),
        }
    };
    match write() {
        Err(error) if error.is_instance_of::<PyException>(py) => Ok(()),
        other => other,
    }
}

/// With `debug`: the lines pass, and where nobody has set up logging they go to stderr.
pub(super) fn set_up_debug(py: Python<'_>) -> PyResult<()> {
    let logging = calls::import(py, "logging")?;
    let logger = logger(&logging)?;
    let debug = logging.attribute("DEBUG")?;
    if !logger.run_method("isEnabledFor", (&debug,))?.is_truthy()? {
        logger.run_method("setLevel", (&debug,))?;
    }
    if !logger.run_method("hasHandlers", ())?.is_truthy()? {
        let handler = logging.run_method("StreamHandler", ())?;
        let arguments = PyDict::new(py);
        arguments.set_item("fmt", "%(levelname)s: %(message)s")?;
        let formatter = logging
            .attribute("Formatter")?
            .run_with((), Some(&arguments))?;
        handler.run_method("setFormatter", (formatter,))?;
        logger.run_method("addHandler", (handler,))?;
    }
    Ok(())
}

/// The program has ended but for its main thread.
static FINISHED: AtomicBool = AtomicBool::new(false);

/// At the end of the program: from here on only the main thread logs, and nobody else is in the middle of a
/// line when this returns. The end stops other threads where they stand in Python code; one that stood in a
/// log handler would keep the handler's lock from the main thread for ever.
pub(super) fn finish(py: Python<'_>) {
    FINISHED.store(true, Ordering::SeqCst);
    py.detach(|| {
        gate::before_fork();
        gate::after_fork();
    });
}
