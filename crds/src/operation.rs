//! `PipelineOperation`: one guarded task on a pipeline, carried out once. Pure data with defaults, bounds and CEL rules.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::restart::Restart;
use crate::wipe::{WipeAndUpdate, WipeStatus};

/// What is to be done, once. It cannot change: make another operation instead.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "kpay.dev",
    version = "v1alpha1",
    kind = "PipelineOperation",
    plural = "pipelineoperations",
    singular = "pipelineoperation",
    shortname = "pop",
    category = "kpay",
    namespaced,
    status = "PipelineOperationStatus",
    derive = "PartialEq",
    doc = "A task on a PaymentPipeline of the same namespace that is carried out once, one at a time, and keeps what it did.",
    annotation("helm.sh/resource-policy", "keep"),
    validation = Rule::new("self.spec == oldSelf.spec")
        .message("spec: an operation cannot change; make another one"),
    printcolumn(name = "Pipeline", type_ = "string", json_path = ".spec.pipeline", description = "The pipeline that it is for"),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type", description = "What is done"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "How far it is"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", description = "What it waits for, or did", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.type == 'ReplayDeadLetters' || !has(self.replayDeadLetters)")
    .message("replayDeadLetters: belongs to type ReplayDeadLetters"))]
#[x_kube(validation = Rule::new("self.type == 'WipeAndUpdate' || !has(self.wipeAndUpdate)")
    .message("wipeAndUpdate: belongs to type WipeAndUpdate"))]
#[x_kube(validation = Rule::new("self.type != 'WipeAndUpdate' || self.dryRun || has(self.wipeAndUpdate)")
    .message("wipeAndUpdate.confirmation: is needed; make an operation with dryRun: true first, its status.wipe has it"))]
#[x_kube(validation = Rule::new("self.type == 'Restart' || !has(self.restart)")
    .message("restart: belongs to type Restart"))]
pub struct PipelineOperationSpec {
    /// The `PaymentPipeline`, of the same namespace.
    #[schemars(length(min = 1, max = 40))]
    pub pipeline: String,

    /// What is done. `ReplayDeadLetters`: records that no stage could read go back to where they came from, each at
    /// most once. `Restart`: every pod is replaced, as an upgrade replaces them (`spec.upgrade` of the pipeline): one
    /// workload after the other, watched; `restart` says whether payments go on meanwhile. `WipeAndUpdate`: another number of partitions for the accounts
    /// (`spec.topics.inflight.partitions` of the pipeline); what is derived is deleted and made anew, every balance is
    /// compared before and after.
    #[serde(rename = "type")]
    pub kind: OperationType,

    /// Why. Kept with everything that the operation does.
    #[schemars(length(min = 1, max = 256))]
    pub reason: String,

    /// Who asks for it, as the API server knows you; a service account may write for whom it acts. Kept with everything
    /// that the operation does. Default: the operation's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub by: Option<String>,

    /// Only say what would be done, and do nothing. Default false.
    #[serde(default)]
    pub dry_run: bool,

    /// With type `ReplayDeadLetters`: which. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_dead_letters: Option<ReplayDeadLetters>,

    /// With type `Restart`: what goes on while pods are replaced. Absent: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,

    /// With type `WipeAndUpdate`: the consent to what a dry run has listed. Only a dry run needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wipe_and_update: Option<WipeAndUpdate>,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OperationType {
    /// Dead letters go back to where they came from, each at most once.
    ReplayDeadLetters,
    /// Every pod is replaced, one workload after the other.
    Restart,
    /// What is derived of the accounts is deleted and made anew in other partitions.
    WipeAndUpdate,
}

impl OperationType {
    /// The name as it is in the resource.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReplayDeadLetters => "ReplayDeadLetters",
            Self::Restart => "Restart",
            Self::WipeAndUpdate => "WipeAndUpdate",
        }
    }
}

/// Which dead letters; a field that is left out means any.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayDeadLetters {
    /// Of this code, such as `json_invalid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9_]+$"))]
    pub code: Option<String>,
    /// Of this stage: `inflight`, `account` or `confirmed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(inflight|account|confirmed)$"))]
    pub stage: Option<String>,
    /// From this topic, with the pipeline's prefix or without, such as `payment.incoming`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249))]
    pub topic: Option<String>,
    /// Failed before this time. Default: when the operation began, so that a record which fails again is not
    /// replayed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<MicroTime>,
}

/// What has become of an operation. Written by the operator alone.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineOperationStatus {
    /// How far it is. `Succeeded` and `Failed` are final: an operation is never carried out twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<OperationPhase>,
    /// What it waits for, what went wrong, or what it did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<MicroTime>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Of `ReplayDeadLetters`: what was replayed so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<ReplayReport>,
    /// Of `WipeAndUpdate`: what goes, and how far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wipe: Option<WipeStatus>,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OperationPhase {
    /// Waits for its turn, or for its pipeline.
    Pending,
    /// Under way.
    Running,
    /// Done.
    Succeeded,
    /// Ended without being done; the message says why.
    Failed,
}

impl OperationPhase {
    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Running => false,
            Self::Succeeded | Self::Failed => true,
        }
    }
}

/// What a replay of dead letters did, or with `dryRun` would do.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayReport {
    /// Letters that were replayed. One that had been before is not counted.
    #[serde(default)]
    pub replayed: i64,
    /// Letters that cannot be replayed: too large, or from no topic of this pipeline.
    #[serde(default)]
    pub skipped: i64,
    /// From where the replay goes on; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}
