//! The fence: what keeps a transaction that was given up from being done later, over newer values.
//!
//! It is the revision of one key. Every transaction of many keys is bound to the revision that is known, and after one
//! has been given up the key is written, before anything else is. That one, should it still come to life, finds the
//! fence raised and does nothing. While all goes well the key does not exist, and its revision is 0.
//!
//! Other programs with transactions on their way find the fence raised, too: they look where it is now, and send anew.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use etcd_client::{
    Compare, CompareOp, GetOptions, KvClient, Txn, TxnOp, TxnOpResponse, TxnResponse,
};

use super::call::{Answer, Cluster};
use super::error::{About, Failure};

/// Where the fence is. Lists do not show it.
pub(super) const KEY: &str = "TetherDB/fence";

#[derive(Default)]
pub(super) struct Fence {
    /// The revision that was seen last.
    revision: AtomicI64,
    /// How many transactions have been given up since it was raised.
    due: AtomicU64,
    /// Held by whoever raises it, with how often that has been tried, and how the latest try failed.
    raising: tokio::sync::Mutex<(u64, Option<Failure>)>,
    /// As in `raising`, for whoever comes to wait.
    tried: AtomicU64,
    /// The user's right to it has been asked for.
    asked: AtomicBool,
    /// The user may not touch it: keys are compared one by one.
    denied: AtomicBool,
}

impl Fence {
    /// Something may be on its way that must not be done after what comes now.
    pub(super) fn make_due(&self) {
        self.due.fetch_add(1, Ordering::AcqRel);
    }

    /// Raises the fence, where that is due. With `wanted`, tells whether the user may use it at all.
    pub(super) async fn raise_if_due(
        &self,
        cluster: &Cluster,
        wanted: bool,
    ) -> Result<bool, Failure> {
        let is_done = |due: u64| due == 0 && (self.asked.load(Ordering::Acquire) || !wanted);
        if self.denied.load(Ordering::Acquire) {
            return Ok(false);
        }
        if is_done(self.due.load(Ordering::Acquire)) {
            return Ok(wanted);
        }
        let before = self.tried.load(Ordering::Acquire);
        let mut raising = self.raising.lock().await;
        if let (tried, Some(failure)) = &*raising
            && *tried > before
        {
            // Whoever waited has waited long enough.
            return Err(failure.clone());
        }
        let due = self.due.load(Ordering::Acquire);
        if is_done(due) {
            return Ok(wanted);
        }
        // No key was made before all others: where nothing is due, this only asks whether the user may.
        let never = Compare::create_revision(KEY, CompareOp::Less, 0);
        let request = |mut kv: KvClient| {
            let raise = TxnOp::put(KEY, "", None);
            let transaction = if due == 0 {
                Txn::new()
                    .when([never.clone()])
                    .and_then([raise])
                    .or_else([look()])
            } else {
                Txn::new().and_then([raise, look()])
            };
            async move { kv.txn(transaction).await }
        };
        let outcome = match cluster.call(request).await {
            Ok(done) => {
                self.note(&done.answer);
                self.due.fetch_sub(due, Ordering::AcqRel);
                self.asked.store(true, Ordering::Release);
                Ok(wanted)
            }
            Err(failure) if failure.about == About::Keys => {
                self.denied.store(true, Ordering::Release);
                Ok(false)
            }
            // What was to be changed has not been sent, whatever became of the fence.
            Err(failure) => Err(Failure {
                sent: false,
                ..failure
            }),
        };
        let tried = self.tried.fetch_add(1, Ordering::AcqRel) + 1;
        *raising = (tried, outcome.as_ref().err().cloned());
        outcome
    }

    /// The user may no longer touch it, or may not touch one of the keys beside it: who wants it next asks again.
    pub(super) fn ask_again(&self) {
        self.asked.store(false, Ordering::Release);
    }

    /// Whether there is one, as far as is known.
    pub(super) fn is_there(&self) -> bool {
        self.revision.load(Ordering::Acquire) > 0
    }

    /// Does `operations` in one transaction, if the fence is where it was when it was sent.
    pub(super) async fn change(
        &self,
        cluster: &Cluster,
        operations: impl Fn() -> Vec<TxnOp> + Sync,
    ) -> Result<Answer<TxnResponse>, Failure> {
        let mut unsure = None;
        loop {
            let known = self.revision.load(Ordering::Acquire);
            let request = |mut kv: KvClient| {
                let transaction = Txn::new()
                    .when([Compare::mod_revision(KEY, CompareOp::Equal, known)])
                    .and_then(operations())
                    .or_else([look()]);
                async move { kv.txn(transaction).await }
            };
            let done = match cluster.call(request).await {
                Ok(done) => done,
                Err(failure) => {
                    if failure.sent {
                        self.make_due();
                    }
                    return Err(failure);
                }
            };
            if done.unsure.is_some() {
                self.make_due();
            }
            let answer = done.answer;
            unsure = done.unsure.or(unsure);
            if answer.succeeded() {
                return Ok(Answer { answer, unsure });
            }
            // Raised since, by this program or another: nothing was done.
            self.note(&answer);
        }
    }

    /// Notes where the fence is, as an answer tells.
    fn note(&self, answer: &TxnResponse) {
        for one in answer.op_responses() {
            if let TxnOpResponse::Get(found) = one {
                let revision = found
                    .kvs()
                    .first()
                    .map_or(0, etcd_client::KeyValue::mod_revision);
                self.revision.store(revision, Ordering::Release);
            }
        }
    }
}

fn look() -> TxnOp {
    TxnOp::get(KEY, Some(GetOptions::new().with_keys_only()))
}
