//! The processors of a pipeline: how many of each kind, what each may use, and where. Pure data with defaults and bounds.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::generator::Generator;

/// The processors, one kind a stage, and a load generator where there should be one.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Processors {
    /// The REST gateway.
    #[serde(default)]
    pub gateway: Gateway,
    /// The stage that reads `payment.incoming`, checks it and sends the debit.
    #[serde(default)]
    pub inflight: Stage,
    /// The stage that holds the accounts.
    #[serde(default)]
    pub account: AccountStage,
    /// The stage that closes each payment and publishes its outcome.
    #[serde(default)]
    pub confirmed: Stage,
    /// A load of the pipeline's own, for a demonstration or a test. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<Generator>,
}

/// The REST gateway.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Pods. 0 switches REST off; records on the topic are still taken. Default 1.
    #[serde(default = "defaults::one")]
    #[schemars(range(min = 0, max = 64))]
    pub replicas: i32,
    /// CPU and memory of a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Where pods may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self { replicas: 1, resources: None, placement: None }
    }
}

/// One stage of the pipeline.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// Pods. More than the topic has partitions stay idle. Default 1.
    #[serde(default = "defaults::one")]
    #[schemars(range(min = 1, max = 64))]
    pub replicas: i32,
    /// Worker threads in each pod; each owns some of the partitions. Default 1.
    #[serde(default = "defaults::one")]
    #[schemars(range(min = 1, max = 64))]
    pub workers: i32,
    /// CPU and memory of a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Where pods may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
}

impl Default for Stage {
    fn default() -> Self {
        Self { replicas: 1, workers: 1, resources: None, placement: None }
    }
}

/// The stage that holds the accounts: a type of its own, because its default differs and the schema has to say so.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountStage {
    /// Pods. More than the topic has partitions stay idle. Default 2.
    #[serde(default = "defaults::two")]
    #[schemars(range(min = 1, max = 64))]
    pub replicas: i32,
    /// Worker threads in each pod; each owns some of the partitions. Default 1.
    #[serde(default = "defaults::one")]
    #[schemars(range(min = 1, max = 64))]
    pub workers: i32,
    /// CPU and memory of a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Where pods may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
}

impl Default for AccountStage {
    fn default() -> Self {
        Self { replicas: 2, workers: 1, resources: None, placement: None }
    }
}

/// CPU and memory of a pod.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What a pod is guaranteed. Default cpu 100m, memory 128Mi.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, Quantity>,
    /// What a pod may use at most. Default memory 512Mi and no CPU limit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Quantity>,
}

/// Where pods may run.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods accept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
}

/// A taint that the pods accept.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Toleration {
    /// Key of the taint; absent with operator Exists: every taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `Equal` (default) or `Exists`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(Equal|Exists)$"))]
    pub operator: Option<String>,
    /// Value of the taint, with operator Equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(NoSchedule|PreferNoSchedule|NoExecute)$"))]
    pub effect: Option<String>,
    /// With `NoExecute`: how many seconds a pod stays after the taint appears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

mod defaults {
    pub(super) fn one() -> i32 {
        1
    }
    pub(super) fn two() -> i32 {
        2
    }
}
