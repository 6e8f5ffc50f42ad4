//! Yesterday's bytes: what an earlier release wrote is read, and written the same. A line here is never changed; a
//! new form of a message gets a new line.

mod common;

use common::{account_id, currency, payment, payment_id};
use kpay_domain::{
    Account, AccountCommand, AccountSnapshot, AccountStatus, Action, Attributes, Command, EntryKind, Intake,
    LedgerEntry, Malformed, Money, Outcome, Outflow, Payment, Reason, Reference, Status, Trail, confirmed,
};

const AT_MS: i64 = 1_785_000_000_000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(text.get(at..at + 2).expect("two digits a byte"), 16);
    (0..text.len()).step_by(2).map(|at| byte(at).expect("hexadecimal digits")).collect()
}

fn whole_payment() -> Payment {
    Payment {
        reference: Reference::new("invoice 7").expect("short"),
        attributes: Attributes::new([("channel", "web"), ("a", "")]).expect("few"),
        occurred_at_ms: Some(AT_MS),
        ..payment(1234)
    }
}

fn opening() -> AccountCommand {
    AccountCommand {
        id: payment_id("open:alice"),
        account: account_id("alice"),
        action: Action::Open { currency: Some(currency("USD")), funding_minor: 100_000 },
        occurred_at_ms: None,
    }
}

fn funding() -> AccountCommand {
    AccountCommand {
        id: payment_id("f-1"),
        account: account_id("bob"),
        action: Action::Fund { amount_minor: 500, currency: None },
        occurred_at_ms: Some(AT_MS),
    }
}

fn outcome(subject: Intake, status: Status, debited: bool, credited: bool) -> Outcome {
    Outcome {
        subject,
        status,
        accepted_at_ms: AT_MS,
        debited_at_ms: debited.then_some(AT_MS + 5),
        credited_at_ms: credited.then_some(AT_MS + 9),
        completed_at_ms: AT_MS + 9,
        hold: None,
    }
}

fn confirmed_payment() -> Outcome {
    outcome(Intake::Payment(whole_payment()), Status::Confirmed, true, true)
}

fn reversed_payment() -> Outcome {
    outcome(Intake::Payment(payment(7)), Status::Reversed(Reason::UnknownAccount), true, false)
}

fn rejected_payment() -> Outcome {
    outcome(Intake::Payment(payment(-7)), Status::Rejected(Reason::AmountNotPositive), false, false)
}

/// Reads the golden bytes, with and without a field of a release to come, and writes them again.
fn check<T: PartialEq + std::fmt::Debug>(
    value: &T,
    golden: &str,
    encode: impl Fn(&T, &mut Vec<u8>),
    decode: impl Fn(&[u8]) -> Result<T, Malformed>,
) {
    let mut buffer = Vec::new();
    encode(value, &mut buffer);
    assert_eq!(hex(&buffer), golden, "written of {value:?}");
    let mut golden = unhex(golden);
    assert_eq!(decode(&golden).as_ref(), Ok(value));
    // Field 99, a text.
    golden.extend([0x9a, 0x06, 0x03, b'n', b'e', b'w']);
    assert_eq!(decode(&golden).as_ref(), Ok(value));
}

#[test]
fn intakes() {
    let all = [
        (
            Intake::Payment(whole_payment()),
            "0a420a03702d311205616c6963651a03626f6220d2092a035553443209696e766f69636520373a050a016112003a0e0a076368616e6e656c12037765624080f4a9d2f933",
        ),
        (
            Intake::Payment(payment(-7)),
            "0a210a03702d311205616c6963651a03626f6220f9ffffffffffffffff012a03555344",
        ),
        (Intake::Account(opening()), "121e0a0a6f70656e3a616c6963651205616c69636522090a0355534410a08d06"),
        (Intake::Account(funding()), "12160a03662d311203626f621880f4a9d2f9332a0308f403"),
    ];
    for (value, golden) in all {
        check(&value, golden, Intake::encode, Intake::decode);
    }
}

