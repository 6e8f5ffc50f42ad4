//! The payment domain of kpay. Pure: no Kafka, no async runtime, no HTTP, no clock; the time, the bytes and the
//! policy come as arguments.
//!
//! A payment's way through the crate:
//!
//! | stage | reads | calls | writes |
//! |---|---|---|---|
//! | inflight | [`Intake`] by [`intake::parse`] | [`inflight::decide`] | [`Command`] or [`Outcome`] |
//! | account | [`Command`] | [`account::decide`] | [`LedgerEntry`], then [`Command`] or [`Outcome`] |
//! | confirmed | [`Outcome`] | [`confirmed::to_json`] | JSON for the outside |
//!
//! A refusal by a rule of the business is a value ([`Reason`] in an [`Outcome`]), never an `Err`; the only error is
//! [`Malformed`]: bytes that cannot be read as what they should be.

#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]
#![allow(
    clippy::missing_panics_doc,
    reason = "an `expect` here states an invariant, which no caller can break"
)]

pub mod account;
pub mod confirmed;
pub mod fingerprint;
pub mod hold;
pub mod ids;
pub mod inflight;
pub mod intake;
pub mod money;
pub mod policy;
pub mod progress;
pub mod rules;

mod command;
mod currencies;
mod ledger;
mod malformed;
mod outcome;
mod payment;
mod reason;
mod wire;

pub use account::{Account, AccountLimits, AccountStatus, LimitName, Outflow};
pub use command::{Command, Trail};
pub use hold::{DecideHold, HeldPayment, Hold, HoldDecision, HoldVerdict};
pub use ids::{AccountId, IdError, PaymentId};
pub use ledger::{AccountSnapshot, EntryKind, LedgerEntry};
pub use malformed::Malformed;
pub use money::{Currency, CurrencyError, Money, MoneyError};
pub use outcome::{Outcome, Status};
pub use payment::{
    ATTRIBUTE_KEY_BYTES_MAX, ATTRIBUTE_VALUE_BYTES_MAX, ATTRIBUTES_MAX, AccountCommand, Action, Attributes,
    Intake, Payment, REFERENCE_BYTES_MAX, Reference, Refund, StatusChange,
};
pub use policy::{Limits, Policy};
pub use progress::{Accepted, Progress};
pub use reason::Reason;
pub use rules::{Payer, RuleAction, RuleError, RuleName, RuleSource, Rules, Verdict};
