//! Opening a connection: whether the file can be used as ours, and how the library is set up for it.

use std::cell::Cell;

use rusqlite::{MAIN_DB, OpenFlags};

use super::client::{Connection, Failure, Outcome, Settings, beside, failure};
use super::error;
use super::file::{self};
use crate::config::Synchronous;
use crate::error::Kind;
use crate::process::Inside;

/// To the letter what `dbm.sqlite3` of `CPython` 3.13 creates.
const BUILD_TABLE: &str = "CREATE TABLE IF NOT EXISTS Dict (
    key BLOB UNIQUE NOT NULL,
    value BLOB NOT NULL
  )";
/// Pages of the cache, in KiB: at the library's 2 MiB random writes to a large file cost several times as much.
const CACHE_KIB: i32 = 16 * 1024;

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
            upserts: Cell::new(false),
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
            self.look_at_constraints().map_err(fail)?;
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
}
