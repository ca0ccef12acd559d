//! The journal: accepted messages on disk until they have left the queue, so that `kill -9` takes none.
//!
//! An append-only log. A message is a record before its call returns; another record says when it has left. What
//! has no such second record is alive, and whoever opens the journal next has it again. `docs/journal.md` says what
//! the file looks like.
//!
//! - [`record`]: the bytes; pure.
//! - [`replay`]: what is alive; pure.
//! - [`file`]: opening, locking, reading.
//! - [`sync`]: one disk sync for all who wait.
//! - [`rewrite`]: giving back the space of what has left.
//! - [`keeper`]: the thread that syncs and rewrites while nobody waits for it.

mod file;
#[cfg(fuzzing)]
pub mod fuzzing;
mod keeper;
mod record;
mod replay;
mod rewrite;
mod sync;
#[cfg(test)]
mod tests;

use crate::sync::{Mutex, MutexGuard};
use std::fs::File;
use std::hash::BuildHasher;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, Weak};

use hashbrown::{DefaultHashBuilder, HashMap};

use super::{Events, Level};
use crate::config::{JournalConfig, JournalSync};
use crate::error::{Error, Kind, Result};
use crate::message::{BackendName, Message, quote};
use crate::process::{self, Inside};
use crate::wait::{self, Interrupt};
use keeper::Keeper;
use record::{HEADER, Header, Record};
use replay::Alive;
use sync::Syncs;

pub use record::Number;
pub use replay::Live;

/// A journal in which nothing is alive is emptied when it has this many bytes.
const EMPTIED_AT: u64 = 1 << 20;
/// Where every record is synced, space is made for so many bytes at once, as zeros: to sync what is written into a file
/// takes half as long as to sync a file that grows.
static SPACE: [u8; 256 << 10] = [0; 256 << 10];

/// All journals that this process has open, for `fork`. Locked only inside the fork gate.
static OPEN: Mutex<Vec<Weak<Journal>>> = Mutex::new(Vec::new());

/// An open journal. Its file is locked for this process until it is closed.
pub struct Journal {
    config: JournalConfig,
    events: Arc<dyn Events>,
    header: Header,
    hasher: DefaultHashBuilder,
    /// Locked only inside the fork gate, so that a child never finds it locked, and never for a disk sync.
    writer: Mutex<Writer>,
    syncs: Syncs,
    keeper: Arc<Keeper>,
    /// No message is taken any more.
    closing: AtomicBool,
}

struct Writer {
    /// `None` once it is closed.
    file: Option<Arc<File>>,
    /// Where the next record goes.
    end: u64,
    /// How long the file is, where space is made ahead.
    space: Option<u64>,
    /// Counts every byte that was ever written, whatever is cut off or rewritten.
    written: u64,
    alive: Alive,
    /// Records on their way into the file. What a full disk did not take of settled messages stays here until it does.
    buffer: Vec<u8>,
    /// Keys of messages that have left by records which a power loss could still take, and where those end. Only
    /// where every record is to be on disk.
    unsynced: HashMap<u64, u64>,
    /// How large the file may become before it is looked at for rewriting.
    rewrite_at: u64,
}

/// What is alive in a journal, in the order of acceptance.
pub type Contents = Vec<(Number, Live)>;

/// How messages of one request ended, for the journal.
#[derive(Default)]
pub struct Fates {
    /// Delivered.
    pub settled: Vec<Number>,
    /// Given up.
    pub failed: Vec<(Number, Error)>,
}

