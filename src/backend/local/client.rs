//! One connection, and what is said over it. With `open.rs` the only code that talks to `SQLite`.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use rusqlite::types::ValueRef;
use rusqlite::{ErrorCode, params, params_from_iter};

use super::error;
use super::file::{self, Claim, FileId};
use crate::backend::{Page, Range};
use crate::config::Synchronous;
use crate::error::{Error, Kind};
use crate::message::{Message, quote};
use crate::process::Inside;
use crate::wait::Interrupt;

/// Overwriting leaves the row where it is, and the index as it is: half the pages that `REPLACE` writes, which
/// deletes the row and appends another.
const UPSERT: &str = "INSERT INTO Dict (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
/// Where another program has made the table without its constraint, or with more of them.
const REPLACE: &str = "REPLACE INTO Dict (key, value) VALUES (?, ?)";
/// Whether keys are unique, and nothing else has to be.
const ONLY_KEYS_ARE_UNIQUE: &str = "
    SELECT count(*) = 1 AND total(partial = 0 AND columns = 1 AND column = 'key') = 1 FROM (
        SELECT partial, (SELECT count(*) FROM pragma_index_info(list.name)) AS columns,
            (SELECT name FROM pragma_index_info(list.name)) AS column
        FROM pragma_index_list('Dict') AS list WHERE \"unique\"
    )";
const READ: &str = "SELECT value FROM Dict WHERE key = ?";
const UPDATE: &str = "UPDATE Dict SET value = ? WHERE key = ?";
const DELETE: &str = "DELETE FROM Dict WHERE key = ?";
/// Rows that one statement writes: beyond a hundred nothing more is gained (measured).
const ROWS: usize = 100;
static UPSERT_MANY: LazyLock<String> = LazyLock::new(|| of_many(UPSERT));
static REPLACE_MANY: LazyLock<String> = LazyLock::new(|| of_many(REPLACE));

fn of_many(statement: &str) -> String {
    statement.replace("(?, ?)", &["(?, ?)"; ROWS].join(", "))
}

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
    pub(super) sqlite: rusqlite::Connection,
    pub(super) claim: Claim,
    pub(super) path: PathBuf,
    /// The write-ahead log beside the file, once there is one: as long as we are open, it stays the same.
    pub(super) log: Cell<Option<FileId>>,
    /// Whether it may write with `UPSERT`, see [`Self::look_at_constraints`].
    pub(super) upserts: Cell<bool>,
    /// The file cannot change, or so we told the library: it never looks again.
    pub(super) immutable: bool,
}

pub(super) type Outcome<T> = std::result::Result<T, Failure>;

impl Connection {
    /// Whether it may serve another verb: the path still leads to its file, and others' changes are seen.
    pub(super) fn is_current(&self) -> bool {
        !self.immutable && file::identify(&self.path) == Some(self.claim.0)
    }

    /// Decides how to write into a table that is there. Asked of the file, since other programs make it too.
    pub(super) fn look_at_constraints(&self) -> rusqlite::Result<()> {
        let only_keys = self
            .sqlite
            .query_row(ONLY_KEYS_ARE_UNIQUE, (), |row| row.get(0))?;
        self.upserts.set(only_keys);
        Ok(())
    }

    /// The statements that write a row, and `ROWS` rows.
    fn writing(&self) -> (&'static str, &'static str) {
        if self.upserts.get() {
            (UPSERT, &UPSERT_MANY)
        } else {
            (REPLACE, &REPLACE_MANY)
        }
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
        let (one, many) = self.writing();
        let mut chunks = messages.chunks_exact(ROWS);
        for chunk in &mut chunks {
            go_on(interrupt)?;
            let values = chunk
                .iter()
                .flat_map(|message| [message.key().as_bytes(), message.value().as_bytes()]);
            self.sqlite
                .prepare_cached(many)
                .and_then(|mut statement| statement.execute(params_from_iter(values)))
                .or_else(|cause| {
                    if cause.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) {
                        return Err(fail(chunk, cause));
                    }
                    // The file itself refuses one of them: alone it tells which. All is undone either way.
                    for message in chunk {
                        self.sqlite
                            .prepare_cached(one)
                            .and_then(|mut write| {
                                write
                                    .execute((message.key().as_bytes(), message.value().as_bytes()))
                            })
                            .map_err(|cause| fail(&[message], cause))?;
                    }
                    Err(fail(chunk, cause))
                })?;
        }
        if chunks.remainder().is_empty() {
            return Ok(());
        }
        let mut statement = self
            .sqlite
            .prepare_cached(one)
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
        let after = range.after.map(str::as_bytes);
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
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
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

pub(super) fn failure(path: &Path, doing: &str, cause: &rusqlite::Error) -> Failure {
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
