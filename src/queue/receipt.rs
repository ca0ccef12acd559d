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

enum State {
    Pending(Vec<Callback>),
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

    /// Calls `callback` once the message has ended, at once if it has. It must not block.
    pub fn on_settled(&self, callback: impl FnOnce() + Send + 'static) {
        if let State::Pending(callbacks) = &mut *wait::lock(&self.0.state) {
            callbacks.push(Box::new(callback));
            return;
        }
        callback();
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
        if let State::Pending(callbacks) = before {
            for callback in callbacks {
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