#[test]
fn commands() {
    let accepted_at_ms = AT_MS;
    let trail = || Trail { accepted_at_ms, debited_at_ms: AT_MS + 5, hold: None };
    let all = [
        (
            Command::Debit { payment: whole_payment(), accepted_at_ms },
            "0a440a420a03702d311205616c6963651a03626f6220d2092a035553443209696e766f69636520373a050a016112003a0e0a076368616e6e656c12037765624080f4a9d2f9332880f4a9d2f933",
        ),
        (
            Command::Credit { payment: payment(7), trail: trail(), serial: false },
            "12210a180a03702d311205616c6963651a03626f6220072a035553441085f4a9d2f9332880f4a9d2f933",
        ),
        (
            Command::Reverse {
                payment: payment(7),
                trail: trail(),
                reason: Reason::from_code("a_code_to_come", ""),
            },
            "1a310a180a03702d311205616c6963651a03626f6220072a035553441085f4a9d2f9331a0e615f636f64655f746f5f636f6d652880f4a9d2f933",
        ),
        (
            Command::Account { command: opening(), accepted_at_ms },
            "221e0a0a6f70656e3a616c6963651205616c69636522090a0355534410a08d062880f4a9d2f933",
        ),
    ];
    for (value, golden) in all {
        check(&value, golden, Command::encode, Command::decode);
    }
}

#[test]
fn entries_and_snapshots() {
    let entry = |kind, counterparty: Option<&str>, minor, status| LedgerEntry {
        account: account_id("alice"),
        kind,
        id: payment_id("p-1"),
        counterparty: counterparty.map(account_id),
        amount: Money::new(minor, currency("USD")),
        balance_minor: 98_766,
        version: 2,
        status,
        at_ms: AT_MS,
        outflow: Outflow::NONE,
        limits: None,
    };
    let all = [
        (
            entry(EntryKind::Opened, None, 100_000, AccountStatus::Open),
            "0a05616c69636510011a03702d3128c09a0c320355534438ce8306400248015080f4a9d2f933",
        ),
        (
            entry(EntryKind::Funded, None, 500, AccountStatus::Open),
            "0a05616c69636510021a03702d3128e807320355534438ce8306400248015080f4a9d2f933",
        ),
        (
            entry(EntryKind::Debit, Some("bob"), -1234, AccountStatus::Open),
            "0a05616c69636510031a03702d312203626f6228a313320355534438ce8306400248015080f4a9d2f933",
        ),
        (
            entry(EntryKind::Credit, Some("bob"), 1234, AccountStatus::Frozen),
            "0a05616c69636510041a03702d312203626f6228a413320355534438ce8306400248025080f4a9d2f933",
        ),
        (
            entry(EntryKind::Reverse, Some("bob"), 1234, AccountStatus::Closed),
            "0a05616c69636510051a03702d312203626f6228a413320355534438ce8306400248035080f4a9d2f933",
        ),
    ];
    for (value, golden) in all {
        check(&value, golden, LedgerEntry::encode, LedgerEntry::decode);
    }
    let state = Account { balance_minor: 98_766, version: 2, ..Account::empty(currency("USD")) };
    let snapshot = AccountSnapshot { account: account_id("alice"), state, at_ms: AT_MS };
    check(
        &snapshot,
        "0a05616c696365120355534418ce8306200228013080f4a9d2f933",
        AccountSnapshot::encode,
        AccountSnapshot::decode,
    );
}

#[test]
fn outcomes() {
    let all = [
        (
            confirmed_payment(),
            "0a420a03702d311205616c6963651a03626f6220d2092a035553443209696e766f69636520373a050a016112003a0e0a076368616e6e656c12037765624080f4a9d2f93318012880f4a9d2f9333085f4a9d2f9333889f4a9d2f9334089f4a9d2f933",
        ),
        (
            reversed_payment(),
            "0a180a03702d311205616c6963651a03626f6220072a035553441803220f756e6b6e6f776e5f6163636f756e742880f4a9d2f9333085f4a9d2f9334089f4a9d2f933",
        ),
        (
            rejected_payment(),
            "0a210a03702d311205616c6963651a03626f6220f9ffffffffffffffff012a0355534418022213616d6f756e745f6e6f745f706f7369746976652880f4a9d2f9334089f4a9d2f933",
        ),
        (
            outcome(Intake::Account(funding()), Status::Confirmed, false, false),
            "12160a03662d311203626f621880f4a9d2f9332a0308f40318012880f4a9d2f9334089f4a9d2f933",
        ),
    ];
    for (value, golden) in all {
        check(&value, golden, Outcome::encode, Outcome::decode);
    }
}

