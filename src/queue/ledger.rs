//! The accounts of one lane: what was delivered and given up, what is kept, and which flush waits for what.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::callers::{Callers, Due};
use super::intake::{Incoming, Intake};
use super::journal::{Fates, Number};
use super::order::{Batch, Order, Outcome, Waiting};
use super::retry::Backoff;
use super::{Level, LogLine, Stats};
use crate::backend::Failures;
use crate::config::RetryConfig;
use crate::error::Error;
use crate::message::{BackendName, Failed, Message};

/// What only the worker and those who wait for it touch.
pub(super) struct Ledger {
    pub(super) order: Order,
    /// Taken from the intake, and not in order yet.
    taken: Vec<Incoming>,
    delivered: u64,
    failed: u64,
    retried: u64,
    requeued: u64,
    left: u64,
    /// Of all that was delivered. Messages that the worker took in together count from the first of them.
    delivery_time: Duration,
    batches: u64,
    last_error: Option<Error>,
    /// Given up, newest last.
    pub(super) kept: VecDeque<Kept>,
    kept_bytes: usize,
    /// Given up and no longer kept, for lack of room, before a `DeliveryError` carried them.
    pub(super) forgotten: u64,
    /// Unsettled messages of each flush round, the first being `first_round`.
    rounds: VecDeque<usize>,
    first_round: u32,
    /// Messages up to this round go at once.
    due_round: Option<u32>,
    backoff: Backoff,
    pub(super) paused_until: Option<Duration>,
    pub(super) requests: usize,
    /// Requests of an older tenure are no longer ours: `stop` has handed their messages back.
    pub(super) tenure: u64,
    /// Those who wait for a gate or a flush, and are called back.
    pub(super) callers: Callers,
}

/// What has become of the messages of one request.
pub(super) struct Verdict {
    /// Those that failed, by their position in the batch. All others were delivered.
    failed: HashMap<usize, (Error, Fate)>,
    last_error: Option<Error>,
    /// The backend has answered, if only for some.
    answered: bool,
}

/// What becomes of a message that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is sent again.
    Again,
    /// It leaves the queue.
    GivenUp,
}

/// A message given up, kept for `failed_messages`.
pub(super) struct Kept {
    pub(super) failed: Failed,
    /// Whether a `DeliveryError` has carried it.
    pub(super) reported: bool,
    /// Its place in the journal, if there is one.
    pub(super) number: Option<Number>,
}

/// What is to be told to events and receipts, none of which blocks or comes back to the lane.
#[derive(Default)]
pub(super) struct Told {
    pub(super) delivered: Vec<Waiting>,
    pub(super) failed: Vec<(Waiting, Error)>,
    /// The log lines besides those of each delivered message.
    pub(super) lines: Vec<LogLine>,
}

impl Ledger {
    pub(super) fn new(repeated_keys: bool, retry: RetryConfig) -> Self {
        Self {
            order: Order::new(repeated_keys),
            taken: Vec::new(),
            delivered: 0,
            failed: 0,
            retried: 0,
            requeued: 0,
            left: 0,
            delivery_time: Duration::ZERO,
            batches: 0,
            last_error: None,
            kept: VecDeque::new(),
            kept_bytes: 0,
            forgotten: 0,
            rounds: VecDeque::from([0]),
            first_round: 0,
            due_round: None,
            backoff: Backoff::new(retry),
            paused_until: None,
            requests: 0,
            tenure: 0,
            callers: Callers::default(),
        }
    }

    pub(super) fn stats(&self, backend: BackendName, intake: &Intake) -> Stats {
        Stats {
            backend,
            accepted: intake.accepted,
            pending: intake.pending as u64,
            in_flight: self.order.in_flight() as u64,
            delivered: self.delivered,
            replaced: 0,
            failed: self.failed,
            retried: self.retried,
            requeued: self.requeued,
            left: self.left,
            delivery_time: self.delivery_time,
            batches: self.batches,
            bytes: intake.bytes,
            last_error: self.last_error.as_ref().map(ToString::to_string),
        }
    }

    /// Takes messages for one request, counted as batches of `unit`; gives the tenure it belongs to.
    pub(super) fn take(
        &mut self,
        most: usize,
        unit: usize,
        messages: &mut Vec<Message>,
    ) -> (Batch, u64) {
        let batch = self.order.take(most, messages, |_, _| true);
        self.batches += batch.len().div_ceil(unit) as u64;
        self.requests += 1;
        (batch, self.tenure)
    }

