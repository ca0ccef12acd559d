//! The queue: messages that were accepted travel to one backend, in order per key, until they are
//! delivered or handed back.
//!
//! - [`order`]: what waits, in which order, and what may travel; pure.
//! - [`retry`]: when to try again; pure.
//! - [`intake`]: what producers touch: a bounded buffer behind a short lock.
//! - [`lane`]: the one queue of one backend: what a worker does next, and how a request is settled.
//! - [`ledger`]: its accounts.
//! - [`log_line`]: one line of the log, and what it is about.
//! - [`worker`]: the thread that does it.
//! - [`control`]: flush, stop, and direct verbs that wait for their turn.
//! - [`later`]: the same for callers that are called back; [`callers`]: who they are.
//! - [`journal`]: accepted messages on disk, if that is wanted; [`durable`]: a lane and its journal.
//! - [`receipt`]: how one message ended, for whoever asked.
//!
//! The queue knows a backend by its trait alone.

mod callers;
mod control;
mod durable;
#[cfg(test)]
mod fake;
#[cfg(all(test, feature = "shuttle"))]
mod handshake;
mod intake;
pub mod journal;
mod lane;
mod later;
#[cfg(test)]
mod later_tests;
mod ledger;
mod log_line;
mod order;
#[cfg(test)]
mod outage_tests;
mod receipt;
mod retry;
#[cfg(test)]
mod tests;
mod worker;

use std::time::Duration;

use crate::message::{BackendName, Failed};
#[cfg(test)]
use fake::only_sends;

pub use control::{Beginning, Hold};
pub use lane::{Lane, written};
pub use log_line::LogLine;
pub use receipt::{Receipt, Waiter};

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The debug lines of the contract.
    Debug,
    /// Something went wrong and is being dealt with.
    Warning,
    /// Something was given up.
    Error,
}

/// Where a worker reports what nobody waits for. Nothing here may block or touch Python.
pub trait Events: Send + Sync {
    /// Whether the debug lines are wanted; without, none is formatted.
    fn wants_debug(&self) -> bool;

    /// One log line.
    fn log(&self, line: LogLine);

    /// A message was given up, for `on_error`. Its ERROR line has been logged already.
    fn given_up(&self, failed: Failed);
}

/// The accounts of one lane, consistent in themselves:
/// accepted = delivered + failed + replaced + pending, in flight being part of pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Which backend.
    pub backend: BackendName,
    /// Messages taken into the queue.
    pub accepted: u64,
    /// Accepted and not yet delivered or given up, those in flight included.
    pub pending: u64,
    /// In a request that has not been answered.
    pub in_flight: u64,
    /// Stored by the backend.
    pub delivered: u64,
    /// Replaced by a later message of their key before they were sent. No backend does that yet.
    pub replaced: u64,
    /// Given up, for good or until `retry_failed`.
    pub failed: u64,
    /// How often a message was sent again.
    pub retried: u64,
    /// How often `retry_failed` queued a message again, which then counts as failed no longer.
    pub requeued: u64,
    /// How often a message was left in the journal, which then counts as accepted no longer.
    pub left: u64,
    /// From acceptance to delivery, summed up over all that was delivered.
    pub delivery_time: Duration,
    /// Batches of up to `queue_batch.size` sent.
    pub batches: u64,
    /// Bytes of keys and values accepted.
    pub bytes: u64,
    /// The latest error of a request.
    pub last_error: Option<String>,
}

/// A value as the debug lines show it: cut at 200 characters.
pub fn shown(value: &str) -> &str {
    match value.char_indices().nth(200) {
        Some((cut, _)) => &value[..cut],
        None => value,
    }
}
