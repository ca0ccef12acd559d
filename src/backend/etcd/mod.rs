//! The etcd backend: one server or the members of a cluster, with authentication and TLS.
//!
//! - [`client`]: alone talks to etcd-client: the verbs as requests.
//! - [`member`]: the connection to one member, and its token.
//! - [`call`]: one request, on one member after the other until it is done or its time is over.
//! - [`fence`]: what keeps a transaction that was given up from being done later.
//! - [`error`]: what errors mean.

mod call;
mod client;
mod error;
mod fence;
mod member;

use std::sync::Arc;

use super::Backend;
use super::remote::Remote;
use crate::config::EtcdConfig;

/// The backend that `config` names. Connects to nothing before the first verb.
pub fn open(config: EtcdConfig) -> Arc<dyn Backend> {
    Arc::new(Remote::new(client::Etcd::new(config)))
}
