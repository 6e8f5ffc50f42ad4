//! How a payment or an account command ended. Exactly one for each that was accepted, besides that it was held.

use crate::{hold::Hold, ids::PaymentId, payment::Intake, reason::Reason, rules::RuleName};

/// The end. All times are milliseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What was asked for.
    pub subject: Intake,
    /// How it ended, and why.
    pub status: Status,
    /// When the inflight stage accepted it.
    pub accepted_at_ms: i64,
    /// When the payer was debited, where it came so far.
    pub debited_at_ms: Option<i64>,
    /// When the payee was credited, where it came so far.
    pub credited_at_ms: Option<i64>,
    /// When the outcome was decided.
    pub completed_at_ms: i64,
    /// That a rule held it, and what was decided then.
    pub hold: Option<Box<Hold>>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Everything was done.
    Confirmed,
    /// Nothing was done.
    Rejected(Reason),
    /// The payer was debited and got the money back.
    Reversed(Reason),
    /// Nothing was done; a person has to decide first. Not the end.
    Held(RuleName),
}

impl Status {
    /// `confirmed`, `rejected`, `reversed` or `held`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Rejected(_) => "rejected",
            Self::Reversed(_) => "reversed",
            Self::Held(_) => "held",
        }
    }

    /// Why, where it was rejected or reversed.
    pub const fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Confirmed | Self::Held(_) => None,
            Self::Rejected(reason) | Self::Reversed(reason) => Some(reason),
        }
    }
}

impl Outcome {
    /// The id of the payment or of the account command: the key of the record.
    pub const fn id(&self) -> &PaymentId {
        self.subject.id()
    }

    /// Whether a rule held it before, and it was decided: then it is the second outcome of its payment.
    pub fn is_decided(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.decided.is_some())
    }

    /// An outcome without a debit.
    pub(crate) const fn of(subject: Intake, status: Status, accepted_at_ms: i64, at_ms: i64) -> Self {
        Self {
            subject,
            status,
            accepted_at_ms,
            debited_at_ms: None,
            credited_at_ms: None,
            completed_at_ms: at_ms,
            hold: None,
        }
    }

    /// A rejection before any money moved.
    pub const fn rejected(subject: Intake, reason: Reason, accepted_at_ms: i64, at_ms: i64) -> Self {
        Self::of(subject, Status::Rejected(reason), accepted_at_ms, at_ms)
    }
}
