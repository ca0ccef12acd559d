//! What the engine has to tell an event loop: the outcomes of calls, each for the future that waits for it.
//!
//! No thread of the engine touches Python for it. It leaves the outcome here, and writes one byte into a pipe that the
//! loop watches; the loop's own thread makes Python objects of what has arrived. Where a loop cannot watch pipes
//! (Windows has one of that kind), the notifier calls it.

use std::collections::{HashMap, VecDeque};
#[cfg(unix)]
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[cfg(unix)]
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBool;

use super::calls::{self, Calls};
use super::db::DB;
use super::errors;
use super::events::{Channel, Sender};
use super::receipt::Receipt;
use crate::config::Logging;
use crate::error::{Error, Kind, Result};
use crate::queue::{self, Events, Level, LogLine};
use crate::reply::Reply;
use crate::wait::{self, Cancel, Interrupt};
use crate::{executor, process};

/// How long the loop is kept at a time. Its other tasks go on in between.
pub(super) const SLICE: Duration = Duration::from_micros(500);

/// How long a child rests that its parent's pipe has woken.
#[cfg(unix)]
const REST: Duration = Duration::from_millis(10);

/// One for each event loop: `TetherDB._loops` keeps it as long as the loop is there.
#[pyclass(module = "TetherDB._tetherdb", frozen, weakref)]
pub(super) struct Post {
    shared: Arc<Shared>,
    waiting: Mutex<Waiting>,
    #[cfg(unix)]
    reader: Option<PipeReader>,
    generation: u64,
    /// The process that has made it.
    #[cfg(unix)]
    maker: u32,
}

/// What the engine's threads see of it.
struct Shared {
    arrived: Mutex<Arrived>,
    signal: Signal,
}

struct Arrived {
    letters: VecDeque<(u64, Letter)>,
    /// The loop has been told of them, and has not looked at all of them.
    signalled: bool,
    /// The loop is gone: nobody waits for an answer any more.
    closed: bool,
}

/// How a loop is told.
enum Signal {
    #[cfg(unix)]
    Pipe(PipeWriter),
    /// By a thread that calls `call_soon_threadsafe`.
    Notifier {
        channel: Arc<Channel>,
        target: Arc<Target>,
    },
}

/// Weak references to a loop and to its post.
struct Target {
    event_loop: Py<PyAny>,
    post: PyOnceLock<Py<PyAny>>,
}

/// The outcome of one call.
struct Letter {
    failed: Option<Failure>,
    open: Open,
}

/// Told to the log where nobody waits for the outcome any more: it shall not vanish.
struct Failure {
    error: Error,
    verb: &'static str,
    channel: Arc<Channel>,
}

type Open = Box<dyn FnOnce(Python<'_>, Option<&Bound<'_, DB>>) -> PyResult<Py<PyAny>> + Send>;

/// Touched by the loop's own thread alone, or by those that end the loop.
#[derive(Default)]
struct Waiting {
    number: u64,
    calls: HashMap<u64, Call>,
}

/// Who waits for an outcome.
struct Call {
    future: Py<PyAny>,
    /// Whose verb it is; a receipt is nobody's.
    db: Option<Py<DB>>,
    cancel: Arc<Cancel>,
    /// Where a receipt calls it.
    waiter: Option<(queue::Receipt, queue::Waiter)>,
}

impl Post {
    /// Where the outcome of a call goes: `open` makes a Python object of it, in the loop's thread, for `future`. With the
    /// number of the call, and what cancels it.
    pub(super) fn expect_outcome<T: Send + 'static>(
        &self,
        db: &Bound<'_, DB>,
        channel: Arc<Channel>,
        verb: &'static str,
        future: &Bound<'_, PyAny>,
        open: impl FnOnce(&Bound<'_, DB>, Result<T>) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> (u64, Arc<Cancel>, Reply<T>) {
        let cancel = Arc::new(Cancel::default());
        let number = self.add(Call {
            future: future.clone().unbind(),
            db: Some(db.clone().unbind()),
            cancel: Arc::clone(&cancel),
            waiter: None,
        });
        let (shared, theirs) = (Arc::clone(&self.shared), Arc::clone(&cancel));
        let reply = Reply::new(move |outcome: Result<T>| {
            let failed = outcome.as_ref().err().map(|error| Failure {
                error: error.clone(),
                verb,
                channel,
            });
            if theirs.cancelled() {
                return failed.into_iter().for_each(Failure::tell);
            }
            let open = Box::new(move |py: Python<'_>, db: Option<&Bound<'_, DB>>| match db {
                Some(db) => open(db, outcome),
                None => Ok(py.None()),
            });
            shared.put(number, Letter { failed, open });
        });
        (number, cancel, reply)
    }

