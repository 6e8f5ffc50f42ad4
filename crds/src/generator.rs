//! The load generator as a processor of a pipeline. Pure data with defaults and bounds; the grammar of its words is that
//! of `kpay generate` and of `/v1/generator`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::processors::{Placement, Resources};

/// A load of the pipeline's own: payments between accounts `acct-000000` and on, which it opens first. It pays while
/// the pipeline takes payments in. `replicas` and all that says what is paid are followed live; a change begins the
/// load anew, steps and bursts with it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.steps) || !(has(self.rate) || has(self.burst))")
    .message("processors.generator.steps stands in place of rate and burst: remove those two (set them to null), or steps"))]
pub struct Generator {
    /// Pods, which share the rate. 0 keeps the settings and pays nothing. Default 1.
    #[serde(default = "defaults::replicas")]
    #[schemars(range(min = 0, max = 64))]
    pub replicas: i32,
    /// Payments per second, all pods together. Default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub rate: Option<i64>,
    /// Rates one after the other, instead of `rate`: `500:10s,2000:30s`. The last one stays, so `500:1m,0:1s` pays for a
    /// minute. A pod that starts begins with the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 4, max = 2048),
        regex(
            pattern = r"^[0-9]{1,7}:[1-9][0-9]{0,8}(ms|s|m|h|d)(,[0-9]{1,7}:[1-9][0-9]{0,8}(ms|s|m|h|d))*$"
        )
    )]
    pub steps: Option<String>,
    /// Bursts on top of `rate`: their rate, length and beat, as `5000:2s/30s`, the first one at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 7, max = 64),
        regex(pattern = r"^[0-9]{1,7}:[1-9][0-9]{0,8}(ms|s|m|h|d)/[1-9][0-9]{0,8}(ms|s|m|h|d)$")
    )]
    pub burst: Option<String>,
    /// How many accounts take part. Default 1000.
    #[serde(default = "defaults::accounts")]
    #[schemars(range(min = 2, max = 1_000_000))]
    pub accounts: i32,
    /// What each account is opened with, in minor units. An account that is there already keeps what it has. Default
    /// 1000000000.
    #[serde(default = "defaults::funding")]
    #[schemars(range(min = 0, max = 9_000_000_000_000_000_i64))]
    pub funding: i64,
    /// Currency (ISO 4217) of the accounts and payments. Default: `accounts.currency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Z]{3}$"))]
    pub currency: Option<String>,
    /// Which accounts are taken: `uniform`, all alike, or `zipf`, the k-th one 1/k as often as the first. Default
    /// uniform.
    #[serde(default)]
    pub skew: Skew,
    /// What is paid, in minor units: `100` always, `1..500` evenly, or `~2000` around a median. Default `1..100`.
    #[serde(default = "defaults::amounts")]
    #[schemars(
        length(min = 1, max = 32),
        regex(pattern = r"^(~?[1-9][0-9]{0,11}|[1-9][0-9]{0,11}\.\.[1-9][0-9]{0,11})$")
    )]
    pub amounts: String,
    /// The share of invalid payments, such as `0.5%`, at most 90%: zero amount, same account, unknown payer or payee,
    /// wrong currency, unreadable. Default `0%`.
    #[serde(default = "defaults::none")]
    #[schemars(length(min = 2, max = 8), regex(pattern = r"^(90(\.0{1,4})?|[0-8]?[0-9](\.[0-9]{1,4})?)%$"))]
    pub invalid: String,
    /// The share of payments that repeat one before, such as `0.5%`, at most 90%. Default `0%`.
    #[serde(default = "defaults::none")]
    #[schemars(length(min = 2, max = 8), regex(pattern = r"^(90(\.0{1,4})?|[0-8]?[0-9](\.[0-9]{1,4})?)%$"))]
    pub duplicates: String,
    /// CPU and memory of a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Where pods may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
}

/// Which accounts pay and are paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Skew {
    /// All alike.
    #[default]
    Uniform,
    /// Account k is taken 1/k as often as the first one.
    Zipf,
}

mod defaults {
    pub(super) fn replicas() -> i32 {
        1
    }
    pub(super) fn accounts() -> i32 {
        1_000
    }
    pub(super) fn funding() -> i64 {
        1_000_000_000
    }
    pub(super) fn amounts() -> String {
        "1..100".into()
    }
    pub(super) fn none() -> String {
        "0%".into()
    }
}
