//! The lane on a fake backend and a clock that stands still: `step` says what a worker would do next.

use crate::sync::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::lane::{Clock, Lane, Step};
use super::{Events, Level, LogLine, Receipt};
use crate::backend::{Backend, Capabilities, Completion, Failures, Page, Range, Turn};
use crate::config::{QueueConfig, RetryConfig, WhenFull};
use crate::error::{Error, Kind, Result};
use crate::message::{BackendName, Failed, Limits, Message};
use crate::wait::{Interrupt, Never, lock};

/// Keeps what it is sent until the test says how it ended.
struct Fake {
    sent: Mutex<Vec<(Vec<Message>, Completion)>>,
    capabilities: Capabilities,
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
        self.capabilities
    }
    fn patience(&self) -> Duration {
        Duration::from_millis(200)
    }
    fn send(&self, batch: Vec<Message>, done: Completion) {
        lock(&self.sent).push((batch, done));
    }
    super::only_sends!();
}

#[derive(Default)]
pub(super) struct Recorder {
    lines: Mutex<Vec<(Level, String)>>,
    pub(super) given_up: Mutex<Vec<Failed>>,
}

impl Events for Recorder {
    fn wants_debug(&self) -> bool {
        true
    }
    fn log(&self, line: LogLine) {
        lock(&self.lines).push((line.level, line.text));
    }
    fn given_up(&self, failed: Failed) {
        lock(&self.given_up).push(failed);
    }
}

#[derive(Clone, Default)]
struct Paused(Arc<AtomicU64>);

impl Clock for Paused {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

pub(super) struct Bench {
    pub(super) lane: Arc<Lane>,
    fake: Arc<Fake>,
    clock: Paused,
    pub(super) events: Arc<Recorder>,
}

pub(super) const WORKER: u64 = 7;

impl Bench {
    pub(super) fn new(config: QueueConfig, capabilities: Capabilities) -> Self {
        let fake = Arc::new(Fake {
            sent: Mutex::default(),
            capabilities,
        });
        let events = Arc::new(Recorder::default());
        let clock = Paused::default();
        let lane = Lane::with_clock(
            fake.clone(),
            config,
            events.clone(),
            Box::new(clock.clone()),
        );
        // The test is the worker.
        lock(&lane.intake).worker = Some(WORKER);
        Self {
            lane: Arc::new(lane),
            fake,
            clock,
            events,
        }
    }

    pub(super) fn put(&self, key: &str, value: &str) {
        let left = self
            .lane
            .try_enqueue(Message::new(key, value), None)
            .unwrap();
        assert!(left.is_none(), "the queue has room");
    }

    /// Does what the worker would do until it would sleep or end; the requests it sent.
    pub(super) fn run(&self) -> Vec<Vec<String>> {
        let before = lock(&self.fake.sent).len();
        loop {
            match self.step() {
                Step::Send(request) => self.lane.send(request),
                Step::GiveUp {
                    batch,
                    verdict,
                    tenure,
                } => self.lane.give_up(tenure, batch, verdict),
                Step::Sleep { .. } | Step::End => break,
            }
        }
        lock(&self.fake.sent)[before..]
            .iter()
            .map(|(batch, _)| {
                batch
                    .iter()
                    .map(|m| format!("{}={}", m.key(), m.value()))
                    .collect()
            })
            .collect()
    }

    pub(super) fn step(&self) -> Step {
        self.lane.step(WORKER, self.clock.now())
    }

    pub(super) fn pass(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.clock.0.fetch_add(millis, Ordering::SeqCst);
    }

