//! Those who wait for the worker: flush, stop, and direct verbs behind a queued message of their key.

use crate::sync::MutexGuard;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::intake::Intake;
use super::lane::Lane;
use super::ledger::Ledger;
use super::order::{Caller, Gate};
use crate::error::{Error, Kind, Result};
use crate::message::{Failed, quote};
use crate::process;
use crate::wait::{self, Interrupt, Wait};

/// How often a lock is tried by a thread that must not be kept: some microseconds.
const TRIES: usize = 200;
/// So many messages are put in order in some hundred microseconds.
const FEW: usize = 1000;

/// The right of a direct verb to act on its keys: nothing older is left before it in the queue, and
/// nothing newer travels until it is dropped.
pub struct Hold {
    pub(super) lane: Arc<Lane>,
    pub(super) gates: Vec<Gate>,
    /// Whoever waited for it and is called back.
    pub(super) caller: Option<Caller>,
}

/// Says, when it is dropped, that what a turn is for has begun: others of its keys may begin, too.
pub struct Beginning {
    lane: Arc<Lane>,
    gates: Vec<Gate>,
    caller: Caller,
}

impl Hold {
    /// To be dropped when what the turn is for has begun.
    pub fn beginning(&self) -> Option<Beginning> {
        self.caller.map(|caller| Beginning {
            lane: Arc::clone(&self.lane),
            gates: self.gates.clone(),
            caller,
        })
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        let mut ledger = wait::lock(&self.lane.ledger);
        for &gate in &self.gates {
            ledger.order.begin(gate, self.caller);
        }
        let ready = ledger.order.sendable() > 0;
        self.lane.announce(ledger);
        if ready {
            self.lane.poke();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut ledger = wait::lock(&self.lane.ledger);
        let mut freed = false;
        for &gate in &self.gates {
            freed |= ledger.order.release(gate);
        }
        self.lane.announce(ledger);
        // What was ready before, the worker knows of.
        if freed {
            self.lane.poke();
        }
    }
}

/// Whoever works on what is kept, and on the journal.
struct Busy<'a>(&'a Arc<Lane>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut intake = wait::lock(&self.0.intake);
        intake.reserved -= 1;
        self.0.admit(&mut intake);
    }
}

