//! The file of a journal through every way of ending, its lock, its damage, and its full disk.

use crate::sync::Mutex;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;

use super::byte_tests::{MARKED, accepted, number};
use super::replay::Alive;
use super::{Contents, Fates, Journal, Live, Number, file, look};
use crate::config::{JournalConfig, JournalSync};
use crate::error::{Error, Kind};
use crate::message::{BackendName, Failed, Message};
use crate::queue::{Events, Level, LogLine};
use crate::wait::{Cancel, Never, lock};

#[derive(Default)]
struct Lines(Mutex<Vec<(Level, String)>>);

impl Events for Lines {
    fn wants_debug(&self) -> bool {
        false
    }
    fn log(&self, line: LogLine) {
        lock(&self.0).push((line.level, line.text));
    }
    fn given_up(&self, _: Failed) {}
}

/// A journal in a folder of its own, opened again and again.
struct Place {
    folder: tempfile::TempDir,
    sync: JournalSync,
    lines: Arc<Lines>,
}

impl Place {
    fn new(sync: JournalSync) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            sync,
            lines: Arc::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn try_open(&self) -> crate::error::Result<(Arc<Journal>, Contents)> {
        let config = JournalConfig {
            path: self.path(),
            sync: self.sync,
        };
        Journal::open(&config, self.lines.clone(), &Never)
    }

    fn open(&self) -> (Arc<Journal>, Vec<String>) {
        let (journal, live) = self.try_open().unwrap();
        (journal, live.iter().map(shown).collect())
    }
}

/// A message as the tests write it: its key, value, and why it was given up.
fn shown((_, live): &(Number, Live)) -> String {
    let message = &live.message;
    let failed = live
        .failed
        .as_ref()
        .map(|error| format!(" failed: {error}"));
    format!(
        "{}={}{}",
        message.key(),
        message.value(),
        failed.unwrap_or_default()
    )
}

fn put(journal: &Arc<Journal>, key: &str, value: &str) -> Number {
    let message = Message::new(key, value);
    let number = journal
        .append(BackendName::Local, &message, &Never)
        .unwrap();
    number.unwrap()
}

fn settle(journal: &Arc<Journal>, numbers: &[Number]) {
    journal.settle(&Fates {
        settled: numbers.to_vec(),
        ..Fates::default()
    });
}

fn fail(journal: &Arc<Journal>, failed: Number) {
    let error = Error::backend(Kind::TableMissing, BackendName::Local, false, "gone");
    journal.settle(&Fates {
        failed: vec![(failed, error)],
        ..Fates::default()
    });
}

const SYNCS: [JournalSync; 3] = [
    JournalSync::Always,
    JournalSync::Interval,
    JournalSync::Never,
];

#[test]
fn what_has_not_left_is_there_again_in_order() {
    for sync in SYNCS {
        let place = Place::new(sync);
        let (journal, live) = place.open();
        assert!(live.is_empty());
        let first = put(&journal, "a", "1");
        put(&journal, "b", "2");
        let third = put(&journal, "a", "3");
        put(&journal, "c", "4");
        fail(&journal, third);
        settle(&journal, &[first]);
        drop(journal);
        let (journal, live) = place.open();
        assert_eq!(live, ["b=2", "a=3 failed: local backend: gone", "c=4"]);
        let new = journal.requeue(&[third]).unwrap().unwrap();
        assert!(new[0] > third);
        drop(journal);
        let (_, live) = place.open();
        assert_eq!(live, ["b=2", "c=4", "a=3"]);
        assert!(lock(&place.lines.0).is_empty());
    }
}

#[test]
fn killed_at_any_moment_it_has_what_was_written() {
    // A kill leaves the file as it is; nothing of the process is asked any more.
    for sync in SYNCS {
        let place = Place::new(sync);
        let (journal, _) = place.open();
        let first = put(&journal, "a", "1");
        put(&journal, "b", "2");
        settle(&journal, &[first]);
        let bytes = fs::read(place.path()).unwrap();
        drop(journal);
        fs::write(place.path(), bytes).unwrap();
        assert_eq!(place.open().1, ["b=2"]);
        assert!(lock(&place.lines.0).is_empty(), "space is no damage");
    }
}

#[test]
fn a_journal_has_one_owner() {
    let place = Place::new(JournalSync::Always);
    let (journal, _) = place.open();
    let error = place.try_open().err().unwrap();
    assert_eq!(error.kind(), Kind::Config);
    assert!(
        error.to_string().contains("another DB of this process"),
        "{error}"
    );
    journal.close();
    assert!(place.try_open().is_ok());
}

