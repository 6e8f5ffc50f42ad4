//! How many pods the stages have when their load decides, and what is aimed for: what a person asks for, and what was
//! decided. Pure data with defaults and bounds.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the pipeline aims for.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceLevel {
    /// What the 99th percentile from accepted to finished should stay below, such as `500ms`. Autoscaling adds pods to a
    /// busy stage while it does not. Absent: latency decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "latencyP99")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,8}(ms|s|m)$"))]
    pub latency_p99: Option<String>,
}

/// How many pods the stages inflight, account and confirmed have, as their load decides. A stage's
/// `processors.<stage>.replicas` is the least.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// `Native`: the operator decides and scales. `Recommend`: it decides, and only says so in
    /// `status.autoscaling`. `External`: an HPA or KEDA sets the replicas of the `StatefulSet`s, and the operator leaves
    /// them alone. Default Native.
    #[serde(default)]
    pub mode: AutoscalingMode,
    /// The most pods of a stage; more than its topic has partitions are never made. Default 8.
    #[serde(default = "defaults::max_replicas")]
    #[schemars(range(min = 1, max = 64))]
    pub max_replicas: i32,
    /// How much of what its pods have shown they can do a stage should use, in percent. Default 75.
    #[serde(default = "defaults::target_utilization")]
    #[schemars(range(min = 10, max = 100))]
    pub target_utilization: i32,
    /// In what time a backlog should be worked off, such as `60s`. Default `60s`.
    #[serde(default = "defaults::catch_up")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,8}(ms|s|m|h)$"))]
    pub catch_up: String,
    /// How long after a change a stage is left alone, so that the change shows. Default `30s`.
    #[serde(default = "defaults::cooldown")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,8}(ms|s|m|h)$"))]
    pub cooldown: String,
    /// For how long fewer pods must be enough before one is taken away. Default `5m`.
    #[serde(default = "defaults::scale_down_after")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,8}(ms|s|m|h)$"))]
    pub scale_down_after: String,
}

impl Default for Autoscaling {
    fn default() -> Self {
        Self {
            mode: AutoscalingMode::Native,
            max_replicas: defaults::max_replicas(),
            target_utilization: defaults::target_utilization(),
            catch_up: defaults::catch_up(),
            cooldown: defaults::cooldown(),
            scale_down_after: defaults::scale_down_after(),
        }
    }
}

/// Who sets the replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AutoscalingMode {
    /// The operator.
    #[default]
    Native,
    /// Nobody; the operator says what it would set.
    Recommend,
    /// An HPA, KEDA or a person, on the `StatefulSet` itself.
    External,
}

/// What was decided for one stage, and from what.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageScaling {
    /// Pods that were decided on; in mode Recommend those that would be.
    pub replicas: i32,
    /// Why, in one word.
    #[serde(default)]
    pub reason: String,
    /// Why, with the figures.
    #[serde(default)]
    pub message: String,
    /// The figures that the decision rests on; absent when they are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<ScalingInputs>,
    /// Records a second that one pod has shown it can take while it had a backlog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown_per_replica: Option<f64>,
    /// When `replicas` last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Time>,
    /// Since when fewer pods would be enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fewer_since: Option<Time>,
    /// The most pods that were needed since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fewer: Option<i32>,
    /// How it was before the last scale-up, until that has shown whether it helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<BeforeScaleUp>,
    /// Until when no more pods are added, because the last ones did not help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_more_until: Option<Time>,
}

/// The figures of one stage.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalingInputs {
    /// Records a second that come into the stage's topic.
    pub arrivals_per_second: f64,
    /// Records a second that the stage finishes.
    pub finished_per_second: f64,
    /// Records that wait.
    pub lag: i64,
    /// In how many seconds they are worked off at this rate; absent when they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up_seconds: Option<f64>,
}

/// How a stage was before a scale-up.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BeforeScaleUp {
    /// Its pods.
    pub replicas: i32,
    /// Records a second that it finished.
    pub finished_per_second: f64,
}

mod defaults {
    pub(super) fn max_replicas() -> i32 {
        8
    }
    pub(super) fn target_utilization() -> i32 {
        75
    }
    pub(super) fn catch_up() -> String {
        "60s".into()
    }
    pub(super) fn cooldown() -> String {
        "30s".into()
    }
    pub(super) fn scale_down_after() -> String {
        "5m".into()
    }
}
