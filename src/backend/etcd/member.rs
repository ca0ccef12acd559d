//! One member of the cluster: its connection, made when it is needed, and its token.

use crate::sync::Mutex;
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use etcd_client::{
    Certificate, Client, ConnectOptions, Error, GetOptions, Identity, KvClient, TlsOptions,
};

use crate::config::{EtcdConfig, TlsConfig};
use crate::wait;

/// Servers close a connection that is pinged more often than every 5 s, or while nothing is asked of it
/// (etcd #8905).
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Where one member is, and the connection to it.
pub(super) struct Member {
    /// `host:port`
    pub(super) address: String,
    url: String,
    connection: Mutex<Option<Arc<Connection>>>,
    /// Whoever connects; the others wait for that.
    connecting: tokio::sync::Mutex<()>,
}

/// An open connection.
pub(super) struct Connection {
    client: Client,
    kv: KvClient,
    /// How often the token has been renewed.
    renewals: AtomicU64,
    renewing: tokio::sync::Mutex<()>,
}

impl Member {
    pub(super) fn new(address: &str, tls: bool) -> Self {
        let scheme = if tls { "https" } else { "http" };
        Self {
            address: address.to_owned(),
            url: format!("{scheme}://{address}"),
            connection: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    fn open(&self) -> Option<Arc<Connection>> {
        wait::lock(&self.connection).clone()
    }

    /// The connection, made if there is none; with credentials, it has been authenticated.
    pub(super) async fn connect(&self, config: &EtcdConfig) -> Result<Arc<Connection>, Error> {
        if let Some(connection) = self.open() {
            return Ok(connection);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(connection) = self.open() {
            return Ok(connection);
        }
        let client = Client::connect([&self.url], Some(options(config))).await?;
        let mut kv = client.kv_client().max_decoding_message_size(usize::MAX);
        // Until now nothing may have been sent. What fails here has changed nothing, so it can be asked elsewhere;
        // whatever the server itself answers, it is there.
        let look = GetOptions::new().with_count_only();
        match kv.get("TetherDB", Some(look)).await {
            Err(Error::GRpcStatus(status)) if status.source().is_none() => {}
            answer => drop(answer?),
        }
        let connection = Arc::new(Connection {
            client,
            kv,
            renewals: AtomicU64::new(0),
            renewing: tokio::sync::Mutex::default(),
        });
        *wait::lock(&self.connection) = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// Lets go of a connection that does not answer, unless there is a newer one.
    pub(super) fn forget(&self, broken: Option<&Arc<Connection>>) {
        let mut connection = wait::lock(&self.connection);
        if let (Some(current), Some(broken)) = (&*connection, broken)
            && Arc::ptr_eq(current, broken)
        {
            *connection = None;
        }
    }

    pub(super) fn close(&self) {
        *wait::lock(&self.connection) = None;
    }
}

impl Connection {
    pub(super) fn kv(&self) -> KvClient {
        self.kv.clone()
    }

    /// Which token a request is about to be sent with.
    pub(super) fn token(&self) -> u64 {
        self.renewals.load(Ordering::Acquire)
    }

    /// Authenticates again, unless somebody has done so since `token`.
    pub(super) async fn renew(&self, token: u64) -> Result<(), Error> {
        let _renewing = self.renewing.lock().await;
        if self.token() == token {
            self.client.refresh_token().await?;
            self.renewals.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }
}

/// Never format them: their `Debug` shows password and key.
fn options(config: &EtcdConfig) -> ConnectOptions {
    let mut options = ConnectOptions::new()
        .with_connect_timeout(config.timeout)
        .with_keep_alive(PING_INTERVAL, PING_TIMEOUT)
        .with_keep_alive_while_idle(false)
        .with_tcp_keepalive(Duration::from_secs(30));
    if let Some((username, password)) = &config.credentials {
        options = options.with_user(username, password);
    }
    if let Some(tls) = &config.tls {
        options = options.with_tls(tls_options(tls));
    }
    options
}

fn tls_options(config: &TlsConfig) -> TlsOptions {
    let mut tls = TlsOptions::new();
    tls = match &config.ca_certificate {
        Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
        None => tls.with_enabled_roots(),
    };
    if let Some((certificate, key)) = &config.identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    tls
}