#[test]
fn looking_into_it_changes_nothing_and_needs_no_owner_s_leave() {
    let place = Place::new(JournalSync::Always);
    let gone = look(&place.path(), &Never).unwrap_err();
    assert!(gone.to_string().contains("it cannot be read"), "{gone}");
    assert!(!place.path().exists());

    let (journal, _) = place.open();
    assert_eq!(look(&place.path(), &Never).unwrap().contents.len(), 0);
    let failed = put(&journal, "a", "1");
    let left = put(&journal, "b", "2");
    put(&journal, "c", "3");
    fail(&journal, failed);
    settle(&journal, &[left]);
    let bytes = fs::read(place.path()).unwrap();
    let seen = look(&place.path(), &Never).unwrap();
    assert_eq!(seen.owner, Some(std::process::id()));
    assert_eq!(seen.damaged, 0);
    let texts: Vec<_> = seen.contents.iter().map(shown).collect();
    journal.close();
    assert_eq!(texts, place.open().1);
    assert!(texts[0].starts_with("a=1 failed: "), "{texts:?}");
    assert_eq!(texts[1..], ["c=3"]);

    fs::write(place.path(), &bytes[..10]).unwrap();
    let foreign = look(&place.path(), &Never).unwrap_err();
    assert!(foreign.to_string().contains("no journal"), "{foreign}");
    assert_eq!(fs::read(place.path()).unwrap(), bytes[..10]);
}

#[test]
fn what_is_closed_takes_nothing_and_says_so() {
    let place = Place::new(JournalSync::Always);
    let (journal, _) = place.open();
    let before = put(&journal, "a", "1");
    journal.begin_close();
    let message = Message::new("b", "2");
    assert_eq!(
        journal
            .append(BackendName::Local, &message, &Never)
            .unwrap(),
        None
    );
    assert_eq!(journal.requeue(&[before]).unwrap(), None);
    assert!(!journal.drop_failed(vec![before], &Never).unwrap());
    settle(&journal, &[before]);
    journal.close();
    assert!(!journal.settle(&Fates {
        settled: vec![before],
        ..Fates::default()
    }));
    assert_eq!(place.open().1, [""; 0]);
}

#[test]
fn a_journal_of_what_has_left_is_emptied() {
    let place = Place::new(JournalSync::Never);
    let (journal, _) = place.open();
    let large = "x".repeat(100_000);
    for _ in 0..50 {
        let one = put(&journal, "a", &large);
        settle(&journal, &[one]);
    }
    assert!(fs::metadata(place.path()).unwrap().len() < 1_500_000);
    put(&journal, "b", "2");
    journal.close();
    assert_eq!(place.open().1, ["b=2"]);
}

#[test]
fn rewriting_keeps_what_is_alive_and_gives_back_the_rest() {
    for sync in SYNCS {
        let place = Place::new(sync);
        let (journal, _) = place.open();
        put(&journal, "first", "1");
        let failed = put(&journal, "failed", "2");
        fail(&journal, failed);
        let large = "x".repeat(1_000_000);
        for _ in 0..5 {
            let one = put(&journal, "a", &large);
            settle(&journal, &[one]);
        }
        journal.rewrite().unwrap();
        assert!(fs::metadata(place.path()).unwrap().len() < 1000);
        put(&journal, "last", "3");
        assert!(place.try_open().is_err(), "the new file is locked too");
        // Its own thread may have it in hand for a moment longer.
        journal.close();
        drop(journal);
        let (journal, live) = place.open();
        assert_eq!(
            live,
            ["first=1", "failed=2 failed: local backend: gone", "last=3"]
        );
        assert!(put(&journal, "more", "4") > failed);
        assert!(!file::rewritten(&place.path()).exists());
    }
}

#[test]
fn rewriting_while_others_write_loses_nothing() {
    let place = Place::new(JournalSync::Never);
    let (journal, _) = place.open();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let journal = Arc::clone(&journal);
            std::thread::spawn(move || {
                for at in 0..500 {
                    let one = put(&journal, &format!("{writer}-{at}"), "v");
                    if at % 3 > 0 {
                        settle(&journal, &[one]);
                    }
                }
            })
        })
        .collect();
    for _ in 0..20 {
        journal.rewrite().unwrap();
    }
    for writer in writers {
        writer.join().unwrap();
    }
    journal.rewrite().unwrap();
    drop(journal);
    let mut expected: Vec<_> = (0..4)
        .flat_map(|writer| {
            (0..500)
                .step_by(3)
                .map(move |at| format!("{writer}-{at}=v"))
        })
        .collect();
    let mut live = place.open().1;
    live.sort();
    expected.sort();
    assert_eq!(live, expected);
}