    /// Answers the oldest request.
    pub(super) fn answer(&self, failures: Failures) {
        let (_, done) = lock(&self.fake.sent).remove(0);
        done.complete(failures);
    }
}

pub(super) fn config(size: usize) -> QueueConfig {
    QueueConfig {
        size: size.try_into().unwrap(),
        timeout: Duration::from_secs(2),
        retry: RetryConfig {
            initial: Duration::from_millis(100),
            max: Duration::from_millis(100),
            give_up_after: Duration::from_secs(10),
        },
        ..QueueConfig::default()
    }
}

/// As etcd or `DynamoDB` would be.
pub(super) fn remote(max_in_flight: usize) -> Capabilities {
    Capabilities {
        repeated_keys: false,
        max_batch: 25,
        batches_per_request: 1,
        max_in_flight,
    }
}

/// As the local file is.
fn atomic() -> Capabilities {
    Capabilities {
        repeated_keys: true,
        max_batch: usize::MAX,
        batches_per_request: 100,
        max_in_flight: 1,
    }
}

pub(super) fn retryable() -> Error {
    Error::backend(Kind::Timeout, BackendName::Etcd, true, "not now")
}

pub(super) fn hopeless() -> Error {
    Error::backend(Kind::Backend, BackendName::Etcd, false, "never")
}

#[test]
fn a_full_batch_goes_at_once_and_the_rest_waits() {
    let bench = Bench::new(config(3), remote(8));
    for n in 0..7 {
        bench.put(&format!("k{n}"), "v");
    }
    assert_eq!(
        bench.run(),
        [["k0=v", "k1=v", "k2=v"], ["k3=v", "k4=v", "k5=v"]]
    );
    assert_eq!(bench.lane.stats().batches, 2);
    assert!(
        bench.run().is_empty(),
        "the seventh waits for its batch to fill"
    );
}

#[test]
fn a_partial_batch_goes_when_its_oldest_has_waited_long_enough() {
    let bench = Bench::new(config(3), remote(8));
    bench.put("a", "1");
    bench.pass(Duration::from_millis(1500));
    bench.put("b", "2");
    assert!(bench.run().is_empty());
    bench.pass(Duration::from_millis(499));
    let Step::Sleep { until, wake_at } = bench.step() else {
        panic!("nothing is due");
    };
    assert_eq!((until, wake_at), (Some(Duration::from_secs(2)), 1));
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.run(), [["a=1", "b=2"]]);
}

#[test]
fn an_atomic_backend_takes_all_full_batches_in_one_request() {
    let bench = Bench::new(config(2), atomic());
    for n in 0..5 {
        bench.put("same", &n.to_string());
    }
    assert_eq!(bench.run(), [["same=0", "same=1", "same=2", "same=3"]]);
    assert_eq!(bench.lane.stats().batches, 2);
}

#[test]
fn a_key_is_never_in_two_requests_at_once() {
    let bench = Bench::new(config(1), remote(8));
    bench.put("a", "1");
    bench.put("a", "2");
    bench.put("b", "1");
    assert_eq!(bench.run(), [["a=1"], ["b=1"]]);
    bench.answer(vec![]);
    assert_eq!(bench.run(), [["a=2"]]);
}

#[test]
fn no_more_requests_are_in_flight_than_the_backend_allows() {
    let bench = Bench::new(config(1), remote(2));
    for key in ["a", "b", "c"] {
        bench.put(key, "1");
    }
    assert_eq!(bench.run().len(), 2);
    assert_eq!(bench.lane.stats().in_flight, 2);
    bench.answer(vec![]);
    assert_eq!(bench.run(), [["c=1"]]);
}

#[test]
fn what_failed_alone_goes_again_and_keeps_its_order() {
    let bench = Bench::new(config(2), remote(8));
    bench.put("a", "1");
    bench.put("b", "1");
    assert_eq!(bench.run(), [["a=1", "b=1"]]);
    bench.put("a", "2");
    bench.put("c", "1");
    bench.answer(vec![(0, retryable())]);
    assert!(bench.run().is_empty(), "the lane pauses after a failure");
    let stats = bench.lane.stats();
    assert_eq!((stats.delivered, stats.retried, stats.pending), (1, 1, 3));
    bench.pass(Duration::from_millis(100));
    assert_eq!(bench.run(), [["a=1", "c=1"]], "the older of a goes first");
    bench.answer(vec![]);
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.run(), [["a=2"]]);
    assert!(
        lock(&bench.events.lines)
            .iter()
            .any(|(level, _)| *level == Level::Warning)
    );
}

#[test]
fn a_hopeless_message_is_handed_back_and_its_neighbours_arrive() {
    let bench = Bench::new(config(2), remote(8));
    let receipt = Receipt::default();
    let message = Message::new("bad", "1");
    bench
        .lane
        .try_enqueue(message, Some(receipt.clone()))
        .unwrap();
    bench.put("good", "1");
    bench.run();
    bench.answer(vec![(0, hopeless())]);
    let stats = bench.lane.stats();
    assert_eq!((stats.delivered, stats.failed, stats.pending), (1, 1, 0));
    assert!(matches!(receipt.outcome(), Some(Err(_))));
    assert_eq!(lock(&bench.events.given_up).len(), 1);
    assert_eq!(bench.lane.failed_messages().len(), 1);
    assert_eq!(bench.lane.take_unreported().0.len(), 1);
    assert!(bench.lane.take_unreported().0.is_empty(), "reported once");
}

