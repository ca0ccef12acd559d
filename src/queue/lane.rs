//! The one queue of one backend: its accounts, what its worker does next, and how a request is settled.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::intake::Intake;
use super::order::{Batch, Order, Outcome, Waiting};
use super::retry::Backoff;
use super::{Events, Level, Stats, shown};
use crate::backend::{Backend, Completion, Failures};
use crate::config::QueueConfig;
use crate::error::Error;
use crate::message::{Failed, Message, quote};
use crate::wait;

/// The queue of one backend. Lanes share nothing, so one backend's trouble is never another's.
///
/// Two locks, taken in this order: the ledger (worker, flush, direct verbs), then the intake
/// (producers). Neither is held while a request travels.
pub struct Lane {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) config: QueueConfig,
    pub(super) events: Arc<dyn Events>,
    pub(super) wants_debug: bool,
    orphaned: AtomicBool,
    clock: Box<dyn Clock>,
    pub(super) ledger: Mutex<Ledger>,
    /// Something was settled, or a gate opened, or the worker ended.
    pub(super) progress: Condvar,
    pub(super) intake: Mutex<Intake>,
    /// The worker shall look.
    pub(super) work: Condvar,
    /// There is room, or `stop` was called.
    pub(super) room: Condvar,
}

/// Tells how long the lane has been there. The tests stop it.
pub(super) trait Clock: Send + Sync {
    fn now(&self) -> Duration;
}

impl Clock for Instant {
    fn now(&self) -> Duration {
        self.elapsed()
    }
}

/// What only the worker and those who wait for it touch.
pub(super) struct Ledger {
    pub(super) order: Order,
    delivered: u64,
    failed: u64,
    retried: u64,
    batches: u64,
    last_error: Option<Error>,
    /// Given up, newest last.
    pub(super) kept: VecDeque<Kept>,
    /// Unsettled messages of each flush round, the first being `first_round`.
    rounds: VecDeque<usize>,
    first_round: u32,
    /// Messages up to this round go at once.
    due_round: Option<u32>,
    backoff: Backoff,
    pub(super) paused_until: Option<Duration>,
    requests: usize,
    /// Requests of an older tenure are no longer ours: `stop` has handed their messages back.
    tenure: u64,
}

/// A message given up, kept for `failed_messages`.
pub(super) struct Kept {
    pub(super) failed: Failed,
    /// Whether a `DeliveryError` has carried it.
    pub(super) reported: bool,
}

/// What the worker does next.
pub(super) enum Step {
    Send(Request),
    Sleep {
        until: Option<Duration>,
        wake_at: usize,
    },
    End,
}

/// A batch on its way to the backend.
pub(super) struct Request {
    batch: Batch,
    messages: Vec<Message>,
    tenure: u64,
}

/// What is to be told to events and receipts, none of which blocks or comes back to the lane.
#[derive(Default)]
struct Told {
    delivered: Vec<Waiting>,
    failed: Vec<(Waiting, Error)>,
    /// The log lines besides those of each delivered message.
    lines: Vec<(Level, String)>,
}

impl Lane {
    /// A lane without a worker: the first message starts one.
    pub fn new(backend: Arc<dyn Backend>, config: QueueConfig, events: Arc<dyn Events>) -> Self {
        Self::with_clock(backend, config, events, Box::new(Instant::now()))
    }

    pub(super) fn with_clock(
        backend: Arc<dyn Backend>,
        config: QueueConfig,
        events: Arc<dyn Events>,
        clock: Box<dyn Clock>,
    ) -> Self {
        let repeated_keys = backend.capabilities().repeated_keys;
        Self {
            wants_debug: events.wants_debug(),
            orphaned: AtomicBool::new(false),
            clock,
            ledger: Mutex::new(Ledger {
                order: Order::new(repeated_keys),
                delivered: 0,
                failed: 0,
                retried: 0,
                batches: 0,
                last_error: None,
                kept: VecDeque::new(),
                rounds: VecDeque::from([0]),
                first_round: 0,
                due_round: None,
                backoff: Backoff::new(config.retry),
                paused_until: None,
                requests: 0,
                tenure: 0,
            }),
            progress: Condvar::new(),
            intake: Mutex::new(Intake::default()),
            work: Condvar::new(),
            room: Condvar::new(),
            backend,
            config,
            events,
        }
    }

