//! The locks and threads of the engine: those of `std`, or, to try out schedules, those of `shuttle`.
//!
//! With the feature `shuttle` only the tests of `queue/handshake.rs` work: everything runs on one thread that takes
//! turns, in an order that each run chooses anew.

#[cfg(feature = "shuttle")]
pub use shuttle::{
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};
#[cfg(not(feature = "shuttle"))]
pub use std::{
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};
