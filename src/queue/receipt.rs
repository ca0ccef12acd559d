//! The receipt of one queued message: how it ended, for whoever asked.

use crate::sync::{Condvar, Mutex};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::wait::{self, Interrupt, Wait};

/// Tells how one queued message ended. Clones share the answer.
#[derive(Clone, Default)]
pub struct Receipt(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

type Callback = Box<dyn FnOnce() + Send>;

/// One who waits to be called, by a number that nobody else has who waits for the same receipt.
pub type Waiter = u64;

enum State {
    /// In the order of their numbers.
    Pending(Vec<(Waiter, Callback)>),
    Settled(Result<()>),
}

impl Default for State {
    fn default() -> Self {
        Self::Pending(Vec::new())
    }
}

impl Receipt {
    /// How the message ended: `None` while it has not.
    pub fn outcome(&self) -> Option<Result<()>> {
        match &*wait::lock(&self.0.state) {
            State::Pending(_) => None,
            State::Settled(outcome) => Some(outcome.clone()),
        }
    }

    /// As [`Self::outcome`], or `None` if that needs waiting: in a forked child the lock may be held for ever.
    pub fn try_outcome(&self) -> Option<Result<()>> {
        match &*self.0.state.try_lock().ok()? {
            State::Pending(_) => None,
            State::Settled(outcome) => Some(outcome.clone()),
        }
    }

    /// Waits for the outcome: `None` if the deadline passed first. Fails only when interrupted.
    pub fn wait(
        &self,
        deadline: Option<Instant>,
        interrupt: &dyn Interrupt,
    ) -> Result<Option<Result<()>>> {
        let mut wait = Wait::new(deadline, interrupt);
        let mut state = wait::lock(&self.0.state);
        loop {
            if let State::Settled(outcome) = &*state {
                return Ok(Some(outcome.clone()));
            }
            if wait.expired() {
                return Ok(None);
            }
            state = wait.on(&self.0.changed, state, &self.0.state)?;
        }
    }

    /// Calls `callback` once the message has ended, at once if it has: then nobody waits. It must not block.
    pub fn on_settled(&self, callback: impl FnOnce() + Send + 'static) -> Option<Waiter> {
        if let State::Pending(waiters) = &mut *wait::lock(&self.0.state) {
            let number = waiters.last().map_or(0, |(last, _)| last + 1);
            waiters.push((number, Box::new(callback)));
            return Some(number);
        }
        callback();
        None
    }

    /// Calls this one no more. Once only: its number may be another's then.
    pub fn forget(&self, waiter: Waiter) {
        let mut state = wait::lock(&self.0.state);
        let forgotten = match &mut *state {
            State::Pending(waiters) => waiters
                .binary_search_by_key(&waiter, |&(number, _)| number)
                .ok()
                .map(|at| waiters.remove(at)),
            State::Settled(_) => None,
        };
        drop(state);
        drop(forgotten);
    }

    /// The message has been written by its caller after all.
    pub fn deliver(&self) {
        self.settle(Ok(()));
    }

    /// Says how the message ended. Only the first time counts.
    pub(super) fn settle(&self, outcome: Result<()>) {
        let before = {
            let mut state = wait::lock(&self.0.state);
            if matches!(*state, State::Settled(_)) {
                return;
            }
            std::mem::replace(&mut *state, State::Settled(outcome))
        };
        self.0.changed.notify_all();
        if let State::Pending(waiters) = before {
            for (_, callback) in waiters {
                callback();
            }
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome: Option<std::result::Result<(), Error>> = self.outcome();
        f.debug_tuple("Receipt").field(&outcome).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn who_is_forgotten_is_not_called_and_leaves_nothing() {
        let (receipt, called) = (Receipt::default(), Arc::new(Mutex::new(Vec::new())));
        let wait_as = |name: usize| {
            let called = Arc::clone(&called);
            receipt
                .on_settled(move || wait::lock(&called).push(name))
                .unwrap()
        };
        let waiters: Vec<Waiter> = (0..5).map(wait_as).collect();
        receipt.forget(waiters[1]);
        receipt.forget(waiters[4]);
        // It may have the number of the one that has gone.
        wait_as(5);
        assert_eq!(Arc::strong_count(&called), 1 + 4);
        receipt.settle(Ok(()));
        assert_eq!(*wait::lock(&called), [0, 2, 3, 5]);
        receipt.forget(waiters[2]);
        assert!(receipt.on_settled(|| ()).is_none());
    }
}
