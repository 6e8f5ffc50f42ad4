//! One place for a worker: a pod that runs it, dies, and comes back under the same name.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kpay::ids::CommittedIds;
use kpay::live::Live;
use kpay::names::StageName;
use kpay::pod::control::{PodControl, Reports};
use kpay::pod::phase::Learned;
use kpay::stage::account::{AccountStage, Accounts};
use kpay::stage::confirmed::ConfirmedStage;
use kpay::stage::counters::Counters;
use kpay::stage::figures::Figures;
use kpay::stage::inflight::InflightStage;
use kpay_control::report::{ControlReport, NoReport};
use kpay_streams::control::{Gate, PartitionState, Report};
use kpay_streams::log::LogError;
use kpay_streams::sim::{Identity, SimLog};
use kpay_streams::stage::Stage;
use kpay_streams::worker::Worker;
use tokio::sync::watch;

use crate::check::{Books, Checked, View};
use crate::plant::{Plant, PlantedLog, PlantedStage};
use crate::topology::Topology;

/// Longer than any run: what is forgotten by age is another test's matter.
const WINDOW_MS: i64 = 86_400_000;

/// What a running process shows of itself.
struct Process {
    worker: Worker<PlantedLog, PlantedStage>,
    report: Arc<Report>,
    gate: Arc<Gate>,
    learn: watch::Sender<Option<Learned>>,
    control: PodControl,
    ids: Arc<CommittedIds>,
    accounts: Arc<Accounts>,
    /// Commits, aborts and partitions when the state was checked last.
    checked: (u64, u64, Vec<i32>),
}

/// One place for a worker.
pub struct Slot {
    /// What it works on.
    pub stage: StageName,
    /// The pod's name.
    pub pod: String,
    identity: Identity,
    process: Option<Process>,
    /// When it may start again.
    pub down_until_ms: i64,
    /// How long news of the phase takes to reach it.
    pub news_ms: i64,
    started_ms: i64,
}

impl Slot {
    /// The place number `number` of a stage, empty.
    pub fn new(topology: &Topology, stage: StageName, number: usize) -> Self {
        let pod = format!("payments-{}-{number}", stage.as_str());
        let identity = Identity {
            group: topology.names.group(stage),
            instance: pod.clone(),
            transactional_id: format!("sim.{pod}"),
        };
        Self { stage, pod, identity, process: None, down_until_ms: 0, news_ms: 0, started_ms: 0 }
    }

    /// Whether a process runs here.
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Starts the process; the brokers may refuse it.
    pub fn start(&mut self, topology: &Topology, figures: &Arc<Figures>, plant: Option<Plant>) {
        let topics = topology.topics(self.stage);
        let Ok(log) = SimLog::open(&topology.cluster, self.identity.clone(), &topics) else { return };
        let of_log = match plant {
            Some(Plant::Log(plant)) => Some(plant),
            _ => None,
        };
        let partitions = topics.iter().map(|t| t.partitions).collect();
        let group = self.identity.group.clone();
        let log = PlantedLog::new(log, topology.cluster.clone(), group, partitions, of_log);
        let (ids, accounts) = (Arc::<CommittedIds>::default(), Arc::<Accounts>::default());
        let counters = Arc::<Counters>::default();
        let policy = Live::fixed(topology.terms.policy());
        let stage: Box<dyn Stage> = match self.stage {
            StageName::Inflight => Box::new(InflightStage::new(
                &topology.names,
                topology.incoming,
                policy,
                Arc::clone(&ids),
                WINDOW_MS,
                Arc::clone(&counters),
            )),
            StageName::Account => Box::new(AccountStage::new(
                &topology.names,
                topology.inflight,
                policy,
                (Arc::clone(&accounts), Arc::default()),
                topology.checkpoint_interval_ms,
                Arc::clone(&counters),
            )),
            StageName::Confirmed => Box::new(ConfirmedStage::new(
                &topology.names,
                "simulation".to_owned(),
                Arc::clone(&ids),
                WINDOW_MS,
                Arc::clone(figures),
                Arc::clone(&counters),
            )),
        };
        let of_stage = match plant {
            Some(Plant::Stage(stage, plant)) if stage == self.stage => Some(plant),
            _ => None,
        };
        let stage = PlantedStage::new(stage, self.stage, &topics, of_stage);
        let (gate, report) = (Arc::<Gate>::default(), Arc::<Report>::default());
        let settings = topology.settings;
        let worker = Worker::new(log, stage, &topics, settings, Arc::clone(&gate), Arc::clone(&report));
        let worker = if self.stage == StageName::Inflight { worker.intake() } else { worker };
        let (learn, learned) = watch::channel(None);
        let reports = Reports { workers: vec![Arc::clone(&report)], counters, figures: None };
        let control = PodControl::new(self.pod.clone(), Some(self.stage.as_str()), reports, learned);
        self.started_ms = topology.cluster.now_ms();
        self.process = Some(Process {
            worker,
            report,
            gate,
            learn,
            control,
            ids,
            accounts,
            checked: (0, 0, Vec::new()),
        });
    }

