//! The bodies of the public API. They are their own types: what the pipeline keeps may change, these may not. Pure.

mod accounts;
mod holds;
mod pipeline;

use std::collections::BTreeMap;

use kpay_domain::{AccountCommand, Action, Currency, Intake, Payment, Reference};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use accounts::{
    AccountView, AccountsPage, LedgerEntryView, LedgerPage, LimitsView, NewAccount, NewChange, NewFunding,
    NewLimits, OpeningView, Order,
};
pub use holds::{HeldPaymentView, HoldView, HoldsPage, NewVerdict};
pub use pipeline::{
    HolderView, LargestView, LatencyView, NewPause, NewResume, PipelineEvent, PipelineView, Sum,
    ThroughputView, TotalsView, WindowView,
};

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
