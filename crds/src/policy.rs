//! Limits and rules: what the pipeline decides for its payments. Every field is followed live; nothing restarts. Pure
//! data with defaults and bounds.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What may be paid, and how fast. Amounts are minor units of the account's currency (cents for USD), and a day is one
/// of UTC.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// The most that one payment moves, in minor units. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub per_payment: Option<i64>,
    /// The most that an account pays in a day, in minor units, unless the account has a limit of its own. Absent: no
    /// limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub per_account_per_day: Option<i64>,
    /// The most payments that an account makes in a day, unless the account has a limit of its own. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub payments_per_account_per_day: Option<i32>,
    /// What a payment must leave in the payer's account, in minor units. Absent: nothing but what
    /// `accounts.overdraftFloor` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub lowest_balance: Option<i64>,
    /// Whether an account has one debit in flight at a time; its other payments wait in order. Default false.
    #[serde(default)]
    pub serial_debits: bool,
    /// With `serialDebits`: how many payments of one account may wait; one more is refused. Default 1000.
    #[serde(default = "waiting_debits_max")]
    #[schemars(range(min = 1, max = 100_000))]
    pub waiting_debits_max: i32,
    /// The most records that the pipeline takes from `payment.incoming` in a second, all pods together; the others
    /// wait in the topic. Absent: as many as it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub intake_per_second: Option<i32>,
    /// When the pipeline resumes: how long the intake takes to its full rate (slow start), so that what has waited does not
    /// come all at once. The rate doubles eight times: from 1/256 of `intakePerSecond`, or, where that is absent, from 1000
    /// a second to 128000 and then on without a limit. `0s`: full at once. Default 4s: half a second for each rate, many
    /// times what a payment takes.
    #[serde(default = "slow_start")]
    #[schemars(regex(pattern = r"^(0s|[1-9][0-9]{0,8}(ms|s|m|h|d))$"))]
    pub slow_start: String,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_payment: None,
            per_account_per_day: None,
            payments_per_account_per_day: None,
            lowest_balance: None,
            serial_debits: false,
            waiting_debits_max: waiting_debits_max(),
            intake_per_second: None,
            slow_start: slow_start(),
        }
    }
}

fn waiting_debits_max() -> i32 {
    1_000
}

fn slow_start() -> String {
    "4s".into()
}

/// A rule for payments. Rules are judged in the order of the list when the payer is debited; the first that applies
/// decides.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRule {
    /// What outcomes and figures call it: lower-case letters, digits and `-`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// When it applies: a CEL expression that is true or false, over `payment` (`id`, `from`, `to`, `amount` in minor
    /// units, `currency`, `reference`, `attributes`), `payer` (`balance`, `outflowToday`, `paymentsToday`; before this
    /// payment) and `now`. Where it has no value, such as for an attribute that a payment does not have, the payment
    /// is held; `has(payment.attributes.x)` asks first.
    #[schemars(length(min = 1, max = 2048))]
    pub when: String,
    /// What it does with the payment.
    pub action: RuleAction,
    /// What the payer is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub message: Option<String>,
}

/// What a rule does with a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RuleAction {
    /// It is refused.
    Reject,
    /// It waits until a person releases or refuses it, at most `accounts.holdExpiry`.
    Hold,
}