    fn expect_receipt(&self, future: &Bound<'_, PyAny>, receipt: &queue::Receipt) -> u64 {
        let number = self.add(Call {
            future: future.clone().unbind(),
            db: None,
            cancel: Arc::default(),
            waiter: None,
        });
        let (shared, told) = (Arc::clone(&self.shared), receipt.clone());
        let waiter = receipt.on_settled(move || {
            let open = Box::new(move |py: Python<'_>, _: Option<&Bound<'_, DB>>| {
                told.outcome().map_or(Ok(()), |ended| outcome(py, ended))?;
                Ok(PyBool::new(py, true).to_owned().into_any().unbind())
            });
            shared.put(number, Letter { failed: None, open });
        });
        if let Some(waiter) = waiter
            && let Some(call) = wait::lock(&self.waiting).calls.get_mut(&number)
        {
            call.waiter = Some((receipt.clone(), waiter));
        }
        number
    }

    fn add(&self, call: Call) -> u64 {
        let mut waiting = wait::lock(&self.waiting);
        waiting.number += 1;
        let number = waiting.number;
        waiting.calls.insert(number, call);
        number
    }

    /// Hands an outcome to whoever waits for it.
    fn hand_over(&self, py: Python<'_>, number: u64, letter: Letter) -> PyResult<()> {
        let call = wait::lock(&self.waiting).calls.remove(&number);
        let call = match call {
            Some(call) if !call.is_done(py)? => call,
            _ => {
                letter.return_to_sender();
                return Ok(());
            }
        };
        let future = call.future.bind(py);
        match (letter.open)(py, call.db.as_ref().map(|db| db.bind(py))) {
            Ok(value) => future.run_method("set_result", (value,))?,
            Err(error) => future.run_method("set_exception", (error.into_value(py),))?,
        };
        Ok(())
    }

    fn next(&self) -> Option<(u64, Letter)> {
        let mut arrived = wait::lock(&self.shared.arrived);
        let next = arrived.letters.pop_front();
        if next.is_none() && std::mem::take(&mut arrived.signalled) {
            // The byte was written before the lock was left, so this does not wait.
            #[cfg(unix)]
            if let Some(mut reader) = self.reader.as_ref() {
                let _ = reader.read(&mut [0]);
            }
        }
        next
    }
}

impl Call {
    fn is_done(&self, py: Python<'_>) -> PyResult<bool> {
        self.future.bind(py).run_method("done", ())?.is_truthy()
    }
}

impl Letter {
    /// Nobody waits for it any more. There may be much in it.
    fn return_to_sender(self) {
        self.failed.into_iter().for_each(Failure::tell);
        executor::let_go(self.open);
    }
}

/// Those that change nothing, also not what is queued.
const LOOKS: [&str; 8] = [
    "failed_messages",
    "iter_messages",
    "list_keys",
    "list_messages",
    "ping",
    "read_message",
    "read_messages",
    "stats",
];

impl Failure {
    /// What was never begun has not failed, and what a look would have found nobody misses.
    fn tell(self) {
        if self.error.kind() == Kind::Interrupted || LOOKS.contains(&self.verb) {
            return;
        }
        let text = format!(
            "{} was cancelled, and what it had begun failed: {}",
            self.verb, self.error
        );
        let line = LogLine::new(Level::Warning, text);
        let backend = self.error.backend_name();
        Sender(self.channel).log(LogLine { backend, ..line });
    }
}

impl Shared {
    fn put(&self, number: u64, letter: Letter) {
        let mut arrived = wait::lock(&self.arrived);
        if arrived.closed {
            drop(arrived);
            return letter.return_to_sender();
        }
        arrived.letters.push_back((number, letter));
        if std::mem::replace(&mut arrived.signalled, true) {
            return;
        }
        match &self.signal {
            #[cfg(unix)]
            Signal::Pipe(writer) => {
                // It is empty: it holds one byte at most.
                let mut writer = writer;
                let _ = writer.write(&[0]);
            }
            Signal::Notifier { channel, target } => {
                let target = Arc::clone(target);
                let whose = LogLine::new(Level::Error, "Waking up an event loop");
                channel.call(whose, Box::new(move |py| target.tell(py)));
            }
        }
    }
}

impl Target {
    fn tell(&self, py: Python<'_>) -> PyResult<()> {
        let Some(post) = self.post.get(py) else {
            return Ok(());
        };
        let (event_loop, post) = (self.event_loop.bind(py).run(())?, post.bind(py).run(())?);
        if !event_loop.is_none() && !post.is_none() {
            // A closed loop has nobody left who waits.
            let _ = event_loop.run_method("call_soon_threadsafe", (post.attribute("deliver")?,));
        }
        Ok(())
    }
}

#[pymethods]
impl Post {
    /// The post of a loop that watches a pipe.
    #[cfg(unix)]
    #[new]
    fn new() -> PyResult<Self> {
        let (reader, writer) = std::io::pipe()?;
        Ok(Self::over(Signal::Pipe(writer), Some(reader)))
    }

