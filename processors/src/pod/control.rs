//! What a pod says of itself: `/control`, readiness, liveness. No I/O.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kpay_crds::Phase;
use kpay_domain::{Accepted, Progress};
use kpay_streams::clock::now_ms;
use kpay_streams::control::{PartitionState, Report};
use serde::Serialize;
use tokio::sync::watch;

use crate::gateway::GatewayStatus;
use crate::generator::stats::Stats;
use crate::pod::phase::Learned;
use crate::stage::confirmed::Finished;
use crate::stage::counters::Counters;
use crate::stage::figures::Figures;
use crate::stage::windows::Minute;

/// A worker that shows no sign of life for so long is stuck in a call that ignores its time-out: the pod is
/// restarted. Longer than a restore of a partition and than any call's own time-out.
const ALIVE_MAX_MS: i64 = 120_000;
const DAY_MS: i64 = 86_400_000;

/// What the workers of a pod share with its endpoint.
#[derive(Debug, Clone, Default)]
pub struct Reports {
    /// One for each worker.
    pub workers: Vec<Arc<Report>>,
    /// What the stage counts.
    pub counters: Arc<Counters>,
    /// Of the confirmed stage.
    pub figures: Option<Arc<Figures>>,
}

/// One pod.
pub struct PodControl {
    pod: String,
    stage: Option<&'static str>,
    reports: Reports,
    phase: watch::Receiver<Option<Learned>>,
    gateway: Option<Arc<GatewayStatus>>,
    generator: Option<Arc<Stats>>,
}

/// The answer of `GET /control`; described in `docs/architecture.md`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlReport {
    pod: String,
    stage: &'static str,
    version: &'static str,
    epoch: Option<u64>,
    phase: Option<Phase>,
    ready: bool,
    open_transaction: bool,
    partitions: Vec<PartitionLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<FiguresLine>,
}

#[derive(Debug, Serialize)]
struct PartitionLine {
    partition: i32,
    state: &'static str,
    count: u64,
    value: BTreeMap<String, i128>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FiguresLine {
    per_second: f64,
    rejected_per_second: f64,
    latency_p99_ms: f64,
    today: Amounts,
}

#[derive(Debug, Serialize)]
struct Amounts {
    count: u64,
    value: BTreeMap<String, i128>,
}

fn values(progress: &Progress) -> BTreeMap<String, i128> {
    progress.value.iter().map(|(currency, minor)| (currency.as_str().to_owned(), *minor)).collect()
}

impl PodControl {
    /// A pod of a stage or the generator's, or the gateway without one.
    pub fn new(
        pod: String,
        stage: Option<&'static str>,
        reports: Reports,
        phase: watch::Receiver<Option<Learned>>,
    ) -> Self {
        Self { pod, stage, reports, phase, gateway: None, generator: None }
    }

    /// The gateway's pod, which is ready only when payments can be taken in.
    #[must_use]
    pub fn of_gateway(self, status: Arc<GatewayStatus>) -> Self {
        Self { gateway: Some(status), ..self }
    }

    /// The generator's pod.
    #[must_use]
    pub fn of_generator(self, stats: Arc<Stats>) -> Self {
        Self { generator: Some(stats), ..self }
    }

    /// What the generator has sent, in its pod.
    pub fn generator(&self) -> Option<&Stats> {
        self.generator.as_deref()
    }

    /// How the gateway is, in its pod.
    pub fn gateway(&self) -> Option<&GatewayStatus> {
        self.gateway.as_deref()
    }

    /// What the workers share.
    pub fn reports(&self) -> &Reports {
        &self.reports
    }

    /// The phase as it was learned.
    pub fn learned(&self) -> Option<Learned> {
        *self.phase.borrow()
    }

    /// The epoch that every worker has acted on; the gateway acts by answering, the generator before each record.
    fn acked(&self) -> Option<u64> {
        let learned = self.learned()?;
        let workers = self.reports.workers.iter().map(|w| w.acked_epoch.load(Ordering::Acquire));
        let acked = workers.min().unwrap_or(learned.epoch);
        (acked > 0).then_some(acked)
    }

    /// The pod's name.
    pub fn pod(&self) -> &str {
        &self.pod
    }

    /// Every worker has its partitions, and they are restored.
    pub fn restored(&self) -> bool {
        let ready = |worker: &Arc<Report>| !worker.partitions.lock().is_empty() && worker.restored();
        self.reports.workers.iter().all(ready)
    }

    /// A phase is known, every worker is in its group and has restored what it owns, and the gateway knows its topics: a pod
    /// that is replaced only then finds somebody who takes over.
    pub fn ready(&self) -> bool {
        self.acked().is_some()
            && self.reports.workers.iter().all(|w| w.restored())
            && self.gateway().is_none_or(GatewayStatus::ready)
    }

    /// Every worker shows signs of life.
    pub fn alive(&self) -> bool {
        let now_ms = now_ms();
        self.reports.workers.iter().all(|w| {
            let alive_ms = w.alive_ms.load(Ordering::Relaxed);
            alive_ms == 0 || now_ms - alive_ms < ALIVE_MAX_MS
        })
    }

    /// The minutes since 1970 from this one on in which this pod confirmed payments.
    pub fn minutes(&self, since: i64) -> Vec<Minute> {
        self.reports.figures.as_ref().map(|figures| figures.minutes(since)).unwrap_or_default()
    }

    /// What the drain proof is made of.
    pub fn report(&self) -> ControlReport {
        let epoch = self.acked();
        // The epoch is read before the partitions: what they report is at least as new.
        let learned = self.learned().filter(|l| Some(l.epoch) == epoch);
        let mut partitions = Vec::new();
        let mut today = Progress::default();
        for worker in &self.reports.workers {
            for (partition, report) in worker.partitions.lock().iter() {
                let finished = Finished::from_text(&report.metadata);
                let progress = match &finished {
                    Some(finished) => finished.total.clone(),
                    None => Accepted::from_text(&report.metadata).unwrap_or_default().progress,
                };
                if let Some(finished) = finished.filter(|f| f.day == now_ms().div_euclid(DAY_MS)) {
                    today.merge(&finished.today);
                }
                let (count, value) = (progress.count, values(&progress));
                partitions.push(PartitionLine {
                    partition: *partition,
                    state: word(report.state),
                    count,
                    value,
                });
            }
        }
        let open = |w: &Arc<Report>| w.open_transaction.load(Ordering::Acquire);
        ControlReport {
            pod: self.pod.clone(),
            stage: self.stage.unwrap_or("gateway"),
            version: env!("CARGO_PKG_VERSION"),
            epoch,
            phase: learned.map(|l| l.phase),
            ready: self.ready(),
            open_transaction: self.reports.workers.iter().any(open),
            partitions,
            figures: self.reports.figures.as_ref().map(|figures| {
                let reading = figures.read();
                FiguresLine {
                    per_second: reading.per_second,
                    rejected_per_second: reading.rejected_per_second,
                    latency_p99_ms: reading.latency_p99_ms,
                    today: Amounts { count: today.count, value: values(&today) },
                }
            }),
        }
    }
}

fn word(state: PartitionState) -> &'static str {
    match state {
        PartitionState::Restoring => "restoring",
        PartitionState::Running => "running",
        PartitionState::Paused => "paused",
    }
}
