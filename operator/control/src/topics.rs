//! What to change so that the topics are as declared, and how each stands. Pure: compares, plans, refuses.
//!
//! | part | what it decides |
//! |---|---|
//! | `claims` | which topics are the pipeline's own |
//! | `refusal` | which partition counts are refused |
//! | `settings` | which settings differ, and which of them matter where others set them |
//! | `verdict` | what the condition says of all |

mod claims;
mod refusal;
mod settings;
mod verdict;

use std::collections::BTreeMap;

use kpay_crds::{ExistingTopics, TopicOrigin, TopicReport, TopicReportState};

pub use self::claims::{Claims, claims, is_own, own};
pub use self::refusal::{TopicRefusal, told};
use self::refusal::{existing_partitions, partitions};
use self::settings::{declared, differing, list, unfit};
use crate::names::TopicName;
use crate::validate::{DesiredTopic, ValidatedPipeline};

/// One topic as the broker has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicState {
    /// Number of partitions.
    pub partitions: i32,
    /// Copies of the first partition.
    pub replication: i32,
    /// Settings on the topic itself.
    pub config: BTreeMap<String, String>,
    /// Settings that it has from the broker.
    pub inherited: BTreeMap<String, String>,
}

impl TopicState {
    /// Every setting that holds for it.
    fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = self.inherited.clone();
        settings.extend(self.config.clone());
        settings
    }
}

/// One change of a topic; each is safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicChange {
    /// Make it.
    Create {
        /// Full name.
        topic: String,
        /// As declared.
        desired: DesiredTopic,
    },
    /// Set some settings and leave all others.
    Alter {
        /// Full name.
        topic: String,
        /// The settings that differ.
        set: BTreeMap<String, String>,
    },
    /// Give it more partitions.
    Grow {
        /// Full name.
        topic: String,
        /// So many in all.
        partitions: i32,
    },
}

impl TopicChange {
    /// Full name of the topic.
    pub fn topic(&self) -> &str {
        match self {
            Self::Create { topic, .. } | Self::Alter { topic, .. } | Self::Grow { topic, .. } => topic,
        }
    }
}

/// What to do, what is refused, and how each topic stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicPlan {
    /// To carry out, in order.
    pub changes: Vec<TopicChange>,
    /// To tell the user.
    pub refusals: Vec<TopicRefusal>,
    /// Topics that are there, that the pipeline has not made, and that it may not have.
    pub foreign: Vec<String>,
    /// What is wrong with topics that others manage.
    pub unfit: Vec<String>,
    /// What the broker has refused to do.
    pub failed: Vec<String>,
    /// Topics that become the pipeline's own once this is written down; nothing is done to them before.
    pub claimed: Vec<String>,
    /// How each stands.
    pub reports: BTreeMap<TopicName, TopicReport>,
}

/// A topic that is looked at.
struct Look<'a> {
    name: TopicName,
    topic: String,
    desired: &'a DesiredTopic,
}

/// Compares what is declared with what the broker has. A setting on the topic that is not declared is left, and so is every
/// topic that is not the pipeline's own by `claims`.
pub fn plan(
    pipeline: &ValidatedPipeline,
    claims: &Claims,
    actual: &BTreeMap<String, TopicState>,
) -> TopicPlan {
    use TopicOrigin::{Adopted, Created, Unmanaged};
    let mut plan = TopicPlan::default();
    for (name, desired) in &pipeline.topics {
        let look = Look { name: *name, topic: pipeline.topic(*name), desired };
        let found = actual.get(&look.topic);
        let report = match (claims.get(name).copied(), found) {
            (Some(origin @ (Created | Adopted)), None) => plan.create(look, origin),
            (Some(origin @ (Created | Adopted)), Some(found)) => plan.keep(look, origin, found),
            (Some(Unmanaged), None) if pipeline.existing == ExistingTopics::CheckOnly => {
                let said = "is not there any more, and others manage it";
                plan.unfit.push(format!("{} {said}", look.topic));
                report(None, Some(Unmanaged), TopicReportState::Missing, said)
            }
            (None | Some(Unmanaged), None) => {
                plan.claimed.push(look.topic);
                report(None, Some(Created), TopicReportState::Creating, "")
            }
            (None | Some(Unmanaged), Some(found)) => match pipeline.existing {
                ExistingTopics::Refuse => plan.refuse(look, found),
                ExistingTopics::Adopt => plan.adopt(look, found),
                ExistingTopics::CheckOnly => plan.check(look, found),
            },
        };
        plan.reports.insert(*name, report);
    }
    if !plan.usable() {
        plan.claim_nothing(pipeline, claims);
    }
    plan
}

