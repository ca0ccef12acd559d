//! The gate that `fork` waits at while a thread runs Python code whose locks a child must not inherit in the hands of a
//! thread that it does not have: that of a log file's buffer, or of a module half imported.

use std::cell::{Cell, RefCell};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// Held for reading by whoever is within, for writing while a `fork` is under way.
static GATE: RwLock<()> = RwLock::new(());
/// How long `fork` waits for Python code that does not come back.
const PATIENCE: Duration = Duration::from_secs(1);

thread_local! {
    /// How often this thread is within: what runs there may cause another call of the kind.
    static WITHIN: Cell<u32> = const { Cell::new(0) };
    /// Held by the forking thread from `before_fork` to `after_fork`.
    static FORKING: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// Waits until nobody is within, and lets nobody in until [`after_fork`]. Called detached.
pub(super) fn before_fork() {
    if WITHIN.get() > 0 || FORKING.with_borrow(Option::is_some) {
        return;
    }
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Ok(guard) = GATE.try_write() {
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
pub(super) fn enter(py: Python<'_>) -> Option<RwLockReadGuard<'static, ()>> {
    if WITHIN.get() > 0 || FORKING.with_borrow(Option::is_some) {
        return None;
    }
    loop {
        if let Ok(gate) = GATE.try_read() {
            return Some(gate);
        }
        py.detach(|| thread::sleep(Duration::from_micros(100)));
    }
}

/// Passes the gate before the thread is attached, while its state is made.
pub(super) fn enter_detached() -> RwLockReadGuard<'static, ()> {
    GATE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Does `work`, which runs Python code, while nobody forks.
pub(super) fn within<T>(py: Python<'_>, work: impl FnOnce() -> T) -> T {
    struct Within;
    impl Drop for Within {
        fn drop(&mut self) {
            WITHIN.set(WITHIN.get() - 1);
        }
    }
    let _gate = enter(py);
    WITHIN.set(WITHIN.get() + 1);
    // Leaves before the gate opens, also by a panic.
    let _within = Within;
    work()
}
