//! Many messages or keys: cut into requests, several in flight at once, and the one at fault found.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Client, Fault, Most, Part, time};
use crate::backend::Failures;
use crate::error::{Error, Result};
use crate::executor::gated;
use crate::message::{Message, quote};
use crate::wait::{Cancel, Interrupt};

/// Writes all, or says which message failed and how many are written.
pub(super) async fn write<C: Client>(
    client: &Arc<C>,
    messages: Vec<Message>,
    cancel: &Cancel,
) -> Result<()> {
    let messages = Arc::new(messages);
    let parts = cut(&messages, client.most_written(), |message| {
        client.size(message)
    });
    let (single, many) = (messages.len() == 1, parts.len() > 1);
    let mut failures = Failures::new();
    let mut written = 0;
    let most = client.most_in_flight();
    each(
        most,
        cancel,
        parts,
        |range| write_part(client, &messages, range, !client.is_atomic()),
        |count, failed: Failures| {
            written += count - failed.len();
            let go_on = failed.is_empty();
            failures.extend(failed);
            go_on
        },
    )
    .await;
    failures.sort_by_key(|&(at, _)| at);
    let failed = failures.len();
    let Some((at, error)) = failures.into_iter().next() else {
        return Ok(());
    };
    let key = quote(messages[at].key());
    if single {
        return Err(error.noted(&format!("The key was {key}.")));
    }
    let left = if many || written > 0 {
        format!(
            "{written} of {} keys are known to be written.",
            messages.len()
        )
    } else {
        "None of the keys is known to be written.".to_owned()
    };
    if client.is_atomic() && failed > 1 && !error.retryable() && written == 0 && !many {
        let note = format!("It may be about any of {failed} keys. None of them is written.");
        return Err(error.noted(&note));
    }
    // What would have failed whatever it carried says nothing of its first key.
    let which = if error.retryable() || client.is_atomic() && failed > 1 {
        String::new()
    } else {
        format!("The key was {key}. ")
    };
    Err(error.noted(&format!("{which}{left}")))
}

/// Writes one batch of the queue; gives what failed.
pub(super) async fn send<C: Client>(client: &Arc<C>, batch: Vec<Message>) -> Failures {
    let batch = Arc::new(batch);
    let parts = cut(&batch, client.most_written(), |message| {
        client.size(message)
    });
    let mut failures = Failures::new();
    let most = client.most_in_flight();
    each(
        most,
        &Cancel::default(),
        parts,
        |range| write_part(client, &batch, range, true),
        |_, failed: Failures| {
            failures.extend(failed);
            true
        },
    )
    .await;
    failures
}

/// Writes some of the messages. Where one of them may be at fault, and with `divide`, the request is divided until
/// that one stands alone, so that its neighbours are written.
fn write_part<C: Client>(
    client: &Arc<C>,
    messages: &Arc<Vec<Message>>,
    range: Range<usize>,
    divide: bool,
) -> impl Future<Output = Failures> + Send + 'static {
    let (client, messages) = (Arc::clone(client), Arc::clone(messages));
    async move {
        let mut failures = Failures::new();
        let mut ranges = vec![range];
        while let Some(range) = ranges.pop() {
            let part = Part {
                all: Arc::clone(&messages),
                range: range.clone(),
            };
            match client.write(part).await {
                Ok(left) => {
                    let left = left.into_iter();
                    failures.extend(left.map(|(at, error)| (range.start + at, error)));
                }
                Err(fault)
                    if range.len() > 1 && (divide && fault.is_of_one() || fault.is_of_size()) =>
                {
                    let middle = range.start + range.len() / 2;
                    ranges.push(middle..range.end);
                    ranges.push(range.start..middle);
                }
                Err(Fault::Message(error) | Fault::Request(error) | Fault::Size(error)) => {
                    failures.extend(range.map(|at| (at, error.clone())));
                }
            }
        }
        failures
    }
}

/// The texts of those keys that exist, with their position.
pub(super) async fn read<C: Client>(
    client: &Arc<C>,
    keys: Vec<String>,
    cancel: &Cancel,
) -> Result<Vec<(usize, String)>> {
    let request = |client: Arc<C>, part: Part<String>| async move {
        let start = part.range.start;
        let found = client.read(part).await?;
        Ok(found
            .into_iter()
            .map(|(at, text)| (start + at, text))
            .collect())
    };
    let most = client.most_read();
    let (mut found, failed) = of_keys(client, &Arc::new(keys), most, cancel, request).await;
    if let Some(error) = failed {
        return Err(error);
    }
    found.sort_unstable_by_key(|&(at, _)| at);
    Ok(found)
}

