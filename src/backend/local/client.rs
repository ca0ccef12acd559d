//! The only code that talks to the `SQLite` library: one connection, and what is said over it.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use rusqlite::types::ValueRef;
use rusqlite::{MAIN_DB, OpenFlags, params, params_from_iter};

use super::error;
use super::file::{self, Claim, FileId};
use crate::backend::{Page, Range};
use crate::config::Synchronous;
use crate::error::{Error, Kind};
use crate::message::{Message, quote};
use crate::process::Inside;
use crate::wait::Interrupt;

/// To the letter what `dbm.sqlite3` of `CPython` 3.13 creates.
const BUILD_TABLE: &str = "CREATE TABLE IF NOT EXISTS Dict (
    key BLOB UNIQUE NOT NULL,
    value BLOB NOT NULL
  )";
/// `REPLACE`, as `dbm.sqlite3` writes, so that triggers others put into the file fire alike.
const WRITE: &str = "REPLACE INTO Dict (key, value) VALUES (?, ?)";
const READ: &str = "SELECT value FROM Dict WHERE key = ?";
const UPDATE: &str = "UPDATE Dict SET value = ? WHERE key = ?";
const DELETE: &str = "DELETE FROM Dict WHERE key = ?";
/// Rows that one statement writes: beyond a hundred nothing more is gained (measured).
const ROWS: usize = 100;
static WRITE_MANY: LazyLock<String> = LazyLock::new(|| {
    let rows = ["(?, ?)"; ROWS].join(", ");
    format!("REPLACE INTO Dict (key, value) VALUES {rows}")
});
/// Pages of the cache, in KiB: at the library's 2 MiB random writes to a large file cost several times as much.
const CACHE_KIB: i32 = 16 * 1024;

/// How a connection is opened.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Absolute: the library is built with URI names, and a relative path could look like one.
    pub(super) path: PathBuf,
    pub(super) synchronous: Synchronous,
    pub(super) mode: u32,
}

/// A failure inside a transaction, before it is known which messages it concerns.
#[derive(Debug)]
pub(super) enum Failure {
    /// Another connection holds the lock: wait and ask again.
    Busy,
    /// The caller no longer waits for it.
    Cancelled,
    /// Anything else; `broken`: the connection must not be used again.
    Error { error: Error, broken: bool },
}

/// One connection to the file.
pub(super) struct Connection {
    sqlite: rusqlite::Connection,
    claim: Claim,
    path: PathBuf,
    /// The write-ahead log beside the file, once there is one: as long as we are open, it stays the same.
    log: Cell<Option<FileId>>,
    /// The file cannot change, or so we told the library: it never looks again.
    immutable: bool,
}

type Outcome<T> = std::result::Result<T, Failure>;

