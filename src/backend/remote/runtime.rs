//! The one tokio runtime of the process, and how a blocking verb waits for what it does.

use crate::sync::{Condvar, Mutex};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, Kind, Result};
use crate::message::BackendName;
use crate::process;
use crate::wait::{self, Alone, Interrupt, Wait};

/// Requests wait for the network most of the time; more threads would only hand them to each other.
const THREADS: usize = 2;

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
pub(super) fn get(backend: BackendName) -> Result<Handle> {
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
pub(super) async fn gated<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(move |context| {
        let _inside = process::enter();
        work.as_mut().poll(context)
    })
    .await
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
pub(super) fn wait_for<T: Send + 'static>(
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
