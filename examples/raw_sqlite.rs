//! The raw limit of `make bench`: the same rows through `SQLite` alone, without Python, JSON or a queue.
//!
//! `raw_sqlite WORK COUNT FILE [SIZE]` does one work on COUNT rows and prints what it took as one JSON object. SIZE is
//! that of a value, 100 bytes by default.
//! FILE is new for the writing works; for the reading ones it holds the rows that `benchmarks/` puts there.
//! It is the table of `dbm.sqlite3` in WAL mode with `synchronous = FULL`, as everywhere in the benchmark.

use std::error::Error;
use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params, params_from_iter};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: raw_sqlite commit|bulk|lookup|lookup-many|scan COUNT FILE [SIZE]";
const SMALL: &str = "100";
const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)";
const LOOKUP: &str = "SELECT value FROM Dict WHERE key = ?";
/// Rows in one statement and in one transaction of `bulk`.
const ROWS: usize = 100;
const TRANSACTION: usize = 10_000;
/// The row by which the readers in `benchmarks/` see whether they read the right thing.
const KNOWN: usize = 1;
/// Look-ups in one read transaction of `lookup-many`.
const SNAPSHOT: usize = 1_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (work, count, file, size) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        [work, count, file] => (work, count, file, SMALL),
        [work, count, file, size] => (work, count, file, size),
        _ => return Err(USAGE.into()),
    };
    let (count, size): (usize, usize) = (count.parse()?, size.parse()?);
    let connection = Connection::open(file)?;
    // The page cache is the one that TetherDB uses.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384;",
    )?;
    connection.execute_batch(TABLE)?;
    connection.set_prepared_statement_cache_capacity(16);

    let mut rows = Vec::new();
    let mut keys = Vec::new();
    if matches!(work, "commit" | "bulk") {
        rows = rows_to_write(stored_rows(&connection)?, count, size)?;
    }
    if matches!(work, "lookup" | "lookup-many") {
        let stored = stored_rows(&connection)?;
        keys.extend((0..count).map(|at| key(scattered(at, stored))));
    }

    let meter = Meter::start();
    let done = match work {
        "commit" => commit(&connection, &rows)?,
        "bulk" => bulk(&connection, &rows)?,
        "lookup" => lookup(&connection, &keys)?,
        "lookup-many" => lookup_many(&connection, &keys)?,
        "scan" => scan(&connection)?,
        _ => return Err(USAGE.into()),
    };
    let answer = meter.stop(count);
    if done != count {
        return Err(format!("{work}: {done} rows instead of {count}").into());
    }
    println!("{answer}");
    Ok(())
}

/// The key of row `at`, as `benchmarks/records.py` has it.
fn key(at: usize) -> String {
    format!("user:{}", 10_000_000 + at)
}

/// The text of row `at`: of 100 bytes as `benchmarks/records.py` has it, filled up to `size`.
fn value(at: usize, size: usize) -> String {
    let id = 10_000_000 + at;
    let mut value = format!(
        "{{\"id\": {id}, \"name\": \"user {id}\", \"mail\": \"{at:06}@example.org\", \
         \"active\": true, \"mark\": {}.5}}",
        at % 10
    );
    value.extend(std::iter::repeat_n('.', size.saturating_sub(value.len())));
    value
}

/// Visits the rows in an order that has nothing to do with theirs.
fn scattered(at: usize, rows: usize) -> usize {
    at * 61_803 % rows
}

