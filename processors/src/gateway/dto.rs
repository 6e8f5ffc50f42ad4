//! The bodies of the public API. They are their own types: what the pipeline keeps may change, these may not. Pure.

use std::collections::BTreeMap;

use kpay_domain::{AccountCommand, Action, Currency, Intake, Payment, Reference};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An amount as an integer of minor units (cents for USD, yen for JPY).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Amount {
    /// Minor units.
    #[schema(example = 1234)]
    pub value: i64,
    /// Of ISO 4217. Without one it is the account's own; a payment has one always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "USD", pattern = "^[A-Z]{3}$")]
    pub currency: Option<String>,
}

/// A payment to be made. The same JSON is taken on the topic payment.incoming.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "p-1", "from": "alice", "to": "bob",
    "amount": {"value": 1234, "currency": "USD"}, "reference": "invoice 7"
}))]
pub struct NewPayment {
    /// The idempotency key: 1 to 64 letters, digits and `. _ : -`. Made here when it is left out.
    #[schema(example = "p-1", pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    pub id: Option<String>,
    /// The payer's account.
    #[schema(example = "alice", pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    pub from: String,
    /// The payee's account.
    #[schema(example = "bob", pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    pub to: String,
    /// Above zero, with a currency.
    pub amount: Amount,
    /// Text for people, at most 256 bytes.
    #[schema(example = "invoice 7")]
    pub reference: Option<String>,
    /// At most 16 keys and values of the caller's own.
    pub attributes: Option<BTreeMap<String, String>>,
    /// When it happened at the caller, in milliseconds since 1970 UTC.
    pub occurred_at_ms: Option<i64>,
}

/// An account to be opened.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"id": "alice", "currency": "USD", "funding": 100_000}))]
pub struct NewAccount {
    /// Of the account: 1 to 64 letters, digits and `. _ : -`.
    #[schema(example = "alice", pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    pub id: String,
    /// Of ISO 4217; the pipeline's own when it is left out.
    #[schema(example = "USD", pattern = "^[A-Z]{3}$")]
    pub currency: Option<String>,
    /// The balance to begin with, in minor units.
    #[schema(example = 100_000, minimum = 0)]
    pub funding: Option<i64>,
    /// The idempotency key; `open:<id>` when it is left out.
    pub command_id: Option<String>,
    /// When it happened at the caller, in milliseconds since 1970 UTC.
    pub occurred_at_ms: Option<i64>,
}

/// Money from outside for an account.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"id": "f-1", "amount": {"value": 5000, "currency": "USD"}}))]
pub struct NewFunding {
    /// The idempotency key. Made here when it is left out.
    #[schema(example = "f-1", pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    pub id: Option<String>,
    /// Above zero; without a currency it is the account's own.
    pub amount: Amount,
}

/// A change of whether an account takes part.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"id": "z-1"}))]
pub struct NewChange {
    /// The idempotency key. Made here when it is left out.
    #[schema(example = "z-1", pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    pub id: Option<String>,
}

/// Limits of an account's own, in place of those that it had; what is left out is the pipeline's.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"id": "l-1", "limits": {"dailyOutflow": 500_000, "dailyCount": 20}}))]
pub struct NewLimits {
    /// The idempotency key. Made here when it is left out.
    #[schema(example = "l-1", pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    pub id: Option<String>,
    /// All of them.
    pub limits: LimitsView,
}

/// An account's own limits, in minor units. A day is one of UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LimitsView {
    /// How far below zero a payment may take the balance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub overdraft: Option<i64>,
    /// Paid on one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub daily_outflow: Option<i64>,
    /// Payments on one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_count: Option<u32>,
    /// What a payment has to leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub lowest_balance: Option<i64>,
}

/// What becomes of a held payment.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"by": "carol", "why": "called the customer"}))]
pub struct NewVerdict {
    /// Who decides, at most 256 bytes.
    #[schema(example = "carol", min_length = 1)]
    pub by: String,
    /// Why, at most 256 bytes.
    #[schema(example = "called the customer", min_length = 1)]
    pub why: String,
    /// The idempotency key; the verdict and the payment's id when it is left out.
    #[schema(example = "release:p-1", pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    pub id: Option<String>,
}