    /// The post of a loop that cannot watch pipes.
    #[staticmethod]
    fn notified(py: Python<'_>, event_loop: &Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        let weak = calls::import(py, "weakref")?;
        let target = Arc::new(Target {
            event_loop: weak.run_method("ref", (event_loop,))?.unbind(),
            post: PyOnceLock::new(),
        });
        let signal = Signal::Notifier {
            channel: Channel::new(py, Logging::None, None),
            target: Arc::clone(&target),
        };
        let made = Py::new(
            py,
            Self::over(
                signal,
                #[cfg(unix)]
                None,
            ),
        )?;
        let _ = target
            .post
            .set(py, weak.run_method("ref", (&made,))?.unbind());
        Ok(made)
    }

    /// What the loop is to watch: the descriptor of a pipe.
    #[cfg(unix)]
    fn fileno(&self) -> PyResult<i32> {
        use std::os::fd::AsRawFd;
        match &self.reader {
            Some(reader) => Ok(reader.as_raw_fd()),
            None => Err(PyRuntimeError::new_err("this post has no pipe.")),
        }
    }

    /// Whether it was made by this process, not by the one that it was forked from.
    fn is_ours(&self) -> bool {
        self.generation == process::generation()
    }

    /// Called by the loop when something has arrived.
    fn deliver(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, post) = (slf.py(), slf.get());
        if !post.is_ours() {
            #[cfg(unix)]
            post.rest(py);
            return Ok(());
        }
        let begun = Instant::now();
        while let Some((number, letter)) = post.next() {
            if let Err(error) = post.hand_over(py, number, letter) {
                calls::unraisable(py, error);
            }
            if begun.elapsed() > SLICE {
                // A watched pipe still has its byte, so the loop comes again.
                if matches!(post.shared.signal, Signal::Notifier { .. }) {
                    let event_loop = running_loop(py)?;
                    event_loop.run_method("call_soon", (slf.attribute("deliver")?,))?;
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// Has `future` told how a queued message ended; the number of the call.
    fn expect(&self, receipt: &Bound<'_, Receipt>, future: &Bound<'_, PyAny>) -> u64 {
        self.expect_receipt(future, receipt.get().inner())
    }

    /// The caller of this call no longer waits: what has not begun shall not.
    fn cancel(&self, number: u64) {
        let call = wait::lock(&self.waiting).calls.remove(&number);
        if let Some(call) = call {
            call.cancel.cancel();
            if let Some((receipt, waiter)) = call.waiter {
                receipt.forget(waiter);
            }
        }
    }

    /// Futures lead to their loop, which leads here.
    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        let Ok(waiting) = self.waiting.try_lock() else {
            return Ok(());
        };
        for call in waiting.calls.values() {
            visit.call(&call.future)?;
            visit.call(&call.db)?;
        }
        Ok(())
    }

    /// How many calls are under way.
    fn __len__(&self) -> usize {
        wait::lock(&self.waiting).calls.len()
    }
}

impl Post {
    /// A child that goes on with its parent's loop is woken by its parent's pipe, too, until the parent has read it:
    /// unwatched by the child, it would be unwatched by the parent. Meanwhile the child's loop goes round, but not as
    /// fast as it can. What a parent has left behind that is no more, nobody waits for.
    #[cfg(unix)]
    fn rest(&self, py: Python<'_>) {
        let is_child_of_maker = process::generation() == self.generation + 1;
        if is_child_of_maker && std::os::unix::process::parent_id() != self.maker {
            if let Some(mut reader) = self.reader.as_ref() {
                let _ = reader.read(&mut [0]);
            }
            return;
        }
        py.detach(|| std::thread::sleep(REST));
    }

    fn over(signal: Signal, #[cfg(unix)] reader: Option<PipeReader>) -> Self {
        Self {
            shared: Arc::new(Shared {
                arrived: Mutex::new(Arrived {
                    letters: VecDeque::new(),
                    signalled: false,
                    closed: false,
                }),
                signal,
            }),
            waiting: Mutex::default(),
            #[cfg(unix)]
            reader,
            generation: process::generation(),
            #[cfg(unix)]
            maker: std::process::id(),
        }
    }
}

impl Drop for Post {
    /// The loop is gone, and whoever waited there.
    fn drop(&mut self) {
        if !self.is_ours() {
            // Inherited by `fork`: the parent's thread may have had the lock.
            return;
        }
        let letters = {
            let mut arrived = wait::lock(&self.shared.arrived);
            arrived.closed = true;
            std::mem::take(&mut arrived.letters)
        };
        for (_, letter) in letters {
            letter.return_to_sender();
        }
    }
}

/// The event loop that runs in this thread.
pub(super) fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    calls::imported(py, &GET, "asyncio", "get_running_loop")?.run(())
}

/// An engine's outcome as Python has it.
pub(super) fn outcome<T>(py: Python<'_>, outcome: Result<T>) -> PyResult<T> {
    outcome.map_err(|error| errors::to_python(py, &error))
}