    /// The backend it leads to.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// How long the end of the program may wait for it.
    pub fn exit_timeout(&self) -> Duration {
        self.config.exit_timeout
    }

    /// Time since the lane was made.
    pub(super) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Nobody holds the lane's handle any more: the worker closes the backend when it ends.
    pub fn orphan(&self) {
        self.orphaned.store(true, Ordering::SeqCst);
        wait::lock(&self.intake).closing = true;
        self.poke();
    }

    pub(super) fn is_orphaned(&self) -> bool {
        self.orphaned.load(Ordering::SeqCst)
    }

    /// Whether a worker is in charge.
    pub fn has_worker(&self) -> bool {
        wait::lock(&self.intake).worker.is_some()
    }

    /// The accounts at one moment.
    pub fn stats(&self) -> Stats {
        let ledger = wait::lock(&self.ledger);
        let intake = wait::lock(&self.intake);
        Stats {
            backend: self.backend.name(),
            accepted: intake.accepted,
            pending: intake.pending as u64,
            in_flight: ledger.order.in_flight() as u64,
            delivered: ledger.delivered,
            replaced: 0,
            failed: ledger.failed,
            retried: ledger.retried,
            batches: ledger.batches,
            bytes: intake.bytes,
            last_error: ledger.last_error.as_ref().map(ToString::to_string),
        }
    }

    /// Takes what came in, and says what worker `number` does at `now` (since the epoch).
    pub(super) fn step(&self, number: u64, now: Duration) -> Step {
        let capabilities = self.backend.capabilities();
        let unit = self.config.size.get().min(capabilities.max_batch);
        let mut ledger = wait::lock(&self.ledger);
        let (closing, crowded) = {
            let mut intake = wait::lock(&self.intake);
            if intake.worker != Some(number) {
                return Step::End;
            }
            ledger.absorb(&mut intake);
            if intake.closing && !self.is_orphaned() && !ledger.is_urgent() && ledger.is_busy() {
                // What `stop` asked for is done; producers have come since, so the lane goes on.
                intake.closing = false;
                self.progress.notify_all();
            }
            (intake.closing, !intake.producers.is_empty())
        };
        let sendable = ledger.order.sendable();
        if ledger.requests >= capabilities.max_in_flight {
            return Step::Sleep {
                until: None,
                wake_at: usize::MAX,
            };
        }
        if let Some(until) = ledger.paused_until.filter(|&until| until > now)
            && sendable > 0
        {
            return Step::Sleep {
                until: Some(until),
                wake_at: usize::MAX,
            };
        }
        if sendable == 0 {
            if closing && self.try_end(&mut ledger) {
                return Step::End;
            }
            return Step::Sleep {
                until: None,
                wake_at: 1,
            };
        }
        let fills_at = ledger.order.oldest_ready().unwrap_or_default() + self.config.timeout;
        let due = closing || crowded || ledger.is_urgent() || fills_at <= now;
        if !due && sendable < unit {
            return Step::Sleep {
                until: Some(fills_at),
                wake_at: unit - sendable,
            };
        }
        let most = unit.saturating_mul(capabilities.batches_per_request);
        let whole = if due {
            sendable
        } else {
            sendable - sendable % unit
        };
        let mut messages = Vec::with_capacity(whole.min(most));
        let batch = ledger.order.take(whole.min(most), &mut messages);
        ledger.batches += batch.len().div_ceil(unit) as u64;
        ledger.requests += 1;
        Step::Send(Request {
            batch,
            messages,
            tenure: ledger.tenure,
        })
    }

    /// Ends the worker's charge if nothing at all is left; else the lane goes on.
    fn try_end(&self, ledger: &mut Ledger) -> bool {
        let mut intake = wait::lock(&self.intake);
        ledger.absorb(&mut intake);
        let ends = !ledger.is_busy();
        if ends {
            intake.worker = None;
            intake.closing = false;
            self.progress.notify_all();
        }
        ends
    }

    /// Hands a request to the backend, which settles it now or later.
    pub(super) fn send(self: &Arc<Self>, request: Request) {
        let Request {
            batch,
            messages,
            tenure,
        } = request;
        let lane = Arc::clone(self);
        let done = Completion::new(self.backend.name(), messages.len(), move |failures| {
            lane.settle(tenure, batch, failures);
        });
        self.backend.send(messages, done);
    }

