//! Accounts that a pipeline begins with: which file names them, and what became of its lines. Pure data with bounds.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Accounts that are opened once the pipeline is Running.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountsBootstrap {
    /// The file, in a `ConfigMap` of the pipeline's namespace. Other content is imported anew; a line that was carried out
    /// before changes nothing.
    pub config_map: ConfigMapFile,
}

/// A file in a `ConfigMap`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapFile {
    /// Name of the `ConfigMap`.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
    /// Key of the file: CSV with the header `id,currency,funding,commandId`, of which only id is needed, or JSON lines.
    /// Default: the only key that there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: Option<String>,
}

/// What has become of `spec.accounts.bootstrap`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountsBootstrapStatus {
    /// How it stands. `Done` and `Refused` hold for this content: it is not imported again.
    #[serde(default)]
    pub state: BootstrapState,
    /// Why, in one word.
    #[serde(default)]
    pub reason: BootstrapReason,
    /// What it waits for, or how it ended.
    #[serde(default)]
    pub message: String,
    /// The `ConfigMap`.
    #[serde(default)]
    pub config_map: String,
    /// The key; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How the BLAKE3 digest of the content begins (`b3sum`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The Job that imports it, or did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Since when the state is what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Lines that were read; this and the counts below are of the last attempt that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<i64>,
    /// Lines whose account was opened by them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<i64>,
    /// Lines whose account was there, from an import or an attempt before, or from another command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<i64>,
    /// Lines that were refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<i64>,
    /// The first lines that were refused; the Job's log has all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_lines: Vec<RefusedLine>,
}

/// How the bootstrap of the accounts stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BootstrapState {
    /// For what the message says.
    #[default]
    Waiting,
    /// A Job is at it.
    Importing,
    /// Every line's account is there.
    Done,
    /// Some lines were refused; all the others are carried out.
    Refused,
    /// It came to no end. It is tried again when the content changes or the Job is deleted.
    Failed,
}

impl BootstrapState {
    /// Whether every line has been decided.
    pub fn is_final(self) -> bool {
        match self {
            Self::Done | Self::Refused => true,
            Self::Waiting | Self::Importing | Self::Failed => false,
        }
    }
}

/// Why the bootstrap of the accounts stands as it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BootstrapReason {
    /// The pipeline takes no payments in.
    #[default]
    NotRunning,
    /// There is no such `ConfigMap`.
    ConfigMapMissing,
    /// The `ConfigMap` has no such key, or several of which none is named.
    KeyMissing,
    /// The API server does not give the `ConfigMap`.
    ConfigMapUnreadable,
    /// No pod of the gateway is ready.
    GatewayUnavailable,
    /// An import of other content comes to its end first.
    ImportEnding,
    /// A Job is at it.
    Importing,
    /// Every line's account is there.
    Imported,
    /// Some lines were refused.
    LinesRefused,
    /// The Job came to no end.
    ImportFailed,
}

impl BootstrapReason {
    /// The word that conditions and Events use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotRunning => "NotRunning",
            Self::ConfigMapMissing => "ConfigMapMissing",
            Self::KeyMissing => "KeyMissing",
            Self::ConfigMapUnreadable => "ConfigMapUnreadable",
            Self::GatewayUnavailable => "GatewayUnavailable",
            Self::ImportEnding => "ImportEnding",
            Self::Importing => "Importing",
            Self::Imported => "Imported",
            Self::LinesRefused => "LinesRefused",
            Self::ImportFailed => "ImportFailed",
        }
    }

    /// The state that goes with it.
    pub fn state(self) -> BootstrapState {
        match self {
            Self::NotRunning
            | Self::ConfigMapMissing
            | Self::KeyMissing
            | Self::ConfigMapUnreadable
            | Self::GatewayUnavailable
            | Self::ImportEnding => BootstrapState::Waiting,
            Self::Importing => BootstrapState::Importing,
            Self::Imported => BootstrapState::Done,
            Self::LinesRefused => BootstrapState::Refused,
            Self::ImportFailed => BootstrapState::Failed,
        }
    }
}

/// A line of the file that was refused.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedLine {
    /// Its number, from 1.
    pub line: i64,
    /// The account's id as far as it can be told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// Why, as a stable code.
    pub code: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}
