//! Group commit: writers that come while one commits are committed together by the next.
//!
//! All writers stand in one line. Whoever finds the seat free leads: begins a transaction, does the whole
//! line's work in it, and commits once. Sixteen threads thus cost about one disk sync, not sixteen, and a
//! single one pays for no thread and no hand-over.
//!
//! Callers that are called back stand in the same line. One thread at a time, the driver, is there on behalf of all
//! of them: it does for the first what every other writer does for itself, and leads when nobody else does.
//!
//! Nobody waits while they have the seat: who finds the file locked by another process gives the seat back
//! and stays in the line. So a signal handler of Python, which runs on top of a waiting call, may use the
//! same handle: it leads, and brings the call below it along.

use crate::sync::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::client::{Connection, Failure, Settings};
use super::error;
use super::pool::Pool;
use super::work::{Answer, Work};
use crate::backend::Failures;
use crate::error::{Error, Kind, Result};
use crate::executor;
use crate::message::{BackendName, Message};
use crate::process::{self, Inside};
use crate::reply::Reply;
use crate::wait::{self, Cancel, Interrupt, Never, Wait};

/// Most messages that one transaction takes from the line, so that nobody waits for a very long one.
const MOST_GROUPED: usize = 20_000;
/// The first and the longest pause between two attempts to get another process's lock.
const FIRST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

struct Job {
    work: Work,
    caller: Caller,
    answered: AtomicBool,
    /// It is answered, or the seat has become free. Waited for with the lock of `Shared`.
    changed: Condvar,
}

/// Who gets a job's answer.
enum Caller {
    /// A thread that waits for it takes it from here.
    Waits(Mutex<Option<Result<Answer>>>),
    /// Nobody waits. What is cancelled is not begun.
    IsCalledBack {
        reply: Mutex<Option<Reply<Answer>>>,
        cancel: Arc<Cancel>,
        begun: Instant,
    },
}

struct Shared {
    line: VecDeque<Arc<Job>>,
    /// There is a driver.
    driven: bool,
    /// `None`: somebody leads.
    seat: Option<Seat>,
}

/// What a leader has: the right to use the writing connection.
#[derive(Default)]
struct Seat {
    /// Something was written since the last checkpoint.
    written: bool,
}

/// How an attempt to lead ended.
enum Led {
    /// What could be done has been answered.
    Done,
    /// Another process has the file locked; nothing was done.
    Busy,
}

/// The writing side of the local backend.
pub(super) struct Committer {
    settings: Settings,
    busy_timeout: Duration,
    pool: Arc<Pool>,
    shared: Mutex<Shared>,
}

impl Committer {
    pub(super) fn new(settings: Settings, busy_timeout: Duration, pool: Arc<Pool>) -> Self {
        Self {
            settings,
            busy_timeout,
            pool,
            shared: Mutex::new(Shared {
                line: VecDeque::new(),
                driven: false,
                seat: Some(Seat::default()),
            }),
        }
    }

    /// Does `work`, alone or in a group.
    ///
    /// # Errors
    /// Those of the file; `Timeout` if another process keeps it locked; `Interrupted`: then it has not
    /// happened.
    pub(super) fn submit(&self, work: Work, interrupt: &dyn Interrupt) -> Result<Answer> {
        let job = Job::new(work, Caller::Waits(Mutex::default()));
        let mut shared = wait::lock(&self.shared);
        shared.line.push_back(Arc::clone(&job));
        self.see_through(shared, &job, interrupt.begun(), interrupt);
        job.take_answer().unwrap_or_else(|| {
            let text = "a write ended without an answer. Please report this bug.";
            Err(error::local(
                Kind::Backend,
                false,
                &self.settings.path,
                text,
            ))
        })
    }

    /// As [`Self::submit`], for a caller that is called back. Blocks nowhere.
    pub(super) fn submit_later(
        self: &Arc<Self>,
        work: Work,
        cancel: Arc<Cancel>,
        reply: Reply<Answer>,
    ) {
        let runtime = match executor::get(BackendName::Local) {
            Ok(runtime) => runtime,
            Err(error) => return reply.give(Err(error)),
        };
        let caller = Caller::IsCalledBack {
            reply: Mutex::new(Some(reply)),
            cancel,
            begun: Instant::now(),
        };
        let is_driven = {
            let mut shared = wait::lock(&self.shared);
            shared.line.push_back(Job::new(work, caller));
            std::mem::replace(&mut shared.driven, true)
        };
        if !is_driven {
            let committer = Arc::clone(self);
            runtime.spawn_blocking(move || committer.drive());
        }
    }

