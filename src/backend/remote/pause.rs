//! How long to wait before a request goes again: doubling, with full jitter, until a deadline.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::wait;

/// The pauses of one request.
pub(in crate::backend) struct Pauses {
    longest: Duration,
    most: Duration,
    deadline: Instant,
}

impl Pauses {
    pub(in crate::backend) fn new(first: Duration, most: Duration, deadline: Instant) -> Self {
        Self {
            longest: first,
            most,
            deadline,
        }
    }

    /// When the next pause ends that begins `now`; `None` when the deadline would pass meanwhile.
    pub(super) fn next(&mut self, now: Instant) -> Option<Instant> {
        let pause = self.longest.mul_f64(wait::jitter());
        self.longest = self.most.min(self.longest * 2);
        let until = now + pause;
        (until < self.deadline).then_some(until)
    }

    /// Waits; `false` without waiting when the deadline would pass meanwhile.
    pub(in crate::backend) async fn wait(&mut self) -> bool {
        let Some(until) = self.next(Instant::now()) else {
            return false;
        };
        sleep_until(until).await;
        true
    }
}
