//! Limits, overdraft and refunds: exactly at the bound and one beyond.

use super::*;
use crate::{
    AccountLimits, Limits, Refund,
    account::{LimitName, Outflow, decide as decide_by},
};

const DAY_MS: i64 = 86_400_000;

fn limits(change: impl FnOnce(&mut Limits)) -> Policy {
    let mut policy = Policy::new(currency("USD"));
    change(&mut policy.limits);
    policy
}

fn own(change: impl FnOnce(&mut AccountLimits)) -> AccountLimits {
    let mut own = AccountLimits::default();
    change(&mut own);
    own
}

/// The reason of a refusal, or the account afterwards.
fn paid(account: &Account, minor: i64, policy: &Policy, at_ms: i64) -> Result<Account, Reason> {
    let known = Known { account: Some(account), ..Known::default() };
    let decision = decide_by(known, debit(minor), policy, at_ms);
    match decision.next {
        Next::Outcome(Outcome { status: Status::Rejected(reason), .. }) => Err(reason),
        _ => Ok(decision.entry.unwrap().state()),
    }
}

fn exceeded(limit: LimitName) -> Result<Account, Reason> {
    Err(Reason::LimitExceeded(limit))
}

#[test]
fn the_overdraft_is_the_accounts_own_or_the_pipelines() {
    let policy = limits(|l| l.overdraft_minor = 10);
    assert_eq!(paid(&usd(5), 15, &policy, 0).unwrap().balance_minor, -10);
    assert_eq!(paid(&usd(5), 16, &policy, 0), Err(Reason::InsufficientFunds));
    let account = Account { limits: Some(Box::new(own(|l| l.overdraft_minor = Some(0)))), ..usd(5) };
    assert_eq!(paid(&account, 6, &policy, 0), Err(Reason::InsufficientFunds));
}

#[test]
fn the_lowest_balance_is_what_a_payment_has_to_leave() {
    let policy = limits(|l| l.lowest_balance_minor = Some(20));
    assert_eq!(paid(&usd(100), 80, &policy, 0).unwrap().balance_minor, 20);
    assert_eq!(paid(&usd(100), 81, &policy, 0), exceeded(LimitName::LowestBalance));
    assert_eq!(paid(&usd(100), 101, &policy, 0), Err(Reason::InsufficientFunds));
}

#[test]
fn the_daily_limits_count_what_was_paid_on_the_same_day() {
    let policy = limits(|l| (l.daily_outflow_minor, l.daily_count) = (Some(50), Some(2)));
    let once = paid(&usd(1000), 30, &policy, 5).unwrap();
    assert_eq!(once.outflow, Outflow { day: 0, minor: 30, count: 1 });
    assert_eq!(paid(&once, 21, &policy, 6), exceeded(LimitName::DailyOutflow));
    let twice = paid(&once, 20, &policy, DAY_MS - 1).unwrap();
    assert_eq!(paid(&twice, 0, &policy, 7), Err(Reason::AmountNotPositive));
    let none = limits(|l| l.daily_count = Some(2));
    assert_eq!(paid(&twice, 1, &none, 7), exceeded(LimitName::DailyCount));
    let next_day = paid(&twice, 50, &policy, DAY_MS).unwrap();
    assert_eq!(next_day.outflow, Outflow { day: 1, minor: 50, count: 1 });
    // A worker whose clock is behind does not bring yesterday back.
    assert_eq!(paid(&next_day, 1, &policy, DAY_MS - 1), exceeded(LimitName::DailyOutflow));
}

#[test]
fn own_limits_stand_in_for_the_pipelines_one_by_one() {
    let policy = limits(|l| (l.daily_outflow_minor, l.daily_count) = (Some(10), Some(9)));
    let account = Account { limits: Some(Box::new(own(|l| l.daily_outflow_minor = Some(40)))), ..usd(100) };
    let paid_once = paid(&account, 40, &policy, 0).unwrap();
    assert_eq!(paid(&paid_once, 1, &policy, 0), exceeded(LimitName::DailyOutflow));
    assert_eq!(paid_once.limits, account.limits, "a debit keeps them");
    let blocked = Account { limits: Some(Box::new(own(|l| l.daily_count = Some(0)))), ..usd(100) };
    assert_eq!(paid(&blocked, 1, &policy, 0), exceeded(LimitName::DailyCount));
}

