//! What the tests of this crate draw from.
#![allow(dead_code, reason = "each test binary uses its part")]

use kpay_domain::{
    Account, AccountCommand, AccountId, AccountStatus, Action, Attributes, Command, Currency, EntryKind,
    Intake, LedgerEntry, Money, Outcome, Payment, PaymentId, Reason, Reference, Status, StatusChange,
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
    }
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
    )
        .prop_map(|(id, from, to, amount, reference, attributes, occurred_at_ms)| Payment {
            id,
            from,
            to,
            amount,
            reference,
            attributes,
            occurred_at_ms,
        })
}

pub(crate) fn any_account_command() -> impl Strategy<Value = AccountCommand> {
    let action = prop_oneof![
        (option::of(any_currency()), any_minor())
            .prop_map(|(currency, funding_minor)| Action::Open { currency, funding_minor }),
        (option::of(any_currency()), any_minor())
            .prop_map(|(currency, amount_minor)| Action::Fund { amount_minor, currency }),
        any_change().prop_map(Action::Change),
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
        1 => "[a-z_]{1,40}".prop_map(|code| Reason::from_code(&code)),
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
        (payment(), any::<i64>(), any::<i64>()).prop_map(|(payment, accepted_at_ms, debited_at_ms)| {
            Command::Credit { payment, accepted_at_ms, debited_at_ms }
        }),
        (payment(), any::<i64>(), any::<i64>(), any_reason()).prop_map(
            |(payment, accepted_at_ms, debited_at_ms, reason)| Command::Reverse {
                payment,
                accepted_at_ms,
                debited_at_ms,
                reason
            }
        ),
        (any_account_command(), any::<i64>())
            .prop_map(|(command, accepted_at_ms)| Command::Account { command, accepted_at_ms }),
    ]
}

pub(crate) fn any_outcome() -> impl Strategy<Value = Outcome> {
    let status = prop_oneof![
        Just(Status::Confirmed),
        any_reason().prop_map(Status::Rejected),
        any_reason().prop_map(Status::Reversed),
    ];
    (any_intake(), status, 0_i64..4_102_444_800_000, any_time(), any_time(), 0_i64..4_102_444_800_000)
        .prop_map(|(subject, status, accepted_at_ms, debited_at_ms, credited_at_ms, completed_at_ms)| {
            Outcome { subject, status, accepted_at_ms, debited_at_ms, credited_at_ms, completed_at_ms }
        })
}

pub(crate) fn any_account_status() -> impl Strategy<Value = AccountStatus> {
    prop_oneof![4 => Just(AccountStatus::Open), 1 => Just(AccountStatus::Frozen), 1 => Just(AccountStatus::Closed)]
}

pub(crate) fn any_account() -> impl Strategy<Value = Account> {
    let balance = prop_oneof![3 => 0_i64..20_000, 1 => 0..=i64::MAX, 1 => Just(i64::MAX)];
    (any_currency(), balance, any_account_status(), any::<u64>()).prop_map(
        |(currency, balance_minor, status, version)| Account { currency, balance_minor, status, version },
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
        })
}
