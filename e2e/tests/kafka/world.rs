//! A pipeline with accounts, and what was sent to it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kpay::names::{StageName, TopicName};
use kpay_domain::Intake;
use kpay_e2e::auditor::books::{Raw, Tail, records};
use kpay_e2e::auditor::{Expected, Report, audit};
use kpay_e2e::broker::Broker;
use kpay_e2e::flow::Flow;
use kpay_e2e::load::{self, Appender};
use kpay_e2e::process::binary;
use kpay_e2e::rest::Rest;
use kpay_e2e::turns::{Turn, Turns};

pub(crate) const PARTITIONS: i32 = 4;
pub(crate) const FUNDING: i64 = 1_000_000;
pub(crate) const WITHIN: Duration = Duration::from_mins(2);

static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());
static TURNS: Turns = Turns::new(2);

/// The broker that the tests share.
pub(crate) fn broker() -> anyhow::Result<Arc<Broker>> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(broker) = shared.upgrade() {
        return Ok(broker);
    }
    let broker = Arc::new(Broker::start("shared")?);
    *shared = Arc::downgrade(&broker);
    Ok(broker)
}

/// Waits for the tests before, but for one.
pub(crate) fn turn() -> Turn {
    TURNS.shared()
}

/// A running pipeline.
pub(crate) struct World {
    pub(crate) flow: Flow,
    pub(crate) appender: Appender,
    pub(crate) tail: Tail,
    /// Every id that must have an outcome.
    pub(crate) ids: BTreeSet<String>,
    /// What came in from outside, in US dollars.
    pub(crate) funded: i128,
    connection: kpay_kafka::config::Connection,
    admin: kpay_kafka::admin::Admin,
}

impl World {
    /// Starts all processes and opens `accounts` accounts with [`FUNDING`] each.
    pub(crate) fn start(broker: &Broker, prefix: &str, accounts: u64) -> anyhow::Result<Self> {
        let mut flow = Flow::create(broker, prefix, PARTITIONS, binary()?)?;
        flow.start_all()?;
        let connection = broker.connection("kpay-e2e");
        let incoming = flow.names.topic(TopicName::Incoming);
        let appender = Appender::open(&connection, incoming, PARTITIONS, 1)?;
        let tail = Tail::open(&connection, &flow.names)?;
        let admin = broker.admin()?;
        let mut world = Self { flow, appender, tail, ids: BTreeSet::new(), funded: 0, connection, admin };
        for number in 0..accounts {
            world.send(&load::open(number, FUNDING)?)?;
            world.funded += i128::from(FUNDING);
        }
        world.finish()?;
        Ok(world)
    }

    /// Appends protobuf, and remembers the id.
    pub(crate) fn send(&mut self, intake: &Intake) -> anyhow::Result<()> {
        self.ids.insert(intake.id().as_str().to_owned());
        self.appender.append(intake)
    }

    /// Waits until every id has an outcome; processes that end by themselves are started again.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        self.appender.flush()?;
        let deadline = Instant::now() + WITHIN;
        loop {
            let done = self.tail.wait_for(&self.ids, Duration::from_secs(2));
            if done.is_ok() || Instant::now() > deadline {
                return done.with_context(|| self.flow.log_tails());
            }
            self.flow.revive()?;
        }
    }

    /// Waits until so many more outcomes are there than now.
    pub(crate) fn finish_some(&mut self, more: usize) -> anyhow::Result<()> {
        let target = (self.tail.seen.len() + more).min(self.ids.len());
        self.tail.follow(WITHIN, |seen| seen.len() >= target)
    }

    /// Waits until no stage has anything left to read, also not copies of what is finished.
    pub(crate) fn settle(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + WITHIN;
        for stage in StageName::ALL {
            let (group, topic) = (self.flow.names.group(stage), self.flow.names.topic(stage.input()));
            loop {
                let progress = self.admin.group_progress(&group, &topic)?;
                let at_rest =
                    progress.values().all(|p| !p.data_records_between && p.last_stable == p.high_watermark);
                if at_rest {
                    break;
                }
                ensure!(Instant::now() < deadline, "{group} is not at rest: {progress:?}");
            }
        }
        Ok(())
    }

    /// Waits for all, and asks the auditor.
    pub(crate) fn audit(&mut self) -> anyhow::Result<Report> {
        self.finish()?;
        self.settle()?;
        let expected = Expected::new(&[("USD", self.funded)], self.ids.iter().cloned());
        let report = audit(&self.connection, &self.flow.names, &expected)?;
        report.clean()?;
        Ok(report)
    }

    /// As [`World::audit`], and the balances by REST are those of the ledger.
    pub(crate) fn audit_with_rest(&mut self) -> anyhow::Result<Report> {
        let report = self.audit()?;
        self.flow.wait_ready()?;
        let by_rest = self.rest()?.balances(report.balances.keys())?;
        assert_eq!(by_rest, report.balances, "the balances by REST and those of the ledger");
        Ok(report)
    }

    pub(crate) fn rest(&self) -> anyhow::Result<Rest> {
        Rest::new(&self.flow.gateway()?)
    }

    /// All records of a topic that are committed by now.
    pub(crate) fn records(&self, topic: TopicName) -> anyhow::Result<Vec<Raw>> {
        records(&self.connection, &self.flow.names.topic(topic))
    }

    /// The dead letters so far.
    pub(crate) fn letters(&self) -> anyhow::Result<Vec<Raw>> {
        self.records(TopicName::Dlq)
    }

    /// The addresses of the members of a stage's group.
    pub(crate) fn members(&self, stage: StageName) -> anyhow::Result<Vec<String>> {
        Ok(self.admin.members(&self.flow.names.group(stage))?)
    }

    /// The numbers of a stage's processes.
    pub(crate) fn pods_of(&self, stage: StageName) -> Vec<usize> {
        self.flow.pods_of(stage)
    }

    /// SIGKILL, and a start at once.
    pub(crate) fn crash(&mut self, number: usize) -> anyhow::Result<()> {
        self.flow.kill(number)?;
        self.flow.start(number)
    }
}

/// The protobuf of an intake.
pub(crate) fn bytes(intake: &Intake) -> Vec<u8> {
    let mut bytes = Vec::new();
    intake.encode(&mut bytes);
    bytes
}
