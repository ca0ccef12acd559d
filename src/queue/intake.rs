//! What producers touch: a bounded buffer behind one short lock, and the line of those who wait for room.

use crate::sync::MutexGuard;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::callers::Producer;
use super::journal::{Journal, Number, Taken};
use super::lane::Lane;
use super::receipt::Receipt;
use crate::config::WhenFull;
use crate::error::{Error, Kind, Result};
use crate::message::{Message, quote};
use crate::sync::thread::{self, ThreadId};
use crate::wait::{self, Interrupt, Never, Wait};

/// A message that the worker has not seen yet.
pub(super) struct Incoming {
    pub(super) message: Message,
    pub(super) receipt: Option<Receipt>,
    /// Its place in the journal, if there is one.
    pub(super) number: Option<Number>,
}

/// A message that has its room, and is in the journal's file.
pub(super) struct Entering {
    incoming: Incoming,
    taken: Taken,
    journal: Arc<Journal>,
}

/// A producer's place among those who wait for room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    number: u64,
    /// Who waits; nobody does for those who are called back.
    thread: Option<ThreadId>,
}

/// The state that every enqueue touches. Locked last, and only for a few instructions.
#[derive(Default)]
pub(super) struct Intake {
    pub(super) incoming: Vec<Incoming>,
    /// When the first of them came: all count from then, which saves each a look at the clock.
    pub(super) incoming_since: Duration,
    /// Messages accepted and not settled, wherever they are.
    pub(super) pending: usize,
    pub(super) pending_bytes: usize,
    /// Messages that have their room, and are on their way into the journal.
    pub(super) reserved: usize,
    pub(super) reserved_bytes: usize,
    pub(super) accepted: u64,
    pub(super) bytes: u64,
    /// Producers waiting for room, first come first served.
    pub(super) producers: VecDeque<Ticket>,
    /// Those of the producers that are called back, by their numbers.
    pub(super) callers: HashMap<u64, Producer>,
    next_ticket: u64,
    /// Counts `stop`: a producer that waits across one is released with an error.
    pub(super) stops: u64,
    /// The worker that is in charge, by its number.
    pub(super) worker: Option<u64>,
    pub(super) next_worker: u64,
    /// The worker sleeps, and shall be woken once this many messages are incoming.
    pub(super) wake_at: Option<usize>,
    /// The worker shall look again, whatever is incoming.
    pub(super) poked: bool,
    /// The worker shall end once nothing is left.
    pub(super) closing: bool,
}

impl Ticket {
    pub(super) fn number(self) -> u64 {
        self.number
    }
}

impl Intake {
    /// Room that was reserved is free again.
    fn give_back(&mut self, size: usize) {
        self.reserved -= 1;
        self.reserved_bytes -= size;
    }

    /// One more message is accepted and waits.
    pub(super) fn count_in(&mut self, size: usize) {
        self.pending += 1;
        self.pending_bytes += size;
        self.accepted += 1;
        self.bytes += size as u64;
    }

    fn draw_ticket(&mut self) -> Ticket {
        let ticket = self.new_ticket(Some(thread::current().id()));
        // A signal handler that runs on top of a waiting call must not wait behind it.
        let below = self
            .producers
            .iter()
            .position(|other| other.thread == ticket.thread);
        self.producers
            .insert(below.unwrap_or(self.producers.len()), ticket);
        ticket
    }

    /// A producer that is called back stands at the end of the line.
    pub(super) fn add_caller(&mut self, producer: Producer) {
        let ticket = self.new_ticket(None);
        self.producers.push_back(ticket);
        self.callers.insert(ticket.number, producer);
    }

    fn new_ticket(&mut self, thread: Option<ThreadId>) -> Ticket {
        let number = self.next_ticket;
        self.next_ticket += 1;
        Ticket { number, thread }
    }
}

impl Lane {
    /// Accepts a message if that needs no waiting; else hands it back.
    ///
    /// # Errors
    /// Those of [`Self::enqueue`] that are known at once.
    pub fn try_enqueue(
        &self,
        message: Message,
        receipt: Option<Receipt>,
    ) -> Result<Option<(Message, Option<Receipt>)>> {
        self.check_size(&message)?;
        // A journal means waiting for a disk.
        if self.config.journal.is_some() {
            return Ok(Some((message, receipt)));
        }
        let Ok(mut intake) = self.intake.try_lock() else {
            return Ok(Some((message, receipt)));
        };
        if intake.worker.is_none() || !self.has_room(&intake, &message, None) {
            return Ok(Some((message, receipt)));
        }
        let number = None;
        self.accept(
            &mut intake,
            Incoming {
                message,
                receipt,
                number,
            },
        );
        Ok(None)
    }

