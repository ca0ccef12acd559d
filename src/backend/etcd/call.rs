//! One request: on one member after the other, until it is done or its time is over.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Error as EtcdError, KvClient};
use tokio::time::{Instant, timeout_at};

use super::error::{self, About, Failure, Next};
use super::member::{Connection, Member};
use crate::backend::remote::pause::Pauses;
use crate::backend::remote::time;
use crate::config::EtcdConfig;
use crate::error::{Error, Kind};
use crate::message::BackendName;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// A token may be refused that was renewed a moment ago, while users are being changed.
const MOST_RENEWALS: usize = 3;

/// An answer, and what is known of the attempts before it.
pub(super) struct Answer<T> {
    pub(super) answer: T,
    /// How an attempt before it failed that was sent: nobody knows what became of it.
    pub(super) unsure: Option<Failure>,
}

/// The members, and which of them answered last.
pub(super) struct Cluster {
    config: EtcdConfig,
    members: Vec<Member>,
    current: AtomicUsize,
}

impl Cluster {
    pub(super) fn new(config: EtcdConfig) -> Self {
        let tls = config.tls.is_some();
        let members = config.endpoints.iter();
        Self {
            members: members.map(|url| Member::new(url, tls)).collect(),
            current: AtomicUsize::new(0),
            config,
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.config.timeout
    }

    pub(super) fn close(&self) {
        for member in &self.members {
            member.close();
        }
    }

    fn addresses(&self) -> String {
        let addresses: Vec<_> = self.members.iter().map(|m| m.address.as_str()).collect();
        addresses.join(", ")
    }

    /// Does one request. Each member gets its share of the time that is left, so that a frozen one leaves some for
    /// the others; when nobody can be reached at all, it ends at once. A failure was sent if any attempt was.
    pub(super) async fn call<T, F>(
        &self,
        request: impl Fn(KvClient) -> F + Sync,
    ) -> Result<Answer<T>, Failure>
    where
        T: Send,
        F: Future<Output = Result<T, EtcdError>> + Send,
    {
        let _request = time::Request;
        let deadline = time::deadline(self.config.timeout);
        let count = self.members.len();
        let mut pauses = Pauses::new(FIRST_PAUSE, LONGEST_PAUSE, deadline);
        let mut last: Option<Failure> = None;
        let mut unsure: Option<Failure> = None;
        loop {
            let first = self.current.load(Ordering::Relaxed);
            let mut reached = false;
            for step in 0..count {
                let now = Instant::now();
                if now >= deadline {
                    break;
                }
                let index = (first + step) % count;
                let left = u32::try_from(count - step).unwrap_or(u32::MAX);
                let until = now + (deadline - now) / left;
                let attempt = self.attempt(&self.members[index], until, &request);
                let failure = match attempt.await {
                    Ok(answer) => {
                        if step > 0 {
                            self.current.store(index, Ordering::Relaxed);
                        }
                        return Ok(Answer { answer, unsure });
                    }
                    Err(failure) => failure,
                };
                if failure.sent {
                    unsure = Some(failure.clone());
                }
                let sent = unsure.is_some();
                if failure.next == Next::Stop {
                    return Err(Failure { sent, ..failure });
                }
                // The next call shall not begin with a member that does not do its work.
                self.current.store((index + 1) % count, Ordering::Relaxed);
                reached |= failure.next == Next::Again;
                // What one member said says more than that another does not answer or is not there.
                let says_more = last
                    .as_ref()
                    .is_none_or(|last| failure.telling() >= last.telling());
                if says_more {
                    last = Some(failure);
                }
            }
            if !reached || !pauses.wait().await {
                break;
            }
        }
        let last = last.unwrap_or_else(|| self.no_answer(&self.addresses(), false));
        let sent = unsure.is_some();
        Err(Failure { sent, ..last })
    }

    /// Does the request on one member, with a token that is good.
    async fn attempt<T, F>(
        &self,
        member: &Member,
        until: Instant,
        request: &(impl Fn(KvClient) -> F + Sync),
    ) -> Result<T, Failure>
    where
        T: Send,
        F: Future<Output = Result<T, EtcdError>> + Send,
    {
        let mut connection: Option<Arc<Connection>> = None;
        let mut sent = false;
        let work = async {
            let open = member.connect(&self.config).await?;
            let open = connection.insert(open);
            let mut renewals = 0;
            loop {
                let token = open.token();
                sent = true;
                match request(open.kv()).await {
                    Err(error) if error::is_stale_token(&error) && renewals < MOST_RENEWALS => {
                        sent = false;
                        renewals += 1;
                        open.renew(token).await?;
                    }
                    outcome => return outcome,
                }
            }
        };
        let outcome = timeout_at(until, work).await;
        match outcome {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(cause)) => {
                let failure = error::understand(&cause, member, self.config.tls.is_some(), sent);
                if failure.about == About::Connection {
                    member.forget(connection.as_ref());
                }
                Err(failure)
            }
            Err(_) => {
                // Whatever hangs there, the next call shall not wait for it.
                member.forget(connection.as_ref());
                Err(self.no_answer(&member.address, sent))
            }
        }
    }

    fn no_answer(&self, address: &str, sent: bool) -> Failure {
        let text = format!(
            "no answer from {address} in its share of etcd.timeout, {} s. Check that the server is well and not overloaded, \
             or allow it more time.",
            self.config.timeout.as_secs_f64()
        );
        Failure {
            error: Error::backend(Kind::Timeout, BackendName::Etcd, true, text),
            next: Next::Again,
            sent,
            about: About::Connection,
        }
    }
}
