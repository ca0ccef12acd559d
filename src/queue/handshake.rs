//! Producers, the worker and those who wait for it, under thousands of schedules.
//!
//! `cargo test --features shuttle handshake`. Here no wait ever times out: a wake-up that is lost, which the slices of
//! `wait.rs` would make up for, is a deadlock, and a deadlock fails the test. A failure prints the schedule to replay.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::lane::{Clock, Lane};
use super::{Events, LogLine, Receipt};
use crate::backend::{Backend, Capabilities, Completion, Failures, Page, Range, Turn};
use crate::config::{QueueConfig, WhenFull};
use crate::error::{Kind, Result};
use crate::message::{BackendName, Failed, Limits, Message};
use crate::sync::{Mutex, thread};
use crate::wait::{Interrupt, Never, lock};

const SCHEDULES: usize = 20_000;

/// Delivers what it is sent: in the worker's thread, or later in another one.
struct Fake {
    later: bool,
    delivered: Arc<Mutex<Vec<String>>>,
}

impl Backend for Fake {
    fn name(&self) -> BackendName {
        BackendName::Etcd
    }
    fn limits(&self) -> Limits {
        Limits {
            key: 1 << 20,
            item: 1 << 20,
            source: "test",
            reserved: None,
        }
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            repeated_keys: false,
            max_batch: 2,
            batches_per_request: 1,
            max_in_flight: 2,
        }
    }
    fn patience(&self) -> Duration {
        Duration::from_secs(3600)
    }
    fn send(&self, batch: Vec<Message>, done: Completion) {
        let delivered = Arc::clone(&self.delivered);
        let deliver = move || {
            let texts = batch.iter().map(|message| message.text().to_owned());
            lock(&delivered).extend(texts);
            done.complete(Failures::new());
        };
        if self.later {
            thread::spawn(deliver);
        } else {
            deliver();
        }
    }
    super::only_sends!();
}

/// A message that came in while the worker looked at the clock would be sent a moment later: here there is none.
struct Still;

impl Clock for Still {
    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

struct Silent;

impl Events for Silent {
    fn wants_debug(&self) -> bool {
        false
    }
    fn log(&self, _: LogLine) {}
    fn given_up(&self, _: Failed) {}
}

fn lane(max_pending: usize, later: bool) -> (Arc<Lane>, Arc<Mutex<Vec<String>>>) {
    let delivered = Arc::new(Mutex::new(Vec::new()));
    let backend = Arc::new(Fake {
        later,
        delivered: Arc::clone(&delivered),
    });
    let config = QueueConfig {
        timeout: Duration::ZERO,
        max_pending: max_pending.try_into().unwrap(),
        when_full: WhenFull::Block,
        ..QueueConfig::default()
    };
    (
        Arc::new(Lane::new(backend, config, Arc::new(Silent))),
        delivered,
    )
}

fn put(lane: &Arc<Lane>, key: &str, value: usize, receipt: Option<Receipt>) -> Result<bool> {
    let message = Message::new(key, &value.to_string());
    match lane.try_enqueue(message, receipt)? {
        None => Ok(true),
        Some((message, receipt)) => lane.enqueue(message, receipt, &Never),
    }
}

fn explore(test: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random(test, SCHEDULES);
}

/// More producers than the queue has room for: all get their turn, everything arrives, per key in order.
fn producers_and_flush(later: bool) {
    explore(move || {
        let (lane, delivered) = lane(1, later);
        let producers: Vec<_> = ["a", "b"]
            .into_iter()
            .map(|key| {
                let lane = Arc::clone(&lane);
                thread::spawn(move || {
                    for value in 0..2 {
                        assert!(put(&lane, key, value, None).unwrap());
                    }
                })
            })
            .collect();
        for producer in producers {
            producer.join().unwrap();
        }
        lane.flush(None, &Never).unwrap();
        let delivered = lock(&delivered).clone();
        for key in ["a", "b"] {
            let of_key: Vec<_> = delivered
                .iter()
                .filter(|text| text.starts_with(key))
                .collect();
            assert_eq!(of_key, [&format!("{key}0"), &format!("{key}1")]);
        }
        let stats = lane.stats();
        assert_eq!((stats.accepted, stats.delivered, stats.pending), (4, 4, 0));
        lane.stop(None, &Never).unwrap();
    });
}

#[test]
fn handshake_of_producers_and_a_worker_that_delivers() {
    producers_and_flush(false);
}

#[test]
fn handshake_of_producers_and_answers_that_come_later() {
    producers_and_flush(true);
}

/// `stop` while others queue: whoever was told `true` is delivered, now or by the next worker.
#[test]
fn handshake_of_stop_and_producers() {
    explore(|| {
        let (lane, delivered) = lane(1, true);
        let taken = Arc::new(AtomicUsize::new(0));
        let producers: Vec<_> = ["a", "b"]
            .into_iter()
            .map(|key| {
                let (lane, taken) = (Arc::clone(&lane), Arc::clone(&taken));
                thread::spawn(move || match put(&lane, key, 0, None) {
                    Ok(queued) => {
                        taken.fetch_add(usize::from(queued), Ordering::SeqCst);
                    }
                    Err(error) => assert_eq!(error.kind(), Kind::QueueFull),
                })
            })
            .collect();
        lane.stop(None, &Never).unwrap();
        for producer in producers {
            producer.join().unwrap();
        }
        lane.flush(None, &Never).unwrap();
        assert_eq!(lock(&delivered).len(), taken.load(Ordering::SeqCst));
        lane.stop(None, &Never).unwrap();
        assert!(!lane.has_worker());
    });
}

/// A direct verb behind a queued message of its key, and one beside it.
#[test]
fn handshake_of_direct_verbs_and_the_queue() {
    explore(|| {
        let (lane, delivered) = lane(4, true);
        assert!(put(&lane, "a", 0, None).unwrap());
        let direct = {
            let (lane, delivered) = (Arc::clone(&lane), Arc::clone(&delivered));
            thread::spawn(move || {
                let hold = lane.hold(["a"].into_iter(), &Never).unwrap();
                lock(&delivered).push("a-direct".to_owned());
                drop(hold);
            })
        };
        assert!(put(&lane, "a", 1, None).unwrap());
        direct.join().unwrap();
        lane.flush(None, &Never).unwrap();
        let delivered = lock(&delivered).clone();
        let place = |text: &str| delivered.iter().position(|one| one == text).unwrap();
        assert!(
            place("a0") < place("a-direct") && place("a0") < place("a1"),
            "{delivered:?}"
        );
        lane.stop(None, &Never).unwrap();
    });
}

/// A receipt is told, whoever waits for it and however late.
#[test]
fn handshake_of_receipts() {
    explore(|| {
        let (lane, _) = lane(4, true);
        let receipt = Receipt::default();
        assert!(put(&lane, "a", 0, Some(receipt.clone())).unwrap());
        lane.urge();
        assert!(receipt.wait(None, &Never).unwrap().unwrap().is_ok());
        lane.stop(None, &Never).unwrap();
    });
}
