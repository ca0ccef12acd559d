//! One request: repeated until it is done or its time is over.

use crate::sync::Mutex;
use std::error::Error as StdError;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use tokio::time::{Instant, timeout_at};

use super::connect::{Connected, connect};
use super::error::{Failure, Next, understand};
use super::table;
use crate::backend::remote::pause::Pauses;
use crate::backend::remote::time;
use crate::config::DynamodbConfig;
use crate::error::Kind;
use crate::wait;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often it is tried to reach a service that is not there.
const MOST_UNREACHABLE: u32 = 3;

/// An answer, and what is known of the attempts before it.
pub(super) struct Answer<T> {
    pub(super) answer: T,
    /// How an attempt before it failed that was sent: nobody knows what became of it.
    pub(super) unsure: Option<Failure>,
}

/// The way to the table.
pub(super) struct Way {
    pub(super) config: DynamodbConfig,
    connected: Mutex<Option<Arc<Connected>>>,
    /// Whoever connects; the others wait for that.
    connecting: tokio::sync::Mutex<()>,
    /// Whether the table is known to be there, where it is created otherwise.
    has_table: AtomicBool,
    creating: tokio::sync::Mutex<()>,
}

impl Way {
    pub(super) fn new(config: DynamodbConfig) -> Self {
        Self {
            connected: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            has_table: AtomicBool::new(!config.create_table),
            creating: tokio::sync::Mutex::default(),
            config,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        time::deadline(self.config.timeout)
    }

    pub(super) fn close(&self) {
        *wait::lock(&self.connected) = None;
    }

    /// Lets go of a client whose credentials have run out, unless there is a newer one.
    fn forget(&self, used: Option<&Arc<Connected>>) {
        let mut connected = wait::lock(&self.connected);
        if let (Some(current), Some(used)) = (&*connected, used)
            && Arc::ptr_eq(current, used)
        {
            *connected = None;
        }
    }

    pub(super) fn pauses(deadline: Instant) -> Pauses {
        Pauses::new(FIRST_PAUSE, LONGEST_PAUSE, deadline)
    }

    async fn connect(&self) -> Result<Arc<Connected>, Failure> {
        let open = || wait::lock(&self.connected).clone();
        if let Some(connected) = open() {
            return Ok(connected);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(connected) = open() {
            return Ok(connected);
        }
        let connected = Arc::new(connect(&self.config).await?);
        *wait::lock(&self.connected) = Some(Arc::clone(&connected));
        Ok(connected)
    }

    /// Does one request by `deadline`. A failure was sent if any attempt was.
    pub(super) async fn call<T, E, F>(
        &self,
        deadline: Instant,
        request: impl Fn(Client) -> F + Sync,
    ) -> Result<Answer<T>, Failure>
    where
        T: Send,
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    {
        let _request = time::Request;
        let mut pauses = Self::pauses(deadline);
        let mut last: Option<Failure> = None;
        let mut unreachable = 0;
        let mut renewed = false;
        let mut unsure: Option<Failure> = None;
        loop {
            let mut used = None;
            let failure = match self.attempt(deadline, &mut used, &request).await {
                Ok(answer) => {
                    return Ok(Answer { answer, unsure });
                }
                Err(failure) => failure,
            };
            if failure.sent {
                unsure = Some(failure.clone());
            }
            let sent = unsure.is_some();
            let failure = Failure { sent, ..failure };
            if failure.error.kind() == Kind::Timeout {
                // Its other connections may be as silent as this one.
                self.forget(used.as_ref());
            }
            match failure.next {
                Next::Stop => return Err(failure),
                Next::Create if !self.config.create_table => return Err(failure),
                Next::Create => self.has_table.store(false, Ordering::Relaxed),
                Next::Renew if renewed => return Err(failure),
                Next::Renew => {
                    renewed = true;
                    self.forget(used.as_ref());
                }
                Next::Unreachable => {
                    unreachable += 1;
                    if unreachable >= MOST_UNREACHABLE {
                        return Err(failure);
                    }
                }
                Next::Again => {}
            }
            // What the service said says more than that it did not answer.
            if failure.error.kind() != Kind::Timeout || last.is_none() {
                last = Some(failure);
            }
            if !pauses.wait().await {
                break;
            }
        }
        let last = last.unwrap_or_else(|| self.no_answer(None));
        let sent = unsure.is_some();
        Err(Failure { sent, ..last })
    }

    async fn attempt<T, E, F>(
        &self,
        deadline: Instant,
        used: &mut Option<Arc<Connected>>,
        request: &(impl Fn(Client) -> F + Sync),
    ) -> Result<T, Failure>
    where
        T: Send,
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    {
        let prepared = timeout_at(deadline, async {
            let connected = self.connect().await?;
            if !self.has_table.load(Ordering::Relaxed) {
                let _creating = self.creating.lock().await;
                if !self.has_table.load(Ordering::Relaxed) {
                    table::create(&connected, &self.config, deadline).await?;
                    self.has_table.store(true, Ordering::Relaxed);
                }
            }
            Ok(connected)
        });
        let Ok(prepared) = prepared.await else {
            let connected = wait::lock(&self.connected).clone();
            let place = connected.as_ref().map(|connected| connected.place.as_str());
            return Err(self.no_answer(place));
        };
        let connected = prepared?;
        let connected = used.insert(connected);
        // An attempt has all the time there is: one that is given up may still be done, after whatever comes next.
        match timeout_at(deadline, request(connected.client.clone())).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(cause)) => Err(understand(
                &cause,
                &self.config.table_name,
                &connected.place,
            )),
            Err(_) => Err(Failure {
                sent: true,
                ..self.no_answer(Some(&connected.place))
            }),
        }
    }

    fn no_answer(&self, place: Option<&str>) -> Failure {
        let text = format!(
            "no answer from {} within dynamodb.timeout of {} s. Check the network and the service, or allow it more time.",
            place.unwrap_or("where region and credentials come from"),
            self.config.timeout.as_secs_f64()
        );
        Failure::new(Kind::Timeout, Next::Again, text)
    }
}
