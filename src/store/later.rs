//! The verbs for callers that do not wait in a thread: they are called back. The same as the blocking ones beside them;
//! nothing here blocks but what is done aside.

use crate::sync::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::journal::Place;
use super::{Listing, Store, latest_of_each_key, listing, prefix_of};
use crate::backend::{Change, Changed, Found, Look, Turn};
use crate::error::{Error, Kind, Result};
use crate::executor::{self, Line};
use crate::message::{BackendName, Message};
use crate::process;
use crate::queue::{Beginning, Hold, Lane, Level, LogLine, Receipt};
use crate::reply::Reply;
use crate::wait::{self, Cancel, Interrupt, Never};

/// How many verbs of the queue that may wait for a disk are done at once.
const ERRANDS: usize = 4;

/// More keys than these take their places in a thread of their own, since a caller that must not block would.
const INLINE: usize = 500;

/// Most messages that go into the journal with one disk sync.
const JOURNALED: usize = 256;

/// Whose turn it is with what may block.
pub(super) struct Turns {
    errands: Arc<Semaphore>,
    stops: Line,
    /// Direct verbs that have to open the journal first.
    opening: Line,
    /// Those who queue with a journal, for each backend: one that is full does not hold up the others.
    producers: [Producers; BackendName::ALL.len()],
}

/// With a journal, messages go into it in their order, many at a time.
#[derive(Default)]
struct Producers {
    line: Line,
    waiting: Mutex<VecDeque<Producer>>,
}

/// A message on its way into the journal.
struct Producer {
    lane: Arc<Lane>,
    message: Message,
    receipt: Option<Receipt>,
    cancel: Arc<Cancel>,
    reply: Reply<()>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            errands: Arc::new(Semaphore::new(ERRANDS)),
            stops: Line::default(),
            opening: Line::default(),
            producers: Default::default(),
        }
    }
}

/// A turn that has come, and what says that it is used.
struct Begun {
    turn: Turn,
    beginning: Option<Beginning>,
}

impl Begun {
    fn new(hold: Hold) -> Self {
        Self {
            beginning: hold.beginning(),
            turn: Box::new(hold),
        }
    }
}

/// What a list asks for, in the words of the caller.
pub struct List {
    /// The bucket, empty for all keys.
    pub bucket: String,
    /// The key after which the page starts.
    pub start_after: Option<String>,
    /// Most entries of it.
    pub page_size: usize,
    /// Whether the texts are wanted too.
    pub values: bool,
}

impl Store {
    /// Changes something now, as [`Store::write`], [`Store::write_many`], [`Store::update`] and [`Store::delete`] do.
    /// Of several changes of one key that are begun one after the other, the last wins; but of many keys at once, which
    /// are begun aside.
    pub fn change_later(
        self: &Arc<Self>,
        name: BackendName,
        change: Change,
        cancel: Arc<Cancel>,
        reply: Reply<Changed>,
    ) {
        if len_of(&change) > INLINE {
            let store = Arc::clone(self);
            return self.errand(reply, move |reply| {
                store.begin_change(name, change, cancel, reply);
            });
        }
        self.begin_change(name, change, cancel, reply);
    }

    fn begin_change(
        self: &Arc<Self>,
        name: BackendName,
        change: Change,
        cancel: Arc<Cancel>,
        reply: Reply<Changed>,
    ) {
        let checked = self
            .check_change(name, &change)
            .and_then(|()| self.lane(name));
        let lane = match checked {
            Ok(lane) => Arc::clone(lane),
            Err(error) => return reply.give(Err(error)),
        };
        let change = in_order(change);
        let written = self.lines_of(&change);
        let store = Arc::clone(self);
        let reply = Reply::new(move |changed: Result<Changed>| {
            if changed.as_ref().is_ok_and(|&count| count > 0) {
                for message in &written {
                    store.log_written(name, message);
                }
            }
            reply.give(changed);
        });
        let (keys, backend) = (keys_of(&change), lane.backend_handle());
        let theirs = Arc::clone(&cancel);
        self.turn_later(
            lane,
            keys,
            cancel,
            Reply::new(move |turn: Result<Begun>| match turn {
                Ok(begun) => {
                    backend.change(change, begun.turn, theirs, reply);
                    // Now it stands in the backend's line.
                    drop(begun.beginning);
                }
                Err(error) => reply.give(Err(error)),
            }),
        );
    }

    fn check_change(&self, name: BackendName, change: &Change) -> Result<()> {
        match change {
            Change::Write(messages) => messages
                .iter()
                .try_for_each(|message| self.check(name, message.key(), message.value().len())),
            Change::Update(message) => self.check(name, message.key(), message.value().len()),
            Change::Delete(keys) => keys.iter().try_for_each(|key| self.check(name, key, 0)),
        }
    }

