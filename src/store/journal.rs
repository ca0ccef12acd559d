//! The one journal of a store: opened with it, opened again by the first verb after `stop`, shared by its lanes.

use crate::sync::Mutex;
use std::sync::Arc;
use std::time::Duration;

use super::Store;
use crate::error::{Error, Kind, Result};
use crate::message::BackendName;
use crate::process;
use crate::queue::journal::{Contents, Journal};
use crate::queue::{Lane, Level, LogLine};
use crate::wait::{self, Interrupt, Never, Wait};

/// Whether a store's journal is open.
pub(super) enum Place {
    /// The configuration names none.
    None,
    /// The store was opened by a forked child: the journal is its parent's.
    Parents,
    /// It is ours to open.
    Ours(Mutex<Option<Arc<Journal>>>),
}

impl Store {
    /// Opens the journal unless it is open, and sends what is in it. Signal handlers do not run while it is read, since
    /// they may use this very store.
    ///
    /// # Errors
    /// `Config` where it cannot be opened, which is so in a forked child; `Interrupted`, before it is opened.
    pub(super) fn open_journal(&self, interrupt: &dyn Interrupt) -> Result<()> {
        self.open_journal_with(interrupt, &Never)
    }

    fn open_journal_with(
        &self,
        interrupt: &dyn Interrupt,
        while_read: &dyn Interrupt,
    ) -> Result<()> {
        let (config, place) = match (&self.config.queue.journal, &*self.journal) {
            (Some(config), Place::Ours(place)) => (config, place),
            (Some(config), Place::Parents) => {
                let text = format!(
                    "queue_batch.journal: {} belongs to the process that this one was forked from. Give the child a DB \
                     with a path of its own, or write directly with write_message.",
                    config.path.display()
                );
                return Err(Error::new(Kind::Config, text).passing());
            }
            _ => return Ok(()),
        };
        let mut wait = Wait::new(None, interrupt);
        let mut open = wait::lock(place);
        while let Some(journal) = &*open {
            if !journal.is_closing() {
                return Ok(());
            }
            // Another thread's `stop` is about to close it.
            drop(open);
            wait.pause(Duration::from_millis(1))?;
            open = wait::lock(place);
        }
        let (journal, live) = Journal::open(config, Arc::clone(&self.events), while_read)?;
        // Known first: should a worker not start, the next verb tries again.
        let journal = open.insert(journal);
        self.adopt(journal, live)
    }

    /// As [`Self::open_journal`], for a verb that can do without where another process has it, or it is the parent's:
    /// two processes have no order between them.
    pub(super) fn try_open_journal(&self, interrupt: &dyn Interrupt) -> Result<()> {
        if matches!(*self.journal, Place::None) || process::exiting() {
            return Ok(());
        }
        match self.open_journal(interrupt) {
            Err(error) if error.kind() == Kind::Config && error.retryable() => Ok(()),
            other => other,
        }
    }

    /// Whether [`Self::try_open_journal`] would have nothing to do. Waits for nobody.
    pub(super) fn has_open_journal(&self) -> bool {
        match &*self.journal {
            Place::None | Place::Parents => true,
            Place::Ours(place) => place
                .try_lock()
                .is_ok_and(|open| open.as_ref().is_some_and(|journal| !journal.is_closing())),
        }
    }

    fn adopt(&self, journal: &Arc<Journal>, live: Contents) -> Result<()> {
        let mut of_each: Vec<(BackendName, Contents)> =
            BackendName::ALL.map(|name| (name, Vec::new())).into();
        for (number, live) in live {
            if let Some((_, all)) = of_each.iter_mut().find(|(name, _)| *name == live.backend) {
                all.push((number, live));
            }
        }
        for (name, live) in of_each {
            let Some(lane) = self.lanes.iter().find(|lane| lane.backend().name() == name) else {
                if !live.is_empty() {
                    let text = format!(
                        "{} message(s) in the journal {} are for {name}, which is not configured. They stay there; add \
                         a section \"{name}\" to deliver them.",
                        live.len(),
                        journal.path()
                    );
                    let told = LogLine::new(Level::Warning, text).on(name);
                    self.events.log(told.about(live.len()));
                }
                continue;
            };
            if !live.is_empty() {
                // First: where a worker is there already, it sends at once what is adopted.
                lane.backend().take_over();
            }
            if lane.adopt(journal, live) {
                self.mark_started();
                lane.ensure_worker()?;
                lane.urge();
            }
        }
        Ok(())
    }

    /// Opens the journal of a new store, which nobody else knows yet.
    pub(super) fn begin_journal(&self, interrupt: &dyn Interrupt) -> Result<()> {
        match *self.journal {
            Place::Ours(_) => self.open_journal_with(interrupt, interrupt),
            Place::None | Place::Parents => Ok(()),
        }
    }
}

/// After the lanes have stopped: closes the journal. Where others are queueing meanwhile it stays open, unless something
/// has been left in it, which must not be sent any more.
pub(super) fn close(lanes: &[Arc<Lane>], place: &Place) {
    let Place::Ours(place) = place else {
        return;
    };
    // Not held while it is closed, which may take a disk its time: whoever wants it open again waits in slices.
    let Some(journal) = wait::lock(place).clone() else {
        return;
    };
    let is_idle = || lanes.iter().all(|lane| lane.is_idle());
    if !journal.is_closing() && !journal.begin_close_if(is_idle) {
        return;
    }
    for lane in lanes {
        lane.leave();
    }
    journal.close();
    let mut open = wait::lock(place);
    if open
        .as_ref()
        .is_some_and(|open| Arc::ptr_eq(open, &journal))
    {
        *open = None;
    }
}

/// What is left of a store that was dropped with something in its queue: the journal closes with its lanes.
pub(super) fn stop_orphan(lane: &Arc<Lane>, deadline: std::time::Instant) {
    let _ = lane.stop(Some(deadline), &Never);
    lane.leave();
}