/// How the topics stand while a wipe makes some of them anew: it begins only where all are the pipeline's own, and those that
/// it has deleted stay that.
pub fn while_wiped(
    pipeline: &ValidatedPipeline,
    claims: &Claims,
    actual: &BTreeMap<String, TopicState>,
) -> BTreeMap<TopicName, TopicReport> {
    let of = |name: &TopicName| {
        let origin = claims.get(name).copied().unwrap_or(TopicOrigin::Created);
        let found = actual.get(&pipeline.topic(*name));
        let state = if found.is_some() { TopicReportState::AsDeclared } else { TopicReportState::Creating };
        (*name, report(found, Some(origin), state, ""))
    };
    pipeline.topics.keys().map(of).collect()
}

impl TopicPlan {
    fn create(&mut self, look: Look<'_>, origin: TopicOrigin) -> TopicReport {
        self.changes.push(TopicChange::Create { topic: look.topic, desired: look.desired.clone() });
        report(None, Some(origin), TopicReportState::Creating, "")
    }

    /// The pipeline's own: what can be set right is.
    fn keep(&mut self, look: Look<'_>, origin: TopicOrigin, found: &TopicState) -> TopicReport {
        let Look { name, topic, desired } = look;
        let mut differs = Vec::new();
        // What the broker happens to have as well may change there.
        let settings = differing(&desired.config, &found.config);
        if !settings.is_empty() {
            differs.push(list(&settings));
            self.changes.push(TopicChange::Alter { topic: topic.clone(), set: declared(&settings) });
        }
        let refusal = partitions(name, &topic, desired.partitions, found.partitions);
        let grows = name == TopicName::Dlq && found.partitions < desired.partitions;
        if grows {
            differs.push(format!("{} partitions, declared {}", found.partitions, desired.partitions));
            self.changes.push(TopicChange::Grow { topic, partitions: desired.partitions });
        }
        match refusal {
            Some(refusal) => {
                let said = refusal.to_string();
                self.refusals.push(refusal);
                report(Some(found), Some(origin), TopicReportState::Refused, &said)
            }
            None => compared(found, origin, &differs.join("; ")),
        }
    }

    /// While one topic is somebody else's, none is taken or made.
    fn claim_nothing(&mut self, pipeline: &ValidatedPipeline, claims: &Claims) {
        for (name, report) in &mut self.reports {
            if self.claimed.contains(&pipeline.topic(*name)) {
                report.origin = claims.get(name).copied();
            }
        }
        self.claimed.clear();
    }

    fn refuse(&mut self, look: Look<'_>, found: &TopicState) -> TopicReport {
        self.foreign.push(look.topic);
        let said = "is there already, and this pipeline has not made it (spec.topics.existing: Refuse)";
        report(Some(found), None, TopicReportState::Refused, said)
    }

    /// Becomes the pipeline's own, unless it does not fit.
    fn adopt(&mut self, look: Look<'_>, found: &TopicState) -> TopicReport {
        let Look { name, topic, desired } = look;
        if let Some(refusal) = existing_partitions(name, &topic, desired.partitions, found.partitions) {
            let said = refusal.to_string();
            self.refusals.push(refusal);
            return report(Some(found), None, TopicReportState::Refused, &said);
        }
        self.claimed.push(topic);
        compared(found, TopicOrigin::Adopted, &list(&differing(&desired.config, &found.config)))
    }

    /// Is used as it is, unless payments would go wrong with it.
    fn check(&mut self, look: Look<'_>, found: &TopicState) -> TopicReport {
        let Look { name, topic, desired } = look;
        let origin = TopicOrigin::Unmanaged;
        let refusal = existing_partitions(name, &topic, desired.partitions, found.partitions);
        if let Some(refusal) = refusal.filter(|_| name != TopicName::Dlq) {
            let said = refusal.to_string();
            self.refusals.push(refusal);
            return report(Some(found), Some(origin), TopicReportState::Refused, &said);
        }
        let differs = differing(&desired.config, &found.settings());
        let wrong: Vec<_> = differs.iter().filter(|one| unfit(one)).cloned().collect();
        if !wrong.is_empty() {
            let said = format!("{}; kpay needs it as declared, and others manage the topic", list(&wrong));
            self.unfit.push(format!("{topic}: {said}"));
            return report(Some(found), Some(origin), TopicReportState::Refused, &said);
        }
        compared(found, origin, &list(&differs))
    }
}

fn compared(found: &TopicState, origin: TopicOrigin, differs: &str) -> TopicReport {
    let state = if differs.is_empty() { TopicReportState::AsDeclared } else { TopicReportState::Drifted };
    report(Some(found), Some(origin), state, differs)
}

fn report(
    found: Option<&TopicState>,
    origin: Option<TopicOrigin>,
    state: TopicReportState,
    message: &str,
) -> TopicReport {
    TopicReport {
        partitions: found.map_or(0, |found| found.partitions),
        replication: found.map_or(0, |found| found.replication),
        origin,
        state: Some(state),
        message: (!message.is_empty()).then(|| message.to_owned()),
    }
}

#[cfg(test)]
mod tests;
