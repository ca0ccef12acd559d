//! The raw limit of `make bench` on etcd: the same rows through etcd-client alone, without Python, JSON or a queue.
//!
//! `raw_etcd WORK COUNT ROWS HOST:PORT` does one work on COUNT rows and prints what it took as one JSON object.
//! What is read has been put there by `benchmarks/`: ROWS rows.

mod meter;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use etcd_client::{Client, KvClient, Txn, TxnOp};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use meter::{Meter, rows, scattered_keys};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str =
    "usage: raw_etcd put|get|transactions|transactions-one-thread COUNT ROWS HOST:PORT";
/// Puts in one transaction: the most that a server takes by default.
const TRANSACTION: usize = 128;
const IN_FLIGHT: usize = 16;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [work, count, stored, address] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    // One request after the other has nothing for a second thread but hand-overs.
    let mut runtime = match work.as_str() {
        "transactions" => Builder::new_multi_thread(),
        "put" | "get" | "transactions-one-thread" => Builder::new_current_thread(),
        _ => return Err(USAGE.into()),
    };
    let work = run(work, count.parse()?, stored.parse()?, address);
    println!("{}", runtime.enable_all().build()?.block_on(work)?);
    Ok(())
}

async fn run(work: &str, count: usize, stored: usize, address: &str) -> Result<String> {
    let client = Client::connect([address], None).await?;
    let mut kv = client.kv_client();
    kv.put("user:first", "{}", None).await?;
    let (meter, done) = match work {
        "put" => {
            let rows = rows(count);
            (Meter::start(), put(kv, rows).await?)
        }
        "get" => {
            let keys = scattered_keys(count, stored);
            (Meter::start(), get(kv, keys).await?)
        }
        _ => {
            let rows = rows(count);
            (Meter::start(), transactions(&kv, rows).await?)
        }
    };
    let answer = meter.stop(count, "etcd-client 0.21");
    if done != count {
        return Err(format!("{work}: {done} rows instead of {count}").into());
    }
    Ok(answer)
}

/// One request for each row.
async fn put(mut kv: KvClient, rows: Vec<(String, String)>) -> Result<usize> {
    let count = rows.len();
    for (key, value) in rows {
        kv.put(key, value, None).await?;
    }
    Ok(count)
}

/// One request for each key.
async fn get(mut kv: KvClient, keys: Vec<String>) -> Result<usize> {
    let mut found = 0;
    for key in keys {
        let answer = kv.get(key, None).await?;
        found += answer
            .kvs()
            .iter()
            .filter(|pair| !pair.value().is_empty())
            .count();
    }
    Ok(found)
}

/// Transactions of 128 rows, 16 of them in flight.
async fn transactions(kv: &KvClient, rows: Vec<(String, String)>) -> Result<usize> {
    let rows = Arc::new(rows);
    let next = Arc::new(AtomicUsize::new(0));
    let mut senders = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (mut kv, rows, next) = (kv.clone(), Arc::clone(&rows), Arc::clone(&next));
        senders.spawn(async move {
            let mut written = 0;
            while let Some(chunk) = rows
                .chunks(TRANSACTION)
                .nth(next.fetch_add(1, Ordering::Relaxed))
            {
                let puts = chunk
                    .iter()
                    .map(|(key, value)| TxnOp::put(key.as_str(), value.as_str(), None));
                let answer = kv
                    .txn(Txn::new().and_then(puts.collect::<Vec<_>>()))
                    .await?;
                written += answer.op_responses().len();
            }
            Ok::<_, etcd_client::Error>(written)
        });
    }
    let mut written = 0;
    while let Some(sender) = senders.join_next().await {
        written += sender??;
    }
    Ok(written)
}
