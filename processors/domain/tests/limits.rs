//! Limits, overdraft, refunds and holds over any sequence of payments of one account.

mod common;

use common::{any_limits, currency, payment, payment_id};
use kpay_domain::{
    Account, AccountLimits, Command, Limits, Outcome, Payment, Policy, Refund, RuleAction, RuleSource, Rules,
    Status,
    account::{self, Decision, HeldChange, Known, Next},
};
use proptest::{collection::vec, option, prelude::*};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn any_pipeline_limits() -> impl Strategy<Value = Limits> {
    let minor = || option::of(0_i64..20_000);
    (minor(), option::of(0_u32..5), minor(), 0_i64..5_000).prop_map(
        |(daily_outflow_minor, daily_count, lowest_balance_minor, overdraft_minor)| Limits {
            daily_outflow_minor,
            daily_count,
            lowest_balance_minor,
            overdraft_minor,
            ..Limits::default()
        },
    )
}

fn policy(limits: Limits) -> Policy {
    Policy { limits, ..Policy::new(currency("USD")) }
}

fn account(balance_minor: i64, own: Option<AccountLimits>) -> Account {
    Account { balance_minor, version: 1, limits: own.map(Box::new), ..Account::empty(currency("USD")) }
}

fn debit(account: &Account, minor: i64, policy: &Policy, at_ms: i64) -> Decision {
    let known = Known { account: Some(account), ..Known::default() };
    account::decide(known, Command::Debit { payment: payment(minor), accepted_at_ms: at_ms }, policy, at_ms)
}

/// Pays at these times, the steps between them in hours: what was paid when, and the account after each.
fn pay(mut account: Account, payments: &[(i64, i64)], policy: &Policy) -> (Vec<(i64, i64)>, Vec<Account>) {
    let (mut paid, mut states, mut at_ms) = (Vec::new(), Vec::new(), 0);
    for (minor, hours) in payments {
        at_ms += hours * HOUR_MS;
        if let Some(entry) = debit(&account, *minor, policy, at_ms).entry {
            paid.push((at_ms.div_euclid(DAY_MS), *minor));
            account = entry.state();
        }
        states.push(account.clone());
    }
    (paid, states)
}

fn any_payments() -> impl Strategy<Value = Vec<(i64, i64)>> {
    vec((1_i64..6_000, 0_i64..20), 1..40)
}

fn of_day(paid: &[(i64, i64)], day: i64) -> Vec<i64> {
    paid.iter().filter(|(on, _)| *on == day).map(|(_, minor)| *minor).collect()
}

proptest! {
    #[test]
    fn no_day_pays_more_than_the_outflow_limit(
        limits in any_pipeline_limits(), own in option::of(any_limits()), payments in any_payments()
    ) {
        let most = own.and_then(|own| own.daily_outflow_minor).or(limits.daily_outflow_minor);
        let (paid, _) = pay(account(50_000, own), &payments, &policy(limits));
        for (day, _) in &paid {
            prop_assert!(most.is_none_or(|most| of_day(&paid, *day).iter().sum::<i64>() <= most));
        }
    }

    #[test]
    fn no_day_has_more_payments_than_the_limit(
        limits in any_pipeline_limits(), own in option::of(any_limits()), payments in any_payments()
    ) {
        let most = own.and_then(|own| own.daily_count).or(limits.daily_count);
        let (paid, _) = pay(account(50_000, own), &payments, &policy(limits));
        for (day, _) in &paid {
            let count = u32::try_from(of_day(&paid, *day).len()).unwrap();
            prop_assert!(most.is_none_or(|most| count <= most));
        }
    }

    #[test]
    fn no_balance_is_below_the_overdraft_or_what_has_to_be_left(
        limits in any_pipeline_limits(), own in option::of(any_limits()), payments in any_payments()
    ) {
        let overdraft = own.and_then(|own| own.overdraft_minor).unwrap_or(limits.overdraft_minor);
        let lowest = own.and_then(|own| own.lowest_balance_minor).or(limits.lowest_balance_minor);
        let start = account(20_000, own);
        let (_, states) = pay(start.clone(), &payments, &policy(limits));
        for state in states.iter().filter(|state| state.version > start.version) {
            prop_assert!(state.balance_minor >= -overdraft);
            prop_assert!(lowest.is_none_or(|lowest| state.balance_minor >= lowest));
        }
    }

    #[test]
    fn limits_of_its_own_that_say_what_the_pipeline_says_change_nothing(
        limits in any_pipeline_limits(), payments in any_payments()
    ) {
        let own = AccountLimits {
            overdraft_minor: Some(limits.overdraft_minor),
            daily_outflow_minor: limits.daily_outflow_minor,
            daily_count: limits.daily_count,
            lowest_balance_minor: limits.lowest_balance_minor,
        };
        let by = |own| pay(account(20_000, own), &payments, &policy(limits)).0;
        prop_assert_eq!(by(Some(own)), by(None));
    }

    #[test]
    fn a_wider_limit_lets_the_first_refused_payment_pass_or_refuses_it_for_another_reason(
        limits in any_pipeline_limits(), minor in 1_i64..6_000
    ) {
        let (tight, wide) = (policy(limits), policy(Limits { daily_outflow_minor: None, ..limits }));
        let reason = |policy| match debit(&account(5_000, None), minor, policy, 0).next {
            Next::Outcome(Outcome { status: Status::Rejected(reason), .. }) => reason.detail().map(str::to_owned),
            _ => None,
        };
        prop_assert!(reason(&wide).as_deref() != Some("daily_outflow"));
        if reason(&tight).is_none() {
            prop_assert_eq!(reason(&wide), None);
        }
    }

    #[test]
    fn refunds_together_are_never_more_than_the_payment(
        of_minor in 1_i64..10_000, refunds in vec(1_i64..6_000, 1..20)
    ) {
        let (mut refunded_minor, mut given) = (0, 0);
        let account = account(100_000, None);
        for minor in refunds {
            let refund = Refund { of: payment_id("p-0"), amount_minor: of_minor };
            let payment = Payment { refund: Some(Box::new(refund)), ..payment(minor) };
            let known = Known { account: Some(&account), refunded_minor, ..Known::default() };
            let command = Command::Debit { payment, accepted_at_ms: 1 };
            let decision = account::decide(known, command, &policy(Limits::default()), 1);
            if let Some(entry) = decision.entry {
                given -= entry.amount.minor;
                refunded_minor = decision.refunded_minor.unwrap();
            }
            prop_assert_eq!(given, refunded_minor);
            prop_assert!(given <= of_minor);
        }
    }

    #[test]
    fn a_hold_changes_no_account_and_remembers_the_payment_as_it_came(minor in 1_i64..20_000, at_ms in 0..DAY_MS) {
        let rule = RuleSource {
            name: "all".to_owned(),
            when: "payment.amount > 0".to_owned(),
            action: RuleAction::Hold,
            message: None,
        };
        let policy = Policy { rules: Rules::compile(&[rule]).unwrap(), ..Policy::new(currency("USD")) };
        let decision = debit(&account(20_000, None), minor, &policy, at_ms);
        prop_assert_eq!(decision.entry, None);
        let Some(HeldChange::Hold(held)) = decision.held else { panic!("it is held") };
        prop_assert_eq!(held.payment, payment(minor));
        prop_assert_eq!(held.hold.expires_at_ms, at_ms + policy.hold_expiry_ms);
    }
}
