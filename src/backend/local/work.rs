//! What writers want of the file, and how it is done within a transaction.

use super::client::{Connection, Failure};
use crate::backend::Failures;
use crate::message::Message;
use crate::process::Inside;
use crate::wait::Interrupt;

/// What one writer wants.
pub(super) enum Work {
    /// All or none.
    Write(Vec<Message>),
    /// Each for itself: a message's own fault is reported, its neighbours are written.
    Send(Vec<Message>),
    Update(Message),
    Delete(Vec<String>),
    /// Not a transaction: carry the log into the file.
    Checkpoint,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Answer {
    Written,
    Sent(Failures),
    Updated(bool),
    Deleted(usize),
    Checkpointed,
}

impl Work {
    /// How many messages it touches.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Write(messages) | Self::Send(messages) => messages.len(),
            Self::Delete(keys) => keys.len(),
            Self::Update(_) | Self::Checkpoint => 1,
        }
    }

    /// Does the work, within a transaction.
    pub(super) fn run(
        &self,
        connection: &Connection,
        interrupt: &dyn Interrupt,
        inside: &Inside,
    ) -> Result<Answer, Failure> {
        match self {
            Self::Write(messages) | Self::Send(messages) => {
                let mut sorted: Vec<&Message> = messages.iter().collect();
                // In key order the pages of the index are touched one after the other; stable, so that
                // of several messages of one key the latest stays the last.
                sorted.sort_by(|a, b| a.key().cmp(b.key()));
                connection.write(&sorted, interrupt, inside)?;
                Ok(match self {
                    Self::Send(_) => Answer::Sent(Vec::new()),
                    _ => Answer::Written,
                })
            }
            Self::Update(message) => connection.update(message, inside).map(Answer::Updated),
            Self::Delete(keys) => connection
                .delete(keys, interrupt, inside)
                .map(Answer::Deleted),
            Self::Checkpoint => Ok(Answer::Checkpointed),
        }
    }
}