#[test]
fn a_message_is_given_up_when_its_time_is_over() {
    let bench = Bench::new(config(1), remote(8));
    bench.put("a", "1");
    for _ in 0..200 {
        if bench.run().is_empty() {
            break;
        }
        bench.answer(vec![(0, retryable())]);
        bench.pass(Duration::from_millis(100));
    }
    let stats = bench.lane.stats();
    assert_eq!((stats.failed, stats.pending, stats.retried), (1, 0, 100));
}

#[test]
fn what_was_given_up_can_be_sent_again_or_dropped() {
    let bench = Bench::new(config(1), remote(8));
    for key in ["a", "b"] {
        bench.put(key, "1");
    }
    bench.run();
    bench.answer(vec![(0, hopeless())]);
    assert_eq!(bench.lane.retry_failed().unwrap(), Some(1));
    assert!(bench.lane.failed_messages().is_empty());
    bench.answer(vec![(0, hopeless())]);
    assert_eq!(bench.lane.drop_failed(&Never).unwrap(), Some(1));
    assert_eq!(bench.run(), [["a=1"]]);
    bench.answer(vec![]);
    let stats = bench.lane.stats();
    assert_eq!((stats.accepted, stats.delivered, stats.failed), (2, 1, 1));
}

#[test]
fn the_time_to_delivery_adds_up_over_what_was_delivered() {
    let bench = Bench::new(config(2), remote(8));
    bench.put("a", "1");
    assert!(bench.run().is_empty(), "the batch is not full");
    bench.pass(Duration::from_millis(500));
    bench.put("b", "1");
    assert_eq!(bench.run(), [["a=1", "b=1"]]);
    bench.pass(Duration::from_millis(300));
    // Only a is delivered; b goes again, and counts from its acceptance.
    bench.answer(vec![(1, retryable())]);
    let time = || bench.lane.stats().delivery_time.as_millis();
    assert_eq!(time(), 800);
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.run(), [["b=1"]]);
    bench.answer(vec![]);
    assert_eq!(time(), 800 + 2300);
    bench.put("c", "1");
    bench.pass(Duration::from_secs(2));
    bench.run();
    bench.answer(vec![(0, hopeless())]);
    assert_eq!(
        time(),
        800 + 2300,
        "what was given up has no time to delivery"
    );
    assert_eq!(bench.lane.stats().delivered, 2);
}

#[test]
fn what_was_given_up_and_queued_again_is_counted() {
    let bench = Bench::new(config(1), remote(8));
    bench.put("a", "1");
    for round in 1..=3 {
        bench.run();
        bench.answer(vec![(0, hopeless())]);
        assert_eq!(bench.lane.retry_failed().unwrap(), Some(1));
        let stats = bench.lane.stats();
        assert_eq!(
            (stats.accepted, stats.failed, stats.requeued),
            (1, 0, round)
        );
    }
}

#[test]
fn closing_drains_and_ends_the_worker() {
    let bench = Bench::new(config(10), remote(8));
    bench.put("a", "1");
    bench.lane.orphan();
    assert_eq!(bench.run(), [["a=1"]]);
    assert!(bench.lane.has_worker(), "a request is still out");
    bench.answer(vec![]);
    assert!(matches!(bench.step(), Step::End));
    assert!(!bench.lane.has_worker());
}

#[test]
fn a_stop_that_producers_overtake_lets_the_lane_go_on() {
    let bench = Bench::new(config(10), remote(8));
    lock(&bench.lane.intake).closing = true;
    bench.put("a", "1");
    // Somebody who flushes all the time, too, must not keep `stop` waiting.
    bench.lane.urge();
    bench.run();
    assert!(!lock(&bench.lane.intake).closing);
    assert!(bench.lane.has_worker());
}

#[test]
fn a_full_queue_refuses_or_waits_as_configured() {
    let mut bounded = config(10);
    bounded.max_pending = 2.try_into().unwrap();
    bounded.when_full = WhenFull::Raise;
    let bench = Bench::new(bounded, remote(8));
    bench.put("a", "1");
    bench.put("b", "1");
    let message = Message::new("c", "1");
    assert!(
        bench
            .lane
            .try_enqueue(message.clone(), None)
            .unwrap()
            .is_some()
    );
    let error = bench.lane.enqueue(message, None, &Never).unwrap_err();
    assert_eq!(error.kind(), Kind::QueueFull);
    let huge = Message::new("k", &"x".repeat(65 << 20));
    assert_eq!(
        bench.lane.try_enqueue(huge, None).unwrap_err().kind(),
        Kind::Limit
    );
}

