//! The bytes of a journal: a header, then records. Pure; `docs/journal.md` describes the format for people.
//!
//! Every record begins with the file's own random marker and carries a checksum that is seeded with it, so that
//! neither damage nor what another file has left on the disk is ever taken for a record. After damage the marker
//! is where reading goes on.

use std::io::{self, Read};
use std::num::NonZeroU64;

use crc32fast::Hasher;

use crate::error::{Error, Kind};
use crate::message::{BackendName, Message};

/// The first bytes of every journal.
const MAGIC: &[u8; 16] = b"TetherDB journal";
/// The format that is written here. A reader refuses any other.
pub(super) const FORMAT: u32 = 1;
/// Bytes of the header; the records follow.
pub(super) const HEADER: usize = 64;
/// Where in the header the owner's process number is: for people, outside the checksum.
pub(super) const OWNER_AT: u64 = 28;
/// Marker, checksum and length, before what a record carries.
const FRAME: usize = 12;
/// A record that claims more is damaged: no backend takes more than a gigabyte.
const LONGEST: u32 = 1 << 30;

/// A message's place in its journal: later ones have higher numbers.
pub type Number = NonZeroU64;

/// Why a file is no journal that can be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It begins otherwise.
    Foreign,
    /// It is a journal of this format number.
    Format(u32),
    /// Its header is damaged.
    Damaged,
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The marker of every record, and the seed of their checksums.
    pub(super) marker: u32,
}

impl Header {
    pub(super) fn bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..16].copy_from_slice(MAGIC);
        bytes[16..20].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.marker.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..24]);
        bytes[24..28].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// From the beginning of a file. `None` if the file is empty, or no longer than a header and nothing but zeros, as a
    /// power loss may leave one that was being made.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, Refused> {
        if bytes.len() <= HEADER && bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if bytes.len() < HEADER || bytes[..MAGIC.len()] != MAGIC[..] {
            return Err(Refused::Foreign);
        }
        let format = u32_at(bytes, 16);
        if crc32fast::hash(&bytes[..24]) != u32_at(bytes, 24) {
            return Err(Refused::Damaged);
        }
        if format != FORMAT {
            return Err(Refused::Format(format));
        }
        let marker = u32_at(bytes, 20);
        Ok(Some(Self { marker }))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

fn number_at(bytes: &[u8], at: usize) -> Option<Number> {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    Number::new(u64::from_le_bytes(eight))
}

/// What happened to messages.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// A message was accepted.
    Accepted {
        number: Number,
        backend: BackendName,
        /// Key and value together.
        text: &'a str,
        key_len: usize,
    },
    /// Messages have left the queue: delivered, dropped, or never accepted after all.
    Settled(Vec<Number>),
    /// A message was given up, and stays.
    Failed {
        number: Number,
        kind: Kind,
        retryable: bool,
        error: &'a str,
    },
    /// Given-up messages were queued again, under new numbers.
    Requeued(Vec<(Number, Number)>),
}

const ACCEPTED: u8 = 1;
const SETTLED: u8 = 2;
const FAILED: u8 = 3;
const REQUEUED: u8 = 4;

impl<'a> Record<'a> {
    pub(super) fn accepted(number: Number, backend: BackendName, message: &'a Message) -> Self {
        Self::Accepted {
            number,
            backend,
            text: message.text(),
            key_len: message.key().len(),
        }
    }

    /// `text` is that of `error`.
    pub(super) fn failed(number: Number, error: &Error, text: &'a str) -> Self {
        Self::Failed {
            number,
            kind: error.kind(),
            retryable: error.retryable(),
            error: text,
        }
    }