    /// The driver: sees through the work of those who are called back, one after the other. Whenever it leads it does
    /// the whole line's, so that this seldom goes round more than once for many.
    fn drive(&self) {
        loop {
            let mut shared = wait::lock(&self.shared);
            let next = shared.line.iter().find_map(|job| match &job.caller {
                Caller::IsCalledBack { cancel, begun, .. } => {
                    Some((Arc::clone(job), Arc::clone(cancel), *begun))
                }
                Caller::Waits(_) => None,
            });
            let Some((job, cancel, begun)) = next else {
                shared.driven = false;
                return;
            };
            self.see_through(shared, &job, begun, &*cancel);
        }
    }

    /// Returns once a job of the line is answered. Leads whenever the seat is free.
    fn see_through<'a>(
        &'a self,
        mut shared: MutexGuard<'a, Shared>,
        job: &Arc<Job>,
        begun: Instant,
        interrupt: &dyn Interrupt,
    ) {
        let deadline = begun + self.busy_timeout;
        let mut pause = FIRST_PAUSE;
        let mut wait = Wait::new(None, interrupt);
        // What is called back leads on behalf of many: what it has begun, it ends.
        let (is_waited_for, never) = (
            matches!(job.caller, Caller::Waits(_)),
            &Never as &dyn Interrupt,
        );
        let leading = if is_waited_for { interrupt } else { never };
        loop {
            if job.answered.load(Ordering::Acquire) {
                return;
            }
            let mut slice = wait::SLICE;
            if let Some(mut seat) = shared.seat.take() {
                drop(shared);
                let led = self.lead(&mut seat, job, leading);
                shared = wait::lock(&self.shared);
                shared.seat = Some(seat);
                match led {
                    Led::Done => {
                        if let Some(next) = shared.line.front() {
                            next.changed.notify_one();
                        }
                        continue;
                    }
                    Led::Busy if Instant::now() >= deadline => {
                        shared.leave(job);
                        let expired = shared.take_expired(self.busy_timeout);
                        drop(shared);
                        for job in expired.iter().chain([job]) {
                            let busy = error::busy(&self.settings.path, self.busy_timeout);
                            job.answer(Err(busy), &self.shared);
                        }
                        return;
                    }
                    Led::Busy => {
                        slice = pause;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
            shared = match wait.for_at_most(slice, &job.changed, shared, &self.shared) {
                Ok(shared) => shared,
                Err(error) => {
                    let mut shared = wait::lock(&self.shared);
                    if shared.leave(job) {
                        drop(shared);
                        return job.answer(Err(error), &self.shared);
                    }
                    // It is being committed at this moment: what comes of it must be told.
                    shared
                }
            };
        }
    }

    /// Does the work of the line, in one transaction if that goes well. The leader's own job may be left
    /// for the next time, where many stand before it.
    fn lead(&self, seat: &mut Seat, own: &Arc<Job>, interrupt: &dyn Interrupt) -> Led {
        self.drop_cancelled();
        self.answer_changes_of_nothing();
        let (writes, checkpoints) = self.sort_line();
        if writes {
            let inside = process::enter();
            match self.try_begin(&inside) {
                Ok(connection) => self.commit_group(seat, connection, own, interrupt, inside),
                Err(_) if own.is_checkpoint() => {}
                Err(Failure::Busy) => return Led::Busy,
                Err(failure) => {
                    drop(inside);
                    wait::lock(&self.shared).leave(own);
                    own.answer(Err(self.explain(failure).0), &self.shared);
                }
            }
        }
        if checkpoints {
            let answer = self.checkpoint(seat);
            for job in self.take_checkpoints() {
                job.answer(answer.clone().map(|()| Answer::Checkpointed), &self.shared);
            }
        }
        Led::Done
    }

    fn commit_group(
        &self,
        seat: &mut Seat,
        connection: Connection,
        own: &Arc<Job>,
        interrupt: &dyn Interrupt,
        inside: Inside,
    ) {
        let group = self.take_group();
        let outcome = run_group(&connection, &group, interrupt, &inside);
        seat.written = true;
        match outcome {
            Ok(answers) => {
                self.pool.put_writer(connection, &inside);
                drop(inside);
                for (job, answer) in group.iter().zip(answers) {
                    job.answer(Ok(answer), &self.shared);
                }
            }
            Err(failure) => {
                let (error, broken) = self.explain(failure);
                self.give_back(connection, broken, &inside);
                drop(inside);
                if let [one] = &group[..]
                    && !matches!(one.work, Work::Send(_))
                {
                    one.answer(Err(error), &self.shared);
                    return;
                }
                for job in group {
                    let cancelled = Arc::ptr_eq(&job, own) && interrupt.cancelled();
                    let answer = if cancelled {
                        Err(Error::interrupted())
                    } else {
                        self.run_alone(&job.work)
                    };
                    job.answer(answer, &self.shared);
                }
            }
        }
    }

    /// Whether anybody in the line wants to write, and whether anybody wants a checkpoint.
    fn sort_line(&self) -> (bool, bool) {
        let shared = wait::lock(&self.shared);
        let checkpoints = shared.line.iter().filter(|job| job.is_checkpoint()).count();
        (checkpoints < shared.line.len(), checkpoints > 0)
    }

    /// Takes the writers from the front of the line, as many as fit.
    fn take_group(&self) -> Vec<Arc<Job>> {
        let mut group: Vec<Arc<Job>> = Vec::new();
        let mut size = 0;
        wait::lock(&self.shared).line.retain(|job| {
            if job.is_checkpoint() || size >= MOST_GROUPED {
                return true;
            }
            size += job.work.len();
            let fits = group.is_empty() || size <= MOST_GROUPED;
            if fits {
                group.push(Arc::clone(job));
            }
            !fits
        });
        group
    }

    /// Takes those out of the line whom nobody waits for any more.
    fn drop_cancelled(&self) {
        let mut cancelled = Vec::new();
        wait::lock(&self.shared).line.retain(|job| {
            if job.is_cancelled() {
                cancelled.push(Arc::clone(job));
            }
            !job.is_cancelled()
        });
        for job in cancelled {
            job.answer(Err(Error::interrupted()), &self.shared);
        }
    }

    /// Changing what is not there must not create a file: of those who are called back, the first may find none, up to
    /// one who creates it. (Whoever waits in a thread has looked before.)
    fn answer_changes_of_nothing(&self) {
        let may_find_none = |job: &Job| {
            matches!(job.work, Work::Update(_) | Work::Delete(_))
                && matches!(job.caller, Caller::IsCalledBack { .. })
        };
        let first_of = |shared: &Shared| shared.line.front().is_some_and(|job| may_find_none(job));
        if !first_of(&wait::lock(&self.shared)) || !self.has_nothing_at_its_path() {
            return;
        }
        let mut in_vain = Vec::new();
        {
            let mut shared = wait::lock(&self.shared);
            while first_of(&shared)
                && let Some(job) = shared.line.pop_front()
            {
                in_vain.push(job);
            }
        }
        for job in in_vain {
            let answer = match job.work {
                Work::Update(_) => Answer::Updated(false),
                _ => Answer::Deleted(0),
            };
            job.answer(Ok(answer), &self.shared);
        }
    }

    fn has_nothing_at_its_path(&self) -> bool {
        let path = &self.settings.path;
        std::fs::metadata(path).is_ok_and(|file| file.len() == 0)
            || matches!(path.try_exists(), Ok(false))
    }

    fn take_checkpoints(&self) -> Vec<Arc<Job>> {
        let mut taken = Vec::new();
        wait::lock(&self.shared).line.retain(|job| {
            if job.is_checkpoint() {
                taken.push(Arc::clone(job));
            }
            !job.is_checkpoint()
        });
        taken
    }

    /// One job in a transaction, or several, of its own.
    fn run_alone(&self, work: &Work) -> Result<Answer> {
        let Work::Send(messages) = work else {
            return self.transact(work);
        };
        let mut failures = Vec::new();
        self.send_range(messages, 0, &mut failures);
        Ok(Answer::Sent(failures))
    }

    /// Halves what fails until the message at fault stands alone. After a retryable error nothing later
    /// is written, so that order within a key holds; whether it stopped so.
    fn send_range(&self, messages: &[Message], at: usize, failures: &mut Failures) -> bool {
        let Err(error) = self.transact(&Work::Write(messages.to_vec())) else {
            return false;
        };
        let end = at + messages.len();
        if error.retryable() {
            failures.extend((at..end).map(|at| (at, error.clone())));
            return true;
        }
        if messages.len() == 1 {
            failures.push((at, error));
            return false;
        }
        let (first, second) = messages.split_at(messages.len() / 2);
        let middle = at + first.len();
        if !self.send_range(first, at, failures) {
            return self.send_range(second, middle, failures);
        }
        if let Some((_, error)) = failures.last().cloned() {
            failures.extend((middle..end).map(|at| (at, error.clone())));
        }
        true
    }

    fn transact(&self, work: &Work) -> Result<Answer> {
        let (inside, connection) = self.begin()?;
        let outcome = work
            .run(&connection, &Never, &inside)
            .and_then(|answer| connection.commit(&inside).map(|()| answer));
        match outcome {
            Ok(answer) => {
                self.pool.put_writer(connection, &inside);
                Ok(answer)
            }
            Err(failure) => {
                let (error, broken) = self.explain(failure);
                self.give_back(connection, broken, &inside);
                Err(error)
            }
        }
    }

    /// Begins a transaction, waiting for other processes' locks with the seat in hand: only for what
    /// follows a group that has failed.
    fn begin(&self) -> Result<(Inside, Connection)> {
        let deadline = Instant::now() + self.busy_timeout;
        loop {
            let inside = process::enter();
            match self.try_begin(&inside) {
                Ok(connection) => return Ok((inside, connection)),
                Err(Failure::Busy) if Instant::now() < deadline => {}
                Err(failure) => return Err(self.explain(failure).0),
            }
            drop(inside);
            std::thread::sleep(LONGEST_PAUSE);
        }
    }

    fn try_begin(&self, inside: &Inside) -> std::result::Result<Connection, Failure> {
        let connection = match self.pool.take_writer(inside) {
            Some(connection) => connection,
            None => match Connection::open(&self.settings, true, inside)? {
                Some(connection) => connection,
                // Creating always gives a connection.
                None => return Err(Failure::Busy),
            },
        };
        match connection.begin(inside) {
            Ok(()) => Ok(connection),
            Err(failure) => {
                let broken = matches!(failure, Failure::Error { broken: true, .. });
                self.give_back(connection, broken, inside);
                Err(failure)
            }
        }
    }

    fn explain(&self, failure: Failure) -> (Error, bool) {
        match failure {
            Failure::Busy => (error::busy(&self.settings.path, self.busy_timeout), false),
            Failure::Cancelled => (Error::interrupted(), false),
            Failure::Error { error, broken } => (error, broken),
        }
    }

    fn checkpoint(&self, seat: &mut Seat) -> Result<()> {
        if !seat.written {
            return Ok(());
        }
        let inside = process::enter();
        // Whoever closed the connection has made the checkpoint already.
        if let Some(connection) = self.pool.take_writer(&inside) {
            let outcome = connection.checkpoint(&inside);
            self.pool.put_writer(connection, &inside);
            // What a reader has blocked is left for the next time.
            seat.written = !outcome.map_err(|failure| self.explain(failure).0)?;
        } else {
            seat.written = false;
        }
        Ok(())
    }

    /// Puts the connection back after a failure, or closes it if it is of no more use.
    fn give_back(&self, connection: Connection, broken: bool, inside: &Inside) {
        if connection.roll_back(inside) && !broken {
            self.pool.put_writer(connection, inside);
        } else {
            connection.close(inside);
        }
    }
}

fn run_group(
    connection: &Connection,
    group: &[Arc<Job>],
    interrupt: &dyn Interrupt,
    inside: &Inside,
) -> std::result::Result<Vec<Answer>, Failure> {
    let mut answers = Vec::with_capacity(group.len());
    for job in group {
        answers.push(job.work.run(connection, interrupt, inside)?);
    }
    connection.commit(inside)?;
    Ok(answers)
}

impl Shared {
    /// Takes those out of the line who are called back, and whose time is over: one attempt was for all of them.
    fn take_expired(&mut self, busy_timeout: Duration) -> Vec<Arc<Job>> {
        let mut expired = Vec::new();
        self.line.retain(|job| {
            let is_over = matches!(&job.caller, Caller::IsCalledBack { begun, .. } if begun.elapsed() >= busy_timeout);
            if is_over {
                expired.push(Arc::clone(job));
            }
            !is_over
        });
        expired
    }

    /// Takes a job out of the line; `false` if it was not in it any more.
    fn leave(&mut self, job: &Arc<Job>) -> bool {
        let before = self.line.len();
        self.line.retain(|other| !Arc::ptr_eq(other, job));
        self.line.len() < before
    }
}

impl Job {
    fn new(work: Work, caller: Caller) -> Arc<Self> {
        Arc::new(Self {
            work,
            caller,
            answered: AtomicBool::new(false),
            changed: Condvar::new(),
        })
    }

    fn is_cancelled(&self) -> bool {
        matches!(&self.caller, Caller::IsCalledBack { cancel, .. } if cancel.cancelled())
    }

    fn take_answer(&self) -> Option<Result<Answer>> {
        match &self.caller {
            Caller::Waits(answer) => wait::lock(answer).take(),
            Caller::IsCalledBack { .. } => None,
        }
    }

    fn is_checkpoint(&self) -> bool {
        matches!(self.work, Work::Checkpoint)
    }

    /// The waiting writer looks for its answer with the lock of `Shared`, and lets go of that only to wait:
    /// passing through it in between, the call cannot come before the wait.
    fn answer(&self, answer: Result<Answer>, shared: &Mutex<Shared>) {
        match &self.caller {
            Caller::Waits(slot) => *wait::lock(slot) = Some(answer),
            Caller::IsCalledBack { reply, .. } => {
                let reply = wait::lock(reply).take();
                if let Some(reply) = reply {
                    reply.give(answer);
                }
            }
        }
        self.answered.store(true, Ordering::Release);
        drop(wait::lock(shared));
        self.changed.notify_one();
    }
}
