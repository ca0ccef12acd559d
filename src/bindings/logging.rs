//! Python's `logging`: one line, the gate that `fork` waits at, and the handler where nobody has set one up.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::calls::{self, Calls};
use super::runtime;
use crate::queue::Level;

fn logger(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    calls::import(py, "logging")?.run_method("getLogger", ("TetherDB",))
}

/// Held for reading while a line is logged, for writing while a `fork` is under way: a child must not
/// inherit the lock of a log file's buffer in the hands of a thread that it does not have.
static LOG_GATE: RwLock<()> = RwLock::new(());
/// How long `fork` waits for a log handler that does not come back.
const LOG_GATE_PATIENCE: Duration = Duration::from_secs(1);

thread_local! {
    /// How many lines this thread is logging, one within the other: a log handler may cause another line.
    static LOGGING: Cell<u32> = const { Cell::new(0) };
    /// Held by the forking thread from `before_fork` to `after_fork`.
    static FORKING: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// Waits until no line is being logged, and lets none begin until [`after_fork`]. Called detached.
pub(super) fn before_fork() {
    if LOGGING.get() > 0 || FORKING.with_borrow(Option::is_some) {
        return;
    }
    let deadline = Instant::now() + LOG_GATE_PATIENCE;
    while Instant::now() < deadline {
        if let Ok(guard) = LOG_GATE.try_write() {
            FORKING.set(Some(guard));
            return;
        }
        thread::sleep(Duration::from_micros(100));
    }
}

/// The gate opens again, in both processes.
pub(super) fn after_fork() {
    FORKING.set(None);
}

/// Passes the gate, unless this thread is within it already. Not waited for while attached: whoever forks
/// needs the interpreter.
pub(super) fn enter_gate(py: Python<'_>) -> Option<RwLockReadGuard<'static, ()>> {
    if LOGGING.get() > 0 || FORKING.with_borrow(Option::is_some) {
        return None;
    }
    loop {
        if let Ok(gate) = LOG_GATE.try_read() {
            return Some(gate);
        }
        py.detach(|| thread::sleep(Duration::from_micros(100)));
    }
}

/// One line, in the calling thread.
pub(super) fn log(py: Python<'_>, level: Level, text: &str) -> PyResult<()> {
    let method = match level {
        Level::Debug => "debug",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    let gate = enter_gate(py);
    if FINISHED.load(Ordering::SeqCst) && !runtime::is_main_thread(py) {
        return Ok(());
    }
    LOGGING.set(LOGGING.get() + 1);
    // As an argument, not as the format: keys and values may hold percent signs.
    let logged = logger(py).and_then(|logger| logger.run_method(method, ("%s", text)));
    LOGGING.set(LOGGING.get() - 1);
    drop(gate);
    logged.map(drop)
}

/// With `debug`: the lines pass, and where nobody has set up logging they go to stderr.
pub(super) fn set_up_debug(py: Python<'_>) -> PyResult<()> {
    let logger = logger(py)?;
    let logging = calls::import(py, "logging")?;
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
        before_fork();
        after_fork();
    });
}

/// Passes the gate before the thread is attached, while its state is made.
pub(super) fn enter_gate_detached() -> RwLockReadGuard<'static, ()> {
    LOG_GATE.read().unwrap_or_else(PoisonError::into_inner)
}
