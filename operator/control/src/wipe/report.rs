//! What a Job that reads or writes accounts says at its end: `kpay rebuild` writes it, the operator reads it from the
//! termination message of the Job's pod. Pure.

use kpay_crds::RecordedAccounts;
use serde::{Deserialize, Serialize};

/// Much less than Kubernetes keeps of a termination message.
const ERROR_CHARS_MAX: usize = 500;

/// How a Job ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RebuildReport {
    /// What it found or wrote.
    pub accounts: RecordedAccounts,
    /// Why it came to no end, if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl RebuildReport {
    /// One that came to no end.
    pub fn failed(error: &str) -> Self {
        let error = error.chars().take(ERROR_CHARS_MAX).collect();
        Self { error: Some(error), ..Self::default() }
    }

    /// As JSON.
    pub fn to_text(&self) -> String {
        // Texts and numbers always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The report of a text, if it is one.
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}
