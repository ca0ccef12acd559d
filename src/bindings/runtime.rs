//! What the interpreter and the engine must know of each other: signals, `fork`, and the end.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict};

use super::calls::{self, Calls};
use super::{errors, events, gate, logging};
use crate::error::{Error, Kind, Result};
use crate::wait::{self, Cancel, Interrupt, Wait};
use crate::{process, store};

/// Asks Python for pending signals; keeps what a handler raised.
#[derive(Default)]
struct Signals {
    raised: RefCell<Option<PyErr>>,
}

impl Interrupt for Signals {
    fn interrupted(&self) -> bool {
        // While the interpreter ends there is nobody to ask.
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method's own lifetime is too narrow"
        )]
        let checked = Python::try_attach(|py| py.check_signals());
        match checked {
            Some(Err(raised)) => {
                self.raised.replace(Some(raised));
                true
            }
            _ => false,
        }
    }
}

/// Runs `work` without the interpreter, so that other threads go on; a signal ends its waits.
pub(super) fn detached<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(&dyn Interrupt) -> Result<T> + Send,
) -> PyResult<T> {
    let (outcome, raised) = py.detach(|| {
        let signals = Signals::default();
        let outcome = work(&signals);
        (outcome, signals.raised.into_inner())
    });
    match raised {
        // What the handler raised is what the caller shall see.
        Some(raised) => Err(raised),
        None => outcome.map_err(|error| errors::to_python(py, &error)),
    }
}

/// Gives up at every slice, so that signal handlers can run with nothing held; then the call begins anew.
struct Slices {
    begun: Instant,
    main_thread: bool,
    alone: Signals,
}

impl Interrupt for Slices {
    fn interrupted(&self) -> bool {
        self.main_thread
    }

    fn interrupted_alone(&self) -> bool {
        self.main_thread && self.alone.interrupted()
    }

    fn begun(&self) -> Instant {
        self.begun
    }
}

/// As [`detached`], for `work` that holds, while it waits, what a signal handler's verbs may wait for. Where
/// handlers run, in the main thread, it is given up for them, and begun anew with what is left of its time.
pub(super) fn anew<T: Send>(
    py: Python<'_>,
    work: impl Fn(&dyn Interrupt) -> Result<T> + Send + Sync,
) -> PyResult<T> {
    let (begun, main_thread) = (Instant::now(), is_main_thread(py));
    loop {
        let (outcome, raised) = py.detach(|| {
            let slices = Slices {
                begun,
                main_thread,
                alone: Signals::default(),
            };
            let outcome = work(&slices);
            (outcome, slices.alone.raised.into_inner())
        });
        match (outcome, raised) {
            (_, Some(raised)) => return Err(raised),
            (Err(error), None) if error.kind() == Kind::Interrupted => py.check_signals()?,
            (other, None) => return other.map_err(|error| errors::to_python(py, &error)),
        }
    }
}

/// Whether signal handlers run in this thread. A thread that forks becomes the main thread of its child.
pub(super) fn is_main_thread(py: Python<'_>) -> bool {
    thread_local! {
        static KNOWN: Cell<Option<(u64, bool)>> = const { Cell::new(None) };
    }
    let generation = process::generation();
    if let Some((known, answer)) = KNOWN.get()
        && known == generation
    {
        return answer;
    }
    let ask = || -> PyResult<bool> {
        let threading = calls::import(py, "threading")?;
        let main = threading
            .run_method("main_thread", ())?
            .attribute("ident")?;
        threading.run_method("get_ident", ())?.eq(main)
    };
    // At the very end of the program nothing can be imported, and no handler runs.
    let answer = ask().unwrap_or(false);
    KNOWN.set(Some((generation, answer)));
    answer
}

/// Does large `work` on a thread of its own while the caller waits for it: a signal ends the wait at once,
/// and cancels the work. In the caller's own thread it could not be asked for signals in the middle of a
/// transaction, since their handlers may use the same handle.
pub(super) fn aside<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce(&dyn Interrupt) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    detached(py, |interrupt| {
        let cancel = Arc::new(Cancel::default());
        let slot = Arc::new((Mutex::new(None), Condvar::new()));
        let (their_cancel, their_slot) = (Arc::clone(&cancel), Arc::clone(&slot));
        let started = thread::Builder::new()
            .name("tetherdb-aside".into())
            .spawn(move || {
                let outcome = catch_unwind(AssertUnwindSafe(|| work(&*their_cancel)));
                let outcome = outcome.unwrap_or_else(|_| {
                    let text = "a large call ended with a panic. Please report this bug.";
                    Err(Error::new(Kind::Backend, text))
                });
                *wait::lock(&their_slot.0) = Some(outcome);
                their_slot.1.notify_one();
            });
        if let Err(cause) = started {
            let text =
                format!("cannot start a thread for a large call: {cause}. Nothing was done.");
            return Err(Error::new(Kind::Backend, text));
        }
        let (outcome, arrived) = &*slot;
        let mut wait = Wait::new(None, interrupt);
        let mut guard = wait::lock(outcome);
        loop {
            if let Some(outcome) = guard.take() {
                return outcome;
            }
            guard = wait
                .on(arrived, guard, outcome)
                .inspect_err(|_| cancel.cancel())?;
        }
    })
}

