//! Group commit: writers that come while one commits are committed together by the next.
//!
//! Whoever finds the connection free becomes the leader; all others leave their job in the line and
//! wait. The leader begins a transaction and only then takes the line, so that everybody waits for a lock
//! by their own deadline. When it is done it makes the first of the line the next leader. Sixteen threads
//! thus cost about one disk sync, not sixteen, and a single one pays for no thread and no hand-over.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::client::{Connection, Failure, Settings};
use super::{error, file};
use crate::backend::Failures;
use crate::error::{Error, Result};
use crate::message::Message;
use crate::process::{self, Inside};
use crate::wait::{self, Interrupt, Never, Wait};

/// Most messages that one transaction takes from the line, so that nobody waits for a very long one.
const MOST_GROUPED: usize = 20_000;
/// The first and the longest pause between two attempts to get another process's lock.
const FIRST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// What one writer wants.
pub(super) enum Work {
    /// All or none.
    Write(Vec<Message>),
    /// Each for itself: a message's own fault is reported, its neighbours are written.
    Send(Vec<Message>),
    Update(Message),
    Delete(Vec<String>),
    /// Not a transaction: carry the log into the file.
    Checkpoint,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Answer {
    Written,
    Sent(Failures),
    Updated(bool),
    Deleted(usize),
    Checkpointed,
}

struct Job {
    work: Work,
    state: Mutex<State>,
    changed: Condvar,
}

enum State {
    InLine,
    /// The connection is this writer's now.
    Leads,
    Done(Result<Answer>),
    /// The answer has been taken, or the writer has given up waiting.
    Over,
}

#[derive(Default)]
struct Shared {
    line: VecDeque<Arc<Job>>,
    /// The connection, unless a leader has it.
    free: Option<Seat>,
    led: bool,
}

/// What a leader has: the connection, once one has been opened.
#[derive(Default)]
struct Seat {
    connection: Option<Connection>,
    /// Something was written since the last checkpoint.
    written: bool,
}

/// The writing side of the local backend.
pub(super) struct Committer {
    settings: Settings,
    busy_timeout: Duration,
    shared: Mutex<Shared>,
}

impl Committer {
    pub(super) fn new(settings: Settings, busy_timeout: Duration) -> Self {
        Self {
            settings,
            busy_timeout,
            shared: Mutex::new(Shared {
                free: Some(Seat::default()),
                ..Shared::default()
            }),
        }
    }

    /// Does `work`, alone or in a group.
    ///
    /// # Errors
    /// Those of the file; `Timeout` if another process keeps it locked; `Interrupted`: then it has not
    /// happened, unless it was being committed at that moment.
    pub(super) fn submit(&self, work: Work, interrupt: &dyn Interrupt) -> Result<Answer> {
        let job = Arc::new(Job {
            work,
            state: Mutex::new(State::InLine),
            changed: Condvar::new(),
        });
        let deadline = Instant::now() + self.busy_timeout;
        {
            let mut shared = wait::lock(&self.shared);
            shared.line.push_back(Arc::clone(&job));
            if !shared.led {
                shared.led = true;
                *wait::lock(&job.state) = State::Leads;
            }
        }
        // Others ahead in the line do not count against the deadline: they are short, or time out too.
        let mut wait = Wait::new(None, interrupt);
        let mut state = wait::lock(&job.state);
        loop {
            match std::mem::replace(&mut *state, State::Over) {
                State::Done(answer) => return answer,
                State::Leads => {
                    drop(state);
                    let led = self.lead(&job, deadline, interrupt);
                    self.pass_on(&job);
                    led?;
                    state = wait::lock(&job.state);
                    continue;
                }
                other => *state = other,
            }
            state = match wait.on(&job.changed, state, &job.state) {
                Ok(state) => state,
                Err(error) => {
                    self.withdraw(&job);
                    return Err(error);
                }
            };
        }
    }

    /// The writer gives up: its job leaves the line, and the lead, if it had just got it, goes on.
    fn withdraw(&self, job: &Arc<Job>) {
        wait::lock(&self.shared)
            .line
            .retain(|other| !Arc::ptr_eq(other, job));
        let state = std::mem::replace(&mut *wait::lock(&job.state), State::Over);
        if matches!(state, State::Leads) {
            self.pass_on(job);
        }
    }

    /// Makes the first of the line the leader, or sets the connection free.
    fn pass_on(&self, own: &Arc<Job>) {
        loop {
            let next = {
                let mut shared = wait::lock(&self.shared);
                shared.line.retain(|other| !Arc::ptr_eq(other, own));
                let Some(next) = shared.line.front().cloned() else {
                    shared.led = false;
                    return;
                };
                next
            };
            let mut state = wait::lock(&next.state);
            if matches!(*state, State::InLine) {
                *state = State::Leads;
                next.changed.notify_one();
                return;
            }
            // It has just given up waiting, and is about to leave the line.
            drop(state);
            let mut shared = wait::lock(&self.shared);
            shared.line.retain(|other| !Arc::ptr_eq(other, &next));
        }
    }