    fn settle(&self, tenure: u64, batch: Batch, failures: Failures) {
        let now = self.now();
        let mut told = Told::default();
        {
            let mut ledger = wait::lock(&self.ledger);
            if ledger.tenure != tenure {
                return;
            }
            let (count, bytes) = ledger.settle(batch, failures, now, &mut told, || self.jitter());
            for (waiting, error) in &told.failed {
                ledger.keep(self.failed(waiting, error), self.config.max_pending.get());
                let key = quote(waiting.message.key());
                let line = format!("Message given up [{}]: {key}: {error}", self.backend.name());
                told.lines.push((Level::Error, line));
            }
            let mut intake = wait::lock(&self.intake);
            intake.pending -= count;
            intake.pending_bytes -= bytes;
            if !intake.producers.is_empty() {
                self.room.notify_all();
            }
            self.poke_locked(&mut intake);
            drop(intake);
            self.tell(told);
        }
        self.progress.notify_all();
    }

    /// Gives up everything that is not delivered: what waits, and what travels without an answer.
    pub(super) fn abandon(&self, error: &Error) {
        let mut told = Told::default();
        {
            let mut ledger = wait::lock(&self.ledger);
            let mut intake = wait::lock(&self.intake);
            ledger.absorb(&mut intake);
            ledger.tenure += 1;
            ledger.requests = 0;
            ledger.paused_until = None;
            for waiting in ledger.order.take_out_all() {
                ledger.leave_round(waiting.round);
                ledger.failed += 1;
                intake.pending -= 1;
                intake.pending_bytes -= waiting.message.size();
                let failed = self.failed(&waiting, error);
                ledger.keep(failed, self.config.max_pending.get());
                told.failed.push((waiting, error.clone()));
            }
            ledger.last_error = Some(error.clone());
            if let [(first, _), ..] = &told.failed[..] {
                // One line for all: a full queue would fill the log.
                let line = format!(
                    "{} queued message(s) given up [{}], the first is {}: {error}",
                    told.failed.len(),
                    self.backend.name(),
                    quote(first.message.key())
                );
                told.lines.push((Level::Error, line));
            }
            // A worker that is stuck in the backend finds itself dismissed when it comes back.
            intake.worker = None;
            intake.closing = false;
            self.poke_locked(&mut intake);
            drop(intake);
            self.tell(told);
        }
        self.progress.notify_all();
    }

    /// Still under the ledger's lock, so that whoever waits for the ledger finds everything told.
    fn tell(&self, told: Told) {
        for (level, line) in told.lines {
            self.events.log(level, line);
        }
        for waiting in told.delivered {
            if self.wants_debug {
                self.log_written(&waiting.message);
            }
            if let Some(receipt) = waiting.receipt {
                receipt.settle(Ok(()));
            }
        }
        for (waiting, error) in told.failed {
            self.events.given_up(self.failed(&waiting, &error));
            if let Some(receipt) = waiting.receipt {
                receipt.settle(Err(error));
            }
        }
    }

    fn failed(&self, waiting: &Waiting, error: &Error) -> Failed {
        Failed {
            message: waiting.message.clone(),
            backend: self.backend.name(),
            error: error.clone(),
        }
    }

    pub(super) fn log_queued(&self, message: &Message) {
        self.events.log(
            Level::Debug,
            format!(
                "Message queued [{}]: {} -> {}",
                self.backend.name(),
                message.key(),
                shown(message.value())
            ),
        );
    }

    fn log_written(&self, message: &Message) {
        self.events.log(
            Level::Debug,
            format!(
                "Write successful to {} backend: {} -> {}",
                self.backend.name(),
                message.key(),
                shown(message.value())
            ),
        );
    }

    /// Uniform in 0.0..1.0. A fresh hasher's seed is random enough to keep clients out of step.
    #[expect(
        clippy::unused_self,
        clippy::cast_precision_loss,
        reason = "53 random bits"
    )]
    fn jitter(&self) -> f64 {
        use std::hash::{BuildHasher, RandomState};
        let bits = RandomState::new().hash_one(0_u8) >> 11;
        bits as f64 / (1_u64 << 53) as f64
    }
}

impl Ledger {
    /// Takes over what producers left.
    pub(super) fn absorb(&mut self, intake: &mut Intake) {
        if intake.incoming.is_empty() {
            return;
        }
        let round = self.last_round();
        if let Some(count) = self.rounds.back_mut() {
            *count += intake.incoming.len();
        }
        for incoming in intake.incoming.drain(..) {
            self.order.push(Waiting {
                message: incoming.message,
                accepted: incoming.accepted,
                round,
                receipt: incoming.receipt,
            });
        }
        // A buffer that a burst has made large would stay so for ever.
        if intake.incoming.capacity() > 4096 {
            intake.incoming = Vec::new();
        }
    }

