//! The one tokio runtime of the process: what it does for callers that wait in a thread of their own, and for those
//! that are called back.

use crate::sync::{Condvar, Mutex};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;

use crate::error::{Error, Kind, Result};
use crate::message::BackendName;
use crate::process;
use crate::wait::{self, Alone, Interrupt, Wait};

/// Requests wait for the network most of the time; more threads would only hand them to each other.
const THREADS: usize = 2;

/// Threads for what blocks, at most. Nothing there may wait for anything else that is done there: see [`Line`].
const ASIDE: usize = 24;

struct Shared {
    runtime: Runtime,
    generation: u64,
}

/// Started by the first verb that needs it. Without a lock, which a `fork` could catch held.
static SHARED: ArcSwapOption<Shared> = ArcSwapOption::const_empty();

fn shared() -> io::Result<Arc<Shared>> {
    loop {
        let current = SHARED.load_full();
        if let Some(shared) = &current
            && shared.generation == process::generation()
        {
            return Ok(Arc::clone(shared));
        }
        // What the library sets up once for the process must not be half done in a child.
        let inside = process::enter();
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(ASIDE)
            .thread_name("tetherdb-io")
            .enable_all()
            .build()?;
        drop(inside);
        let new = Arc::new(Shared {
            runtime,
            generation: process::generation(),
        });
        let previous = SHARED.compare_and_swap(&current, Some(Arc::clone(&new)));
        let was_first = match (&*previous, &current) {
            (None, None) => true,
            (Some(previous), Some(current)) => Arc::ptr_eq(previous, current),
            _ => false,
        };
        if was_first {
            // Inherited by `fork`: its threads are the parent's, and dropping it would wait for them.
            std::mem::forget(current);
            return Ok(new);
        }
        if let Ok(new) = Arc::try_unwrap(new) {
            new.runtime.shutdown_background();
        }
    }
}

/// The runtime of this process.
///
/// # Errors
/// Its threads cannot be started.
pub(crate) fn get(backend: BackendName) -> Result<Handle> {
    match shared() {
        Ok(shared) => Ok(shared.runtime.handle().clone()),
        Err(cause) => {
            let text = format!(
                "cannot start the threads of the network client: {cause}. Nothing was sent; free threads and memory."
            );
            Err(Error::backend(Kind::Backend, backend, true, text))
        }
    }
}

/// Does `work` inside the fork gate, one step at a time: the libraries set up much once for the process, when it is
/// first needed, and a child must not find that half done. Nothing waits inside.
pub(crate) async fn gated<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(move |context| {
        let _inside = process::enter();
        work.as_mut().poll(context)
    })
    .await
}

/// Does `work`, which may block, on a thread of the runtime: one after the other as `turns` lets them.
pub(crate) fn aside(runtime: &Handle, turns: Arc<Semaphore>, work: impl FnOnce() + Send + 'static) {
    runtime.spawn(async move {
        // Never closed.
        let _turn = turns.acquire_owned().await;
        // A panic of the work is told by what it should have answered.
        let _ = tokio::task::spawn_blocking(work).await;
    });
}

/// Lets go of much at once on a thread of the runtime: that takes milliseconds, which an event loop has not.
pub fn let_go(much: impl Send + 'static) {
    let current = SHARED.load_full();
    match current {
        Some(shared) if shared.generation == process::generation() && !process::exiting() => {
            // From within the runtime, where a thread that cannot be started does no harm.
            drop(shared.runtime.spawn(async move {
                let _ = tokio::task::spawn_blocking(move || drop(much)).await;
            }));
        }
        _ => drop(much),
    }
}

/// Work that may block, done one after the other, in the order in which it came. It may wait for what the runtime does
/// aside, such as a commit, so it has a thread of its own while there is any.
#[derive(Clone, Default)]
pub(crate) struct Line(Arc<Mutex<Queued>>);

#[derive(Default)]
struct Queued {
    works: VecDeque<Box<dyn FnOnce() + Send>>,
    /// A thread is at it.
    running: bool,
}

impl Line {
    /// Whether all of it is done.
    pub(crate) fn is_idle(&self) -> bool {
        !wait::lock(&self.0).running
    }

    /// Puts `work` at the end.
    pub(crate) fn push(&self, runtime: &Handle, work: impl FnOnce() + Send + 'static) {
        let is_running = {
            let mut queued = wait::lock(&self.0);
            queued.works.push_back(Box::new(work));
            std::mem::replace(&mut queued.running, true)
        };
        if is_running {
            return;
        }
        let line = self.clone();
        let started = std::thread::Builder::new()
            .name("tetherdb-aside".into())
            .spawn(move || line.run());
        if started.is_err() {
            let line = self.clone();
            runtime.spawn_blocking(move || line.run());
        }
    }

    fn run(&self) {
        loop {
            let work = {
                let mut queued = wait::lock(&self.0);
                let work = queued.works.pop_front();
                queued.running = work.is_some();
                work
            };
            let Some(work) = work else {
                return;
            };
            // A panic is told by what the work should have answered; the line goes on.
            let _ = catch_unwind(AssertUnwindSafe(work));
        }
    }
}

/// Where the outcome of one verb arrives.
struct Slot<T> {
    outcome: Mutex<Option<Result<T>>>,
    arrived: Condvar,
}

/// Puts an outcome there, come what may.
struct Reply<T> {
    slot: Arc<Slot<T>>,
    backend: BackendName,
}

impl<T> Reply<T> {
    fn put(&self, outcome: Result<T>) {
        wait::lock(&self.slot.outcome).get_or_insert(outcome);
        self.slot.arrived.notify_one();
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let text = "a call ended with a panic. Please report this bug.";
        let error = Error::backend(Kind::Backend, self.backend, false, text);
        self.put(Err(error));
    }
}

/// Has the runtime do `work`, and waits for it. An interrupt ends the wait; the work goes on to its own end.
pub(crate) fn wait_for<T: Send + 'static>(
    backend: BackendName,
    work: impl Future<Output = Result<T>> + Send + 'static,
    interrupt: &dyn Interrupt,
) -> Result<T> {
    let slot = Arc::new(Slot {
        outcome: Mutex::new(None),
        arrived: Condvar::new(),
    });
    let reply = Reply {
        slot: Arc::clone(&slot),
        backend,
    };
    get(backend)?.spawn(async move {
        let outcome = gated(work).await;
        reply.put(outcome);
    });
    let alone = Alone(interrupt);
    let mut wait = Wait::new(None, &alone);
    let mut outcome = wait::lock(&slot.outcome);
    loop {
        if let Some(outcome) = outcome.take() {
            return outcome;
        }
        outcome = wait.on(&slot.arrived, outcome, &slot.outcome)?;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::{self, ThreadId};
    use std::time::Duration;

    use super::*;

    /// Tells in which thread it was dropped.
    struct Tells(mpsc::Sender<ThreadId>);

    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    #[test]
    fn what_is_let_go_of_is_dropped_by_a_thread_of_the_runtime() {
        get(BackendName::Local).unwrap();
        let (tell, told) = mpsc::channel();
        let_go(Tells(tell));
        let dropped_in = told.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_ne!(dropped_in, thread::current().id());
    }
}