    /// Does the leader's own job and those of the line. An error is about the leader's job alone, which
    /// has not been done then.
    fn lead(&self, own: &Arc<Job>, deadline: Instant, interrupt: &dyn Interrupt) -> Result<()> {
        let mut seat = wait::lock(&self.shared).free.take().unwrap_or_default();
        let outcome = if matches!(own.work, Work::Checkpoint) {
            let answer = self.checkpoint(&mut seat);
            own.answer(answer);
            Ok(())
        } else {
            self.lead_group(&mut seat, own, deadline, interrupt)
        };
        wait::lock(&self.shared).free = Some(seat);
        outcome
    }

    fn lead_group(
        &self,
        seat: &mut Seat,
        own: &Arc<Job>,
        deadline: Instant,
        interrupt: &dyn Interrupt,
    ) -> Result<()> {
        let (inside, connection) = self.begin(seat, deadline, interrupt)?;
        let group = self.take_group(own);
        let outcome = run_group(&connection, &group, &inside);
        seat.written = true;
        match outcome {
            Ok(answers) => {
                seat.connection = Some(connection);
                drop(inside);
                for (job, answer) in group.iter().zip(answers) {
                    job.answer(Ok(answer));
                }
                Ok(())
            }
            Err(_) if group.len() > 1 || matches!(own.work, Work::Send(_)) => {
                self.give_back(seat, connection, false, &inside);
                drop(inside);
                for job in group {
                    // Only the leader's own job ends with the leader's interrupt.
                    let interrupt = if Arc::ptr_eq(&job, own) {
                        interrupt
                    } else {
                        &Never
                    };
                    let answer = self.run_alone(seat, &job.work, deadline, interrupt);
                    job.answer(answer);
                }
                Ok(())
            }
            Err(failure) => {
                let (error, broken) = self.explain(failure);
                self.give_back(seat, connection, broken, &inside);
                own.answer(Err(error));
                Ok(())
            }
        }
    }

    /// The leader's own job and as many of the line as fit.
    fn take_group(&self, own: &Arc<Job>) -> Vec<Arc<Job>> {
        let mut shared = wait::lock(&self.shared);
        shared.line.retain(|other| !Arc::ptr_eq(other, own));
        let mut group = vec![Arc::clone(own)];
        let mut size = own.work.len();
        while let Some(job) = shared.line.front() {
            size += job.work.len();
            if size > MOST_GROUPED || matches!(job.work, Work::Checkpoint) {
                break;
            }
            group.extend(shared.line.pop_front());
        }
        group
    }

    /// One job in a transaction, or several, of its own.
    fn run_alone(
        &self,
        seat: &mut Seat,
        work: &Work,
        deadline: Instant,
        interrupt: &dyn Interrupt,
    ) -> Result<Answer> {
        let Work::Send(messages) = work else {
            return self.transact(seat, work, deadline, interrupt);
        };
        let mut failures = Vec::new();
        self.send_range(seat, messages, 0, deadline, interrupt, &mut failures);
        Ok(Answer::Sent(failures))
    }

    /// Halves what fails until the message at fault stands alone. After a retryable error nothing later
    /// is written, so that order within a key holds; whether it stopped so.
    fn send_range(
        &self,
        seat: &mut Seat,
        messages: &[Message],
        at: usize,
        deadline: Instant,
        interrupt: &dyn Interrupt,
        failures: &mut Failures,
    ) -> bool {
        let work = Work::Write(messages.to_vec());
        let Err(error) = self.transact(seat, &work, deadline, interrupt) else {
            return false;
        };
        if error.retryable() {
            failures.extend((at..at + messages.len()).map(|at| (at, error.clone())));
            return true;
        }
        if messages.len() == 1 {
            failures.push((at, error));
            return false;
        }
        let (first, second) = messages.split_at(messages.len() / 2);
        if self.send_range(seat, first, at, deadline, interrupt, failures) {
            let rest = at + first.len()..at + messages.len();
            let error = failures[failures.len() - 1].1.clone();
            failures.extend(rest.map(|at| (at, error.clone())));
            return true;
        }
        let middle = at + first.len();
        self.send_range(seat, second, middle, deadline, interrupt, failures)
    }

    fn transact(
        &self,
        seat: &mut Seat,
        work: &Work,
        deadline: Instant,
        interrupt: &dyn Interrupt,
    ) -> Result<Answer> {
        let (inside, connection) = self.begin(seat, deadline, interrupt)?;
        let outcome = work
            .run(&connection, &inside)
            .and_then(|answer| connection.commit(&inside).map(|()| answer));
        match outcome {
            Ok(answer) => {
                seat.connection = Some(connection);
                Ok(answer)
            }
            Err(failure) => {
                let (error, broken) = self.explain(failure);
                self.give_back(seat, connection, broken, &inside);
                Err(error)
            }
        }
    }

