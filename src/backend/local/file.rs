//! The file itself: which one it is, whether it is ours to open, and how it is created.

use crate::sync::Mutex;
use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::error;
use crate::error::{Error, Kind, Result};
use crate::process::Inside;
use crate::wait;

/// Which file a path led to: another one there means that ours was deleted or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    /// Where files have no identity, an open file cannot be deleted either.
    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Self {
        Self {
            device: 0,
            inode: 0,
        }
    }
}

/// How many connections this process has open on each file. It also makes opening one at a time:
/// closing any descriptor of a file drops all POSIX locks that the process holds on it, so the header is
/// looked at only while no connection is open, and none is opened meanwhile.
///
/// Locked only by threads that are [`Inside`], so that `fork` never finds it held.
static OPEN_FILES: LazyLock<Mutex<HashMap<FileId, usize>>> = LazyLock::new(Mutex::default);

/// The file that `path` leads to now.
pub(super) fn identify(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|found| FileId::of(&found))
}

/// A file that may be opened as ours, counted as open until it is dropped with [`Self::release`].
pub(super) struct Claim(pub(super) FileId);

impl Claim {
    /// The connection is closed.
    pub(super) fn release(self, _: &Inside) {
        let mut open = wait::lock(&OPEN_FILES);
        if let Some(count) = open.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.0);
            }
        }
    }
}

/// Looks at the file before a connection is opened, creating it with `mode` if `create`. `None`: there
/// is no such file (or an empty one, which is none yet) and none is to be created.
pub(super) fn claim(path: &Path, create: Option<u32>, _inside: &Inside) -> Result<Option<Claim>> {
    let mut open = wait::lock(&OPEN_FILES);
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            refuse_siblings(path)?;
            let Some(mode) = create else { return Ok(None) };
            create_file(path, mode)?
        }
        Err(cause) => return Err(error::io(path, "opening the file", &cause)),
    };
    if !metadata.is_file() {
        return Err(error::local(
            Kind::Backend,
            false,
            path,
            "is no regular file. Set local.filepath to the path of a file.",
        ));
    }
    let id = FileId::of(&metadata);
    if !open.contains_key(&id) {
        if metadata.len() == 0 {
            refuse_siblings(path)?;
            if create.is_none() {
                return Ok(None);
            }
        } else {
            check_header(path)?;
        }
    }
    *open.entry(id).or_insert(0) += 1;
    Ok(Some(Claim(id)))
}

fn create_file(path: &Path, mode: u32) -> Result<Metadata> {
    let mut options = OpenOptions::new();
    // Not `create_new`: two processes that start at once both find it, whoever was first.
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(mode);
    }
    #[cfg(not(unix))]
    let _ = mode;
    let created = options.open(path).and_then(|file| {
        let metadata = file.metadata()?;
        sync_folder(path);
        Ok(metadata)
    });
    created.map_err(|cause| {
        let advice = if cause.kind() == std::io::ErrorKind::NotFound {
            "Create its folder, or set local.filepath to another path."
        } else {
            "Check the permissions of its folder, or set local.filepath to another path."
        };
        error::local(
            Kind::Backend,
            true,
            path,
            format!("creating the file failed: {cause}. {advice}"),
        )
    })
}

/// Makes the new name survive a power loss, where folders can be synced.
fn sync_folder(path: &Path) {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        // A folder that cannot be synced (some network systems) has no better way either.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    #[cfg(not(unix))]
    let _ = path;
}

fn check_header(path: &Path) -> Result<()> {
    let mut header = [0_u8; 16];
    let length = File::open(path)
        .and_then(|mut file| {
            let mut length = 0;
            while length < header.len() {
                match file.read(&mut header[length..])? {
                    0 => break,
                    more => length += more,
                }
            }
            Ok(length)
        })
        .map_err(|cause| error::io(path, "reading the file", &cause))?;
    if &header == b"SQLite format 3\0" {
        return Ok(());
    }
    // The magic number of GDBM, in both byte orders and its three variants.
    let gdbm = [0x1357_9acd_u32, 0x1357_9ace, 0x1357_9acf];
    let number = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    if length >= 4 && (gdbm.contains(&number) || gdbm.contains(&number.swap_bytes())) {
        return Err(foreign(path, "is a GDBM database"));
    }
    Err(foreign(path, "is no SQLite database"))
}

/// A store in another of `dbm`'s formats stands beside the path: creating ours would hide it.
fn refuse_siblings(path: &Path) -> Result<()> {
    for suffix in ["pag", "dir", "db", "dat"] {
        let mut name = path.as_os_str().to_owned();
        name.push(".");
        name.push(suffix);
        let sibling = PathBuf::from(name);
        if sibling.exists() {
            let text = format!(
                "does not exist, but {} does: a store in another of dbm's formats",
                sibling.display()
            );
            return Err(foreign(path, &text));
        }
    }
    Ok(())
}

pub(super) fn foreign(path: &Path, what: &str) -> Error {
    error::local(
        Kind::Corrupt,
        false,
        path,
        format!(
            "{what}, not a TetherDB (dbm.sqlite3) file. Nothing was changed. Set local.filepath to \
             another path, or copy its records over with the program that wrote it."
        ),
    )
}