    /// The messages of a change, where lines are wanted for them.
    fn lines_of(&self, change: &Change) -> Vec<Message> {
        match change {
            _ if !self.events.wants_debug() => Vec::new(),
            Change::Write(messages) => messages.clone(),
            Change::Update(message) => vec![message.clone()],
            Change::Delete(_) => Vec::new(),
        }
    }

    /// As [`Self::turn`].
    fn turn_later(
        self: &Arc<Self>,
        lane: Arc<Lane>,
        keys: Vec<String>,
        cancel: Arc<Cancel>,
        reply: Reply<Begun>,
    ) {
        let departures = lane.departures();
        if self.turns.opening.is_idle() && self.has_open_journal() {
            return self.hold_later(&lane, departures, keys, cancel, reply);
        }
        let store = Arc::clone(self);
        let open = move |reply: Reply<Begun>| match store.try_open_journal(&*cancel) {
            Ok(()) => store.hold_later(&lane, departures, keys, cancel, reply),
            Err(error) => reply.give(Err(error)),
        };
        in_line(&self.turns.opening, reply, open);
    }

    fn hold_later(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        departures: u64,
        keys: Vec<String>,
        cancel: Arc<Cancel>,
        reply: Reply<Begun>,
    ) {
        if matches!(*self.journal, Place::None) {
            return lane.hold_later(
                keys,
                cancel,
                Reply::new(move |hold: Result<_>| {
                    reply.give(hold.map(Begun::new));
                }),
            );
        }
        let (store, there) = (Arc::clone(self), Arc::clone(lane));
        let (again, theirs) = (keys.clone(), Arc::clone(&cancel));
        lane.hold_later(
            keys,
            cancel,
            Reply::new(move |hold: Result<_>| {
                let hold = match hold.and_then(|hold| there.check_left_behind().map(|()| hold)) {
                    Ok(hold) => hold,
                    Err(error) => return reply.give(Err(error)),
                };
                // A `stop` that ran out of time may have left them in the journal meanwhile: then they come first again.
                if there.departures() == departures {
                    reply.give(Ok(Begun::new(hold)));
                } else {
                    drop(hold);
                    store.turn_later(there, again, theirs, reply);
                }
            }),
        );
    }

    /// As [`Self::read`].
    pub fn read_later(
        &self,
        name: BackendName,
        keys: Vec<String>,
        cancel: Arc<Cancel>,
        reply: Reply<Vec<(usize, String)>>,
    ) {
        if let Err(error) = keys.iter().try_for_each(|key| self.check(name, key, 0)) {
            return reply.give(Err(error));
        }
        self.look(name, Look::Read(keys), cancel, reply, |found| match found {
            Found::Texts(texts) => Some(texts),
            _ => None,
        });
    }

    /// As [`Self::read`], with the keys, less `cut` bytes each.
    pub fn read_pairs_later(
        self: &Arc<Self>,
        name: BackendName,
        keys: Vec<String>,
        cut: usize,
        cancel: Arc<Cancel>,
        reply: Reply<VecDeque<(String, String)>>,
    ) {
        if keys.len() > INLINE {
            let store = Arc::clone(self);
            return self.errand(reply, move |reply| {
                store.begin_read_pairs(name, keys, cut, cancel, reply);
            });
        }
        self.begin_read_pairs(name, keys, cut, cancel, reply);
    }

    fn begin_read_pairs(
        &self,
        name: BackendName,
        keys: Vec<String>,
        cut: usize,
        cancel: Arc<Cancel>,
        reply: Reply<VecDeque<(String, String)>>,
    ) {
        let asked = keys.clone();
        let found = Reply::new(move |found: Result<Vec<(usize, String)>>| {
            reply.give(found.map(|found| {
                let pairs = found.into_iter();
                pairs
                    .map(|(at, text)| (keys[at][cut..].to_owned(), text))
                    .collect()
            }));
        });
        self.read_later(name, asked, cancel, found);
    }

    /// As [`Self::list`].
    pub fn list_later(
        &self,
        name: BackendName,
        list: &List,
        cancel: Arc<Cancel>,
        reply: Reply<Listing>,
    ) {
        let prefix = prefix_of(&list.bucket);
        let after = list.start_after.as_ref();
        let after = after.map(|key| format!("{prefix}{key}"));
        if let Some(Err(error)) = after.as_ref().map(|after| self.check(name, after, 0)) {
            return reply.give(Err(error));
        }
        let cut = prefix.len();
        let look = Look::List {
            prefix,
            after,
            limit: list.page_size,
            values: list.values,
        };
        self.look(name, look, cancel, reply, move |found| match found {
            Found::Page(page) => Some(listing(page, cut)),
            _ => None,
        });
    }

