//! The worker: a thread that does what the lane says is next, and sleeps in between.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::lane::{Lane, Step};
use crate::error::{Error, Kind, Result};
use crate::sync::thread;
use crate::wait;

impl Lane {
    /// Starts a worker unless one is in charge.
    pub fn ensure_worker(self: &Arc<Self>) -> Result<()> {
        let number = {
            let mut intake = wait::lock(&self.intake);
            if intake.worker.is_some() {
                return Ok(());
            }
            let number = intake.next_worker;
            intake.next_worker += 1;
            intake.worker = Some(number);
            intake.closing = false;
            number
        };
        let lane = Arc::clone(self);
        let started = thread::Builder::new()
            .name(format!("tetherdb-{}", self.backend.name()))
            .spawn(move || lane.run(number));
        match started {
            Ok(_detached) => Ok(()),
            Err(error) => {
                wait::lock(&self.intake).worker = None;
                Err(Error::backend(
                    Kind::Backend,
                    self.backend.name(),
                    true,
                    format!(
                        "cannot start the background worker: {error}. Nothing was queued; \
                         write directly, or free threads and memory."
                    ),
                ))
            }
        }
    }

    fn run(self: Arc<Self>, number: u64) {
        let _dismissal = Dismissal {
            lane: &self,
            number,
        };
        loop {
            match self.step(number, self.now()) {
                Step::Send(batch) => self.send(batch),
                Step::GiveUp {
                    batch,
                    verdict,
                    tenure,
                } => self.give_up(tenure, batch, verdict),
                Step::Sleep { until, wake_at } => self.sleep(until, wake_at),
                Step::End => break,
            }
        }
        if self.is_orphaned() {
            self.backend.close();
            // The last of its store's lanes closes it.
            self.journal.store(None);
        }
    }

    /// Sleeps until poked, until `wake_at` messages are incoming, or until `until` (since the epoch).
    fn sleep(&self, until: Option<Duration>, wake_at: usize) {
        let mut intake = wait::lock(&self.intake);
        if !std::mem::take(&mut intake.poked) && intake.incoming.len() < wake_at {
            intake.wake_at = Some(wake_at);
            intake = match until {
                None => self
                    .work
                    .wait(intake)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let pause = until.saturating_sub(self.now());
                    let woken = self.work.wait_timeout(intake, pause);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            intake.wake_at = None;
            intake.poked = false;
        }
    }
}

/// However a worker ends, a bug included, the next message finds that nobody is in charge.
struct Dismissal<'a> {
    lane: &'a Lane,
    number: u64,
}

impl Drop for Dismissal<'_> {
    fn drop(&mut self) {
        let mut intake = wait::lock(&self.lane.intake);
        if intake.worker == Some(self.number) {
            intake.worker = None;
        }
    }
}