    /// Adds the record to `bytes`.
    pub(super) fn write(&self, header: Header, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; FRAME]);
        match self {
            Self::Accepted {
                number,
                backend,
                text,
                key_len,
            } => {
                bytes.push(ACCEPTED);
                bytes.extend_from_slice(&number.get().to_le_bytes());
                bytes.push(code_of(*backend));
                bytes.extend_from_slice(&length(*key_len).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
            Self::Settled(numbers) => {
                bytes.push(SETTLED);
                for number in numbers {
                    bytes.extend_from_slice(&number.get().to_le_bytes());
                }
            }
            Self::Failed {
                number,
                kind,
                retryable,
                error,
            } => {
                bytes.push(FAILED);
                bytes.extend_from_slice(&number.get().to_le_bytes());
                bytes.push(code_of_kind(*kind));
                bytes.push(u8::from(*retryable));
                bytes.extend_from_slice(error.as_bytes());
            }
            Self::Requeued(pairs) => {
                bytes.push(REQUEUED);
                for (old, new) in pairs {
                    bytes.extend_from_slice(&old.get().to_le_bytes());
                    bytes.extend_from_slice(&new.get().to_le_bytes());
                }
            }
        }
        let len = length(bytes.len() - start - FRAME).to_le_bytes();
        let sum = checksum(header, len, &bytes[start + FRAME..]);
        bytes[start..start + 4].copy_from_slice(&header.marker.to_le_bytes());
        bytes[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
        bytes[start + 8..start + 12].copy_from_slice(&len);
    }
}

/// Every length here is below the largest item of any backend.
fn length(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn checksum(header: Header, len: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(header.marker);
    hasher.update(&len);
    hasher.update(payload);
    hasher.finalize()
}

/// What a record carries; `None` if this format knows no such record.
fn decode(payload: &[u8]) -> Option<Record<'_>> {
    let (&kind, rest) = payload.split_first()?;
    match kind {
        ACCEPTED => {
            let (fixed, text) = rest.split_at_checked(13)?;
            let text = std::str::from_utf8(text).ok()?;
            let key_len = u32_at(fixed, 9) as usize;
            Some(Record::Accepted {
                number: number_at(fixed, 0)?,
                backend: backend_of(fixed[8])?,
                text: text.is_char_boundary(key_len).then_some(text)?,
                key_len,
            })
        }
        SETTLED if rest.len().is_multiple_of(8) => {
            let numbers = rest.chunks_exact(8).map(|one| number_at(one, 0));
            numbers.collect::<Option<_>>().map(Record::Settled)
        }
        FAILED => {
            let (fixed, error) = rest.split_at_checked(10)?;
            Some(Record::Failed {
                number: number_at(fixed, 0)?,
                kind: kind_of(fixed[8])?,
                retryable: fixed[9] == 1,
                error: std::str::from_utf8(error).ok()?,
            })
        }
        REQUEUED if rest.len().is_multiple_of(16) => {
            let pairs = rest.chunks_exact(16);
            let pairs = pairs.map(|pair| Some((number_at(pair, 0)?, number_at(pair, 8)?)));
            pairs.collect::<Option<_>>().map(Record::Requeued)
        }
        _ => None,
    }
}

/// The numbers in the file: they never change their meaning.
const BACKENDS: [(u8, BackendName); 3] = [
    (0, BackendName::Local),
    (1, BackendName::Dynamodb),
    (2, BackendName::Etcd),
];

const KINDS: [(u8, Kind); 10] = [
    (0, Kind::Backend),
    (1, Kind::Timeout),
    (2, Kind::Unavailable),
    (3, Kind::Authentication),
    (4, Kind::Throttled),
    (5, Kind::TableMissing),
    (6, Kind::Corrupt),
    (7, Kind::Limit),
    (8, Kind::Config),
    (9, Kind::FlushTimeout),
];

fn code_of(backend: BackendName) -> u8 {
    let found = BACKENDS.iter().find(|&&(_, known)| known == backend);
    found.map_or(u8::MAX, |&(code, _)| code)
}

fn backend_of(code: u8) -> Option<BackendName> {
    let found = BACKENDS.iter().find(|&&(known, _)| known == code);
    found.map(|&(_, backend)| backend)
}

/// What has no number of its own is an error of the backend.
fn code_of_kind(kind: Kind) -> u8 {
    let found = KINDS.iter().find(|&&(_, known)| known == kind);
    found.map_or(0, |&(code, _)| code)
}

fn kind_of(code: u8) -> Option<Kind> {
    let found = KINDS.iter().find(|&&(known, _)| known == code);
    found.map(|&(_, kind)| kind)
}

/// One step of reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Record(Record<'a>),
    /// Bytes that are no record, up to the next one.
    Damage {
        at: u64,
        len: u64,
    },
    /// Bytes that are no record, and behind them nothing but zeros, if anything: what was being written when the
    /// process or the machine ended.
    Tail {
        len: u64,
    },
}