    /// As [`Self::ping`].
    pub fn ping_later(&self, name: BackendName, cancel: Arc<Cancel>, reply: Reply<Duration>) {
        let begun = Instant::now();
        self.look(name, Look::Ping, cancel, reply, move |_| {
            Some(begun.elapsed())
        });
    }

    fn look<T: 'static>(
        &self,
        name: BackendName,
        look: Look,
        cancel: Arc<Cancel>,
        reply: Reply<T>,
        take: impl FnOnce(Found) -> Option<T> + Send + 'static,
    ) {
        let lane = match self.lane(name) {
            Ok(lane) => lane,
            Err(error) => return reply.give(Err(error)),
        };
        let found = Reply::new(move |found: Result<Found>| {
            reply.give(found.and_then(|found| {
                let text = "a verb got another's answer. Please report this bug.";
                take(found).ok_or_else(|| Error::backend(Kind::Backend, name, false, text))
            }));
        });
        lane.backend_handle().look(look, cancel, found);
    }

    /// Whether [`Self::try_enqueue`] would overtake calls that were begun earlier.
    pub fn has_some_aside(&self, name: BackendName) -> Result<bool> {
        self.lane(name).map(|lane| lane.has_some_aside())
    }

    /// As [`Self::enqueue`], after [`Self::try_enqueue`] has handed the message back.
    pub fn enqueue_later(
        self: &Arc<Self>,
        name: BackendName,
        message: Message,
        receipt: Option<Receipt>,
        cancel: Arc<Cancel>,
        reply: Reply<()>,
    ) {
        let checked = self.check(name, message.key(), message.value().len());
        let lane = match checked.and_then(|()| self.lane(name)) {
            Ok(lane) => lane,
            Err(error) => return reply.give(Err(error)),
        };
        if matches!(*self.journal, Place::None) && !process::exiting() {
            self.mark_started();
            return lane.enqueue_later(message, receipt, cancel, reply);
        }
        let runtime = match executor::get(name) {
            Ok(runtime) => runtime,
            Err(error) => return reply.give(Err(error)),
        };
        let producer = Producer {
            lane: Arc::clone(lane),
            message,
            receipt,
            cancel,
            reply,
        };
        // Behind the direct verbs that were begun earlier and have no place yet.
        if self.turns.opening.is_idle() {
            return self.produce(&runtime, name, producer);
        }
        let (store, theirs) = (Arc::clone(self), runtime.clone());
        let produce = move || store.produce(&theirs, name, producer);
        self.turns.opening.push(&runtime, produce);
    }

    fn produce(self: &Arc<Self>, runtime: &Handle, name: BackendName, producer: Producer) {
        let lane = Arc::clone(&producer.lane);
        let (store, theirs) = (Arc::clone(self), runtime.clone());
        lane.behind_those_aside(runtime, move || {
            let producers = &store.turns.producers[name as usize];
            wait::lock(&producers.waiting).push_back(producer);
            let this = Arc::clone(&store);
            // Whoever comes first takes those along who have come since.
            producers
                .line
                .push(&theirs, move || this.put_in_journal(name));
        });
    }

    /// Puts into the journal what stands in the line of a backend, as far as one sync goes.
    fn put_in_journal(&self, name: BackendName) {
        let mut batch: Vec<Producer> = {
            let mut waiting = wait::lock(&self.turns.producers[name as usize].waiting);
            let many = waiting.len().min(JOURNALED);
            waiting.drain(..many).collect()
        };
        loop {
            let (cancelled, left): (Vec<_>, Vec<_>) =
                batch.into_iter().partition(|one| one.cancel.cancelled());
            batch = left;
            for producer in cancelled {
                producer.reply.give(Err(Error::interrupted()));
            }
            let Some(first) = batch.first() else {
                return;
            };
            let (lane, cancel) = (Arc::clone(&first.lane), Arc::clone(&first.cancel));
            let mut outcomes = Vec::new();
            if batch.len() > 1 && !process::exiting() && self.open_journal(&*cancel).is_ok() {
                self.mark_started();
                let messages = batch
                    .iter()
                    .map(|one| (one.message.clone(), one.receipt.clone()));
                outcomes = lane.enqueue_all(messages.collect(), &*cancel);
            }
            if outcomes.is_empty() {
                outcomes.push(Ok(false));
            }
            for (producer, outcome) in batch.drain(..outcomes.len()).zip(outcomes) {
                producer.reply.give(match outcome {
                    Ok(true) => Ok(()),
                    // Alone, or the journal was closed in between.
                    Ok(false) => {
                        self.enqueue(name, producer.message, producer.receipt, &*producer.cancel)
                    }
                    Err(error) => Err(error),
                });
            }
        }
    }

    /// As [`Self::flush`].
    pub fn flush_later(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        cancel: Arc<Cancel>,
        reply: Reply<()>,
    ) {
        let store = Arc::clone(self);
        self.errand(reply, move |reply| match store.try_open_journal(&*cancel) {
            Ok(()) => store.flush_lanes(deadline, cancel, reply),
            Err(error) => reply.give(Err(error)),
        });
    }

    fn flush_lanes(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        cancel: Arc<Cancel>,
        reply: Reply<()>,
    ) {
        let runtime = match executor::get(BackendName::Local) {
            Ok(runtime) => runtime,
            Err(error) => return reply.give(Err(error)),
        };
        // What is queued by now is what counts, so all begin here.
        let flushed = self.lanes.iter().map(|lane| {
            let (tell, told) = tokio::sync::oneshot::channel();
            lane.flush_later(
                deadline,
                Arc::clone(&cancel),
                Reply::new(move |flushed| drop(tell.send(flushed))),
            );
            (Arc::clone(lane), told)
        });
        let flushed: Vec<_> = flushed.collect();
        let store = Arc::clone(self);
        runtime
            .spawn(async move { reply.give(store.after_flush(flushed, deadline, &cancel).await) });
    }

    async fn after_flush(
        &self,
        flushed: Vec<(Arc<Lane>, tokio::sync::oneshot::Receiver<Result<()>>)>,
        deadline: Option<Instant>,
        cancel: &Cancel,
    ) -> Result<()> {
        let mut lanes = Vec::with_capacity(flushed.len());
        for (lane, told) in flushed {
            told.await.unwrap_or(Ok(()))?;
            lanes.push(lane);
        }
        for lane in lanes {
            let name = lane.backend().name();
            // Everything is delivered and safe, whatever comes of this; a disk that hangs shall not keep the caller.
            let turn = Arc::clone(&self.turns.errands).acquire_owned().await;
            let visible = spawn_blocking(move || lane.backend().flush(&Never));
            let visible = match deadline {
                None => visible.await.ok(),
                Some(deadline) => {
                    let timed = tokio::time::timeout_at(deadline.into(), visible).await;
                    timed.ok().and_then(std::result::Result::ok)
                }
            };
            drop(turn);
            if let Some(Err(error)) = visible {
                let line = LogLine::new(Level::Warning, error.to_string());
                self.events.log(line.on(name));
            }
        }
        if cancel.cancelled() {
            // What was given up is for the next call that reports it.
            return Err(Error::interrupted());
        }
        self.report_failed()
    }

    /// As [`Self::stop`].
    pub fn stop_later(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        cancel: Arc<Cancel>,
        reply: Reply<()>,
    ) {
        let store = Arc::clone(self);
        let stop = move |reply: Reply<()>| reply.give(store.stop(deadline, &*cancel));
        // Whose time is bounded waits for nobody else's.
        let own = Line::default();
        let line = deadline.map_or(&self.turns.stops, |_| &own);
        in_line(line, reply, stop);
    }

    /// A verb of the queue that may wait for a disk or a lock, but for no server: `start`, `stats`, and those of what was
    /// given up.
    pub fn errand_later<T: Send + 'static>(
        self: &Arc<Self>,
        reply: Reply<T>,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) {
        let store = Arc::clone(self);
        self.errand(reply, move |reply| reply.give(work(&store)));
    }

    fn errand<T: 'static>(&self, reply: Reply<T>, work: impl FnOnce(Reply<T>) + Send + 'static) {
        let errands = Arc::clone(&self.turns.errands);
        match executor::get(BackendName::Local) {
            Ok(runtime) => executor::aside(&runtime, errands, move || work(reply)),
            Err(error) => reply.give(Err(error)),
        }
    }
}

fn in_line<T: 'static>(line: &Line, reply: Reply<T>, work: impl FnOnce(Reply<T>) + Send + 'static) {
    match executor::get(BackendName::Local) {
        Ok(runtime) => line.push(&runtime, move || work(reply)),
        Err(error) => reply.give(Err(error)),
    }
}

/// Of several messages of one key the last, and every key once.
fn in_order(change: Change) -> Change {
    match change {
        Change::Write(messages) if messages.len() > 1 => {
            Change::Write(latest_of_each_key(messages))
        }
        Change::Delete(mut keys) => {
            keys.sort_unstable();
            keys.dedup();
            Change::Delete(keys)
        }
        change => change,
    }
}

fn len_of(change: &Change) -> usize {
    match change {
        Change::Write(messages) => messages.len(),
        Change::Update(_) => 1,
        Change::Delete(keys) => keys.len(),
    }
}

fn keys_of(change: &Change) -> Vec<String> {
    match change {
        Change::Write(messages) => messages.iter().map(|one| one.key().to_owned()).collect(),
        Change::Update(message) => vec![message.key().to_owned()],
        Change::Delete(keys) => keys.clone(),
    }
}
