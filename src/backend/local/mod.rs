//! The local backend: one `SQLite` file, to the letter the one that `dbm.sqlite3` of `CPython` 3.13 keeps.
//!
//! - [`client`] and [`open`]: the only code that talks to `SQLite`.
//! - [`commit`]: the writing side, group commit; [`work`]: what writers want of it.
//! - [`readers`]: the reading side.
//! - [`pool`]: the open connections, which `fork` closes.
//! - [`file`]: whether a file is ours, and how it is created.
//! - [`error`]: what errors mean.

mod client;
mod commit;
mod error;
mod file;
mod open;
mod pool;
mod readers;
#[cfg(test)]
mod tests;
mod work;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{Backend, Capabilities, Change, Changed, Completion, Found, Look, Page, Range, Turn};
use crate::config::LocalConfig;
use crate::error::{Error, Kind, Result};
use crate::executor;
use crate::message::{BackendName, Limits, Message};
use crate::process;
use crate::reply::Reply;
use crate::wait::{Cancel, Interrupt, Never};
use client::Settings;
use commit::Committer;
use pool::Pool;
pub(crate) use pool::close_all;
use readers::Readers;
use work::{Answer, Work};

/// `SQLITE_MAX_LENGTH`, less what a row needs besides key and value.
const LARGEST_ITEM: usize = 1_000_000_000 - 100;

/// Reads take microseconds: more threads would only take turns.
const READERS: usize = 2;

/// See the module. Opens nothing before the first verb, creates nothing before the first write.
pub struct Local {
    committer: Arc<Committer>,
    readers: Readers,
    /// Of calls that are called back, so many read at once.
    reading: Arc<Semaphore>,
    pool: Arc<Pool>,
    path: std::path::PathBuf,
    busy_timeout: Duration,
}

impl Local {
    /// The backend on the file that `config` names.
    pub fn new(config: &LocalConfig) -> Self {
        let settings = Settings {
            path: config.path.clone(),
            synchronous: config.synchronous,
            mode: config.mode,
        };
        let pool = Pool::new(&process::enter());
        let busy_timeout = config.busy_timeout;
        Self {
            committer: Arc::new(Committer::new(
                settings.clone(),
                busy_timeout,
                Arc::clone(&pool),
            )),
            readers: Readers::new(settings, busy_timeout, Arc::clone(&pool)),
            reading: Arc::new(Semaphore::new(READERS)),
            pool,
            path: config.path.clone(),
            busy_timeout,
        }
    }

    fn submit(&self, work: Work, interrupt: &dyn Interrupt) -> Result<Answer> {
        self.committer.submit(work, interrupt)
    }
}

impl Backend for Local {
    fn name(&self) -> BackendName {
        BackendName::Local
    }

    fn limits(&self) -> Limits {
        Limits {
            key: LARGEST_ITEM,
            item: LARGEST_ITEM,
            source: "SQLite's limit of a row",
            reserved: None,
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            repeated_keys: true,
            max_batch: usize::MAX,
            // All batches that are ready go under one disk sync; at most this many, so that a direct
            // write never waits long behind them. One transaction: nobody sees a part.
            batches_per_request: 1000,
            max_in_flight: 1,
        }
    }

    fn patience(&self) -> Duration {
        self.busy_timeout.max(Duration::from_secs(1))
    }

    fn read(&self, keys: &[String], interrupt: &dyn Interrupt) -> Result<Vec<(usize, String)>> {
        let found = self.readers.with(interrupt, |connection, inside| {
            connection.read(keys, interrupt, inside)
        })?;
        Ok(found.unwrap_or_default())
    }

