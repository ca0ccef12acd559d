//! Giving back the space of what has left: what is alive is written to a new file, which takes the old one's place.

use std::fs::{self, File};
use std::io;
use std::sync::Arc;

use super::record::{HEADER, Number, Record};
use super::replay::Live;
use super::writer::Writer;
use super::{Journal, file};
use crate::{process, wait};

/// A file smaller than this is not worth it.
pub(super) const LEAST: u64 = 16 << 20;

/// The old file when its rewriting began.
struct Before {
    end: u64,
    cut_off: u64,
}

impl Journal {
    /// Rewrites the file. Messages are taken meanwhile; only the end of it makes them wait for a moment.
    pub(super) fn rewrite(&self) -> io::Result<()> {
        let _one_at_a_time = wait::lock(&self.rewriting);
        self.write_anew()
    }

    /// After a sync that failed: what the disk did not confirm may be lost, so only a new file can be trusted.
    pub(super) fn heal(&self) -> io::Result<()> {
        let _one_at_a_time = wait::lock(&self.rewriting);
        if !self.syncs.has_failed() {
            return Ok(());
        }
        self.write_anew()
    }

    /// All of it within the gate: a child must not inherit the new file, which is locked like the journal.
    fn write_anew(&self) -> io::Result<()> {
        let path = &self.config.path;
        let inside = process::enter();
        let (live, before) = {
            let writer = self.writer(&inside);
            if writer.file.is_none() {
                return Ok(());
            }
            let before = Before {
                end: writer.end,
                cut_off: writer.cut_off(),
            };
            (writer.alive.in_order(), before)
        };
        let new = Arc::new(file::create_beside(path)?);
        let outcome = self.write_live(&new, &live).and_then(|end| {
            new.sync_data()?;
            self.take_the_place(&mut self.writer(&inside), &new, end, &before)
        });
        if !matches!(outcome, Ok(true)) {
            let _ = fs::remove_file(file::rewritten(path));
        }
        outcome.map(drop)
    }

    /// Adds what has come and left meanwhile, and makes `new` the journal; `false` if the old one has been closed or
    /// emptied.
    fn take_the_place(
        &self,
        writer: &mut Writer,
        new: &Arc<File>,
        end: u64,
        before: &Before,
    ) -> io::Result<bool> {
        let path = &self.config.path;
        let old = match &writer.file {
            Some(old) if writer.cut_off() == before.cut_off => old,
            _ => return Ok(false),
        };
        let end = file::copy_range(old, before.end..writer.end, new, end)?;
        // However little is synced otherwise: a power loss shall not leave a file that has the name and not the content.
        new.sync_data()?;
        file::note_owner(new);
        fs::rename(file::rewritten(path), path)?;
        file::sync_folder(path);
        writer.file = Some(Arc::clone(new));
        writer.end = end;
        writer.space = writer.space.and(Some(end));
        writer.written += 1;
        writer.rewrite_at = LEAST.max(end * 2);
        self.syncs.begin_anew(writer.written);
        Ok(true)
    }

    /// Writes header and records; gives where they end.
    fn write_live(&self, new: &File, live: &[(Number, Live)]) -> io::Result<u64> {
        const CHUNK: usize = 1 << 20;
        let mut bytes = Vec::with_capacity(CHUNK + (CHUNK >> 2));
        bytes.extend_from_slice(&self.header.bytes());
        let mut at = 0;
        for (number, live) in live {
            let accepted = Record::accepted(*number, live.backend, &live.message);
            accepted.write(self.header, &mut bytes);
            if let Some(error) = &live.failed {
                let text = error.to_string();
                Record::failed(*number, error, &text).write(self.header, &mut bytes);
            }
            if bytes.len() >= CHUNK {
                file::write_at(new, &bytes, at)?;
                at += bytes.len() as u64;
                bytes.clear();
            }
        }
        file::write_at(new, &bytes, at)?;
        at += bytes.len() as u64;
        debug_assert!(at >= HEADER as u64);
        Ok(at)
    }
}
