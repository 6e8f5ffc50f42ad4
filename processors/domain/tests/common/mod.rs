//! What the tests of this crate draw from.
#![allow(dead_code, reason = "each test binary uses its part")]

use kpay_domain::{
    Account, AccountCommand, AccountId, AccountLimits, AccountStatus, Action, Attributes, Command, Currency,
    DecideHold, EntryKind, Hold, HoldDecision, HoldVerdict, Intake, LedgerEntry, Money, Outcome, Outflow,
    Payment, PaymentId, Reason, Reference, Refund, RuleName, Status, StatusChange, Trail,
};
use proptest::{collection::btree_map, option, prelude::*};

pub(crate) fn account_id(text: &str) -> AccountId {
    AccountId::new(text).expect("the test's id")
}

pub(crate) fn payment_id(text: &str) -> PaymentId {
    PaymentId::new(text).expect("the test's id")
}

pub(crate) fn currency(text: &str) -> Currency {
    Currency::new(text).expect("the test's currency")
}

/// A payment of `minor` USD from alice to bob.
pub(crate) fn payment(minor: i64) -> Payment {
    Payment {
        id: payment_id("p-1"),
        from: account_id("alice"),
        to: account_id("bob"),
        amount: Money::new(minor, currency("USD")),
        reference: None,
        attributes: Attributes::default(),
        occurred_at_ms: None,
        refund: None,
    }
}

/// What a payment has behind it that was accepted at 1 and debited at 2.
pub(crate) fn trail() -> Trail {
    Trail { accepted_at_ms: 1, debited_at_ms: 2, hold: None }
}

pub(crate) fn any_account_id() -> impl Strategy<Value = AccountId> {
    "[A-Za-z0-9._:-]{1,64}".prop_map(|text| account_id(&text))
}

pub(crate) fn any_payment_id() -> impl Strategy<Value = PaymentId> {
    "[A-Za-z0-9._:-]{1,64}".prop_map(|text| payment_id(&text))
}

pub(crate) fn any_currency() -> impl Strategy<Value = Currency> {
    prop_oneof![Just("USD"), Just("EUR"), Just("JPY"), Just("ZZZ")].prop_map(currency)
}

pub(crate) fn any_minor() -> impl Strategy<Value = i64> {
    prop_oneof![3 => -10_i64..10_000, 1 => any::<i64>(), 1 => Just(i64::MAX), 1 => Just(i64::MIN)]
}

fn any_time() -> impl Strategy<Value = Option<i64>> {
    option::of(1_i64..4_102_444_800_000)
}

fn any_attributes() -> impl Strategy<Value = Attributes> {
    btree_map("\\PC{1,12}", "\\PC{0,40}", 0..=4).prop_map(|pairs| {
        let pairs = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        Attributes::new(pairs).expect("within the bounds")
    })
}

fn any_reference() -> impl Strategy<Value = Option<Reference>> {
    "\\PC{0,60}".prop_map(|text| Reference::new(&text).expect("within the bound"))
}

pub(crate) fn any_payment() -> impl Strategy<Value = Payment> {
    let amount = (any_minor(), any_currency()).prop_map(|(minor, currency)| Money::new(minor, currency));
    (
        any_payment_id(),
        any_account_id(),
        any_account_id(),
        amount,
        any_reference(),
        any_attributes(),
        any_time(),
        any_refund(),
    )
        .prop_map(|(id, from, to, amount, reference, attributes, occurred_at_ms, refund)| Payment {
            id,
            from,
            to,
            amount,
            reference,
            attributes,
            occurred_at_ms,
            refund,
        })
}

fn any_refund() -> impl Strategy<Value = Option<Box<Refund>>> {
    let refund = (any_payment_id(), any_minor());
    prop_oneof![
        4 => Just(None),
        1 => refund.prop_map(|(of, amount_minor)| Some(Box::new(Refund { of, amount_minor }))),
    ]
}

fn any_words(field: &'static str) -> impl Strategy<Value = Reference> {
    "\\PC{1,20}".prop_map(move |text| Reference::of_field(field, &text).expect("short").expect("not empty"))
}

pub(crate) fn any_limits() -> impl Strategy<Value = AccountLimits> {
    let minor = || option::of(prop_oneof![3 => 0_i64..20_000, 1 => Just(i64::MAX)]);
    (minor(), minor(), option::of(0_u32..5), minor()).prop_map(
        |(overdraft_minor, daily_outflow_minor, daily_count, lowest_balance_minor)| AccountLimits {
            overdraft_minor,
            daily_outflow_minor,
            daily_count,
            lowest_balance_minor,
        },
    )
}

pub(crate) fn any_rule() -> impl Strategy<Value = RuleName> {
    "[a-z]{1,8}".prop_map(|name| RuleName::new(&name).expect("small letters"))
}

pub(crate) fn any_verdict() -> impl Strategy<Value = HoldVerdict> {
    proptest::sample::select(HoldVerdict::ALL.to_vec())
}

pub(crate) fn any_hold() -> impl Strategy<Value = Hold> {
    let decided = (any_verdict(), any_words("by"), any_words("why"), any::<i64>())
        .prop_map(|(verdict, by, why, at_ms)| HoldDecision { verdict, by, why, at_ms });
    (any_rule(), any::<i64>(), any::<i64>(), option::of(decided)).prop_map(
        |(rule, held_at_ms, expires_at_ms, decided)| Hold { rule, held_at_ms, expires_at_ms, decided },
    )
}

pub(crate) fn any_trail() -> impl Strategy<Value = Trail> {
    (any::<i64>(), any::<i64>(), option::of(any_hold().prop_map(Box::new)))
        .prop_map(|(accepted_at_ms, debited_at_ms, hold)| Trail { accepted_at_ms, debited_at_ms, hold })
}

