//! From the workers to Python: log lines, `on_error`, and whoever awaits a receipt.
//!
//! Workers only put things into a [`Channel`]. Log lines are taken out by whichever Python thread comes
//! first: a verb that has just caused one, or the channel's own notifier thread, which also makes the
//! calls into the user's code. The notifier ends by itself when it has had nothing to do for a while.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::arguments::type_name;
use super::calls::{self, Calls};
use super::{errors, gate, json, logging};
use crate::config::Logging;
use crate::message::Failed;
use crate::process;
use crate::queue::{Events, Level, LogLine};
use crate::wait::{self, SLICE};

/// Log lines kept for a Python that does not come to take them; more are dropped, and counted.
const MOST_LINES: usize = 100_000;
/// How long the notifier waits for more before it ends.
const IDLE: Duration = Duration::from_secs(1);
/// How long a verb waits for a line that another thread is logging.
const OTHERS_PATIENCE: Duration = Duration::from_millis(50);
/// How long a thread logs that must not be kept.
const SLICE_OF_LOOP: Duration = Duration::from_micros(500);
/// After it has waited in vain, a handle does not wait again for so long: its log handlers use it.
const IMPATIENCE: Duration = Duration::from_secs(5);
/// How long the end of the program waits for calls into the user's code.
const LAST_CALLS: Duration = Duration::from_secs(5);

