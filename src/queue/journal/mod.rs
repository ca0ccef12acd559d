//! The journal: accepted messages on disk until they have left the queue, so that `kill -9` takes none.
//!
//! An append-only log. A message is a record before its call returns; another record says when it has left. What
//! has no such second record is alive, and whoever opens the journal next has it again. `docs/journal.md` says what
//! the file looks like.
//!
//! - [`record`]: the bytes; pure.
//! - [`replay`]: what is alive; pure.
//! - [`file`]: opening, locking, reading; [`writer`]: writing at its end.
//! - [`entries`]: what it is told.
//! - [`look`]: reading it beside its owner.
//! - [`sync`]: one disk sync for all who wait.
//! - [`rewrite`]: giving back the space of what has left.
//! - [`keeper`]: the thread that syncs and rewrites while nobody waits for it.

#[cfg(test)]
mod byte_tests;
mod entries;
mod file;
#[cfg(fuzzing)]
pub mod fuzzing;
mod keeper;
mod look;
mod record;
mod replay;
mod rewrite;
mod sync;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use hashbrown::DefaultHashBuilder;

use super::{Events, Level, LogLine};
use crate::config::{JournalConfig, JournalSync};
use crate::error::Result;
use crate::process;
use crate::sync::Mutex;
use crate::wait::{self, Interrupt};
use keeper::Keeper;
use record::Header;
use sync::Syncs;
use writer::Writer;

pub use entries::{Fates, Taken};
pub use look::{Look, look};
pub use record::Number;
pub use replay::Live;

/// All journals that this process has open, for `fork`. Locked only inside the fork gate.
static OPEN: Mutex<Vec<Weak<Journal>>> = Mutex::new(Vec::new());

/// An open journal. Its file is locked for this process until it is closed.
pub struct Journal {
    config: JournalConfig,
    events: Arc<dyn Events>,
    header: Header,
    hasher: DefaultHashBuilder,
    /// Locked only inside the fork gate, so that a child never finds it locked, and for a disk sync only
    /// at the end of a rewriting.
    writer: Mutex<Writer>,
    /// Held by whoever rewrites the file.
    rewriting: Mutex<()>,
    syncs: Syncs,
    keeper: Arc<Keeper>,
    /// No message is taken any more.
    closing: AtomicBool,
}

/// What is alive in a journal, in the order of acceptance.
pub type Contents = Vec<(Number, Live)>;

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
        // What was cut off must not stand behind later records. And what an earlier owner has written, such as that a
        // message has left, must be as safe as it is taken for from here on.
        let cut_off = opened.file.set_len(opened.end);
        let made_safe = cut_off.and_then(|()| match config.sync {
            JournalSync::Always => opened.file.sync_data(),
            JournalSync::Interval | JournalSync::Never => Ok(()),
        });
        made_safe.map_err(|cause| {
            let why = format!("it cannot be written: {cause}. Check its disk.");
            file::refused(&config.path, why)
        })?;
        let live = opened.alive.in_order();
        // A link would be replaced when the file is rewritten, and another name of it would be locked no more.
        let path = std::fs::canonicalize(&config.path).unwrap_or_else(|_| config.path.clone());
        let journal = Arc::new(Self {
            config: JournalConfig {
                path,
                sync: config.sync,
            },
            events,
            header: opened.header,
            hasher: DefaultHashBuilder::default(),
            writer: Mutex::new(Writer::new(
                opened.file,
                opened.end,
                config.sync == JournalSync::Always,
                opened.alive,
            )),
            rewriting: Mutex::new(()),
            syncs: Syncs::new(opened.end),
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
            self.events.log(LogLine::new(Level::Warning, text));
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
        self.events.log(LogLine::new(Level::Error, text));
        // Else it would be found again every time.
        if let Err(cause) = self.rewrite() {
            self.warn_of_rewrite(&cause);
        }
    }

    /// Where it is.
    pub fn path(&self) -> std::path::Display<'_> {
        self.config.path.display()
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
        self.keeper.end();
        {
            let mut writer = self.lock();
            if writer.file.is_none() {
                return;
            }
            if writer.alive.is_empty() {
                writer.empty();
            }
            let _ = writer.write();
        }
        if self.config.sync != JournalSync::Never {
            // Whoever waits for it is told by that.
            let _ = self.sync();
        }
        let mut writer = self.lock();
        let Some(file) = writer.file.take() else {
            return;
        };
        if writer.space.is_some() {
            let _ = file.set_len(writer.end);
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
