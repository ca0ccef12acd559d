//! How long to wait before a request goes again: doubling, with full jitter, until a deadline.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::wait;

/// The pauses of one request.
pub(in crate::backend) struct Pauses {
    next: Duration,
    most: Duration,
    deadline: Instant,
}

impl Pauses {
    pub(in crate::backend) fn new(first: Duration, most: Duration, deadline: Instant) -> Self {
        Self {
            next: first,
            most,
            deadline,
        }
    }

    /// Waits; `false` without waiting when the deadline would pass meanwhile.
    pub(in crate::backend) async fn wait(&mut self) -> bool {
        let pause = self.next.mul_f64(wait::jitter());
        self.next = self.most.min(self.next * 2);
        let until = Instant::now() + pause;
        if until >= self.deadline {
            return false;
        }
        sleep_until(until).await;
        true
    }
}
