//! The one queue of one backend: its accounts, what its worker does next, and how a request is settled.

use crate::sync::{Condvar, Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::intake::Intake;
use super::journal::Journal;
use super::ledger::{Kept, Ledger, Told, Verdict};
use super::order::{Batch, Waiting};
use super::{Events, Level, LogLine, Stats, shown};
use crate::backend::{Backend, Completion, Failures};
use crate::config::QueueConfig;
use crate::error::Error;
use crate::executor::Line;
use crate::message::{BackendName, Failed, Message, quote};
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
    /// The open journal. Never asked for anything with a lock of the lane in hand: it may wait for the disk.
    pub(super) journal: ArcSwapOption<Journal>,
    /// Direct verbs that are called back, and found the ledger locked.
    pub(super) begun: Line,
    /// Those of them that wait for the journal to note what has left.
    pub(super) noting: Line,
    /// How often what waited was left in the journal.
    pub(super) departures: AtomicU64,
    /// Something is in the journal that was closed, and nobody has opened it since.
    pub(super) left_behind: AtomicBool,
}

/// Most messages of several batches in one request: whoever waits for one of them, or behind them, shall not wait for a
/// million.
const MOST_AT_ONCE: usize = 10_000;

/// Tells how long the lane has been there. The tests stop it.
pub(super) trait Clock: Send + Sync {
    fn now(&self) -> Duration;
}

impl Clock for Instant {
    fn now(&self) -> Duration {
        self.elapsed()
    }
}

