//! What the backends across a network share: how verbs wait for requests, and how many keys become several of them.
//!
//! A backend of this kind implements [`Client`], whose functions are one request each; [`Remote`] makes a
//! [`Backend`] of it.
//!
//! - [`bulk`]: many keys in several requests at once.
//! - [`pause`]: how long to wait before a request goes again.
//! - [`time`]: until when a request has time.

pub(super) mod bulk;
pub(super) mod pause;
#[cfg(test)]
mod tests;
pub(super) mod time;

use std::future::Future;
use std::ops;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::{
    Backend, Capabilities, Change, Changed, Completion, Failures, Found, Look, Page, Range, Turn,
};
use crate::error::{Error, Kind, Result};
use crate::executor;
use crate::message::{BackendName, Limits, Message, quote};
use crate::reply::Reply;
use crate::wait::{Cancel, Interrupt};

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// Whatever it carried, it would have failed.
    Request(Error),
    /// It may be the fault of one of the messages in it.
    Message(Error),
    /// It carries more than this server takes; less may do.
    Size(Error),
}

impl Fault {
    /// Whether one message may be at fault.
    pub(super) fn is_of_one(&self) -> bool {
        matches!(self, Self::Message(_))
    }

    /// Whether less in the request may do.
    pub(super) fn is_of_size(&self) -> bool {
        matches!(self, Self::Size(_))
    }
}

/// Some of many messages or keys; what one request carries.
#[derive(Clone)]
pub(super) struct Part<T> {
    all: Arc<Vec<T>>,
    range: ops::Range<usize>,
}

impl<T> Part<T> {
    pub(super) fn items(&self) -> &[T] {
        &self.all[self.range.clone()]
    }
}

/// What a list asks for.
pub(super) struct List {
    pub(super) prefix: String,
    pub(super) after: Option<String>,
    pub(super) limit: usize,
    pub(super) values: bool,
    /// Set when nobody waits for the page any more: no other request of it begins.
    pub(super) cancel: Arc<Cancel>,
}

/// How much one request may carry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

/// One service across a network. Every function is one request, repeated as it may be until its deadline.
pub(super) trait Client: Send + Sync + 'static {
    fn name(&self) -> BackendName;
    fn limits(&self) -> Limits;
    fn timeout(&self) -> Duration;

    /// What one request may carry: of messages written, keys read, keys deleted.
    fn most_written(&self) -> Most;
    /// The bytes of a message in a request.
    fn size(&self, message: &Message) -> usize {
        message.size()
    }
    /// The bytes of a key in a request that has keys only.
    fn key_size(&self, key: &str) -> usize {
        2 * key.len()
    }
    fn most_read(&self) -> usize;
    fn most_deleted(&self) -> usize;
    /// How many requests may be in flight at once.
    fn most_in_flight(&self) -> usize;
    /// Whether a request writes all of its messages or none.
    fn is_atomic(&self) -> bool;

    /// Writes all messages; gives those that were left, by their position.
    fn write(&self, part: Part<Message>) -> impl Future<Output = Result<Failures, Fault>> + Send;
    /// The texts of those keys that exist, with their position.
    fn read(
        &self,
        part: Part<String>,
    ) -> impl Future<Output = Result<Vec<(usize, String)>, Fault>> + Send;
    /// How many of the keys existed.
    fn delete(&self, part: Part<String>) -> impl Future<Output = Result<usize, Fault>> + Send;
    fn update(&self, message: Message) -> impl Future<Output = Result<bool>> + Send;
    fn list(&self, list: List) -> impl Future<Output = Result<Page>> + Send;
    fn ping(&self) -> impl Future<Output = Result<()>> + Send;

    /// As [`Backend::take_over`].
    fn take_over(&self) {}

    /// Lets go of its connections; the next request opens what it needs.
    fn close(&self);
}

/// Of calls that are called back, so many have requests under way: a request in flight takes tens of kilobytes, and a
/// connection may be its own.
const AT_ONCE: usize = 256;
/// A wait in line that the error of a call should tell of.
const NOTABLE: Duration = Duration::from_millis(100);

/// A backend across a network.
pub(super) struct Remote<C> {
    client: Arc<C>,
    at_once: Arc<Semaphore>,
}

