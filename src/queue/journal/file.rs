//! The file of a journal: opening it for one owner, reading what is in it, and writing at its end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::record::{FORMAT, Found, HEADER, Header, OWNER_AT, Records, Refused};
use super::replay::Alive;
use crate::error::{Error, Kind, Result};
use crate::wait::{Interrupt, SLICE};

/// An open journal file that is locked for this process.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) header: Header,
    /// Where the next record goes.
    pub(super) end: u64,
    pub(super) alive: Alive,
    pub(super) damage: Option<Damage>,
}

/// What was found that is no record.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// Bytes in the middle, with sound records behind.
    pub(super) inside: u64,
    /// Bytes at the end: what was being written when the process or the machine ended.
    pub(super) tail: u64,
}

/// An error of the configuration: the file that it names cannot be used.
pub(super) fn refused(path: &Path, why: impl std::fmt::Display) -> Error {
    let text = format!("queue_batch.journal: {}: {why}", path.display());
    Error::new(Kind::Config, text)
}

/// Opens the journal at `path`, or creates it, and reads what is alive in it.
pub(super) fn open(path: &Path, interrupt: &dyn Interrupt) -> Result<Opened> {
    let mut file = lock(path)?;
    let mut start = Vec::with_capacity(HEADER + 1);
    (&mut file)
        .take(HEADER as u64 + 1)
        .read_to_end(&mut start)
        .map_err(|cause| refused(path, unreadable(&cause)))?;
    let header = Header::read(&start).map_err(|why| refused(path, explain(&why)))?;
    let Some(header) = header else {
        let header = begin(path, &file)?;
        return Ok(Opened {
            file,
            header,
            end: HEADER as u64,
            alive: Alive::default(),
            damage: None,
        });
    };
    note_owner(&file);
    let (alive, damage, end) = read(path, &file, header, interrupt)?;
    Ok(Opened {
        file,
        header,
        end,
        alive,
        damage,
    })
}

pub(super) fn explain(why: &Refused) -> String {
    match why {
        Refused::Foreign => {
            "it is a file of another program, no journal. Name another path.".to_owned()
        }
        Refused::Format(format) if *format > FORMAT => format!(
            "it was written by a newer TetherDB, in format {format}; this one knows {FORMAT}. Update TetherDB, or name \
             another path."
        ),
        Refused::Format(format) => format!("its format {format} is unknown. Name another path."),
        Refused::Damaged => {
            "its header is damaged, so nothing in it can be trusted. Nothing was changed. Move it away and keep it, \
             or name another path."
                .to_owned()
        }
    }
}

fn unreadable(cause: &io::Error) -> String {
    format!("it cannot be read: {cause}. Check the disk.")
}

/// Opens and locks the file. A rewritten journal takes the place of the old file, so whoever has locked a file that
/// is no longer at the path looks again.
fn lock(path: &Path) -> Result<File> {
    loop {
        let is_there = match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                return Err(refused(path, "it is a directory: name a file in it."));
            }
            Ok(metadata) if !metadata.is_file() => {
                return Err(refused(path, "it is no regular file: name another path."));
            }
            Ok(_) => true,
            Err(_) => false,
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // It holds what users store.
            options.mode(0o600);
        }
        let file = options.open(path).map_err(|cause| {
            let advice = match cause.kind() {
                io::ErrorKind::NotFound => "Create its folder, or name another path.",
                io::ErrorKind::StorageFull => "Free space on the disk.",
                _ => "Check the permissions of the file and its folder, or name another path.",
            };
            refused(path, format!("it cannot be opened: {cause}. {advice}"))
        })?;
        match file.try_lock() {
            Ok(()) => {}
            // That may pass, which tells it from all others.
            Err(fs::TryLockError::WouldBlock) => return Err(refused(path, owned(&file)).passing()),
            Err(fs::TryLockError::Error(cause)) => {
                let why = format!("it cannot be locked: {cause}. Name a path on a local disk.");
                return Err(refused(path, why));
            }
        }
        if is_same(path, &file) {
            if !is_there {
                sync_folder(path);
            }
            return Ok(file);
        }
    }
}

/// The number of the process that opened it last.
pub(super) fn owner(mut file: &File) -> Option<u32> {
    let mut number = [0; 4];
    file.seek(SeekFrom::Start(OWNER_AT)).ok()?;
    file.read_exact(&mut number).ok()?;
    Some(u32::from_le_bytes(number)).filter(|&number| number > 0)
}

fn owned(file: &File) -> String {
    let owner = match owner(file) {
        Some(number) if number == std::process::id() => {
            return "another DB of this process uses it, or is still delivering what it had queued. Use that one, stop \
                    it first, or name another path."
                .to_owned();
        }
        Some(number) => format!("process {number}"),
        None => "another process".to_owned(),
    };
    format!("{owner} uses it, and a journal has one owner. Stop that one, or name another path.")
}

