mod held;
mod limits;

use super::{Account, AccountStatus, BALANCE_MAX, Decision, Known, Next, Outflow};
use crate::{
    AccountCommand, AccountId, Action, Attributes, Command, Currency, EntryKind, Intake, Money, Outcome,
    Payment, PaymentId, Policy, Reason, Status, StatusChange, Trail,
};

fn currency(text: &str) -> Currency {
    Currency::new(text).unwrap()
}

fn account(balance_minor: i64, code: &str, status: AccountStatus) -> Account {
    Account { balance_minor, status, version: 4, ..Account::empty(currency(code)) }
}

fn usd(balance_minor: i64) -> Account {
    account(balance_minor, "USD", AccountStatus::Open)
}

fn payment(minor: i64) -> Payment {
    Payment {
        id: PaymentId::new("p-1").unwrap(),
        from: AccountId::new("alice").unwrap(),
        to: AccountId::new("bob").unwrap(),
        amount: Money::new(minor, currency("USD")),
        reference: None,
        attributes: Attributes::default(),
        occurred_at_ms: None,
        refund: None,
    }
}

/// By a policy without limits and rules.
fn decide(account: Option<&Account>, command: Command, at_ms: i64) -> Decision {
    let known = Known { account, ..Known::default() };
    super::decide(known, command, &Policy::new(currency("USD")), at_ms)
}

fn trail() -> Trail {
    Trail { accepted_at_ms: 1, debited_at_ms: 2, hold: None }
}

fn debit(minor: i64) -> Command {
    Command::Debit { payment: payment(minor), accepted_at_ms: 1 }
}

fn credit(minor: i64) -> Command {
    Command::Credit { payment: payment(minor), trail: trail(), serial: false }
}

fn reverse(minor: i64) -> Command {
    let reason = Reason::UnknownAccount;
    Command::Reverse { payment: payment(minor), trail: trail(), reason }
}

fn administer(action: Action) -> Command {
    let command = AccountCommand {
        id: PaymentId::new("c-1").unwrap(),
        account: AccountId::new("alice").unwrap(),
        action,
        occurred_at_ms: None,
    };
    Command::Account { command, accepted_at_ms: 1 }
}

fn open(funding_minor: i64) -> Command {
    administer(Action::Open { currency: Some(currency("USD")), funding_minor })
}

fn fund(amount_minor: i64, code: Option<&str>) -> Command {
    administer(Action::Fund { amount_minor, currency: code.map(currency) })
}

/// The reason of a rejection, which must not change the account.
fn rejection(decision: Decision) -> Option<Reason> {
    match (decision.entry, decision.next) {
        (None, Next::Outcome(Outcome { status: Status::Rejected(reason), .. })) => Some(reason),
        _ => None,
    }
}

#[test]
fn a_debit_takes_the_money_and_sends_the_credit() {
    let Decision { entry, next, .. } = decide(Some(&usd(100)), debit(30), 9);
    let entry = entry.unwrap();
    assert_eq!(
        (entry.kind, entry.amount.minor, entry.balance_minor, entry.version),
        (EntryKind::Debit, -30, 70, 5)
    );
    assert_eq!((entry.account.as_str(), entry.counterparty.as_ref().unwrap().as_str()), ("alice", "bob"));
    let outflow = Outflow { day: 0, minor: 30, count: 1 };
    assert_eq!(entry.state(), Account { version: 5, outflow, ..usd(70) });
    let Next::Command(credit) = next else { panic!("a credit follows") };
    assert_eq!(credit.account_id().as_str(), "bob");
    assert_eq!(
        credit,
        Command::Credit { payment: payment(30), trail: Trail { debited_at_ms: 9, ..trail() }, serial: false }
    );
}

#[test]
fn a_debit_may_empty_the_account_and_no_more() {
    assert_eq!(decide(Some(&usd(30)), debit(30), 9).entry.unwrap().balance_minor, 0);
    assert_eq!(rejection(decide(Some(&usd(29)), debit(30), 9)), Some(Reason::InsufficientFunds));
    assert_eq!(rejection(decide(Some(&usd(0)), debit(i64::MAX), 9)), Some(Reason::InsufficientFunds));
}

