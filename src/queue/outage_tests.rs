//! The lane while its backend is down, and what the journal is told of it; on the bench of `tests`.

use std::time::Duration;

use super::lane::Step;
use super::tests::{Bench, config, hopeless, remote, retryable};
use crate::backend::Failures;
use crate::message::Message;
use crate::wait::{Never, lock};

/// A lane that gives up at once, or after so many seconds, on a remote backend.
fn giving_up_after(seconds: u64) -> Bench {
    let mut config = config(4);
    config.timeout = Duration::ZERO;
    config.retry.give_up_after = Duration::from_secs(seconds);
    Bench::new(config, remote(8))
}

fn all_fail(count: usize) -> Failures {
    (0..count).map(|at| (at, retryable())).collect()
}

#[test]
fn a_backend_that_is_down_gets_one_request_at_a_time() {
    let bench = giving_up_after(60);
    for n in 0..20 {
        bench.put(&format!("k{n}"), "v");
    }
    assert_eq!(bench.run().len(), 5);
    for _ in 0..5 {
        bench.answer(all_fail(4));
    }
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.run().len(), 1, "one looks whether it is there again");
    bench.answer(Failures::new());
    assert_eq!(bench.run().len(), 4, "it is");
}

#[test]
fn what_waits_for_a_backend_that_is_down_is_given_up_together() {
    let bench = giving_up_after(10);
    for n in 0..20 {
        bench.put(&format!("k{n}"), "v");
    }
    bench.run();
    for _ in 0..5 {
        bench.answer(all_fail(4));
    }
    for n in 20..40 {
        bench.put(&format!("k{n}"), "v");
    }
    bench.pass(Duration::from_secs(11));
    bench.run();
    bench.put("young", "v");
    bench.answer(all_fail(4));
    bench.run();
    let stats = bench.lane.stats();
    assert_eq!(
        (stats.failed, stats.pending),
        (40, 1),
        "the young one is left"
    );
    assert_eq!(lock(&bench.events.given_up).len(), 40);
}

#[test]
fn giving_up_moves_no_outage_so_that_what_comes_later_is_sent() {
    let bench = giving_up_after(0);
    bench.put("a", "1");
    assert_eq!(bench.run(), [["a=1"]]);
    bench.put("b", "2");
    bench.pass(Duration::from_millis(1));
    bench.answer(all_fail(1));
    let Step::GiveUp {
        batch,
        verdict,
        tenure,
    } = bench.step()
    else {
        panic!("b could have been in that request");
    };
    bench.pass(Duration::from_millis(1));
    bench.put("c", "3");
    bench.lane.give_up(tenure, batch, verdict);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.run(), [["c=3"]]);
    bench.answer(Failures::new());
    assert_eq!(bench.lane.stats().delivered, 1);
}

#[test]
fn the_journal_is_told_what_the_queue_does() {
    let folder = tempfile::tempdir().unwrap();
    let place = crate::config::JournalConfig {
        path: folder.path().join("journal"),
        sync: crate::config::JournalSync::Never,
    };
    let mut config = config(2);
    config.journal = Some(place.clone());
    config.timeout = Duration::ZERO;
    let bench = Bench::new(config, remote(1));
    let open = || super::journal::Journal::open(&place, bench.events.clone(), &Never).unwrap();
    let (journal, live) = open();
    bench.lane.adopt(&journal, live);
    for key in ["a", "b"] {
        assert!(
            bench
                .lane
                .enqueue(Message::new(key, "1"), None, &Never)
                .unwrap()
        );
    }
    assert_eq!(bench.run().len(), 1);
    // An outage begins, and lasts longer than anything may wait. Its end tells of one of the two only.
    bench.answer(all_fail(2));
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.run().len(), 1);
    bench.answer(vec![(1, hopeless())]);
    assert_eq!(bench.lane.stats().delivered, 1);
    assert_eq!(bench.lane.stats().failed, 1);
    for key in ["c", "d"] {
        assert!(
            bench
                .lane
                .enqueue(Message::new(key, "1"), None, &Never)
                .unwrap()
        );
    }
    bench.run();
    bench.answer(all_fail(2));
    bench.pass(Duration::from_secs(5));
    bench.run();
    bench.answer(vec![(1, retryable())]);
    assert_eq!(bench.lane.stats().pending, 1, "d goes again");
    journal.close();
    let (_journal, live) = open();
    let live: Vec<_> = live
        .iter()
        .map(|(_, live)| (live.message.key(), live.failed.is_some()))
        .collect();
    assert_eq!(live, [("b", true), ("d", false)]);
}
