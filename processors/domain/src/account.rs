//! The account stage's decision. Pure: `decide` reads, [`LedgerEntry::state`] is what it evolves to.
//!
//! The order of checks, tested:
//!
//! | command | checks | if one fails |
//! |---|---|---|
//! | debit | `amount_not_positive`, `unknown_account`, `account_closed`, `account_frozen`, `currency_mismatch`, `insufficient_funds` | rejected |
//! | credit | `unknown_account`, `account_closed`, `account_frozen`, `currency_mismatch`, `balance_overflow` | reverse to the payer |
//! | reverse | none: it is never refused | |
//! | open | `amount_not_positive`, `account_exists`, `currency_unknown`, `balance_overflow` | rejected |
//! | fund | `amount_not_positive`, `unknown_account`, `account_closed`, `account_frozen`, `currency_mismatch`, `balance_overflow` | rejected |
//!
//! | freeze | `unknown_account`, `account_closed`, `account_frozen` | rejected |
//! | unfreeze | `unknown_account`, `account_closed`, `account_not_frozen` | rejected |
//! | close | `unknown_account`, `account_closed`, `account_frozen`, `balance_not_zero` | rejected |
//!
//! A credit that is on its way to an account that is then frozen or closed is reversed. A reversal reaches the payer
//! whatever became of it, so a closed account may hold money again.
//!
//! Each command is decided once: the log engine's transactions see to that, not this module. The inflight
//! stage's checks are not trusted blindly: the amount is checked again where it would make money.

use crate::{
    command::Command,
    ids::{AccountId, PaymentId},
    ledger::{EntryKind, LedgerEntry},
    money::{Currency, Money},
    outcome::{Outcome, Status},
    payment::{AccountCommand, Action, Intake, Payment, StatusChange},
    reason::Reason,
};

/// The most that a credit, a funding or an opening may bring an account to, in minor units: 2^53 − 1, which is the
/// largest integer that every JSON client reads exactly (RFC 8259 §6).
pub const BALANCE_MAX: i64 = 9_007_199_254_740_991;

/// What one account holds; its id is the key under which it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Of the balance.
    pub currency: Currency,
    /// In minor units, never below zero.
    pub balance_minor: i64,
    /// Whether it takes part.
    pub status: AccountStatus,
    /// How many entries made it.
    pub version: u64,
}

const _: () = assert!(size_of::<Account>() <= 24 && size_of::<Option<Account>>() <= 48);

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

/// What a command brings about. The entry (and with it the account's new state) and what is next belong into one
/// transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The change, unless nothing changes. The account afterwards is [`LedgerEntry::state`].
    pub entry: Option<LedgerEntry>,
    /// What the payment's next step or its end is.
    pub next: Next,
}

/// The next step or the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// To payment.inflight, keyed by [`Command::account_id`].
    Command(Command),
    /// To payment.complete, keyed by [`Outcome::id`].
    Outcome(Outcome),
}

/// Decides a command for the account that [`Command::account_id`] names; `account` is its state, `None` if it was
/// never opened. `at_ms` is now, in milliseconds since 1970 UTC.
pub fn decide(account: Option<&Account>, command: Command, at_ms: i64) -> Decision {
    match command {
        Command::Debit { payment, accepted_at_ms } => debit(account, payment, accepted_at_ms, at_ms),
        Command::Credit { payment, accepted_at_ms, debited_at_ms } => {
            credit(account, payment, Passed { accepted_at_ms, debited_at_ms }, at_ms)
        }
        Command::Reverse { payment, accepted_at_ms, debited_at_ms, reason } => {
            reverse(account, payment, Passed { accepted_at_ms, debited_at_ms }, reason, at_ms)
        }
        Command::Account { command, accepted_at_ms } => administer(account, command, accepted_at_ms, at_ms),
    }
}

