//! What the fuzz target of `fuzz/` does: writes a journal, damages it, and reads it.

use std::io::Cursor;

use super::Number;
use super::record::{Found, HEADER, Header, Record, Records};
use super::replay::Alive;
use crate::message::BackendName;

const HEADER_OF_ALL: Header = Header {
    marker: 0x5eed_c0de,
};

/// Reads `data` as what stands behind a header, and what it makes of a sound journal.
///
/// # Panics
/// If a message is found that was never written, or reading does not end.
pub fn check(data: &[u8]) {
    let mut noise = HEADER_OF_ALL.bytes().to_vec();
    noise.extend_from_slice(data);
    read(&noise);
    let _ = Header::read(data);

    let texts: Vec<String> = data
        .chunks(7)
        .take(16)
        .map(|chunk| format!("{chunk:?}"))
        .collect();
    let mut journal = HEADER_OF_ALL.bytes().to_vec();
    for (number, text) in (1..).zip(&texts) {
        let record = Record::Accepted {
            number: Number::MIN.saturating_add(number),
            backend: BackendName::Local,
            text,
            key_len: 1,
        };
        record.write(HEADER_OF_ALL, &mut journal);
    }
    // Each three bytes are one stroke: where, how, with what.
    for stroke in data.chunks_exact(3).take(64) {
        let room = journal.len() - HEADER;
        if room == 0 {
            break;
        }
        let at = HEADER + (usize::from(stroke[0]) * 256 + usize::from(stroke[2])) % room;
        match stroke[1] % 4 {
            0 => journal[at] ^= stroke[2] | 1,
            1 => journal.truncate(at),
            2 => {
                let end = (at + usize::from(stroke[2])).min(journal.len());
                journal.drain(at..end);
            }
            _ => {
                let end = (at + usize::from(stroke[2])).min(journal.len());
                let piece = journal[at..end].to_vec();
                journal.splice(at..at, piece);
            }
        }
    }
    for text in read(&journal) {
        assert!(texts.contains(&text), "never written: {text}");
    }
}

fn read(bytes: &[u8]) -> Vec<String> {
    let source = Cursor::new(&bytes[HEADER..]);
    let mut records = Records::new(HEADER_OF_ALL, source, bytes.len() as u64);
    let (mut alive, mut texts) = (Alive::default(), Vec::new());
    for _ in 0..=bytes.len() {
        match records.next() {
            Ok(None) => return texts,
            Ok(Some(Found::Record(record))) => {
                alive.apply(&record);
                if let Record::Accepted { text, .. } = record {
                    texts.push(text.to_owned());
                }
            }
            _ => {}
        }
        records.forget_read();
    }
    unreachable!("every step reads at least one byte");
}
