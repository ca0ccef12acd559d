//! Writing at the end of a journal's file, and what is alive in it.

use std::fs::File;
use std::io;
use std::sync::Arc;

use hashbrown::HashMap;

use super::record::HEADER;
use super::replay::Alive;
use super::{Journal, file, rewrite};
use crate::process::{self, Inside};
use crate::sync::MutexGuard;
use crate::wait;

/// Where every record is synced, space is made for so many bytes at once, as zeros: to sync what is written into a file
/// takes half as long as to sync a file that grows.
static SPACE: [u8; 256 << 10] = [0; 256 << 10];

/// What may be done with the file, and what is known of it.
pub(super) struct Writer {
    /// `None` once it is closed.
    pub(super) file: Option<Arc<File>>,
    /// Where the next record goes.
    pub(super) end: u64,
    /// How long the file is, where space is made ahead.
    pub(super) space: Option<u64>,
    /// Counts every byte that was ever written, whatever is cut off or rewritten.
    pub(super) written: u64,
    pub(super) alive: Alive,
    /// Records on their way into the file. What a full disk did not take of settled messages stays here until it does.
    pub(super) buffer: Vec<u8>,
    /// Keys of messages that have left by records which are not as safe as they should be, and where those end.
    pub(super) unsafe_keys: HashMap<u64, u64>,
    /// How many they may become before those that are safe by now are left out.
    unsafe_keys_at: usize,
    /// How large the file may become before it is looked at for rewriting.
    pub(super) rewrite_at: u64,
}

impl Writer {
    pub(super) fn new(file: File, end: u64, makes_space: bool, alive: Alive) -> Self {
        Self {
            file: Some(Arc::new(file)),
            end,
            space: makes_space.then_some(end),
            written: end,
            alive,
            buffer: Vec::new(),
            unsafe_keys: HashMap::new(),
            unsafe_keys_at: 1024,
            rewrite_at: rewrite::LEAST,
        }
    }

    /// Messages of these keys have left, by records that end `at`; those up to `safe` are safe.
    pub(super) fn note_unsafe(&mut self, keys: Vec<u64>, at: u64, safe: u64) {
        if self.unsafe_keys.len() >= self.unsafe_keys_at {
            self.unsafe_keys.retain(|_, at| *at > safe);
            self.unsafe_keys_at = (2 * self.unsafe_keys.len()).max(1024);
        }
        self.unsafe_keys
            .extend(keys.into_iter().map(|key| (key, at)));
    }
}

/// The writer, locked inside the fork gate.
pub(super) struct Locked<'a> {
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

impl Journal {
    /// The writer, for whoever is inside the fork gate already.
    pub(super) fn writer(&self, _inside: &Inside) -> MutexGuard<'_, Writer> {
        wait::lock(&self.writer)
    }

    /// The writer, and the proof that this thread is inside the fork gate.
    pub(super) fn lock(&self) -> Locked<'_> {
        let inside = process::enter();
        Locked {
            writer: wait::lock(&self.writer),
            _inside: inside,
        }
    }
}

impl Writer {
    /// Puts the buffer into the file. After a failure the file ends where it did before.
    pub(super) fn write(&mut self) -> io::Result<()> {
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
    pub(super) fn cut_off(&self) -> u64 {
        self.written.wrapping_sub(self.end)
    }

    /// Nothing is alive: the file begins anew, with nothing but its header.
    pub(super) fn empty(&mut self) {
        if let Some(file) = &self.file
            && file.set_len(HEADER as u64).is_ok()
        {
            self.end = HEADER as u64;
            self.space = self.space.and(Some(self.end));
            self.buffer.clear();
            // That is a change which a sync has to carry to the disk, like a record; it stands for all before it, and for
            // those that were not written.
            self.written += 1;
            for at in self.unsafe_keys.values_mut() {
                *at = self.written;
            }
        }
    }
}
