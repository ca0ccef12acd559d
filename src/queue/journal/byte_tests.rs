//! The bytes of a journal: whole, cut off, changed and mangled.

use std::io::Cursor;

use proptest::prelude::*;

use super::Number;
use super::record::{Found, HEADER, Header, Record, Records, Refused};
use crate::error::Kind;
use crate::message::BackendName;

pub(super) const MARKED: Header = Header {
    marker: 0x5eed_c0de,
};

pub(super) fn number(value: u64) -> Number {
    Number::new(value).unwrap()
}

pub(super) fn accepted(value: u64, text: &str, key_len: usize) -> Record<'_> {
    Record::Accepted {
        number: number(value),
        backend: BackendName::Etcd,
        text,
        key_len,
    }
}

fn bytes_of(records: &[Record<'_>]) -> Vec<u8> {
    let mut bytes = MARKED.bytes().to_vec();
    for record in records {
        record.write(MARKED, &mut bytes);
    }
    bytes
}

/// What a reader finds: texts of the messages, and whether anything was damaged.
fn read(bytes: &[u8]) -> (Vec<String>, bool) {
    let mut records = Records::new(MARKED, Cursor::new(&bytes[HEADER..]), bytes.len() as u64);
    let (mut texts, mut damaged) = (Vec::new(), false);
    while let Some(found) = records.next().unwrap() {
        match found {
            Found::Record(Record::Accepted { text, .. }) => texts.push(text.to_owned()),
            Found::Record(_) => {}
            Found::Damage { .. } | Found::Tail { .. } => damaged = true,
        }
        records.forget_read();
    }
    (texts, damaged)
}

fn some_texts() -> Vec<String> {
    (0..12)
        .map(|at| format!("key{at}{}", "välue".repeat(at * 7 % 5)))
        .collect()
}

fn some_bytes() -> Vec<u8> {
    let texts = some_texts();
    let mut records: Vec<_> = (1..)
        .zip(&texts)
        .map(|(n, text)| accepted(n, text, 3))
        .collect();
    records.insert(5, Record::Settled(vec![number(1), number(2)]));
    records.insert(
        8,
        Record::Failed {
            number: number(3),
            kind: Kind::Throttled,
            retryable: true,
            error: "too much",
        },
    );
    records.push(Record::Requeued(vec![(number(3), number(40))]));
    bytes_of(&records)
}

#[test]
fn what_is_written_is_read() {
    assert_eq!(read(&some_bytes()), (some_texts(), false));
}

#[test]
fn cut_off_at_any_byte_it_gives_the_messages_before_it() {
    let (bytes, texts) = (some_bytes(), some_texts());
    let mut most = 0;
    for len in HEADER..bytes.len() {
        let (found, _) = read(&bytes[..len]);
        assert_eq!(found, texts[..found.len()], "cut off at {len}");
        assert!(found.len() >= most, "cut off at {len}");
        most = found.len();
    }
    assert_eq!(most, texts.len());
}

#[test]
fn with_any_byte_changed_it_gives_all_others_and_never_a_wrong_one() {
    let (bytes, texts) = (some_bytes(), some_texts());
    for at in HEADER..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= change;
            let (found, damaged) = read(&bytes);
            assert!(damaged, "byte {at}");
            let lost: Vec<_> = texts.iter().filter(|text| !found.contains(text)).collect();
            assert!(lost.len() <= 1, "byte {at} lost {lost:?}");
            assert!(
                found.iter().all(|text| texts.contains(text)),
                "byte {at}: {found:?}"
            );
        }
    }
}

#[test]
fn with_any_byte_of_the_header_changed_it_is_refused() {
    let good = MARKED.bytes();
    assert_eq!(Header::read(&good), Ok(Some(MARKED)));
    for at in 0..28 {
        let mut bytes = good;
        bytes[at] ^= 0x10;
        assert!(Header::read(&bytes).is_err(), "byte {at}");
    }
    assert_eq!(Header::read(&good[..20]), Err(Refused::Foreign));
    assert_eq!(Header::read(b""), Ok(None));
    assert_eq!(Header::read(b"SQLite format 3\0"), Err(Refused::Foreign));
}

#[test]
fn space_made_ahead_is_no_damage() {
    let bytes = some_bytes();
    for zeros in [1, 11, 12, 13, 5000] {
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + zeros, 0);
        assert_eq!(read(&longer), (some_texts(), false), "{zeros} zeros");
        longer[bytes.len()] = 7;
        assert_eq!(read(&longer), (some_texts(), true), "{zeros} zeros");
    }
}

#[test]
fn what_another_journal_left_on_the_disk_is_no_record() {
    let mut bytes = bytes_of(&[accepted(1, "k1", 1)]);
    let other = Header {
        marker: 0x0bad_c0de,
    };
    accepted(2, "k2", 1).write(other, &mut bytes);
    assert_eq!(read(&bytes), (vec!["k1".to_owned()], true));
}

proptest! {
    /// Any bytes at all: no panic, and no message.
    #[test]
    fn noise_holds_no_message(noise in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let mut bytes = MARKED.bytes().to_vec();
        bytes.extend_from_slice(&noise);
        let (found, damaged) = read(&bytes);
        prop_assert!(found.is_empty());
        prop_assert_eq!(damaged, noise.iter().any(|&byte| byte != 0));
    }

    /// Pieces cut out, doubled and overwritten at random: what is found was written.
    #[test]
    fn mangled_it_gives_no_wrong_message(
        cuts in proptest::collection::vec((0_usize..1200, 0_usize..200, any::<u8>(), 0_u8..3), 1..6),
    ) {
        let mut bytes = some_bytes();
        for (at, len, fill, what) in cuts {
            let start = HEADER + at % (bytes.len() - HEADER).max(1);
            let end = (start + len).min(bytes.len());
            match what {
                0 => drop(bytes.drain(start.min(end)..end)),
                1 => bytes[start.min(end)..end].fill(fill),
                _ => {
                    let piece = bytes[start.min(end)..end].to_vec();
                    bytes.splice(start.min(end)..start.min(end), piece);
                }
            }
            if bytes.len() <= HEADER {
                break;
            }
        }
        let texts = some_texts();
        let (found, _) = read(&bytes);
        prop_assert!(found.iter().all(|text| texts.contains(text)));
    }
}
