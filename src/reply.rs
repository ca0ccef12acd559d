//! Where the outcome of a call goes whose caller does not wait in a thread of its own.

use crate::error::{Error, Kind, Result};

use tokio::sync::oneshot;

type Take<T> = Box<dyn FnOnce(Result<T>) + Send>;

/// Takes the outcome of one call, exactly once: dropped without one, it reports a failure. What takes it must not block.
pub struct Reply<T> {
    take: Option<Take<T>>,
}

impl<T> Reply<T> {
    /// A reply that hands the outcome to `take`.
    pub fn new(take: impl FnOnce(Result<T>) + Send + 'static) -> Self {
        Self {
            take: Some(Box::new(take)),
        }
    }

    /// This reply, and what ends when it has been given or dropped: for a timer that gives up.
    pub fn watched(mut self) -> (Self, oneshot::Receiver<()>)
    where
        T: 'static,
    {
        let (pending, over) = oneshot::channel();
        self.take = self.take.take().map(|take| -> Take<T> {
            Box::new(move |outcome| {
                drop(pending);
                take(outcome);
            })
        });
        (self, over)
    }

    /// Hands the outcome on.
    pub fn give(mut self, outcome: Result<T>) {
        if let Some(take) = self.take.take() {
            take(outcome);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(take) = self.take.take() {
            let text = "a call ended without an answer. Whether it was done is unknown; please report this bug.";
            take(Err(Error::new(Kind::Backend, text)));
        }
    }
}
