//! The file as one process sees it. What several processes, `fork` and signals do to it is tested from
//! Python, in `tests/local` and `tests/process`.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;
use crate::config::Synchronous;

struct Bench {
    local: Local,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut LocalConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = LocalConfig {
            path: folder.path().join("store"),
            busy_timeout: Duration::from_millis(300),
            ..LocalConfig::default()
        };
        change(&mut config);
        Self {
            local: Local::new(&config),
            folder,
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("store")
    }

    fn put(&self, key: &str, value: &str) {
        self.local
            .write(vec![Message::new(key, value)], Box::new(()), &Never)
            .unwrap();
    }

    fn get(&self, key: &str) -> Option<String> {
        let found = self.local.read(&[key.to_owned()], &Never).unwrap();
        found.into_iter().next().map(|(_, text)| text)
    }

    fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> (Vec<String>, bool) {
        let range = Range {
            prefix,
            after,
            limit,
            values: false,
        };
        let page = self.local.list(range, &Never).unwrap();
        let keys = page.entries.into_iter().map(|(key, _)| key).collect();
        (keys, page.more)
    }

    /// The outcome of one request of the queue.
    fn send(&self, batch: Vec<Message>) -> Vec<(usize, Error)> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let done = Completion::new(BackendName::Local, batch.len(), move |failures| {
            sender.send(failures).unwrap();
        });
        self.local.send(batch, done);
        receiver.recv().unwrap()
    }
}

#[test]
fn reading_and_changing_nothing_creates_nothing() {
    let bench = Bench::new();
    assert_eq!(bench.get("k"), None);
    assert_eq!(bench.keys("", None, 10), (vec![], false));
    assert!(
        !bench
            .local
            .update(Message::new("k", "v"), Box::new(()), &Never)
            .unwrap()
    );
    assert_eq!(
        bench
            .local
            .delete(vec!["k".into()], Box::new(()), &Never)
            .unwrap(),
        0
    );
    bench.local.ping(&Never).unwrap();
    bench.local.flush(&Never).unwrap();
    bench.local.close();
    assert!(!bench.path().exists());
}

#[test]
fn what_is_written_is_read_updated_and_deleted() {
    let bench = Bench::new();
    bench.put("k", "1");
    assert_eq!(bench.get("k").as_deref(), Some("1"));
    assert!(
        bench
            .local
            .update(Message::new("k", "2"), Box::new(()), &Never)
            .unwrap()
    );
    assert_eq!(bench.get("k").as_deref(), Some("2"));
    let keys = vec!["k".into(), "no".into()];
    assert_eq!(bench.local.delete(keys, Box::new(()), &Never).unwrap(), 1);
    assert_eq!(bench.get("k"), None);
}

#[test]
fn lists_follow_the_order_of_keys_and_end_with_the_bucket() {
    let bench = Bench::new();
    for key in ["b:2", "b:1", "a", "b", "b;", "c:1", "b:\u{10ffff}"] {
        bench.put(key, "v");
    }
    let all = ["a", "b", "b:1", "b:2", "b:\u{10ffff}", "b;", "c:1"];
    assert_eq!(bench.keys("", None, 99).0, all);
    let bucket = bench.keys("b:", None, 99);
    assert_eq!(
        bucket,
        (
            vec!["b:1".into(), "b:2".into(), "b:\u{10ffff}".into()],
            false
        )
    );
    assert_eq!(bench.keys("b:", None, 1), (vec!["b:1".into()], true));
    assert_eq!(bench.keys("b:", Some("b:1"), 1), (vec!["b:2".into()], true));
    assert_eq!(
        bench.keys("b:", Some("b:2"), 1),
        (vec!["b:\u{10ffff}".into()], false)
    );
}

#[test]
fn many_writers_share_a_commit_and_lose_nothing() {
    let bench = Bench::with(|config| config.busy_timeout = Duration::from_secs(60));
    let start = Barrier::new(16);
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let (bench, start) = (&bench, &start);
            scope.spawn(move || {
                start.wait();
                for n in 0..50 {
                    bench.put(&format!("{thread}-{n}"), "v");
                }
            });
        }
    });
    assert_eq!(bench.keys("", None, 1000).0.len(), 800);
}

#[test]
fn the_last_of_several_messages_of_a_key_in_a_request_wins() {
    let bench = Bench::new();
    let batch = (0..250)
        .map(|n| Message::new("k", &n.to_string()))
        .collect();
    assert!(bench.send(batch).is_empty());
    assert_eq!(bench.get("k").as_deref(), Some("249"));
}

