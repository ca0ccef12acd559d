//! The store: routes a verb to a backend or to its queue; opens, starts and stops them.

mod journal;
mod living;

use crate::sync::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::backend::local::Local;
use crate::backend::{Backend, Range, Turn, dynamodb, etcd};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::message::{BackendName, Failed, Message};
use crate::process;
use crate::queue::{Events, Lane, Level, Receipt, Stats, shown};
use crate::wait::{self, Interrupt, Never};
use journal::Place;
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
}

/// How long closing may take at least.
const CLOSING: Duration = Duration::from_millis(300);

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

    /// Queues a message if that needs no waiting; else hands it back for [`Self::enqueue`].
    pub fn try_enqueue(
        &self,
        name: BackendName,
        message: Message,
        receipt: Option<Receipt>,
    ) -> Result<Option<(Message, Option<Receipt>)>> {
        if process::exiting() {
            return Ok(Some((message, receipt)));
        }
        let lane = self.lane(name)?;
        lane.backend()
            .limits()
            .check(name, message.key(), message.value().len())?;
        lane.try_enqueue(message, receipt)
    }

    /// Queues a message, starting the worker and waiting for room as need be.
    pub fn enqueue(
        &self,
        name: BackendName,
        message: Message,
        receipt: Option<Receipt>,
        interrupt: &dyn Interrupt,
    ) -> Result<()> {
        self.check(name, message.key(), message.value().len())?;
        if !process::exiting() {
            self.mark_started();
            let lane = self.lane(name)?;
            while !process::exiting() {
                self.open_journal(interrupt)?;
                match lane.enqueue(message.clone(), receipt.clone(), interrupt) {
                    // The end of the program has released it from waiting for room.
                    Err(error) if error.kind() == Kind::QueueFull && process::exiting() => {}
                    Ok(true) => return Ok(()),
                    // The journal was closed in between.
                    Ok(false) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        // Nobody would deliver it any more: what is accepted now is written now.
        self.write(name, message, interrupt)?;
        if let Some(receipt) = receipt {
            receipt.deliver();
        }
        Ok(())
    }

    /// A direct verb's turn on its keys: after all older messages of theirs, those of the journal included.
    fn turn<'k>(
        &self,
        lane: &Arc<Lane>,
        keys: impl Iterator<Item = &'k str> + Clone,
        interrupt: &dyn Interrupt,
    ) -> Result<Turn> {
        self.try_open_journal(interrupt)?;
        Ok(Box::new(lane.hold(keys, interrupt)?))
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
        let turn = self.turn(lane, std::iter::once(message.key()), interrupt)?;
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
        let turn = self.turn(lane, messages.iter().map(Message::key), interrupt)?;
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
        let turn = self.turn(lane, std::iter::once(message.key()), interrupt)?;
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
        let turn = self.turn(lane, keys.iter().map(String::as_str), interrupt)?;
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
        let prefix = if bucket.is_empty() {
            String::new()
        } else {
            format!("{bucket}:")
        };
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
        let mut entries = page.entries;
        if !prefix.is_empty() {
            for (key, _) in &mut entries {
                key.drain(..prefix.len());
            }
        }
        let next_marker = if page.more {
            entries.last().map(|(key, _)| key.clone())
        } else {
            None
        };
        Ok(Listing {
            entries,
            next_marker,
        })
    }

    /// How long a round trip takes.
    pub fn ping(&self, name: BackendName, interrupt: &dyn Interrupt) -> Result<Duration> {
        let begun = Instant::now();
        self.backend(name)?.ping(interrupt)?;
        Ok(begun.elapsed())
    }

    /// Waits until everything queued before the call is delivered.
    ///
    /// # Errors
    /// `FlushTimeout`; `Delivery` with what was given up since the last call that reported it.
    pub fn flush(&self, deadline: Option<Instant>, interrupt: &dyn Interrupt) -> Result<()> {
        self.try_open_journal(interrupt)?;
        for lane in &self.lanes {
            lane.urge();
        }
        for lane in &self.lanes {
            lane.flush(deadline, interrupt)?;
        }
        for lane in &self.lanes {
            let flushed = if deadline.is_none() {
                lane.backend().flush(interrupt)
            } else {
                let lane = Arc::clone(lane);
                let flush = move || lane.backend().flush(&Never);
                wait::within(deadline, interrupt, flush)?.unwrap_or(Ok(()))
            };
            match flushed {
                Err(error) if error.kind() == Kind::Interrupted => return Err(error),
                // Everything is delivered and safe all the same.
                Err(error) => self.events.log(Level::Warning, error.to_string()),
                Ok(()) => {}
            }
        }
        self.report_failed()
    }

    /// Starts the worker, if it is not running.
    pub fn start(&self, interrupt: &dyn Interrupt) -> Result<()> {
        if process::exiting() {
            return Ok(());
        }
        if !matches!(*self.journal, Place::Parents) {
            self.open_journal(interrupt)?;
        }
        self.mark_started();
        self.lanes.iter().try_for_each(Lane::ensure_worker)
    }

    fn mark_started(&self) {
        if !self.started.load(Ordering::Relaxed) && !self.started.swap(true, Ordering::SeqCst) {
            self.debug(|| "Background worker started.".into());
        }
    }

    /// Delivers what is queued and closes everything; a later verb opens what it needs again.
    ///
    /// # Errors
    /// `Delivery` with what was given up, or not delivered by the deadline; with a journal, `FlushTimeout` if something
    /// is left in it.
    pub fn stop(&self, deadline: Option<Instant>, interrupt: &dyn Interrupt) -> Result<()> {
        for lane in &self.lanes {
            lane.urge();
        }
        let mut left = 0;
        for lane in &self.lanes {
            left += lane.stop(deadline, interrupt)?;
        }
        if self.started.swap(false, Ordering::SeqCst) {
            self.debug(|| "Background worker stopped.".into());
        }
        let (lanes, place) = (self.lanes.clone(), Arc::clone(&self.journal));
        let close = move || {
            journal::close(&lanes, &place);
            for lane in &lanes {
                lane.backend().close();
            }
        };
        // A disk that hangs has to answer, too; a sound one shall always have the time.
        let deadline = deadline.map(|deadline| deadline.max(Instant::now() + CLOSING));
        if wait::within(deadline, interrupt, close)?.is_none() {
            let text = "Closing takes longer than the time given to stop: a disk does not answer. It goes on by itself.";
            self.events.log(Level::Warning, text.to_owned());
        }
        if self.used.swap(false, Ordering::SeqCst) {
            self.debug(|| "Database resources released and closed.".into());
        }
        if let (1.., Some(journal)) = (left, &self.config.queue.journal) {
            let text = format!(
                "{left} queued message(s) were not delivered in time. They are in the journal {}, and whoever opens it \
                 next delivers them.",
                journal.path.display()
            );
            return Err(Error::new(Kind::FlushTimeout, text));
        }
        self.report_failed()
    }

    fn report_failed(&self) -> Result<()> {
        let mut failed: Vec<Failed> = Vec::new();
        let mut forgotten = 0;
        for lane in &self.lanes {
            let (more, lost) = lane.take_unreported();
            failed.extend(more);
            forgotten += lost;
        }
        let Some(first) = failed.first() else {
            return Ok(());
        };
        let kept = if forgotten == 0 {
            "All are in .failed, and kept".to_owned()
        } else {
            format!("The last {} are in .failed, and kept", failed.len())
        };
        let text = format!(
            "{} queued message(s) were given up, such as {}: {} {kept}: see failed_messages(), \
             retry_failed() and drop_failed().",
            failed.len() as u64 + forgotten,
            crate::message::quote(first.message.key()),
            first.error
        );
        Err(Error::delivery(text, failed))
    }

    /// The accounts of every queue.
    pub fn stats(&self) -> Vec<Stats> {
        self.lanes.iter().map(|lane| lane.stats()).collect()
    }

    /// What was given up and is kept, of one backend or of all.
    pub fn failed_messages(
        &self,
        name: Option<BackendName>,
        interrupt: &dyn Interrupt,
    ) -> Result<Vec<Failed>> {
        self.try_open_journal(interrupt)?;
        Ok(self
            .lanes_of(name)?
            .iter()
            .flat_map(|lane| lane.failed_messages())
            .collect())
    }

    /// Queues again what was given up; how many.
    pub fn retry_failed(
        &self,
        name: Option<BackendName>,
        interrupt: &dyn Interrupt,
    ) -> Result<usize> {
        self.open_journal(interrupt)?;
        let lanes = self.lanes_of(name)?;
        self.mark_started();
        lanes.iter().map(|lane| lane.retry_failed()).sum()
    }

    /// Forgets what was given up; how many.
    pub fn drop_failed(
        &self,
        name: Option<BackendName>,
        interrupt: &dyn Interrupt,
    ) -> Result<usize> {
        self.open_journal(interrupt)?;
        let lanes = self.lanes_of(name)?;
        Ok(lanes.iter().map(|lane| lane.drop_failed()).sum())
    }

    fn lanes_of(&self, name: Option<BackendName>) -> Result<Vec<&Arc<Lane>>> {
        match name {
            Some(name) => self.lane(name).map(|lane| vec![lane]),
            None => Ok(self.lanes.iter().collect()),
        }
    }

    fn log_written(&self, name: BackendName, message: &Message) {
        self.debug(|| {
            format!(
                "Write successful to {name} backend: {} -> {}",
                message.key(),
                shown(message.value())
            )
        });
    }

    fn debug(&self, text: impl FnOnce() -> String) {
        if self.events.wants_debug() {
            self.events.log(Level::Debug, text());
        }
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
