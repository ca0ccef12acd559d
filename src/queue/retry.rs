//! When to try again, and when no more: pure. Pauses double with full jitter; a backend that is down is probed with
//! one request at a time.

use std::time::Duration;

use crate::config::RetryConfig;

/// The pauses of one backend between failures, and whether it is down.
#[derive(Debug)]
pub(super) struct Backoff {
    config: RetryConfig,
    failures: u32,
    outage: Option<Outage>,
}

/// A backend that is down: the latest request failed as a whole, and so did all since the first. Times are since one
/// epoch.
#[derive(Debug, Clone, Copy)]
struct Outage {
    began: Duration,
    failed_last: Duration,
}

impl Backoff {
    pub(super) fn new(config: RetryConfig) -> Self {
        Self {
            config,
            failures: 0,
            outage: None,
        }
    }

    /// A request failed as a whole, and may be tried again.
    pub(super) fn note_outage(&mut self, now: Duration) {
        let began = self.outage.map_or(now, |outage| outage.began);
        self.outage = Some(Outage {
            began,
            failed_last: now,
        });
    }

    /// The backend has answered.
    pub(super) fn end_outage(&mut self) {
        self.outage = None;
    }

    /// Whether one request at a time is enough, to see whether the backend is there again.
    pub(super) fn is_down(&self) -> bool {
        self.outage.is_some()
    }

    /// Whether a message that has failed with what may pass is sent again.
    pub(super) fn goes_again(
        &self,
        accepted: Duration,
        first_failure: Option<Duration>,
        now: Duration,
    ) -> bool {
        let first = first_failure.unwrap_or(now);
        // While the backend is down, what waits fails like what has been sent.
        let first = self
            .outage
            .map_or(first, |outage| first.min(outage.began.max(accepted)));
        !self.gives_up(first, now)
    }

    /// Whether a message is to be given up that waits while the backend is down. It could have been in the latest
    /// request that failed.
    pub(super) fn has_expired(&self, accepted: Duration, first_failure: Option<Duration>) -> bool {
        self.outage.is_some_and(|outage| {
            accepted <= outage.failed_last
                && !self.goes_again(accepted, first_failure, outage.failed_last)
        })
    }

    /// The backend answered: the next failure starts from `initial` again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to pause after one more failure. `jitter` is uniform in 0.0..1.0: with full jitter any
    /// pause up to the doubled one is as likely, so that many clients do not come back in step.
    pub(super) fn next_pause(&mut self, jitter: f64) -> Duration {
        let doubled = 2_u32
            .checked_pow(self.failures)
            .and_then(|factor| self.config.initial.checked_mul(factor))
            .unwrap_or(self.config.max);
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.config.max).mul_f64(jitter.clamp(0.0, 1.0))
    }

    /// Whether a message that failed first at `first` is given up at `now` (both since one epoch).
    fn gives_up(&self, first: Duration, now: Duration) -> bool {
        now.saturating_sub(first) >= self.config.give_up_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn backoff() -> Backoff {
        Backoff::new(RetryConfig {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(5),
            give_up_after: Duration::from_secs(300),
        })
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = backoff();
        let pauses: Vec<_> = (0..8)
            .map(|_| backoff.next_pause(1.0).as_millis())
            .collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff.next_pause(1.0).as_millis(), 100);
    }

    #[test]
    fn giving_up_counts_from_the_first_failure() {
        let backoff = backoff();
        let first = Duration::from_secs(1000);
        assert!(!backoff.gives_up(first, Duration::from_secs(1299)));
        assert!(backoff.gives_up(first, Duration::from_secs(1300)));
    }

    #[test]
    fn what_waits_while_the_backend_is_down_fails_with_it() {
        let second = Duration::from_secs;
        let mut backoff = backoff();
        assert!(!backoff.has_expired(second(0), None));
        backoff.note_outage(second(1000));
        backoff.note_outage(second(1300));
        assert!(backoff.is_down());
        assert!(backoff.has_expired(second(10), None));
        assert!(!backoff.goes_again(second(10), None, second(1300)));
        assert!(!backoff.has_expired(second(1001), None));
        backoff.end_outage();
        assert!(!backoff.has_expired(second(10), None));
        assert!(backoff.goes_again(second(10), None, second(1300)));
    }

    #[test]
    fn what_came_after_the_latest_failure_is_sent_first() {
        let mut backoff = Backoff::new(RetryConfig {
            give_up_after: Duration::ZERO,
            ..backoff().config
        });
        backoff.note_outage(Duration::from_secs(5));
        assert!(backoff.has_expired(Duration::from_secs(5), None));
        assert!(!backoff.has_expired(Duration::from_secs(6), None));
    }

    proptest! {
        #[test]
        fn no_pause_is_longer_than_the_longest(rounds in 0_u32..200, jitter in 0.0_f64..1.0) {
            let mut backoff = backoff();
            for _ in 0..rounds {
                prop_assert!(backoff.next_pause(jitter) <= Duration::from_secs(5));
            }
        }
    }
}