/// A refund of a confirmed payment.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"id": "r-1", "amount": {"value": 200}}))]
pub struct NewRefund {
    /// The idempotency key. Made here when it is left out.
    #[schema(example = "r-1", pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    pub id: Option<String>,
    /// All of the payment when it is left out. All its refunds together are at most the payment.
    pub amount: Option<Amount>,
    /// Text for people, at most 256 bytes.
    pub reference: Option<String>,
}

/// That a rule held a payment, and what was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HoldView {
    /// The rule's name.
    pub rule: String,
    /// RFC 3339, UTC: rejected with `hold_expired` when nobody decides before.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// `release`, `refuse` or `expire`, once it is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Who pauses the pipeline, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"reason": "month's end", "holder": "alice"}))]
pub struct NewPause {
    /// For people, at most 256 bytes.
    #[schema(example = "month's end", max_length = 256)]
    pub reason: Option<String>,
    /// A person or a program, at most 64 bytes.
    #[schema(example = "alice", max_length = 64)]
    pub holder: Option<String>,
}

/// Where a payment or an account command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Taken in; its turn comes.
    Accepted,
    /// Being carried out.
    InFlight,
    /// Waits for a person.
    Held,
    /// Done.
    Confirmed,
    /// Refused; no money moved. `reason` says why.
    Rejected,
    /// The payer got the money back. `reason` says why.
    Reversed,
}

/// A step that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// RFC 3339, UTC.
    #[schema(example = "2026-11-23T12:00:00.000Z", format = DateTime)]
    pub at: String,
    /// `accepted`, `held`, `released`, `refused`, `expired`, `debited`, `credited`, `completed`, `rejected` or `reversed`.
    #[schema(example = "accepted")]
    pub step: String,
}

/// A payment (with `from` and `to`) or an account command (with `kind` and `account`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": "p-1", "status": "confirmed", "from": "alice", "to": "bob",
    "amount": {"value": 1234, "currency": "USD"}, "reference": "invoice 7",
    "timeline": [{"at": "2026-11-23T12:00:00.000Z", "step": "accepted"},
                 {"at": "2026-11-23T12:00:00.012Z", "step": "completed"}]
}))]
pub struct PaymentView {
    /// The idempotency key.
    pub id: String,
    /// `account_opened`, `account_funded`, `account_frozen`, `account_unfrozen`, `account_closed`, `account_limited`,
    /// `payment_release`, `payment_refuse` or `payment_expire`; a payment has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Where it is.
    pub status: PaymentStatus,
    /// Why it was rejected or reversed; a stable code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of `limit_exceeded`: `per_payment`, `daily_outflow`, `daily_count` or `lowest_balance`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// The rule that refuses or holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The payer's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The payee's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The account of a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What is moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// Text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The caller's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The payment that this one gives back.
    #[serde(default, rename = "refundOf", skip_serializing_if = "Option::is_none")]
    pub refund_of: Option<String>,
    /// That a rule held it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldView>,
    /// The held payment that a command decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<String>,
    /// What was done so far.
    #[serde(default)]
    pub timeline: Vec<Step>,
    /// What the caller should know, such as that the pipeline is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl PaymentView {
    /// An id and a status.
    pub(super) fn empty(id: &str, status: PaymentStatus) -> Self {
        Self {
            id: id.to_owned(),
            kind: None,
            status,
            reason: None,
            limit: None,
            rule: None,
            refund_of: None,
            hold: None,
            payment: None,
            from: None,
            to: None,
            account: None,
            amount: None,
            reference: None,
            attributes: BTreeMap::new(),
            timeline: Vec::new(),
            note: None,
        }
    }

    /// What is known of an intake that the log has taken.
    pub(super) fn accepted(intake: &Intake) -> Self {
        match intake {
            Intake::Payment(payment) => Self::of_payment(payment),
            Intake::Account(command) => Self::of_command(command),
        }
    }

    fn of_payment(payment: &Payment) -> Self {
        let pairs = payment.attributes.iter();
        Self {
            from: Some(payment.from.as_str().to_owned()),
            to: Some(payment.to.as_str().to_owned()),
            amount: Some(amount(payment.amount.minor, Some(&payment.amount.currency))),
            reference: payment.reference.as_ref().map(|text| Reference::as_str(text).to_owned()),
            attributes: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            refund_of: payment.refund.as_ref().map(|refund| refund.of.as_str().to_owned()),
            ..Self::empty(payment.id.as_str(), PaymentStatus::Accepted)
        }
    }

