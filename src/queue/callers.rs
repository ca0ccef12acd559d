//! Those who wait for a lane without a thread, and are called back: for their turn, for a flush, or for room.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::control::Hold;
use super::intake::Incoming;
use super::lane::Lane;
use super::order::Caller;
use crate::error::{Error, Result};
use crate::executor;
use crate::message::{BackendName, Message};
use crate::reply::Reply;
use crate::wait::{Cancel, Interrupt};

/// Who waits for the ledger.
#[derive(Default)]
pub(super) struct Callers {
    next: Caller,
    turns: HashMap<Caller, Turn>,
    /// In the order of their rounds.
    flushes: VecDeque<Flush>,
    /// When there are so many, those are looked for that nobody waits for.
    look_at: usize,
}

/// A direct verb behind older messages of its keys.
struct Turn {
    /// How many of its gates are closed.
    closed: usize,
    hold: Hold,
    reply: Reply<Hold>,
}

/// A flush, until everything up to its round has left the queue.
struct Flush {
    caller: Caller,
    round: u32,
    cancel: Arc<Cancel>,
    reply: Reply<()>,
}

/// Fewer flushes than these are not looked through.
const FEW: usize = 100;

/// A producer that waits for room.
pub(super) struct Producer {
    pub(super) incoming: Incoming,
    pub(super) cancel: Arc<Cancel>,
    pub(super) reply: Reply<()>,
}

/// Whose wait is over.
pub(super) enum Due {
    Turn(Hold, Reply<Hold>),
    Done(Reply<()>, Result<()>),
    /// A producer that is sent away.
    Refused(Producer, Arc<Lane>),
}

impl Due {
    fn tell(self) {
        match self {
            Self::Turn(hold, reply) => reply.give(Ok(hold)),
            Self::Done(reply, outcome) => reply.give(outcome),
            Self::Refused(producer, lane) => {
                let why = "it was stopped while this call waited for room";
                let error = lane.full(producer.message(), why);
                producer.reply.give(Err(error));
            }
        }
    }
}

/// Tells them on the runtime: whoever ended their wait has locks, and other work.
pub(super) fn tell(backend: BackendName, all: Vec<Due>) {
    if all.is_empty() {
        return;
    }
    match executor::get(backend) {
        Ok(runtime) => drop(runtime.spawn(async move { all.into_iter().for_each(Due::tell) })),
        // Whoever waits has started the runtime, so this is another process's child.
        Err(_) => std::mem::forget(all),
    }
}

impl Callers {
    fn number(&mut self) -> Caller {
        self.next += 1;
        self.next
    }

    /// Waits for `closed` gates of `hold`, which call the number that this gives.
    pub(super) fn add_turn(&mut self, mut hold: Hold, closed: usize, reply: Reply<Hold>) -> Caller {
        let caller = self.number();
        hold.caller = Some(caller);
        let turn = Turn {
            closed,
            hold,
            reply,
        };
        self.turns.insert(caller, turn);
        caller
    }

    /// A gate of `caller` has opened; the turn, if it was the last.
    pub(super) fn open(&mut self, caller: Caller) -> Option<Due> {
        let turn = self.turns.get_mut(&caller)?;
        turn.closed -= 1;
        if turn.closed > 0 {
            return None;
        }
        let turn = self.turns.remove(&caller)?;
        Some(Due::Turn(turn.hold, turn.reply))
    }

    /// Takes a turn back that has not come.
    pub(super) fn remove_turn(&mut self, caller: Caller) -> Option<(Hold, Reply<Hold>)> {
        let turn = self.turns.remove(&caller)?;
        Some((turn.hold, turn.reply))
    }

    /// Waits for the end of `round`, which is none before an earlier one's.
    pub(super) fn add_flush(
        &mut self,
        round: u32,
        cancel: Arc<Cancel>,
        reply: Reply<()>,
    ) -> Caller {
        let caller = self.number();
        self.flushes.push_back(Flush {
            caller,
            round,
            cancel,
            reply,
        });
        caller
    }

    /// Now and then, the flushes that nobody waits for any more: they would stay as long as the queue stands still.
    pub(super) fn take_cancelled_flushes(&mut self) -> Vec<Due> {
        if self.flushes.len() < self.look_at.max(FEW) {
            return Vec::new();
        }
        let all = std::mem::take(&mut self.flushes).into_iter();
        let (cancelled, left): (VecDeque<_>, VecDeque<_>) =
            all.partition(|flush| flush.cancel.cancelled());
        self.flushes = left;
        self.look_at = 2 * self.flushes.len();
        let refused = cancelled.into_iter();
        refused
            .map(|flush| Due::Done(flush.reply, Err(Error::interrupted())))
            .collect()
    }

    /// The flushes whose rounds are over, as `unsettled` tells.
    pub(super) fn flushed(&mut self, unsettled: impl Fn(u32) -> usize, due: &mut Vec<Due>) {
        while let Some(first) = self.flushes.front()
            && unsettled(first.round) == 0
            && let Some(flush) = self.flushes.pop_front()
        {
            due.push(Due::Done(flush.reply, Ok(())));
        }
    }

    /// Takes a flush back that is not over.
    pub(super) fn remove_flush(&mut self, caller: Caller) -> Option<Reply<()>> {
        let at = self
            .flushes
            .iter()
            .position(|flush| flush.caller == caller)?;
        self.flushes.remove(at).map(|flush| flush.reply)
    }

    pub(super) fn has_flushes(&self) -> bool {
        !self.flushes.is_empty()
    }
}

impl Producer {
    pub(super) fn message(&self) -> &Message {
        &self.incoming.message
    }

    /// It has left before there was room.
    pub(super) fn refused(self, error: Error) -> Due {
        Due::Done(self.reply, Err(error))
    }
}
