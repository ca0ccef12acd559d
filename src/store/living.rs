//! All stores of this process: who must be asked when it ends, and forgotten when it forks.

use crate::sync::Mutex;
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::Store;
use crate::process::{self, Inside};
use crate::queue::Lane;
use crate::wait::{self, Never};

/// All stores of this process, and the queues of those that were dropped with something in them: the end
/// of the program delivers what they hold. Locked only inside the fork gate.
static LIVE: Mutex<Live> = Mutex::new(Live {
    stores: Vec::new(),
    orphans: Vec::new(),
});

struct Live {
    stores: Vec<Weak<Store>>,
    orphans: Vec<Arc<Lane>>,
}

/// Counts a store among the living.
pub(super) fn register(store: &Arc<Store>) {
    let inside = process::enter();
    let mut live = wait::lock(&LIVE);
    live.stores.retain(|store| store.strong_count() > 0);
    live.stores.push(Arc::downgrade(store));
    let orphans = std::mem::take(&mut live.orphans);
    let (busy, done): (Vec<_>, Vec<_>) = orphans.into_iter().partition(|lane| lane.has_worker());
    live.orphans = busy;
    drop(live);
    drop(inside);
    // Their backends close their files, for which they enter themselves.
    drop(done);
}

impl Drop for Store {
    /// What is queued is delivered in the background; the worker closes the backend then.
    fn drop(&mut self) {
        let inside = process::enter();
        let mut live = wait::lock(&LIVE);
        let (busy, idle): (Vec<_>, Vec<_>) =
            self.lanes.drain(..).partition(|lane| lane.has_worker());
        for lane in busy {
            lane.orphan();
            live.orphans.push(lane);
        }
        drop(live);
        drop(inside);
        for lane in idle {
            lane.backend().close();
        }
    }
}

/// The end of the program: delivers what every store holds, within each one's `exit_timeout`, and
/// closes them. What cannot be delivered is logged at ERROR with its number, for which what is given back must live
/// until that is out.
pub fn stop_all() -> Stopped {
    process::begin_exit();
    let (stores, orphans) = {
        let _inside = process::enter();
        let mut live = wait::lock(&LIVE);
        let stores: Vec<_> = live.stores.drain(..).filter_map(|s| s.upgrade()).collect();
        (stores, std::mem::take(&mut live.orphans))
    };
    let begun = Instant::now();
    let lanes = stores.iter().flat_map(|store| &store.lanes);
    for lane in lanes.chain(&orphans) {
        lane.urge();
    }
    for store in &stores {
        // What was given up has been logged and handed to `on_error`; there is nobody to raise it to.
        let _ = store.stop(Some(begun + store.config.queue.exit_timeout), &Never);
    }
    for lane in &orphans {
        super::journal::stop_orphan(lane, begun + lane.exit_timeout());
    }
    // A thread that was just queueing when this began may have been a moment late.
    for store in &stores {
        if store.lanes.iter().any(|lane| lane.stats().pending > 0) {
            let _ = store.stop(Some(begun + store.config.queue.exit_timeout), &Never);
        }
    }
    Stopped {
        _stores: stores,
        _orphans: orphans,
    }
}

/// What the end of the program has stopped.
pub struct Stopped {
    _stores: Vec<Arc<Store>>,
    _orphans: Vec<Arc<Lane>>,
}

/// Before `fork`: no file is open across it.
pub fn close_files(inside: &Inside) {
    crate::backend::local::close_all(inside);
}

/// After `fork`, in the child: what the parent had is the parent's. Nothing inherited is closed.
pub fn forget_all() {
    crate::queue::journal::let_go_in_child();
    let mut live = wait::lock(&LIVE);
    live.stores.clear();
    for lane in live.orphans.drain(..) {
        std::mem::forget(lane);
    }
}