    fn of_command(command: &AccountCommand) -> Self {
        Self {
            kind: Some(command.action.kind().to_owned()),
            account: Some(command.account.as_str().to_owned()),
            amount: command.action.amount().map(|(minor, currency)| amount(minor, currency)),
            payment: match &command.action {
                Action::Decide(decide) => Some(decide.payment.as_str().to_owned()),
                _ => None,
            },
            ..Self::empty(command.id.as_str(), PaymentStatus::Accepted)
        }
    }
}

fn amount(value: i64, currency: Option<&Currency>) -> Amount {
    Amount { value, currency: currency.map(|currency| currency.as_str().to_owned()) }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"id": "alice", "currency": "USD", "balance": 98_766, "status": "open", "version": 2}))]
pub struct AccountView {
    /// Of the account.
    pub id: String,
    /// Of ISO 4217.
    pub currency: String,
    /// Minor units.
    pub balance: i64,
    /// `open`, `frozen` or `closed`.
    pub status: String,
    /// Grows by one with every change.
    pub version: u64,
    /// Its own, in place of the pipeline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsView>,
}

/// A page of accounts.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "accounts": [{"id": "alice", "currency": "USD", "balance": 98_766, "status": "open", "version": 2}],
    "next": "0.alice"
}))]
pub struct AccountsPage {
    /// In a stable order.
    #[schema(value_type = Vec<AccountView>)]
    pub accounts: Vec<serde_json::Value>,
    /// For `after`, as it is; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub next: Option<String>,
}

/// What happened to an account at one time.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": "p-1", "kind": "debit", "counterparty": "bob", "amount": {"value": -1234, "currency": "USD"},
    "balance": 98_766, "version": 2, "at": "2026-11-23T12:00:00.005Z"
}))]
pub struct LedgerEntryView {
    /// Of the payment or the account command.
    pub id: String,
    /// `opened`, `funded`, `debit`, `credit`, `reverse`, `frozen`, `unfrozen` or `closed`.
    pub kind: String,
    /// The other account of a payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<String>,
    /// A debit is below zero.
    pub amount: Amount,
    /// After this entry, in minor units.
    pub balance: i64,
    /// 1 for the entry that opened the account, then one more for each.
    pub version: u64,
    /// RFC 3339, UTC.
    #[schema(format = DateTime)]
    pub at: String,
}

/// A page of a ledger.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "entries": [{"id": "p-1", "kind": "debit", "counterparty": "bob", "balance": 98_766, "version": 2,
        "amount": {"value": -1234, "currency": "USD"}, "at": "2026-11-23T12:00:00.005Z"}],
    "next": "a17"
}))]
pub struct LedgerPage {
    /// In the order that was asked for.
    #[schema(value_type = Vec<LedgerEntryView>)]
    pub entries: Vec<serde_json::Value>,
    /// For `after`, as it is; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub next: Option<String>,
}

/// Which end of a ledger comes first.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The oldest.
    Asc,
    /// The newest.
    Desc,
}

/// An account of which the opening was accepted and is not done yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"id": "alice", "status": "opening", "commandId": "open:alice"}))]
pub struct OpeningView {
    /// Of the account.
    pub id: String,
    /// `opening`.
    pub status: String,
    /// The opening itself can be looked at by `/v1/payments/{commandId}`.
    pub command_id: String,
    /// What the caller should know, such as that the pipeline is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
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
    pub(super) fn add(&mut self, count: i64, value: &BTreeMap<String, i128>) -> Option<()> {
        self.count = self.count.checked_add(count)?;
        for (currency, minor) in value {
            let sum = self.value.entry(currency.clone()).or_default();
            *sum = sum.checked_add(*minor)?;
        }
        Some(())
    }

    /// What is in this and not in `finished`.
    pub(super) fn minus(mut self, finished: &Self) -> Option<Self> {
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
    /// What it is wanted to do.
    pub desired_phase: Option<String>,
    /// Grows with every change of phase.
    pub epoch: Option<u64>,
    /// Accepted and not finished.
    pub in_flight: Option<Sum>,
    /// Confirmed payments of this day (UTC).
    pub confirmed_today: Option<Sum>,
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