impl Connection {
    /// Opens the file, creating it and its table if `create`. `None`: there is nothing to open.
    pub(super) fn open(
        settings: &Settings,
        create: bool,
        inside: &Inside,
    ) -> Outcome<Option<Self>> {
        let path = &settings.path;
        let mode = create.then_some(settings.mode);
        let claim = match file::claim(path, mode, inside) {
            Ok(Some(claim)) => claim,
            Ok(None) => return Ok(None),
            Err(error) => {
                return Err(Failure::Error {
                    error,
                    broken: true,
                });
            }
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = rusqlite::Connection::open_with_flags(path, flags);
        let (sqlite, claim) = match opened {
            Ok(sqlite) => (sqlite, claim),
            Err(cause) => {
                claim.release(inside);
                return Err(failure(path, "opening the file", &cause));
            }
        };
        let mut connection = Self {
            sqlite,
            claim,
            path: path.clone(),
            log: Cell::new(None),
            immutable: false,
        };
        // Where the log's companions may not be created, a file without a log can still be read.
        let fixed = !create && connection.has_no_log();
        let prepared = if fixed && connection.sqlite.is_readonly(MAIN_DB).unwrap_or(false) {
            connection.prepare_immutable(settings)
        } else {
            match connection.prepare(settings, create) {
                Err(Failure::Error { error, .. }) if fixed && error.kind() == Kind::Backend => {
                    connection.prepare_immutable(settings)
                }
                prepared => prepared,
            }
        };
        match prepared {
            Ok(true) => Ok(Some(connection)),
            Ok(false) => {
                connection.close(inside);
                Ok(None)
            }
            Err(failure) => {
                connection.close(inside);
                Err(failure)
            }
        }
    }

    /// Whether a reader would miss nothing if it did not look at the log.
    fn has_no_log(&self) -> bool {
        std::fs::metadata(beside(&self.path, "-wal")).map_or(true, |log| log.len() == 0)
    }

    /// Opens the file once more as one that nobody changes, for the time of one verb.
    fn prepare_immutable(&mut self, settings: &Settings) -> Outcome<bool> {
        let path = self.path.to_string_lossy();
        let escaped = path
            .replace('%', "%25")
            .replace('?', "%3f")
            .replace('#', "%23");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let name = format!("file://{escaped}?immutable=1");
        self.sqlite = rusqlite::Connection::open_with_flags(name, flags)
            .map_err(|cause| failure(&self.path, "opening the file", &cause))?;
        self.immutable = true;
        self.prepare(settings, false)
    }

    /// Sets the connection up; whether there is a table of ours.
    fn prepare(&self, settings: &Settings, create: bool) -> Outcome<bool> {
        let fail = |cause: rusqlite::Error| failure(&self.path, "opening the file", &cause);
        if create && self.sqlite.is_readonly(MAIN_DB).map_err(fail)? {
            // Before a statement makes companions with the file's own mode, which would outlive it.
            let error = error::local(Kind::Backend, false, &self.path, error::READ_ONLY);
            return Err(Failure::Error {
                error,
                broken: true,
            });
        }
        // Waiting for locks is ours, so that it can be interrupted and lets `fork` through.
        self.sqlite
            .busy_timeout(std::time::Duration::ZERO)
            .map_err(fail)?;
        self.sqlite.set_prepared_statement_cache_capacity(16);
        let synchronous = match settings.synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
            Synchronous::Off => "OFF",
        };
        self.sqlite
            .execute_batch(&format!(
                "PRAGMA synchronous = {synchronous}; PRAGMA fullfsync = {}; PRAGMA cache_size = -{CACHE_KIB};",
                settings.synchronous == Synchronous::Full
            ))
            .map_err(fail)?;
        let (ours, others) = self.count_tables().map_err(fail)?;
        if ours > 0 {
            self.check_columns()?;
        } else if others > 0 {
            let error = file::foreign(&self.path, "is an SQLite database of another program");
            return Err(Failure::Error {
                error,
                broken: true,
            });
        } else if !create {
            return Ok(false);
        }
        if create {
            self.sqlite
                .query_row("PRAGMA journal_mode = WAL", (), |_| Ok(()))
                .map_err(fail)?;
            self.sqlite.execute_batch(BUILD_TABLE).map_err(fail)?;
        }
        Ok(true)
    }

    /// Tables of our name, and whatever else there is. Asked at once: another writer may just create ours.
    fn count_tables(&self) -> rusqlite::Result<(i64, i64)> {
        self.sqlite.query_row(
            "SELECT count(*) FILTER (WHERE type = 'table' AND name = 'Dict' COLLATE NOCASE),
                    count(*) FILTER (WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\')
             FROM sqlite_schema",
            (),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }

    fn check_columns(&self) -> Outcome<()> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self
                .sqlite
                .prepare("SELECT name FROM pragma_table_info('Dict')")?;
            let names = statement.query_map((), |row| row.get::<_, String>(0))?;
            names.collect()
        };
        let names = read().map_err(|cause| failure(&self.path, "opening the file", &cause))?;
        if names == ["key", "value"] {
            return Ok(());
        }
        let text = format!(
            "has a table Dict with the columns {} instead of key, value",
            names.join(", ")
        );
        Err(Failure::Error {
            error: file::foreign(&self.path, &text),
            broken: true,
        })
    }

    /// Whether it may serve another verb: the path still leads to its file, and others' changes are seen.
    pub(super) fn is_current(&self) -> bool {
        !self.immutable && file::identify(&self.path) == Some(self.claim.0)
    }

    /// Remembers the log, so that it is known again if the file is replaced.
    pub(super) fn note_log(&self) {
        if self.log.get().is_none() {
            self.log.set(file::identify(&beside(&self.path, "-wal")));
        }
    }

    /// Closes the connection to a file that is no longer where it was. Its log must not stay beside the one
    /// that is there now: the library would carry it into that.
    pub(super) fn close_replaced(self, inside: &Inside) {
        let (path, log) = (self.path.clone(), self.log.get());
        self.close(inside);
        let left = beside(&path, "-wal");
        if log.is_some() && file::identify(&left) == log {
            // What cannot be removed makes the next opening fail, or is carried over: nothing better is left.
            let _ = std::fs::remove_file(left);
            let _ = std::fs::remove_file(beside(&path, "-shm"));
        }
    }

