//! Until when a request has time. It has all of its backend's timeout, counted from when it begins; but the first of a
//! call that has stood in line counts from the beginning of the call.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    /// When the call of this task began, until its first request has ended.
    static BEGUN: Cell<Option<Instant>>;
}

/// Does `work`, whose first request counts from `begun`.
pub(super) async fn counted_from<T>(begun: Option<Instant>, work: impl Future<Output = T>) -> T {
    BEGUN.scope(Cell::new(begun), work).await
}

/// From when the next request of this task counts, if not from its own beginning.
pub(super) fn begun() -> Option<Instant> {
    BEGUN.try_with(Cell::get).ok().flatten()
}

/// The deadline of a request that begins now.
pub(in crate::backend) fn deadline(timeout: Duration) -> Instant {
    begun().unwrap_or_else(Instant::now) + timeout
}

/// A request under way: when it has ended, the next one counts from its own beginning.
pub(in crate::backend) struct Request;

impl Drop for Request {
    fn drop(&mut self) {
        let _ = BEGUN.try_with(|begun| begun.set(None));
    }
}
