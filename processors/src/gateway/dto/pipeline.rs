//! The pipeline as a whole: its phase, sums and figures. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Amount;

/// Who pauses the pipeline, why, and for how long.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"reason": "month's end", "holder": "alice", "expiresIn": "30m"}))]
pub struct NewPause {
    /// For people, at most 256 bytes.
    #[schema(example = "month's end", max_length = 256)]
    pub reason: Option<String>,
    /// A person or a program, at most 64 letters, digits and `-._:@/+`, with a letter or a digit at both ends. Absent: it
    /// is the desired phase that is set to Paused, which anybody may set to Running again.
    #[schema(example = "alice", max_length = 64, pattern = "^[a-zA-Z0-9]([-a-zA-Z0-9._:@/+]*[a-zA-Z0-9])?$")]
    pub holder: Option<String>,
    /// With a holder: after how long the pause ends by itself, a number with ms, s, m, h or d. Absent: when the holder
    /// lets go.
    #[schema(example = "30m", pattern = "^[1-9][0-9]{0,3}(ms|s|m|h|d)$")]
    pub expires_in: Option<String>,
}

/// Who lets go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"holder": "alice"}))]
pub struct NewResume {
    /// As told when it was paused. Absent: the desired phase is set to Running.
    #[schema(example = "alice", max_length = 64, pattern = "^[a-zA-Z0-9]([-a-zA-Z0-9._:@/+]*[a-zA-Z0-9])?$")]
    pub holder: Option<String>,
}

/// Who holds the pipeline paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HolderView {
    /// A person or a program.
    #[schema(example = "alice")]
    pub holder: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "month's end")]
    pub reason: Option<String>,
    /// Since when, once that is known: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub since: Option<String>,
    /// When it ends by itself; absent when only the holder ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub until: Option<String>,
}

/// A number of payments and account commands, and the payments' value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sum {
    /// How many.
    pub count: i64,
    /// Minor units by currency.
    #[schema(value_type = BTreeMap<String, i64>)]
    pub value: BTreeMap<String, i128>,
}

impl Sum {
    /// Adds what another partition or pod has; `None` beyond the range.
    pub(in crate::gateway) fn add(&mut self, count: i64, value: &BTreeMap<String, i128>) -> Option<()> {
        self.count = self.count.checked_add(count)?;
        for (currency, minor) in value {
            let sum = self.value.entry(currency.clone()).or_default();
            *sum = sum.checked_add(*minor)?;
        }
        Some(())
    }

    /// What is in this and not in `finished`.
    pub(in crate::gateway) fn minus(mut self, finished: &Self) -> Option<Self> {
        let negated = finished.value.iter().map(|(currency, minor)| (currency.clone(), -minor)).collect();
        self.add(finished.count.checked_neg()?, &negated)?;
        Some(self)
    }
}

/// Throughput by the minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ThroughputView {
    /// The oldest first; the last is the running minute.
    pub windows: Vec<WindowView>,
}

/// The payments that were confirmed in one minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "from": "2026-11-23T12:00:00.000Z", "seconds": 60, "count": 9000, "value": {"USD": 123_400},
    "latencyMs": {"p50": 9, "p99": 21, "p999": 40},
    "largest": {"id": "p-1", "amount": {"value": 1234, "currency": "USD"}}
}))]
pub struct WindowView {
    /// RFC 3339, UTC.
    #[schema(format = DateTime)]
    pub from: String,
    /// How long it is: 60, or less for the running minute.
    #[schema(minimum = 1, maximum = 60)]
    pub seconds: i64,
    /// How many.
    pub count: u64,
    /// Minor units by currency.
    #[schema(value_type = BTreeMap<String, i64>)]
    pub value: BTreeMap<String, i128>,
    /// From accepted to finished; absent without payments.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = LatencyView, required = false)]
    pub latency_ms: Option<LatencyView>,
    /// The payment of the most minor units, whatever the currency; absent without payments.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = LargestView, required = false)]
    pub largest: Option<LargestView>,
}

/// Percentiles, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LatencyView {
    /// Half took no longer.
    pub p50: u64,
    /// Of a hundred, one took longer.
    pub p99: u64,
    /// Of a thousand, one took longer.
    pub p999: u64,
}

/// A large payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LargestView {
    /// Of the payment.
    pub id: String,
    /// What was moved.
    pub amount: Amount,
}

/// The sums of the pipeline. What cannot be told now is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TotalsView {
    /// Accepted and not finished.
    pub in_flight: Option<Sum>,
    /// Confirmed payments of this day (UTC).
    pub confirmed_today: Option<Sum>,
    /// Accepted since the topics were made.
    pub accepted: Option<Sum>,
    /// Finished since the topics were made, however they ended.
    pub finished: Option<Sum>,
}

/// The pipeline as a whole. What cannot be told now is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "phase": "Running", "desiredPhase": "Running", "epoch": 3,
    "inFlight": {"count": 2, "value": {"USD": 2468}}, "confirmedToday": {"count": 9000, "value": {"USD": 123_400}}
}))]
pub struct PipelineView {
    /// What it is doing.
    pub phase: Option<String>,
    /// What it is wanted to do: to pause while somebody holds it paused, whatever the desired phase of the resource is.
    pub desired_phase: Option<String>,
    /// Grows with every change of phase.
    pub epoch: Option<u64>,
    /// Accepted and not finished.
    pub in_flight: Option<Sum>,
    /// Confirmed payments of this day (UTC).
    pub confirmed_today: Option<Sum>,
    /// Which program has written a desired phase that is not Running into the resource, such as `kubectl-patch`. Absent, as
    /// the two below, when that is Running, or nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "kubectl-patch")]
    pub paused_by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "month's end")]
    pub reason: Option<String>,
    /// Since when that is wanted: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub since: Option<String>,
    /// Who holds it paused; the last one to let go lets it run. Absent when nobody does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<HolderView>,
}

/// The pipeline as a whole, with what it does at this moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "phase": "Running", "desiredPhase": "Running", "epoch": 3,
    "inFlight": {"count": 2, "value": {"USD": 2468}}, "confirmedToday": {"count": 9000, "value": {"USD": 123_400}},
    "perSecond": 512.0, "latencyP99Ms": 21.5
}))]
pub struct PipelineEvent {
    /// As of `GET /v1/pipeline`.
    #[serde(flatten)]
    pub pipeline: PipelineView,
    /// Finished per second over the last ten seconds.
    pub per_second: Option<f64>,
    /// From accepted to finished, the 99th percentile over the last ten seconds; of several pods the worst one's.
    pub latency_p99_ms: Option<f64>,
}