    /// Accepts a message, waiting for room if the queue is full and configured so. With a journal it is in that when
    /// this returns. `false`: the journal was closed meanwhile, and nothing was accepted.
    pub fn enqueue(
        self: &Arc<Self>,
        message: Message,
        receipt: Option<Receipt>,
        interrupt: &dyn Interrupt,
    ) -> Result<bool> {
        self.check_size(&message)?;
        let incoming = Incoming {
            message,
            receipt,
            number: None,
        };
        let intake = self.make_room(&incoming.message, interrupt)?;
        if self.config.journal.is_none() {
            self.accept_and_go_on(intake, incoming);
            return Ok(true);
        }
        let entering = match self.put_in_journal(intake, incoming) {
            Ok(Some(entering)) => entering,
            other => return other.map(|_| false),
        };
        self.accept_when_safe(entering, interrupt).map(|()| true)
    }

    /// As [`Self::enqueue`] with a journal, for several in their order, with one disk sync for all. Ends before one for
    /// which there is no room, unless it is the first, which waits for it until `interrupt` says so; gives how each ended
    /// that was tried.
    pub fn enqueue_all(
        self: &Arc<Self>,
        all: Vec<(Message, Option<Receipt>)>,
        interrupt: &dyn Interrupt,
    ) -> Vec<Result<bool>> {
        let mut entered = Vec::with_capacity(all.len());
        for (message, receipt) in all {
            let incoming = Incoming {
                message,
                receipt,
                number: None,
            };
            let intake = self.check_size(&incoming.message).and_then(|()| {
                if entered.is_empty() {
                    return self.make_room(&incoming.message, interrupt).map(Some);
                }
                let intake = self.lock_with_worker()?;
                Ok(self
                    .has_room(&intake, &incoming.message, None)
                    .then_some(intake))
            });
            entered.push(match intake {
                Ok(Some(intake)) => self.put_in_journal(intake, incoming),
                Ok(None) => break,
                Err(error) => Err(error),
            });
        }
        entered
            .into_iter()
            .map(|entering| match entering? {
                Some(entering) => self.accept_when_safe(entering, &Never).map(|()| true),
                None => Ok(false),
            })
            .collect()
    }

