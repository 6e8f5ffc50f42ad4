//! What an account holds and why: the entries of account.ledger and the snapshots of account.checkpoints.

use crate::{
    account::{Account, AccountLimits, AccountStatus, Outflow},
    ids::{AccountId, PaymentId},
    money::Money,
};

/// One change of one account. It carries the account after the change, so the last entry alone restores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The account: the key of the record.
    pub account: AccountId,
    /// What happened.
    pub kind: EntryKind,
    /// Of the payment or of the account command.
    pub id: PaymentId,
    /// The other account of a payment.
    pub counterparty: Option<AccountId>,
    /// Signed: a debit is below zero, a change of status is 0.
    pub amount: Money,
    /// In minor units, after this entry.
    pub balance_minor: i64,
    /// 1 for the entry that opened the account, then one more for each.
    pub version: u64,
    /// After this entry.
    pub status: AccountStatus,
    /// When, in milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// What the account paid on the day of its last payment, after this entry.
    pub outflow: Outflow,
    /// Its own limits, after this entry.
    pub limits: Option<Box<AccountLimits>>,
}

/// What happened to the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// Opened, with what it was funded with.
    Opened,
    /// Money came from outside.
    Funded,
    /// Paid.
    Debit,
    /// Was paid.
    Credit,
    /// Got back what it had paid.
    Reverse,
    /// Takes no part until it is unfrozen.
    Frozen,
    /// Takes part again.
    Unfrozen,
    /// Takes no part any more.
    Closed,
    /// Got limits of its own, or lost them.
    Limits,
}

impl EntryKind {
    /// `opened`, `funded`, `debit`, `credit`, `reverse`, `frozen`, `unfrozen`, `closed` or `limits`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Funded => "funded",
            Self::Debit => "debit",
            Self::Credit => "credit",
            Self::Reverse => "reverse",
            Self::Frozen => "frozen",
            Self::Unfrozen => "unfrozen",
            Self::Closed => "closed",
            Self::Limits => "limits",
        }
    }
}

impl LedgerEntry {
    /// The account after this entry: what `evolve` would make of it, from nothing but the entry.
    pub fn state(&self) -> Account {
        Account {
            currency: self.amount.currency,
            balance_minor: self.balance_minor,
            status: self.status,
            version: self.version,
            outflow: self.outflow,
            limits: self.limits.clone(),
        }
    }
}

/// One account at one moment, for a quicker restore than by the whole ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountSnapshot {
    /// The account: the key of the record.
    pub account: AccountId,
    /// What it held.
    pub state: Account,
    /// When, in milliseconds since 1970 UTC.
    pub at_ms: i64,
}
