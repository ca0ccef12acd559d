//! Waiting that a signal can end, and locks that outlive a panic.
//!
//! Whoever waits does so in slices of [`SLICE`] and asks its [`Interrupt`] between them, so that
//! Ctrl-C ends every waiting call within 0.2 s. Workers wait with [`Never`].

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How long a wait lasts before the interrupt is asked.
pub const SLICE: Duration = Duration::from_millis(50);

/// Tells a waiting call that it shall give up.
pub trait Interrupt {
    /// `true` once the wait shall end.
    fn interrupted(&self) -> bool;
}

/// The interrupt of those whom no signal reaches: workers and tests.
pub struct Never;

impl Interrupt for Never {
    fn interrupted(&self) -> bool {
        false
    }
}

/// Locks, also after a panic elsewhere: every critical section here leaves its data valid.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One call's wait: until its deadline, or until it is interrupted.
pub struct Wait<'a> {
    deadline: Option<Instant>,
    interrupt: &'a dyn Interrupt,
    next_look: Instant,
}

impl<'a> Wait<'a> {
    /// Begins to wait. No deadline: as long as it takes.
    pub fn new(deadline: Option<Instant>, interrupt: &'a dyn Interrupt) -> Self {
        Self {
            deadline,
            interrupt,
            next_look: Instant::now() + SLICE,
        }
    }

    /// Whether the deadline has passed.
    pub fn expired(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Waits on `condvar` for a slice at most; an error once interrupted. The caller checks its own
    /// condition, and [`Self::expired`], in a loop around this.
    pub fn on<'m, T>(
        &mut self,
        condvar: &Condvar,
        guard: MutexGuard<'m, T>,
        mutex: &'m Mutex<T>,
    ) -> Result<MutexGuard<'m, T>> {
        let now = Instant::now();
        let end = self
            .deadline
            .map_or(self.next_look, |deadline| deadline.min(self.next_look));
        let (guard, _) = condvar
            .wait_timeout(guard, end.saturating_duration_since(now))
            .unwrap_or_else(PoisonError::into_inner);
        // By the clock, not by the wake-up: others may wake us faster than a slice ends.
        let now = Instant::now();
        if now < self.next_look {
            return Ok(guard);
        }
        self.next_look = now + SLICE;
        // Asking may run Python signal handlers, so no lock is held meanwhile.
        drop(guard);
        if self.interrupt.interrupted() {
            return Err(Error::interrupted());
        }
        Ok(lock(mutex))
    }
}

/// Sleeps for `pause`, in slices; an error once interrupted.
pub fn sleep(pause: Duration, interrupt: &dyn Interrupt) -> Result<()> {
    let end = Instant::now() + pause;
    loop {
        if interrupt.interrupted() {
            return Err(Error::interrupted());
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(SLICE));
    }
}