#[test]
fn a_torn_tail_is_cut_off_and_told() {
    let place = Place::new(JournalSync::Always);
    let (journal, _) = place.open();
    put(&journal, "a", "1");
    drop(journal);
    let mut bytes = fs::read(place.path()).unwrap();
    let whole = bytes.len();
    accepted(9, "torn", 1).write(MARKED, &mut bytes);
    fs::write(place.path(), &bytes[..bytes.len() - 3]).unwrap();
    let (journal, live) = place.open();
    assert_eq!(live, ["a=1"]);
    assert_eq!(fs::metadata(place.path()).unwrap().len(), whole as u64);
    let lines = lock(&place.lines.0).clone();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].0, Level::Warning);
    assert!(
        lines[0].1.contains("byte(s) of an unfinished record"),
        "{lines:?}"
    );
    put(&journal, "b", "2");
    drop(journal);
    assert_eq!(place.open().1, ["a=1", "b=2"]);
}

#[test]
fn damage_inside_is_told_loudly_and_a_copy_is_kept() {
    let place = Place::new(JournalSync::Always);
    let (journal, _) = place.open();
    put(&journal, "a", "1");
    put(&journal, "b", "2");
    put(&journal, "c", "3");
    drop(journal);
    let mut bytes = fs::read(place.path()).unwrap();
    let hit = bytes.windows(2).position(|two| two == b"b2").unwrap();
    bytes[hit] ^= 1;
    fs::write(place.path(), &bytes).unwrap();
    let (journal, live) = place.open();
    assert_eq!(live, ["a=1", "c=3"]);
    let lines = std::mem::take(&mut *lock(&place.lines.0));
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].0, Level::Error);
    let copy = place.folder.path().join("journal.damaged-1");
    assert!(
        lines[0].1.contains(&copy.display().to_string()),
        "{lines:?}"
    );
    assert_eq!(fs::read(copy).unwrap(), bytes);
    drop(journal);
    // Told once: the file is sound again.
    assert_eq!(place.open().1, ["a=1", "c=3"]);
    assert!(lock(&place.lines.0).is_empty());
}

#[test]
fn what_cannot_be_used_is_refused_and_not_touched() {
    let place = Place::new(JournalSync::Always);
    let refused = |text: &str| {
        let error = place.try_open().err().unwrap();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains(text), "{error}");
        assert!(
            error.to_string().starts_with("queue_batch.journal: "),
            "{error}"
        );
    };
    let path = place.path();
    let stays = |content: &[u8], text: &str| {
        fs::write(&path, content).unwrap();
        refused(text);
        assert_eq!(fs::read(&path).unwrap(), content);
    };
    stays(b"SQLite format 3\0 and more", "a file of another program");
    stays(b"hello", "a file of another program");
    stays(b"TetherDB journal: a note\n", "a file of another program");
    stays(b"Tether", "a file of another program");
    let mut newer = MARKED.bytes();
    newer[16] = 2;
    let sum = crc32fast::hash(&newer[..24]);
    newer[24..28].copy_from_slice(&sum.to_le_bytes());
    stays(&newer, "a newer TetherDB, in format 2; this one knows 1");
    let mut damaged = MARKED.bytes();
    damaged[21] ^= 1;
    stays(&damaged, "its header is damaged");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused("it is a directory");
}

#[test]
fn an_empty_file_becomes_a_journal() {
    let place = Place::new(JournalSync::Always);
    for content in [&[][..], &[0; 64]] {
        fs::write(place.path(), content).unwrap();
        let (journal, live) = place.open();
        assert!(live.is_empty());
        put(&journal, "a", "1");
        drop(journal);
        assert_eq!(place.open().1, ["a=1"]);
    }
}

#[test]
fn reading_a_large_journal_can_be_interrupted() {
    let place = Place::new(JournalSync::Never);
    let (journal, _) = place.open();
    for _ in 0..300_000 {
        put(&journal, "a", "1");
    }
    drop(journal);
    let cancel = Cancel::default();
    cancel.cancel();
    let config = JournalConfig {
        path: place.path(),
        sync: place.sync,
    };
    match Journal::open(&config, place.lines.clone(), &cancel) {
        Err(error) => assert_eq!(error.kind(), Kind::Interrupted),
        // Read faster than the first look for signals.
        Ok((_, live)) => assert_eq!(live.len(), 300_000),
    }
    assert_eq!(place.open().1.len(), 300_000);
}

