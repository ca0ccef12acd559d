//! The reading side: a few connections that threads take and put back. Readers never wait for a commit.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::client::{Connection, Failure, Settings};
use super::{error, file};
use crate::error::{Error, Kind, Result};
use crate::process::{self, Inside};
use crate::wait::{self, Interrupt};

/// Connections kept open when nobody reads. More may be open while more read at once.
const KEPT: usize = 8;

/// Connections for reading.
pub(super) struct Readers {
    settings: Settings,
    busy_timeout: Duration,
    free: Mutex<Free>,
}

#[derive(Default)]
struct Free {
    connections: Vec<Connection>,
    /// Counts `close`: a connection taken before one is not put back after it.
    closed: u64,
}

impl Readers {
    pub(super) fn new(settings: Settings, busy_timeout: Duration) -> Self {
        Self {
            settings,
            busy_timeout,
            free: Mutex::default(),
        }
    }

    /// Reads with `read`; `None` if there is no file. Waits while another process has it locked.
    pub(super) fn with<T>(
        &self,
        interrupt: &dyn Interrupt,
        mut read: impl FnMut(&Connection, &Inside) -> std::result::Result<T, Failure>,
    ) -> Result<Option<T>> {
        let deadline = Instant::now() + self.busy_timeout;
        loop {
            let inside = process::enter();
            let (taken, closed) = self.take(&inside);
            let opened = match taken {
                Some(connection) => Ok(Some(connection)),
                None => Connection::open(&self.settings, false, &inside),
            };
            let failure = match opened {
                Ok(None) => return Ok(None),
                Ok(Some(connection)) => match read(&connection, &inside) {
                    Ok(answer) => {
                        self.put_back(connection, closed, &inside);
                        return Ok(Some(answer));
                    }
                    Err(failure) => {
                        // An error may leave a snapshot open, so the connection is not used again.
                        connection.close(&inside);
                        failure
                    }
                },
                Err(failure) => failure,
            };
            drop(inside);
            match failure {
                Failure::Error { error, .. } => return Err(error),
                Failure::Cancelled => return Err(Error::interrupted()),
                Failure::Busy if Instant::now() >= deadline => return Err(self.locked()),
                Failure::Busy => wait::sleep(Duration::from_millis(2), interrupt)?,
            }
        }
    }

    fn locked(&self) -> Error {
        let text = error::busy(&self.settings.path, self.busy_timeout);
        debug_assert_eq!(text.kind(), Kind::Timeout);
        text
    }

    fn take(&self, inside: &Inside) -> (Option<Connection>, u64) {
        let (connection, closed) = {
            let mut free = wait::lock(&self.free);
            (free.connections.pop(), free.closed)
        };
        match connection {
            // Deleted or replaced by somebody: read what the path names now.
            Some(old) if file::identify(&self.settings.path) != Some(old.file()) => {
                old.close(inside);
                (None, closed)
            }
            kept => (kept, closed),
        }
    }

    fn put_back(&self, connection: Connection, closed: u64, inside: &Inside) {
        let mut free = wait::lock(&self.free);
        if free.closed == closed && free.connections.len() < KEPT {
            free.connections.push(connection);
            return;
        }
        drop(free);
        connection.close(inside);
    }

    /// Closes those that nobody uses; the others close when they are put back.
    pub(super) fn close(&self) {
        let inside = process::enter();
        let connections = {
            let mut free = wait::lock(&self.free);
            free.closed += 1;
            std::mem::take(&mut free.connections)
        };
        for connection in connections {
            connection.close(&inside);
        }
    }
}
