//! The transactional producer on a real broker: what is left of transactions that were aborted, too old, or a zombie's.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kpay_e2e::auditor::books::records;
use kpay_e2e::broker::Broker;
use kpay_kafka::admin::watermarks;
use kpay_kafka::config::Isolation;
use kpay_kafka::transaction::{TransactionErrorKind, TransactionalProducer};
use rdkafka::consumer::BaseConsumer;

use crate::world::broker;

/// Two of these do not fit into one batch, so the first is sent before the commit.
const LARGE: usize = 500_000;
const CALL: Duration = Duration::from_secs(15);
/// The broker looks for transactions that are too old every ten seconds.
const WITHIN: Duration = Duration::from_mins(1);

fn make_topic(broker: &Broker, name: &str) -> anyhow::Result<()> {
    Ok(broker.admin()?.create_topic(name, 1, 1, &BTreeMap::new())?)
}

fn open(broker: &Broker, topic: &str) -> anyhow::Result<TransactionalProducer> {
    Ok(TransactionalProducer::open(broker.connection("kpay-e2e"), topic, &[topic.to_owned()])?)
}

/// Sends so much that a part of it reaches the broker before the commit.
fn begin(producer: &mut TransactionalProducer, word: &str) -> anyhow::Result<()> {
    for _ in 0..2 {
        producer.append(0, 0, 0, word.as_bytes(), Some(&vec![b'x'; LARGE]), &[])?;
    }
    Ok(())
}

fn commit(producer: &mut TransactionalProducer) -> Result<(), TransactionErrorKind> {
    // No offsets: the group is not asked.
    producer.commit(|| None, "", &[]).map_err(|error| error.kind)
}

/// The ends of a topic's one partition: up to which it is decided, and of all.
struct Ends {
    stable: BaseConsumer,
    all: BaseConsumer,
}

impl Ends {
    fn open(broker: &Broker) -> anyhow::Result<Self> {
        let reader = |isolation| broker.connection("kpay-e2e").reader(isolation).create();
        Ok(Self { stable: reader(Isolation::Committed)?, all: reader(Isolation::Uncommitted)? })
    }

    fn stable(&self, topic: &str) -> anyhow::Result<i64> {
        Ok(watermarks(&self.stable, topic, 0, CALL)?.1)
    }

    fn all(&self, topic: &str) -> anyhow::Result<i64> {
        Ok(watermarks(&self.all, topic, 0, CALL)?.1)
    }

    /// Waits until no transaction is open, and says where the topic ends then.
    fn meet(&self, topic: &str, within: Duration) -> anyhow::Result<i64> {
        let deadline = Instant::now() + within;
        loop {
            let (stable, all) = (self.stable(topic)?, self.all(topic)?);
            if stable >= all {
                return Ok(stable);
            }
            ensure!(Instant::now() < deadline, "a transaction is open");
        }
    }
}

/// The keys that a `read_committed` reader sees. A commit is answered when it is decided, before its marker is in the log.
fn committed(broker: &Broker, topic: &str) -> anyhow::Result<Vec<String>> {
    Ends::open(broker)?.meet(topic, CALL)?;
    let read = records(&broker.connection("kpay-e2e"), topic)?;
    Ok(read
        .into_iter()
        .map(|raw| String::from_utf8_lossy(&raw.key.unwrap_or_default()).into_owned())
        .collect())
}

#[test]
fn an_aborted_transaction_is_seen_by_nobody_and_the_producer_goes_on() -> anyhow::Result<()> {
    const TOPIC: &str = "transactions.aborted";
    let broker = broker()?;
    make_topic(&broker, TOPIC)?;
    let mut producer = open(&broker, TOPIC)?;
    for round in 0..4 {
        begin(&mut producer, &format!("aborted {round}"))?;
        producer.abort()?;
        begin(&mut producer, &format!("kept {round}"))?;
        ensure!(commit(&mut producer) == Ok(()));
    }
    let expected: Vec<String> =
        (0..4).flat_map(|round| [format!("kept {round}"), format!("kept {round}")]).collect();
    assert_eq!(committed(&broker, TOPIC)?, expected);
    Ok(())
}

#[test]
fn a_transaction_that_was_too_old_is_not_committed_and_the_producer_goes_on() -> anyhow::Result<()> {
    const TOPIC: &str = "transactions.old";
    let broker = broker()?;
    make_topic(&broker, TOPIC)?;
    let mut producer = open(&broker, TOPIC)?;
    begin(&mut producer, "old")?;
    let ends = Ends::open(&broker)?;
    ensure!((ends.stable(TOPIC)?, ends.all(TOPIC)?) == (0, 1), "the transaction is open with one record");
    let end = ends.meet(TOPIC, WITHIN).context("the broker has not ended it")?;
    ensure!(end == 2, "one record and the marker of its abort, not {end}");
    assert_eq!(commit(&mut producer), Err(TransactionErrorKind::Abort), "{:?}", committed(&broker, TOPIC));
    producer.abort()?;
    begin(&mut producer, "new")?;
    ensure!(commit(&mut producer) == Ok(()));
    assert_eq!(committed(&broker, TOPIC)?, ["new", "new"]);
    Ok(())
}

#[test]
fn a_producer_whose_ids_were_taken_over_learns_that_it_is_fenced() -> anyhow::Result<()> {
    const TOPIC: &str = "transactions.fenced";
    let broker = broker()?;
    make_topic(&broker, TOPIC)?;
    let mut zombie = open(&broker, TOPIC)?;
    begin(&mut zombie, "zombie")?;
    let mut successor = open(&broker, TOPIC)?;
    begin(&mut successor, "successor")?;
    assert_eq!(commit(&mut zombie), Err(TransactionErrorKind::Abort));
    let told = zombie.abort().map_err(|error| error.kind);
    assert_eq!(told, Err(TransactionErrorKind::Fenced));
    ensure!(commit(&mut successor) == Ok(()));
    assert_eq!(committed(&broker, TOPIC)?, ["successor", "successor"]);
    Ok(())
}
