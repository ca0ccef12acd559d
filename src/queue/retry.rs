//! When to try again: a pure schedule, doubling with full jitter.

use std::time::Duration;

use crate::config::RetryConfig;

/// The pauses of one backend between failures.
#[derive(Debug)]
pub(super) struct Backoff {
    config: RetryConfig,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(config: RetryConfig) -> Self {
        Self {
            config,
            failures: 0,
        }
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
    pub(super) fn gives_up(&self, first: Duration, now: Duration) -> bool {
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
