//! The auditor's reading against what the processors write: the bytes are made by them, the reading is its own.

use kpay_domain::account::{HeldChange, Known, Next, decide};
use kpay_domain::inflight::{Admission, decide as admit};
use kpay_domain::{
    AccountCommand, Action, Command, Currency, DecideHold, EntryKind, HoldVerdict, Intake, LedgerEntry,
    Payment, PaymentId, Policy, Reference, RuleAction, RuleSource, Rules, confirmed,
};

use crate::auditor::record::{Ending, Entry, Kind, Outcome, intake_id};
use crate::load;

fn bytes(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

fn entry(entry: &LedgerEntry) -> Entry {
    Entry::decode(4, &bytes(|b| entry.encode(b))).unwrap()
}

/// What both topics say of an outcome, which has to be the same.
fn outcome(next: &Next) -> Outcome {
    let Next::Outcome(outcome) = next else { panic!("no outcome: {next:?}") };
    let complete = Outcome::decode(&bytes(|b| outcome.encode(b))).unwrap();
    let confirmed = Outcome::from_json(&bytes(|b| confirmed::to_json(outcome, b)));
    assert_eq!(confirmed.as_ref(), Some(&complete));
    complete
}

fn policy() -> Policy {
    Policy::new(Currency::new("USD").unwrap())
}

/// Every payment is held.
fn holding() -> Policy {
    let (name, when) = ("all".to_owned(), "payment.amount > 0".to_owned());
    let rule = RuleSource { name, when, action: RuleAction::Hold, message: None };
    Policy { rules: Rules::compile(&[rule]).unwrap(), hold_expiry_ms: 100, ..policy() }
}

fn command(intake: Intake) -> Command {
    match admit(intake, &policy(), 5) {
        Admission::Accept(command) => command,
        Admission::Reject(outcome) => panic!("{outcome:?}"),
    }
}

fn opened() -> LedgerEntry {
    decide(Known::default(), command(load::open(1, 500).unwrap()), &policy(), 6).entry.unwrap()
}

fn payment() -> Payment {
    let Intake::Payment(payment) = load::payment("run", 3, 2).unwrap() else { panic!("no payment") };
    payment
}

#[test]
fn a_debit_and_a_rejection_are_read_as_they_are_written() {
    let (account, paid) = (opened().state(), payment());
    let known = Known { account: Some(&account), ..Known::default() };
    let debit = command(Intake::Payment(paid.clone()));
    let read = entry(&decide(known, debit.clone(), &policy(), 7).entry.unwrap());
    assert_eq!(read.kind, Kind::Debit);
    assert_eq!((read.partition, read.version, read.at_ms), (4, 2, 7));
    assert_eq!(read.account, paid.from.as_str());
    assert_eq!(read.counterparty, paid.to.as_str());
    assert_eq!(read.amount_minor, -paid.amount.minor);
    assert_eq!(read.balance_minor, 500 - paid.amount.minor);

    let value = bytes(|b| Intake::Payment(paid).encode(b));
    assert_eq!(intake_id(&value, None).as_deref(), Some("run-000000003"));

    let rejected = outcome(&decide(Known::default(), debit, &policy(), 6).next);
    assert_eq!((rejected.ending, rejected.reason.as_str()), (Ending::Rejected, "unknown_account"));
    assert!(!rejected.decides);
}

#[test]
fn every_kind_of_entry_is_read_as_what_it_is() {
    let kinds = [
        (EntryKind::Opened, Kind::Opened),
        (EntryKind::Funded, Kind::Funded),
        (EntryKind::Debit, Kind::Debit),
        (EntryKind::Credit, Kind::Credit),
        (EntryKind::Reverse, Kind::Reverse),
        (EntryKind::Frozen, Kind::Status),
        (EntryKind::Unfrozen, Kind::Status),
        (EntryKind::Closed, Kind::Status),
        (EntryKind::Limits, Kind::Status),
    ];
    for (kind, read) in kinds {
        assert_eq!(entry(&LedgerEntry { kind, ..opened() }).kind, read, "{kind:?}");
    }
    let later = bytes(|b| opened().encode(b));
    // The kind once more, as a number that no release has: the last one counts.
    assert!(Entry::decode(4, &[later.as_slice(), &[0x10, 10]].concat()).is_err());
}

#[test]
fn a_held_payment_and_the_command_that_decides_it_are_read_as_such() {
    let (account, paid) = (opened().state(), payment());
    let known = Known { account: Some(&account), ..Known::default() };
    let holds = decide(known, command(Intake::Payment(paid.clone())), &holding(), 7);
    let waits = outcome(&holds.next);
    assert_eq!((waits.id.as_str(), waits.ending, waits.reason.as_str()), ("run-000000003", Ending::Held, ""));
    assert_eq!(waits.payment.map(|payment| payment.amount_minor), Some(paid.amount.minor));
    assert!(!waits.decides);

    let Some(HeldChange::Hold(held)) = holds.held else { panic!("it is held") };
    let words = |text| Reference::new(text).unwrap().unwrap();
    for verdict in HoldVerdict::ALL {
        let decides =
            DecideHold { payment: paid.id.clone(), verdict, by: words("carol"), why: words("asked") };
        let action = Action::Decide(Box::new(decides));
        let id = PaymentId::new("v").unwrap();
        let asked = AccountCommand { id, account: paid.from.clone(), action, occurred_at_ms: None };
        let known = Known { account: Some(&account), held: Some(&held), ..Known::default() };
        let decision = decide(known, command(Intake::Account(asked)), &holding(), 200);
        let own = outcome(&decision.also.unwrap());
        assert_eq!((own.id.as_str(), own.ending, own.decides), ("v", Ending::Confirmed, true), "{verdict:?}");
        let reason = match verdict {
            HoldVerdict::Release => {
                assert_eq!(entry(&decision.entry.unwrap()).kind, Kind::Debit);
                continue;
            }
            HoldVerdict::Refuse => "hold_refused",
            HoldVerdict::Expire => "hold_expired",
        };
        let end = outcome(&decision.next);
        assert_eq!((end.ending, end.reason.as_str(), end.decides), (Ending::Rejected, reason, false));
    }
}