impl Journal {
    /// Opens the journal, or creates it, and gives what is alive in it, in the order of acceptance.
    ///
    /// # Errors
    /// `Config` where the path cannot be used, and where another process or another journal of this one has it.
    pub fn open(
        config: &JournalConfig,
        events: Arc<dyn Events>,
        interrupt: &dyn Interrupt,
    ) -> Result<(Arc<Self>, Contents)> {
        let inside = process::enter();
        let opened = file::open(&config.path, interrupt)?;
        let copy = match &opened.damage {
            Some(damage) if damage.inside > 0 => Some(file::keep_copy(&config.path).map_err(|cause| {
                let why = format!(
                    "it is damaged, and no copy of it could be made: {cause}. Nothing was changed. Free space on the disk."
                );
                file::refused(&config.path, why)
            })?),
            _ => None,
        };
        // What was cut off must not stand behind later records.
        opened.file.set_len(opened.end).map_err(|cause| {
            file::refused(&config.path, format!("it cannot be written: {cause}."))
        })?;
        let live = opened.alive.in_order();
        let journal = Arc::new(Self {
            config: config.clone(),
            events,
            header: opened.header,
            hasher: DefaultHashBuilder::default(),
            writer: Mutex::new(Writer {
                file: Some(Arc::new(opened.file)),
                end: opened.end,
                space: (config.sync == JournalSync::Always).then_some(opened.end),
                written: opened.end - HEADER as u64,
                alive: opened.alive,
                buffer: Vec::new(),
                unsynced: HashMap::new(),
                rewrite_at: rewrite::LEAST,
            }),
            syncs: Syncs::new(opened.end - HEADER as u64),
            keeper: Arc::default(),
            closing: AtomicBool::new(false),
        });
        {
            let mut open = wait::lock(&OPEN);
            open.retain(|journal| journal.strong_count() > 0);
            open.push(Arc::downgrade(&journal));
        }
        drop(inside);
        if let Some(damage) = opened.damage {
            journal.tell_damage(&damage, copy);
        }
        Ok((journal, live))
    }

    fn tell_damage(&self, damage: &file::Damage, copy: Option<PathBuf>) {
        let path = self.config.path.display();
        if damage.tail > 0 {
            let text = format!(
                "The journal {path} ended in {} byte(s) of an unfinished record, which were cut off.",
                damage.tail
            );
            self.events.log(Level::Warning, text);
        }
        let Some(copy) = copy else {
            return;
        };
        let text = format!(
            "The journal {path} is damaged: {} byte(s) in it are no record, and messages in them are lost. What is \
             sound before and behind them is kept. The damaged file was copied to {}.",
            damage.inside,
            copy.display()
        );
        self.events.log(Level::Error, text);
        // Else it would be found again every time.
        if let Err(cause) = self.rewrite() {
            self.warn_of_rewrite(&cause);
        }
    }