    /// Reserves room, and puts the message into the journal's file. `None`: the journal was closed meanwhile, and nothing
    /// was accepted.
    pub(super) fn put_in_journal<'a>(
        self: &'a Arc<Self>,
        mut intake: MutexGuard<'a, Intake>,
        mut incoming: Incoming,
    ) -> Result<Option<Entering>> {
        let Some(journal) = self.journal.load_full() else {
            self.admit(&mut intake);
            return Ok(None);
        };
        let size = incoming.message.size();
        intake.reserved += 1;
        intake.reserved_bytes += size;
        drop(intake);
        match journal.take(self.backend.name(), &incoming.message) {
            Ok(Some(taken)) => {
                incoming.number = Some(taken.number());
                Ok(Some(Entering {
                    incoming,
                    taken,
                    journal,
                }))
            }
            other => {
                let mut intake = wait::lock(&self.intake);
                intake.give_back(size);
                self.admit(&mut intake);
                drop(intake);
                other.map(|_| None)
            }
        }
    }

    /// Waits until a message in the journal is safe, and accepts it.
    pub(super) fn accept_when_safe(
        self: &Arc<Self>,
        entering: Entering,
        interrupt: &dyn Interrupt,
    ) -> Result<()> {
        let Entering {
            incoming,
            taken,
            journal,
        } = entering;
        let message = &incoming.message;
        let safe = journal.make_safe(&taken, self.backend.name(), message, interrupt);
        let mut intake = wait::lock(&self.intake);
        intake.give_back(message.size());
        if safe.is_err() || journal.is_closing() {
            self.admit(&mut intake);
            drop(intake);
            // Where it is closing the message is in it, and whoever opens it next delivers it.
            safe?;
            if let Some(receipt) = incoming.receipt {
                receipt.settle(Err(self.left_in_journal(&journal)));
            }
            return Ok(());
        }
        self.accept_and_go_on(intake, incoming);
        Ok(())
    }

    /// Accepts a message, and sees to it that somebody delivers it: a worker may have ended while this call waited.
    fn accept_and_go_on(self: &Arc<Self>, mut intake: MutexGuard<'_, Intake>, incoming: Incoming) {
        self.accept(&mut intake, incoming);
        self.admit(&mut intake);
        let has_worker = intake.worker.is_some();
        drop(intake);
        if !has_worker {
            // It is accepted: should no thread start now, the next verb tries again.
            let _ = self.ensure_worker();
        }
    }

    /// Waits until the message fits, in fair order; gives the intake with room for it.
    fn make_room(
        self: &Arc<Self>,
        message: &Message,
        interrupt: &dyn Interrupt,
    ) -> Result<MutexGuard<'_, Intake>> {
        let mut intake = self.lock_with_worker()?;
        if self.has_room(&intake, message, None) {
            return Ok(intake);
        }
        if self.config.when_full == WhenFull::Raise {
            return Err(self.full(message, "it is full"));
        }
        let ticket = intake.draw_ticket();
        let stops = intake.stops;
        // Somebody waits for room: what waits for its batch to fill goes now.
        self.poke_locked(&mut intake);
        let mut wait = Wait::new(None, interrupt);
        let outcome = loop {
            if intake.stops != stops {
                break Err(self.full(message, "it was stopped while this call waited for room"));
            }
            if self.has_room(&intake, message, Some(ticket)) {
                break Ok(());
            }
            match wait.on(&self.room, intake, &self.intake) {
                Ok(guard) => intake = guard,
                Err(error) => {
                    intake = wait::lock(&self.intake);
                    break Err(error);
                }
            }
        };
        intake.producers.retain(|&other| other != ticket);
        if outcome.is_err() {
            self.admit(&mut intake);
        }
        outcome.map(|()| intake)
    }

    /// The intake, with a worker in charge.
    pub(super) fn lock_with_worker(self: &Arc<Self>) -> Result<MutexGuard<'_, Intake>> {
        loop {
            self.ensure_worker()?;
            let intake = wait::lock(&self.intake);
            // One that has just ended would leave the message lying.
            if intake.worker.is_some() {
                return Ok(intake);
            }
        }
    }

    pub(super) fn check_size(&self, message: &Message) -> Result<()> {
        let most = self.config.max_pending_bytes.get();
        if message.size() <= most {
            return Ok(());
        }
        Err(Error::backend(
            Kind::Limit,
            self.backend.name(),
            false,
            format!(
                "the message of key {} has {} bytes and can never fit in the queue of {most} bytes. \
                 Raise queue_batch.max_pending_bytes, or write it directly with write_message.",
                quote(message.key()),
                message.size()
            ),
        ))
    }

    pub(super) fn full(&self, message: &Message, why: &str) -> Error {
        Error::backend(
            Kind::QueueFull,
            self.backend.name(),
            true,
            format!(
                "the queue did not take key {}: {why}. Bounds are queue_batch.max_pending ({}) and \
                 max_pending_bytes ({}); flush, wait, or raise them.",
                quote(message.key()),
                self.config.max_pending,
                self.config.max_pending_bytes
            ),
        )
    }

    /// Whether the message fits, for the producer whose turn it is.
    pub(super) fn has_room(
        &self,
        intake: &Intake,
        message: &Message,
        ticket: Option<Ticket>,
    ) -> bool {
        intake
            .producers
            .front()
            .copied()
            .is_none_or(|first| Some(first) == ticket)
            && intake.pending + intake.reserved < self.config.max_pending.get()
            && intake.pending_bytes + intake.reserved_bytes + message.size()
                <= self.config.max_pending_bytes.get()
    }

    pub(super) fn accept(&self, intake: &mut Intake, incoming: Incoming) {
        if self.wants_debug {
            self.log_queued(&incoming.message);
        }
        intake.count_in(incoming.message.size());
        if intake.incoming.is_empty() {
            intake.incoming_since = self.now();
        }
        intake.incoming.push(incoming);
        if intake.wake_at.is_some_and(|at| intake.incoming.len() >= at) {
            intake.wake_at = None;
            self.work.notify_one();
        }
    }

    /// Makes the worker look again.
    pub(super) fn poke(&self) {
        self.poke_locked(&mut wait::lock(&self.intake));
    }

    pub(super) fn poke_locked(&self, intake: &mut Intake) {
        intake.poked = true;
        intake.wake_at = None;
        self.work.notify_one();
    }
}