    /// Opens the file if need be and begins a transaction, waiting for other processes' locks.
    fn begin(
        &self,
        seat: &mut Seat,
        deadline: Instant,
        interrupt: &dyn Interrupt,
    ) -> Result<(Inside, Connection)> {
        let mut pause = FIRST_PAUSE;
        loop {
            let inside = process::enter();
            match self.try_begin(seat, &inside) {
                Ok(connection) => return Ok((inside, connection)),
                Err(Failure::Error { error, .. }) => return Err(error),
                Err(Failure::Busy) => {}
            }
            // Waiting is done outside, so that `fork` never waits for another process's lock.
            drop(inside);
            if Instant::now() >= deadline {
                return Err(error::busy(&self.settings.path, self.busy_timeout));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            wait::sleep(pause.min(left), interrupt)?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn try_begin(
        &self,
        seat: &mut Seat,
        inside: &Inside,
    ) -> std::result::Result<Connection, Failure> {
        let connection = match seat.connection.take() {
            // Deleted or replaced by somebody: what is written goes to the file that the path names.
            Some(old) if file::identify(&self.settings.path) != Some(old.file()) => {
                old.close(inside);
                None
            }
            kept => kept,
        };
        let connection = match connection {
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
                self.give_back(seat, connection, broken, inside);
                Err(failure)
            }
        }
    }

    /// Puts the connection back after a failure, or closes it if it is of no more use.
    #[expect(clippy::unused_self, reason = "reads better beside its callers")]
    fn give_back(&self, seat: &mut Seat, connection: Connection, broken: bool, inside: &Inside) {
        if connection.roll_back(inside) && !broken {
            seat.connection = Some(connection);
        } else {
            connection.close(inside);
        }
    }

    fn explain(&self, failure: Failure) -> (Error, bool) {
        match failure {
            Failure::Busy => (error::busy(&self.settings.path, self.busy_timeout), false),
            Failure::Error { error, broken } => (error, broken),
        }
    }

    fn checkpoint(&self, seat: &mut Seat) -> Result<Answer> {
        if let (Some(connection), true) = (&seat.connection, seat.written) {
            let inside = process::enter();
            connection
                .checkpoint(&inside)
                .map_err(|failure| self.explain(failure).0)?;
            seat.written = false;
        }
        Ok(Answer::Checkpointed)
    }

    /// Whether a connection is open, or being used, and its file is still where it was.
    pub(super) fn is_open(&self) -> bool {
        let shared = wait::lock(&self.shared);
        match &shared.free {
            None => true,
            Some(seat) => seat.connection.as_ref().is_some_and(|connection| {
                file::identify(&self.settings.path) == Some(connection.file())
            }),
        }
    }

    /// Closes the connection, unless a leader has it: its own handle is not idle then.
    pub(super) fn close(&self) {
        let inside = process::enter();
        let connection = wait::lock(&self.shared)
            .free
            .as_mut()
            .and_then(|seat| seat.connection.take());
        if let Some(connection) = connection {
            connection.close(&inside);
        }
    }
}

fn run_group(
    connection: &Connection,
    group: &[Arc<Job>],
    inside: &Inside,
) -> std::result::Result<Vec<Answer>, Failure> {
    let mut answers = Vec::with_capacity(group.len());
    for job in group {
        answers.push(job.work.run(connection, inside)?);
    }
    connection.commit(inside)?;
    Ok(answers)
}

impl Work {
    /// How many messages it touches.
    fn len(&self) -> usize {
        match self {
            Self::Write(messages) | Self::Send(messages) => messages.len(),
            Self::Delete(keys) => keys.len(),
            Self::Update(_) | Self::Checkpoint => 1,
        }
    }

    /// Does the work, within a transaction.
    fn run(
        &self,
        connection: &Connection,
        inside: &Inside,
    ) -> std::result::Result<Answer, Failure> {
        match self {
            Self::Write(messages) | Self::Send(messages) => {
                let mut sorted: Vec<&Message> = messages.iter().collect();
                // In key order the pages of the index are touched one after the other; stable, so that
                // of several messages of one key the latest stays the last.
                sorted.sort_by(|a, b| a.key().cmp(b.key()));
                connection.write(&sorted, inside)?;
                Ok(match self {
                    Self::Send(_) => Answer::Sent(Vec::new()),
                    _ => Answer::Written,
                })
            }
            Self::Update(message) => connection.update(message, inside).map(Answer::Updated),
            Self::Delete(keys) => connection.delete(keys, inside).map(Answer::Deleted),
            Self::Checkpoint => Ok(Answer::Checkpointed),
        }
    }
}

impl Job {
    fn answer(&self, answer: Result<Answer>) {
        let mut state = wait::lock(&self.state);
        *state = State::Done(answer);
        self.changed.notify_one();
    }
}