impl Lane {
    /// Waits until nothing queued is left before a direct verb on `keys`, sending it at once.
    ///
    /// # Errors
    /// `Timeout` after the backend's patience; `Interrupted`.
    pub fn hold<'k>(
        self: &Arc<Self>,
        keys: impl Iterator<Item = &'k str> + Clone,
        interrupt: &dyn Interrupt,
    ) -> Result<Hold> {
        let mut ledger = self.lock_absorbed();
        let mut hold = Hold {
            lane: Arc::clone(self),
            gates: Vec::with_capacity(keys.size_hint().0),
            caller: None,
        };
        let mut behind = None;
        for key in keys.clone() {
            let gate = ledger.order.gate(key);
            if !ledger.order.is_open(gate) {
                ledger.order.hurry(gate);
                behind = Some(key);
            }
            hold.gates.push(gate);
        }
        let Some(key) = behind else {
            drop(ledger);
            self.before_direct(keys, interrupt)?;
            return Ok(hold);
        };
        ledger.close_round();
        drop(ledger);
        self.ensure_worker()?;
        self.poke();
        let patience = self.backend.patience();
        let mut wait = Wait::new(Some(interrupt.begun() + patience), interrupt);
        let mut ledger = wait::lock(&self.ledger);
        while !hold.gates.iter().all(|&gate| ledger.order.is_open(gate)) {
            if wait.expired() {
                drop(ledger);
                return Err(self.stands_behind(key, patience));
            }
            ledger = wait.on(&self.progress, ledger, &self.ledger)?;
        }
        drop(ledger);
        self.before_direct(keys, interrupt)?;
        Ok(hold)
    }

    /// A direct verb has waited for its turn for so long.
    pub(super) fn stands_behind(&self, key: &str, patience: Duration) -> Error {
        let text = format!(
            "key {} waits behind an earlier write of its key that could not be done within {:.1} s{}. \
             Nothing was done; see stats() and try again.",
            quote(key),
            patience.as_secs_f64(),
            self.last_error_suffix()
        );
        Error::backend(Kind::Timeout, self.backend.name(), true, text)
    }

    /// The time given to a flush has passed.
    pub(super) fn not_flushed(&self, left: usize) -> Error {
        let text = format!(
            "{left} queued message(s) were not delivered in time{}. They are still queued: give it \
             more time, or see stats().",
            self.last_error_suffix()
        );
        Error::backend(Kind::FlushTimeout, self.backend.name(), true, text)
    }

    /// Sends at once what waits for its batch to fill; waits for nothing.
    pub fn urge(&self) {
        self.lock_absorbed().close_round();
        self.poke();
    }

    /// Waits until everything accepted before this call has left the queue.
    ///
    /// # Errors
    /// `FlushTimeout` when the deadline passes first; `Interrupted`.
    pub fn flush(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        interrupt: &dyn Interrupt,
    ) -> Result<()> {
        let mut ledger = self.lock_absorbed();
        let round = ledger.close_round();
        if ledger.unsettled(round) == 0 {
            return Ok(());
        }
        drop(ledger);
        self.ensure_worker()?;
        self.poke();
        let mut wait = Wait::new(deadline, interrupt);
        let mut ledger = wait::lock(&self.ledger);
        loop {
            let left = ledger.unsettled(round);
            if left == 0 {
                return Ok(());
            }
            if wait.expired() {
                drop(ledger);
                return Err(self.not_flushed(left));
            }
            ledger = wait.on(&self.progress, ledger, &self.ledger)?;
        }
    }

    /// Delivers what was accepted before this call, and ends the worker. What is not delivered by the
    /// deadline is given up and kept, to be handed back by [`Self::take_unreported`]; with a journal it stays in that,
    /// and how much is what this gives.
    ///
    /// # Errors
    /// `Interrupted`: the lane goes on then.
    pub fn stop(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        interrupt: &dyn Interrupt,
    ) -> Result<usize> {
        self.release_producers();
        match self.flush(deadline, interrupt) {
            Err(error) if error.kind() == Kind::FlushTimeout => {
                if let Some(journal) = self.journal.load_full() {
                    journal.begin_close();
                    return Ok(self.leave());
                }
                let when = if process::exiting() {
                    "before the program ended (queue_batch.exit_timeout), so it is lost; a queue_batch.journal would \
                     have kept it"
                } else {
                    "before stop's deadline"
                };
                let error = Error::backend(
                    Kind::FlushTimeout,
                    self.backend.name(),
                    true,
                    format!(
                        "not delivered {when}{}. It may still arrive if it was on its way.",
                        self.last_error_suffix()
                    ),
                );
                self.abandon(&error);
                return Ok(0);
            }
            other => other?,
        }
        let number = {
            let mut intake = wait::lock(&self.intake);
            let Some(number) = intake.worker else {
                return Ok(0);
            };
            intake.closing = true;
            self.poke_locked(&mut intake);
            number
        };
        let mut wait = Wait::new(deadline, interrupt);
        let mut ledger = wait::lock(&self.ledger);
        // Delivered all there was: the worker is at most finishing what came since.
        while {
            let intake = wait::lock(&self.intake);
            intake.worker == Some(number) && intake.closing
        } {
            if wait.expired() {
                break;
            }
            ledger = wait.on(&self.progress, ledger, &self.ledger)?;
        }
        drop(ledger);
        Ok(0)
    }

    /// Ends the wait of producers that wait for room, with an error.
    fn release_producers(self: &Arc<Self>) {
        let mut intake = wait::lock(&self.intake);
        intake.stops += 1;
        self.release_callers(&mut intake);
        drop(intake);
        self.room.notify_all();
    }

    /// What was given up and no `DeliveryError` has carried yet, and how many more there were that are no
    /// longer kept; from now on one has.
    pub fn take_unreported(&self) -> (Vec<Failed>, u64) {
        let mut ledger = wait::lock(&self.ledger);
        let failed = ledger
            .kept
            .iter_mut()
            .filter_map(|kept| {
                let reported = std::mem::replace(&mut kept.reported, true);
                (!reported).then(|| kept.failed.clone())
            })
            .collect();
        (failed, std::mem::take(&mut ledger.forgotten))
    }

    /// What was given up and is kept.
    pub fn failed_messages(&self) -> Vec<Failed> {
        let ledger = wait::lock(&self.ledger);
        ledger.kept.iter().map(|kept| kept.failed.clone()).collect()
    }

    /// Queues again what was given up; how many. `None`: the journal was closed meanwhile, and nothing was changed.
    pub fn retry_failed(self: &Arc<Self>) -> Result<Option<usize>> {
        if wait::lock(&self.ledger).kept.is_empty() {
            return Ok(Some(0));
        }
        self.ensure_worker()?;
        let _busy = self.be_busy();
        let mut kept = wait::lock(&self.ledger).take_kept();
        let numbers: Vec<_> = kept.iter().filter_map(|kept| kept.number).collect();
        if !numbers.is_empty() {
            let requeued = match &*self.journal.load() {
                Some(journal) => journal.requeue(&numbers),
                None => Ok(None),
            };
            let Ok(Some(new)) = requeued else {
                wait::lock(&self.ledger).put_back(kept);
                return requeued.map(|_| None);
            };
            let numbered = kept.iter_mut().filter(|kept| kept.number.is_some());
            for (kept, new) in numbered.zip(new) {
                kept.number = Some(new);
            }
        }
        let mut ledger = self.lock_absorbed();
        let now = self.now();
        let count = kept.len();
        {
            let mut intake = wait::lock(&self.intake);
            for kept in kept {
                intake.pending += 1;
                intake.pending_bytes += kept.failed.message.size();
                ledger.requeue(kept.failed.message, kept.number, now);
            }
        }
        drop(ledger);
        self.poke();
        Ok(Some(count))
    }

    /// Forgets what was given up; how many. They stay counted as failed. `None`: the journal was closed meanwhile, and
    /// nothing was changed.
    pub fn drop_failed(self: &Arc<Self>, interrupt: &dyn Interrupt) -> Result<Option<usize>> {
        let _busy = self.be_busy();
        let kept = wait::lock(&self.ledger).take_kept();
        let numbers: Vec<_> = kept.iter().filter_map(|kept| kept.number).collect();
        if !numbers.is_empty() {
            let dropped = match &*self.journal.load() {
                Some(journal) => journal.drop_failed(numbers, interrupt)?,
                None => false,
            };
            if !dropped {
                wait::lock(&self.ledger).put_back(kept);
                return Ok(None);
            }
        }
        Ok(Some(kept.len()))
    }

    /// Keeps the journal from being closed by a `stop` that finds nothing to do.
    fn be_busy(self: &Arc<Self>) -> Busy<'_> {
        wait::lock(&self.intake).reserved += 1;
        Busy(self)
    }

    pub(super) fn lock_absorbed(&self) -> MutexGuard<'_, Ledger> {
        let mut ledger = wait::lock(&self.ledger);
        let intake = wait::lock(&self.intake);
        self.take_in(&mut ledger, intake);
        ledger
    }

    /// As [`Self::lock_absorbed`], for a thread that must not be kept: `None` where others are at it, or much has come in.
    pub(super) fn try_lock_absorbed(&self) -> Option<MutexGuard<'_, Ledger>> {
        // Mostly it is free again in no time.
        let mut ledger = (0..TRIES).find_map(|_| {
            std::hint::spin_loop();
            self.ledger.try_lock().ok()
        })?;
        let intake = wait::lock(&self.intake);
        if intake.incoming.len() > FEW {
            return None;
        }
        self.take_in(&mut ledger, intake);
        Some(ledger)
    }

    fn take_in(&self, ledger: &mut Ledger, mut intake: MutexGuard<'_, Intake>) {
        if intake.incoming.is_empty() {
            return;
        }
        let since = ledger.take_over(&mut intake);
        // It sleeps until so many are incoming, these among them.
        self.poke_locked(&mut intake);
        drop(intake);
        ledger.order_taken(since);
    }

    /// The latest error, for the end of a sentence; empty if there was none.
    pub fn last_error_suffix(&self) -> String {
        match self.stats().last_error {
            Some(error) => format!(" (last error: {error})"),
            None => String::new(),
        }
    }
}