/// A trigger of the file's own that refuses some keys, as another program may have put it there.
fn refuse_keys_of_b(bench: &Bench) {
    bench.put("first", "v");
    let sqlite = rusqlite::Connection::open(bench.path()).unwrap();
    sqlite
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON Dict WHEN new.key >= x'62' AND new.key < x'63'
             BEGIN SELECT RAISE(ABORT, 'refused'); END",
        )
        .unwrap();
}

#[test]
fn one_bad_message_of_a_request_does_not_hold_back_its_neighbours() {
    let bench = Bench::new();
    refuse_keys_of_b(&bench);
    let batch = ["a1", "b1", "a2", "a3", "b2", "c1"]
        .map(|key| Message::new(key, "v"))
        .to_vec();
    let failures = bench.send(batch);
    let positions: Vec<_> = failures.iter().map(|(at, _)| *at).collect();
    assert_eq!(positions, [1, 4]);
    assert!(failures.iter().all(|(_, error)| !error.retryable()));
    assert_eq!(
        bench.keys("", None, 99).0,
        ["a1", "a2", "a3", "c1", "first"]
    );
}

#[test]
fn a_bulk_write_is_all_or_nothing() {
    let bench = Bench::new();
    refuse_keys_of_b(&bench);
    let messages = ["a1", "b1"].map(|key| Message::new(key, "v")).to_vec();
    let error = bench
        .local
        .write(messages, Box::new(()), &Never)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Backend);
    assert_eq!(bench.keys("", None, 99).0, ["first"]);
    bench.put("a2", "v");
}

#[test]
fn writers_in_a_group_answer_for_themselves() {
    let bench = Bench::with(|config| config.busy_timeout = Duration::from_secs(60));
    refuse_keys_of_b(&bench);
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (bench, start) = (&bench, &start);
            scope.spawn(move || {
                start.wait();
                for n in 0..20 {
                    let letter = if thread % 2 == 0 { "a" } else { "b" };
                    let message = Message::new(&format!("{letter}{thread}-{n}"), "v");
                    let written = bench.local.write(vec![message], Box::new(()), &Never);
                    assert_eq!(written.is_ok(), thread % 2 == 0);
                }
            });
        }
    });
    assert_eq!(bench.keys("a", None, 999).0.len(), 80);
}

