//! What belongs to the process rather than to a handle: surviving `fork`, and the end of the program.
//!
//! After `fork` the child has one thread and a copy of every lock as it stood. Two things make that
//! safe. First, whoever is inside the `SQLite` library holds the [`enter`] guard, and `fork` waits until
//! nobody is ([`before_fork`]), so that no lock of the library or of this process is caught held.
//! The connections are closed first (see `backend/local/pool.rs`). Second, the child counts a new
//! [`generation`]: handles that carry an older one build themselves anew and never touch what they inherited.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static GENERATION: AtomicU64 = AtomicU64::new(0);
static EXITING: AtomicBool = AtomicBool::new(false);
static FORK_GATE: RwLock<()> = RwLock::new(());

thread_local! {
    /// Held by the forking thread from `before_fork` to `after_fork_*`.
    static FORKING: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// How often this process has come out of a `fork` as the child.
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Proof that this thread is inside the library, so that no `fork` happens meanwhile.
pub struct Inside {
    /// None for the forking thread, which has the gate for itself.
    guard: Option<RwLockReadGuard<'static, ()>>,
}

impl Inside {
    /// Whether this thread is forking: then nothing may stay open.
    pub fn is_forking(&self) -> bool {
        self.guard.is_none()
    }
}

/// Enters the library; whoever calls into it passes the proof along.
///
/// Never enter twice in one thread, never wait inside for another thread, and never enter while attached
/// to the interpreter: `fork` waits for all who are inside, and whoever comes later waits for `fork`, which
/// needs the interpreter.
pub fn enter() -> Inside {
    // A hook of the program's own, run while this thread forks, may use a handle.
    if FORKING.with_borrow(Option::is_some) {
        return Inside { guard: None };
    }
    Inside {
        guard: Some(FORK_GATE.read().unwrap_or_else(PoisonError::into_inner)),
    }
}

/// Waits until no thread is inside the library, keeps them out until [`after_fork`], and runs `prepare`.
pub fn before_fork(prepare: impl FnOnce(&Inside)) {
    if FORKING.with_borrow(Option::is_some) {
        return;
    }
    FORKING.set(Some(
        FORK_GATE.write().unwrap_or_else(PoisonError::into_inner),
    ));
    prepare(&Inside { guard: None });
}

/// Lets the threads in again; in the child, starts a new generation first.
pub fn after_fork(in_child: bool) {
    if in_child {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    FORKING.set(None);
}

/// From here on no thread is started: queued writes are sent by their caller.
pub fn begin_exit() {
    EXITING.store(true, Ordering::SeqCst);
}

/// Whether the program is ending.
pub fn exiting() -> bool {
    EXITING.load(Ordering::SeqCst)
}