    /// The process is gone, at once.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Hears of the phases that were written, by their times, as far as news has come. A new process asks for the newest.
    pub fn hear(&mut self, phases: &[(i64, Learned)], now_ms: i64) {
        let Some(process) = &self.process else { return };
        let until = (now_ms - self.news_ms).max(self.started_ms);
        let heard = phases.iter().rev().find(|(at_ms, _)| *at_ms <= until).map(|(_, learned)| *learned);
        if let Some(learned) = heard.filter(|l| process.gate.get().is_none_or(|g| g.epoch < l.epoch)) {
            process.learn.send_replace(Some(learned));
            learned.tell(&process.gate);
        }
    }

    /// One turn of the worker. An error ends the process, as it does in a pod.
    pub fn step(&mut self) -> Result<(), LogError> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let result = process.worker.step();
        if result.is_err() {
            self.process = None;
        }
        result.map(drop)
    }

    /// What it answers at `/control`.
    pub fn report(&self) -> Result<ControlReport, NoReport> {
        let process = self.process.as_ref().ok_or(NoReport::Silent)?;
        let json = serde_json::to_vec(&process.control.report()).map_err(|_| NoReport::Garbled)?;
        serde_json::from_slice(&json).map_err(|_| NoReport::Garbled)
    }

    /// After a commit, an abort or another assignment: what it holds is what was decided.
    pub fn check(&mut self, topology: &Topology, books: &Books) -> Checked {
        let Some(process) = &mut self.process else { return Ok(()) };
        let report = &process.report;
        let partitions = report.partitions.lock();
        let restored = || partitions.iter().filter(|(_, told)| told.state != PartitionState::Restoring);
        let now = (
            report.commits.load(Ordering::Relaxed),
            report.aborts.load(Ordering::Relaxed),
            restored().map(|(partition, _)| *partition).collect(),
        );
        if now == process.checked {
            return Ok(());
        }
        let view = match self.stage {
            StageName::Account => View::Accounts(&process.accounts),
            StageName::Inflight | StageName::Confirmed => View::Ids(&process.ids),
        };
        for (partition, told) in restored() {
            // Who lost a partition and has not heard of it may hold what was; it can commit nothing of it.
            let owner = topology.cluster.owner(&self.identity.group, *partition);
            if owner.as_ref() == Some(&self.identity.instance) {
                books.holds(self.stage, *partition, &told.metadata, &view)?;
            }
        }
        drop(partitions);
        process.checked = now;
        Ok(())
    }

    /// Whether it is the intake, and has acknowledged the newest phase that it was told, and that phase is closed.
    pub fn has_closed(&self) -> bool {
        let closed = |p: &Process| {
            let gate = p.gate.get();
            gate.is_some_and(|g| !g.open && p.report.acked_epoch.load(Ordering::Acquire) == g.epoch)
        };
        self.stage == StageName::Inflight && self.process.as_ref().is_some_and(closed)
    }

    /// Commits and aborts so far.
    pub fn counts(&self) -> (u64, u64) {
        let load =
            |p: &Process| (p.report.commits.load(Ordering::Relaxed), p.report.aborts.load(Ordering::Relaxed));
        self.process.as_ref().map_or((0, 0), load)
    }
}