/// A place on a disk that is full after a little, if this user may make one.
#[cfg(target_os = "linux")]
fn on_a_small_disk(test: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| {
        let status = std::process::Command::new(arguments[0])
            .args(&arguments[1..])
            .status();
        status.is_ok_and(|status| status.success())
    };
    let path = folder.path().to_str().unwrap();
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", path]) {
        return;
    }
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(folder.path())));
    mount(&["umount", "-l", path]);
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_refuses_the_message_and_nothing_else() {
    on_a_small_disk(|folder| {
        let config = JournalConfig {
            path: folder.join("journal"),
            sync: JournalSync::Always,
        };
        let lines = Arc::new(Lines::default());
        let (journal, _) = Journal::open(&config, lines.clone(), &Never).unwrap();
        let mut taken = Vec::new();
        let error = loop {
            let message = Message::new(&format!("k{}", taken.len()), &"x".repeat(5000));
            match journal.append(BackendName::Etcd, &message, &Never) {
                Ok(number) => taken.push(number.unwrap()),
                Err(error) => break error,
            }
        };
        assert!(error.retryable());
        assert!(error.to_string().contains("Nothing was queued"), "{error}");
        assert!(taken.len() > 10);
        // What has left is noted as soon as there is room again.
        fs::write(folder.join("other"), [0; 64]).ok();
        settle(&journal, &taken[1..]);
        drop(journal);
        let (_, live) = Journal::open(&config, lines, &Never).unwrap();
        assert_eq!(live.len(), 1);
        assert_eq!(live[0].1.message.key(), "k0");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_full_disk_did_not_note_keeps_no_direct_verb_waiting_once_nothing_is_left() {
    for sync in SYNCS {
        on_a_small_disk(|folder| {
            let config = JournalConfig {
                path: folder.join("journal"),
                sync,
            };
            let (journal, _) = Journal::open(&config, Arc::new(Lines::default()), &Never).unwrap();
            let mut taken = Vec::new();
            loop {
                let message = Message::new(&format!("k{}", taken.len()), &"x".repeat(100));
                match journal.append(BackendName::Local, &message, &Never) {
                    Ok(number) => taken.push(number.unwrap()),
                    Err(_) => break,
                }
            }
            fs::write(folder.join("other"), vec![0; 4096]).ok();
            for &number in &taken {
                settle(&journal, &[number]);
            }
            // Empties the file, and with it what was never written.
            lock(&journal.writer).empty();
            for at in 0..taken.len() {
                let key = format!("k{at}");
                let keys = [key.as_str()].into_iter();
                journal
                    .before_direct(BackendName::Local, keys, &Never)
                    .unwrap();
            }
        });
    }
}

/// What a program does to a journal.
#[derive(Debug, Clone)]
enum Act {
    Put(u8, u16),
    Settle(usize),
    Fail(usize),
    Requeue(usize),
    Rewrite,
    Reopen,
    Kill,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (any::<u8>(), any::<u16>()).prop_map(|(key, value)| Act::Put(key % 8, value)),
        4 => any::<usize>().prop_map(Act::Settle),
        1 => any::<usize>().prop_map(Act::Fail),
        1 => any::<usize>().prop_map(Act::Requeue),
        1 => Just(Act::Rewrite),
        1 => Just(Act::Reopen),
        1 => Just(Act::Kill),
    ];
    proptest::collection::vec(act, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is done to it, however it ends: what is alive is what a plain list says.
    #[test]
    fn it_agrees_with_a_plain_list(acts in acts()) {
        let place = Place::new(JournalSync::Never);
        let (mut journal, _) = place.open();
        let mut model: Vec<(Number, String, bool)> = Vec::new();
        for act in acts {
            match act {
                Act::Put(key, value) => {
                    let number = put(&journal, &format!("k{key}"), &value.to_string());
                    model.push((number, format!("k{key}={value}"), false));
                }
                Act::Settle(which) if !model.is_empty() => {
                    let (number, ..) = model.remove(which % model.len());
                    settle(&journal, &[number]);
                }
                Act::Fail(which) if !model.is_empty() => {
                    let which = which % model.len();
                    fail(&journal, model[which].0);
                    model[which].2 = true;
                }
                Act::Requeue(which) if !model.is_empty() => {
                    let (number, text, _) = model.remove(which % model.len());
                    let new = journal.requeue(&[number]).unwrap().unwrap();
                    model.push((new[0], text, false));
                }
                Act::Rewrite => journal.rewrite().unwrap(),
                Act::Reopen | Act::Kill => {
                    let bytes = fs::read(place.path()).unwrap();
                    drop(journal);
                    if matches!(act, Act::Kill) {
                        fs::write(place.path(), bytes).unwrap();
                    }
                    let live;
                    (journal, live) = place.open();
                    let expected: Vec<_> = model.iter().map(|(_, text, failed)| {
                        format!("{text}{}", if *failed { " failed: local backend: gone" } else { "" })
                    }).collect();
                    prop_assert_eq!(live, expected);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn the_bookkeeping_counts_bytes_as_they_come_and_go() {
    let mut alive = Alive::default();
    alive.accept(number(1), BackendName::Local, Message::new("a", "1"));
    let one = alive.size();
    alive.accept(number(2), BackendName::Local, Message::new("b", "2"));
    assert_eq!(alive.size(), 2 * one);
    assert!(alive.settle(number(1)).is_some());
    assert!(alive.settle(number(1)).is_none());
    assert_eq!(alive.size(), one);
}
