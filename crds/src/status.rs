//! `PaymentPipeline.status`: what is so. Written by the operator alone. Pure data.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::accounts::AccountsBootstrapStatus;
use crate::autoscaling::StageScaling;
use crate::pause::Holder;
use crate::pipeline::DrainTimeoutAction;
use crate::topics::TopicReport;
use crate::upgrade::{Release, UpgradeStatus};

/// What is so, as the operator last saw it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPipelineStatus {
    /// What the pipeline is doing. The processors act on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Grows by one with every change of phase. A processor reports the epoch that it has acted on.
    #[serde(default)]
    pub epoch: i64,
    /// Since when the phase is what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase_since: Option<Time>,
    /// The generation of the spec that the rest of this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Progressing`, `Drained`, `TopicsReady`, `Degraded`, `UpgradeReady`, with `spec.autoscaling`
    /// `AutoscalingActive` and with `spec.accounts.bootstrap` `AccountsBootstrapped`, each with a reason and what to do
    /// about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Who holds the pipeline paused (`spec.pauses`, without those that have ended).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["holder".into()]))]
    pub holders: Vec<Holder>,
    /// How the last drain ended, when it took longer than `spec.drain.timeout` and did not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_timed_out: Option<DrainTimedOut>,
    /// Payments accepted and not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<Amounts>,
    /// Payments finished since midnight UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_today: Option<Amounts>,
    /// Payments finished per second, over the last seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
    /// 99th percentile of the time from accepted to finished, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_p99_ms: Option<f64>,
    /// The workloads by stage: gateway, inflight, account, confirmed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub processors: BTreeMap<String, WorkloadReport>,
    /// What the pods were made from when payments last went well: where a change that does not pass goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// The change of the pods that is under way, or was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<UpgradeStatus>,
    /// What was decided for each stage that is scaled by its load, and from which figures.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub autoscaling: BTreeMap<String, StageScaling>,
    /// What has become of the accounts that the pipeline begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts_bootstrap: Option<AccountsBootstrapStatus>,
    /// The topics by their name without the prefix: whose each is, and how it stands.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub topics: BTreeMap<String, TopicReport>,
    /// Version that the processors report; several while they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What comes before the name of every topic and consumer group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_prefix: Option<String>,
}

/// What a pipeline is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Topics and processors are being made; nothing is taken in.
    Pending,
    /// Payments are taken in.
    Running,
    /// The intake has stopped; what is in flight is being finished.
    Draining,
    /// Nothing is in flight, and that is proven.
    Paused,
    /// The intake has started again; no proof yet that payments flow.
    Resuming,
    /// The resource cannot be served as it is written; see the Degraded condition.
    Failed,
}

impl Phase {
    /// Every phase, for tables and metrics.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::Draining, Self::Paused, Self::Resuming, Self::Failed];

    /// The name as it is in the resource.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Draining => "Draining",
            Self::Paused => "Paused",
            Self::Resuming => "Resuming",
            Self::Failed => "Failed",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A drain that was not waited for.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainTimedOut {
    /// What was done instead.
    pub action: DrainTimeoutAction,
    /// The generation of the spec that had asked for it; another one tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// What was in the way.
    pub stuck: String,
}

/// A number of payments and what they are worth.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// How many payments.
    #[serde(default)]
    pub count: i64,
    /// Their sum in minor units (cents), by currency.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub value: BTreeMap<String, i64>,
}

/// How a workload stands.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadReport {
    /// Pods that are ready.
    #[serde(default)]
    pub ready: i32,
    /// Pods that there should be.
    #[serde(default)]
    pub desired: i32,
    /// Revision that the pods are brought to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}