    /// Takes messages that need not be sent any more, since the backend has been down for too long. To be settled like
    /// a request, with the verdict that is given.
    pub(super) fn take_expired(&mut self) -> Option<(Batch, Verdict, u64)> {
        /// So many that nobody waits long for the lock.
        const MOST: usize = 1000;
        if !self.backoff.is_down() {
            return None;
        }
        let error = self.last_error.clone()?;
        let (backoff, mut messages) = (&self.backoff, Vec::new());
        let batch = self
            .order
            .take(MOST, &mut messages, |waiting, first_failure| {
                backoff.has_expired(waiting.accepted, first_failure)
            });
        if batch.len() == 0 {
            return None;
        }
        self.requests += 1;
        let given_up = |at| (at, (error.clone(), Fate::GivenUp));
        let verdict = Verdict {
            failed: (0..batch.len()).map(given_up).collect(),
            last_error: None,
            answered: false,
        };
        Some((batch, verdict, self.tenure))
    }

    /// Whether another request may go now: to a backend that is down only one at a time.
    pub(super) fn may_send(&self, most: usize) -> bool {
        let most = if self.backoff.is_down() { 1 } else { most };
        self.requests < most
    }

    /// Gives up everything that is not delivered, and disowns the requests that are still out.
    pub(super) fn give_up_all(&mut self) -> Vec<Waiting> {
        let all = self.take_out_all();
        self.failed += all.len() as u64;
        all
    }

    /// Takes out everything that is not delivered, to be left in the journal, and disowns the requests that are still out.
    pub(super) fn leave_all(&mut self) -> Vec<Waiting> {
        let all = self.take_out_all();
        self.left += all.len() as u64;
        all
    }

    /// Takes out everything that is not delivered, and disowns the requests that are still out.
    fn take_out_all(&mut self) -> Vec<Waiting> {
        self.tenure += 1;
        self.requests = 0;
        self.paused_until = None;
        let all = self.order.take_out_all();
        for waiting in &all {
            self.leave_round(waiting.round);
        }
        all
    }

    /// Takes over what producers left.
    pub(super) fn absorb(&mut self, intake: &mut Intake) {
        let since = self.take_over(intake);
        self.order_taken(since);
    }

    /// The first half of [`Self::absorb`], which needs the intake, and takes no time; when they came.
    pub(super) fn take_over(&mut self, intake: &mut Intake) -> Duration {
        // Always empty here. It goes in, so that producers need not make their buffer grow anew.
        std::mem::swap(&mut intake.incoming, &mut self.taken);
        intake.incoming_since
    }

    /// The second half, which needs nothing of the intake any more.
    pub(super) fn order_taken(&mut self, since: Duration) {
        if self.taken.is_empty() {
            return;
        }
        let round = self.last_round();
        if let Some(count) = self.rounds.back_mut() {
            *count += self.taken.len();
        }
        for incoming in self.taken.drain(..) {
            self.order.push(Waiting {
                message: incoming.message,
                accepted: since,
                round,
                receipt: incoming.receipt,
                number: incoming.number,
            });
        }
        // A buffer that a burst has made large would stay so for ever.
        if self.taken.capacity() > 4096 {
            self.taken = Vec::new();
        }
    }

    /// Puts a given-up message in the queue again.
    pub(super) fn requeue(&mut self, message: Message, number: Option<Number>, now: Duration) {
        self.failed -= 1;
        self.requeued += 1;
        self.add(message, number, now);
    }

    /// Puts a message in the queue that comes from the journal or was given up, not from a producer.
    pub(super) fn add(&mut self, message: Message, number: Option<Number>, now: Duration) {
        let round = self.last_round();
        if let Some(count) = self.rounds.back_mut() {
            *count += 1;
        }
        self.order.push(Waiting {
            message,
            accepted: now,
            round,
            receipt: None,
            number,
        });
    }

    /// Decides, once, what becomes of the messages of a request that has ended.
    pub(super) fn judge(&mut self, batch: &Batch, failures: Failures, now: Duration) -> Verdict {
        let down =
            failures.len() == batch.len() && failures.iter().all(|(_, error)| error.retryable());
        if down {
            self.backoff.note_outage(now);
        } else {
            self.backoff.end_outage();
        }
        let last_error = failures.last().map(|(_, error)| error.clone());
        let with_fate = |(at, error)| (at, (error, Fate::GivenUp));
        let mut failed: HashMap<usize, (Error, Fate)> =
            failures.into_iter().map(with_fate).collect();
        if !failed.is_empty() {
            let backoff = &self.backoff;
            self.order.look_at(batch, |at, waiting, first_failure| {
                if let Some((error, fate)) = failed.get_mut(&at)
                    && error.retryable()
                    && backoff.goes_again(waiting.accepted, first_failure, now)
                {
                    *fate = Fate::Again;
                }
            });
        }
        Verdict {
            failed,
            last_error,
            answered: !down,
        }
    }