/// At import: asks Python to tell us of `fork`. Early, so that our hooks are the last before it and the
/// first after it, and a program's own hooks may use a handle.
pub(super) fn watch_fork(py: Python<'_>) -> PyResult<()> {
    register_at_fork(
        py,
        wrap_pyfunction!(before_fork, py)?,
        wrap_pyfunction!(after_fork_in_parent, py)?,
        wrap_pyfunction!(after_fork_in_child, py)?,
    )?;
    // Looks for the module now, so that the name it looks for is made before any thread can fork in the middle of it.
    logging::loaded(py)?;
    // Waited at before the other gate, in which nobody runs Python code.
    watch_gate(py)
}

fn watch_gate(py: Python<'_>) -> PyResult<()> {
    let open = wrap_pyfunction!(open_gate, py)?;
    register_at_fork(py, wrap_pyfunction!(close_gate, py)?, open.clone(), open)
}

/// At the first `DB`: asks Python to tell us of its end.
pub(super) fn watch_exit(py: Python<'_>) -> PyResult<()> {
    static WATCHING: AtomicBool = AtomicBool::new(false);
    once(&WATCHING, || register_at_exit(py))
}

/// At every verb and every line of the log: once the program has imported logging, asks Python again to tell us of its
/// end and of `fork`, so as to be told before logging is: we log until the end, when logging shuts down, and
/// its own hook before `fork` locks what a line on its way may need.
pub(super) fn watch(py: Python<'_>) -> PyResult<()> {
    static WATCHING: AtomicBool = AtomicBool::new(false);
    if WATCHING.load(Ordering::Relaxed) || logging::loaded(py)?.is_none() {
        return Ok(());
    }
    once(&WATCHING, || {
        register_at_exit(py)?;
        watch_gate(py)
    })
}

/// Does `work` the first time. Nobody waits for another who does it: a child forked in the middle would do so for ever.
fn once(done: &AtomicBool, work: impl FnOnce() -> PyResult<()>) -> PyResult<()> {
    if done.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    work().inspect_err(|_| done.store(false, Ordering::Relaxed))
}

fn register_at_exit(py: Python<'_>) -> PyResult<()> {
    let hook = wrap_pyfunction!(at_exit, py)?;
    calls::import(py, "atexit")?.run_method("register", (hook,))?;
    Ok(())
}

fn register_at_fork<'py>(
    py: Python<'py>,
    before: Bound<'py, PyCFunction>,
    in_parent: Bound<'py, PyCFunction>,
    in_child: Bound<'py, PyCFunction>,
) -> PyResult<()> {
    let Some(register) = calls::import(py, "os")?.some_attribute("register_at_fork")? else {
        return Ok(());
    };
    let hooks = PyDict::new(py);
    hooks.set_item("before", before)?;
    hooks.set_item("after_in_parent", in_parent)?;
    hooks.set_item("after_in_child", in_child)?;
    register.run_with((), Some(&hooks)).map(drop)
}

#[pyfunction]
fn close_gate(py: Python<'_>) {
    py.detach(gate::before_fork);
}

#[pyfunction]
fn open_gate() {
    gate::after_fork();
}

#[pyfunction]
fn before_fork(py: Python<'_>) {
    py.detach(|| process::before_fork(store::close_files));
}

#[pyfunction]
fn after_fork_in_parent() {
    process::after_fork(false);
}

#[pyfunction]
fn after_fork_in_child() {
    // Before the gate opens: nobody else is there yet.
    store::forget_all();
    events::forget_all();
    process::after_fork(true);
}

#[pyfunction]
fn at_exit(py: Python<'_>) {
    let stopped = py.detach(store::stop_all);
    events::finish_all(py);
    logging::finish(py);
    py.detach(|| drop(stopped));
}
