//! The account stage's decision. Pure: `decide` reads, [`LedgerEntry::state`] is what it evolves to.
//!
//! The order of checks, tested:
//!
//! | command | checks | if one fails |
//! |---|---|---|
//! | debit | `amount_not_positive`, `unknown_account`, `account_closed`, `account_frozen`, `currency_mismatch`, `refund_exceeds_payment`, `insufficient_funds`, `limit_exceeded` (`lowest_balance`, `daily_outflow`, `daily_count`), `rule_refused` | rejected |
//! | credit | `unknown_account`, `account_closed`, `account_frozen`, `currency_mismatch`, `balance_overflow` | reverse to the payer |
//! | reverse | none: it is never refused | |
//! | open | `amount_not_positive`, `account_exists`, `currency_unknown`, `balance_overflow` | rejected |
//! | fund | `amount_not_positive`, `unknown_account`, `account_closed`, `account_frozen`, `currency_mismatch`, `balance_overflow` | rejected |
//! | freeze | `unknown_account`, `account_closed`, `account_frozen` | rejected |
//! | unfreeze | `unknown_account`, `account_closed`, `account_not_frozen` | rejected |
//! | close | `unknown_account`, `account_closed`, `account_frozen`, `balance_not_zero` | rejected |
//! | limits | `unknown_account`, `account_closed` | rejected |
//! | release, refuse | `hold_unknown` | rejected |
//! | expire | `hold_unknown`, `hold_not_expired` | rejected |
//!
//! A payment that passes all checks may be held by a rule; released, it is checked again, but for the rules. A refund is
//! no outflow: limits and rules do not look at it.
//!
//! A credit that is on its way to an account that is then frozen or closed is reversed. A reversal reaches the payer
//! whatever became of it, so a closed account may hold money again.
//!
//! Each command is decided once: the log engine's transactions see to that, not this module. The inflight
//! stage's checks are not trusted blindly: the amount is checked again where it would make money.

mod administer;
mod held;
mod limits;
mod transfer;

use crate::{
    command::Command,
    hold::HeldPayment,
    ids::{AccountId, PaymentId},
    ledger::{EntryKind, LedgerEntry},
    money::{Currency, Money},
    outcome::Outcome,
    policy::Policy,
    reason::Reason,
};

pub use limits::{AccountLimits, LimitName, Outflow};

/// The most that a credit, a funding or an opening may bring an account to, in minor units: 2^53 − 1, which is the
/// largest integer that every JSON client reads exactly (RFC 8259 §6).
pub const BALANCE_MAX: i64 = 9_007_199_254_740_991;

/// What one account holds; its id is the key under which it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Of the balance.
    pub currency: Currency,
    /// In minor units; below zero only as far as the overdraft goes.
    pub balance_minor: i64,
    /// Whether it takes part.
    pub status: AccountStatus,
    /// How many entries made it.
    pub version: u64,
    /// What it paid on the day of its last payment.
    pub outflow: Outflow,
    /// Its own, in place of the pipeline's.
    pub limits: Option<Box<AccountLimits>>,
}

const _: () = assert!(size_of::<Account>() <= 48 && size_of::<Option<Account>>() <= 48);

/// Whether an account takes part in payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountStatus {
    /// Pays and is paid.
    Open,
    /// Does neither for now.
    Frozen,
    /// Does neither any more.
    Closed,
}

impl AccountStatus {
    /// `open`, `frozen` or `closed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Frozen => "frozen",
            Self::Closed => "closed",
        }
    }
}

/// What is known of the account that a command is for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// Its state; `None` if it was never opened.
    pub account: Option<&'a Account>,
    /// The held payment that the command is about, if it is about one and that is held.
    pub held: Option<&'a HeldPayment>,
    /// What the account has given back already of the payment that the command gives back.
    pub refunded_minor: i64,
}

/// What a command brings about. All of it belongs into one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The change, unless nothing changes. The account afterwards is [`LedgerEntry::state`].
    pub entry: Option<LedgerEntry>,
    /// What is held from now on, or not any more.
    pub held: Option<HeldChange>,
    /// What is given back from now on, of the payment that a refund is of.
    pub refunded_minor: Option<i64>,
    /// What the payment's next step or its end is.
    pub next: Next,
    /// What else: that the command which released a payment is done, that a serial debit is settled.
    pub also: Option<Next>,
}