#[test]
fn a_debit_is_checked_in_the_order() {
    let table = [
        (None, debit(0), Reason::AmountNotPositive),
        (None, debit(i64::MIN), Reason::AmountNotPositive),
        (None, debit(1), Reason::UnknownAccount),
        (Some(account(0, "EUR", AccountStatus::Closed)), debit(1), Reason::AccountClosed),
        (Some(account(0, "EUR", AccountStatus::Frozen)), debit(1), Reason::AccountFrozen),
        (Some(account(0, "EUR", AccountStatus::Open)), debit(1), Reason::CurrencyMismatch),
        (Some(account(0, "USD", AccountStatus::Open)), debit(1), Reason::InsufficientFunds),
    ];
    for (account, command, reason) in table {
        assert_eq!(rejection(decide(account.as_ref(), command, 9)), Some(reason), "{account:?}");
    }
}

#[test]
fn a_credit_confirms_the_payment() {
    let Decision { entry, next, .. } = decide(Some(&usd(100)), credit(30), 9);
    let entry = entry.unwrap();
    assert_eq!((entry.kind, entry.amount.minor, entry.balance_minor), (EntryKind::Credit, 30, 130));
    assert_eq!((entry.account.as_str(), entry.counterparty.as_ref().unwrap().as_str()), ("bob", "alice"));
    let Next::Outcome(outcome) = next else { panic!("the payment ends") };
    assert_eq!(outcome.status, Status::Confirmed);
    assert_eq!((outcome.accepted_at_ms, outcome.completed_at_ms), (1, 9));
    assert_eq!((outcome.debited_at_ms, outcome.credited_at_ms), (Some(2), Some(9)));
}

#[test]
fn a_credit_that_cannot_be_made_sends_the_money_back() {
    let table = [
        (None, Reason::UnknownAccount),
        (Some(account(BALANCE_MAX, "EUR", AccountStatus::Closed)), Reason::AccountClosed),
        (Some(account(BALANCE_MAX, "EUR", AccountStatus::Frozen)), Reason::AccountFrozen),
        (Some(account(BALANCE_MAX, "EUR", AccountStatus::Open)), Reason::CurrencyMismatch),
        (Some(account(BALANCE_MAX, "USD", AccountStatus::Open)), Reason::BalanceOverflow),
    ];
    for (account, reason) in table {
        let Decision { entry, next, .. } = decide(account.as_ref(), credit(1), 9);
        assert_eq!(entry, None);
        let Next::Command(reverse) = next else { panic!("a reverse follows") };
        assert_eq!(reverse.account_id().as_str(), "alice");
        let expected = Command::Reverse { payment: payment(1), trail: trail(), reason: reason.clone() };
        assert_eq!(reverse, expected, "{reason}");
    }
    assert_eq!(decide(Some(&usd(BALANCE_MAX - 1)), credit(1), 9).entry.unwrap().balance_minor, BALANCE_MAX);
}

#[test]
fn a_reverse_reaches_the_payer_whatever_became_of_the_account() {
    for status in [AccountStatus::Open, AccountStatus::Frozen, AccountStatus::Closed] {
        let Decision { entry, next, .. } = decide(Some(&account(BALANCE_MAX, "USD", status)), reverse(30), 9);
        let entry = entry.unwrap();
        assert_eq!((entry.kind, entry.amount.minor), (EntryKind::Reverse, 30));
        assert_eq!((entry.balance_minor, entry.status), (BALANCE_MAX + 30, status));
        assert_eq!(entry.account.as_str(), "alice");
        let Next::Outcome(outcome) = next else { panic!("the payment ends") };
        assert_eq!(outcome.status, Status::Reversed(Reason::UnknownAccount));
        assert_eq!((outcome.debited_at_ms, outcome.credited_at_ms), (Some(2), None));
    }
}

#[test]
fn an_opening_is_one_entry_with_its_funding() {
    for funding_minor in [0, 500, BALANCE_MAX] {
        let Decision { entry, next, .. } = decide(None, open(funding_minor), 9);
        let entry = entry.unwrap();
        assert_eq!(
            (entry.kind, entry.amount.minor, entry.counterparty.clone()),
            (EntryKind::Opened, funding_minor, None)
        );
        assert_eq!(entry.state(), Account { version: 1, ..usd(funding_minor) });
        let Next::Outcome(outcome) = next else { panic!("the command ends") };
        assert_eq!(outcome.status, Status::Confirmed);
        assert!(matches!(outcome.subject, Intake::Account(_)));
    }
}