/// Reads the records of a file that is `len` bytes long, from where its header ends.
pub(super) struct Records<R> {
    header: Header,
    source: R,
    buffer: Vec<u8>,
    /// How much of the buffer has been read.
    read: usize,
    /// Where in the file the buffer begins.
    at: u64,
    len: u64,
}

/// What is read from the file at once.
const CHUNK: usize = 1 << 20;

impl<R: Read> Records<R> {
    pub(super) fn new(header: Header, source: R, len: u64) -> Self {
        Self {
            header,
            source,
            buffer: Vec::new(),
            read: 0,
            at: HEADER as u64,
            len,
        }
    }

    /// The next step; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Found<'_>>> {
        if let Some(len) = self.record_at(self.read)? {
            let start = self.read + FRAME;
            self.read = start + len;
            let record = decode(&self.buffer[start..start + len]);
            return Ok(record.map(Found::Record));
        }
        let at = self.at + self.read as u64;
        if at >= self.len {
            return Ok(None);
        }
        let marker = self.header.marker.to_le_bytes();
        let mut next = self.read + 1;
        loop {
            if !self.fill(next + FRAME)? {
                return self.tail(at);
            }
            let ahead = &self.buffer[next..];
            match ahead.windows(4).position(|four| four == marker) {
                None => next = self.buffer.len() - 3,
                Some(step) => {
                    next += step;
                    if self.record_at(next)?.is_some() {
                        break;
                    }
                    next += 1;
                }
            }
        }
        let len = (next - self.read) as u64;
        self.read = next;
        Ok(Some(Found::Damage { at, len }))
    }

    /// What is behind the last record. Zeros are space that was made for more.
    fn tail(&mut self, at: u64) -> io::Result<Option<Found<'_>>> {
        let rest = usize::try_from(self.len - at).unwrap_or(usize::MAX);
        self.fill(self.read + rest)?;
        self.len = at;
        let torn = self.buffer[self.read..].iter().rposition(|&byte| byte != 0);
        Ok(torn.map(|last| Found::Tail {
            len: last as u64 + 1,
        }))
    }

    /// Where the last record ends, once there is no next step.
    pub(super) fn end(&self) -> u64 {
        self.at + self.read as u64
    }

    /// The length of what the whole and sound record at this place of the buffer carries, if there is one.
    fn record_at(&mut self, place: usize) -> io::Result<Option<usize>> {
        if !self.fill(place + FRAME)? || u32_at(&self.buffer, place) != self.header.marker {
            return Ok(None);
        }
        let len = u32_at(&self.buffer, place + 8);
        if len > LONGEST || !self.fill(place + FRAME + len as usize)? {
            return Ok(None);
        }
        let payload = &self.buffer[place + FRAME..place + FRAME + len as usize];
        let sum = checksum(self.header, len.to_le_bytes(), payload);
        let sound = sum == u32_at(&self.buffer, place + 4) && decode(payload).is_some();
        Ok(sound.then_some(len as usize))
    }

    /// Makes the buffer at least `want` bytes long; `false` if the file ends before.
    fn fill(&mut self, want: usize) -> io::Result<bool> {
        if self.buffer.len() >= want {
            return Ok(true);
        }
        if self.at + want as u64 > self.len {
            return Ok(false);
        }
        let more = (want - self.buffer.len()).max(CHUNK);
        (&mut self.source)
            .take(more as u64)
            .read_to_end(&mut self.buffer)?;
        Ok(self.buffer.len() >= want)
    }

    /// Lets go of what has been read.
    pub(super) fn forget_read(&mut self) {
        if self.read >= CHUNK {
            self.buffer.drain(..self.read);
            self.at += self.read as u64;
            self.read = 0;
        }
    }
}