/// The times of the steps that a payment has behind it.
#[derive(Clone, Copy)]
struct Passed {
    accepted_at_ms: i64,
    debited_at_ms: i64,
}

fn debit(account: Option<&Account>, payment: Payment, accepted_at_ms: i64, at_ms: i64) -> Decision {
    let after = (payment.amount.minor > 0)
        .then_some(())
        .ok_or(Reason::AmountNotPositive)
        .and_then(|()| usable(account, Some(payment.amount.currency)))
        .and_then(|account| {
            let left = account.balance_minor.checked_sub(payment.amount.minor);
            let left = left.filter(|left| *left >= 0).ok_or(Reason::InsufficientFunds)?;
            Ok(account.with_balance(left))
        });
    match after {
        Err(reason) => {
            Decision::end(None, Outcome::rejected(Intake::Payment(payment), reason, accepted_at_ms, at_ms))
        }
        Ok(after) => {
            // Above zero, so that its negation exists.
            let change = payment.amount.minor.saturating_neg();
            let entry =
                after.entry(&payment.from, EntryKind::Debit, &payment.id, Some(&payment.to), change, at_ms);
            let credit = Command::Credit { payment, accepted_at_ms, debited_at_ms: at_ms };
            Decision { entry: Some(entry), next: Next::Command(credit) }
        }
    }
}

fn credit(account: Option<&Account>, payment: Payment, passed: Passed, at_ms: i64) -> Decision {
    let Passed { accepted_at_ms, debited_at_ms } = passed;
    let after = usable(account, Some(payment.amount.currency))
        .and_then(|account| account.raised(payment.amount.minor));
    match after {
        Err(reason) => {
            let reverse = Command::Reverse { payment, accepted_at_ms, debited_at_ms, reason };
            Decision { entry: None, next: Next::Command(reverse) }
        }
        Ok(after) => {
            let change = payment.amount.minor;
            let entry =
                after.entry(&payment.to, EntryKind::Credit, &payment.id, Some(&payment.from), change, at_ms);
            let outcome = Outcome {
                subject: Intake::Payment(payment),
                status: Status::Confirmed,
                accepted_at_ms,
                debited_at_ms: Some(debited_at_ms),
                credited_at_ms: Some(at_ms),
                completed_at_ms: at_ms,
            };
            Decision::end(Some(entry), outcome)
        }
    }
}

/// Gives back what a debit took. Never refused, whatever became of the account since: the money is the payer's.
///
/// It cannot overflow: a credit, a funding and an opening stop at [`BALANCE_MAX`], and no debit takes more than a
/// balance. For the sum to pass 2^63 more than a thousand payments, each of a whole [`BALANCE_MAX`], would have to be
/// in flight from this one account at once and all be reversed. Should that be, the command goes to the end of its
/// own queue and is taken again: late, but neither refused nor lost. An account that is not there, which no log of
/// ours can hold, is made anew with the money rather than the money dropped.
fn reverse(
    account: Option<&Account>,
    payment: Payment,
    passed: Passed,
    reason: Reason,
    at_ms: i64,
) -> Decision {
    let Passed { accepted_at_ms, debited_at_ms } = passed;
    let before = account.copied().unwrap_or(Account {
        currency: payment.amount.currency,
        balance_minor: 0,
        status: AccountStatus::Open,
        version: 0,
    });
    let Some(balance) = before.balance_minor.checked_add(payment.amount.minor) else {
        let again = Command::Reverse { payment, accepted_at_ms, debited_at_ms, reason };
        return Decision { entry: None, next: Next::Command(again) };
    };
    let change = payment.amount.minor;
    let after = before.with_balance(balance);
    let entry = after.entry(&payment.from, EntryKind::Reverse, &payment.id, Some(&payment.to), change, at_ms);
    let outcome = Outcome {
        subject: Intake::Payment(payment),
        status: Status::Reversed(reason),
        accepted_at_ms,
        debited_at_ms: Some(debited_at_ms),
        credited_at_ms: None,
        completed_at_ms: at_ms,
    };
    Decision::end(Some(entry), outcome)
}