pub(crate) fn any_account_command() -> impl Strategy<Value = AccountCommand> {
    let action = prop_oneof![
        (option::of(any_currency()), any_minor())
            .prop_map(|(currency, funding_minor)| Action::Open { currency, funding_minor }),
        (option::of(any_currency()), any_minor())
            .prop_map(|(currency, amount_minor)| Action::Fund { amount_minor, currency }),
        any_change().prop_map(Action::Change),
        any_limits().prop_map(|limits| Action::Limits(Box::new(limits))),
        (any_payment_id(), any_verdict(), any_words("by"), any_words("why")).prop_map(
            |(payment, verdict, by, why)| Action::Decide(Box::new(DecideHold { payment, verdict, by, why }))
        ),
    ];
    (any_payment_id(), any_account_id(), action, any_time()).prop_map(
        |(id, account, action, occurred_at_ms)| AccountCommand { id, account, action, occurred_at_ms },
    )
}

pub(crate) fn any_change() -> impl Strategy<Value = StatusChange> {
    proptest::sample::select(StatusChange::ALL.to_vec())
}

pub(crate) fn any_intake() -> impl Strategy<Value = Intake> {
    prop_oneof![any_payment().prop_map(Intake::Payment), any_account_command().prop_map(Intake::Account)]
}

pub(crate) fn any_reason() -> impl Strategy<Value = Reason> {
    prop_oneof![
        4 => proptest::sample::select(Reason::ALL.to_vec()),
        1 => any_rule().prop_map(Reason::RuleRefused),
        1 => "[a-z_]{1,40}".prop_map(|code| Reason::from_code(&code, "")),
    ]
}

pub(crate) fn any_command() -> impl Strategy<Value = Command> {
    let payment = || {
        any_payment().prop_map(|mut payment| {
            payment.amount.minor = payment.amount.minor.saturating_abs().max(1);
            payment
        })
    };
    prop_oneof![
        (payment(), any::<i64>())
            .prop_map(|(payment, accepted_at_ms)| Command::Debit { payment, accepted_at_ms }),
        (payment(), any_trail(), any::<bool>()).prop_map(|(payment, trail, serial)| Command::Credit {
            payment,
            trail,
            serial
        }),
        // Limits and rules refuse before a debit: their names are not carried along.
        (payment(), any_trail(), any_reason().prop_filter("a code alone", |r| r.detail().is_none()))
            .prop_map(|(payment, trail, reason)| Command::Reverse { payment, trail, reason }),
        (any_payment_id(), any_account_id())
            .prop_map(|(payment, account)| Command::Settled { payment, account }),
        (any_account_command(), any::<i64>())
            .prop_map(|(command, accepted_at_ms)| Command::Account { command, accepted_at_ms }),
    ]
}

pub(crate) fn any_outcome() -> impl Strategy<Value = Outcome> {
    let status = prop_oneof![
        Just(Status::Confirmed),
        any_reason().prop_map(Status::Rejected),
        any_reason().prop_map(Status::Reversed),
        any_rule().prop_map(Status::Held),
    ];
    let hold = option::of(any_hold().prop_map(Box::new));
    (any_intake(), status, 0_i64..4_102_444_800_000, any_time(), any_time(), 0_i64..4_102_444_800_000, hold)
        .prop_map(
            |(subject, status, accepted_at_ms, debited_at_ms, credited_at_ms, completed_at_ms, hold)| {
                Outcome {
                    subject,
                    status,
                    accepted_at_ms,
                    debited_at_ms,
                    credited_at_ms,
                    completed_at_ms,
                    hold,
                }
            },
        )
}

pub(crate) fn any_account_status() -> impl Strategy<Value = AccountStatus> {
    prop_oneof![4 => Just(AccountStatus::Open), 1 => Just(AccountStatus::Frozen), 1 => Just(AccountStatus::Closed)]
}

pub(crate) fn any_account() -> impl Strategy<Value = Account> {
    let balance = prop_oneof![3 => 0_i64..20_000, 1 => 0..=i64::MAX, 1 => Just(i64::MAX)];
    let outflow = (0_u32..20_000, 0_i64..20_000, 0_u32..5).prop_map(|(day, minor, count)| Outflow {
        day,
        minor,
        count,
    });
    let own = option::of(any_limits().prop_map(Box::new));
    (any_currency(), balance, any_account_status(), any::<u64>(), outflow, own).prop_map(
        |(currency, balance_minor, status, version, outflow, limits)| Account {
            currency,
            balance_minor,
            status,
            version,
            outflow,
            limits,
        },
    )
}

pub(crate) fn any_entry() -> impl Strategy<Value = LedgerEntry> {
    let kinds = [
        EntryKind::Opened,
        EntryKind::Funded,
        EntryKind::Debit,
        EntryKind::Credit,
        EntryKind::Reverse,
        EntryKind::Frozen,
        EntryKind::Unfrozen,
        EntryKind::Closed,
        EntryKind::Limits,
    ];
    (
        any_account_id(),
        proptest::sample::select(kinds.to_vec()),
        any_payment_id(),
        option::of(any_account_id()),
        any_minor(),
        any_account(),
        any::<i64>(),
    )
        .prop_map(|(account, kind, id, counterparty, minor, state, at_ms)| LedgerEntry {
            account,
            kind,
            id,
            counterparty,
            amount: Money::new(minor, state.currency),
            balance_minor: state.balance_minor,
            version: state.version,
            status: state.status,
            at_ms,
            outflow: state.outflow,
            limits: state.limits,
        })
}
