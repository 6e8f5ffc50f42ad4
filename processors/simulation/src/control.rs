//! The control plane: the operator's phase machine and its drain proof, on evidence that is gathered pod by pod while the
//! pipeline moves on.

use std::collections::{BTreeMap, BTreeSet};

use kpay::names::{StageName, TopicName};
use kpay::pod::phase::Learned;
use kpay_control::drain::{Evidence, Progress, flowing, prove};
use kpay_control::names::Component;
use kpay_control::phase::{Facts, next};
use kpay_control::report::Reports;
use kpay_crds::{DesiredPhase, Phase};

use crate::plant::{ControlPlant, Plant};
use crate::slot::Slot;
use crate::topology::Topology;

/// How long the intake takes to its full rate when it resumes.
const SLOW_START_MS: u64 = 40;

/// The operator, and what it has written.
pub struct Control {
    phase: Option<Phase>,
    /// What a person wants.
    pub desired: DesiredPhase,
    /// Every phase with its epoch and the time at which it was written.
    pub phases: Vec<(i64, Learned)>,
    /// The pods that have answered in this round.
    reports: Reports,
    finished: i64,
    plant: Option<ControlPlant>,
}

impl Control {
    /// A new resource that is to run.
    pub fn new(plant: Option<Plant>) -> Self {
        let plant = match plant {
            Some(Plant::Control(plant)) => Some(plant),
            _ => None,
        };
        Self {
            phase: None,
            desired: DesiredPhase::Running,
            phases: Vec::new(),
            reports: Reports::new(),
            finished: 0,
            plant,
        }
    }

    /// What the pipeline is doing.
    pub fn phase(&self) -> Option<Phase> {
        self.phase
    }

    fn epoch(&self) -> u64 {
        self.phases.last().map_or(0, |(_, learned)| learned.epoch)
    }

    /// Asks one pod; when all have answered, asks the brokers and decides.
    pub fn look(&mut self, topology: &Topology, slots: &[Slot]) {
        let next = slots.iter().find(|slot| !self.reports.contains_key(&slot.pod));
        if let Some(slot) = next {
            self.reports.insert(slot.pod.clone(), slot.report());
            return;
        }
        let reports = std::mem::take(&mut self.reports);
        self.decide(topology, slots, reports);
    }

    fn decide(&mut self, topology: &Topology, slots: &[Slot], mut reports: Reports) {
        let ready =
            reports.values().all(|r| r.as_ref().is_ok_and(|report| report.ready || self.phase.is_none()));
        let mut facts =
            Facts { valid: true, ready: ready || self.phase == Some(Phase::Pending), ..Facts::default() };
        if self.plant == Some(ControlPlant::EpochAssumed) {
            let epoch = i64::try_from(self.epoch()).unwrap();
            reports.values_mut().filter_map(|r| r.as_mut().ok()).for_each(|r| r.epoch = Some(epoch));
        }
        if matches!(self.phase, Some(Phase::Draining | Phase::Resuming)) {
            let evidence = self.evidence(topology, slots, reports);
            let finished = kpay_control::report::sum(&evidence.reports, Component::Confirmed).count;
            let moves = finished > self.finished;
            self.finished = finished;
            facts.drained = prove(&evidence).is_empty() || self.plant == Some(ControlPlant::DrainAssumed);
            facts.flowing = flowing(&evidence, if moves { 1.0 } else { 0.0 });
        }
        if let Some(transition) = next(self.phase, self.desired, facts) {
            self.phase = Some(transition.to);
            let epoch = self.epoch() + 1;
            let learned = Learned {
                phase: transition.to,
                epoch,
                desired: self.desired,
                intake_per_second: None,
                slow_start_ms: SLOW_START_MS,
                rejects_while_closed: false,
            };
            self.phases.push((topology.cluster.now_ms(), learned));
        }
    }

    fn evidence(&self, topology: &Topology, slots: &[Slot], reports: Reports) -> Evidence {
        let input = |stage: StageName| (stage.component(), topology.partitions(stage.input()));
        let groups = StageName::ALL.map(|stage| (stage.component(), Some(progress(topology, stage))));
        Evidence {
            epoch: i64::try_from(self.epoch()).unwrap(),
            expected: slots.iter().map(|slot| slot.pod.clone()).collect::<BTreeSet<_>>(),
            reports,
            partitions: StageName::ALL.map(input).into(),
            groups: groups.into(),
        }
    }
}

/// How far a group is, as the brokers tell it: by what is marked, not by what is decided.
fn progress(topology: &Topology, stage: StageName) -> BTreeMap<i32, Progress> {
    let (cluster, topic): (_, TopicName) = (&topology.cluster, stage.input());
    let (name, group) = (topology.name(topic), topology.names.group(stage));
    let each = |partition| {
        let (last_stable, high_watermark) = cluster.ends(&name, partition);
        let committed = cluster.marked_offset(&group, partition).unwrap_or(0);
        let last = cluster.committed(&name, partition).last().map_or(-1, |record| record.offset);
        let data_records_between = last >= committed;
        (partition, Progress { last_stable, high_watermark, data_records_between })
    };
    (0..topology.partitions(topic)).map(each).collect()
}