    /// Closes the connection; the last one on the file carries the write-ahead log into it.
    pub(super) fn close(self, inside: &Inside) {
        // An error leaves the log beside the file, from which the next opener carries on.
        let _ = self.sqlite.close();
        self.claim.release(inside);
    }

    /// Carries the write-ahead log into the file and empties it, as far as other readers allow; whether all
    /// of it.
    pub(super) fn checkpoint(&self, _: &Inside) -> Outcome<bool> {
        let blocked = self
            .sqlite
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| {
                row.get::<_, i64>(0)
            });
        match blocked {
            Ok(blocked) => Ok(blocked == 0),
            Err(cause) if error::is_busy(&cause) => Ok(false),
            Err(cause) => Err(failure(&self.path, "the checkpoint", &cause)),
        }
    }

    /// Begins a write transaction.
    pub(super) fn begin(&self, _: &Inside) -> Outcome<()> {
        self.run("BEGIN IMMEDIATE", "beginning a transaction")
    }

    /// Ends the write transaction: what it wrote is durable now, as `synchronous` says.
    pub(super) fn commit(&self, _: &Inside) -> Outcome<()> {
        self.run("COMMIT", "committing")
    }

    /// Undoes the write transaction; `false` if the connection is of no more use.
    pub(super) fn roll_back(&self, _: &Inside) -> bool {
        self.sqlite.is_autocommit() || self.sqlite.execute_batch("ROLLBACK").is_ok()
    }

    fn run(&self, statement: &str, doing: &str) -> Outcome<()> {
        self.sqlite
            .prepare_cached(statement)
            .and_then(|mut statement| statement.execute(()))
            .map(drop)
            .map_err(|cause| failure(&self.path, doing, &cause))
    }

    /// Writes messages, within a transaction. In the order given, so that a later one of a key wins.
    pub(super) fn write(
        &self,
        messages: &[&Message],
        interrupt: &dyn Interrupt,
        _: &Inside,
    ) -> Outcome<()> {
        let fail = |messages: &[&Message], cause: rusqlite::Error| {
            let doing = match messages {
                [one] => format!("writing key {}", quote(one.key())),
                many => format!("writing {} messages", many.len()),
            };
            failure(&self.path, &doing, &cause)
        };
        let mut chunks = messages.chunks_exact(ROWS);
        for chunk in &mut chunks {
            go_on(interrupt)?;
            let values = chunk
                .iter()
                .flat_map(|message| [message.key().as_bytes(), message.value().as_bytes()]);
            self.sqlite
                .prepare_cached(&WRITE_MANY)
                .and_then(|mut statement| statement.execute(params_from_iter(values)))
                .map_err(|cause| fail(chunk, cause))?;
        }
        if chunks.remainder().is_empty() {
            return Ok(());
        }
        let mut statement = self
            .sqlite
            .prepare_cached(WRITE)
            .map_err(|cause| fail(messages, cause))?;
        for message in chunks.remainder() {
            statement
                .execute(params![
                    message.key().as_bytes(),
                    message.value().as_bytes()
                ])
                .map_err(|cause| fail(&[message], cause))?;
        }
        Ok(())
    }

    /// Replaces the text of a key, within a transaction; whether it existed.
    pub(super) fn update(&self, message: &Message, _: &Inside) -> Outcome<bool> {
        self.sqlite
            .prepare_cached(UPDATE)
            .and_then(|mut statement| {
                statement.execute(params![
                    message.value().as_bytes(),
                    message.key().as_bytes()
                ])
            })
            .map(|changed| changed > 0)
            .map_err(|cause| {
                let doing = format!("updating key {}", quote(message.key()));
                failure(&self.path, &doing, &cause)
            })
    }

    /// Deletes keys, within a transaction; how many existed.
    pub(super) fn delete(
        &self,
        keys: &[String],
        interrupt: &dyn Interrupt,
        _: &Inside,
    ) -> Outcome<usize> {
        let fail = |cause: rusqlite::Error| failure(&self.path, "deleting", &cause);
        let mut statement = self.sqlite.prepare_cached(DELETE).map_err(fail)?;
        let mut count = 0;
        for key in keys {
            go_on(interrupt)?;
            count += statement.execute(params![key.as_bytes()]).map_err(fail)?;
        }
        Ok(count)
    }

    /// The texts of those keys that exist, with their position. Several are read from one snapshot.
    pub(super) fn read(
        &self,
        keys: &[String],
        interrupt: &dyn Interrupt,
        _: &Inside,
    ) -> Outcome<Vec<(usize, String)>> {
        let fail = |cause: rusqlite::Error| failure(&self.path, "reading", &cause);
        let snapshot = match keys.len() {
            0 | 1 => None,
            _ => Some(self.sqlite.unchecked_transaction().map_err(fail)?),
        };
        let mut statement = self.sqlite.prepare_cached(READ).map_err(fail)?;
        let mut found = Vec::with_capacity(keys.len());
        for (at, key) in keys.iter().enumerate() {
            go_on(interrupt)?;
            let mut rows = statement.query(params![key.as_bytes()]).map_err(fail)?;
            if let Some(row) = rows.next().map_err(fail)? {
                let bytes = bytes_of(row.get_ref(0).map_err(fail)?);
                found.push((at, text(&self.path, key.as_bytes(), &bytes)?));
            }
        }
        drop(statement);
        if let Some(snapshot) = snapshot {
            snapshot.finish().map_err(fail)?;
        }
        Ok(found)
    }

    /// One page of a list, in key order.
    pub(super) fn list(
        &self,
        range: Range<'_>,
        interrupt: &dyn Interrupt,
        _: &Inside,
    ) -> Outcome<Page> {
        let fail = |cause: rusqlite::Error| failure(&self.path, "listing", &cause);
        let value = if range.values { "value" } else { "x''" };
        let prefix = range.prefix.as_bytes();
        // One bound on each side, so that the index is entered where the page begins and left where the
        // bucket ends. (LIKE would read every key.) Keys that are no BLOB are not dbm's: all sort before x''.
        let after = range
            .after
            .map(str::as_bytes)
            .filter(|after| *after >= prefix);
        let (lower, least) = after.map_or((">=", prefix), |after| (">", after));
        let end = successor(prefix);
        let upper = end.as_ref().map_or("", |_| "AND key < ?3");
        let query = format!(
            "SELECT key, {value} FROM Dict WHERE key {lower} ?1 {upper} ORDER BY key LIMIT ?2"
        );
        let limit = i64::try_from(range.limit).unwrap_or(i64::MAX - 1) + 1;
        let mut statement = self.sqlite.prepare_cached(&query).map_err(fail)?;
        let mut rows = match &end {
            Some(end) => statement.query(params![least, limit, end]),
            None => statement.query(params![least, limit]),
        }
        .map_err(fail)?;
        let mut page = Page {
            entries: Vec::new(),
            more: false,
        };
        while let Some(row) = rows.next().map_err(fail)? {
            go_on(interrupt)?;
            if page.entries.len() == range.limit {
                page.more = true;
                break;
            }
            let key = bytes_of(row.get_ref(0).map_err(fail)?);
            let value = bytes_of(row.get_ref(1).map_err(fail)?);
            let value = text(&self.path, &key, &value)?;
            let key = text(&self.path, &key, &key)?;
            page.entries.push((key, value));
        }
        Ok(page)
    }

    /// Asks the file for something small.
    pub(super) fn ping(&self, _: &Inside) -> Outcome<()> {
        self.sqlite
            .query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(()))
            .map_err(|cause| failure(&self.path, "the ping", &cause))
    }
}

