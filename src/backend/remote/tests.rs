//! Many keys in several requests, on a service that is told what to refuse; and the wait of a verb for its task.

use crate::sync::Mutex;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::time::Instant;

use super::pause::Pauses;
use super::{AT_ONCE, Client, Fault, List, Most, Part, Remote, bulk, time};
use crate::backend::{Backend, Change, Failures, Look, Page};
use crate::error::{Error, Kind, Result};
use crate::message::{BackendName, Limits, Message};
use crate::reply::Reply;
use crate::wait::{Cancel, Interrupt, Never, lock};

/// Takes four messages or ten bytes a request.
#[derive(Default)]
struct Service {
    /// Keys of every request that arrived.
    requests: Mutex<Vec<Vec<String>>>,
    written: Mutex<Vec<String>>,
    busy: AtomicUsize,
    busiest: AtomicUsize,
    /// How long an update takes.
    slow: Duration,
    /// Until when each ping, and each request to write, had time.
    deadlines: Mutex<Vec<Instant>>,
    atomic: bool,
}

fn refused(kind: Kind, retryable: bool) -> Error {
    Error::backend(kind, BackendName::Etcd, retryable, "refused.")
}

impl Service {
    async fn serve(&self, keys: Vec<String>) {
        let busy = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
        self.busiest.fetch_max(busy, Ordering::SeqCst);
        lock(&self.requests).push(keys);
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service {
    fn note_deadline(&self) {
        let _request = time::Request;
        lock(&self.deadlines).push(time::deadline(self.timeout()));
    }
}

impl Client for Service {
    fn name(&self) -> BackendName {
        BackendName::Etcd
    }

    fn limits(&self) -> Limits {
        Limits {
            key: 100,
            item: 100,
            source: "test",
            reserved: None,
        }
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn most_written(&self) -> Most {
        Most {
            count: 4,
            bytes: 10,
        }
    }

    fn most_read(&self) -> usize {
        3
    }

    fn most_deleted(&self) -> usize {
        2
    }

    fn most_in_flight(&self) -> usize {
        2
    }

    fn is_atomic(&self) -> bool {
        self.atomic
    }

    /// Refuses keys with "bad", leaves those with "later", and is not there for those with "down".
    async fn write(&self, part: Part<Message>) -> Result<Failures, Fault> {
        self.note_deadline();
        let keys: Vec<String> = part.items().iter().map(|m| m.key().to_owned()).collect();
        self.serve(keys.clone()).await;
        if keys.iter().any(|key| key.contains("down")) {
            return Err(Fault::Request(refused(Kind::Unavailable, true)));
        }
        if keys.len() > 1 && keys.iter().any(|key| key.contains("big")) {
            return Err(Fault::Size(refused(Kind::Limit, false)));
        }
        if keys.iter().any(|key| key.contains("bad")) {
            return Err(Fault::Message(refused(Kind::Backend, false)));
        }
        let mut left = Failures::new();
        for (at, key) in keys.into_iter().enumerate() {
            if key.contains("later") {
                left.push((at, refused(Kind::Throttled, true)));
            } else {
                lock(&self.written).push(key);
            }
        }
        Ok(left)
    }

    async fn read(&self, part: Part<String>) -> Result<Vec<(usize, String)>, Fault> {
        self.serve(part.items().to_vec()).await;
        let found = part
            .items()
            .iter()
            .enumerate()
            .filter(|(_, key)| !key.contains("gone"));
        Ok(found
            .map(|(at, key)| (at, format!("text of {key}")))
            .collect())
    }

    async fn delete(&self, part: Part<String>) -> Result<usize, Fault> {
        self.serve(part.items().to_vec()).await;
        if part.items().iter().any(|key| key.contains("bad")) {
            return Err(Fault::Message(refused(Kind::Backend, false)));
        }
        Ok(part
            .items()
            .iter()
            .filter(|key| !key.contains("gone"))
            .count())
    }

    async fn update(&self, message: Message) -> Result<bool> {
        assert!(message.key() != "panic", "as the test asks");
        tokio::time::sleep(self.slow).await;
        Ok(true)
    }

    async fn list(&self, _: List) -> Result<Page> {
        Ok(Page {
            entries: Vec::new(),
            more: false,
        })
    }

    async fn ping(&self) -> Result<()> {
        self.note_deadline();
        self.note_deadline();
        Ok(())
    }

    fn close(&self) {}
}

fn run(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

fn messages(keys: &[&str]) -> Vec<Message> {
    keys.iter().map(|key| Message::new(key, "")).collect()
}

fn strings(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|&key| key.to_owned()).collect()
}

fn sizes(service: &Service) -> Vec<usize> {
    let mut sizes: Vec<usize> = lock(&service.requests).iter().map(Vec::len).collect();
    sizes.sort_unstable();
    sizes
}

#[test]
fn a_request_takes_so_many_messages_and_bytes() {
    run(async {
        let service = Arc::new(Service::default());
        let keys = ["1", "2", "3", "4", "5", "123456", "12345", "1234567890"];
        bulk::write(&service, messages(&keys), &Cancel::default())
            .await
            .unwrap();
        assert_eq!(sizes(&service), [1, 1, 2, 4]);
        assert_eq!(lock(&service.written).len(), keys.len());
    });
}

#[test]
fn several_requests_travel_at_once_but_not_too_many() {
    run(async {
        let service = Arc::new(Service::default());
        let keys: Vec<String> = (0..40).map(|i| i.to_string()).collect();
        let batch = keys.iter().map(|key| Message::new(key, "")).collect();
        assert!(bulk::send(&service, batch).await.is_empty());
        assert_eq!(service.busiest.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_refused_batch_is_divided_until_the_message_at_fault_stands_alone() {
    run(async {
        let service = Arc::new(Service::default());
        let failures = bulk::send(&service, messages(&["1", "bad", "3", "4", "5"])).await;
        let at: Vec<usize> = failures.iter().map(|&(at, _)| at).collect();
        assert_eq!(at, [1]);
        assert!(!failures[0].1.retryable());
        let mut written = lock(&service.written).clone();
        written.sort();
        assert_eq!(written, ["1", "3", "4", "5"]);
    });
}

#[test]
fn a_batch_that_nobody_takes_is_not_divided() {
    run(async {
        let service = Arc::new(Service::default());
        let failures = bulk::send(&service, messages(&["1", "down", "3", "4"])).await;
        assert_eq!(failures.len(), 4);
        assert!(failures.iter().all(|(_, error)| error.retryable()));
        assert_eq!(sizes(&service), [4]);
    });
}

#[test]
fn what_the_service_leaves_fails_alone() {
    run(async {
        let service = Arc::new(Service::default());
        let failures = bulk::send(&service, messages(&["1", "2", "3", "later"])).await;
        assert_eq!(failures.len(), 1);
        assert_eq!((failures[0].0, failures[0].1.kind()), (3, Kind::Throttled));
    });
}

#[test]
fn a_failed_bulk_write_says_which_key_and_how_many_are_written() {
    run(async {
        let service = Arc::new(Service::default());
        let error = bulk::write(
            &service,
            messages(&["1", "2", "3", "bad", "5"]),
            &Cancel::default(),
        )
        .await;
        let text = error.unwrap_err().to_string();
        assert!(text.contains("The key was 'bad'."), "{text}");
        assert!(
            text.contains("of 5 keys are known to be written."),
            "{text}"
        );
        let error = bulk::write(&service, messages(&["bad"]), &Cancel::default())
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "etcd backend: refused. The key was 'bad'."
        );
    });
}

#[test]
fn a_direct_write_is_divided_only_where_it_is_not_all_or_nothing_anyway() {
    run(async {
        let atomic = || {
            Arc::new(Service {
                atomic: true,
                ..Service::default()
            })
        };
        let service = atomic();
        let written = bulk::write(&service, messages(&["1", "bad", "3"]), &Cancel::default()).await;
        let text = written.unwrap_err().to_string();
        assert!(
            text.ends_with("It may be about any of 3 keys. None of them is written."),
            "{text}"
        );
        assert!(lock(&service.written).is_empty());
        let service = atomic();
        assert_eq!(
            bulk::send(&service, messages(&["1", "bad", "3"]))
                .await
                .len(),
            1
        );
        assert_eq!(lock(&service.written).len(), 2);
        // What is too large goes in smaller requests all the same.
        let service = atomic();
        bulk::write(&service, messages(&["1", "big", "3"]), &Cancel::default())
            .await
            .unwrap();
        assert_eq!(lock(&service.written).len(), 3);
    });
}

#[test]
fn after_a_failure_no_other_request_begins() {
    run(async {
        let service = Arc::new(Service::default());
        let mut keys = vec!["down".to_owned()];
        keys.extend((0..100).map(|i| i.to_string()));
        let batch = keys.iter().map(|key| Message::new(key, "")).collect();
        bulk::write(&service, batch, &Cancel::default())
            .await
            .unwrap_err();
        assert!(sizes(&service).len() <= 3);
    });
}

#[test]
fn reads_and_deletes_are_put_together_again() {
    run(async {
        let service = Arc::new(Service::default());
        let keys = strings(&["a", "gone", "c", "d", "a", "gone", "g"]);
        let found = bulk::read(&service, keys.clone(), &Cancel::default())
            .await
            .unwrap();
        let at: Vec<usize> = found.iter().map(|&(at, _)| at).collect();
        assert_eq!(at, [0, 2, 3, 4, 6]);
        assert!(
            found
                .iter()
                .all(|(at, text)| *text == format!("text of {}", keys[*at]))
        );
        assert_eq!(
            bulk::delete(&service, keys, &Cancel::default())
                .await
                .unwrap(),
            5
        );
        let error = bulk::delete(&service, strings(&["a", "b", "bad"]), &Cancel::default()).await;
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("Keys known to be deleted: 2.")
        );
    });
}

#[test]
fn pauses_end_before_the_deadline() {
    let begun = Instant::now();
    let deadline = begun + Duration::from_millis(300);
    let mut pauses = Pauses::new(
        Duration::from_millis(1),
        Duration::from_millis(50),
        deadline,
    );
    let (mut now, mut count) = (begun, 0);
    while let Some(until) = pauses.next(now) {
        assert!(until < deadline);
        now = until;
        count += 1;
    }
    assert!((6..200).contains(&count), "{count}");
}

/// Interrupts at once.
struct Now;

impl Interrupt for Now {
    fn interrupted(&self) -> bool {
        true
    }
}

/// Tells when it is dropped.
struct Watched(mpsc::Sender<()>);

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[test]
fn an_interrupted_verb_leaves_its_work_to_end_by_itself_and_its_turn_with_it() {
    let slow = Duration::from_millis(300);
    let remote = Remote::new(Service {
        slow,
        ..Service::default()
    });
    let (ended, turn) = mpsc::channel();
    let begun = std::time::Instant::now();
    let update = remote.update(Message::new("k", "v"), Box::new(Watched(ended)), &Now);
    assert_eq!(update.unwrap_err().kind(), Kind::Interrupted);
    assert!(
        turn.try_recv().is_err(),
        "its turn was over before its work"
    );
    turn.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(begun.elapsed() >= slow);
}

#[test]
fn a_panic_in_a_task_is_an_error_of_its_verb() {
    let remote = Remote::new(Service::default());
    let (ended, turn) = mpsc::channel();
    let message = Message::new("panic", "");
    let outcome = remote.update(message, Box::new(Watched(ended)), &Never);
    assert!(outcome.unwrap_err().to_string().contains("panic"));
    turn.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(
        remote
            .update(Message::new("k", "v"), Box::new(()), &Never)
            .unwrap()
    );
}

#[test]
fn threads_that_need_the_runtime_first_get_the_same() {
    std::thread::scope(|scope| {
        let get = || crate::executor::get(BackendName::Etcd).unwrap().id();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(get)).collect();
        let ids: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        assert!(ids.iter().all(|id| *id == ids[0]));
    });
}

/// Between which deadlines that of a call lies which `begin` begins behind as many others as may be under way.
fn begin_in_line(
    remote: &Arc<Remote<Service>>,
    begin: impl FnOnce(Arc<Remote<Service>>),
) -> RangeInclusive<Instant> {
    for _ in 0..AT_ONCE {
        let update = Change::Update(Message::new("k", "v"));
        let reply = Reply::new(|updated: Result<usize>| assert_eq!(updated.unwrap(), 1));
        Arc::clone(remote).change(update, Box::new(()), Arc::default(), reply);
    }
    let earliest = Instant::now();
    begin(Arc::clone(remote));
    let timeout = remote.client.timeout();
    earliest + timeout..=Instant::now() + timeout
}

fn told<T: Send + 'static>() -> (Reply<T>, impl FnOnce()) {
    let (tell, told) = mpsc::channel();
    let reply = Reply::new(move |outcome: Result<T>| tell.send(outcome.map(drop)).unwrap());
    let wait = move || told.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
    (reply, wait)
}

#[test]
fn a_call_that_stands_in_line_has_one_deadline_from_its_beginning() {
    let remote = Arc::new(Remote::new(Service {
        slow: Duration::from_millis(200),
        ..Service::default()
    }));
    let deadlines = || std::mem::take(&mut *lock(&remote.client.deadlines));

    let (reply, wait) = told();
    let expected = begin_in_line(&remote, |remote| {
        remote.look(Look::Ping, Arc::default(), reply);
    });
    wait();
    let noted = deadlines();
    assert!(expected.contains(&noted[0]));
    // Its next request has its own time, as those of a call that has never waited.
    assert!(noted[1] > *expected.end());

    let (reply, wait) = told();
    let messages = (0..40).map(|i| Message::new(&i.to_string(), ""));
    let write = Change::Write(messages.collect());
    let expected = begin_in_line(&remote, |remote| {
        remote.change(write, Box::new(()), Arc::default(), reply);
    });
    wait();
    let noted = deadlines();
    let (first, later) = noted.split_at(remote.client.most_in_flight());
    assert!(first.iter().all(|one| expected.contains(one)));
    assert!(!later.is_empty() && later.iter().all(|one| one > expected.end()));
}
