//! What a lane does for callers that do not wait in a thread: the same as its blocking functions, which stand in
//! `control` and `intake`; nothing here blocks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::callers::{self, Due, Producer};
use super::control::Hold;
use super::intake::{Incoming, Intake};
use super::lane::Lane;
use super::ledger::Ledger;
use super::receipt::Receipt;
use crate::config::WhenFull;
use crate::error::{Error, Result};
use crate::executor;
use crate::message::Message;
use crate::reply::Reply;
use crate::sync::MutexGuard;
use crate::wait::{self, Cancel, Interrupt};

/// Most who come in while the intake is locked once.
const ADMITTED: usize = 200;

impl Lane {
    /// As [`Self::hold`]. Of several of one key, that which was begun first has the first place.
    pub fn hold_later(
        self: &Arc<Self>,
        keys: Vec<String>,
        cancel: Arc<Cancel>,
        reply: Reply<Hold>,
    ) {
        if self.begun.is_idle()
            && let Some(ledger) = self.try_lock_absorbed()
        {
            return self.hold_with(ledger, keys, cancel, reply);
        }
        // Others are at it, and may take milliseconds: the caller must not wait for that either.
        let lane = Arc::clone(self);
        match executor::get(self.backend.name()) {
            Ok(runtime) => self.begun.push(&runtime, move || {
                lane.hold_with(lane.lock_absorbed(), keys, cancel, reply);
            }),
            Err(error) => reply.give(Err(error)),
        }
    }

    fn hold_with(
        self: &Arc<Self>,
        mut ledger: MutexGuard<'_, Ledger>,
        keys: Vec<String>,
        cancel: Arc<Cancel>,
        reply: Reply<Hold>,
    ) {
        let reply = self.after_journal(keys.clone(), cancel, reply);
        let mut hold = Hold {
            lane: Arc::clone(self),
            gates: Vec::with_capacity(keys.len()),
            caller: None,
        };
        let mut behind = None;
        let mut closed = 0;
        for key in keys {
            let gate = ledger.order.gate(&key);
            if !ledger.order.is_open(gate) {
                ledger.order.hurry(gate);
                closed += 1;
                behind = Some(key);
            }
            hold.gates.push(gate);
        }
        let Some(key) = behind else {
            drop(ledger);
            return reply.give(Ok(hold));
        };
        let gates = hold.gates.clone();
        let (reply, over) = reply.watched();
        let caller = ledger.callers.add_turn(hold, closed, reply);
        for gate in gates {
            ledger.order.call_back(gate, caller);
        }
        ledger.close_round();
        drop(ledger);
        let patience = self.backend.patience();
        let started = self.ensure_worker();
        self.poke();
        if let Err(error) = started {
            return self.give_up_turn(caller, || error);
        }
        self.unless(over, patience, move |lane| {
            lane.give_up_turn(caller, || lane.stands_behind(&key, patience));
        });
    }

    fn give_up_turn(&self, caller: u64, error: impl FnOnce() -> Error) {
        let waiting = wait::lock(&self.ledger).callers.remove_turn(caller);
        if let Some((hold, reply)) = waiting {
            drop(hold);
            reply.give(Err(error()));
        }
    }

    /// What a direct verb has to wait for besides its turn: that the journal has noted what has left.
    fn after_journal(
        self: &Arc<Self>,
        keys: Vec<String>,
        cancel: Arc<Cancel>,
        reply: Reply<Hold>,
    ) -> Reply<Hold> {
        if self.config.journal.is_none() {
            return reply;
        }
        let lane = Arc::clone(self);
        Reply::new(move |hold: Result<Hold>| {
            let hold = match hold {
                Ok(hold) => hold,
                Err(error) => return reply.give(Err(error)),
            };
            let journal = lane.journal.load_full();
            let noting = &lane.noting.clone();
            if noting.is_idle()
                && journal.is_none_or(|journal| journal.is_clear(keys.iter().map(String::as_str)))
            {
                return reply.give(Ok(hold));
            }
            let runtime = match executor::get(lane.backend.name()) {
                Ok(runtime) => runtime,
                Err(error) => return reply.give(Err(error)),
            };
            // In their order: others of the key may wait for the same.
            noting.push(&runtime, move || {
                let noted = lane.before_direct(keys.iter().map(String::as_str), &*cancel);
                reply.give(noted.map(|()| hold));
            });
        })
    }

