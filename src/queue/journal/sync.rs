//! One disk sync for all who wait: whoever comes while a sync is under way is served by the next.

use crate::sync::{Condvar, Mutex};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Journal;
use crate::error::{Error, Kind, Result};
use crate::process;
use crate::wait::{self, Interrupt, Wait};

#[derive(Default)]
pub(super) struct Syncs {
    /// Everything written up to here is on disk.
    up_to: AtomicU64,
    /// A sync has failed since the file was begun.
    failed: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Somebody is syncing.
    syncing: bool,
    /// Why the latest sync failed.
    cause: Option<String>,
}

impl Syncs {
    pub(super) fn new(up_to: u64) -> Self {
        Self {
            up_to: AtomicU64::new(up_to),
            ..Self::default()
        }
    }

    pub(super) fn up_to(&self) -> u64 {
        self.up_to.load(Ordering::Acquire)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// All of it is on disk, in a new file.
    pub(super) fn begin_anew(&self, up_to: u64) {
        self.up_to.fetch_max(up_to, Ordering::AcqRel);
        self.failed.store(false, Ordering::Release);
    }
}

impl Journal {
    /// Waits until all that was written up to `at` is on disk. Whoever finds no sync under way makes one.
    pub(super) fn wait_synced(&self, at: u64, interrupt: &dyn Interrupt) -> Result<()> {
        let syncs = &self.syncs;
        let mut wait = Wait::new(None, interrupt);
        let mut state = wait::lock(&syncs.state);
        loop {
            if syncs.up_to() >= at && !syncs.has_failed() {
                return Ok(());
            }
            if syncs.has_failed() {
                let cause = state.cause.as_deref().unwrap_or("the disk failed");
                return Err(Error::new(Kind::Backend, cause));
            }
            if state.syncing {
                state = wait.on(&syncs.changed, state, &syncs.state)?;
                continue;
            }
            state.syncing = true;
            drop(state);
            let outcome = self.sync();
            state = wait::lock(&syncs.state);
            state.syncing = false;
            if let Err(cause) = outcome {
                state.cause = Some(cause.to_string());
            }
            syncs.changed.notify_all();
        }
    }

    /// Carries to the disk what is in the file now.
    pub(super) fn sync(&self) -> io::Result<()> {
        // From before the file is in hand until it no longer is: a child must not inherit that hand.
        let inside = process::enter();
        let (file, up_to) = {
            let writer = self.writer(&inside);
            let Some(file) = &writer.file else {
                // Closing has synced it, or has noted that it could not.
                self.syncs.up_to.fetch_max(writer.written, Ordering::AcqRel);
                return Ok(());
            };
            (Arc::clone(file), writer.written)
        };
        // Not with the writer locked: others write on meanwhile.
        match file.sync_data() {
            Ok(()) => {
                self.syncs.up_to.fetch_max(up_to, Ordering::AcqRel);
                Ok(())
            }
            Err(cause) => {
                // Whatever the system has forgotten of it, a second sync would not tell.
                self.syncs.fail();
                Err(cause)
            }
        }
    }
}