    /// Where it is.
    pub fn path(&self) -> std::path::Display<'_> {
        self.config.path.display()
    }

    /// The writer, and the proof that this thread is inside the fork gate.
    fn lock(&self) -> Locked<'_> {
        let inside = process::enter();
        Locked {
            writer: self.writer.lock().unwrap_or_else(PoisonError::into_inner),
            _inside: inside,
        }
    }

    /// Takes a message: it is in the file, and on disk where the configuration says so, when this returns.
    /// `None`: the journal is being closed, and did not take it.
    ///
    /// # Errors
    /// The disk is full or fails, or `Interrupted`: then it was not taken.
    pub fn append(
        self: &Arc<Self>,
        backend: BackendName,
        message: &Message,
        interrupt: &dyn Interrupt,
    ) -> Result<Option<Number>> {
        let failed = |cause: &dyn std::fmt::Display| {
            let text = format!(
                "the journal {} did not take key {}: {cause}. Nothing was queued. Free space on its disk, or write \
                 directly with write_message.",
                self.path(),
                quote(message.key())
            );
            Error::backend(Kind::Backend, backend, true, text)
        };
        if self.syncs.has_failed() {
            // What the disk did not confirm may be lost: only a new file can be trusted.
            self.rewrite().map_err(|cause| failed(&cause))?;
        }
        let (number, at) = {
            let mut writer = self.lock();
            if self.is_closing() {
                return Ok(None);
            }
            let number = writer.alive.next_number();
            let record = Record::Accepted {
                number,
                backend,
                text: message.text(),
                key_len: message.key().len(),
            };
            let owed = writer.buffer.len();
            record.write(self.header, &mut writer.buffer);
            if let Err(cause) = writer.write() {
                writer.buffer.truncate(owed);
                return Err(failed(&cause));
            }
            writer.alive.accept(number, backend, message.clone());
            (number, writer.written)
        };
        match self.config.sync {
            JournalSync::Never => {}
            JournalSync::Interval => self.sync_soon(),
            JournalSync::Always => {
                if let Err(error) = self.wait_synced(at, interrupt) {
                    let fates = Fates {
                        settled: vec![number],
                        ..Fates::default()
                    };
                    self.settle(&fates);
                    let interrupted = error.kind() == Kind::Interrupted;
                    return Err(if interrupted { error } else { failed(&error) });
                }
            }
        }
        Ok(Some(number))
    }

    /// Notes how messages have ended, before anything newer of their keys may travel.
    pub fn settle(self: &Arc<Self>, fates: &Fates) {
        if fates.settled.is_empty() && fates.failed.is_empty() {
            return;
        }
        let trouble = {
            let mut guard = self.lock();
            let writer = &mut *guard;
            if writer.file.is_none() {
                return;
            }
            let mut keys = Vec::new();
            let mut settled = Vec::with_capacity(fates.settled.len());
            for &number in &fates.settled {
                if let Some(live) = writer.alive.settle(number) {
                    settled.push(number);
                    keys.push(self.hasher.hash_one(live.message.key()));
                }
            }
            if !settled.is_empty() {
                Record::Settled(settled).write(self.header, &mut writer.buffer);
            }
            for (number, error) in &fates.failed {
                if let Some(live) = writer.alive.fail(*number, error.clone()) {
                    keys.push(self.hasher.hash_one(live.message.key()));
                    let record = Record::Failed {
                        number: *number,
                        kind: error.kind(),
                        retryable: error.retryable(),
                        error: &error.to_string(),
                    };
                    record.write(self.header, &mut writer.buffer);
                }
            }
            let trouble = self.write_settled(writer);
            if self.config.sync == JournalSync::Always {
                let synced = self.syncs.up_to();
                writer.unsynced.retain(|_, at| *at > synced);
                let at = writer.written;
                writer
                    .unsynced
                    .extend(keys.into_iter().map(|key| (key, at)));
            }
            trouble
        };
        if let Some(cause) = trouble {
            let text = format!(
                "The journal {} cannot note what has left the queue: {cause}. After a crash it may be delivered again. \
                 Free space on its disk.",
                self.path()
            );
            self.events.log(Level::Warning, text);
        }
    }

    /// Writes what has left, or empties the file if nothing is alive. What fails is tried again with the next record.
    fn write_settled(self: &Arc<Self>, writer: &mut Writer) -> Option<io::Error> {
        if writer.alive.is_empty() && writer.end >= EMPTIED_AT {
            writer.empty();
        }
        let outcome = writer.write();
        if writer.end >= writer.rewrite_at {
            writer.rewrite_at = writer.end + rewrite::LEAST;
            if writer.alive.size() * 2 < writer.end {
                self.rewrite_soon();
            }
        }
        if self.config.sync == JournalSync::Interval {
            self.sync_soon();
        }
        outcome.err()
    }

    /// Given-up messages are queued again, under new numbers, which are given.
    ///
    /// # Errors
    /// The disk is full or fails: then nothing was changed.
    pub fn requeue(&self, numbers: &[Number]) -> Result<Vec<Number>> {
        let mut writer = self.lock();
        let first = writer.alive.next_number();
        let new = (0..numbers.len() as u64).map(|step| first.saturating_add(step));
        let new: Vec<Number> = new.collect();
        let pairs: Vec<_> = numbers.iter().copied().zip(new.iter().copied()).collect();
        let owed = writer.buffer.len();
        Record::Requeued(pairs.clone()).write(self.header, &mut writer.buffer);
        if let Err(cause) = writer.write() {
            writer.buffer.truncate(owed);
            let text = format!(
                "the journal {} did not take the messages again: {cause}. Nothing was changed. Free space on its disk.",
                self.path()
            );
            return Err(Error::new(Kind::Backend, text));
        }
        for (old, new) in pairs {
            writer.alive.requeue(old, new);
        }
        Ok(new)
    }

    /// Before a direct verb on `keys`: that older messages of theirs have left must be as safe as the verb will be,
    /// else the next owner would send them again, over what the verb writes.
    ///
    /// # Errors
    /// The disk is full or fails; `Interrupted`.
    pub fn before_direct<'k>(
        &self,
        backend: BackendName,
        keys: impl Iterator<Item = &'k str>,
        interrupt: &dyn Interrupt,
    ) -> Result<()> {
        let failed = |cause: &dyn std::fmt::Display| {
            let text = format!(
                "the journal {} cannot note that older messages of the key have left the queue: {cause}. Nothing was \
                 done. Free space on its disk.",
                self.path()
            );
            Error::backend(Kind::Backend, backend, true, text)
        };
        let at = {
            let mut writer = self.lock();
            if writer.file.is_none() || writer.buffer.is_empty() && writer.unsynced.is_empty() {
                return Ok(());
            }
            writer.write().map_err(|cause| failed(&cause))?;
            let at = keys.filter_map(|key| writer.unsynced.get(&self.hasher.hash_one(key)));
            at.copied().max()
        };
        match at.map(|at| self.wait_synced(at, interrupt)) {
            Some(Err(error)) if error.kind() != Kind::Interrupted => Err(failed(&error)),
            other => other.unwrap_or(Ok(())),
        }
    }

    /// Whether no message is taken any more.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Takes no message from now on; notes what leaves until it is closed.
    pub fn begin_close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// As [`Self::begin_close`], if nobody is queueing or waiting at this moment; whether it is so.
    pub fn begin_close_if(&self, idle: impl FnOnce() -> bool) -> bool {
        let _writer = self.lock();
        let idle = idle();
        if idle {
            self.closing.store(true, Ordering::Release);
        }
        idle
    }

    /// Closes the file and gives up its lock. What is alive stays in it.
    pub fn close(&self) {
        self.begin_close();
        let mut writer = self.lock();
        let writer = &mut *writer;
        self.keeper.end();
        if writer.alive.is_empty() && writer.file.is_some() {
            writer.empty();
        }
        let _ = writer.write();
        let Some(file) = writer.file.take() else {
            return;
        };
        if writer.space.is_some() {
            let _ = file.set_len(writer.end);
        }
        if self.config.sync != JournalSync::Never {
            let _ = file.sync_data();
        }
        // At once, whoever else may still have the file in hand for a moment.
        let _ = file.unlock();
    }

    /// After `fork`, in the child: the file is the parent's, and so is its lock, which the child's copy of the open
    /// file would keep beyond the parent's end.
    fn let_go_in_child(&self) {
        if let Ok(mut writer) = self.writer.try_lock() {
            writer.file = None;
        }
    }
}

