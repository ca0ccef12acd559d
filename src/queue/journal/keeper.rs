//! What nobody waits for: syncs at an interval, and rewriting. A thread that is there while there is something to do.

use crate::sync::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::Journal;
use crate::queue::{Level, LogLine};
use crate::{process, wait};

/// How long a record may wait for its sync, less what the sync takes itself.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long the thread waits for more before it ends.
const IDLE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Keeper {
    /// A sync has been asked for and has not begun.
    sync_due: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: bool,
    rewrite_due: bool,
    ended: bool,
}

impl Keeper {
    pub(super) fn end(&self) {
        wait::lock(&self.state).ended = true;
        self.changed.notify_all();
    }

    /// Waits for something to do; `false` once there is nothing any more.
    fn wait(&self) -> bool {
        let mut state = wait::lock(&self.state);
        loop {
            if !state.ended && (state.rewrite_due || self.sync_due.load(Ordering::Acquire)) {
                return true;
            }
            if state.ended {
                state.running = false;
                return false;
            }
            let waited = self.changed.wait_timeout(state, IDLE);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if timeout.timed_out() && !self.sync_due.load(Ordering::Acquire) && !state.rewrite_due {
                state.running = false;
                return false;
            }
        }
    }
}

impl Journal {
    /// Has what is written on disk within the interval.
    pub(super) fn sync_soon(self: &Arc<Self>) {
        if !self.keeper.sync_due.swap(true, Ordering::AcqRel) {
            self.wake_keeper(|_| ());
        }
    }

    /// Has the file rewritten.
    pub(super) fn rewrite_soon(self: &Arc<Self>) {
        self.wake_keeper(|state| state.rewrite_due = true);
    }

    fn wake_keeper(self: &Arc<Self>, what: impl FnOnce(&mut State)) {
        let mut state = wait::lock(&self.keeper.state);
        what(&mut state);
        self.keeper.changed.notify_all();
        // At the end of the program closing does what is due.
        if state.running || state.ended || process::exiting() {
            return;
        }
        let (keeper, journal) = (Arc::clone(&self.keeper), Arc::downgrade(self));
        let started = thread::Builder::new()
            .name("tetherdb-journal".into())
            .spawn(move || keep(&keeper, &journal));
        // Without a thread, the next record asks again.
        state.running = started.is_ok();
        if !state.running {
            self.keeper.sync_due.store(false, Ordering::Release);
        }
    }

    pub(super) fn warn_of_rewrite(&self, cause: &std::io::Error) {
        let text = format!(
            "The journal {} cannot be rewritten, so it keeps the space of what has left: {cause}. Free space on its disk.",
            self.path()
        );
        self.events.log(LogLine::new(Level::Warning, text));
    }
}

/// The thread. It has the journal in hand only while it works, so that it never keeps one open.
fn keep(keeper: &Keeper, journal: &Weak<Journal>) {
    while keeper.wait() {
        let rewrite = std::mem::take(&mut wait::lock(&keeper.state).rewrite_due);
        if rewrite && let Some(journal) = journal.upgrade() {
            if let Err(cause) = journal.rewrite() {
                journal.warn_of_rewrite(&cause);
            }
            continue;
        }
        thread::sleep(INTERVAL);
        let Some(journal) = journal.upgrade() else {
            return;
        };
        // Before the sync: what comes during it asks again.
        keeper.sync_due.store(false, Ordering::Release);
        if let Err(cause) = journal.sync() {
            let text = format!(
                "The journal {} is not safe from a power loss: {cause}. Check its disk.",
                journal.path()
            );
            journal.events.log(LogLine::new(Level::Error, text));
        }
    }
}
