//! The reading side: threads take a connection and put it back. Readers never wait for a commit.

use std::sync::Arc;
use std::time::Duration;

use super::client::{Connection, Failure, Settings};
use super::error;
use super::pool::Pool;
use crate::error::{Error, Result};
use crate::process::{self, Inside};
use crate::wait::{Interrupt, Wait};

/// The reading side of the local backend.
pub(super) struct Readers {
    settings: Settings,
    busy_timeout: Duration,
    pool: Arc<Pool>,
}

impl Readers {
    pub(super) fn new(settings: Settings, busy_timeout: Duration, pool: Arc<Pool>) -> Self {
        Self {
            settings,
            busy_timeout,
            pool,
        }
    }

    /// Reads with `read`; `None` if there is no file. Waits while another process has it locked.
    pub(super) fn with<T>(
        &self,
        interrupt: &dyn Interrupt,
        mut read: impl FnMut(&Connection, &Inside) -> std::result::Result<T, Failure>,
    ) -> Result<Option<T>> {
        let mut wait = Wait::new(Some(interrupt.begun() + self.busy_timeout), interrupt);
        loop {
            let inside = process::enter();
            let (free, taken) = self.pool.take_reader(&inside);
            let opened = match free {
                Some(connection) => Ok(Some(connection)),
                None => Connection::open(&self.settings, false, &inside),
            };
            let failure = match opened {
                Ok(None) => return Ok(None),
                Ok(Some(connection)) => match read(&connection, &inside) {
                    Ok(answer) => {
                        self.pool.put_reader(connection, taken, &inside);
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
                Failure::Busy if wait.expired() => {
                    return Err(error::busy(&self.settings.path, self.busy_timeout));
                }
                Failure::Busy => wait.pause(Duration::from_millis(2))?,
            }
        }
    }
}