/// A change of what is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldChange {
    /// This payment is held.
    Hold(Box<HeldPayment>),
    /// The payment of this id is not held any more.
    End(PaymentId),
}

/// The next step or the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// To payment.inflight, keyed by [`Command::account_id`].
    Command(Command),
    /// To payment.complete, keyed by [`Outcome::id`].
    Outcome(Outcome),
    /// There is none.
    Nothing,
}

/// Decides a command for the account that [`Command::account_id`] names. `at_ms` is now, in milliseconds since 1970 UTC.
pub fn decide(known: Known<'_>, command: Command, policy: &Policy, at_ms: i64) -> Decision {
    match command {
        Command::Debit { payment, accepted_at_ms } => {
            let debit = transfer::Debit { payment, accepted_at_ms, released: None };
            transfer::debit(known, debit, policy, at_ms)
        }
        Command::Credit { payment, trail, serial } => {
            transfer::credit(known.account, payment, trail, serial, at_ms)
        }
        Command::Reverse { payment, trail, reason } => {
            transfer::reverse(known, payment, trail, reason, at_ms)
        }
        Command::Account { command, accepted_at_ms } => {
            administer::administer(known, command, accepted_at_ms, policy, at_ms)
        }
        // It only moves the queue of those that wait.
        Command::Settled { .. } => Decision::of(None, Next::Nothing),
    }
}

/// The account, if it exists, is open and holds the currency (any, for `None`).
fn usable(account: Option<&Account>, currency: Option<Currency>) -> Result<&Account, Reason> {
    let account = account.ok_or(Reason::UnknownAccount)?;
    match account.status {
        AccountStatus::Closed => return Err(Reason::AccountClosed),
        AccountStatus::Frozen => return Err(Reason::AccountFrozen),
        AccountStatus::Open => {}
    }
    if currency.is_some_and(|currency| currency != account.currency) {
        return Err(Reason::CurrencyMismatch);
    }
    Ok(account)
}

impl Account {
    /// An account before its first entry.
    pub const fn empty(currency: Currency) -> Self {
        Self {
            currency,
            balance_minor: 0,
            status: AccountStatus::Open,
            version: 0,
            outflow: Outflow::NONE,
            limits: None,
        }
    }

    /// One entry later, with this balance.
    fn with_balance(&self, balance_minor: i64) -> Self {
        // 2^64 entries of one account are beyond any log's offsets.
        Self { balance_minor, version: self.version.saturating_add(1), ..self.clone() }
    }

    /// One entry later, with so much more; at most [`BALANCE_MAX`].
    fn raised(&self, by_minor: i64) -> Result<Self, Reason> {
        let balance = self.balance_minor.checked_add(by_minor).filter(|balance| *balance <= BALANCE_MAX);
        balance.map(|balance| self.with_balance(balance)).ok_or(Reason::BalanceOverflow)
    }

    /// The entry that led here.
    fn entry(
        self,
        account: &AccountId,
        kind: EntryKind,
        id: &PaymentId,
        counterparty: Option<&AccountId>,
        change_minor: i64,
        at_ms: i64,
    ) -> LedgerEntry {
        LedgerEntry {
            account: account.clone(),
            kind,
            id: id.clone(),
            counterparty: counterparty.cloned(),
            amount: Money::new(change_minor, self.currency),
            balance_minor: self.balance_minor,
            version: self.version,
            status: self.status,
            at_ms,
            outflow: self.outflow,
            limits: self.limits,
        }
    }
}

impl Decision {
    const fn of(entry: Option<LedgerEntry>, next: Next) -> Self {
        Self { entry, held: None, refunded_minor: None, next, also: None }
    }

    const fn end(entry: Option<LedgerEntry>, outcome: Outcome) -> Self {
        Self::of(entry, Next::Outcome(outcome))
    }
}

#[cfg(test)]
mod tests;
