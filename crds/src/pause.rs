//! Pauses that somebody holds: who, why and until when, as they are asked for and as they are. Pure data with bounds.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The most entries of `spec.pauses`.
pub const PAUSES_MAX: usize = 16;
/// The longest name of a holder, in bytes.
pub const HOLDER_BYTES_MAX: usize = 64;
/// The longest reason, in characters.
pub const REASON_MAX: usize = 256;
/// What a holder is called. ASCII, since it is typed again to let go, and two names that look alike are to be one.
pub const HOLDER_PATTERN: &str = "^[a-zA-Z0-9]([-a-zA-Z0-9._:@/+]*[a-zA-Z0-9])?$";

/// A pause that somebody holds. The pipeline is paused while there is one that has not ended.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// Who holds it, a person or a program: `alice`, `alerts/consumer-lag`. Letters, digits and `-._:@/+`, with a letter or
    /// a digit at both ends.
    #[schemars(length(min = 1, max = HOLDER_BYTES_MAX), regex(pattern = HOLDER_PATTERN))]
    pub holder: String,
    /// Why, for who finds the pipeline paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = REASON_MAX))]
    pub reason: Option<String>,
    /// Until when, such as `2026-07-25T12:00:00Z`. From then on it does not count any more, though its entry stays as it was
    /// written. Absent: until the entry is taken out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend(
        "pattern" = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[-+]([01][0-9]|2[0-3]):[0-5][0-9])$"
    ))]
    pub until: Option<Time>,
}

/// Somebody who holds a pause.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Who.
    pub holder: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when, as it was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Until when; absent until it is let go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}
