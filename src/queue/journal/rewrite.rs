//! Giving back the space of what has left: what is alive is written to a new file, which takes the old one's place.

use std::fs::{self, File};
use std::io;
use std::sync::Arc;

use super::record::{HEADER, Number, Record};
use super::replay::Live;
use super::{Journal, file};
use crate::config::JournalSync;
use crate::process;

/// A file smaller than this is not worth it.
pub(super) const LEAST: u64 = 16 << 20;

impl Journal {
    /// Rewrites the file. Messages are taken meanwhile; only the end of it makes them wait for a moment.
    pub(super) fn rewrite(&self) -> io::Result<()> {
        let path = &self.config.path;
        let outcome = self.write_anew();
        if outcome.is_err() {
            let _inside = process::enter();
            let _ = fs::remove_file(file::rewritten(path));
        }
        outcome
    }

    fn write_anew(&self) -> io::Result<()> {
        let path = &self.config.path;
        let (live, begun_at, cut_off) = {
            let writer = self.lock();
            if writer.file.is_none() {
                return Ok(());
            }
            (writer.alive.in_order(), writer.end, writer.cut_off())
        };
        let (new, end) = {
            let _inside = process::enter();
            let new = file::create_beside(path)?;
            let end = self.write_live(&new, &live)?;
            self.sync_anew(&new)?;
            (new, end)
        };
        let mut guard = self.lock();
        let writer = &mut *guard;
        let old = match &writer.file {
            Some(old) if writer.cut_off() == cut_off => old,
            // It has been closed or emptied meanwhile.
            _ => return fs::remove_file(file::rewritten(path)),
        };
        // What has come and left meanwhile.
        let end = file::copy_range(old, begun_at..writer.end, &new, end)?;
        self.sync_anew(&new)?;
        fs::rename(file::rewritten(path), path)?;
        if self.config.sync != JournalSync::Never {
            file::sync_folder(path);
        }
        file::note_owner(&new);
        writer.file = Some(Arc::new(new));
        writer.end = end;
        writer.space = writer.space.and(Some(end));
        writer.written += 1;
        writer.rewrite_at = LEAST.max(end * 2);
        if self.config.sync != JournalSync::Never {
            self.syncs.begin_anew(writer.written);
        }
        Ok(())
    }

    fn sync_anew(&self, new: &File) -> io::Result<()> {
        if self.config.sync == JournalSync::Never {
            return Ok(());
        }
        new.sync_data()
    }

    /// Writes header and records; gives where they end.
    fn write_live(&self, new: &File, live: &[(Number, Live)]) -> io::Result<u64> {
        const CHUNK: usize = 1 << 20;
        let mut bytes = Vec::with_capacity(CHUNK + (CHUNK >> 2));
        bytes.extend_from_slice(&self.header.bytes());
        let mut at = 0;
        for (number, live) in live {
            let accepted = Record::Accepted {
                number: *number,
                backend: live.backend,
                text: live.message.text(),
                key_len: live.message.key().len(),
            };
            accepted.write(self.header, &mut bytes);
            if let Some(error) = &live.failed {
                let failed = Record::Failed {
                    number: *number,
                    kind: error.kind(),
                    retryable: error.retryable(),
                    error: &error.to_string(),
                };
                failed.write(self.header, &mut bytes);
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