#[test]
fn the_published_json() {
    let all = [
        (
            confirmed_payment(),
            "dev.kpay.payment.confirmed",
            r#"{"id":"p-1","status":"confirmed","from":"alice","to":"bob","amount":{"value":1234,"currency":"USD"},"reference":"invoice 7","attributes":{"a":"","channel":"web"},"timeline":[{"at":"2026-07-25T17:20:00.000Z","step":"accepted"},{"at":"2026-07-25T17:20:00.005Z","step":"debited"},{"at":"2026-07-25T17:20:00.009Z","step":"credited"},{"at":"2026-07-25T17:20:00.009Z","step":"completed"}]}"#,
        ),
        (
            reversed_payment(),
            "dev.kpay.payment.reversed",
            r#"{"id":"p-1","status":"reversed","reason":"unknown_account","from":"alice","to":"bob","amount":{"value":7,"currency":"USD"},"timeline":[{"at":"2026-07-25T17:20:00.000Z","step":"accepted"},{"at":"2026-07-25T17:20:00.005Z","step":"debited"},{"at":"2026-07-25T17:20:00.009Z","step":"reversed"}]}"#,
        ),
        (
            rejected_payment(),
            "dev.kpay.payment.rejected",
            r#"{"id":"p-1","status":"rejected","reason":"amount_not_positive","from":"alice","to":"bob","amount":{"value":-7,"currency":"USD"},"timeline":[{"at":"2026-07-25T17:20:00.000Z","step":"accepted"},{"at":"2026-07-25T17:20:00.009Z","step":"rejected"}]}"#,
        ),
        (
            outcome(Intake::Account(opening()), Status::Confirmed, false, false),
            "dev.kpay.account.opened",
            r#"{"id":"open:alice","kind":"account_opened","status":"confirmed","account":"alice","amount":{"value":100000,"currency":"USD"},"timeline":[{"at":"2026-07-25T17:20:00.000Z","step":"accepted"},{"at":"2026-07-25T17:20:00.009Z","step":"completed"}]}"#,
        ),
        (
            outcome(Intake::Account(funding()), Status::Confirmed, false, false),
            "dev.kpay.account.funded",
            r#"{"id":"f-1","kind":"account_funded","status":"confirmed","account":"bob","amount":{"value":500},"timeline":[{"at":"2026-07-25T17:20:00.000Z","step":"accepted"},{"at":"2026-07-25T17:20:00.009Z","step":"completed"}]}"#,
        ),
        (
            outcome(Intake::Account(funding()), Status::Rejected(Reason::AccountFrozen), false, false),
            "dev.kpay.account.rejected",
            r#"{"id":"f-1","kind":"account_funded","status":"rejected","reason":"account_frozen","account":"bob","amount":{"value":500},"timeline":[{"at":"2026-07-25T17:20:00.000Z","step":"accepted"},{"at":"2026-07-25T17:20:00.009Z","step":"rejected"}]}"#,
        ),
    ];
    for (outcome, event_type, golden) in all {
        let mut buffer = Vec::new();
        confirmed::to_json(&outcome, &mut buffer);
        assert_eq!(String::from_utf8(buffer).unwrap(), golden);
        assert_eq!(
            confirmed::headers(&outcome),
            [
                ("ce_specversion", "1.0"),
                ("ce_type", event_type),
                ("ce_id", outcome.id().as_str()),
                ("content-type", "application/json"),
            ]
        );
    }
}
