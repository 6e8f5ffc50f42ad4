//! The drain proof: from what pods and broker say to all that speaks against "nothing is in flight". Pure.
//! Anything unknown is a blocker; an empty list is the proof (docs/architecture.md, "The phase").

use std::collections::{BTreeMap, BTreeSet};

use crate::names::Component;
use crate::report::{ControlReport, NoReport, PartitionState, Reports, answered, sum};

/// How far a group has come in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where `read_committed` ends.
    pub last_stable: i64,
    /// Where the log ends.
    pub high_watermark: i64,
    /// Whether a data record lies between the committed and the last stable offset.
    pub data_records_between: bool,
}

/// A stage's group on its input topic, by partition; none when the broker did not say.
pub type GroupProgress = Option<BTreeMap<i32, Progress>>;

/// All that the proof rests on.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The epoch that every pod must have acted on.
    pub epoch: i64,
    /// Every pod that must speak: each ordinal of each stage, and each live pod.
    pub expected: BTreeSet<String>,
    /// What the pods said.
    pub reports: Reports,
    /// Partitions of each stage's input topic.
    pub partitions: BTreeMap<Component, i32>,
    /// Progress of the groups account and confirmed.
    pub groups: BTreeMap<Component, GroupProgress>,
}

/// One thing that speaks against the proof. It prints where to look.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Blocker {
    /// A pod says nothing.
    #[error("pod {pod}: {reason}")]
    NoReport {
        /// Which.
        pod: String,
        /// Why.
        reason: String,
    },
    /// A pod has not acted on the epoch.
    #[error("pod {pod} has not acted on epoch {wanted} yet")]
    StaleEpoch {
        /// Which.
        pod: String,
        /// The epoch to act on.
        wanted: i64,
    },
    /// Nobody reports a partition.
    #[error("no pod of stage {stage} reports partition {partition}")]
    PartitionUnreported {
        /// Stage.
        stage: Component,
        /// Partition of its input topic.
        partition: i32,
    },
    /// Two pods report a partition.
    #[error("several pods of stage {stage} report partition {partition}")]
    PartitionTwice {
        /// Stage.
        stage: Component,
        /// Partition of its input topic.
        partition: i32,
    },
    /// A partition's state is still being read back.
    #[error("pod {pod} is restoring partition {partition}")]
    Restoring {
        /// Which pod.
        pod: String,
        /// Which partition.
        partition: i32,
    },
    /// Accepted and finished differ.
    #[error("payments are in flight (status.inFlight says how many)")]
    InFlight,
    /// Records wait to be processed.
    #[error("group {group} has records to process in partition {partition}")]
    Lag {
        /// The stage whose group it is.
        group: Component,
        /// Partition of its input topic.
        partition: i32,
    },
    /// A transaction is open on the broker.
    #[error("a transaction is open in partition {partition} of the topic that stage {group} reads")]
    OpenOnBroker {
        /// The stage that reads the topic.
        group: Component,
        /// The partition.
        partition: i32,
    },
    /// The broker did not say.
    #[error("Kafka does not say how far group {group} is")]
    GroupUnknown {
        /// The stage whose group it is.
        group: Component,
    },
    /// A pod holds an open transaction.
    #[error("pod {pod} has an open transaction")]
    OpenTransaction {
        /// Which.
        pod: String,
    },
}

/// All that speaks against it; nothing in flight is proven when the list is empty.
pub fn prove(evidence: &Evidence) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    pods(evidence, &mut blockers);
    for stage in Component::STAGES {
        owners(evidence, stage, &mut blockers);
    }
    let accepted = sum(&evidence.reports, Component::Inflight).count;
    let finished = sum(&evidence.reports, Component::Confirmed).count;
    if accepted != finished {
        blockers.push(Blocker::InFlight);
    }
    for group in [Component::Account, Component::Confirmed] {
        lag(evidence, group, &mut blockers);
    }
    blockers.sort();
    blockers
}

/// Whether every expected pod has acted on the epoch, and payments flow or there are none to take.
pub fn flowing(evidence: &Evidence, per_second: f64) -> bool {
    let mut blockers = Vec::new();
    pods(evidence, &mut blockers);
    blockers.retain(|blocker| !matches!(blocker, Blocker::OpenTransaction { .. }));
    let idle = matches!(
        evidence.groups.get(&Component::Inflight),
        Some(Some(progress)) if progress.values().all(|p| !p.data_records_between)
    );
    blockers.is_empty() && (per_second > 0.0 || idle)
}

fn pods(evidence: &Evidence, blockers: &mut Vec<Blocker>) {
    for pod in &evidence.expected {
        let said = evidence.reports.get(pod).cloned().unwrap_or(Err(NoReport::Missing));
        match said {
            Err(reason) => {
                blockers.push(Blocker::NoReport { pod: pod.clone(), reason: reason.to_string() });
            }
            Ok(report) => {
                if report.epoch != Some(evidence.epoch) {
                    blockers.push(Blocker::StaleEpoch { pod: pod.clone(), wanted: evidence.epoch });
                }
                if report.open_transaction {
                    blockers.push(Blocker::OpenTransaction { pod: pod.clone() });
                }
            }
        }
    }
}

fn owners(evidence: &Evidence, stage: Component, blockers: &mut Vec<Blocker>) {
    let of_stage = |report: &&ControlReport| report.stage == stage;
    let mut owned: BTreeMap<i32, usize> = BTreeMap::new();
    for report in answered(&evidence.reports).filter(of_stage) {
        for partition in &report.partitions {
            *owned.entry(partition.partition).or_default() += 1;
            if partition.state == PartitionState::Restoring {
                let pod = report.pod.clone();
                blockers.push(Blocker::Restoring { pod, partition: partition.partition });
            }
        }
    }
    for partition in 0..evidence.partitions.get(&stage).copied().unwrap_or(0) {
        match owned.get(&partition) {
            Some(1) => {}
            None => blockers.push(Blocker::PartitionUnreported { stage, partition }),
            Some(_) => blockers.push(Blocker::PartitionTwice { stage, partition }),
        }
    }
}

fn lag(evidence: &Evidence, group: Component, blockers: &mut Vec<Blocker>) {
    let Some(Some(progress)) = evidence.groups.get(&group) else {
        blockers.push(Blocker::GroupUnknown { group });
        return;
    };
    for partition in 0..evidence.partitions.get(&group).copied().unwrap_or(0) {
        let Some(progress) = progress.get(&partition) else {
            blockers.push(Blocker::GroupUnknown { group });
            continue;
        };
        if progress.data_records_between {
            blockers.push(Blocker::Lag { group, partition });
        }
        if progress.last_stable != progress.high_watermark {
            blockers.push(Blocker::OpenOnBroker { group, partition });
        }
    }
}

#[cfg(test)]
mod tests;
