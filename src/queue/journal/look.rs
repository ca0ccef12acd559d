//! Looking into a journal that is somebody's: nothing is locked, changed or sent.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Contents;
use super::file;
use super::record::{HEADER, Header};
use crate::error::Result;
use crate::wait::Interrupt;

/// What is in a journal at this moment.
#[derive(Debug)]
pub struct Look {
    /// The number of the process that opened it last, which may have ended.
    pub owner: Option<u32>,
    /// What is alive, in the order of acceptance.
    pub contents: Contents,
    /// Bytes in the middle that are no record. (Those at the end may be one that is being written.)
    pub damaged: u64,
}

/// Looks into the journal at `path`, whoever owns it.
///
/// # Errors
/// `Config` where there is no journal, or it cannot be read; `Interrupted`.
pub fn look(path: &Path, interrupt: &dyn Interrupt) -> Result<Look> {
    let unreadable = |cause| file::refused(path, format!("it cannot be read: {cause}."));
    let mut opened = File::open(path).map_err(unreadable)?;
    if !opened.metadata().map_err(unreadable)?.is_file() {
        return Err(file::refused(path, "it is no regular file."));
    }
    let mut start = Vec::with_capacity(HEADER + 1);
    (&mut opened)
        .take(HEADER as u64 + 1)
        .read_to_end(&mut start)
        .map_err(unreadable)?;
    let header = Header::read(&start).map_err(|why| file::refused(path, file::explain(&why)))?;
    let Some(header) = header else {
        return Ok(Look {
            owner: None,
            contents: Vec::new(),
            damaged: 0,
        });
    };
    let (alive, damage, _) = file::read(path, &opened, header, interrupt)?;
    Ok(Look {
        owner: file::owner(&opened),
        contents: alive.in_order(),
        damaged: damage.map_or(0, |damage| damage.inside),
    })
}
