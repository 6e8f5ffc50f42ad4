//! The worker threads of a pod: one OS thread each, from opening to a graceful stop. Only I/O.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use kpay_domain::Currency;
use kpay_domain::inflight::Policy;
use kpay_kafka::KafkaError;
use kpay_kafka::admin::Admin;
use kpay_kafka::config::Connection;
use kpay_streams::control::{Gate, Report};
use kpay_streams::kafka::{Identity, KafkaLog};
use kpay_streams::log::LogError;
use kpay_streams::out::Topic;
use kpay_streams::stage::Stage as StageLogic;
use kpay_streams::worker::{Settings, Worker};
use tokio::sync::watch;
use tracing::{error, info};

use crate::args::RunArgs;
use crate::ids::CommittedIds;
use crate::lookup::Lookup;
use crate::names::{Names, StageName, TopicName};
use crate::pod::control::Reports;
use crate::pod::queries::Queries;
use crate::stage::account::{AccountStage, Accounts};
use crate::stage::confirmed::ConfirmedStage;
use crate::stage::inflight::InflightStage;

const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a pod waits for its topics before it leaves, and is started again.
const TOPIC_WAIT: Duration = Duration::from_mins(1);
const TOPIC_POLL: Duration = Duration::from_millis(500);
/// Fetched ahead by a worker, in KiB: some ten thousand records, and a bound for the memory.
const FETCH_AHEAD_KIB: u32 = 4_096;

/// A stage that is ready to run.
pub struct Stage {
    args: RunArgs,
    names: Names,
    topics: Vec<Topic>,
    connection: Connection,
    currency: Currency,
    gate: Arc<Gate>,
    reports: Reports,
    ids: Arc<CommittedIds>,
    accounts: Arc<Accounts>,
    lookup: Option<Arc<Lookup>>,
}

/// The partition count of a topic that may be in the making. Blocks.
fn partitions_of(admin: &Admin, topic: &str) -> Result<i32, KafkaError> {
    let deadline = Instant::now() + TOPIC_WAIT;
    loop {
        match admin.partition_count(topic) {
            Err(error) if Instant::now() < deadline => {
                info!(topic, %error, "waiting for the topic");
                std::thread::sleep(TOPIC_POLL);
            }
            result => return result,
        }
    }
}

impl Stage {
    /// Looks the topics up and waits a while for those that are not there yet. Blocks.
    pub fn open(args: &RunArgs) -> anyhow::Result<Self> {
        let names = args.pod.names();
        let Ok(currency) = Currency::new(&args.pod.currency) else {
            bail!("KPAY_CURRENCY: {:?} is not a currency of three letters such as USD", args.pod.currency);
        };
        let connection = Connection {
            bootstrap_servers: args.pod.bootstrap_servers.clone(),
            client_id: args.pod.advertised_address.clone(),
        };
        let admin = Admin::new(connection.clone(), ADMIN_TIMEOUT)?;
        let mut topics = Vec::new();
        for topic in args.stage.topics() {
            let name = names.topic(*topic);
            let partitions = partitions_of(&admin, &name).with_context(|| {
                format!("topic {name} at KPAY_BOOTSTRAP_SERVERS {}", args.pod.bootstrap_servers)
            })?;
            topics.push(Topic { name, partitions });
        }
        let lookup = match args.stage {
            StageName::Account => None,
            stage @ (StageName::Inflight | StageName::Confirmed) => {
                Some(Arc::new(Lookup::open(&connection, names.topic(stage.input()))?))
            }
        };
        let workers = (0..args.workers.max(1)).map(|_| Arc::new(Report::default())).collect();
        let figures = (args.stage == StageName::Confirmed).then(Arc::default);
        Ok(Self {
            args: args.clone(),
            names,
            topics,
            connection,
            currency,
            gate: Arc::default(),
            reports: Reports { workers, figures, ..Reports::default() },
            ids: Arc::default(),
            accounts: Arc::default(),
            lookup,
        })
    }

