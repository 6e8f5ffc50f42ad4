//! Each account's chain of entries, and the sums over all of them.

use std::collections::BTreeMap;

use kpay_domain::{
    Account, AccountLimits, AccountStatus, EntryKind, LedgerEntry, LimitName, Outflow, Reason, StatusChange,
};

use super::{Checked, wrong};
use crate::request::Body;
use crate::topology::{DAY_MS, Terms};

/// The accounts as the ledger tells them.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    terms: Terms,
    by_id: BTreeMap<String, (i32, Account)>,
    /// By payment: the day of its debit.
    debited: BTreeMap<String, u32>,
    /// What was given back, by the account that gives it and the payment.
    refunded: BTreeMap<(String, String), i64>,
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

fn day(at_ms: i64) -> u32 {
    u32::try_from(at_ms / DAY_MS).unwrap()
}

impl Accounts {
    pub(super) fn new(terms: Terms) -> Self {
        Self { terms, ..Self::default() }
    }

    fn own(&self, account: &str) -> AccountLimits {
        let own = self.get(account).and_then(|account| account.limits.as_deref()).copied();
        own.unwrap_or_default()
    }

    /// What the account paid on the day of `at_ms`. A day does not come back.
    fn outflow(&self, account: &str, at_ms: i64) -> Outflow {
        let last = self.get(account).map_or(Outflow::NONE, |account| account.outflow);
        if day(at_ms) > last.day { Outflow { day: day(at_ms), minor: 0, count: 0 } } else { last }
    }

    /// What may still be paid on the day of `at_ms`, if that is bounded.
    pub(super) fn room(&self, account: &str, at_ms: i64) -> Option<i64> {
        let most = self.own(account).daily_outflow_minor.or(self.terms.daily_outflow)?;
        Some(most - self.outflow(account, at_ms).minor)
    }

    /// What is against a payment that the account could take part in.
    fn exceeds(&self, from: &str, amount: i64, refund: Option<&(String, i64)>, at_ms: i64) -> Option<Reason> {
        let (own, terms) = (self.own(from), &self.terms);
        if let Some((of, paid)) = refund {
            let already = self.refunded.get(&(from.to_owned(), of.clone())).copied().unwrap_or(0);
            if i128::from(already) + i128::from(amount) > i128::from(*paid) {
                return Some(Reason::RefundExceedsPayment);
            }
        }
        let held = self.get(from).map_or(0, |account| account.balance_minor);
        let left = i128::from(held) - i128::from(amount);
        if left < -i128::from(own.overdraft_minor.unwrap_or(terms.overdraft)) {
            return Some(Reason::InsufficientFunds);
        }
        if refund.is_some() {
            return None;
        }
        if own.lowest_balance_minor.or(terms.lowest).is_some_and(|lowest| left < i128::from(lowest)) {
            return Some(Reason::LimitExceeded(LimitName::LowestBalance));
        }
        if self.room(from, at_ms).is_some_and(|room| amount > room) {
            return Some(Reason::LimitExceeded(LimitName::DailyOutflow));
        }
        let count = self.outflow(from, at_ms).count;
        let full = own.daily_count.or(terms.daily_count).is_some_and(|most| count >= most);
        full.then_some(Reason::LimitExceeded(LimitName::DailyCount))
    }

    /// The outflow and the limits that the entry has to carry; what was given back is counted.
    fn follows(&mut self, entry: &LedgerEntry, body: &Body) -> (Outflow, Option<Box<AccountLimits>>) {
        let (account, id, minor) = (entry.account.as_str(), entry.id.as_str(), entry.amount.minor);
        let mut outflow = self.get(account).map_or(Outflow::NONE, |account| account.outflow);
        let mut limits = self.get(account).and_then(|account| account.limits.clone());
        match (entry.kind, body) {
            (EntryKind::Debit | EntryKind::Reverse, Body::Payment { refund: Some((of, _)), .. }) => {
                *self.refunded.entry((account.to_owned(), of.clone())).or_default() -= minor;
            }
            (EntryKind::Debit, _) => {
                let before = self.outflow(account, entry.at_ms);
                outflow = Outflow { minor: before.minor - minor, count: before.count + 1, ..before };
                self.debited.insert(id.to_owned(), day(entry.at_ms));
            }
            (EntryKind::Reverse, _) if self.debited.get(id) == Some(&outflow.day) => {
                outflow.minor -= minor;
                outflow.count -= 1;
            }
            (EntryKind::Limits, Body::Limits { limits: own, .. }) => {
                limits = (*own != AccountLimits::default()).then(|| Box::new(*own));
            }
            _ => {}
        }
        (outflow, limits)
    }

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
        let floor = self.own(id).overdraft_minor.unwrap_or(self.terms.overdraft);
        if entry.kind == EntryKind::Debit && entry.balance_minor < -floor {
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
            EntryKind::Limits => {
                (before.as_ref().map_or(AccountStatus::Closed, |(_, b)| b.status), entry.amount.minor == 0)
            }
        };
        if entry.status != status || !sign {
            return wrong("entry", format!("{entry:?} after {before:?}"));
        }
        let (outflow, limits) = self.follows(entry, body);
        if entry.outflow != outflow || entry.limits != limits {
            return wrong("outflow", format!("{entry:?}, should be {outflow:?} with {limits:?}"));
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
            Body::Change { .. } | Body::Limits { .. } | Body::Decide { .. } => 0,
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
    pub(super) fn rejects(&self, body: &Body, at_ms: i64) -> Option<Reason> {
        match body {
            Body::Payment { from, amount, currency, refund, .. } => self
                .refuses(from, Some(currency))
                .or_else(|| self.exceeds(from, *amount, refund.as_ref(), at_ms)),
            Body::Limits { account, .. } => match self.get(account).map(|account| account.status) {
                None => Some(Reason::UnknownAccount),
                Some(AccountStatus::Closed) => Some(Reason::AccountClosed),
                Some(_) => None,
            },
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
    use kpay_domain::{AccountId, Currency, Money, PaymentId};

    use super::*;

    fn entry(kind: EntryKind, minor: i64, balance_minor: i64, version: u64) -> LedgerEntry {
        let debit = Outflow { day: 0, minor: -minor, count: 1 };
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
            outflow: if kind == EntryKind::Debit { debit } else { Outflow::NONE },
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
        Body::Payment {
            from: "a0".into(),
            to: "a1".into(),
            amount,
            currency: "USD",
            reference: None,
            refund: None,
        }
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
