//! Callers of a lane that are called back; on the bench of `tests`.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::control::Hold;
use super::tests::{Bench, config, remote, retryable};
use crate::backend::Failures;
use crate::error::{Kind, Result};
use crate::message::Message;
use crate::reply::Reply;
use crate::wait::{Cancel, Never};

/// Longer than anything here takes.
const PATIENT: Duration = Duration::from_secs(20);

fn reply<T: Send + 'static>() -> (Reply<T>, Receiver<Result<T>>) {
    let (tell, told) = channel();
    (Reply::new(move |outcome| drop(tell.send(outcome))), told)
}

fn hold(bench: &Bench, key: &str) -> Receiver<Result<Hold>> {
    let (reply, told) = reply();
    let keys = vec![key.to_owned()];
    bench.lane.hold_later(keys, Arc::default(), reply);
    told
}

fn put(bench: &Bench, key: &str, cancel: &Arc<Cancel>) -> Receiver<Result<()>> {
    let (reply, told) = reply();
    let message = Message::new(key, "v");
    bench
        .lane
        .enqueue_later(message, None, Arc::clone(cancel), reply);
    told
}

fn flush(bench: &Bench, deadline: Option<Instant>) -> Receiver<Result<()>> {
    let (reply, told) = reply();
    bench.lane.flush_later(deadline, Arc::default(), reply);
    told
}

fn full_after(count: usize) -> Bench {
    let mut config = config(1);
    config.timeout = Duration::ZERO;
    config.max_pending = count.try_into().unwrap();
    Bench::new(config, remote(8))
}

#[test]
fn a_turn_with_nothing_before_it_comes_at_once() {
    let bench = Bench::new(config(1), remote(8));
    assert!(hold(&bench, "k").try_recv().unwrap().is_ok());
}

#[test]
fn turns_of_one_key_come_one_after_the_other_behind_what_is_queued() {
    let bench = Bench::new(config(1), remote(8));
    bench.put("k", "v");
    let turns = [hold(&bench, "k"), hold(&bench, "k")];
    bench.put("k", "later");
    assert_eq!(bench.run(), [["k=v"]], "what a turn waits for goes at once");
    assert!(turns[0].try_recv().is_err());
    bench.answer(Failures::new());
    let first = turns[0].recv_timeout(PATIENT).unwrap().unwrap();
    assert!(
        turns[1].try_recv().is_err(),
        "the backend does not apply two in order"
    );
    assert!(bench.run().is_empty(), "nothing overtakes a turn");
    drop(first);
    let second = turns[1].recv_timeout(PATIENT).unwrap().unwrap();
    drop(second);
    assert_eq!(bench.run(), [["k=later"]]);
}

#[test]
fn a_turn_that_does_not_come_is_given_up_and_lets_others_pass() {
    let bench = Bench::new(config(1), remote(8));
    bench.put("k", "v");
    bench.run();
    let turn = hold(&bench, "k");
    // The bench's backend has a patience of 0.2 s.
    let error = turn.recv_timeout(PATIENT).unwrap().err().unwrap();
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(error.to_string().contains("'k'"), "{error}");
    bench.put("k", "later");
    bench.answer(Failures::new());
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.run(), [["k=later"]]);
}

#[test]
fn those_who_wait_for_room_come_in_in_their_order() {
    let bench = full_after(1);
    bench.put("a", "v");
    let waiting = ["b", "c"].map(|key| put(&bench, key, &Arc::default()));
    for (told, key) in waiting.iter().zip(["b", "c"]) {
        assert!(told.try_recv().is_err());
        bench.run();
        bench.answer(Failures::new());
        told.recv_timeout(PATIENT).unwrap().unwrap();
        assert_eq!(bench.run(), [[format!("{key}=v")]]);
    }
    assert_eq!(bench.lane.stats().accepted, 3);
}

