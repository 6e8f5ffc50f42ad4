//! What lies on payment.inflight: one step of a payment, for one account.

use crate::{
    ids::{AccountId, PaymentId},
    payment::{AccountCommand, Payment},
    reason::Reason,
};

/// One step, for the account [`Command::account_id`]. All times are milliseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Takes the amount from the payer.
    Debit {
        /// What is paid.
        payment: Payment,
        /// When the inflight stage accepted it.
        accepted_at_ms: i64,
    },
    /// Gives the amount to the payee.
    Credit {
        /// What is paid.
        payment: Payment,
        /// When the inflight stage accepted it.
        accepted_at_ms: i64,
        /// When the payer was debited.
        debited_at_ms: i64,
    },
    /// Gives the amount back to the payer.
    Reverse {
        /// What was to be paid.
        payment: Payment,
        /// When the inflight stage accepted it.
        accepted_at_ms: i64,
        /// When the payer was debited.
        debited_at_ms: i64,
        /// Why the payee could not be credited.
        reason: Reason,
    },
    /// Opens or funds an account.
    Account {
        /// What to do.
        command: AccountCommand,
        /// When the inflight stage accepted it.
        accepted_at_ms: i64,
    },
}

impl Command {
    /// The account that it is for: the key of the record, which decides the partition.
    pub const fn account_id(&self) -> &AccountId {
        match self {
            Self::Debit { payment, .. } | Self::Reverse { payment, .. } => &payment.from,
            Self::Credit { payment, .. } => &payment.to,
            Self::Account { command, .. } => &command.account,
        }
    }

    /// The id of the payment or of the account command.
    pub const fn id(&self) -> &PaymentId {
        match self {
            Self::Debit { payment, .. } | Self::Credit { payment, .. } | Self::Reverse { payment, .. } => {
                &payment.id
            }
            Self::Account { command, .. } => &command.id,
        }
    }

    /// When the inflight stage accepted it.
    pub const fn accepted_at_ms(&self) -> i64 {
        match self {
            Self::Debit { accepted_at_ms, .. }
            | Self::Credit { accepted_at_ms, .. }
            | Self::Reverse { accepted_at_ms, .. }
            | Self::Account { accepted_at_ms, .. } => *accepted_at_ms,
        }
    }
}
