//! What a journal is told: a message was accepted, has left, was given up, is queued again.

use std::hash::BuildHasher;
use std::io;
use std::sync::Arc;

use super::record::Record;
use super::writer::Writer;
use super::{Journal, Number, rewrite};
use crate::config::JournalSync;
use crate::error::{Error, Kind, Result};
use crate::message::{BackendName, Message, quote};
use crate::queue::{Level, LogLine};
use crate::wait::Interrupt;

/// A journal in which nothing is alive is emptied when it has this many bytes.
const EMPTIED_AT: u64 = 1 << 20;
/// A message that is in the file.
pub struct Taken {
    number: Number,
    /// Where its record ends, of all that was ever written.
    end: u64,
}

impl Taken {
    /// Its number.
    pub fn number(&self) -> Number {
        self.number
    }
}

/// How messages of one request ended, for the journal.
#[derive(Default)]
pub struct Fates {
    /// Delivered.
    pub settled: Vec<Number>,
    /// Given up.
    pub failed: Vec<(Number, Error)>,
}

impl Journal {
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
        let Some(taken) = self.take(backend, message)? else {
            return Ok(None);
        };
        self.make_safe(&taken, backend, message, interrupt)?;
        Ok(Some(taken.number))
    }

    /// Takes a message that is in the file when this returns, but is not safe before [`Self::make_safe`]. `None` as with
    /// [`Self::append`].
    ///
    /// # Errors
    /// The disk is full or fails: then it was not taken.
    pub fn take(
        self: &Arc<Self>,
        backend: BackendName,
        message: &Message,
    ) -> Result<Option<Taken>> {
        let failed = |cause: &dyn std::fmt::Display| self.did_not_take(backend, message, cause);
        if self.syncs.has_failed() {
            self.heal().map_err(|cause| failed(&cause))?;
        }
        let mut writer = self.lock();
        if self.is_closing() {
            return Ok(None);
        }
        let number = writer.alive.next_number();
        let record = Record::accepted(number, backend, message);
        let owed = writer.buffer.len();
        record.write(self.header, &mut writer.buffer);
        if let Err(cause) = writer.write() {
            writer.buffer.truncate(owed);
            return Err(failed(&cause));
        }
        writer.alive.accept(number, backend, message.clone());
        let end = writer.written;
        Ok(Some(Taken { number, end }))
    }

    /// Waits until a message that was taken is as safe as the configuration asks for.
    ///
    /// # Errors
    /// The disk fails, or `Interrupted`: then it is taken no more.
    pub fn make_safe(
        self: &Arc<Self>,
        taken: &Taken,
        backend: BackendName,
        message: &Message,
        interrupt: &dyn Interrupt,
    ) -> Result<()> {
        match self.config.sync {
            JournalSync::Never => {}
            JournalSync::Interval => self.sync_soon(),
            JournalSync::Always => {
                if let Err(error) = self.wait_synced(taken.end, interrupt) {
                    let fates = Fates {
                        settled: vec![taken.number],
                        ..Fates::default()
                    };
                    self.settle(&fates);
                    let interrupted = error.kind() == Kind::Interrupted;
                    return Err(if interrupted {
                        error
                    } else {
                        self.did_not_take(backend, message, &error)
                    });
                }
            }
        }
        Ok(())
    }

    fn did_not_take(
        &self,
        backend: BackendName,
        message: &Message,
        cause: &dyn std::fmt::Display,
    ) -> Error {
        let text = format!(
            "the journal {} did not take key {}: {cause}. Nothing was queued. Check its disk, and whether it is full, \
             or write directly with write_message.",
            self.path(),
            quote(message.key())
        );
        Error::backend(Kind::Backend, backend, true, text)
    }

    /// Notes how messages have ended, before anything newer of their keys may travel. `false`: it is closed, and whoever
    /// opens it next has them again.
    pub fn settle(self: &Arc<Self>, fates: &Fates) -> bool {
        if fates.settled.is_empty() && fates.failed.is_empty() {
            return true;
        }
        let trouble = {
            let mut guard = self.lock();
            let writer = &mut *guard;
            if writer.file.is_none() {
                return false;
            }
            let had_trouble = !writer.buffer.is_empty();
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
                    let text = error.to_string();
                    let record = Record::failed(*number, error, &text);
                    record.write(self.header, &mut writer.buffer);
                }
            }
            let trouble = self.write_settled(writer);
            if trouble.is_some() || self.config.sync == JournalSync::Always {
                let safe = self.safe_up_to(writer);
                let at = writer.written + writer.buffer.len() as u64;
                writer.note_unsafe(keys, at, safe);
            }
            // Said once, not for every batch that leaves.
            trouble.filter(|_| !had_trouble)
        };
        if let Some(cause) = trouble {
            let text = format!(
                "The journal {} cannot note what has left the queue: {cause}. After a crash it may be delivered again. \
                 Check its disk, and whether it is full.",
                self.path()
            );
            self.events.log(LogLine::new(Level::Warning, text));
        }
        true
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

    /// Given-up messages are queued again, under new numbers, which are given. `None`: it is closed or about to be.
    ///
    /// # Errors
    /// The disk is full or fails: then nothing was changed.
    pub fn requeue(&self, numbers: &[Number]) -> Result<Option<Vec<Number>>> {
        let mut writer = self.lock();
        if self.is_closing() || writer.file.is_none() {
            return Ok(None);
        }
        let first = writer.alive.next_number();
        let new = (0..numbers.len() as u64).map(|step| first.saturating_add(step));
        let new: Vec<Number> = new.collect();
        let pairs: Vec<_> = numbers.iter().copied().zip(new.iter().copied()).collect();
        let owed = writer.buffer.len();
        Record::Requeued(pairs.clone()).write(self.header, &mut writer.buffer);
        if let Err(cause) = writer.write() {
            writer.buffer.truncate(owed);
            let text = format!(
                "the journal {} did not take the messages again: {cause}. Nothing was changed. Check its disk, and \
                 whether it is full.",
                self.path()
            );
            return Err(Error::new(Kind::Backend, text));
        }
        for (old, new) in pairs {
            writer.alive.requeue(old, new);
        }
        Ok(Some(new))
    }

    /// Given-up messages are dropped: they are out, as safely as the configuration asks for, when this returns. `false`:
    /// it is closed or about to be, and nothing was changed.
    ///
    /// # Errors
    /// `Interrupted`, and a sync that failed: then they may be there again after a power loss.
    pub fn drop_failed(
        self: &Arc<Self>,
        numbers: Vec<Number>,
        interrupt: &dyn Interrupt,
    ) -> Result<bool> {
        let fates = Fates {
            settled: numbers,
            ..Fates::default()
        };
        if self.is_closing() || !self.settle(&fates) {
            return Ok(false);
        }
        if self.config.sync == JournalSync::Always {
            let at = self.lock().written;
            self.wait_synced(at, interrupt)?;
        }
        Ok(true)
    }

    /// Up to where records are as safe as the configuration asks for.
    fn safe_up_to(&self, writer: &Writer) -> u64 {
        match self.config.sync {
            JournalSync::Always => self.syncs.up_to(),
            JournalSync::Interval | JournalSync::Never => writer.written,
        }
    }

    /// Whether [`Self::before_direct`] would have nothing to do. Waits for no disk sync.
    pub fn is_clear<'k>(&self, mut keys: impl Iterator<Item = &'k str>) -> bool {
        if self.syncs.has_failed() {
            return false;
        }
        let writer = self.lock();
        let is_unsafe = |key| writer.unsafe_keys.contains_key(&self.hasher.hash_one(key));
        writer.file.is_none() || writer.unsafe_keys.is_empty() || !keys.any(is_unsafe)
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
                 done. Check its disk, and whether it is full.",
                self.path()
            );
            Error::backend(Kind::Backend, backend, true, text)
        };
        if self.syncs.has_failed() {
            self.heal().map_err(|cause| failed(&cause))?;
        }
        let at = {
            let mut writer = self.lock();
            if writer.file.is_none() || writer.unsafe_keys.is_empty() {
                return Ok(());
            }
            let at = keys.filter_map(|key| writer.unsafe_keys.get(&self.hasher.hash_one(key)));
            let at = at.copied().max().unwrap_or(0);
            if at > writer.written {
                writer.write().map_err(|cause| failed(&cause))?;
            }
            // What was not written may have been left out since.
            let at = at.min(writer.written);
            (at > self.safe_up_to(&writer)).then_some(at)
        };
        match at.map(|at| self.wait_synced(at, interrupt)) {
            Some(Err(error)) if error.kind() != Kind::Interrupted => Err(failed(&error)),
            other => other.unwrap_or(Ok(())),
        }
    }
}