    /// What the journal has to note of it.
    pub(super) fn fates(&self, batch: &Batch, verdict: &Verdict) -> Fates {
        let mut fates = Fates::default();
        self.order.look_at(batch, |at, waiting, _| {
            match (waiting.number, verdict.failed.get(&at)) {
                (None, _) | (_, Some((_, Fate::Again))) => {}
                (Some(number), None) => fates.settled.push(number),
                (Some(number), Some((error, Fate::GivenUp))) => {
                    fates.failed.push((number, error.clone()));
                }
            }
        });
        fates
    }

    /// Settles a request as was decided; gives how many messages left the queue, and their bytes.
    pub(super) fn settle(
        &mut self,
        batch: Batch,
        verdict: Verdict,
        now: Duration,
        told: &mut Told,
        jitter: impl Fn() -> f64,
    ) -> (usize, usize) {
        self.requests -= 1;
        let (mut again, mut bytes) = (0_u64, 0);
        let Verdict {
            mut failed,
            last_error,
            answered,
        } = verdict;
        let mut left = Vec::with_capacity(batch.len());
        self.order.settle(
            batch,
            |at, _, _| match failed.get(&at) {
                Some((_, Fate::Again)) => {
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
            match failed.remove(&at) {
                None => {
                    self.delivered += 1;
                    self.delivery_time += now.saturating_sub(waiting.accepted);
                    told.delivered.push(waiting);
                }
                Some((error, _)) => {
                    self.failed += 1;
                    told.failed.push((waiting, error));
                }
            }
        }
        self.retried += again;
        if again == 0 {
            if answered {
                self.backoff.reset();
                self.paused_until = None;
            }
        } else {
            let pause = self.backoff.next_pause(jitter());
            self.paused_until = Some(now + pause);
            if let Some(error) = &last_error {
                let line = format!(
                    "{again} queued message(s) will be sent again in {:.2} s: {error}",
                    pause.as_secs_f64()
                );
                let line = LogLine::new(Level::Warning, line);
                told.lines.push(LogLine {
                    count: Some(again),
                    ..line
                });
            }
        }
        if last_error.is_some() {
            self.last_error = last_error;
        }
        (count, bytes)
    }

    /// Keeps a given-up message. What is in no journal is bounded, like the queue itself: by `most` messages, and by
    /// `most_bytes`.
    pub(super) fn keep(&mut self, kept: Kept, most: usize, most_bytes: usize) {
        let bounded = kept.number.is_none();
        self.kept_bytes += kept.failed.message.size();
        self.kept.push_back(kept);
        while bounded && (self.kept.len() > most || self.kept_bytes > most_bytes) {
            let Some(oldest) = self.kept.pop_front() else {
                break;
            };
            self.kept_bytes -= oldest.failed.message.size();
            self.forgotten += u64::from(!oldest.reported);
        }
    }

    /// Takes all that is kept.
    pub(super) fn take_kept(&mut self) -> VecDeque<Kept> {
        self.kept_bytes = 0;
        std::mem::take(&mut self.kept)
    }

    /// A message that an earlier owner of the journal has given up.
    pub(super) fn inherit(&mut self, kept: Kept) {
        self.failed += 1;
        self.kept_bytes += kept.failed.message.size();
        self.kept.push_back(kept);
    }

    /// Puts back what could not be queued again.
    pub(super) fn put_back(&mut self, kept: VecDeque<Kept>) {
        let since = self.take_kept();
        for kept in kept.into_iter().chain(since) {
            self.kept_bytes += kept.failed.message.size();
            self.kept.push_back(kept);
        }
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
        self.paused_until = None;
        let mut round = self.last_round();
        if self.rounds.len() > 1 && self.rounds.back() == Some(&0) {
            // Nothing has come since the one before was closed.
            round = round.wrapping_sub(1);
            self.due_round = Some(round);
            return round;
        }
        self.due_round = Some(round);
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
    pub(super) fn is_busy(&self) -> bool {
        self.order.waiting() > 0 || self.requests > 0
    }

    /// Who is to be told, now that something has been settled or released.
    pub(super) fn take_due(&mut self) -> Vec<Due> {
        let mut due = Vec::new();
        for caller in self.order.take_called() {
            due.extend(self.callers.open(caller));
        }
        if self.callers.has_flushes() {
            let mut callers = std::mem::take(&mut self.callers);
            callers.flushed(|round| self.unsettled(round), &mut due);
            self.callers = callers;
        }
        due
    }

    pub(super) fn is_urgent(&self) -> bool {
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
