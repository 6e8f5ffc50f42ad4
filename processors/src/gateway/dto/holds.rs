//! Held payments: what waits for a person, and what is decided. Pure.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Amount;

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

/// A payment that waits for a person.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "p-1", "from": "alice", "to": "bob", "amount": {"value": 1234, "currency": "USD"}, "rule": "risky",
    "message": "A colleague looks at this payment.",
    "heldAt": "2026-11-23T12:00:00.012Z", "expiresAt": "2026-11-30T12:00:00.012Z"
}))]
pub struct HeldPaymentView {
    /// The payment's.
    pub id: String,
    /// The payer's account.
    pub from: String,
    /// The payee's account.
    pub to: String,
    /// What is to be moved.
    pub amount: Amount,
    /// Text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub reference: Option<String>,
    /// The name of the rule that holds it.
    pub rule: String,
    /// What the rule tells the payer, if it is still there and tells anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub message: Option<String>,
    /// RFC 3339, UTC.
    #[schema(format = DateTime)]
    pub held_at: String,
    /// RFC 3339, UTC: rejected with `hold_expired` when nobody decides before.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

/// A page of held payments.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "holds": [{"id": "p-1", "from": "alice", "to": "bob", "amount": {"value": 1234, "currency": "USD"},
        "rule": "risky", "heldAt": "2026-11-23T12:00:00.012Z", "expiresAt": "2026-11-30T12:00:00.012Z"}],
    "next": "1795435200012.p-1"
}))]
pub struct HoldsPage {
    /// The oldest hold first.
    #[schema(value_type = Vec<HeldPaymentView>)]
    pub holds: Vec<serde_json::Value>,
    /// For `after`, as it is; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub next: Option<String>,
}
