//! Each account's chain of entries, and the sums over all of them.

use std::collections::BTreeMap;

use kpay_domain::{Account, AccountStatus, EntryKind, LedgerEntry, Reason, StatusChange};

use super::{Checked, wrong};
use crate::request::Body;

/// The accounts as the ledger tells them.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    by_id: BTreeMap<String, (i32, Account)>,
    /// By currency: what the accounts hold, what is between two of them, what came from outside.
    held: BTreeMap<&'static str, i128>,
    flying: BTreeMap<&'static str, i128>,
    funded: BTreeMap<&'static str, i128>,
}

/// The currencies that accounts may have.
fn name(currency: &str) -> &'static str {
    match currency {
        "USD" => "USD",
        "EUR" => "EUR",
        _ => "other",
    }
}

impl Accounts {
    pub(super) fn get(&self, account: &str) -> Option<&Account> {
        self.by_id.get(account).map(|(_, account)| account)
    }

    pub(super) fn held(&self, account: &str) -> Option<(i64, &'static str)> {
        self.get(account).map(|a| (a.balance_minor, name(a.currency.as_str())))
    }

    /// The accounts of a partition.
    pub(super) fn of(&self, partition: i32) -> impl Iterator<Item = (&String, &Account)> {
        self.by_id.iter().filter(move |(_, (of, _))| *of == partition).map(|(id, (_, account))| (id, account))
    }

    /// One entry later.
    pub(super) fn apply(&mut self, partition: i32, entry: &LedgerEntry, body: &Body) -> Checked {
        let id = entry.account.as_str();
        let before = self.by_id.get(id).cloned();
        let version = before.as_ref().map_or(0, |(_, b)| b.version) + 1;
        if entry.version != version {
            return wrong("version", format!("{id} has version {} after {}", entry.version, version - 1));
        }
        let opens = entry.kind == EntryKind::Opened;
        let of = entry.amount.currency;
        if opens != before.is_none()
            || before.as_ref().is_some_and(|(p, b)| *p != partition || b.currency != of)
        {
            return wrong("account", format!("{entry:?} after {before:?}"));
        }
        let was = before.as_ref().map_or(0, |(_, b)| b.balance_minor);
        if was.checked_add(entry.amount.minor) != Some(entry.balance_minor) {
            return wrong("balance", format!("{entry:?} after {was}"));
        }
        if entry.balance_minor < 0 {
            return wrong("floor", format!("{id} holds {}", entry.balance_minor));
        }
        let (status, sign) = match entry.kind {
            EntryKind::Opened => (AccountStatus::Open, entry.amount.minor >= 0),
            EntryKind::Funded | EntryKind::Credit => (AccountStatus::Open, entry.amount.minor > 0),
            EntryKind::Debit => (AccountStatus::Open, entry.amount.minor < 0),
            EntryKind::Reverse => {
                (before.as_ref().map_or(AccountStatus::Open, |(_, b)| b.status), entry.amount.minor > 0)
            }
            EntryKind::Frozen => (AccountStatus::Frozen, entry.amount.minor == 0),
            EntryKind::Unfrozen => (AccountStatus::Open, entry.amount.minor == 0),
            EntryKind::Closed => (AccountStatus::Closed, entry.amount.minor == 0 && was == 0),
            EntryKind::Limits => return wrong("entry", format!("nobody asked for limits: {entry:?}")),
        };
        if entry.status != status || !sign {
            return wrong("entry", format!("{entry:?} after {before:?}"));
        }
        self.by_id.insert(id.to_owned(), (partition, entry.state()));
        self.sum(entry, was, body)
    }

    /// Every cent is somewhere: in an account, or between a debit and its credit.
    fn sum(&mut self, entry: &LedgerEntry, was: i64, body: &Body) -> Checked {
        let currency = name(entry.amount.currency.as_str());
        *self.held.entry(currency).or_default() += i128::from(entry.balance_minor) - i128::from(was);
        let asked = match body {
            Body::Payment { amount, .. } | Body::Fund { amount, .. } => *amount,
            Body::Open { funding, .. } => *funding,
            Body::Change { .. } | Body::Decide { .. } => 0,
        };
        match entry.kind {
            EntryKind::Opened | EntryKind::Funded => {
                *self.funded.entry(currency).or_default() += i128::from(asked);
            }
            EntryKind::Debit => *self.flying.entry(currency).or_default() += i128::from(asked),
            EntryKind::Credit | EntryKind::Reverse => {
                *self.flying.entry(currency).or_default() -= i128::from(asked);
            }
            EntryKind::Frozen | EntryKind::Unfrozen | EntryKind::Closed | EntryKind::Limits => {}
        }
        let of = |sums: &BTreeMap<&str, i128>| sums.get(currency).copied().unwrap_or(0);
        let (held, flying, funded) = (of(&self.held), of(&self.flying), of(&self.funded));
        if held + flying != funded {
            return wrong("sum", format!("{currency}: {held} held, {flying} on the way, {funded} funded"));
        }
        Ok(())
    }

