//! The verbs as etcd's requests.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;

use etcd_client::{
    Compare, CompareOp, GetOptions, KeyValue, KvClient, ResponseHeader, Txn, TxnOp, TxnOpResponse,
    TxnResponse,
};

use super::call::{Answer, Cluster};
use super::error::{About, Failure};
use super::fence::{self, Fence};
use crate::backend::remote::{Client, Fault, List, Most, Part};
use crate::backend::{Failures, Page};
use crate::config::EtcdConfig;
use crate::error::{Error, Kind, Result};
use crate::message::{BackendName, Limits, Message, quote};
use crate::wait::Interrupt;

/// Operations in one transaction: the default of the server's `--max-txn-ops`.
const MOST_OPERATIONS: usize = 128;
/// Bytes in one request: the default of the server's `--max-request-bytes`, 1.5 MiB.
const MOST_BYTES: usize = 3 << 19;
/// What a request needs besides the keys and values: more than the framing of a transaction of the most operations.
const OVERHEAD: usize = 16 << 10;
const MOST_IN_FLIGHT: usize = 16;
/// Keys that are read at once, in each of as many groups.
const MOST_READ: usize = 16;

const LARGEST_ITEM: usize = MOST_BYTES - OVERHEAD;

/// Records that the first request of a page asks for, before their size is known: of the largest, 48 MiB.
const FIRST_PAGE: usize = 32;
/// Bytes that a later request of a page should bring.
const PAGE_BYTES: usize = 4 << 20;
const LARGEST_PAGE: usize = 10_000;

/// After so many refusals others are writing the key all the time, and whoever is last wins.
const MOST_GUARDED: usize = 5;

/// See the module.
pub(super) struct Etcd {
    cluster: Cluster,
    /// The latest revision of the store that an answer has told.
    revision: AtomicI64,
    fence: Fence,
}

impl Etcd {
    pub(super) fn new(config: EtcdConfig) -> Self {
        Self {
            cluster: Cluster::new(config),
            revision: AtomicI64::new(0),
            fence: Fence::default(),
        }
    }

    fn note(&self, header: Option<&ResponseHeader>) {
        if let Some(header) = header {
            self.revision
                .fetch_max(header.revision(), Ordering::Relaxed);
        }
    }

    /// Changes `keys`, with operations of `size` bytes, if `condition` holds.
    ///
    /// A request may lie in a server that is frozen, or on a slow way, be given up and done again, and come to life
    /// much later (etcd #8327). So that it cannot undo what was written since, it is bound to what was known when it
    /// was sent. One key is bound to its own revision: it must not have changed after the latest revision seen. Only a
    /// key that was deleted since has no revision to tell. Many are bound to the fence, since comparing each of them
    /// costs the server a look-up each.
    async fn change(
        &self,
        keys: &[&[u8]],
        size: usize,
        condition: Option<Compare>,
        operations: impl Fn() -> Vec<TxnOp> + Sync,
    ) -> Result<Answer<TxnResponse>, Failure> {
        // What is on its way must come before this, or never.
        let many = keys.len() > 1 && condition.is_none();
        if self.fence.raise_if_due(&self.cluster, many).await? && many {
            match self.fence.change(&self.cluster, &operations).await {
                // It may be about the fence: the keys alone tell.
                Err(failure) if failure.about == About::Keys => self.fence.ask_again(),
                done => {
                    let done = done?;
                    self.note(done.answer.header());
                    return Ok(done);
                }
            }
        }
        let mut unsure = None;
        // In the comparison and, with a condition, in that and in the look at what failed.
        let times = if condition.is_some() { 3 } else { 1 };
        let weight = times * keys.iter().map(|key| key.len()).sum::<usize>() + size;
        // Keys so large that they do not fit in twice travel without the guard.
        let mut guarded = weight <= MOST_BYTES - OVERHEAD;
        for round in 0.. {
            guarded &= round < MOST_GUARDED;
            let mut compares: Vec<Compare> = condition.iter().cloned().collect();
            if guarded {
                let known = self.revision.load(Ordering::Relaxed);
                let unchanged =
                    |key: &&[u8]| Compare::mod_revision(*key, CompareOp::Less, known + 1);
                compares.extend(keys.iter().map(unchanged));
            }
            // With a condition, the other branch tells whether that was what failed.
            let look: Vec<TxnOp> = match (&condition, keys) {
                (Some(_), [key]) if guarded => {
                    vec![TxnOp::get(*key, Some(GetOptions::new().with_count_only()))]
                }
                _ => Vec::new(),
            };
            let request = |mut kv: KvClient| {
                let transaction = Txn::new()
                    .when(compares.clone())
                    .and_then(operations())
                    .or_else(look.clone());
                async move { kv.txn(transaction).await }
            };
            let done = match self.cluster.call(request).await {
                // Comparing takes the right to read, which whoever may only write does not have.
                Err(failure) if guarded && failure.about == About::Keys => {
                    guarded = false;
                    continue;
                }
                done => done?,
            };
            let answer = done.answer;
            unsure = done.unsure.or(unsure);
            self.note(answer.header());
            let missing = answer
                .op_responses()
                .iter()
                .any(|one| matches!(one, TxnOpResponse::Get(found) if found.count() == 0));
            if answer.succeeded() || !guarded || missing {
                return Ok(Answer { answer, unsure });
            }
        }
        unreachable!("the last round is not guarded, and returns")
    }
}

