//! What is alive in a journal: pure bookkeeping, the same while it is read and while it is written.

use hashbrown::HashMap;

use super::record::{Number, Record};
use crate::error::Error;
use crate::message::{BackendName, Message};

/// A message that has not left the queue, or has been given up and is kept.
#[derive(Debug, Clone)]
pub struct Live {
    /// The message.
    pub message: Message,
    /// Where it goes.
    pub backend: BackendName,
    /// Why it was given up, if it was.
    pub failed: Option<Error>,
}

/// All that is alive, by number.
#[derive(Debug, Default)]
pub(super) struct Alive {
    live: HashMap<Number, Live>,
    /// Bytes of keys and values.
    bytes: usize,
    /// The highest number so far.
    last: u64,
}

impl Alive {
    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// About how many bytes of file they need.
    pub(super) fn size(&self) -> u64 {
        const EACH: usize = 40;
        (self.bytes + self.live.len() * EACH) as u64
    }

    /// A number that no message has had.
    pub(super) fn next_number(&self) -> Number {
        Number::MIN.saturating_add(self.last)
    }

    pub(super) fn apply(&mut self, record: &Record<'_>) {
        match record {
            Record::Accepted {
                number,
                backend,
                text,
                key_len,
            } => {
                let message = Message::from_parts(text, *key_len);
                self.accept(*number, *backend, message);
            }
            Record::Settled(numbers) => {
                for &number in numbers {
                    self.settle(number);
                }
            }
            Record::Failed {
                number,
                kind,
                retryable,
                error,
            } => {
                if let Some(live) = self.live.get_mut(number) {
                    live.failed = Some(Error::restored(*kind, live.backend, *retryable, error));
                }
            }
            Record::Requeued(pairs) => {
                for &(old, new) in pairs {
                    self.requeue(old, new);
                }
            }
        }
    }

    pub(super) fn accept(&mut self, number: Number, backend: BackendName, message: Message) {
        self.last = self.last.max(number.get());
        self.bytes += message.size();
        let live = Live {
            message,
            backend,
            failed: None,
        };
        if let Some(before) = self.live.insert(number, live) {
            self.bytes -= before.message.size();
        }
    }

    /// It has left; `None` if it was not there.
    pub(super) fn settle(&mut self, number: Number) -> Option<Live> {
        let live = self.live.remove(&number)?;
        self.bytes -= live.message.size();
        Some(live)
    }

    /// It was given up, and stays; `None` if it was not there.
    pub(super) fn fail(&mut self, number: Number, error: Error) -> Option<&Live> {
        let live = self.live.get_mut(&number)?;
        live.failed = Some(error);
        Some(live)
    }

    pub(super) fn requeue(&mut self, old: Number, new: Number) {
        if let Some(live) = self.settle(old) {
            self.accept(new, live.backend, live.message);
        }
    }

    /// Everything, in the order of acceptance.
    pub(super) fn in_order(&self) -> Vec<(Number, Live)> {
        let mut all: Vec<_> = self
            .live
            .iter()
            .map(|(&n, live)| (n, live.clone()))
            .collect();
        all.sort_unstable_by_key(|&(number, _)| number);
        all
    }
}
