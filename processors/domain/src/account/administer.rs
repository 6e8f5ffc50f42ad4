//! Opening, funding, status and limits of an account: the commands that are no payment. Pure.

use super::{Account, AccountStatus, Decision, Known, held, usable};
use crate::{
    ledger::EntryKind,
    money::Currency,
    outcome::{Outcome, Status},
    payment::{AccountCommand, Action, Intake, StatusChange},
    policy::Policy,
    reason::Reason,
};

pub(super) fn administer(
    known: Known<'_>,
    command: AccountCommand,
    accepted_at_ms: i64,
    policy: &Policy,
    at_ms: i64,
) -> Decision {
    let account = known.account;
    let after = match &command.action {
        Action::Open { currency, funding_minor } => {
            open(account, *currency, *funding_minor).map(|after| (EntryKind::Opened, *funding_minor, after))
        }
        Action::Fund { amount_minor, currency } => {
            fund(account, *amount_minor, *currency).map(|after| (EntryKind::Funded, *amount_minor, after))
        }
        Action::Change(to) => change(account, *to).map(|(kind, after)| (kind, 0, after)),
        Action::Limits(limits) => existing(account).map(|before| {
            let own = (**limits != super::AccountLimits::default()).then(|| limits.clone());
            let after = Account { limits: own, ..before.with_balance(before.balance_minor) };
            (EntryKind::Limits, 0, after)
        }),
        Action::Decide(_) => return held::decide(known, command, accepted_at_ms, policy, at_ms),
    };
    match after {
        Err(reason) => {
            Decision::end(None, Outcome::rejected(Intake::Account(command), reason, accepted_at_ms, at_ms))
        }
        Ok((kind, change, after)) => {
            let entry = after.entry(&command.account, kind, &command.id, None, change, at_ms);
            let subject = Intake::Account(command);
            Decision::end(Some(entry), Outcome::of(subject, Status::Confirmed, accepted_at_ms, at_ms))
        }
    }
}

/// The account, unless it is closed for good.
fn existing(account: Option<&Account>) -> Result<&Account, Reason> {
    let account = account.ok_or(Reason::UnknownAccount)?;
    if account.status == AccountStatus::Closed { Err(Reason::AccountClosed) } else { Ok(account) }
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
    Account::empty(currency.ok_or(Reason::CurrencyUnknown)?).raised(funding_minor)
}

fn fund(account: Option<&Account>, amount_minor: i64, currency: Option<Currency>) -> Result<Account, Reason> {
    if amount_minor <= 0 {
        return Err(Reason::AmountNotPositive);
    }
    usable(account, currency)?.raised(amount_minor)
}

fn change(account: Option<&Account>, to: StatusChange) -> Result<(EntryKind, Account), Reason> {
    let before = existing(account)?;
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