impl Etcd {
    async fn get(&self, key: &str) -> Result<Result<Option<String>>, Failure> {
        let request = |mut kv: KvClient| async move { kv.get(key, None).await };
        let done = self.cluster.call(request).await?;
        self.note(done.answer.header());
        Ok(done.answer.kvs().first().map(value_of).transpose())
    }
}

impl Etcd {
    /// Whether anything but the fence follows the last entry of a page.
    async fn follows(&self, entries: &[(String, String)], end: &[u8]) -> Result<bool, Failure> {
        let last = entries.last().map_or(&[][..], |(key, _)| key.as_bytes());
        let request = |mut kv: KvClient| {
            let options = GetOptions::new()
                .with_range(end.to_vec())
                .with_limit(2)
                .with_keys_only();
            let start = just_after(last);
            async move { kv.get(start, Some(options)).await }
        };
        let answer = self.cluster.call(request).await?.answer;
        Ok(answer
            .kvs()
            .iter()
            .any(|found| found.key() != fence::KEY.as_bytes()))
    }
}

fn put(message: &Message) -> TxnOp {
    TxnOp::put(message.key(), message.value(), None)
}

impl Client for Etcd {
    fn name(&self) -> BackendName {
        BackendName::Etcd
    }

    fn limits(&self) -> Limits {
        Limits {
            key: LARGEST_ITEM,
            item: LARGEST_ITEM,
            source: "etcd's limit of a request, 1.5 MiB",
            reserved: Some(fence::KEY),
        }
    }

    fn timeout(&self) -> Duration {
        self.cluster.timeout()
    }

    fn most_written(&self) -> Most {
        Most {
            count: MOST_OPERATIONS,
            bytes: MOST_BYTES - OVERHEAD,
        }
    }

    /// The key stands in a comparison, too, where the user has no right to the fence.
    fn size(&self, message: &Message) -> usize {
        message.key().len() + message.size()
    }

    fn most_read(&self) -> usize {
        MOST_READ
    }

    fn most_deleted(&self) -> usize {
        MOST_OPERATIONS
    }

    fn most_in_flight(&self) -> usize {
        MOST_IN_FLIGHT
    }

    fn is_atomic(&self) -> bool {
        true
    }

    async fn write(&self, part: Part<Message>) -> Result<Failures, Fault> {
        let messages = part.items();
        let keys: Vec<&[u8]> = messages
            .iter()
            .map(|message| message.key().as_bytes())
            .collect();
        let size = messages.iter().map(Message::size).sum();
        let operations = || messages.iter().map(put).collect();
        let written = self.change(&keys, size, None, operations).await;
        written.map_err(Failure::fault)?;
        Ok(Failures::new())
    }

