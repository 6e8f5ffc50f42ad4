//! A payment that a rule holds until a person decides. Pure.
//!
//! A hold moves no money and reserves none: what is decided later is decided on the account as it then is.

use crate::{
    ids::PaymentId,
    payment::{Payment, Reference},
    rules::RuleName,
};

/// A payment that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPayment {
    /// What is to be paid.
    pub payment: Payment,
    /// When the inflight stage accepted it, in milliseconds since 1970 UTC.
    pub accepted_at_ms: i64,
    /// Why it waits, not decided yet.
    pub hold: Hold,
}

/// That a rule held a payment, and what became of that. All times are milliseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The rule that held it.
    pub rule: RuleName,
    /// Since when.
    pub held_at_ms: i64,
    /// From when on nobody needs to decide any more.
    pub expires_at_ms: i64,
    /// What was decided, and by whom.
    pub decided: Option<HoldDecision>,
}

/// Who decided what, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldDecision {
    /// What.
    pub verdict: HoldVerdict,
    /// Who.
    pub by: Reference,
    /// Why.
    pub why: Reference,
    /// When, in milliseconds since 1970 UTC.
    pub at_ms: i64,
}

/// What becomes of a held payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldVerdict {
    /// It goes on, by all checks but the rules.
    Release,
    /// It is rejected.
    Refuse,
    /// It is rejected, because its time is over.
    Expire,
}

impl HoldVerdict {
    /// Every verdict.
    pub const ALL: [Self; 3] = [Self::Release, Self::Refuse, Self::Expire];

    /// `release`, `refuse` or `expire`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Refuse => "refuse",
            Self::Expire => "expire",
        }
    }

    /// `payment.release`, `payment.refuse` or `payment.expire`: the header `kpay-kind`.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Release => "payment.release",
            Self::Refuse => "payment.refuse",
            Self::Expire => "payment.expire",
        }
    }
}

/// A command about a held payment, for the payer's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecideHold {
    /// The held payment.
    pub payment: PaymentId,
    /// What is to become of it.
    pub verdict: HoldVerdict,
    /// Who says so.
    pub by: Reference,
    /// Why.
    pub why: Reference,
}