    /// As [`Self::flush`]: answers when everything accepted so far has left the queue.
    pub fn flush_later(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        cancel: Arc<Cancel>,
        reply: Reply<()>,
    ) {
        let mut ledger = self.lock_absorbed();
        let round = ledger.close_round();
        if ledger.unsettled(round) == 0 {
            drop(ledger);
            return reply.give(Ok(()));
        }
        let (reply, over) = reply.watched();
        let cancelled = ledger.callers.take_cancelled_flushes();
        let caller = ledger.callers.add_flush(round, cancel, reply);
        drop(ledger);
        callers::tell(self.backend.name(), cancelled);
        let started = self.ensure_worker();
        self.poke();
        if let Err(error) = started {
            return self.give_up_flush(caller, error);
        }
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            self.unless(over, left, move |lane| {
                let left = wait::lock(&lane.ledger).unsettled(round);
                lane.give_up_flush(caller, lane.not_flushed(left));
            });
        }
    }

    fn give_up_flush(&self, caller: u64, error: Error) {
        let reply = wait::lock(&self.ledger).callers.remove_flush(caller);
        if let Some(reply) = reply {
            reply.give(Err(error));
        }
    }

    /// Whether direct verbs stand aside that were begun earlier and have no place yet: then what comes now must stand
    /// behind them.
    pub fn has_some_aside(&self) -> bool {
        !self.begun.is_idle()
    }

    /// Does `work` at once, or behind the direct verbs that stand aside.
    pub fn behind_those_aside(&self, runtime: &Handle, work: impl FnOnce() + Send + 'static) {
        if self.has_some_aside() {
            self.begun.push(runtime, work);
        } else {
            work();
        }
    }

    /// As [`Self::enqueue`], without a journal, which would mean waiting for a disk.
    pub fn enqueue_later(
        self: &Arc<Self>,
        message: Message,
        receipt: Option<Receipt>,
        cancel: Arc<Cancel>,
        reply: Reply<()>,
    ) {
        if !self.has_some_aside() {
            return self.enqueue_now(message, receipt, cancel, reply);
        }
        let lane = Arc::clone(self);
        match executor::get(self.backend.name()) {
            Ok(runtime) => self.begun.push(&runtime, move || {
                lane.enqueue_now(message, receipt, cancel, reply);
            }),
            Err(error) => reply.give(Err(error)),
        }
    }

    fn enqueue_now(
        self: &Arc<Self>,
        message: Message,
        receipt: Option<Receipt>,
        cancel: Arc<Cancel>,
        reply: Reply<()>,
    ) {
        let incoming = Incoming {
            message,
            receipt,
            number: None,
        };
        let intake = self
            .check_size(&incoming.message)
            .and_then(|()| self.lock_with_worker());
        let mut intake = match intake {
            Ok(intake) => intake,
            Err(error) => return reply.give(Err(error)),
        };
        if self.has_room(&intake, &incoming.message, None) {
            self.accept(&mut intake, incoming);
            drop(intake);
            return reply.give(Ok(()));
        }
        if self.config.when_full == WhenFull::Raise {
            drop(intake);
            return reply.give(Err(self.full(&incoming.message, "it is full")));
        }
        intake.add_caller(Producer {
            incoming,
            cancel,
            reply,
        });
        // Somebody waits for room: what waits for its batch to fill goes now.
        self.poke_locked(&mut intake);
    }

    /// There may be room: lets those in who stand first in the line and are called back, and wakes those behind them.
    pub(super) fn admit(self: &Arc<Self>, intake: &mut Intake) {
        let mut due = Vec::new();
        while let Some(&first) = intake.producers.front()
            && let Some(producer) = intake.callers.remove(&first.number())
        {
            if producer.cancel.cancelled() {
                intake.producers.pop_front();
                due.push(producer.refused(Error::interrupted()));
            } else if due.len() < ADMITTED && self.has_room(intake, producer.message(), Some(first))
            {
                intake.producers.pop_front();
                self.accept(intake, producer.incoming);
                due.push(Due::Done(producer.reply, Ok(())));
            } else {
                intake.callers.insert(first.number(), producer);
                break;
            }
        }
        if !intake.producers.is_empty() {
            self.room.notify_all();
        }
        if due.is_empty() {
            return;
        }
        let (lane, go_on) = (Arc::clone(self), due.len() >= ADMITTED);
        if go_on || intake.worker.is_none() {
            self.aside(move |_| {
                // Accepted they are: should no thread start now, the next verb tries again.
                let _ = lane.ensure_worker();
                if go_on {
                    lane.admit(&mut wait::lock(&lane.intake));
                }
            });
        }
        callers::tell(self.backend.name(), due);
    }

    /// Sends those away who wait for room and are called back: `stop` was called.
    pub(super) fn release_callers(self: &Arc<Self>, intake: &mut Intake) {
        let producers = std::mem::take(&mut intake.callers);
        if producers.is_empty() {
            return;
        }
        intake
            .producers
            .retain(|ticket| !producers.contains_key(&ticket.number()));
        let refused = producers.into_values();
        let due = refused.map(|producer| Due::Refused(producer, Arc::clone(self)));
        callers::tell(self.backend.name(), due.collect());
    }

    /// Lets go of the ledger, and tells those who wait for what was done in it.
    pub(super) fn announce(&self, mut ledger: MutexGuard<'_, Ledger>) {
        let due = ledger.take_due();
        drop(ledger);
        self.progress.notify_all();
        callers::tell(self.backend.name(), due);
    }

    /// Does `work` in a while, unless what it is for is `over` by then, or the lane is gone.
    fn unless(
        self: &Arc<Self>,
        over: oneshot::Receiver<()>,
        pause: Duration,
        work: impl FnOnce(&Self) + Send + 'static,
    ) {
        let Ok(runtime) = executor::get(self.backend.name()) else {
            return;
        };
        let lane = Arc::downgrade(self);
        runtime.spawn(async move {
            let is_over = tokio::time::timeout(pause, over).await.is_ok();
            if !is_over && let Some(lane) = lane.upgrade() {
                work(&lane);
            }
        });
    }

    /// Does `work` soon, on the runtime, if the lane is still there.
    fn aside(self: &Arc<Self>, work: impl FnOnce(&Self) + Send + 'static) {
        let Ok(runtime) = executor::get(self.backend.name()) else {
            return;
        };
        let lane = Arc::downgrade(self);
        runtime.spawn(async move {
            if let Some(lane) = lane.upgrade() {
                work(&lane);
            }
        });
    }
}
