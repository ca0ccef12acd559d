//! The store: routes a verb to a backend or to its queue; opens, starts and stops them.

mod journal;
mod later;
mod living;
mod queued;

use crate::sync::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::backend::local::Local;
use crate::backend::{Backend, Page, Range, Turn, dynamodb, etcd};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::message::{BackendName, Message};
use crate::process;
use crate::queue::{self, Events, Lane, Level, LogLine};
use crate::wait::Interrupt;
use journal::Place;
pub use later::List;
pub use living::{close_files, forget_all, stop_all};

/// One open configuration: its backends and their queues.
pub struct Store {
    lanes: Vec<Arc<Lane>>,
    config: Config,
    events: Arc<dyn Events>,
    generation: u64,
    started: AtomicBool,
    /// Something may be open since the last `stop`.
    used: AtomicBool,
    journal: Arc<Place>,
    turns: later::Turns,
}

/// One page of a list, in the words of the caller: keys without the bucket asked for.
#[derive(Debug)]
pub struct Listing {
    /// Keys and stored texts (empty texts where only keys were asked for).
    pub entries: Vec<(String, String)>,
    /// Where the next page starts, if there is one.
    pub next_marker: Option<String>,
}

impl Store {
    /// Opens a configuration. Connects to nothing, creates nothing and starts no thread; but with a journal, which is
    /// opened or created at once, and in which messages may wait that are sent then. `forked`: the configuration was
    /// open already in the process that this one was forked from, whose the journal is.
    ///
    /// `interrupt` is asked within the fork gate, so it must run nobody's code.
    ///
    /// # Errors
    /// The journal cannot be used; `Interrupted` while it is read.
    pub fn open(
        config: Config,
        events: Arc<dyn Events>,
        forked: bool,
        interrupt: &dyn Interrupt,
    ) -> Result<Arc<Self>> {
        let mut backends: Vec<Arc<dyn Backend>> = vec![Arc::new(Local::new(&config.local))];
        if let Some(dynamodb) = &config.dynamodb {
            backends.push(dynamodb::open(dynamodb.clone()));
        }
        if let Some(etcd) = &config.etcd {
            backends.push(etcd::open(etcd.clone()));
        }
        let lane = |backend| Lane::new(backend, config.queue.clone(), Arc::clone(&events));
        let store = Arc::new(Self {
            lanes: backends.into_iter().map(lane).map(Arc::new).collect(),
            events,
            generation: process::generation(),
            started: AtomicBool::new(false),
            used: AtomicBool::new(true),
            journal: Arc::new(match (&config.queue.journal, forked) {
                (None, _) => Place::None,
                (Some(_), true) => Place::Parents,
                (Some(_), false) => Place::Ours(Mutex::new(None)),
            }),
            turns: later::Turns::default(),
            config,
        });
        living::register(&store);
        store.begin_journal(interrupt)?;
        Ok(store)
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether this store was made by this process, not by the one it was forked from.
    pub fn is_ours(&self) -> bool {
        self.generation == process::generation()
    }

    fn lane(&self, name: BackendName) -> Result<&Arc<Lane>> {
        self.used.store(true, Ordering::Relaxed);
        let found = self.lanes.iter().find(|lane| lane.backend().name() == name);
        found.ok_or_else(|| {
            let text = format!(
                "backend '{name}' is not configured. Add a section \"{name}\" to the configuration."
            );
            Error::new(Kind::NotConfigured, text)
        })
    }

    fn backend(&self, name: BackendName) -> Result<&dyn Backend> {
        self.lane(name).map(|lane| lane.backend())
    }

    /// Refuses what the backend does not have or would refuse, before anything is converted or queued.
    pub fn check(&self, name: BackendName, key: &str, value_len: usize) -> Result<()> {
        let backend = self.backend(name)?;
        backend.limits().check(name, key, value_len)
    }

    /// A direct verb's turn on its keys: after all older messages of theirs, those of the journal included.
    fn turn<'k>(
        &self,
        lane: &Arc<Lane>,
        keys: &(impl Iterator<Item = &'k str> + Clone),
        interrupt: &dyn Interrupt,
    ) -> Result<Turn> {
        loop {
            let departures = lane.departures();
            self.try_open_journal(interrupt)?;
            let hold = lane.hold(keys.clone(), interrupt)?;
            lane.check_left_behind()?;
            // A `stop` that ran out of time may have left them in the journal meanwhile: then they come first again.
            if lane.departures() == departures {
                return Ok(Box::new(hold));
            }
        }
    }

    /// Writes a message now.
    pub fn write(
        &self,
        name: BackendName,
        message: Message,
        interrupt: &dyn Interrupt,
    ) -> Result<()> {
        self.check(name, message.key(), message.value().len())?;
        let lane = self.lane(name)?;
        let written = self.events.wants_debug().then(|| message.clone());
        let turn = self.turn(lane, &std::iter::once(message.key()), interrupt)?;
        lane.backend().write(vec![message], turn, interrupt)?;
        if let Some(message) = &written {
            self.log_written(name, message);
        }
        Ok(())
    }

    /// Writes all messages now; gives how many keys. See [`Backend::write`] for what a failure leaves.
    pub fn write_many(
        &self,
        name: BackendName,
        messages: Vec<Message>,
        interrupt: &dyn Interrupt,
    ) -> Result<usize> {
        let lane = self.lane(name)?;
        for message in &messages {
            self.check(name, message.key(), message.value().len())?;
        }
        let messages = latest_of_each_key(messages);
        let count = messages.len();
        let written = self.events.wants_debug().then(|| messages.clone());
        let turn = self.turn(lane, &messages.iter().map(Message::key), interrupt)?;
        lane.backend().write(messages, turn, interrupt)?;
        for message in written.iter().flatten() {
            self.log_written(name, message);
        }
        Ok(count)
    }

    /// The stored texts of those of `keys` that exist, with their position.
    pub fn read(
        &self,
        name: BackendName,
        keys: &[String],
        interrupt: &dyn Interrupt,
    ) -> Result<Vec<(usize, String)>> {
        for key in keys {
            self.check(name, key, 0)?;
        }
        self.backend(name)?.read(keys, interrupt)
    }

    /// Replaces the text of a key if it exists; whether it did.
    pub fn update(
        &self,
        name: BackendName,
        message: Message,
        interrupt: &dyn Interrupt,
    ) -> Result<bool> {
        self.check(name, message.key(), message.value().len())?;
        let lane = self.lane(name)?;
        let written = self.events.wants_debug().then(|| message.clone());
        let turn = self.turn(lane, &std::iter::once(message.key()), interrupt)?;
        let existed = lane.backend().update(message, turn, interrupt)?;
        if existed && let Some(message) = &written {
            self.log_written(name, message);
        }
        Ok(existed)
    }

    /// Deletes keys; how many existed. A key given twice counts once.
    pub fn delete(
        &self,
        name: BackendName,
        mut keys: Vec<String>,
        interrupt: &dyn Interrupt,
    ) -> Result<usize> {
        keys.sort_unstable();
        keys.dedup();
        let lane = self.lane(name)?;
        for key in &keys {
            self.check(name, key, 0)?;
        }
        let turn = self.turn(lane, &keys.iter().map(String::as_str), interrupt)?;
        lane.backend().delete(keys, turn, interrupt)
    }

    /// One page of a list.
    pub fn list(
        &self,
        name: BackendName,
        bucket: &str,
        start_after: Option<&str>,
        page_size: usize,
        values: bool,
        interrupt: &dyn Interrupt,
    ) -> Result<Listing> {
        let prefix = prefix_of(bucket);
        let after = start_after.map(|key| format!("{prefix}{key}"));
        if let Some(after) = &after {
            self.check(name, after, 0)?;
        }
        let range = Range {
            prefix: &prefix,
            after: after.as_deref(),
            limit: page_size,
            values,
        };
        let page = self.backend(name)?.list(range, interrupt)?;
        Ok(listing(page, prefix.len()))
    }

    /// How long a round trip takes.
    pub fn ping(&self, name: BackendName, interrupt: &dyn Interrupt) -> Result<Duration> {
        let begun = Instant::now();
        self.backend(name)?.ping(interrupt)?;
        Ok(begun.elapsed())
    }

    fn log_written(&self, name: BackendName, message: &Message) {
        if self.events.wants_debug() {
            self.events.log(queue::written(name, message));
        }
    }

    fn debug(&self, text: impl FnOnce() -> String) {
        if self.events.wants_debug() {
            self.events.log(LogLine::new(Level::Debug, text()));
        }
    }
}

fn prefix_of(bucket: &str) -> String {
    if bucket.is_empty() {
        return String::new();
    }
    format!("{bucket}:")
}

/// A page in the words of the caller: `cut` bytes of each key are the bucket's.
fn listing(page: Page, cut: usize) -> Listing {
    let mut entries = page.entries;
    if cut > 0 {
        for (key, _) in &mut entries {
            key.drain(..cut);
        }
    }
    let last = entries.last().filter(|_| page.more);
    let next_marker = last.map(|(key, _)| key.clone());
    Listing {
        entries,
        next_marker,
    }
}

/// Of several messages of one key the last; in key order.
fn latest_of_each_key(mut messages: Vec<Message>) -> Vec<Message> {
    messages.sort_by(|a, b| a.key().cmp(b.key()));
    messages.dedup_by(|later, earlier| {
        let same = later.key() == earlier.key();
        if same {
            std::mem::swap(later, earlier);
        }
        same
    });
    messages
}
