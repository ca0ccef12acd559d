//! What a backend is. The queue and the store know this page alone; each backend is a folder beside it.

pub mod dynamodb;
pub mod etcd;
pub mod local;
mod remote;

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::message::{BackendName, Limits, Message};
use crate::reply::Reply;
use crate::wait::{Cancel, Interrupt};

/// What one backend does otherwise than another; the queue and the tests ask here, nobody asks its name.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities {
    /// One request may carry several messages of one key; they are applied in order, and after one that
    /// failed retryably no later one is.
    pub repeated_keys: bool,
    /// Most messages that one request may carry, whatever `queue_batch.size` says.
    pub max_batch: usize,
    /// How many full batches may travel in one request. More than one only where the whole request is
    /// one atomic commit, so that nobody can tell.
    pub batches_per_request: usize,
    /// How many requests may be in flight at once.
    pub max_in_flight: usize,
}

/// One page of a list: what was found, in the backend's order, and whether more follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Stored keys, bucket included, with their texts (empty where only keys were asked for).
    pub entries: Vec<(String, String)>,
    /// Whether anything follows the last entry.
    pub more: bool,
}

/// What a list asks for.
#[derive(Debug, Clone, Copy)]
pub struct Range<'a> {
    /// Only stored keys with this prefix (`bucket:`, or empty for all).
    pub prefix: &'a str,
    /// Only stored keys after this one, which begins with the prefix.
    pub after: Option<&'a str>,
    /// Most entries of a page.
    pub limit: usize,
    /// Whether the texts are wanted too.
    pub values: bool,
}

/// What a direct verb changes. No key is given twice.
#[derive(Debug, Clone)]
pub enum Change {
    /// As [`Backend::write`].
    Write(Vec<Message>),
    /// As [`Backend::update`].
    Update(Message),
    /// As [`Backend::delete`].
    Delete(Vec<String>),
}

/// What came of a [`Change`]: how many keys were written, or existed.
pub type Changed = usize;

/// What a verb looks at.
#[derive(Debug)]
pub enum Look {
    /// As [`Backend::read`].
    Read(Vec<String>),
    /// As [`Backend::list`], with the range's own texts.
    List {
        /// [`Range::prefix`]
        prefix: String,
        /// [`Range::after`]
        after: Option<String>,
        /// [`Range::limit`]
        limit: usize,
        /// [`Range::values`]
        values: bool,
    },
    /// As [`Backend::ping`].
    Ping,
}

/// What came of a [`Look`].
#[derive(Debug)]
pub enum Found {
    /// Of [`Look::Read`].
    Texts(Vec<(usize, String)>),
    /// Of [`Look::List`].
    Page(Page),
    /// Of [`Look::Ping`].
    Pong,
}

/// What a verb that changes something holds meanwhile, such as its turn on its keys. Dropped when the work has
/// ended, which may be after its caller was interrupted.
pub type Turn = Box<dyn Send>;

/// A store of keys and texts.
///
/// Verbs block, and end early when `interrupt` says so; [`Self::change`] and [`Self::look`] do the same for callers that
/// are called back. A verb that returned has happened; one that
/// failed with [`Kind::Timeout`] may have happened. A read or a list never creates anything.
pub trait Backend: Send + Sync + 'static {
    /// Which of the three.
    fn name(&self) -> BackendName;

    /// The sizes it takes.
    fn limits(&self) -> Limits;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// How long a direct verb may wait for its turn behind a queued message of its key.
    fn patience(&self) -> Duration;

    /// The texts of those of `keys` that exist, with their position in `keys`.
    fn read(&self, keys: &[String], interrupt: &dyn Interrupt) -> Result<Vec<(usize, String)>>;

    /// Writes all messages. Where it fails, none is written, or the error says how many are. No key is given twice.
    fn write(&self, messages: Vec<Message>, turn: Turn, interrupt: &dyn Interrupt) -> Result<()>;

    /// Replaces the text of a key if it exists; whether it did.
    fn update(&self, message: Message, turn: Turn, interrupt: &dyn Interrupt) -> Result<bool>;

    /// Deletes the keys; how many existed. No key is given twice.
    fn delete(&self, keys: Vec<String>, turn: Turn, interrupt: &dyn Interrupt) -> Result<usize>;

    /// One page of a list.
    fn list(&self, range: Range<'_>, interrupt: &dyn Interrupt) -> Result<Page>;

    /// A round trip.
    fn ping(&self, interrupt: &dyn Interrupt) -> Result<()>;

    /// Begins a change, and answers when it has ended; blocks nowhere. What is cancelled before it has begun never is.
    /// Changes of one key that are begun one after the other are done in that order.
    fn change(
        self: Arc<Self>,
        change: Change,
        turn: Turn,
        cancel: Arc<Cancel>,
        reply: Reply<Changed>,
    );

    /// Begins to look, and answers; blocks nowhere.
    fn look(self: Arc<Self>, look: Look, cancel: Arc<Cancel>, reply: Reply<Found>);

    /// Sends one request of the queue and reports each message's outcome to `done`, now or later.
    ///
    /// One message's own fault must not hold back its neighbours.
    fn send(&self, batch: Vec<Message>, done: Completion);

    /// Makes what was written visible to every reader of the store.
    fn flush(&self, interrupt: &dyn Interrupt) -> Result<()>;

    /// The queue has messages of an earlier process, whose last requests may still be on their way: what can be done
    /// against their being done later is done before the next write.
    fn take_over(&self) {}

    /// Closes connections; the next verb opens what it needs.
    fn close(&self);
}

/// Which messages of a request failed, by their position, and why. All others were delivered.
pub type Failures = Vec<(usize, Error)>;

/// Takes the outcome of one request, exactly once: dropped without one, it reports a failure.
pub struct Completion {
    report: Option<Box<dyn FnOnce(Failures) + Send>>,
    backend: BackendName,
    len: usize,
}

impl Completion {
    /// A completion for a request of `len` messages.
    pub fn new(
        backend: BackendName,
        len: usize,
        report: impl FnOnce(Failures) + Send + 'static,
    ) -> Self {
        Self {
            report: Some(Box::new(report)),
            backend,
            len,
        }
    }

    /// Reports the outcome.
    pub fn complete(mut self, failures: Failures) {
        if let Some(report) = self.report.take() {
            report(failures);
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        let Some(report) = self.report.take() else {
            return;
        };
        let error = Error::backend(
            Kind::Backend,
            self.backend,
            true,
            "a request ended without an answer. It will be sent again.",
        );
        report((0..self.len).map(|at| (at, error.clone())).collect());
    }
}