    /// What is between two accounts.
    pub(super) fn flying(&self) -> i128 {
        self.flying.values().sum()
    }

    /// Why the account can take no part, if so.
    pub(super) fn refuses(&self, account: &str, currency: Option<&str>) -> Option<Reason> {
        let Some(account) = self.get(account) else { return Some(Reason::UnknownAccount) };
        match account.status {
            AccountStatus::Closed => return Some(Reason::AccountClosed),
            AccountStatus::Frozen => return Some(Reason::AccountFrozen),
            AccountStatus::Open => {}
        }
        currency.filter(|c| *c != account.currency.as_str()).map(|_| Reason::CurrencyMismatch)
    }

    /// Why a debit or an account command is rejected, if so.
    pub(super) fn rejects(&self, body: &Body) -> Option<Reason> {
        match body {
            Body::Payment { from, amount, currency, .. } => {
                let short = || self.get(from).is_none_or(|a| a.balance_minor < *amount);
                self.refuses(from, Some(currency)).or_else(|| short().then_some(Reason::InsufficientFunds))
            }
            Body::Open { account, .. } => self.get(account).map(|_| Reason::AccountExists),
            Body::Fund { account, currency, .. } => self.refuses(account, *currency),
            // Whether the payment is held is not for the account to say.
            Body::Decide { .. } => None,
            Body::Change { account, change } => {
                let Some(account) = self.get(account) else { return Some(Reason::UnknownAccount) };
                match (account.status, change) {
                    (AccountStatus::Closed, _) => Some(Reason::AccountClosed),
                    (AccountStatus::Frozen, StatusChange::Unfreeze) => None,
                    (AccountStatus::Frozen, _) => Some(Reason::AccountFrozen),
                    (AccountStatus::Open, StatusChange::Unfreeze) => Some(Reason::AccountNotFrozen),
                    (AccountStatus::Open, StatusChange::Close) if account.balance_minor != 0 => {
                        Some(Reason::BalanceNotZero)
                    }
                    (AccountStatus::Open, _) => None,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kpay_domain::account::Outflow;
    use kpay_domain::{AccountId, Currency, Money, PaymentId};

    use super::*;

    fn entry(kind: EntryKind, minor: i64, balance_minor: i64, version: u64) -> LedgerEntry {
        LedgerEntry {
            account: AccountId::new("a0").unwrap(),
            kind,
            id: PaymentId::new("p0").unwrap(),
            counterparty: None,
            amount: Money::new(minor, Currency::new("USD").unwrap()),
            balance_minor,
            version,
            status: AccountStatus::Open,
            at_ms: 0,
            outflow: Outflow::NONE,
            limits: None,
        }
    }

    fn opened() -> Accounts {
        let mut accounts = Accounts::default();
        let body = Body::Open { account: "a0".into(), currency: None, funding: 10 };
        accounts.apply(0, &entry(EntryKind::Opened, 10, 10, 1), &body).unwrap();
        accounts
    }

    fn paid(amount: i64) -> Body {
        Body::Payment { from: "a0".into(), to: "a1".into(), amount, currency: "USD", reference: None }
    }

    /// Which check finds the entry wrong, after an opening with 10.
    fn found(partition: i32, entry: &LedgerEntry, body: &Body) -> Option<&'static str> {
        opened().apply(partition, entry, body).err().map(|violation| violation.checker)
    }

    #[test]
    fn each_rule_of_an_account_finds_its_mistake() {
        let debit = |minor, balance, version| entry(EntryKind::Debit, minor, balance, version);
        assert_eq!(found(0, &debit(-4, 6, 2), &paid(4)), None);
        assert_eq!(found(0, &debit(-4, 6, 3), &paid(4)), Some("version"));
        assert_eq!(found(0, &debit(-4, 7, 2), &paid(4)), Some("balance"));
        assert_eq!(found(0, &debit(-11, -1, 2), &paid(11)), Some("floor"));
        assert_eq!(found(0, &debit(4, 14, 2), &paid(4)), Some("entry"));
        assert_eq!(found(1, &debit(-4, 6, 2), &paid(4)), Some("account"));
        assert_eq!(found(0, &entry(EntryKind::Opened, 4, 14, 2), &paid(4)), Some("account"));
        assert_eq!(found(0, &debit(-4, 6, 2), &paid(5)), Some("sum"), "a cent is lost on the way");
    }
}
