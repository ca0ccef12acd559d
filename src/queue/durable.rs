//! A lane and the journal: what it takes over from an earlier owner, and what it leaves to the next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::journal::{Contents, Journal};
use super::lane::Lane;
use super::ledger::Kept;
use super::{Level, LogLine};
use crate::error::{Error, Kind, Result};
use crate::message::{Failed, quote};
use crate::process;
use crate::wait::{self, Interrupt};

impl Lane {
    /// Takes over what is alive in a journal that was just opened, in its order; whether anything waits to be sent.
    pub fn adopt(&self, journal: &Arc<Journal>, live: Contents) -> bool {
        let now = self.now();
        let mut ledger = self.lock_absorbed();
        let mut intake = wait::lock(&self.intake);
        // Given up by this very lane, before the journal was closed: those are counted already.
        let mut known = ledger.take_kept();
        let mut again = VecDeque::new();
        let (mut waits, mut inherited) = (0_usize, 0_usize);
        for (number, live) in live {
            let size = live.message.size();
            let Some(error) = live.failed else {
                intake.count_in(size);
                ledger.add(live.message, Some(number), now);
                waits += 1;
                continue;
            };
            let is_same =
                |kept: &Kept| kept.number == Some(number) && kept.failed.message == live.message;
            if let Some(at) = known.iter().position(is_same) {
                again.extend(known.remove(at));
                continue;
            }
            intake.accepted += 1;
            intake.bytes += size as u64;
            inherited += 1;
            ledger.inherit(Kept {
                failed: Failed {
                    message: live.message,
                    backend: self.backend.name(),
                    error,
                },
                // That was up to the earlier owner.
                reported: true,
                number: Some(number),
            });
        }
        ledger.put_back(again);
        self.left_behind.store(false, Ordering::SeqCst);
        self.journal.store(Some(Arc::clone(journal)));
        drop(intake);
        drop(ledger);
        if waits > 0 {
            let text = format!(
                "{waits} queued message(s) found in the journal [{}]; they are sent now.",
                self.backend.name()
            );
            self.log(LogLine::new(Level::Warning, text).about(waits));
        }
        if inherited > 0 {
            let text = format!(
                "{inherited} message(s) given up earlier are in the journal [{}]: see failed_messages(), retry_failed() \
                 and drop_failed().",
                self.backend.name()
            );
            self.log(LogLine::new(Level::Warning, text).about(inherited));
        }
        waits > 0
    }

    /// Whether the lane holds nothing that is in the journal and not settled, and nobody is queueing.
    pub fn is_idle(&self) -> bool {
        let intake = wait::lock(&self.intake);
        intake.pending == 0 && intake.reserved == 0
    }

    /// Lets go of the journal, and of what is in it: whoever opens it next has it. Those messages leave the accounts;
    /// how many.
    pub fn leave(self: &Arc<Self>) -> usize {
        let Some(journal) = self.journal.swap(None) else {
            return 0;
        };
        let suffix = self.last_error_suffix();
        let left = {
            let mut ledger = self.lock_absorbed();
            let mut intake = wait::lock(&self.intake);
            // Before the gates of direct verbs open that waited behind them.
            self.departures.fetch_add(1, Ordering::AcqRel);
            if ledger.is_busy() {
                self.left_behind.store(true, Ordering::SeqCst);
            }
            let left = ledger.leave_all();
            for waiting in &left {
                let size = waiting.message.size();
                intake.pending -= 1;
                intake.pending_bytes -= size;
                intake.accepted -= 1;
                intake.bytes -= size as u64;
            }
            if !left.is_empty() {
                // A worker that is stuck in the backend finds itself dismissed when it comes back.
                intake.worker = None;
                intake.closing = false;
                self.poke_locked(&mut intake);
            }
            self.admit(&mut intake);
            drop(intake);
            self.announce(ledger);
            left
        };
        let count = left.len();
        if let Some(first) = left.first() {
            let text = format!(
                "{count} queued message(s) not delivered in time [{}], the first is {}{suffix}. They stay in the journal {}.",
                self.backend.name(),
                quote(first.message.key()),
                journal.path()
            );
            self.log(LogLine::new(Level::Error, text).about(count));
        }
        let error = self.left_in_journal(&journal);
        for receipt in left.into_iter().filter_map(|waiting| waiting.receipt) {
            receipt.settle(Err(error.clone()));
        }
        count
    }

    /// How often what waited was left in the journal. A direct verb that has got its turn while this went up has
    /// overtaken what was left.
    pub fn departures(&self) -> u64 {
        self.departures.load(Ordering::Acquire)
    }

    /// Whether something is in the journal that was closed, and nobody has opened it since.
    fn has_left_behind(&self) -> bool {
        self.left_behind.load(Ordering::SeqCst)
    }

    /// Refuses a direct verb that would be overtaken: nobody opens the journal again before the program has ended.
    pub fn check_left_behind(&self) -> Result<()> {
        if !(process::exiting() && self.has_left_behind()) {
            return Ok(());
        }
        let text = "the program is ending, and messages queued before are in the journal: whoever opens it next \
                    would send them over this. Nothing was done.";
        Err(Error::backend(
            Kind::Unavailable,
            self.backend.name(),
            true,
            text,
        ))
    }

    /// What a receipt says of a message that stays in the journal.
    pub(super) fn left_in_journal(&self, journal: &Journal) -> Error {
        let text = format!(
            "not delivered before the journal {} was closed{}. It is in there, and whoever opens it next delivers it.",
            journal.path(),
            self.last_error_suffix()
        );
        Error::backend(Kind::FlushTimeout, self.backend.name(), true, text)
    }

    /// As [`Journal::before_direct`], where there is a journal.
    pub(super) fn before_direct<'k>(
        &self,
        keys: impl Iterator<Item = &'k str>,
        interrupt: &dyn Interrupt,
    ) -> Result<()> {
        match &*self.journal.load() {
            Some(journal) => journal.before_direct(self.backend.name(), keys, interrupt),
            None => Ok(()),
        }
    }
}