/// New rows in the order of their keys; or, where the file has rows, other values for some of them, scattered, and in
/// order within each transaction.
fn rows_to_write(stored: usize, count: usize, size: usize) -> Result<Vec<(String, String)>> {
    if stored == 0 {
        return Ok((0..count).map(|at| (key(at), value(at, size))).collect());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    // Other keys each time, as `benchmarks/scale.py` has it, and other values.
    let salt = usize::try_from(now.as_micros() % 1_000_000_000)?;
    let mut rows: Vec<_> = (0..count)
        .map(|at| {
            let place = scattered(at + salt, stored);
            // What the readers look for stays.
            let place = if place == KNOWN { 0 } else { place };
            (key(place), value((at + salt) % 1_000_000, size))
        })
        .collect();
    for transaction in rows.chunks_mut(TRANSACTION) {
        transaction.sort();
    }
    Ok(rows)
}

fn stored_rows(connection: &Connection) -> Result<usize> {
    let rows: i64 = connection.query_row("SELECT count(*) FROM Dict", (), |row| row.get(0))?;
    Ok(usize::try_from(rows)?)
}

/// What writes so many rows, as TetherDB does.
fn write(rows: usize) -> String {
    let places = vec!["(?, ?)"; rows].join(", ");
    format!(
        "INSERT INTO Dict (key, value) VALUES {places} ON CONFLICT DO UPDATE SET value = excluded.value"
    )
}

/// One durable commit for each row.
fn commit(connection: &Connection, rows: &[(String, String)]) -> Result<usize> {
    let mut statement = connection.prepare_cached(&write(1))?;
    for (key, value) in rows {
        statement.execute(params![key.as_bytes(), value.as_bytes()])?;
    }
    Ok(rows.len())
}

/// Transactions of 10 000 rows, written by statements of 100 rows.
fn bulk(connection: &Connection, rows: &[(String, String)]) -> Result<usize> {
    for part in rows.chunks(TRANSACTION) {
        let transaction = connection.unchecked_transaction()?;
        for chunk in part.chunks(ROWS) {
            let query = write(chunk.len());
            let values = chunk
                .iter()
                .flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]);
            transaction
                .prepare_cached(&query)?
                .execute(params_from_iter(values))?;
        }
        transaction.commit()?;
    }
    Ok(rows.len())
}

/// Single look-ups.
fn lookup(connection: &Connection, keys: &[String]) -> Result<usize> {
    let mut statement = connection.prepare_cached(LOOKUP)?;
    let mut found = 0;
    for key in keys {
        let value: Vec<u8> = statement.query_row(params![key.as_bytes()], |row| row.get(0))?;
        found += usize::from(!value.is_empty());
    }
    Ok(found)
}

/// Look-ups in read transactions of 1 000.
fn lookup_many(connection: &Connection, keys: &[String]) -> Result<usize> {
    let mut found = 0;
    for part in keys.chunks(SNAPSHOT) {
        let snapshot = connection.unchecked_transaction()?;
        found += lookup(&snapshot, part)?;
        snapshot.commit()?;
    }
    Ok(found)
}

/// Every row, in key order.
fn scan(connection: &Connection) -> Result<usize> {
    let mut statement = connection.prepare_cached("SELECT key, value FROM Dict ORDER BY key")?;
    let mut rows = statement.query(())?;
    let mut found = 0;
    while let Some(row) = rows.next()? {
        let key: Vec<u8> = row.get(0)?;
        let value: Vec<u8> = row.get(1)?;
        found += usize::from(!key.is_empty() && !value.is_empty());
    }
    Ok(found)
}

/// What the timed part costs: time, processor time of this (the only) thread, and growth of the peak memory.
struct Meter {
    memory: Option<u64>,
    processor: Option<Duration>,
    begun: Instant,
}

impl Meter {
    fn start() -> Self {
        // Sets the peak back to what is in use now. Only Linux has this; elsewhere it is left out.
        let _ = fs::write("/proc/self/clear_refs", "5");
        Self {
            memory: status("VmRSS:"),
            processor: processor_time(),
            begun: Instant::now(),
        }
    }

    fn stop(self, count: usize) -> String {
        let elapsed = self.begun.elapsed();
        let processor = processor_time()
            .zip(self.processor)
            .map(|(after, before)| after.saturating_sub(before).as_secs_f64());
        let memory = status("VmHWM:")
            .zip(self.memory)
            .map(|(after, before)| after.saturating_sub(before));
        let or_null = |number: Option<String>| number.unwrap_or_else(|| "null".to_owned());
        format!(
            "{{\"count\": {count}, \"seconds\": {}, \"cpu_seconds\": {}, \"peak_bytes\": {}, \
             \"note\": \"SQLite {}\"}}",
            elapsed.as_secs_f64(),
            or_null(processor.map(|seconds| seconds.to_string())),
            or_null(memory.map(|bytes| bytes.to_string())),
            rusqlite::version()
        )
    }
}

/// A line of the process's memory accounts, in bytes.
fn status(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

fn processor_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/self/schedstat").ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}