/// What the worker does next.
pub(super) enum Step {
    Send(Request),
    /// These have waited too long for a backend that is down.
    GiveUp {
        batch: Batch,
        verdict: Verdict,
        tenure: u64,
    },
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
            ledger: Mutex::new(Ledger::new(repeated_keys, config.retry)),
            progress: Condvar::new(),
            intake: Mutex::new(Intake::default()),
            work: Condvar::new(),
            room: Condvar::new(),
            journal: ArcSwapOption::const_empty(),
            begun: Line::default(),
            noting: Line::default(),
            departures: AtomicU64::new(0),
            left_behind: AtomicBool::new(false),
            backend,
            config,
            events,
        }
    }

    /// The backend it leads to.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// As [`Self::backend`], to be kept.
    pub fn backend_handle(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.backend)
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
        ledger.stats(self.backend.name(), &intake)
    }

    /// Takes what came in, and says what worker `number` does at `now` (since the epoch).
    pub(super) fn step(&self, number: u64, now: Duration) -> Step {
        let capabilities = self.backend.capabilities();
        let unit = self.config.size.get().min(capabilities.max_batch);
        let mut ledger = wait::lock(&self.ledger);
        let since = {
            let mut intake = wait::lock(&self.intake);
            if intake.worker != Some(number) {
                return Step::End;
            }
            ledger.take_over(&mut intake)
        };
        ledger.order_taken(since);
        let (closing, crowded) = {
            let mut intake = wait::lock(&self.intake);
            if intake.worker != Some(number) {
                return Step::End;
            }
            if intake.closing && !self.is_orphaned() && ledger.is_busy() {
                // `stop` has waited for all there was; producers have come since, so the lane goes on.
                intake.closing = false;
                self.progress.notify_all();
            }
            (intake.closing, !intake.producers.is_empty())
        };
        if let Some((batch, verdict, tenure)) = ledger.take_expired() {
            return Step::GiveUp {
                batch,
                verdict,
                tenure,
            };
        }
        let sendable = ledger.order.sendable();
        if !ledger.may_send(capabilities.max_in_flight) {
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
            // What that has just taken in is nobody's to wake for: look again at once.
            let wake_at = usize::from(ledger.order.sendable() == 0);
            return Step::Sleep {
                until: None,
                wake_at,
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
        let most = unit
            .saturating_mul(capabilities.batches_per_request)
            .min(unit.max(MOST_AT_ONCE));
        let whole = if due {
            sendable
        } else {
            sendable - sendable % unit
        };
        let mut messages = Vec::with_capacity(whole.min(most));
        let (batch, tenure) = ledger.take(whole.min(most), unit, &mut messages);
        Step::Send(Request {
            batch,
            messages,
            tenure,
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

    fn settle(self: &Arc<Self>, tenure: u64, batch: Batch, failures: Failures) {
        let now = self.now();
        let mut ledger = wait::lock(&self.ledger);
        if ledger.tenure != tenure {
            return self.disown(ledger, batch);
        }
        // What has come in by now could have been in this request.
        let since = ledger.take_over(&mut wait::lock(&self.intake));
        ledger.order_taken(since);
        let verdict = ledger.judge(&batch, failures, now);
        self.carry_out(ledger, tenure, batch, verdict, now);
    }

    /// Gives up what has waited too long for a backend that is down.
    pub(super) fn give_up(self: &Arc<Self>, tenure: u64, batch: Batch, verdict: Verdict) {
        let ledger = wait::lock(&self.ledger);
        if ledger.tenure != tenure {
            return self.disown(ledger, batch);
        }
        self.carry_out(ledger, tenure, batch, verdict, self.now());
    }

    /// The messages of this request have been handed back, or left in the journal, while it was on its way.
    fn disown(&self, mut ledger: MutexGuard<'_, Ledger>, batch: Batch) {
        ledger.order.disown(batch);
        let waiting = ledger.order.sendable() > 0;
        self.announce(ledger);
        if waiting {
            self.poke();
        }
    }

    fn carry_out<'a>(
        self: &'a Arc<Self>,
        mut ledger: MutexGuard<'a, Ledger>,
        tenure: u64,
        batch: Batch,
        verdict: Verdict,
        now: Duration,
    ) {
        let mut told = Told::default();
        if let Some(journal) = &*self.journal.load() {
            let fates = ledger.fates(&batch, &verdict);
            drop(ledger);
            journal.settle(&fates);
            ledger = wait::lock(&self.ledger);
            if ledger.tenure != tenure {
                return self.disown(ledger, batch);
            }
        }
        {
            let (count, bytes) = ledger.settle(batch, verdict, now, &mut told, wait::jitter);
            for (waiting, error) in &told.failed {
                self.keep(&mut ledger, waiting, error);
                let key = quote(waiting.message.key());
                let line = format!("Message given up [{}]: {key}: {error}", self.backend.name());
                let line = LogLine::new(Level::Error, line);
                told.lines.push(line.of(waiting.message.key()));
            }
            let mut intake = wait::lock(&self.intake);
            intake.pending -= count;
            intake.pending_bytes -= bytes;
            self.admit(&mut intake);
            self.poke_locked(&mut intake);
            drop(intake);
            self.tell(told);
        }
        self.announce(ledger);
    }

    /// Gives up everything that is not delivered: what waits, and what travels without an answer.
    pub(super) fn abandon(self: &Arc<Self>, error: &Error) {
        let mut told = Told::default();
        {
            let mut ledger = wait::lock(&self.ledger);
            let mut intake = wait::lock(&self.intake);
            ledger.absorb(&mut intake);
            for waiting in ledger.give_up_all() {
                intake.pending -= 1;
                intake.pending_bytes -= waiting.message.size();
                self.keep(&mut ledger, &waiting, error);
                told.failed.push((waiting, error.clone()));
            }
            if let [(first, _), ..] = &told.failed[..] {
                // One line for all: a full queue would fill the log.
                let line = format!(
                    "{} queued message(s) given up [{}], the first is {}: {error}",
                    told.failed.len(),
                    self.backend.name(),
                    quote(first.message.key())
                );
                let line = LogLine::new(Level::Error, line);
                told.lines.push(line.about(told.failed.len()));
            }
            // A worker that is stuck in the backend finds itself dismissed when it comes back.
            intake.worker = None;
            intake.closing = false;
            self.admit(&mut intake);
            self.poke_locked(&mut intake);
            drop(intake);
            self.tell(told);
            self.announce(ledger);
        }
    }

    /// Still under the ledger's lock, so that whoever waits for the ledger finds everything told.
    fn tell(&self, told: Told) {
        for line in told.lines {
            self.log(line);
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

    fn keep(&self, ledger: &mut Ledger, waiting: &Waiting, error: &Error) {
        let kept = Kept {
            failed: self.failed(waiting, error),
            reported: false,
            number: waiting.number,
        };
        let most = self.config.max_pending.get();
        ledger.keep(kept, most, self.config.max_pending_bytes.get() / 2);
    }

    fn failed(&self, waiting: &Waiting, error: &Error) -> Failed {
        Failed {
            message: waiting.message.clone(),
            backend: self.backend.name(),
            error: error.clone(),
        }
    }

    pub(super) fn log_queued(&self, message: &Message) {
        let (key, value) = (message.key(), shown(message.value()));
        let text = format!("Message queued [{}]: {key} -> {value}", self.backend.name());
        self.log(LogLine::new(Level::Debug, text).of(key));
    }

    fn log_written(&self, message: &Message) {
        self.log(written(self.backend.name(), message));
    }

    /// One line about this lane's backend.
    pub(super) fn log(&self, line: LogLine) {
        self.events.log(line.on(self.backend.name()));
    }
}

/// The debug line of a message that has been written.
pub fn written(backend: BackendName, message: &Message) -> LogLine {
    let (key, value) = (message.key(), shown(message.value()));
    let text = format!("Write successful to {backend} backend: {key} -> {value}");
    LogLine::new(Level::Debug, text).on(backend).of(key)
}
