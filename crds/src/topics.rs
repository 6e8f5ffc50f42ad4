//! `spec.topics`: partitions, retention and settings of the pipeline's topics, and in the status how each stands. Pure data
//! with defaults and bounds.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The pipeline's topics.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Topics {
    /// `payment.incoming`: what was asked for. Its retention is at least `accounts.idempotencyWindow`. Default 7d.
    #[serde(default)]
    pub incoming: IncomingTopic,
    /// `payment.inflight`: debits and credits on their way to the accounts. `account.ledger` and
    /// `account.checkpoints` have its partition count. Default retention 7d.
    #[serde(default)]
    pub inflight: Topic,
    /// `payment.complete`: the outcome of every payment, inside the pipeline. Default retention 7d.
    #[serde(default)]
    pub complete: Topic,
    /// `payment.confirmed`: the outcomes as others read them. Default retention 30d.
    #[serde(default)]
    pub confirmed: Topic,
    /// `account.ledger`: every change of every balance; the truth. Default retention `unlimited`.
    #[serde(default)]
    pub ledger: RetainedTopic,
    /// `account.checkpoints`: the newest state of each account (compacted).
    #[serde(default)]
    pub checkpoints: ConfiguredTopic,
    /// `ops.dlq`: records that no stage could read, with the reason. Default retention 30d.
    #[serde(default)]
    pub dlq: Topic,
    /// What becomes of topics that are there already and that this pipeline has not made: by others, or by a pipeline
    /// before it whose topics stayed. `Refuse` (default): nothing is done to them or with them, and the condition
    /// `TopicsReady` names them. `Adopt`: they become the pipeline's own, with every payment and balance in them; their
    /// settings are made those that are declared, and `deletionPolicy` is theirs too. `CheckOnly`: they are used as
    /// they are, and never changed or deleted; what differs is told. Topics that are not there are made in any case.
    #[serde(default)]
    pub existing: ExistingTopics,
    /// What becomes of the topics that are the pipeline's own when it is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// A topic with a partition count of its own.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Topic {
    /// Partitions: the most workers that can share the topic. Never fewer than there are, and more only for
    /// `ops.dlq`, which gets them at once: the state of a stage lies by partition.
    #[serde(default = "defaults::partitions")]
    #[schemars(range(min = 1, max = 1024))]
    pub partitions: i32,
    /// How long records are kept: a number with ms, s, m, h or d, or `unlimited`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(unlimited|[1-9][0-9]{0,8}(ms|s|m|h|d))$"))]
    pub retention: Option<String>,
    /// Further topic settings as Kafka names them, such as `segment.bytes`. Not `cleanup.policy` and not
    /// `retention.ms`, which kpay sets itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub config: BTreeMap<String, String>,
}

impl Default for Topic {
    fn default() -> Self {
        Self { partitions: defaults::partitions(), retention: None, config: BTreeMap::new() }
    }
}

/// The topic that others write: it may be older than the pipeline.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IncomingTopic {
    /// Partitions: the most workers that can share the topic. Never fewer than there are, and no more either: the
    /// state of a stage lies by partition.
    #[serde(default = "defaults::partitions")]
    #[schemars(range(min = 1, max = 1024))]
    pub partitions: i32,
    /// How long records are kept: a number with ms, s, m, h or d, or `unlimited`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(unlimited|[1-9][0-9]{0,8}(ms|s|m|h|d))$"))]
    pub retention: Option<String>,
    /// Further topic settings as Kafka names them, such as `segment.bytes`. Not `cleanup.policy`,
    /// `retention.ms` and `message.timestamp.type`, which kpay sets itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub config: BTreeMap<String, String>,
    /// Where the first start begins in a topic that has records already: `Earliest` (default), `Latest`, the first
    /// record at or after a time such as `2026-07-25T12:00:00Z`, or an offset for every partition such as `0:120,1:97`.
    /// What lies before is never read. Looked at once, when the topics are there for the first time; a later change has
    /// no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 32768),
        regex(
            pattern = r"^(Earliest|Latest|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[-+][0-9]{2}:[0-9]{2})|[0-9]{1,4}:[0-9]{1,18}(,[0-9]{1,4}:[0-9]{1,18})*)$"
        )
    )]
    pub start_from: Option<String>,
}

impl Default for IncomingTopic {
    fn default() -> Self {
        let Topic { partitions, retention, config } = Topic::default();
        Self { partitions, retention, config, start_from: None }
    }
}

/// A topic whose partition count follows another's.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetainedTopic {
    /// How long records are kept: a number with ms, s, m, h or d, or `unlimited`. Balances are rebuilt from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(unlimited|[1-9][0-9]{0,8}(ms|s|m|h|d))$"))]
    pub retention: Option<String>,
    /// Further topic settings as Kafka names them. Not `cleanup.policy` and not `retention.ms`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub config: BTreeMap<String, String>,
}

/// A compacted topic whose partition count follows another's.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfiguredTopic {
    /// Further topic settings as Kafka names them. Not `cleanup.policy` and not `retention.ms`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub config: BTreeMap<String, String>,
}

/// What becomes of topics that are there and that the pipeline has not made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExistingTopics {
    /// They are left alone, and the pipeline does not start with them.
    #[default]
    Refuse,
    /// They become its own.
    Adopt,
    /// They are used, compared with what is declared, and never changed.
    CheckOnly,
}

/// What becomes of the topics when the pipeline is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// They stay, with every payment and balance.
    #[default]
    Retain,
    /// They are deleted, and the money's history with them.
    Delete,
}

/// How a topic stands.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicReport {
    /// Partitions that the topic has.
    #[serde(default)]
    pub partitions: i32,
    /// Copies of each partition.
    #[serde(default)]
    pub replication: i32,
    /// Whose the topic is; absent while it is nobody's that this pipeline knows of. The operator goes by it: it changes
    /// and deletes a topic only after this says `Created` or `Adopted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<TopicOrigin>,
    /// How it compares with what is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<TopicReportState>,
    /// What is not as declared, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Whose a topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TopicOrigin {
    /// The pipeline's: the operator has made it, or is about to.
    Created,
    /// The pipeline's: it was there before, and `spec.topics.existing` said `Adopt`.
    Adopted,
    /// Others manage it: it was there before, and `spec.topics.existing` says `CheckOnly`.
    Unmanaged,
}

/// How a topic compares with what is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TopicReportState {
    /// As declared.
    AsDeclared,
    /// It is being made.
    Creating,
    /// Settings or partitions differ; what is the pipeline's own is being set right, unless the message says why not.
    Drifted,
    /// What is declared is not done to it; the message says why.
    Refused,
    /// Others manage it, and it is not there any more.
    Missing,
}

mod defaults {
    pub(super) fn partitions() -> i32 {
        8
    }
}