#[test]
fn an_opening_is_checked_in_the_order() {
    let without = |funding_minor| administer(Action::Open { currency: None, funding_minor });
    let closed = account(0, "USD", AccountStatus::Closed);
    let table = [
        (Some(usd(0)), open(-1), Reason::AmountNotPositive),
        (Some(usd(0)), without(i64::MAX), Reason::AccountExists),
        (Some(closed), open(0), Reason::AccountExists),
        (None, without(i64::MAX), Reason::CurrencyUnknown),
        (None, open(BALANCE_MAX + 1), Reason::BalanceOverflow),
    ];
    for (account, command, reason) in table {
        assert_eq!(rejection(decide(account.as_ref(), command, 9)), Some(reason), "{account:?}");
    }
}

#[test]
fn a_funding_adds_in_the_accounts_currency() {
    for code in [None, Some("USD")] {
        let entry = decide(Some(&usd(1)), fund(5, code), 9).entry.unwrap();
        assert_eq!(
            (entry.kind, entry.amount, entry.balance_minor),
            (EntryKind::Funded, Money::new(5, currency("USD")), 6)
        );
    }
}

#[test]
fn a_funding_is_checked_in_the_order() {
    let table = [
        (None, fund(0, None), Reason::AmountNotPositive),
        (None, fund(1, None), Reason::UnknownAccount),
        (
            Some(account(BALANCE_MAX, "USD", AccountStatus::Closed)),
            fund(1, Some("EUR")),
            Reason::AccountClosed,
        ),
        (
            Some(account(BALANCE_MAX, "USD", AccountStatus::Frozen)),
            fund(1, Some("EUR")),
            Reason::AccountFrozen,
        ),
        (Some(usd(BALANCE_MAX)), fund(1, Some("EUR")), Reason::CurrencyMismatch),
        (Some(usd(BALANCE_MAX)), fund(1, None), Reason::BalanceOverflow),
        (Some(usd(1)), fund(i64::MAX, None), Reason::BalanceOverflow),
    ];
    for (account, command, reason) in table {
        assert_eq!(rejection(decide(account.as_ref(), command, 9)), Some(reason), "{account:?}");
    }
}

#[test]
fn a_change_of_status_is_an_entry_that_moves_nothing() {
    let table = [
        (AccountStatus::Open, StatusChange::Freeze, EntryKind::Frozen, AccountStatus::Frozen),
        (AccountStatus::Frozen, StatusChange::Unfreeze, EntryKind::Unfrozen, AccountStatus::Open),
        (AccountStatus::Open, StatusChange::Close, EntryKind::Closed, AccountStatus::Closed),
    ];
    for (before, change, kind, after) in table {
        let balance_minor = if change == StatusChange::Close { 0 } else { 70 };
        let before = account(balance_minor, "EUR", before);
        let Decision { entry, next, .. } = decide(Some(&before), administer(Action::Change(change)), 9);
        let entry = entry.unwrap();
        assert_eq!((entry.kind, entry.amount.minor), (kind, 0));
        assert_eq!(entry.state(), Account { version: 5, ..account(balance_minor, "EUR", after) });
        let Next::Outcome(outcome) = next else { panic!("the command ends") };
        assert_eq!(outcome.status, Status::Confirmed);
    }
}

#[test]
fn a_change_of_status_is_checked_in_the_order() {
    let of = |status| Some(account(1, "USD", status));
    let (open, frozen, closed) = (AccountStatus::Open, AccountStatus::Frozen, AccountStatus::Closed);
    let table = [
        (None, StatusChange::Freeze, Reason::UnknownAccount),
        (of(closed), StatusChange::Freeze, Reason::AccountClosed),
        (of(frozen), StatusChange::Freeze, Reason::AccountFrozen),
        (None, StatusChange::Unfreeze, Reason::UnknownAccount),
        (of(closed), StatusChange::Unfreeze, Reason::AccountClosed),
        (of(open), StatusChange::Unfreeze, Reason::AccountNotFrozen),
        (None, StatusChange::Close, Reason::UnknownAccount),
        (of(closed), StatusChange::Close, Reason::AccountClosed),
        (of(frozen), StatusChange::Close, Reason::AccountFrozen),
        (of(open), StatusChange::Close, Reason::BalanceNotZero),
    ];
    for (account, change, reason) in table {
        let decision = decide(account.as_ref(), administer(Action::Change(change)), 9);
        assert_eq!(rejection(decision), Some(reason), "{account:?} {change:?}");
    }
}
