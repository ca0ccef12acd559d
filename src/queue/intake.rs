//! What producers touch: a bounded buffer behind one short lock, and the line of those who wait for room.

use std::collections::VecDeque;
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::lane::Lane;
use super::receipt::Receipt;
use crate::config::WhenFull;
use crate::error::{Error, Kind, Result};
use crate::message::{Message, quote};
use crate::wait::{self, Interrupt, Wait};

/// A message that the worker has not seen yet.
pub(super) struct Incoming {
    pub(super) message: Message,
    pub(super) receipt: Option<Receipt>,
}

/// A producer's place among those who wait for room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    number: u64,
    thread: ThreadId,
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
    pub(super) accepted: u64,
    pub(super) bytes: u64,
    /// Producers waiting for room, first come first served.
    pub(super) producers: VecDeque<Ticket>,
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

impl Intake {
    fn draw_ticket(&mut self) -> Ticket {
        let ticket = Ticket {
            number: self.next_ticket,
            thread: thread::current().id(),
        };
        self.next_ticket += 1;
        // A signal handler that runs on top of a waiting call must not wait behind it.
        let below = self
            .producers
            .iter()
            .position(|other| other.thread == ticket.thread);
        self.producers
            .insert(below.unwrap_or(self.producers.len()), ticket);
        ticket
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
        let Ok(mut intake) = self.intake.try_lock() else {
            return Ok(Some((message, receipt)));
        };
        if intake.worker.is_none() || !self.has_room(&intake, &message, None) {
            return Ok(Some((message, receipt)));
        }
        self.accept(&mut intake, message, receipt);
        Ok(None)
    }

    /// Accepts a message, waiting for room if the queue is full and configured so.
    pub fn enqueue(
        self: &std::sync::Arc<Self>,
        message: Message,
        receipt: Option<Receipt>,
        interrupt: &dyn Interrupt,
    ) -> Result<()> {
        self.check_size(&message)?;
        self.ensure_worker()?;
        let mut intake = wait::lock(&self.intake);
        if self.has_room(&intake, &message, None) {
            self.accept(&mut intake, message, receipt);
            return Ok(());
        }
        if self.config.when_full == WhenFull::Raise {
            return Err(self.full(&message, "it is full"));
        }
        let ticket = intake.draw_ticket();
        let stops = intake.stops;
        // Somebody waits for room: what waits for its batch to fill goes now.
        self.poke_locked(&mut intake);
        let mut wait = Wait::new(None, interrupt);
        let outcome = loop {
            if intake.stops != stops {
                break Err(self.full(&message, "it was stopped while this call waited for room"));
            }
            if self.has_room(&intake, &message, Some(ticket)) {
                self.accept(&mut intake, message, receipt);
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
        drop(intake);
        // The next in line may fit too.
        self.room.notify_all();
        outcome
    }

    fn check_size(&self, message: &Message) -> Result<()> {
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

    fn full(&self, message: &Message, why: &str) -> Error {
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
    fn has_room(&self, intake: &Intake, message: &Message, ticket: Option<Ticket>) -> bool {
        intake
            .producers
            .front()
            .copied()
            .is_none_or(|first| Some(first) == ticket)
            && intake.pending < self.config.max_pending.get()
            && intake.pending_bytes + message.size() <= self.config.max_pending_bytes.get()
    }

    fn accept(&self, intake: &mut Intake, message: Message, receipt: Option<Receipt>) {
        if self.wants_debug {
            self.log_queued(&message);
        }
        intake.pending += 1;
        intake.pending_bytes += message.size();
        intake.accepted += 1;
        intake.bytes += message.size() as u64;
        if intake.incoming.is_empty() {
            intake.incoming_since = self.now();
        }
        intake.incoming.push(Incoming { message, receipt });
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
