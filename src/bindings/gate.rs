//! The gate that `fork` waits at while a thread runs Python code whose locks a child must not inherit in the hands of a
//! thread that it does not have: that of a log file's buffer, or of a module half imported.
//!
//! `fork` waits only so long. So its child may inherit a gate with threads within that it does not have, and which
//! nobody would ever leave. Therefore the gate is no lock but a number that says whose it is, too: that of another
//! generation counts for nothing, and the first to come makes it the new one's.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::process;

/// The generation in the upper half; in the lower one [`CLOSED`], or how many threads are within.
static GATE: AtomicU64 = AtomicU64::new(0);
/// A `fork` is under way.
const CLOSED: u64 = u32::MAX as u64;
/// How long `fork` waits for Python code that does not come back.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks at the gate.
const PAUSE: Duration = Duration::from_micros(100);

thread_local! {
    /// How often this thread is within: what runs there may cause another call of the kind.
    static WITHIN: Cell<u32> = const { Cell::new(0) };
    /// The gate that counts it for that. In the child of a `fork` in the middle it is the child's.
    static COUNTED: Cell<Option<u64>> = const { Cell::new(None) };
    /// The gate that this thread has closed, from `before_fork` to `after_fork`.
    static FORKING: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The gate of this process when nobody is within.
fn empty() -> u64 {
    // Those of four billion forks, each out of the child of the one before, do not meet.
    process::generation() << 32
}

/// Changes the gate from what it is into what `next` gives, if anything.
fn change(next: impl Fn(u64) -> Option<u64>) -> Option<u64> {
    let changed = GATE.fetch_update(Ordering::AcqRel, Ordering::Acquire, |gate| {
        let ours = gate >> 32 == empty() >> 32;
        next(if ours { gate } else { empty() })
    });
    changed.ok()
}

/// One more is within, unless the gate is closed; gives the empty gate of this generation.
fn count_in() -> Option<u64> {
    let open = empty();
    change(|gate| (gate < open + CLOSED - 1).then_some(gate + 1)).map(|_| open)
}

/// One less is within. Whoever was counted before a `fork` is not in the child.
fn count_out(open: u64) {
    change(|gate| (open == empty() && gate > open).then_some(gate - 1));
}

/// Leave to be within, for as long as it lives.
pub(super) struct Pass(u64);

impl Drop for Pass {
    fn drop(&mut self) {
        count_out(self.0);
    }
}

/// Waits until nobody is within, and lets nobody in until [`after_fork`]. Called detached.
pub(super) fn before_fork() {
    if WITHIN.get() > 0 || FORKING.get().is_some() {
        return;
    }
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let open = empty();
        if change(|gate| (gate == open).then_some(open + CLOSED)).is_some() {
            FORKING.set(Some(open));
            return;
        }
        thread::sleep(PAUSE);
    }
}

/// The gate opens again, in both processes.
pub(super) fn after_fork() {
    if let Some(open) = FORKING.take() {
        change(|gate| (gate == open + CLOSED).then_some(open));
    }
    // In the child, a thread that has forked in the middle still is there.
    if COUNTED.get().is_some_and(|open| open != empty()) {
        COUNTED.set(count_in());
    }
}

/// Passes the gate, unless this thread is within it already. Not waited for while attached: whoever forks
/// needs the interpreter.
pub(super) fn enter(py: Python<'_>) -> Option<Pass> {
    wait_in(py).map(Pass)
}

fn wait_in(py: Python<'_>) -> Option<u64> {
    if WITHIN.get() > 0 || FORKING.get().is_some() {
        return None;
    }
    loop {
        if let Some(open) = count_in() {
            return Some(open);
        }
        py.detach(|| thread::sleep(PAUSE));
    }
}

/// Passes the gate before the thread is attached, while its state is made.
pub(super) fn enter_detached() -> Pass {
    loop {
        if let Some(open) = count_in() {
            return Pass(open);
        }
        thread::sleep(PAUSE);
    }
}

/// Does `work`, which runs Python code, while nobody forks.
pub(super) fn within<T>(py: Python<'_>, work: impl FnOnce() -> T) -> T {
    struct Within;
    impl Drop for Within {
        fn drop(&mut self) {
            WITHIN.set(WITHIN.get() - 1);
            if WITHIN.get() == 0
                && let Some(open) = COUNTED.take()
            {
                count_out(open);
            }
        }
    }
    if let Some(open) = wait_in(py) {
        COUNTED.set(Some(open));
    }
    WITHIN.set(WITHIN.get() + 1);
    // Leaves also by a panic.
    let _within = Within;
    work()
}
