//! The open connections of one handle: one for writing, a few for reading.
//!
//! A connection is outside the pool only in the hands of a thread that is [`Inside`]. So `fork`, which waits
//! until nobody is, finds all of them here, and closes them first: `SQLite` keeps one table of file locks
//! for the whole process, and a child that inherited it would believe in locks that only its parent has.

use crate::sync::Mutex;
use std::sync::{Arc, Weak};

use super::client::Connection;
use crate::process::Inside;
use crate::wait;

/// Reading connections kept open when nobody reads. More may be open while more read at once.
const KEPT: usize = 8;

/// All pools of this process. Locked only by threads that are [`Inside`].
static POOLS: Mutex<Vec<Weak<Pool>>> = Mutex::new(Vec::new());

/// See the module. Its locks are held only by threads that are [`Inside`].
#[derive(Default)]
pub(super) struct Pool {
    writer: Mutex<Option<Connection>>,
    readers: Mutex<Readers>,
}

#[derive(Default)]
struct Readers {
    free: Vec<Connection>,
    /// Counts `close`: a connection taken before one is not kept after it.
    closed: u64,
}

/// When a reading connection was taken.
#[derive(Clone, Copy)]
pub(super) struct Taken(u64);

impl Pool {
    pub(super) fn new(_inside: &Inside) -> Arc<Self> {
        let pool = Arc::new(Self::default());
        let mut pools = wait::lock(&POOLS);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&pool));
        pool
    }

    /// The writing connection, if it is open and still on the file that its path names.
    pub(super) fn take_writer(&self, inside: &Inside) -> Option<Connection> {
        let taken = wait::lock(&self.writer).take();
        current(taken, inside)
    }

    pub(super) fn put_writer(&self, connection: Connection, inside: &Inside) {
        if inside.is_forking() {
            connection.close(inside);
            return;
        }
        connection.note_log();
        *wait::lock(&self.writer) = Some(connection);
    }

    /// A reading connection, if one is free and still on the file that its path names.
    pub(super) fn take_reader(&self, inside: &Inside) -> (Option<Connection>, Taken) {
        let (taken, closed) = {
            let mut readers = wait::lock(&self.readers);
            (readers.free.pop(), readers.closed)
        };
        let was_free = taken.is_some();
        let taken = current(taken, inside);
        if was_free && taken.is_none() {
            // The others are on the old file as well, and would keep its space.
            let free = std::mem::take(&mut wait::lock(&self.readers).free);
            for connection in free {
                connection.close_replaced(inside);
            }
        }
        (taken, Taken(closed))
    }

    pub(super) fn put_reader(&self, connection: Connection, taken: Taken, inside: &Inside) {
        connection.note_log();
        let mut readers = wait::lock(&self.readers);
        if !inside.is_forking() && readers.closed == taken.0 && readers.free.len() < KEPT {
            readers.free.push(connection);
            return;
        }
        drop(readers);
        connection.close(inside);
    }

    /// Closes all connections that nobody uses; those in use for reading close when they are put back.
    pub(super) fn close(&self, inside: &Inside) {
        let readers = {
            let mut readers = wait::lock(&self.readers);
            readers.closed += 1;
            std::mem::take(&mut readers.free)
        };
        let writer = wait::lock(&self.writer).take();
        // The writer last: whoever is last carries the log into the file.
        for connection in readers.into_iter().chain(writer) {
            connection.close(inside);
        }
    }
}

/// Deleted or replaced by somebody: the next verb goes to the file that the path names.
fn current(taken: Option<Connection>, inside: &Inside) -> Option<Connection> {
    let connection = taken?;
    if connection.is_current() {
        return Some(connection);
    }
    connection.close_replaced(inside);
    None
}

/// Before `fork`, once nobody is inside: no connection is carried over.
pub(crate) fn close_all(inside: &Inside) {
    let pools: Vec<_> = wait::lock(&POOLS)
        .iter()
        .filter_map(Weak::upgrade)
        .collect();
    for pool in pools {
        pool.close(inside);
        // Its last owner may have gone meanwhile; it is empty, so it is just memory.
    }
}