#[test]
fn a_direct_verb_waits_for_what_is_queued_before_it_and_stops_what_comes_after() {
    let bench = Bench::new(config(10), remote(8));
    bench.put("a", "queued");
    bench.put("other", "1");
    let lane = &bench.lane;
    std::thread::scope(|scope| {
        let direct = scope.spawn(|| {
            let hold = lane.hold(std::iter::once("a"), &Never).unwrap();
            lane.try_enqueue(Message::new("a", "later"), None).unwrap();
            lane.urge();
            hold
        });
        let deadline = Instant::now() + Duration::from_secs(10);
        let sent = loop {
            let sent = bench.run();
            if !sent.is_empty() || Instant::now() > deadline {
                break sent;
            }
            std::thread::yield_now();
        };
        assert_eq!(
            sent,
            [["a=queued", "other=1"]],
            "sent at once, its key first"
        );
        bench.answer(vec![]);
        let hold = direct.join().unwrap();
        assert!(
            bench.run().is_empty(),
            "what came later waits for the direct verb"
        );
        drop(hold);
        assert_eq!(bench.run(), [["a=later"]]);
    });
}

#[test]
fn a_direct_verb_wakes_the_worker_for_what_it_takes_in_or_held_back_alone() {
    let bench = Bench::new(config(10), remote(8));
    let lane = &bench.lane;
    let hold = || lane.hold(std::iter::once("a"), &Never).unwrap();
    let woken = || std::mem::take(&mut lock(&lane.intake).poked);
    bench.put("other", "1");
    drop(hold());
    assert!(woken(), "it took in what the worker counts on");
    assert!(bench.run().is_empty(), "the batch is not full");
    woken();
    drop(hold());
    assert!(!woken(), "nothing has changed for the worker");
    let direct = hold();
    bench.put("a", "later");
    assert!(bench.run().is_empty(), "its key is held");
    woken();
    drop(direct);
    assert!(woken(), "its key is free");
}

#[test]
fn a_direct_verb_does_not_wait_for_ever() {
    let bench = Bench::new(config(10), remote(8));
    bench.put("a", "queued");
    let error = bench.lane.hold(std::iter::once("a"), &Never).err().unwrap();
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(bench.lane.hold(std::iter::once("b"), &Never).is_ok());
}

#[test]
fn direct_verbs_of_one_key_wait_for_each_other_where_work_outlives_its_caller() {
    let remote = Bench::new(config(10), remote(8));
    let first = remote.lane.hold(std::iter::once("a"), &Never).unwrap();
    let second = remote.lane.hold(std::iter::once("a"), &Never).err();
    assert_eq!(second.unwrap().kind(), Kind::Timeout);
    drop(first);
    assert!(remote.lane.hold(std::iter::once("a"), &Never).is_ok());
    let local = Bench::new(config(10), atomic());
    let _first = local.lane.hold(std::iter::once("a"), &Never).unwrap();
    assert!(local.lane.hold(std::iter::once("a"), &Never).is_ok());
}

#[test]
fn a_message_that_stop_handed_back_keeps_its_key_closed_until_its_request_has_ended() {
    let bench = Bench::new(config(1), remote(1));
    bench.put("a", "old");
    bench.run();
    bench.lane.stop(Some(Instant::now()), &Never).unwrap();
    let early = bench.lane.hold(std::iter::once("a"), &Never).err();
    assert_eq!(early.unwrap().kind(), Kind::Timeout);
    assert!(bench.lane.hold(std::iter::once("b"), &Never).is_ok());
    bench.answer(vec![]);
    assert!(bench.lane.hold(std::iter::once("a"), &Never).is_ok());
}

#[test]
fn stop_hands_back_what_could_not_be_delivered_in_time() {
    let bench = Bench::new(config(1), remote(1));
    bench.put("travels", "1");
    bench.run();
    bench.put("waits", "1");
    bench.lane.stop(Some(Instant::now()), &Never).unwrap();
    let (failed, _) = bench.lane.take_unreported();
    let keys: Vec<_> = failed.iter().map(|failed| failed.message.key()).collect();
    assert_eq!(keys, ["travels", "waits"]);
    // The late answer of a request that was handed back changes nothing.
    bench.answer(vec![]);
    let stats = bench.lane.stats();
    assert_eq!((stats.delivered, stats.failed, stats.pending), (0, 2, 0));
}

