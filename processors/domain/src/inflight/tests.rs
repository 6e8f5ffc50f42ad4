use super::{Admission, check, decide};
use crate::policy::Policy;
use crate::{
    AccountCommand, AccountId, Action, Attributes, Command, Currency, Intake, Money, Payment, PaymentId,
    Reason, Status,
};

fn currency(text: &str) -> Currency {
    Currency::new(text).unwrap()
}

fn payment(from: &str, to: &str, minor: i64, code: &str) -> Intake {
    Intake::Payment(Payment {
        id: PaymentId::new("p-1").unwrap(),
        from: AccountId::new(from).unwrap(),
        to: AccountId::new(to).unwrap(),
        amount: Money::new(minor, currency(code)),
        reference: None,
        attributes: Attributes::default(),
        occurred_at_ms: None,
        refund: None,
    })
}

fn command(action: Action) -> Intake {
    Intake::Account(AccountCommand {
        id: PaymentId::new("c-1").unwrap(),
        account: AccountId::new("alice").unwrap(),
        action,
        occurred_at_ms: None,
    })
}

fn open(code: Option<&str>, funding_minor: i64) -> Intake {
    command(Action::Open { currency: code.map(currency), funding_minor })
}

fn fund(amount_minor: i64, code: Option<&str>) -> Intake {
    command(Action::Fund { amount_minor, currency: code.map(currency) })
}

const USD: &str = "USD";
const UNLISTED: &str = "ZZZ";

#[test]
fn the_first_broken_rule_in_the_order_is_the_reason() {
    let table = [
        (payment("a", "b", 1, USD), None),
        (payment("a", "b", i64::MAX, USD), None),
        (payment("a", "b", 0, USD), Some(Reason::AmountNotPositive)),
        (payment("a", "b", -1, USD), Some(Reason::AmountNotPositive)),
        (payment("a", "b", i64::MIN, USD), Some(Reason::AmountNotPositive)),
        (payment("a", "b", 1, UNLISTED), Some(Reason::CurrencyUnknown)),
        (payment("a", "a", 1, USD), Some(Reason::SameAccount)),
        (payment("a", "a", 0, UNLISTED), Some(Reason::AmountNotPositive)),
        (payment("a", "b", 0, UNLISTED), Some(Reason::AmountNotPositive)),
        (payment("a", "a", 0, USD), Some(Reason::AmountNotPositive)),
        (payment("a", "a", 1, UNLISTED), Some(Reason::CurrencyUnknown)),
        (open(None, 0), None),
        (open(Some(USD), 5), None),
        (open(None, -1), Some(Reason::AmountNotPositive)),
        (open(Some(UNLISTED), 0), Some(Reason::CurrencyUnknown)),
        (open(Some(UNLISTED), -1), Some(Reason::AmountNotPositive)),
        (fund(1, None), None),
        (fund(0, None), Some(Reason::AmountNotPositive)),
        (fund(-1, Some(USD)), Some(Reason::AmountNotPositive)),
        (fund(1, Some(UNLISTED)), Some(Reason::CurrencyUnknown)),
    ];
    for (intake, reason) in table {
        assert_eq!(check(&intake).err(), reason, "{intake:?}");
        match decide(intake.clone(), &Policy::new(currency(USD)), 7) {
            Admission::Accept(command) => assert_eq!((command.id(), reason), (intake.id(), None)),
            Admission::Reject(outcome) => {
                assert_eq!(outcome.status.reason(), reason.as_ref());
                assert_eq!(outcome.status.as_str(), "rejected");
                assert_eq!(outcome.subject, intake);
                assert_eq!((outcome.accepted_at_ms, outcome.completed_at_ms), (7, 7));
            }
        }
    }
}

#[test]
fn a_payment_begins_with_the_debit_of_its_payer() {
    let Admission::Accept(command) =
        decide(payment("alice", "bob", 5, USD), &Policy::new(currency("EUR")), 7)
    else {
        panic!("a good payment is accepted")
    };
    assert_eq!(command.account_id().as_str(), "alice");
    assert!(matches!(command, Command::Debit { accepted_at_ms: 7, .. }));
}

#[test]
fn an_account_without_a_currency_gets_the_pipelines() {
    let policy = Policy::new(currency("EUR"));
    for (asked, given) in [(None, "EUR"), (Some(USD), USD)] {
        let Admission::Accept(Command::Account { command, .. }) = decide(open(asked, 0), &policy, 7) else {
            panic!("an opening is accepted")
        };
        assert_eq!(command.action, Action::Open { currency: Some(currency(given)), funding_minor: 0 });
    }
}

#[test]
fn a_rejection_is_no_confirmation() {
    let Admission::Reject(outcome) = decide(payment("a", "a", 5, USD), &Policy::new(currency(USD)), 7) else {
        panic!("a payment to oneself is rejected")
    };
    assert_eq!(outcome.status, Status::Rejected(Reason::SameAccount));
    assert_eq!((outcome.debited_at_ms, outcome.credited_at_ms), (None, None));
}