type Call = Box<dyn FnOnce(Python<'_>) -> PyResult<()> + Send>;

/// A call, and what is said of it if it raises: whose it is, and what it is about.
struct Waiting {
    whose: LogLine,
    call: Call,
}

/// What one `DB` has to tell Python.
pub(super) struct Channel {
    logging: Logging,
    on_error: Mutex<Option<Py<PyAny>>>,
    state: Mutex<State>,
    /// Something was put in, or everything was taken out.
    changed: Condvar,
    generation: u64,
}

#[derive(Default)]
struct State {
    lines: VecDeque<LogLine>,
    dropped: usize,
    calls: VecDeque<Waiting>,
    notifier: bool,
    /// Who is logging a line, so that their order is kept and nobody waits for themselves.
    logging: Option<ThreadId>,
    impatient_until: Option<Instant>,
    /// Who is calling into the user's code.
    calling: bool,
}

/// All channels, for the end of the program. Locked only while attached to the interpreter, without
/// giving it up, so that `fork` never finds it held.
static CHANNELS: LazyLock<Mutex<Vec<Weak<Channel>>>> = LazyLock::new(Mutex::default);

impl Channel {
    pub(super) fn new(
        _attached: Python<'_>,
        logging: Logging,
        on_error: Option<Py<PyAny>>,
    ) -> Arc<Self> {
        let channel = Arc::new(Self {
            logging,
            on_error: Mutex::new(on_error),
            state: Mutex::default(),
            changed: Condvar::new(),
            generation: process::generation(),
        });
        let mut channels = wait::lock(&CHANNELS);
        channels.retain(|channel| channel.strong_count() > 0);
        channels.push(Arc::downgrade(&channel));
        channel
    }

    pub(super) fn on_error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let on_error = wait::lock(&self.on_error);
        on_error.as_ref().map(|on_error| on_error.clone_ref(py))
    }

    /// Shows the collector what is held for the `DB`: `on_error` often holds the `DB` in turn.
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.on_error.try_lock() {
            Ok(on_error) => visit.call(&*on_error),
            Err(_) => Ok(()),
        }
    }

    /// Lets go of `on_error`, at the collector's word.
    pub(super) fn clear(&self) {
        let on_error = wait::lock(&self.on_error).take();
        drop(on_error);
    }

    pub(super) fn logs_debug(&self) -> bool {
        self.logging == Logging::Debug
    }

    /// Has the notifier make a call into the user's code. `whose`: the line that begins with its name.
    pub(super) fn call(self: &Arc<Self>, whose: LogLine, call: Call) {
        let mut state = wait::lock(&self.state);
        state.calls.push_back(Waiting { whose, call });
        self.wake(state);
    }

    fn wake(self: &Arc<Self>, mut state: std::sync::MutexGuard<'_, State>) {
        self.changed.notify_all();
        if state.notifier || process::exiting() {
            return;
        }
        let channel = Arc::clone(self);
        let started = thread::Builder::new()
            .name("tetherdb-notifier".into())
            .spawn(move || channel.notify());
        // Without a thread, the next verb of this handle logs the lines.
        state.notifier = started.is_ok();
    }

    /// The notifier: takes out what nobody else has.
    ///
    /// It stays attached, apart from its waits: making and deleting a thread's state takes a lock of the
    /// interpreter's that a `fork` must not find held, so the gate is held while that happens.
    fn notify(self: Arc<Self>) {
        let mut gate = Some(gate::enter_detached());
        let attached = Python::try_attach(|py| {
            drop(gate.take());
            while py.detach(|| self.wait_for_work()) {
                self.log_lines(py);
                self.make_calls(py);
            }
            gate = gate::enter(py);
        });
        if attached.is_none() {
            wait::lock(&self.state).notifier = false;
        }
        drop(gate);
    }

    /// Waits until there is something for the notifier; `false` when there has been nothing for a while.
    fn wait_for_work(&self) -> bool {
        let idle_since = Instant::now();
        let mut state = wait::lock(&self.state);
        while state.calls.is_empty() && (state.lines.is_empty() || state.logging.is_some()) {
            if idle_since.elapsed() >= IDLE || process::exiting() {
                state.notifier = false;
                return false;
            }
            let waited = self.changed.wait_timeout(state, SLICE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Logs every line there is, unless another thread is at it. User code runs in here.
    fn log_lines(&self, py: Python<'_>) {
        self.log_lines_until(py, None);
    }

    /// As [`Self::log_lines`], for so long. Never more than a line longer.
    fn log_lines_until(&self, py: Python<'_>, until: Option<Instant>) {
        while until.is_none_or(|until| Instant::now() < until) {
            let line = {
                let mut state = wait::lock(&self.state);
                if state.logging.is_some() {
                    return;
                }
                if state.dropped > 0 && state.lines.is_empty() {
                    let dropped = std::mem::take(&mut state.dropped);
                    let text = format!("{dropped} log line(s) were dropped: logging is too slow.");
                    let count = Some(dropped as u64);
                    let line = LogLine::new(Level::Warning, text);
                    state.lines.push_back(LogLine { count, ..line });
                }
                let Some(line) = state.lines.pop_front() else {
                    return;
                };
                state.logging = Some(thread::current().id());
                line
            };
            let outcome = logging::log(py, &line);
            wait::lock(&self.state).logging = None;
            self.changed.notify_all();
            if let Err(error) = outcome {
                calls::unraisable(py, error);
            }
        }
    }

    fn make_calls(&self, py: Python<'_>) {
        loop {
            let call = {
                let mut state = wait::lock(&self.state);
                let call = state.calls.pop_front();
                state.calling = call.is_some();
                call
            };
            let Some(call) = call else {
                self.changed.notify_all();
                return;
            };
            let Waiting { whose, call } = call;
            if let Err(error) = call(py)
                && self.logging != Logging::None
            {
                // What the user's code raises is logged and harms nothing.
                let name = type_name(error.value(py));
                let shown = error.value(py).shown().unwrap_or_default();
                let text = format!("{} raised {name}: {shown}", whose.text);
                if logging::log(py, &LogLine { text, ..whose }).is_err() {
                    calls::unraisable(py, error);
                }
            }
            // Lines that the call has caused come before the next call.
            self.log_lines(py);
        }
    }

    /// Returns once every line put in before has been logged, so that it stands in the log when the verb
    /// that caused it returns. Another thread's log call is waited for only so long: its handler may be
    /// waiting for a lock that this thread holds.
    pub(super) fn sync(&self, py: Python<'_>) -> PyResult<()> {
        let deadline = Instant::now() + OTHERS_PATIENCE;
        loop {
            {
                let mut state = wait::lock(&self.state);
                let other = match state.logging {
                    // A log handler that uses this handle: its line comes when the handler is done.
                    Some(id) if id == thread::current().id() => return Ok(()),
                    other => other.is_some(),
                };
                if !other && state.lines.is_empty() && state.dropped == 0 {
                    return Ok(());
                }
                let now = Instant::now();
                if other && state.impatient_until.is_some_and(|until| now < until) {
                    return Ok(());
                }
                if other && now >= deadline {
                    state.impatient_until = Some(now + IMPATIENCE);
                    return Ok(());
                }
            }
            self.log_lines(py);
            py.detach(|| {
                let state = wait::lock(&self.state);
                if state.logging.is_some() {
                    let _ = self.changed.wait_timeout(state, SLICE);
                }
            });
            py.check_signals()?;
        }
    }

    /// At the end of the program: everything comes out here, except what hangs in the user's code.
    fn finish(&self, py: Python<'_>) {
        let deadline = Instant::now() + LAST_CALLS;
        while Instant::now() < deadline {
            self.log_lines(py);
            let (calling, busy) = {
                let state = wait::lock(&self.state);
                (state.calling, state.notifier || state.logging.is_some())
            };
            if !calling {
                self.make_calls(py);
            }
            if !busy {
                break;
            }
            py.detach(|| {
                let state = wait::lock(&self.state);
                self.changed.notify_all();
                let _ = self.changed.wait_timeout(state, Duration::from_millis(5));
            });
        }
    }

    /// Logs some of what there is, unless another thread is at it; whether all is out, or is waited for no longer.
    pub(super) fn log_what_is_ready(&self, py: Python<'_>) -> bool {
        self.log_lines_until(py, Some(Instant::now() + SLICE_OF_LOOP));
        let state = wait::lock(&self.state);
        match state.logging {
            // A log handler that uses this handle: its line comes when the handler is done.
            Some(id) if id == thread::current().id() => true,
            Some(_) => {
                let now = Instant::now();
                state.impatient_until.is_some_and(|until| now < until)
            }
            None => state.lines.is_empty(),
        }
    }

    /// Lines that another thread is logging are waited for no longer: its handler hangs.
    pub(super) fn be_impatient(&self) {
        wait::lock(&self.state).impatient_until = Some(Instant::now() + IMPATIENCE);
    }

    /// As [`Self::log_now`], without waiting for a line that another thread is logging: that thread logs this one, too.
    pub(super) fn log_soon(self: &Arc<Self>, py: Python<'_>, line: LogLine) {
        if self.logging == Logging::None {
            return;
        }
        wait::lock(&self.state).lines.push_back(line);
        self.log_lines_until(py, Some(Instant::now() + SLICE_OF_LOOP));
        let state = wait::lock(&self.state);
        if !state.lines.is_empty() {
            self.wake(state);
        }
    }

    /// One line from the thread that calls, after all those put in before it.
    pub(super) fn log_now(&self, py: Python<'_>, line: &LogLine) -> PyResult<()> {
        if self.logging == Logging::None {
            return Ok(());
        }
        self.sync(py)?;
        logging::log(py, line)
    }
}

/// A channel as the engine sees it; the engine must not need an `Arc` of its own.
pub(super) struct Sender(pub(super) Arc<Channel>);

impl Events for Sender {
    fn wants_debug(&self) -> bool {
        self.0.logs_debug()
    }

    fn log(&self, line: LogLine) {
        if self.0.logging == Logging::None {
            return;
        }
        let mut state = wait::lock(&self.0.state);
        if state.lines.len() >= MOST_LINES {
            state.dropped += 1;
        } else {
            state.lines.push_back(line);
        }
        self.0.wake(state);
    }

    fn given_up(&self, failed: Failed) {
        if wait::lock(&self.0.on_error).is_none() {
            return;
        }
        let channel = Arc::downgrade(&self.0);
        let whose = LogLine::new(Level::Error, "on_error");
        let whose = whose.on(failed.backend).of(failed.message.key());
        let call = Box::new(move |py: Python<'_>| {
            let Some(channel) = channel.upgrade() else {
                return Ok(());
            };
            let Some(on_error) = channel.on_error(py) else {
                return Ok(());
            };
            let exception = errors::to_python(py, &failed.error).into_value(py);
            let value = json::decode(py, failed.message.value())?;
            on_error.bind(py).run((
                failed.message.key(),
                value,
                failed.backend.as_str(),
                exception,
            ))?;
            Ok(())
        });
        self.0.call(whose, call);
    }
}

/// After `fork`, in the child: the parent's lines and calls are the parent's.
pub(super) fn forget_all() {
    wait::lock(&CHANNELS).clear();
}

/// At the end of the program, after the stores have been stopped.
pub(super) fn finish_all(py: Python<'_>) {
    let channels = std::mem::take(&mut *wait::lock(&CHANNELS));
    for channel in channels.iter().filter_map(Weak::upgrade) {
        if channel.generation == process::generation() {
            channel.finish(py);
        }
    }
}