#[test]
fn a_request_that_is_dropped_without_an_answer_goes_again() {
    let bench = Bench::new(config(1), remote(1));
    bench.put("a", "1");
    bench.run();
    drop(lock(&bench.fake.sent).remove(0));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.run(), [["a=1"]]);
}

#[derive(Debug, Clone)]
enum Move {
    Put(u8),
    Direct(u8),
    Work,
    Answer(Vec<bool>, bool),
    Wait(u16),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0_u8..6).prop_map(Move::Put),
        1 => (0_u8..6).prop_map(Move::Direct),
        3 => Just(Move::Work),
        3 => (proptest::collection::vec(any::<bool>(), 0..8), any::<bool>())
            .prop_map(|(failed, retryable)| Move::Answer(failed, retryable)),
        1 => (0_u16..3000).prop_map(Move::Wait),
    ];
    proptest::collection::vec(one, 0..120)
}

proptest! {
    /// Whatever happens, in whatever order: per key what is delivered is delivered in the order in which
    /// it was accepted, no key is in two requests, and the accounts add up.
    #[test]
    fn order_and_accounts_hold(moves in moves(), repeated in any::<bool>(), size in 1_usize..4) {
        let capabilities = Capabilities { repeated_keys: repeated, max_in_flight: if repeated { 1 } else { 3 }, ..remote(3) };
        let bench = Bench::new(config(size), capabilities);
        let mut accepted: u64 = 0;
        let mut last: HashMap<String, u64> = HashMap::new();
        let deliver = |bench: &Bench, last: &mut HashMap<String, u64>, failed: &[bool], retryable_error: bool| {
            let Some((batch, done)) = ({
                let mut sent = lock(&bench.fake.sent);
                if sent.is_empty() { None } else { Some(sent.remove(0)) }
            }) else { return };
            let mut failures = Failures::new();
            let mut stopped = false;
            for (at, message) in batch.iter().enumerate() {
                // As the trait says: after a retryable failure nothing later of the request is applied.
                let fails = stopped || failed.get(at).copied().unwrap_or(false);
                if fails {
                    stopped |= retryable_error && capabilities.repeated_keys;
                    failures.push((at, if retryable_error || stopped { retryable() } else { hopeless() }));
                    continue;
                }
                let number: u64 = message.value().parse().unwrap();
                let before = last.insert(message.key().to_owned(), number);
                assert!(before.is_none_or(|before| before < number), "{message:?} after {before:?}");
            }
            done.complete(failures);
        };
        for step in moves {
            match step {
                Move::Put(key) => {
                    accepted += 1;
                    bench.put(&format!("k{key}"), &accepted.to_string());
                }
                Move::Direct(key) => {
                    // Only where it need not wait: a thread of its own would make this random.
                    let key = format!("k{key}");
                    let busy = lock(&bench.fake.sent).iter().any(|(batch, _)| batch.iter().any(|m| m.key() == key));
                    let idle = bench.lane.stats().pending == 0;
                    if idle && !busy {
                        prop_assert!(bench.lane.hold(std::iter::once(key.as_str()), &Never).is_ok());
                    }
                }
                Move::Work => { bench.run(); }
                Move::Answer(failed, retryable) => deliver(&bench, &mut last, &failed, retryable),
                Move::Wait(millis) => bench.pass(Duration::from_millis(millis.into())),
            }
            let stats = bench.lane.stats();
            prop_assert_eq!(stats.accepted, accepted);
            prop_assert_eq!(stats.accepted, stats.delivered + stats.failed + stats.replaced + stats.pending);
            prop_assert!(stats.in_flight <= stats.pending);
            let sent = lock(&bench.fake.sent);
            if !repeated {
                let mut keys: Vec<_> = sent.iter().flat_map(|(batch, _)| batch.iter().map(Message::key)).collect();
                let all = keys.len();
                keys.sort_unstable();
                keys.dedup();
                prop_assert_eq!(keys.len(), all, "a key is in two requests");
            }
        }
        // In the end everything is delivered.
        for _ in 0..1000 {
            bench.lane.urge();
            bench.pass(Duration::from_millis(200));
            bench.run();
            deliver(&bench, &mut last, &[], false);
        }
        prop_assert_eq!(bench.lane.stats().pending, 0);
    }
}