    fn write(&self, messages: Vec<Message>, _turn: Turn, interrupt: &dyn Interrupt) -> Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        self.submit(Work::Write(messages), interrupt).map(drop)
    }

    fn update(&self, message: Message, _turn: Turn, interrupt: &dyn Interrupt) -> Result<bool> {
        if !self.has_store(interrupt)? {
            return Ok(false);
        }
        match self.submit(Work::Update(message), interrupt)? {
            Answer::Updated(existed) => Ok(existed),
            other => Err(confused(&self.path, &other)),
        }
    }

    fn delete(&self, keys: Vec<String>, _turn: Turn, interrupt: &dyn Interrupt) -> Result<usize> {
        if keys.is_empty() || !self.has_store(interrupt)? {
            return Ok(0);
        }
        match self.submit(Work::Delete(keys), interrupt)? {
            Answer::Deleted(count) => Ok(count),
            other => Err(confused(&self.path, &other)),
        }
    }

    fn list(&self, range: Range<'_>, interrupt: &dyn Interrupt) -> Result<Page> {
        let page = self.readers.with(interrupt, |connection, inside| {
            connection.list(range, interrupt, inside)
        })?;
        Ok(page.unwrap_or(Page {
            entries: Vec::new(),
            more: false,
        }))
    }

    fn ping(&self, interrupt: &dyn Interrupt) -> Result<()> {
        let found = self.readers.with(interrupt, client::Connection::ping)?;
        if found.is_some() {
            return Ok(());
        }
        // No file yet is in order, as long as it can be created.
        let folder = self.path.parent().unwrap_or(Path::new("."));
        match std::fs::metadata(folder) {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => Err(error::local(
                Kind::Backend,
                true,
                &self.path,
                "its folder is no folder. Set local.filepath to another path.",
            )),
            Err(cause) => Err(error::io(folder, "looking at the folder", &cause)),
        }
    }

    fn change(
        self: Arc<Self>,
        change: Change,
        turn: Turn,
        cancel: Arc<Cancel>,
        reply: Reply<Changed>,
    ) {
        let work = match change {
            Change::Write(messages) => Work::Write(messages),
            Change::Update(message) => Work::Update(message),
            Change::Delete(keys) => Work::Delete(keys),
        };
        if work.len() == 0 {
            drop(turn);
            return reply.give(Ok(0));
        }
        let (count, path) = (work.len(), self.path.clone());
        let answered = Reply::new(move |answer: Result<Answer>| {
            drop(turn);
            reply.give(answer.and_then(|answer| match answer {
                Answer::Written => Ok(count),
                Answer::Updated(existed) => Ok(usize::from(existed)),
                Answer::Deleted(count) => Ok(count),
                other => Err(confused(&path, &other)),
            }));
        });
        self.committer.submit_later(work, cancel, answered);
    }

    fn look(self: Arc<Self>, look: Look, cancel: Arc<Cancel>, reply: Reply<Found>) {
        let runtime = match executor::get(BackendName::Local) {
            Ok(runtime) => runtime,
            Err(error) => return reply.give(Err(error)),
        };
        let reading = Arc::clone(&self.reading);
        executor::aside(&runtime, reading, move || {
            if cancel.cancelled() {
                return reply.give(Err(Error::interrupted()));
            }
            reply.give(match look {
                Look::Read(keys) => self.read(&keys, &*cancel).map(Found::Texts),
                Look::List {
                    prefix,
                    after,
                    limit,
                    values,
                } => {
                    let range = Range {
                        prefix: &prefix,
                        after: after.as_deref(),
                        limit,
                        values,
                    };
                    self.list(range, &*cancel).map(Found::Page)
                }
                Look::Ping => self.ping(&*cancel).map(|()| Found::Pong),
            });
        });
    }

    fn send(&self, batch: Vec<Message>, done: Completion) {
        let count = batch.len();
        let failures = match self.submit(Work::Send(batch), &Never) {
            Ok(Answer::Sent(failures)) => failures,
            Ok(other) => {
                let error = confused(&self.path, &other);
                (0..count).map(|at| (at, error.clone())).collect()
            }
            Err(error) => (0..count).map(|at| (at, error.clone())).collect(),
        };
        done.complete(failures);
    }

    fn flush(&self, interrupt: &dyn Interrupt) -> Result<()> {
        self.submit(Work::Checkpoint, interrupt).map(drop)
    }

    fn close(&self) {
        self.pool.close(&process::enter());
    }
}

impl Drop for Local {
    /// Whoever claimed a file gives it back.
    fn drop(&mut self) {
        self.close();
    }
}

impl Local {
    /// Whether there is anything to change: changing what is not there must not create a file.
    fn has_store(&self, interrupt: &dyn Interrupt) -> Result<bool> {
        let found = self.readers.with(interrupt, |_, _| Ok(()))?;
        Ok(found.is_some())
    }
}

fn confused(path: &Path, answer: &Answer) -> Error {
    let text = format!("a job was answered with {answer:?}. Please report this bug.");
    error::local(Kind::Backend, false, path, text)
}