#[test]
fn a_reversal_gives_the_days_outflow_back_and_one_of_yesterday_does_not() {
    let policy = limits(|l| l.daily_outflow_minor = Some(50));
    let account = paid(&usd(100), 50, &policy, 5).unwrap();
    let known = Known { account: Some(&account), ..Known::default() };
    let back = decide_by(known, reverse(50), &policy, 6).entry.unwrap().state();
    assert_eq!((back.balance_minor, back.outflow), (100, Outflow { day: 0, minor: 0, count: 0 }));
    let tomorrow = paid(&account, 50, &policy, DAY_MS).unwrap();
    let known = Known { account: Some(&tomorrow), ..Known::default() };
    let back = decide_by(known, reverse(50), &policy, DAY_MS + 1).entry.unwrap().state();
    assert_eq!(back.outflow, Outflow { day: 1, minor: 50, count: 1 });
}

#[test]
fn limits_are_set_as_a_whole_and_taken_away() {
    let set = |account: &Account, limits| {
        decide(Some(account), administer(Action::Limits(Box::new(limits))), 9).entry.unwrap().state()
    };
    let limited = set(&usd(7), AccountLimits { daily_count: Some(3), ..AccountLimits::default() });
    assert_eq!((limited.limits.as_ref().unwrap().daily_count, limited.balance_minor), (Some(3), 7));
    assert_eq!(set(&limited, AccountLimits::default()).limits, None);
    let frozen = account(7, "USD", AccountStatus::Frozen);
    assert_eq!(set(&frozen, AccountLimits::default()).status, AccountStatus::Frozen);
    for (state, reason) in [
        (None, Reason::UnknownAccount),
        (Some(account(0, "USD", AccountStatus::Closed)), Reason::AccountClosed),
    ] {
        let decision = decide(state.as_ref(), administer(Action::Limits(Box::default())), 9);
        let Next::Outcome(outcome) = decision.next else { panic!("no outcome") };
        assert_eq!(outcome.status, Status::Rejected(reason));
    }
}

fn refund(minor: i64, of_minor: i64) -> Payment {
    let refund = Refund { of: PaymentId::new("p-0").unwrap(), amount_minor: of_minor };
    Payment { refund: Some(Box::new(refund)), ..payment(minor) }
}

#[test]
fn refunds_together_are_at_most_the_payment_and_no_limit_looks_at_them() {
    let policy = limits(|l| (l.daily_outflow_minor, l.daily_count) = (Some(0), Some(0)));
    let account = usd(100);
    let by = |refunded_minor, minor| {
        let known = Known { account: Some(&account), refunded_minor, ..Known::default() };
        let command = Command::Debit { payment: refund(minor, 60), accepted_at_ms: 1 };
        let decision = decide_by(known, command, &policy, 9);
        match decision.next {
            Next::Outcome(outcome) => Err(outcome.status),
            _ => Ok((decision.refunded_minor.unwrap(), decision.entry.unwrap().state().outflow)),
        }
    };
    assert_eq!(by(0, 60), Ok((60, Outflow::NONE)));
    assert_eq!(by(20, 40), Ok((60, Outflow::NONE)));
    assert_eq!(by(20, 41), Err(Status::Rejected(Reason::RefundExceedsPayment)));
    assert_eq!(by(i64::MAX, i64::MAX), Err(Status::Rejected(Reason::RefundExceedsPayment)));
}

#[test]
fn a_refund_that_comes_back_can_be_made_again() {
    let account = usd(100);
    let known = Known { account: Some(&account), refunded_minor: 50, ..Known::default() };
    let command = Command::Reverse { payment: refund(30, 60), trail: trail(), reason: Reason::AccountClosed };
    let decision = decide_by(known, command, &Policy::new(currency("USD")), 9);
    assert_eq!((decision.refunded_minor, decision.entry.unwrap().balance_minor), (Some(20), 130));
}

#[test]
fn a_serial_debit_asks_to_be_told_when_the_payee_has_the_money() {
    let policy = limits(|l| l.serial_debits = true);
    let account = usd(100);
    let known = Known { account: Some(&account), ..Known::default() };
    let Next::Command(credit) = decide_by(known, debit(30), &policy, 9).next else { panic!("no credit") };
    assert!(matches!(&credit, Command::Credit { serial: true, .. }));
    let settled = decide(Some(&usd(0)), credit, 10).also;
    let expected = Command::Settled {
        payment: PaymentId::new("p-1").unwrap(),
        account: AccountId::new("alice").unwrap(),
    };
    assert_eq!(settled, Some(Next::Command(expected.clone())));
    assert_eq!(decide(Some(&usd(0)), expected, 11), Decision::of(None, Next::Nothing));
}