/// Deletes all keys; how many existed.
pub(super) async fn delete<C: Client>(
    client: &Arc<C>,
    keys: Vec<String>,
    cancel: &Cancel,
) -> Result<usize> {
    let single = keys.len() == 1;
    let request =
        |client: Arc<C>, part: Part<String>| async move { Ok(vec![client.delete(part).await?]) };
    let most = client.most_deleted();
    let (counts, failed) = of_keys(client, &Arc::new(keys), most, cancel, request).await;
    let existed: usize = counts.into_iter().sum();
    match failed {
        Some(error) if single => Err(error),
        Some(error) => Err(error.noted(&format!("Keys known to be deleted: {existed}."))),
        None => Ok(existed),
    }
}

/// Does `request` for all keys in parts of at most `most`; gives what they gave, and the first error. A part that is
/// refused as it is, such as one that is larger than this server takes, is divided.
async fn of_keys<C, T, F>(
    client: &Arc<C>,
    keys: &Arc<Vec<String>>,
    most: usize,
    cancel: &Cancel,
    request: impl Fn(Arc<C>, Part<String>) -> F + Copy + Send + 'static,
) -> (Vec<T>, Option<Error>)
where
    C: Client,
    T: Send + 'static,
    F: Future<Output = Result<Vec<T>, Fault>> + Send + 'static,
{
    let most = Most {
        count: most,
        bytes: client.most_written().bytes,
    };
    let divided = |range: Range<usize>| {
        let (client, keys) = (Arc::clone(client), Arc::clone(keys));
        async move {
            let mut given = Vec::new();
            let mut ranges = vec![range];
            while let Some(range) = ranges.pop() {
                let part = Part {
                    all: Arc::clone(&keys),
                    range: range.clone(),
                };
                match request(Arc::clone(&client), part).await {
                    Ok(more) => given.extend(more),
                    Err(fault) if range.len() > 1 && !matches!(fault, Fault::Request(_)) => {
                        let middle = range.start + range.len() / 2;
                        ranges.push(middle..range.end);
                        ranges.push(range.start..middle);
                    }
                    Err(Fault::Message(error) | Fault::Size(error)) => {
                        let key = quote(&keys[range.start]);
                        return (given, Some(error.noted(&format!("The key was {key}."))));
                    }
                    Err(Fault::Request(error)) if keys.len() == 1 => {
                        let key = quote(&keys[0]);
                        return (given, Some(error.noted(&format!("The key was {key}."))));
                    }
                    Err(Fault::Request(error)) => return (given, Some(error)),
                }
            }
            (given, None)
        }
    };
    let mut all = Vec::new();
    let mut failed = None;
    let take = |_, (given, error): (Vec<T>, Option<Error>)| {
        all.extend(given);
        let go_on = error.is_none();
        failed = failed.take().or(error);
        go_on
    };
    let parts = cut(keys, most, |key| client.key_size(key));
    each(client.most_in_flight(), cancel, parts, divided, take).await;
    (all, failed)
}

/// Cuts `items` into parts that one request can carry. No item is larger than that.
fn cut<T>(items: &[T], most: Most, size: impl Fn(&T) -> usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, item) in items.iter().enumerate() {
        let size = size(item);
        if at > start && (at - start == most.count || bytes + size > most.bytes) {
            parts.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    if start < items.len() {
        parts.push(start..items.len());
    }
    parts
}

/// Does a request for each part, `most` of them at once, and hands each outcome to `take`, with how many items
/// it was about; once that gives `false`, or it is cancelled, no other request begins.
async fn each<T, F>(
    most: usize,
    cancel: &Cancel,
    parts: Vec<Range<usize>>,
    request: impl Fn(Range<usize>) -> F,
    mut take: impl FnMut(usize, T) -> bool,
) where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    if let [only] = &parts[..] {
        let count = only.len();
        take(count, request(only.clone()).await);
        return;
    }
    let mut parts = parts.into_iter();
    let mut running = JoinSet::new();
    let mut go_on = true;
    let mut begun = time::begun();
    loop {
        while go_on
            && !cancel.cancelled()
            && running.len() < most
            && let Some(range) = parts.next()
        {
            let count = range.len();
            let request = time::counted_from(begun, request(range));
            running.spawn(async move { (count, gated(request).await) });
        }
        let ended = running.join_next().await;
        begun = None;
        match ended {
            None => return,
            Some(Ok((count, outcome))) => go_on &= take(count, outcome),
            // Whoever waits for all of them is told of the panic.
            Some(Err(broken)) => std::panic::resume_unwind(broken.into_panic()),
        }
    }
}
