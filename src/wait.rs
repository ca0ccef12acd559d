//! Waiting that a signal can end, and locks that outlive a panic.
//!
//! Whoever waits does so in slices of [`SLICE`] and asks its [`Interrupt`] between them, so that
//! Ctrl-C ends every waiting call within 0.2 s. Workers wait with [`Never`].

use crate::sync::{Condvar, Mutex, MutexGuard};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How long a wait lasts before the interrupt is asked.
pub const SLICE: Duration = Duration::from_millis(50);

/// Tells a call that it shall give up.
pub trait Interrupt {
    /// `true` once the wait shall end. May run signal handlers of the user's, which may call any verb:
    /// asked only while nothing is held that a verb could wait for.
    fn interrupted(&self) -> bool;

    /// As [`Self::interrupted`], for a wait during which nothing at all is held, since another thread does the
    /// work: it goes on after signal handlers have run, where others are begun anew.
    fn interrupted_alone(&self) -> bool {
        self.interrupted()
    }

    /// When the call began: its deadlines count from there, also where it is begun anew.
    fn begun(&self) -> Instant {
        Instant::now()
    }

    /// `true` once the work shall end. Runs nobody's code, so it is asked within a transaction too.
    fn cancelled(&self) -> bool {
        false
    }
}

/// The interrupt of those whom no signal reaches: workers and tests.
pub struct Never;

impl Interrupt for Never {
    fn interrupted(&self) -> bool {
        false
    }
}

/// The interrupt of work that is done aside for a caller: the caller sets it.
#[derive(Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// The caller no longer waits.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Interrupt for Cancel {
    fn interrupted(&self) -> bool {
        self.cancelled()
    }

    fn cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Waits on behalf of a call whose work is done by another thread, with [`Interrupt::interrupted_alone`].
pub struct Alone<'a>(pub &'a dyn Interrupt);

impl Interrupt for Alone<'_> {
    fn interrupted(&self) -> bool {
        self.0.interrupted_alone()
    }
}

/// Uniform in 0.0..1.0, for pauses. A fresh hasher's seed is random enough to keep clients out of step.
#[expect(clippy::cast_precision_loss, reason = "53 random bits")]
pub fn jitter() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(0_u8) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

/// Locks, also after a panic elsewhere: every critical section here leaves its data valid.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does `work`, which may hang on a disk: where there is a deadline on a thread of its own, which goes on by itself when
/// the deadline passes first (`None`).
///
/// # Errors
/// `Interrupted`: then it goes on by itself, too.
pub fn within<T: Send + 'static>(
    deadline: Option<Instant>,
    interrupt: &dyn Interrupt,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<T>> {
    if deadline.is_none() {
        return Ok(Some(work()));
    }
    // A thread that cannot be started drops what it was to do, so that is kept apart.
    let work = Arc::new(Mutex::new(Some(work)));
    let done = Arc::new((Mutex::new(None), Condvar::new()));
    let (their_work, their_done) = (Arc::clone(&work), Arc::clone(&done));
    let started = std::thread::Builder::new()
        .name("tetherdb-aside".into())
        .spawn(move || {
            let work = lock(&their_work).take();
            let outcome = work.map(|work| work());
            *lock(&their_done.0) = Some(outcome);
            their_done.1.notify_one();
        });
    if started.is_err() {
        let work = lock(&work).take();
        return Ok(work.map(|work| work()));
    }
    let mut wait = Wait::new(deadline, interrupt);
    let mut outcome = lock(&done.0);
    loop {
        if let Some(outcome) = outcome.take() {
            return Ok(outcome);
        }
        if wait.expired() {
            return Ok(None);
        }
        outcome = wait.on(&done.1, outcome, &done.0)?;
    }
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

    /// Sleeps for `pause`, at most a slice; an error once interrupted.
    pub fn pause(&mut self, pause: Duration) -> Result<()> {
        std::thread::sleep(pause.min(SLICE));
        let now = Instant::now();
        if now < self.next_look {
            return Ok(());
        }
        self.next_look = now + SLICE;
        if self.interrupt.interrupted() {
            return Err(Error::interrupted());
        }
        Ok(())
    }

    /// Waits on `condvar` for a slice at most; as [`Self::for_at_most`].
    pub fn on<'m, T>(
        &mut self,
        condvar: &Condvar,
        guard: MutexGuard<'m, T>,
        mutex: &'m Mutex<T>,
    ) -> Result<MutexGuard<'m, T>> {
        self.for_at_most(SLICE, condvar, guard, mutex)
    }

    /// Waits on `condvar` for `slice` at most; an error once interrupted. The caller checks its own
    /// condition, and [`Self::expired`], in a loop around this.
    pub fn for_at_most<'m, T>(
        &mut self,
        slice: Duration,
        condvar: &Condvar,
        guard: MutexGuard<'m, T>,
        mutex: &'m Mutex<T>,
    ) -> Result<MutexGuard<'m, T>> {
        let now = Instant::now();
        let end = self
            .deadline
            .map_or(self.next_look, |deadline| deadline.min(self.next_look));
        let (guard, _) = condvar
            .wait_timeout(guard, end.saturating_duration_since(now).min(slice))
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