fn administer(
    account: Option<&Account>,
    command: AccountCommand,
    accepted_at_ms: i64,
    at_ms: i64,
) -> Decision {
    let after = match command.action {
        Action::Open { currency, funding_minor } => {
            open(account, currency, funding_minor).map(|after| (EntryKind::Opened, funding_minor, after))
        }
        Action::Fund { amount_minor, currency } => {
            fund(account, amount_minor, currency).map(|after| (EntryKind::Funded, amount_minor, after))
        }
        Action::Change(to) => change(account, to).map(|(kind, after)| (kind, 0, after)),
    };
    match after {
        Err(reason) => {
            Decision::end(None, Outcome::rejected(Intake::Account(command), reason, accepted_at_ms, at_ms))
        }
        Ok((kind, change, after)) => {
            let entry = after.entry(&command.account, kind, &command.id, None, change, at_ms);
            let outcome = Outcome {
                subject: Intake::Account(command),
                status: Status::Confirmed,
                accepted_at_ms,
                debited_at_ms: None,
                credited_at_ms: None,
                completed_at_ms: at_ms,
            };
            Decision::end(Some(entry), outcome)
        }
    }
}

fn open(
    account: Option<&Account>,
    currency: Option<Currency>,
    funding_minor: i64,
) -> Result<Account, Reason> {
    if funding_minor < 0 {
        return Err(Reason::AmountNotPositive);
    }
    if account.is_some() {
        return Err(Reason::AccountExists);
    }
    let currency = currency.ok_or(Reason::CurrencyUnknown)?;
    Account { currency, balance_minor: 0, status: AccountStatus::Open, version: 0 }.raised(funding_minor)
}

fn fund(account: Option<&Account>, amount_minor: i64, currency: Option<Currency>) -> Result<Account, Reason> {
    if amount_minor <= 0 {
        return Err(Reason::AmountNotPositive);
    }
    usable(account, currency)?.raised(amount_minor)
}

fn change(account: Option<&Account>, to: StatusChange) -> Result<(EntryKind, Account), Reason> {
    let before = account.ok_or(Reason::UnknownAccount)?;
    let (kind, status) = match (before.status, to) {
        (AccountStatus::Closed, _) => return Err(Reason::AccountClosed),
        (AccountStatus::Frozen, StatusChange::Freeze | StatusChange::Close) => {
            return Err(Reason::AccountFrozen);
        }
        (AccountStatus::Open, StatusChange::Unfreeze) => return Err(Reason::AccountNotFrozen),
        (AccountStatus::Open, StatusChange::Close) if before.balance_minor != 0 => {
            return Err(Reason::BalanceNotZero);
        }
        (AccountStatus::Open, StatusChange::Freeze) => (EntryKind::Frozen, AccountStatus::Frozen),
        (AccountStatus::Frozen, StatusChange::Unfreeze) => (EntryKind::Unfrozen, AccountStatus::Open),
        (AccountStatus::Open, StatusChange::Close) => (EntryKind::Closed, AccountStatus::Closed),
    };
    Ok((kind, Account { status, ..before.with_balance(before.balance_minor) }))
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
    /// One entry later, with this balance.
    const fn with_balance(self, balance_minor: i64) -> Self {
        // 2^64 entries of one account are beyond any log's offsets.
        Self { balance_minor, version: self.version.saturating_add(1), ..self }
    }

    /// One entry later, with so much more; at most [`BALANCE_MAX`].
    fn raised(self, by_minor: i64) -> Result<Self, Reason> {
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
        }
    }
}

impl Decision {
    const fn end(entry: Option<LedgerEntry>, outcome: Outcome) -> Self {
        Self { entry, next: Next::Outcome(outcome) }
    }
}

#[cfg(test)]
mod tests;