#[cfg(unix)]
fn is_same(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (fs::metadata(path), file.metadata()) {
        (Ok(at_path), Ok(opened)) => (at_path.dev(), at_path.ino()) == (opened.dev(), opened.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_same(_: &Path, _: &File) -> bool {
    true
}

/// A header with a marker of its own.
pub(super) fn new_header() -> Header {
    use std::hash::{BuildHasher, RandomState};
    #[expect(clippy::cast_possible_truncation, reason = "any 32 random bits do")]
    let marker = RandomState::new().hash_one(0_u8) as u32;
    // Zero is what a disk is full of.
    Header {
        marker: marker.max(1),
    }
}

fn begin(path: &Path, file: &File) -> Result<Header> {
    let header = new_header();
    let full = |cause: io::Error| {
        let why =
            format!("it cannot be written: {cause}. Free space on the disk, or name another path.");
        refused(path, why)
    };
    if let Err(cause) = write_at(file, &header.bytes(), 0) {
        // A part of a header would be taken for a file of another program.
        let _ = file.set_len(0);
        return Err(full(cause));
    }
    note_owner(file);
    file.sync_all().map_err(full)?;
    Ok(header)
}

/// For people who ask who has it: nothing depends on it.
pub(super) fn note_owner(file: &File) {
    let _ = write_at(file, &std::process::id().to_le_bytes(), OWNER_AT);
}

/// Reads what is alive, behind the header; with what was found that is no record, and where the next one goes.
pub(super) fn read(
    path: &Path,
    file: &File,
    header: Header,
    interrupt: &dyn Interrupt,
) -> Result<(Alive, Option<Damage>, u64)> {
    let failed = |cause: io::Error| refused(path, unreadable(&cause));
    let len = file.metadata().map_err(failed)?.len();
    let mut source = file;
    source
        .seek(SeekFrom::Start(HEADER as u64))
        .map_err(failed)?;
    let mut records = Records::new(header, source, len);
    let mut alive = Alive::default();
    let mut damage = Damage::default();
    let mut next_look = std::time::Instant::now() + SLICE;
    for count in 1_u64.. {
        match records.next().map_err(failed)? {
            None => break,
            Some(Found::Record(record)) => alive.apply(&record),
            Some(Found::Damage { len, .. }) => damage.inside += len,
            Some(Found::Tail { len }) => damage.tail = len,
        }
        records.forget_read();
        if count % 4096 == 0 && std::time::Instant::now() >= next_look {
            next_look = std::time::Instant::now() + SLICE;
            if interrupt.interrupted() {
                return Err(Error::interrupted());
            }
        }
    }
    let found = damage.inside > 0 || damage.tail > 0;
    Ok((alive, found.then_some(damage), records.end()))
}

/// Puts a copy of a damaged journal beside it, so that nothing that may still be read in it is lost.
pub(super) fn keep_copy(path: &Path) -> io::Result<PathBuf> {
    for count in 1.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{count}"));
        let copy = PathBuf::from(name);
        if !copy.exists() {
            fs::copy(path, &copy)?;
            return Ok(copy);
        }
    }
    unreachable!("some number is free")
}

/// Where a journal is rewritten before it takes the place of the old one.
pub(super) fn rewritten(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".rewritten");
    PathBuf::from(name)
}

/// A new file beside the journal, locked before anybody else can see it as the journal.
pub(super) fn create_beside(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // What lies there is left from a rewriting that a crash has ended, or leads somewhere else.
    let _ = fs::remove_file(rewritten(path));
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let file = options.open(rewritten(path))?;
    file.try_lock()
        .map_err(|_| io::Error::from(io::ErrorKind::ResourceBusy))?;
    Ok(file)
}

/// Writes all of `bytes` at `at`.
#[cfg(unix)]
pub(super) fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(not(unix))]
pub(super) fn write_at(mut file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

/// Makes a new name in the folder of `path` last. Where a folder cannot be synced, there is nothing to do.
pub(super) fn sync_folder(path: &Path) {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
        let _ = folder.sync_all();
    }
}

/// Copies what is in `from` between two places to `at` in `to`; gives where it ends.
pub(super) fn copy_range(
    from: &File,
    range: std::ops::Range<u64>,
    to: &File,
    at: u64,
) -> io::Result<u64> {
    let mut source = from;
    source.seek(SeekFrom::Start(range.start))?;
    let mut source = source.take(range.end - range.start);
    let mut target = to;
    target.seek(SeekFrom::Start(at))?;
    let copied = io::copy(&mut source, &mut target)?;
    target.flush()?;
    Ok(at + copied)
}
