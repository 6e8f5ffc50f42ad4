//! What lies on payment.inflight: one step of a payment, for one account.

use crate::{
    hold::Hold,
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
        /// What the payment has behind it.
        trail: Trail,
        /// The payer's next debit waits for [`Command::Settled`].
        serial: bool,
    },
    /// Gives the amount back to the payer.
    Reverse {
        /// What was to be paid.
        payment: Payment,
        /// What the payment has behind it.
        trail: Trail,
        /// Why the payee could not be credited.
        reason: Reason,
    },
    /// Changes an account, or decides a held payment of it.
    Account {
        /// What to do.
        command: AccountCommand,
        /// When the inflight stage accepted it.
        accepted_at_ms: i64,
    },
    /// The payee has the money: the payer's next debit may come, where they come one by one.
    Settled {
        /// The payment.
        payment: PaymentId,
        /// Its payer.
        account: AccountId,
    },
}

/// What a debited payment has behind it. All times are milliseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trail {
    /// When the inflight stage accepted it.
    pub accepted_at_ms: i64,
    /// When the payer was debited.
    pub debited_at_ms: i64,
    /// That it was held before, and released.
    pub hold: Option<Box<Hold>>,
}

impl Command {
    /// The account that it is for: the key of the record, which decides the partition.
    pub const fn account_id(&self) -> &AccountId {
        match self {
            Self::Debit { payment, .. } | Self::Reverse { payment, .. } => &payment.from,
            Self::Credit { payment, .. } => &payment.to,
            Self::Account { command, .. } => &command.account,
            Self::Settled { account, .. } => account,
        }
    }

    /// The id of the payment or of the account command.
    pub const fn id(&self) -> &PaymentId {
        match self {
            Self::Debit { payment, .. } | Self::Credit { payment, .. } | Self::Reverse { payment, .. } => {
                &payment.id
            }
            Self::Account { command, .. } => &command.id,
            Self::Settled { payment, .. } => payment,
        }
    }
}