    /// What tells the workers of the phase.
    pub fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }

    /// What the workers tell.
    pub fn reports(&self) -> Reports {
        self.reports.clone()
    }

    /// What others may ask.
    pub fn queries(&self) -> Queries {
        Queries {
            stage: self.args.stage,
            input_partitions: self.input_partitions(),
            reports: self.reports.clone(),
            ids: Arc::clone(&self.ids),
            accounts: Arc::clone(&self.accounts),
            lookup: self.lookup.clone(),
        }
    }

    fn input_partitions(&self) -> i32 {
        self.topics.first().map_or(1, |t| t.partitions)
    }

    /// Runs all workers until `shutdown` turns true or one of them fails. Blocks.
    pub fn run(self, shutdown: &watch::Receiver<bool>) -> anyhow::Result<()> {
        let failed = std::sync::atomic::AtomicBool::new(false);
        let results: Vec<anyhow::Result<()>> = std::thread::scope(|scope| {
            let stop = || *shutdown.borrow() || failed.load(std::sync::atomic::Ordering::Relaxed);
            let threads: Vec<_> = self
                .reports
                .workers
                .iter()
                .enumerate()
                .map(|(number, report)| {
                    let (stage, failed) = (&self, &failed);
                    scope.spawn(move || {
                        let result = stage.worker(number, Arc::clone(report), &stop);
                        if let Err(error) = &result {
                            error!(worker = number, error = format!("{error:#}"), "worker has failed");
                            failed.store(true, std::sync::atomic::Ordering::Relaxed);
                        }
                        result
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|t| t.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a worker has panicked"))))
                .collect()
        });
        results.into_iter().collect()
    }

    fn worker(&self, number: usize, report: Arc<Report>, stop: &dyn Fn() -> bool) -> anyhow::Result<()> {
        let names = &self.names;
        let counters = Arc::clone(&self.reports.counters);
        let window_ms = i64::from(self.args.idempotency_window_seconds) * 1000;
        match self.args.stage {
            StageName::Inflight => {
                let policy = Policy { default_currency: self.currency };
                let ids = Arc::clone(&self.ids);
                let stage =
                    InflightStage::new(names, self.input_partitions(), policy, ids, window_ms, counters);
                self.drive(stage, number, report, stop)
            }
            StageName::Account => {
                let interval_ms = i64::from(self.args.checkpoint_interval_seconds) * 1000;
                let stage = AccountStage::new(names, Arc::clone(&self.accounts), interval_ms, counters);
                self.drive(stage, number, report, stop)
            }
            StageName::Confirmed => {
                let pipeline = &self.args.pod.pipeline;
                let source = format!("/kpay/{}/{}", pipeline.namespace, pipeline.name);
                let figures = self.reports.figures.clone().unwrap_or_default();
                let stage =
                    ConfirmedStage::new(names, source, Arc::clone(&self.ids), window_ms, figures, counters);
                self.drive(stage, number, report, stop)
            }
        }
    }

    fn drive(
        &self,
        stage: impl StageLogic,
        number: usize,
        report: Arc<Report>,
        stop: &dyn Fn() -> bool,
    ) -> anyhow::Result<()> {
        let slot = format!("{}-{number}", self.args.pod.pod_name);
        let identity = Identity {
            group: self.names.group(self.args.stage),
            transactional_id: format!("{}{slot}", self.names.prefix),
            instance: slot,
            fetch_ahead_kib: FETCH_AHEAD_KIB,
        };
        let log = KafkaLog::open(self.connection.clone(), &identity, self.topics.clone())?;
        let settings = Settings {
            commit_interval_ms: i64::from(self.args.commit_interval_ms),
            commit_linger_ms: i64::from(self.args.commit_linger_ms),
            commit_records_max: self.args.commit_records_max,
            ..Settings::default()
        };
        let gate = Arc::clone(&self.gate);
        let mut worker = Worker::new(log, stage, &self.topics, settings, gate, report);
        if self.args.stage.input() == TopicName::Incoming {
            worker = worker.intake();
        }
        info!(stage = self.args.stage.as_str(), worker = number, "worker has started");
        while !stop() {
            worker.step().map_err(|e: LogError| anyhow::Error::new(e).context("worker"))?;
        }
        worker.finish().context("stopping")
    }
}
