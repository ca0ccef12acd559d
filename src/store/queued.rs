//! The verbs of the queue: queueing, flush, start and stop, and what was given up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Store;
use super::journal::{self, Place};
use crate::error::{Error, Kind, Result};
use crate::message::{BackendName, Failed, Message};
use crate::process;
use crate::queue::{Lane, Level, LogLine, Receipt, Stats};
use crate::wait::{self, Interrupt, Never};

/// How long closing may take at least.
const CLOSING: Duration = Duration::from_millis(300);

impl Store {
    /// Queues a message if that needs no waiting; else hands it back for [`Self::enqueue`].
    pub fn try_enqueue(
        &self,
        name: BackendName,
        message: Message,
        receipt: Option<Receipt>,
    ) -> Result<Option<(Message, Option<Receipt>)>> {
        if process::exiting() {
            return Ok(Some((message, receipt)));
        }
        let lane = self.lane(name)?;
        lane.backend()
            .limits()
            .check(name, message.key(), message.value().len())?;
        lane.try_enqueue(message, receipt)
    }

    /// Queues a message, starting the worker and waiting for room as need be.
    pub fn enqueue(
        &self,
        name: BackendName,
        message: Message,
        receipt: Option<Receipt>,
        interrupt: &dyn Interrupt,
    ) -> Result<()> {
        self.check(name, message.key(), message.value().len())?;
        if !process::exiting() {
            self.mark_started();
            let lane = self.lane(name)?;
            while !process::exiting() {
                self.open_journal(interrupt)?;
                match lane.enqueue(message.clone(), receipt.clone(), interrupt) {
                    // The end of the program has released it from waiting for room.
                    Err(error) if error.kind() == Kind::QueueFull && process::exiting() => {}
                    Ok(true) => return Ok(()),
                    // The journal was closed in between.
                    Ok(false) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        // Nobody would deliver it any more: what is accepted now is written now.
        self.write(name, message, interrupt)?;
        if let Some(receipt) = receipt {
            receipt.deliver();
        }
        Ok(())
    }

    /// Waits until everything queued before the call is delivered.
    ///
    /// # Errors
    /// `FlushTimeout`; `Delivery` with what was given up since the last call that reported it.
    pub fn flush(&self, deadline: Option<Instant>, interrupt: &dyn Interrupt) -> Result<()> {
        self.try_open_journal(interrupt)?;
        for lane in &self.lanes {
            lane.urge();
        }
        for lane in &self.lanes {
            lane.flush(deadline, interrupt)?;
        }
        for lane in &self.lanes {
            let name = lane.backend().name();
            let flushed = if deadline.is_none() {
                lane.backend().flush(interrupt)
            } else {
                let lane = Arc::clone(lane);
                let flush = move || lane.backend().flush(&Never);
                wait::within(deadline, interrupt, flush)?.unwrap_or(Ok(()))
            };
            match flushed {
                Err(error) if error.kind() == Kind::Interrupted => return Err(error),
                // Everything is delivered and safe all the same.
                Err(error) => {
                    let line = LogLine::new(Level::Warning, error.to_string());
                    self.events.log(line.on(name));
                }
                Ok(()) => {}
            }
        }
        self.report_failed()
    }

    /// Starts the worker, if it is not running.
    pub fn start(&self, interrupt: &dyn Interrupt) -> Result<()> {
        if process::exiting() {
            return Ok(());
        }
        if !matches!(*self.journal, Place::Parents) {
            self.open_journal(interrupt)?;
        }
        self.mark_started();
        self.lanes.iter().try_for_each(Lane::ensure_worker)
    }

    pub(super) fn mark_started(&self) {
        if !self.started.load(Ordering::Relaxed) && !self.started.swap(true, Ordering::SeqCst) {
            self.debug(|| "Background worker started.".into());
        }
    }

    /// Delivers what is queued and closes everything; a later verb opens what it needs again.
    ///
    /// # Errors
    /// `Delivery` with what was given up, or not delivered by the deadline; with a journal, `FlushTimeout` if something
    /// is left in it.
    pub fn stop(&self, deadline: Option<Instant>, interrupt: &dyn Interrupt) -> Result<()> {
        for lane in &self.lanes {
            lane.urge();
        }
        let mut left = 0;
        for lane in &self.lanes {
            match lane.stop(deadline, interrupt) {
                Ok(more) => left += more,
                Err(error) => {
                    if left > 0 {
                        // A journal in which something was left must be closed, whatever comes of the others.
                        journal::close(&self.lanes, &self.journal);
                    }
                    return Err(error);
                }
            }
        }
        if self.started.swap(false, Ordering::SeqCst) {
            self.debug(|| "Background worker stopped.".into());
        }
        let (lanes, place) = (self.lanes.clone(), Arc::clone(&self.journal));
        let close = move || {
            journal::close(&lanes, &place);
            for lane in &lanes {
                lane.backend().close();
            }
        };
        // A disk that hangs has to answer, too; a sound one shall always have the time.
        let deadline = deadline.map(|deadline| deadline.max(Instant::now() + CLOSING));
        if wait::within(deadline, interrupt, close)?.is_none() {
            let text = "Closing takes longer than the time given to stop: a disk does not answer. It goes on by itself.";
            self.events.log(LogLine::new(Level::Warning, text));
        }
        if self.used.swap(false, Ordering::SeqCst) {
            self.debug(|| "Database resources released and closed.".into());
        }
        if let (1.., Some(journal)) = (left, &self.config.queue.journal) {
            let why: Vec<String> = self
                .lanes
                .iter()
                .map(|lane| lane.last_error_suffix())
                .collect();
            let text = format!(
                "{left} queued message(s) were not delivered in time{}. They are in the journal {}, and whoever opens it \
                 next delivers them.",
                why.concat(),
                journal.path.display()
            );
            return Err(Error::new(Kind::FlushTimeout, text));
        }
        self.report_failed()
    }

    pub(super) fn report_failed(&self) -> Result<()> {
        let mut failed: Vec<Failed> = Vec::new();
        let mut forgotten = 0;
        for lane in &self.lanes {
            let (more, lost) = lane.take_unreported();
            failed.extend(more);
            forgotten += lost;
        }
        let Some(first) = failed.first() else {
            return Ok(());
        };
        let kept = if forgotten == 0 {
            "All are in .failed, and kept".to_owned()
        } else {
            format!("The last {} are in .failed, and kept", failed.len())
        };
        let text = format!(
            "{} queued message(s) were given up, such as {}: {} {kept}: see failed_messages(), \
             retry_failed() and drop_failed().",
            failed.len() as u64 + forgotten,
            crate::message::quote(first.message.key()),
            first.error
        );
        Err(Error::delivery(text, failed))
    }

    /// The accounts of every queue.
    pub fn stats(&self) -> Vec<Stats> {
        self.lanes.iter().map(|lane| lane.stats()).collect()
    }

    /// What was given up and is kept, of one backend or of all.
    pub fn failed_messages(
        &self,
        name: Option<BackendName>,
        interrupt: &dyn Interrupt,
    ) -> Result<Vec<Failed>> {
        self.try_open_journal(interrupt)?;
        Ok(self
            .lanes_of(name)?
            .iter()
            .flat_map(|lane| lane.failed_messages())
            .collect())
    }

    /// Queues again what was given up; how many.
    pub fn retry_failed(
        &self,
        name: Option<BackendName>,
        interrupt: &dyn Interrupt,
    ) -> Result<usize> {
        let lanes = self.lanes_of(name)?;
        self.mark_started();
        let again = |lane: &&Arc<Lane>| self.until_open(interrupt, || lane.retry_failed());
        lanes.iter().map(again).sum()
    }

    /// Forgets what was given up; how many.
    pub fn drop_failed(
        &self,
        name: Option<BackendName>,
        interrupt: &dyn Interrupt,
    ) -> Result<usize> {
        let lanes = self.lanes_of(name)?;
        let drop = |lane: &&Arc<Lane>| self.until_open(interrupt, || lane.drop_failed(interrupt));
        lanes.iter().map(drop).sum()
    }

    /// Does what needs the journal, and again where that was closed in between.
    fn until_open(
        &self,
        interrupt: &dyn Interrupt,
        work: impl Fn() -> Result<Option<usize>>,
    ) -> Result<usize> {
        loop {
            self.open_journal(interrupt)?;
            if let Some(count) = work()? {
                return Ok(count);
            }
        }
    }

    fn lanes_of(&self, name: Option<BackendName>) -> Result<Vec<&Arc<Lane>>> {
        match name {
            Some(name) => self.lane(name).map(|lane| vec![lane]),
            None => Ok(self.lanes.iter().collect()),
        }
    }
}