/// After `fork`, in the child, before the gate opens.
pub fn let_go_in_child() {
    for journal in wait::lock(&OPEN).drain(..) {
        if let Some(journal) = journal.upgrade() {
            journal.let_go_in_child();
            // The parent's; what it holds besides is not to be touched.
            std::mem::forget(journal);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

struct Locked<'a> {
    writer: MutexGuard<'a, Writer>,
    _inside: Inside,
}

impl std::ops::Deref for Locked<'_> {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        &self.writer
    }
}

impl std::ops::DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }
}

impl Writer {
    /// Puts the buffer into the file. After a failure the file ends where it did before.
    fn write(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut outcome = file::write_at(file, &self.buffer, self.end);
        if outcome.is_err() && self.space.is_some_and(|space| space > self.end) {
            // The disk is full. What was made ahead is given back, and may be enough for others' needs and this one.
            let _ = file.set_len(self.end);
            self.space = Some(self.end);
            outcome = file::write_at(file, &self.buffer, self.end);
        }
        if let Err(cause) = outcome {
            let _ = file.set_len(self.end);
            return Err(cause);
        }
        self.end += self.buffer.len() as u64;
        if let Some(space) = self.space.as_mut()
            && *space < self.end
        {
            *space = self.end + SPACE.len() as u64;
            if file::write_at(file, &SPACE, self.end).is_err() {
                // Full: it does without.
                let _ = file.set_len(self.end);
                *space = self.end;
            }
        }
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        if self.buffer.capacity() > 1 << 20 {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// How many bytes have been cut off so far, of all that were written.
    fn cut_off(&self) -> u64 {
        self.written.wrapping_sub(self.end)
    }

    /// Nothing is alive: the file begins anew, with nothing but its header.
    fn empty(&mut self) {
        if let Some(file) = &self.file
            && file.set_len(HEADER as u64).is_ok()
        {
            self.end = HEADER as u64;
            self.space = self.space.and(Some(self.end));
            self.buffer.clear();
            // That is a change which a sync has to carry to the disk, like a record.
            self.written += 1;
        }
    }
}
