//! The DynamoDB backend: one table with a string partition key.
//!
//! - [`client`]: the verbs as requests.
//! - [`item`]: messages as items, and back.
//! - [`call`]: one request, repeated until it is done or its time is over.
//! - [`connect`]: from the configuration and the environment to a client of the SDK.
//! - [`table`]: the table, created where that is asked for.
//! - [`error`]: what errors mean.

mod call;
mod client;
mod connect;
mod error;
mod item;
mod table;

use std::sync::Arc;

use super::Backend;
use super::remote::Remote;
use crate::config::DynamodbConfig;

/// The backend that `config` names. Connects to nothing before the first verb.
pub fn open(config: DynamodbConfig) -> Arc<dyn Backend> {
    Arc::new(Remote::new(client::Dynamodb::new(config)))
}