#[test]
fn a_lock_is_waited_for_and_named_when_it_stays() {
    let bench = Bench::new();
    bench.put("k", "1");
    let other = rusqlite::Connection::open(bench.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    let error = bench
        .local
        .write(vec![Message::new("k", "2")], Box::new(()), &Never)
        .unwrap_err();
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!((error.kind(), error.retryable()), (Kind::Timeout, true));
    assert_eq!(bench.get("k").as_deref(), Some("1"), "readers do not wait");
    other.execute_batch("COMMIT").unwrap();
    bench.put("k", "2");
}

struct Flag(AtomicBool);

impl Interrupt for Flag {
    fn interrupted(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[test]
fn an_interrupted_writer_leaves_and_the_others_go_on() {
    let bench = Bench::with(|config| config.busy_timeout = Duration::from_secs(60));
    bench.put("k", "1");
    let other = rusqlite::Connection::open(bench.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let flags = [Flag(AtomicBool::new(false)), Flag(AtomicBool::new(false))];
    std::thread::scope(|scope| {
        let writers: Vec<_> = flags
            .iter()
            .map(|flag| {
                let bench = &bench;
                scope.spawn(move || {
                    bench
                        .local
                        .write(vec![Message::new("gone", "v")], Box::new(()), flag)
                })
            })
            .collect();
        let patient = scope.spawn(|| {
            bench
                .local
                .write(vec![Message::new("stays", "v")], Box::new(()), &Never)
        });
        std::thread::sleep(Duration::from_millis(50));
        for flag in &flags {
            flag.0.store(true, Ordering::SeqCst);
        }
        for writer in writers {
            assert_eq!(
                writer.join().unwrap().unwrap_err().kind(),
                Kind::Interrupted
            );
        }
        other.execute_batch("COMMIT").unwrap();
        patient.join().unwrap().unwrap();
    });
    assert_eq!(bench.keys("", None, 9).0, ["k", "stays"]);
}

#[test]
fn a_deleted_file_is_begun_anew() {
    let bench = Bench::new();
    bench.put("old", "v");
    assert!(bench.get("old").is_some());
    std::fs::remove_file(bench.path()).unwrap();
    assert_eq!(bench.get("old"), None);
    bench.put("new", "v");
    assert_eq!(bench.keys("", None, 9).0, ["new"]);
}

#[test]
fn foreign_files_are_refused_and_left_alone() {
    for (name, content) in [
        (
            "garbage",
            &b"this is no database, whatever its length may be"[..],
        ),
        ("short", b"x"),
        ("gdbm", b"\xcf\x9a\x57\x13 and so on"),
    ] {
        let bench = Bench::new();
        std::fs::write(bench.path(), content).unwrap();
        let error = bench
            .local
            .write(vec![Message::new("k", "v")], Box::new(()), &Never)
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{name}");
        assert_eq!(
            bench.local.read(&["k".into()], &Never).unwrap_err().kind(),
            Kind::Corrupt
        );
        assert_eq!(std::fs::read(bench.path()).unwrap(), content, "{name}");
    }
}

#[test]
fn databases_of_others_are_refused_and_ours_may_carry_more() {
    for schema in [
        "CREATE TABLE users (id)",
        "CREATE TABLE Dict (key, value, third)",
    ] {
        let bench = Bench::new();
        let sqlite = rusqlite::Connection::open(bench.path()).unwrap();
        sqlite.execute_batch(schema).unwrap();
        let written = bench
            .local
            .write(vec![Message::new("k", "v")], Box::new(()), &Never);
        assert_eq!(written.unwrap_err().kind(), Kind::Corrupt, "{schema}");
    }
    let bench = Bench::new();
    let sqlite = rusqlite::Connection::open(bench.path()).unwrap();
    sqlite
        .execute_batch("CREATE TABLE notes (n); CREATE TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
        .unwrap();
    bench.put("k", "v");
    assert_eq!(bench.get("k").as_deref(), Some("v"));
}

#[test]
fn a_store_of_another_dbm_beside_a_missing_file_is_noticed() {
    for suffix in ["db", "dir", "pag", "dat"] {
        let bench = Bench::new();
        std::fs::write(bench.path().with_extension(suffix), "x").unwrap();
        let error = bench.local.read(&["k".into()], &Never).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(
            error.to_string().contains(&format!("store.{suffix}")),
            "{error}"
        );
        assert!(!bench.path().exists());
    }
}

#[test]
fn an_empty_file_is_none_yet() {
    let bench = Bench::new();
    std::fs::write(bench.path(), "").unwrap();
    assert_eq!(bench.get("k"), None);
    bench.put("k", "v");
    assert_eq!(bench.get("k").as_deref(), Some("v"));
}

#[test]
fn records_that_are_not_utf8_are_named() {
    let bench = Bench::new();
    bench.put("good", "v");
    let sqlite = rusqlite::Connection::open(bench.path()).unwrap();
    sqlite
        .execute(
            "INSERT INTO Dict VALUES (?, ?)",
            (&b"odd"[..], &b"\xff\xfe"[..]),
        )
        .unwrap();
    let error = bench.local.read(&["odd".into()], &Never).unwrap_err();
    assert_eq!(error.kind(), Kind::Backend);
    assert!(error.to_string().contains("'odd'"), "{error}");
    assert_eq!(bench.get("good").as_deref(), Some("v"));
}

#[test]
fn flush_carries_the_log_into_the_file_and_close_removes_it() {
    let bench = Bench::with(|config| config.synchronous = Synchronous::Normal);
    bench.put("k", "v");
    let log = bench.folder.path().join("store-wal");
    assert!(std::fs::metadata(&log).unwrap().len() > 0);
    bench.local.flush(&Never).unwrap();
    assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
    bench.local.close();
    assert!(!log.exists());
}

#[test]
#[cfg(unix)]
fn a_new_file_has_the_configured_mode() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::with(|config| config.mode = 0o600);
    bench.put("k", "v");
    let mode = std::fs::metadata(bench.path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_folder_or_a_missing_folder_is_named() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path()).unwrap();
    let error = bench.local.read(&["k".into()], &Never).unwrap_err();
    assert!(error.to_string().contains("no regular file"), "{error}");
    let bench = Bench::with(|config| config.path = "/nonexistent/folder/store".into());
    let error = bench.local.ping(&Never).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/folder"), "{error}");
    let written = bench
        .local
        .write(vec![Message::new("k", "v")], Box::new(()), &Never);
    assert!(
        written
            .unwrap_err()
            .to_string()
            .contains("Create its folder")
    );
}

#[test]
fn an_empty_batch_is_answered() {
    assert!(Bench::new().send(vec![]).is_empty());
}