impl<C: Client> Remote<C> {
    pub(super) fn new(client: C) -> Self {
        Self {
            client: Arc::new(client),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Has the runtime do `work`, and answer. It is not begun if nobody waits for it any more, or if those before it take
    /// all of its time; what they leave of it is its first request's.
    fn call_back<T, F>(
        &self,
        cancel: Arc<Cancel>,
        reply: Reply<T>,
        work: impl FnOnce(Arc<C>, Arc<Cancel>) -> F + Send + 'static,
    ) where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let runtime = match executor::get(self.name()) {
            Ok(runtime) => runtime,
            Err(error) => return reply.give(Err(error)),
        };
        let (client, at_once) = (Arc::clone(&self.client), Arc::clone(&self.at_once));
        let begun = Instant::now();
        runtime.spawn(async move {
            let turn = timeout_at(begun + client.timeout(), at_once.acquire_owned()).await;
            let outcome = match turn {
                Ok(_) if cancel.cancelled() => Err(Error::interrupted()),
                // Boxed: what waits for its turn has no room for a request yet.
                Ok(turn) => {
                    let waited = begun.elapsed();
                    let work = time::counted_from(Some(begun), work(client, cancel));
                    let outcome = Box::pin(executor::gated(work)).await;
                    drop(turn);
                    outcome.map_err(|error| short_of_time(error, waited))
                }
                Err(_) => Err(waited_in_vain(&*client)),
            };
            reply.give(outcome);
        });
    }

    /// Waits for `work`. If its caller is interrupted, what is on its way ends by itself, and nothing more begins.
    fn wait_for<T, F>(
        &self,
        interrupt: &dyn Interrupt,
        work: impl FnOnce(Arc<C>, Arc<Cancel>) -> F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let cancel = Arc::new(Cancel::default());
        let work = work(Arc::clone(&self.client), Arc::clone(&cancel));
        executor::wait_for(self.name(), work, interrupt).inspect_err(|error| {
            if error.kind() == Kind::Interrupted {
                cancel.cancel();
            }
        })
    }
}

/// Says so where a request failed that had less than its time.
fn short_of_time(error: Error, waited: Duration) -> Error {
    if error.kind() != Kind::Timeout || waited < NOTABLE {
        return error;
    }
    error.noted(&format!(
        "{:.1} s of its time went by in line: {AT_ONCE} other calls of this handle were under way.",
        waited.as_secs_f64()
    ))
}

fn waited_in_vain<C: Client>(client: &C) -> Error {
    let text = format!(
        "{AT_ONCE} other calls of this handle are under way, and many before this one: its turn did not come within \
         {:.1} s. Nothing was sent; begin fewer calls at once, or raise the timeout.",
        client.timeout().as_secs_f64()
    );
    Error::backend(Kind::Timeout, client.name(), true, text)
}

/// Updates one key; whether it existed.
async fn update<C: Client>(client: &Arc<C>, message: Message) -> Result<bool> {
    let key = quote(message.key());
    let updated = client.update(message).await;
    updated.map_err(|error| error.noted(&format!("The key was {key}.")))
}

impl<C: Client> Backend for Remote<C> {
    fn name(&self) -> BackendName {
        self.client.name()
    }

    fn limits(&self) -> Limits {
        self.client.limits()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            repeated_keys: false,
            max_batch: self.client.most_written().count,
            batches_per_request: 1,
            max_in_flight: self.client.most_in_flight(),
        }
    }

    fn patience(&self) -> Duration {
        self.client.timeout()
    }

    fn read(&self, keys: &[String], interrupt: &dyn Interrupt) -> Result<Vec<(usize, String)>> {
        let keys = keys.to_vec();
        self.wait_for(interrupt, |client, cancel| async move {
            bulk::read(&client, keys, &cancel).await
        })
    }

    fn write(&self, messages: Vec<Message>, turn: Turn, interrupt: &dyn Interrupt) -> Result<()> {
        self.wait_for(interrupt, |client, cancel| async move {
            let _turn = turn;
            bulk::write(&client, messages, &cancel).await
        })
    }

    fn update(&self, message: Message, turn: Turn, interrupt: &dyn Interrupt) -> Result<bool> {
        self.wait_for(interrupt, |client, _| async move {
            let _turn = turn;
            update(&client, message).await
        })
    }

    fn delete(&self, keys: Vec<String>, turn: Turn, interrupt: &dyn Interrupt) -> Result<usize> {
        self.wait_for(interrupt, |client, cancel| async move {
            let _turn = turn;
            bulk::delete(&client, keys, &cancel).await
        })
    }

    fn list(&self, range: Range<'_>, interrupt: &dyn Interrupt) -> Result<Page> {
        let (prefix, after) = (range.prefix.to_owned(), range.after.map(str::to_owned));
        let (limit, values) = (range.limit, range.values);
        self.wait_for(interrupt, |client, cancel| async move {
            let list = List {
                prefix,
                after,
                limit,
                values,
                cancel,
            };
            client.list(list).await
        })
    }

    fn ping(&self, interrupt: &dyn Interrupt) -> Result<()> {
        self.wait_for(interrupt, |client, _| async move { client.ping().await })
    }

    fn change(
        self: Arc<Self>,
        change: Change,
        turn: Turn,
        cancel: Arc<Cancel>,
        reply: Reply<Changed>,
    ) {
        self.call_back(cancel, reply, |client, cancel| async move {
            let _turn = turn;
            match change {
                Change::Write(messages) => {
                    let count = messages.len();
                    bulk::write(&client, messages, &cancel).await?;
                    Ok(count)
                }
                Change::Update(message) => update(&client, message).await.map(usize::from),
                Change::Delete(keys) => bulk::delete(&client, keys, &cancel).await,
            }
        });
    }

    fn look(self: Arc<Self>, look: Look, cancel: Arc<Cancel>, reply: Reply<Found>) {
        self.call_back(cancel, reply, |client, cancel| async move {
            match look {
                Look::Read(keys) => bulk::read(&client, keys, &cancel).await.map(Found::Texts),
                Look::List {
                    prefix,
                    after,
                    limit,
                    values,
                } => {
                    let list = List {
                        prefix,
                        after,
                        limit,
                        values,
                        cancel,
                    };
                    client.list(list).await.map(Found::Page)
                }
                Look::Ping => client.ping().await.map(|()| Found::Pong),
            }
        });
    }

    fn send(&self, batch: Vec<Message>, done: Completion) {
        match executor::get(self.name()) {
            Ok(runtime) => {
                let client = Arc::clone(&self.client);
                runtime.spawn(async move {
                    let failures = executor::gated(bulk::send(&client, batch)).await;
                    done.complete(failures);
                });
            }
            Err(error) => {
                let failures = (0..batch.len()).map(|at| (at, error.clone()));
                done.complete(failures.collect());
            }
        }
    }

    /// A write that was acknowledged is there for every reader.
    fn flush(&self, _: &dyn Interrupt) -> Result<()> {
        Ok(())
    }

    fn take_over(&self) {
        self.client.take_over();
    }

    fn close(&self) {
        self.client.close();
    }
}