    /// Each key for itself, all on their way at once. Not in one transaction: a server before 3.5.5 dies of one
    /// that only reads and is cancelled meanwhile (etcd #14110), as every deadline does.
    async fn read(&self, part: Part<String>) -> Result<Vec<(usize, String)>, Fault> {
        let reads = part.items().iter().enumerate().map(|(at, key)| async move {
            let found = self.get(key).await.map_err(Failure::fault)?;
            Ok(found.map_err(Fault::Request)?.map(|text| (at, text)))
        });
        let found: Vec<Option<(usize, String)>> = try_join_all(reads).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn delete(&self, part: Part<String>) -> Result<usize, Fault> {
        let keys: Vec<&[u8]> = part.items().iter().map(String::as_bytes).collect();
        let size = keys.iter().map(|key| key.len()).sum();
        let operations = || keys.iter().map(|key| TxnOp::delete(*key, None)).collect();
        let done = match self.change(&keys, size, None, operations).await {
            Err(failure) if failure.sent => return Err(failure.unsure().fault()),
            done => done.map_err(Failure::fault)?,
        };
        let deleted: usize = done
            .answer
            .op_responses()
            .iter()
            .map(|one| match one {
                TxnOpResponse::Delete(deleted) => usize::try_from(deleted.deleted()).unwrap_or(0),
                _ => 0,
            })
            .sum();
        match done.unsure {
            // The attempt whose answer was lost may have deleted what this one did not find.
            Some(lost) if deleted < keys.len() => Err(lost.unsure().fault()),
            _ => Ok(deleted),
        }
    }

    async fn update(&self, message: Message) -> Result<bool> {
        let key = message.key().as_bytes();
        let exists = Compare::version(key, CompareOp::Greater, 0);
        let operations = || vec![put(&message)];
        let done = self
            .change(&[key], message.size(), Some(exists), operations)
            .await?;
        Ok(done.answer.succeeded())
    }

    async fn list(&self, list: List) -> Result<Page> {
        // "\0" to "\0" is everything.
        let end = successor(list.prefix.as_bytes()).unwrap_or_else(|| vec![0]);
        let mut start = match &list.after {
            Some(after) => just_after(after.as_bytes()),
            None if list.prefix.is_empty() => vec![0],
            None => list.prefix.clone().into_bytes(),
        };
        let mut entries = Vec::new();
        let (mut bytes, mut revision) = (0, 0);
        let mut want = FIRST_PAGE;
        loop {
            if list.cancel.cancelled() {
                return Err(Error::interrupted());
            }
            let count = want.min(list.limit - entries.len());
            // All of a page at the revision of its beginning.
            let options = GetOptions::new()
                .with_range(end.clone())
                .with_limit(i64::try_from(count).unwrap_or(i64::MAX))
                .with_revision(revision);
            let options = if list.values {
                options
            } else {
                options.with_keys_only()
            };
            let request = |mut kv: KvClient| {
                let (start, options) = (start.clone(), options.clone());
                async move { kv.get(start, Some(options)).await }
            };
            let answer = match self.cluster.call(request).await {
                // What the page began with has been compacted away: it goes on with what is there now.
                Err(failure) if failure.about == About::Revision && revision > 0 => {
                    revision = 0;
                    continue;
                }
                done => done?.answer,
            };
            self.note(answer.header());
            if revision == 0 {
                revision = answer.header().map_or(0, ResponseHeader::revision);
            }
            for found in answer.kvs() {
                if found.key() == fence::KEY.as_bytes() {
                    continue;
                }
                bytes += found.key().len() + found.value().len();
                let text = if list.values {
                    value_of(found)?
                } else {
                    String::new()
                };
                entries.push((key_of(found)?, text));
            }
            let mut more = answer.more();
            if more && entries.len() >= list.limit && self.fence.is_there() {
                more = self.follows(&entries, &end).await?;
            }
            if !more || answer.kvs().is_empty() || entries.len() >= list.limit {
                return Ok(Page { entries, more });
            }
            if let Some(last) = answer.kvs().last() {
                start = just_after(last.key());
            }
            let average = (bytes / entries.len().max(1)).max(1);
            want = (PAGE_BYTES / average).clamp(1, LARGEST_PAGE);
        }
    }

    async fn ping(&self) -> Result<()> {
        let request = |mut kv: KvClient| async move {
            // Confirmed by a majority of the members, like every read.
            let options = GetOptions::new().with_count_only();
            kv.get("TetherDB", Some(options)).await
        };
        match self.cluster.call(request).await {
            Ok(done) => self.note(done.answer.header()),
            // It has answered, and knows the user, who has other keys.
            Err(failure) if failure.about == About::Keys => {}
            Err(failure) => return Err(failure.into()),
        }
        Ok(())
    }

    fn take_over(&self) {
        self.fence.make_due();
    }

    fn close(&self) {
        self.cluster.close();
    }
}

/// The first key after all that begin with `prefix`, if there is one.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// The first key after `key`.
fn just_after(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    next.push(0);
    next
}

fn value_of(found: &KeyValue) -> Result<String> {
    text_of(found.value(), found.key())
}

fn key_of(found: &KeyValue) -> Result<String> {
    text_of(found.key(), found.key())
}

fn text_of(bytes: &[u8], key: &[u8]) -> Result<String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| {
        let key = quote(&String::from_utf8_lossy(key));
        let text = format!(
            "the record of key {key} is not UTF-8: another program wrote it. Read it with that program, or delete it."
        );
        Error::backend(Kind::Backend, BackendName::Etcd, false, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_successor_of_a_prefix_ends_its_range() {
        assert_eq!(successor(b"a:"), Some(b"a;".to_vec()));
        assert_eq!(successor(&[b'a', 0xff]), Some(b"b".to_vec()));
        assert_eq!(successor(&[0xff]), None);
        assert_eq!(successor(b""), None);
    }
}
