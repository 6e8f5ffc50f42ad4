//! Accounts: what is asked of them, and what is told. Pure.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Amount;

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
    #[schema(example = "open:alice", pattern = "^[A-Za-z0-9._:-]{1,64}$")]
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
