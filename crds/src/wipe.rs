//! `WipeAndUpdate`: what a person confirms, and how far it is. Pure data with defaults and bounds.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The consent to what a dry run has listed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WipeAndUpdate {
    /// `status.wipe.confirmation` of a dry run: it stands for the inventory. When there is another inventory by then,
    /// nothing is done.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[0-9a-f]+$"))]
    pub confirmation: String,
}

/// A wipe: what goes and what stays, and how far it is.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WipeStatus {
    /// What goes, what stays, what stops meanwhile.
    #[serde(default)]
    pub inventory: WipeInventory,
    /// Stands for the inventory: `wipeAndUpdate.confirmation` of the operation that carries it out.
    #[serde(default)]
    pub confirmation: String,
    /// Step by step, each written before it is begun. Up to `Record` deleting the operation takes everything back;
    /// from `Delete` on it goes on to its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<WipeStep>,
    /// The accounts as they were before anything was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<RecordedAccounts>,
}

/// What a wipe touches, and what it leaves.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WipeInventory {
    /// Topics that are deleted and made anew: what they hold is derived.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<WipedTopic>,
    /// Topics that get more partitions and keep every record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grown: Vec<WipedTopic>,
    /// Topics that stay as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
    /// Consumer groups that begin anew, with the topic that they read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Workloads without a pod meanwhile. The gateway goes on: what it takes is paid afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopped: Vec<String>,
}

/// A topic that becomes another.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WipedTopic {
    /// Its full name.
    pub topic: String,
    /// Partitions that it has.
    pub partitions: i32,
    /// Partitions that it will have.
    pub becomes: i32,
}

/// All accounts of a pipeline at one moment, as few figures.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedAccounts {
    /// How many.
    #[serde(default)]
    pub accounts: i64,
    /// The sum of their balances in minor units, by currency.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub balances: BTreeMap<String, i64>,
    /// Payments that are held, refunds that are known, debits that wait.
    #[serde(default)]
    pub notes: i64,
    /// A hash of every account with all that it holds, and of every note; their order does not matter.
    #[serde(default)]
    pub digest: String,
}

/// One step of a wipe.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WipeStep {
    /// Which.
    pub step: WipeStage,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// When it was through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// What was seen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
}

/// The steps of a wipe, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum WipeStage {
    /// The intake stops, until it is proven that nothing is in flight.
    Drain,
    /// The stages have no pod any more.
    Stop,
    /// Every account is read, compared with the ledger and copied to a topic of its own.
    Record,
    /// Topics that hold what is derived are deleted. From here on there is no way back.
    Delete,
    /// They are made anew.
    Create,
    /// The accounts are written to them, read back and compared with what was recorded.
    Rebuild,
    /// The stages start, and payments are taken in.
    Resume,
}

impl WipeStage {
    /// Every step, in order.
    pub const ALL: [Self; 7] =
        [Self::Drain, Self::Stop, Self::Record, Self::Delete, Self::Create, Self::Rebuild, Self::Resume];

    /// The name as it is in the resource.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "Drain",
            Self::Stop => "Stop",
            Self::Record => "Record",
            Self::Delete => "Delete",
            Self::Create => "Create",
            Self::Rebuild => "Rebuild",
            Self::Resume => "Resume",
        }
    }

    /// Whether everything can still be taken back.
    pub fn is_safe(self) -> bool {
        match self {
            Self::Drain | Self::Stop | Self::Record => true,
            Self::Delete | Self::Create | Self::Rebuild | Self::Resume => false,
        }
    }
}
