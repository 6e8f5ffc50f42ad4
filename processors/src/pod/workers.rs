//! The worker threads of a stage: one OS thread each, from opening to a graceful stop. Only I/O.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use kpay_domain::Policy;
use kpay_streams::control::{Gate, Report};
use kpay_streams::log::LogError;
use kpay_streams::stage::Stage as StageLogic;
use kpay_streams::worker::{Settings, Worker};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::args::RunArgs;
use crate::ids::CommittedIds;
use crate::live::Live;
use crate::lookup::Lookup;
use crate::names::{Names, StageName, TopicName};
use crate::pod::control::Reports;
use crate::pod::logs::Logs;
use crate::pod::queries::Queries;
use crate::scan::Scan;
use crate::stage::account::{AccountStage, Accounts, Holds};
use crate::stage::confirmed::ConfirmedStage;
use crate::stage::inflight::InflightStage;

/// What a stage is to do, wherever its log lies.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which stage.
    pub stage: StageName,
    /// Topics and groups.
    pub names: Names,
    /// Worker threads.
    pub workers: u16,
    /// What the payments are judged by, as it changes.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// How long an id is remembered, in milliseconds.
    pub window_ms: i64,
    /// Between two checkpoints of the changed accounts, in milliseconds.
    pub checkpoint_interval_ms: i64,
    /// `ce_source` of what is published.
    pub source: String,
    /// When a worker commits.
    pub settings: Settings,
}

impl Plan {
    /// As the flags of a pod say.
    pub fn of(args: &RunArgs, policy: watch::Receiver<Arc<Policy>>) -> Self {
        let pipeline = &args.pod.pipeline;
        Self {
            stage: args.stage,
            names: args.pod.names(),
            workers: args.workers,
            policy,
            window_ms: i64::from(args.idempotency_window_seconds) * 1000,
            checkpoint_interval_ms: i64::from(args.checkpoint_interval_seconds) * 1000,
            source: format!("/kpay/{}/{}", pipeline.namespace, pipeline.name),
            settings: Settings {
                commit_interval_ms: i64::from(args.commit_interval_ms),
                commit_linger_ms: i64::from(args.commit_linger_ms),
                commit_records_max: args.commit_records_max,
                ..Settings::default()
            },
        }
    }
}

/// A stage that is ready to run.
pub struct Stage<L> {
    plan: Plan,
    logs: L,
    gate: Arc<Gate>,
    reports: Reports,
    ids: Arc<CommittedIds>,
    accounts: Arc<Accounts>,
    holds: Arc<Holds>,
    lookup: Option<Arc<dyn Lookup>>,
    ledger: Option<Arc<dyn Scan>>,
}

impl<L: Logs> Stage<L> {
    /// A stage on `logs`. Opens what single records are asked of; the workers open theirs in [`Stage::run`].
    pub fn new(plan: Plan, logs: L) -> anyhow::Result<Self> {
        let (lookup, ledger) = match plan.stage {
            StageName::Account => (None, Some(logs.ledger()?)),
            StageName::Inflight | StageName::Confirmed => (Some(logs.lookup()?), None),
        };
        let workers = (0..plan.workers.max(1)).map(|_| Arc::new(Report::default())).collect();
        let figures = (plan.stage == StageName::Confirmed).then(Arc::default);
        Ok(Self {
            plan,
            logs,
            gate: Arc::default(),
            reports: Reports { workers, figures, ..Reports::default() },
            ids: Arc::default(),
            accounts: Arc::default(),
            holds: Arc::default(),
            lookup,
            ledger,
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
            stage: self.plan.stage,
            input_partitions: self.input_partitions(),
            reports: self.reports.clone(),
            ids: Arc::clone(&self.ids),
            accounts: Arc::clone(&self.accounts),
            holds: Arc::clone(&self.holds),
            policy: self.plan.policy.clone(),
            lookup: self.lookup.clone(),
            ledger: self.ledger.clone(),
        }
    }

    /// What is held here, and in how many partitions at most; only the account stage has any.
    pub(crate) fn holds(&self) -> Option<(Arc<Holds>, i32)> {
        (self.plan.stage == StageName::Account).then(|| (Arc::clone(&self.holds), self.input_partitions()))
    }

    fn input_partitions(&self) -> i32 {
        self.logs.topics().first().map_or(1, |t| t.partitions)
    }

    /// Runs all workers until `shutdown` turns true or one of them fails. Blocks.
    pub fn run(self, shutdown: &watch::Receiver<bool>) -> anyhow::Result<()> {
        let failed = AtomicBool::new(false);
        let results: Vec<anyhow::Result<()>> = std::thread::scope(|scope| {
            let stop = || *shutdown.borrow() || failed.load(Ordering::Relaxed);
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
                            failed.store(true, Ordering::Relaxed);
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
        results.into_iter().collect::<anyhow::Result<()>>()?;
        if let Err(error) = self.logs.leave(self.reports.workers.len()) {
            // What is done is committed; the others take over when the session ends.
            warn!(%error, "the group does not know yet that the workers have stopped");
        }
        Ok(())
    }

    fn worker(&self, number: usize, report: Arc<Report>, stop: &dyn Fn() -> bool) -> anyhow::Result<()> {
        let Plan { names, window_ms, checkpoint_interval_ms, .. } = &self.plan;
        let counters = Arc::clone(&self.reports.counters);
        match self.plan.stage {
            StageName::Inflight => {
                let policy = Live::new(self.plan.policy.clone());
                let ids = Arc::clone(&self.ids);
                let partitions = self.input_partitions();
                let stage = InflightStage::new(names, partitions, policy, ids, *window_ms, counters);
                self.drive(stage, number, report, stop)
            }
            StageName::Account => {
                let shared = (Arc::clone(&self.accounts), Arc::clone(&self.holds));
                let policy = Live::new(self.plan.policy.clone());
                let (partitions, interval_ms) = (self.input_partitions(), *checkpoint_interval_ms);
                let stage = AccountStage::new(names, partitions, policy, shared, interval_ms, counters);
                self.drive(stage, number, report, stop)
            }
            StageName::Confirmed => {
                let figures = self.reports.figures.clone().unwrap_or_default();
                let (source, ids) = (self.plan.source.clone(), Arc::clone(&self.ids));
                let stage = ConfirmedStage::new(names, source, ids, *window_ms, figures, counters);
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
        let log = self.logs.open(number)?;
        let gate = Arc::clone(&self.gate);
        let mut worker = Worker::new(log, stage, self.logs.topics(), self.plan.settings, gate, report);
        if self.plan.stage.input() == TopicName::Incoming {
            worker = worker.intake();
        }
        info!(stage = self.plan.stage.as_str(), worker = number, "worker has started");
        while !stop() {
            worker.step().map_err(|e: LogError| anyhow::Error::new(e).context("worker"))?;
        }
        worker.finish().context("stopping")
    }
}
