//! How a new release of the pods is brought about: what a person asks for, and how far it is. Pure data with defaults and
//! bounds.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::processors::{Placement, Resources};

/// When a change of the pods (image, workers, resources and the like) is good. It goes through the workloads downstream
/// first: confirmed, account, inflight, gateway; each has to pass before the next is touched. One that does not pass is
/// taken back everywhere, and `spec` stays as it was written.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upgrade {
    /// Whether payments are taken in while pods are replaced. `Rolling`: they are. `DrainThenRoll`: the pipeline is Paused
    /// first, for a release that does not understand what the one before has in flight, and Running again at the end. Default `Rolling`.
    #[serde(default)]
    pub strategy: UpgradeStrategy,
    /// How many pods more than its replicas a stage may have while its pods are replaced. With 1 somebody is there who takes
    /// the partitions of a pod that stops; with 0, for a cluster without room for it, they wait until that pod is back, which
    /// takes seconds. 0 or 1; default 1.
    #[serde(default = "defaults::max_surge")]
    #[schemars(range(min = 0, max = 1))]
    pub max_surge: i32,
    /// How long the pods of one workload may take until all are replaced and ready. Default `5m`.
    #[serde(default = "defaults::step_timeout")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,8}(ms|s|m|h)$"))]
    pub step_timeout: String,
    /// For how long payments are watched before the first and after each workload, while the pipeline is Running. The figures are those of
    /// the last ten seconds, so no less than `12s`. Default `15s`.
    #[serde(default = "defaults::verify")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,8}(ms|s|m|h)$"))]
    pub verify: String,
    /// How long to wait for payments when there are none to watch, before going on all the same. Default `1m`.
    #[serde(default = "defaults::inconclusive_after")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,8}(ms|s|m|h)$"))]
    pub inconclusive_after: String,
    /// How many more of a hundred payments may be rejected than before. Default 5.
    #[serde(default = "defaults::rejected")]
    #[schemars(range(min = 0, max = 100))]
    pub max_rejected_increase: i32,
    /// What the 99th percentile may be, in percent of what it was before; up to 50 ms more are always let pass. Default
    /// 175.
    #[serde(default = "defaults::latency")]
    #[schemars(range(min = 100, max = 10_000))]
    pub max_latency: i32,
    /// How many dead letters may come while it goes on. Default 10.
    #[serde(default = "defaults::dead_letters")]
    #[schemars(range(min = 0))]
    pub max_dead_letters: i64,
}

impl Default for Upgrade {
    fn default() -> Self {
        Self {
            strategy: UpgradeStrategy::default(),
            max_surge: defaults::max_surge(),
            step_timeout: defaults::step_timeout(),
            verify: defaults::verify(),
            inconclusive_after: defaults::inconclusive_after(),
            max_rejected_increase: defaults::rejected(),
            max_latency: defaults::latency(),
            max_dead_letters: defaults::dead_letters(),
        }
    }
}

/// What happens to payments while pods are replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpgradeStrategy {
    /// They go on; each workload is watched.
    #[default]
    Rolling,
    /// They wait: nothing is in flight while pods are replaced.
    DrainThenRoll,
}

/// All of the spec that pods are made from, with every default filled in.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// `repository:tag` or `repository@digest`.
    pub image: String,
    /// When a node pulls it.
    pub pull_policy: String,
    /// Secrets for the registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pull_secrets: Vec<String>,
    /// Kafka.
    pub bootstrap_servers: String,
    /// Currency of an account opened without one.
    pub currency: String,
    /// For how long a payment's id is remembered.
    pub idempotency_window_seconds: u32,
    /// The restart that was asked for last: the annotation `kpay.dev/restart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
    /// What each workload has of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub processors: BTreeMap<String, ReleaseProcessor>,
}

/// What the pods of one workload have of their own.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseProcessor {
    /// Worker threads.
    pub workers: i32,
    /// CPU and memory.
    #[serde(default)]
    pub resources: Resources,
    /// Where pods may run.
    #[serde(default)]
    pub placement: Placement,
}

/// A change of the pods: the plan, how far it is, and how it ended.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeStatus {
    /// How it stands.
    #[serde(default)]
    pub state: UpgradeState,
    /// What is being brought about, or was.
    #[serde(default)]
    pub to: Release,
    /// What changes, field by field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// The plan and how far it is: one step a workload that changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<UpgradeStep>,
    /// How payments went before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<UpgradeFigures>,
    /// Which gate failed, and with what figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// How a change of the pods stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpgradeState {
    /// Step by step.
    #[default]
    Rolling,
    /// A gate failed, or it is not wanted any more: every workload goes back.
    RollingBack,
    /// The pods are as wanted.
    Succeeded,
    /// The pods are as before. The same change is not tried again.
    RolledBack,
}

impl UpgradeState {
    /// Whether pods are being replaced.
    pub fn is_under_way(self) -> bool {
        match self {
            Self::Rolling | Self::RollingBack => true,
            Self::Succeeded | Self::RolledBack => false,
        }
    }
}

/// One workload on its way.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeStep {
    /// confirmed, account, inflight or gateway.
    pub workload: String,
    /// How it stands.
    #[serde(default)]
    pub state: StepState,
    /// When its pods began to be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Since when all are replaced and ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_since: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// What was seen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StepState {
    /// Its turn has not come.
    #[default]
    Planned,
    /// Its pods are being replaced.
    Rolling,
    /// They are, and payments are watched.
    Verifying,
    /// Payments went as before.
    Passed,
    /// There were no payments to watch.
    Inconclusive,
    /// It did not pass.
    Failed,
}

impl StepState {
    /// Whether it has begun and not ended.
    pub fn is_under_way(self) -> bool {
        match self {
            Self::Rolling | Self::Verifying => true,
            Self::Planned | Self::Passed | Self::Inconclusive | Self::Failed => false,
        }
    }

    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        self != Self::Planned && !self.is_under_way()
    }
}

/// How payments went over the last ten seconds.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeFigures {
    /// Finished per second.
    pub per_second: f64,
    /// Rejected or reversed, of a hundred.
    pub rejected_percent: f64,
    /// 99th percentile from accepted to finished, in milliseconds.
    #[serde(rename = "latencyP99Ms")]
    pub latency_p99_ms: f64,
    /// Dead letters since the topics were made; absent when the broker does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<i64>,
}

mod defaults {
    pub(super) fn max_surge() -> i32 {
        1
    }

    pub(super) fn step_timeout() -> String {
        "5m".into()
    }
    pub(super) fn verify() -> String {
        "15s".into()
    }
    pub(super) fn inconclusive_after() -> String {
        "1m".into()
    }
    pub(super) fn rejected() -> i32 {
        5
    }
    pub(super) fn latency() -> i32 {
        175
    }
    pub(super) fn dead_letters() -> i64 {
        10
    }
}