    /// Puts a given-up message in the queue again.
    pub(super) fn requeue(&mut self, message: Message, now: Duration) {
        let round = self.last_round();
        if let Some(count) = self.rounds.back_mut() {
            *count += 1;
        }
        self.failed -= 1;
        self.order.push(Waiting {
            message,
            accepted: now,
            round,
            receipt: None,
        });
    }

    /// Settles a request; gives how many messages left the queue, and their bytes.
    fn settle(
        &mut self,
        batch: Batch,
        failures: Failures,
        now: Duration,
        told: &mut Told,
        jitter: impl Fn() -> f64,
    ) -> (usize, usize) {
        self.requests -= 1;
        let (mut again, mut bytes) = (0_u64, 0);
        let last_error = failures.last().map(|(_, error)| error.clone());
        let mut errors: HashMap<usize, Error> = failures.into_iter().collect();
        let backoff = &self.backoff;
        let mut left = Vec::with_capacity(batch.len());
        self.order.settle(
            batch,
            |at, _, first_failure| match errors.get(&at) {
                Some(error)
                    if error.retryable()
                        && !backoff.gives_up(first_failure.unwrap_or(now), now) =>
                {
                    again += 1;
                    Outcome::Again
                }
                _ => Outcome::Settled,
            },
            now,
            |at, waiting| left.push((at, waiting)),
        );
        let count = left.len();
        for (at, waiting) in left {
            bytes += waiting.message.size();
            self.leave_round(waiting.round);
            match errors.remove(&at) {
                None => {
                    self.delivered += 1;
                    told.delivered.push(waiting);
                }
                Some(error) => {
                    self.failed += 1;
                    told.failed.push((waiting, error));
                }
            }
        }
        self.retried += again;
        if again == 0 {
            self.backoff.reset();
            self.paused_until = None;
        } else {
            let pause = self.backoff.next_pause(jitter());
            self.paused_until = Some(now + pause);
            if let Some(error) = &last_error {
                let line = format!(
                    "{again} queued message(s) will be sent again in {:.2} s: {error}",
                    pause.as_secs_f64()
                );
                told.lines.push((Level::Warning, line));
            }
        }
        if last_error.is_some() {
            self.last_error = last_error;
        }
        (count, bytes)
    }

    /// Keeps a given-up message, at most `most` of them.
    fn keep(&mut self, failed: Failed, most: usize) {
        if self.kept.len() >= most {
            self.kept.pop_front();
        }
        self.kept.push_back(Kept {
            failed,
            reported: false,
        });
    }

    fn last_round(&self) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a round is closed by a call; four billion calls do not wait at once"
        )]
        self.first_round
            .wrapping_add(self.rounds.len() as u32)
            .wrapping_sub(1)
    }

    /// Everything accepted so far goes at once; gives the round that ends with it.
    pub(super) fn close_round(&mut self) -> u32 {
        let round = self.last_round();
        self.due_round = Some(round);
        self.paused_until = None;
        self.rounds.push_back(0);
        self.trim_rounds();
        round
    }

    /// Unsettled messages of all rounds up to `round`.
    pub(super) fn unsettled(&self, round: u32) -> usize {
        let ahead = round.wrapping_sub(self.first_round);
        if ahead >= u32::MAX / 2 {
            return 0;
        }
        self.rounds.iter().take(ahead as usize + 1).sum()
    }

    /// Whether anything waits or travels.
    fn is_busy(&self) -> bool {
        self.order.waiting() > 0 || self.requests > 0
    }

    fn is_urgent(&self) -> bool {
        self.due_round
            .is_some_and(|round| self.unsettled(round) > 0)
    }

    fn leave_round(&mut self, round: u32) {
        let at = round.wrapping_sub(self.first_round) as usize;
        if let Some(count) = self.rounds.get_mut(at) {
            *count -= 1;
        }
        self.trim_rounds();
    }

    fn trim_rounds(&mut self) {
        while self.rounds.len() > 1 && self.rounds.front() == Some(&0) {
            self.rounds.pop_front();
            self.first_round = self.first_round.wrapping_add(1);
        }
    }
}