#[test]
fn who_is_cancelled_while_waiting_for_room_does_not_come_in() {
    let bench = full_after(1);
    bench.put("a", "v");
    let cancel = Arc::new(Cancel::default());
    let cancelled = put(&bench, "b", &cancel);
    let patient = put(&bench, "c", &Arc::default());
    cancel.cancel();
    bench.run();
    bench.answer(Failures::new());
    let error = cancelled.recv_timeout(PATIENT).unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
    patient.recv_timeout(PATIENT).unwrap().unwrap();
    assert_eq!(bench.run(), [["c=v"]]);
}

#[test]
fn stop_sends_those_away_who_wait_for_room() {
    let bench = full_after(1);
    bench.put("a", "v");
    let waiting = put(&bench, "b", &Arc::default());
    bench.lane.stop(Some(Instant::now()), &Never).unwrap();
    let error = waiting.recv_timeout(PATIENT).unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::QueueFull);
    let stats = bench.lane.stats();
    assert_eq!((stats.accepted, stats.failed, stats.pending), (1, 1, 0));
}

#[test]
fn a_flush_ends_when_what_was_before_it_has_left_the_queue() {
    let bench = Bench::new(config(1), remote(8));
    assert!(flush(&bench, None).try_recv().unwrap().is_ok());
    bench.put("a", "v");
    let flushed = flush(&bench, None);
    bench.put("b", "v");
    assert_eq!(bench.run(), [["a=v"], ["b=v"]]);
    bench.answer(vec![(0, retryable())]);
    bench.answer(Failures::new());
    assert!(flushed.try_recv().is_err(), "the first goes again");
    bench.pass(Duration::from_secs(1));
    bench.run();
    bench.answer(Failures::new());
    flushed.recv_timeout(PATIENT).unwrap().unwrap();
}

/// Waits for what another thread does in a moment.
fn eventually(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENT, "it never came true");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_timer_ends_with_its_call() {
    let bench = Bench::new(config(1), remote(8));
    let before = Arc::weak_count(&bench.lane);
    bench.put("k", "v");
    let turn = hold(&bench, "k");
    let flushed = flush(&bench, Some(Instant::now() + Duration::from_hours(1)));
    bench.run();
    assert_eq!(Arc::weak_count(&bench.lane), before + 2);
    bench.answer(Failures::new());
    flushed.recv_timeout(PATIENT).unwrap().unwrap();
    turn.recv_timeout(PATIENT).unwrap().unwrap();
    eventually(|| Arc::weak_count(&bench.lane) == before);
}

#[test]
fn flushes_that_are_cancelled_one_after_the_other_do_not_pile_up() {
    let bench = Bench::new(config(1), remote(8));
    bench.put("k", "v");
    let patient = flush(&bench, None);
    let left = Arc::new(());
    for _ in 0..1000 {
        let (cancel, mine) = (Arc::new(Cancel::default()), Arc::clone(&left));
        let reply = Reply::new(move |_| drop(mine));
        bench.lane.flush_later(None, Arc::clone(&cancel), reply);
        cancel.cancel();
    }
    eventually(|| Arc::strong_count(&left) < 200);
    assert!(patient.try_recv().is_err());
    bench.run();
    bench.answer(Failures::new());
    patient.recv_timeout(PATIENT).unwrap().unwrap();
}

#[test]
fn a_flush_says_when_its_time_is_over() {
    let bench = Bench::new(config(1), remote(8));
    bench.put("a", "v");
    let deadline = Instant::now() + Duration::from_millis(20);
    let flushed = flush(&bench, Some(deadline));
    let error = flushed.recv_timeout(PATIENT).unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::FlushTimeout);
    assert!(error.to_string().starts_with("etcd"), "{error}");
    assert!(error.to_string().contains("1 queued message"), "{error}");
}

#[test]
fn a_reply_that_is_dropped_says_so() {
    let (reply, told) = reply::<()>();
    drop(reply);
    assert!(told.try_recv().unwrap().is_err());
}
