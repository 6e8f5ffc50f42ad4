//! `kpay rebuild`: the accounts of a pipeline that stands still, from the topics that are to go to a topic of their own, and
//! from there to the new ones. Only I/O, and blocks; what is read and compared is in [`state`].
//!
//! `record` reads account.checkpoints and the whole account.ledger, and refuses when they do not agree. `fill` copies, and
//! reads back what it wrote. Both may be cut anywhere and done again: a record is found by its key, the last one counts.

pub mod state;
mod write;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kpay_control::names::{REBUILT_TOPIC, TopicName};
use kpay_control::wipe::RebuildReport;
use kpay_crds::RecordedAccounts;
use kpay_kafka::admin::{Admin, watermarks};
use kpay_kafka::config::{Connection, Isolation};
use kpay_kafka::quiet::Quiet;
use kpay_streams::record::Record;
use rdkafka::consumer::BaseConsumer;
use tracing::info;

use self::state::{Checkpointed, Ledgered};
use self::write::Writer;
use crate::args::{RebuildArgs, RebuildTask};
use crate::names::Names;
use crate::scan::{KafkaScan, Scan};

const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Longer than a transaction may stay open.
const SETTLED_WITHIN: Duration = Duration::from_mins(20);
const SETTLED_POLL: Duration = Duration::from_millis(100);
/// Of one partition, however large.
const PARTITION_TIMEOUT: Duration = Duration::from_hours(6);

/// Does the task, and reports how it ended where that is asked for.
///
/// # Errors
/// When Kafka does not answer, a record cannot be read, or what is compared differs.
pub fn run(args: &RebuildArgs) -> anyhow::Result<()> {
    let ended = Rebuild::open(args).and_then(|rebuild| match args.task {
        RebuildTask::Record => rebuild.record(),
        RebuildTask::Fill => rebuild.fill(),
    });
    if let Some(path) = &args.report {
        let report = match &ended {
            Ok(accounts) => RebuildReport { accounts: accounts.clone(), error: None },
            Err(error) => RebuildReport::failed(&format!("{error:#}")),
        };
        write_report(path, &report)?;
    }
    let accounts = ended?;
    info!(accounts = accounts.accounts, balances = ?accounts.balances, digest = accounts.digest, "done");
    Ok(())
}

fn write_report(path: &Path, report: &RebuildReport) -> anyhow::Result<()> {
    fs::write(path, report.to_text()).with_context(|| format!("cannot write {}", path.display()))
}

struct Rebuild {
    connection: Connection,
    admin: Admin,
    checkpoints: String,
    ledger: String,
    rebuilt: String,
}

impl Rebuild {
    fn open(args: &RebuildArgs) -> anyhow::Result<Self> {
        let connection = Connection {
            bootstrap_servers: args.bootstrap_servers.clone(),
            client_id: "kpay-rebuild".to_owned(),
        };
        let names = Names { prefix: args.topic_prefix.clone() };
        Ok(Self {
            admin: Admin::new(connection.clone(), CALL_TIMEOUT)?,
            connection,
            checkpoints: names.topic(TopicName::Checkpoints),
            ledger: names.topic(TopicName::Ledger),
            rebuilt: format!("{}{REBUILT_TOPIC}", args.topic_prefix),
        })
    }

    /// Every account, as the checkpoints and the ledger after them have it, to the topic of its own.
    fn record(&self) -> anyhow::Result<RecordedAccounts> {
        let (mut ledger, mut newest_ms) = (Ledgered::default(), 0);
        self.each(&self.ledger, &mut |record| {
            // A restore reads the ledger from here on: by its own times, not by the clock of this machine.
            newest_ms = record.timestamp_ms.max(newest_ms);
            ledger.read(record.value).map_err(Into::into)
        })?;
        info!(accounts = ledger.len(), "the ledger is read");
        let checkpointed = self.checkpointed(&self.checkpoints)?;
        let accounts = checkpointed.with(&ledger)?;
        let partitions = self.partitions(&self.rebuilt)?;
        let mut writer = Writer::open(&self.connection, &self.rebuilt, partitions)?;
        accounts
            .write(partitions, newest_ms, &mut |partition, key, value| writer.write(partition, key, value))?;
        writer.close()?;
        // Soon it is the only one.
        let (copy, recorded) = (self.checkpointed(&self.rebuilt)?, accounts.recorded()?);
        copy.at_home()?;
        ensure!(copy.recorded()? == recorded, "{} holds something else than was copied there", self.rebuilt);
        Ok(recorded)
    }

    /// From there to the checkpoints, which have as many partitions; returns what is in these then.
    fn fill(&self) -> anyhow::Result<RecordedAccounts> {
        let partitions = self.partitions(&self.checkpoints)?;
        let room = self.partitions(&self.rebuilt)?;
        ensure!(
            partitions == room,
            "{} has {partitions} partitions, {} has {room}",
            self.checkpoints,
            self.rebuilt
        );
        let mut writer = Writer::open(&self.connection, &self.checkpoints, partitions)?;
        self.each(&self.rebuilt, &mut |record| writer.write(record.partition, record.key, record.value))?;
        writer.close()?;
        let accounts = self.checkpointed(&self.checkpoints)?;
        accounts.at_home()?;
        Ok(accounts.recorded()?)
    }

    /// The ends of a partition, once everything in it is decided: what is committed may be there before its marker, and who
    /// stopped at the last stable offset would miss it.
    fn settled(&self, scan: &KafkaScan, topic: &str, partition: i32) -> anyhow::Result<(i64, i64)> {
        let config = self.connection.reader(Isolation::Uncommitted);
        let all = config.create_with_context::<_, BaseConsumer<Quiet>>(Quiet).context("create consumer")?;
        let (_, end) = watermarks(&all, topic, partition, CALL_TIMEOUT)?;
        let deadline = Instant::now() + SETTLED_WITHIN;
        loop {
            let (low, stable) = scan.ends(partition, CALL_TIMEOUT)?;
            if stable >= end {
                return Ok((low, stable));
            }
            ensure!(Instant::now() < deadline, "a transaction on {topic} {partition} stays open");
            std::thread::sleep(SETTLED_POLL);
        }
    }

    fn checkpointed(&self, topic: &str) -> anyhow::Result<Checkpointed> {
        let mut accounts = Checkpointed::new(self.partitions(topic)?);
        self.each(topic, &mut |record| accounts.read(record).map_err(Into::into))?;
        Ok(accounts)
    }

    fn partitions(&self, topic: &str) -> anyhow::Result<i32> {
        self.admin.partition_count(topic).with_context(|| format!("how many partitions {topic} has"))
    }

    /// Shows every record of a topic, one partition after the other.
    fn each(
        &self,
        topic: &str,
        visit: &mut dyn FnMut(&Record<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let scan = KafkaScan::open(&self.connection, topic.to_owned())?;
        for partition in 0..self.partitions(topic)? {
            let range = self.settled(&scan, topic, partition)?;
            let mut failed = Ok(());
            scan.range(partition, range, PARTITION_TIMEOUT, &mut |record| {
                if failed.is_ok() {
                    failed = visit(record)
                        .with_context(|| format!("{topic} {}@{}", record.partition, record.offset));
                }
            })?;
            failed?;
        }
        Ok(())
    }
}