/// The path of a companion of the file.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Work that nobody waits for any more ends early.
fn go_on(interrupt: &dyn Interrupt) -> Outcome<()> {
    if interrupt.cancelled() {
        return Err(Failure::Cancelled);
    }
    Ok(())
}

fn failure(path: &Path, doing: &str, cause: &rusqlite::Error) -> Failure {
    if error::is_busy(cause) {
        return Failure::Busy;
    }
    Failure::Error {
        error: error::sqlite(path, doing, cause),
        broken: !error::is_harmless(cause),
    }
}

/// What other programs may have stored as another type reads as its text, as `CAST(… AS BLOB)` has it.
fn bytes_of(value: ValueRef<'_>) -> std::borrow::Cow<'_, [u8]> {
    match value {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => bytes.into(),
        ValueRef::Integer(number) => number.to_string().into_bytes().into(),
        ValueRef::Real(number) => number.to_string().into_bytes().into(),
        ValueRef::Null => Vec::new().into(),
    }
}

fn text(path: &Path, key: &[u8], bytes: &[u8]) -> Outcome<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(Failure::Error {
            error: error::local(
                Kind::Backend,
                false,
                path,
                format!(
                    "the record of key {} is not UTF-8: another program wrote it. Read it with that \
                     program, or delete or overwrite the key.",
                    quote(&String::from_utf8_lossy(key))
                ),
            ),
            broken: false,
        }),
    }
}

/// The least byte string above all that begin with `prefix`; `None` where there is none.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte < u8::MAX)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next)
}
