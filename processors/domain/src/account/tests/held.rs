//! Holds: what a rule holds, and what is decided then.

use super::*;
use crate::{
    DecideHold, HeldPayment, HoldVerdict, Progress, Reference, RuleAction, RuleSource, Rules,
    account::{HeldChange, decide as decide_by},
};

fn policy(action: RuleAction) -> Policy {
    let rule =
        RuleSource { name: "big".to_owned(), when: "payment.amount > 50".to_owned(), action, message: None };
    Policy { rules: Rules::compile(&[rule]).unwrap(), hold_expiry_ms: 100, ..Policy::new(currency("USD")) }
}

fn words(text: &str) -> Reference {
    Reference::new(text).unwrap().unwrap()
}

fn verdict(verdict: HoldVerdict) -> Command {
    let payment = PaymentId::new("p-1").unwrap();
    let decide = DecideHold { payment, verdict, by: words("carol"), why: words("asked") };
    administer(Action::Decide(Box::new(decide)))
}

fn hold(minor: i64) -> HeldPayment {
    let account = usd(100);
    let known = Known { account: Some(&account), ..Known::default() };
    let decision = decide_by(known, debit(minor), &policy(RuleAction::Hold), 9);
    let Next::Outcome(outcome) = &decision.next else { panic!("{decision:?}") };
    assert_eq!((outcome.status.as_str(), &decision.entry), ("held", &None));
    let Some(HeldChange::Hold(held)) = decision.held else { panic!("{:?}", decision.held) };
    assert_eq!((held.hold.held_at_ms, held.hold.expires_at_ms, held.accepted_at_ms), (9, 109, 1));
    *held
}

fn decided(account: &Account, held: Option<&HeldPayment>, with: HoldVerdict, at_ms: i64) -> Decision {
    let known = Known { account: Some(account), held, ..Known::default() };
    decide_by(known, verdict(with), &policy(RuleAction::Hold), at_ms)
}

#[test]
fn a_rule_refuses_or_holds_what_passes_all_other_checks() {
    let account = usd(60);
    let by = |minor, action| {
        let known = Known { account: Some(&account), ..Known::default() };
        match decide_by(known, debit(minor), &policy(action), 9).next {
            Next::Outcome(outcome) => outcome.status,
            Next::Command(_) => Status::Confirmed,
            Next::Nothing => panic!("a debit has a next step"),
        }
    };
    assert_eq!(by(50, RuleAction::Reject), Status::Confirmed);
    assert!(
        matches!(by(51, RuleAction::Reject), Status::Rejected(Reason::RuleRefused(rule)) if rule.as_str() == "big")
    );
    assert!(matches!(by(51, RuleAction::Hold), Status::Held(rule) if rule.as_str() == "big"));
    assert_eq!(by(61, RuleAction::Hold), Status::Rejected(Reason::InsufficientFunds));
}

#[test]
fn a_released_payment_goes_on_past_the_rules_and_tells_who_released_it() {
    let held = hold(70);
    let decision = decided(&usd(100), Some(&held), HoldVerdict::Release, 20);
    assert_eq!(decision.held, Some(HeldChange::End(held.payment.id.clone())));
    assert_eq!(decision.entry.as_ref().map(|entry| entry.balance_minor), Some(30));
    let Next::Command(Command::Credit { trail, serial: false, .. }) = decision.next else {
        panic!("no credit")
    };
    let by = trail.hold.unwrap().decided.unwrap();
    assert_eq!((by.by.as_str(), by.why.as_str(), by.at_ms), ("carol", "asked", 20));
    let Some(Next::Outcome(own)) = decision.also else { panic!("the command has an outcome of its own") };
    assert_eq!((own.id().as_str(), &own.status), ("c-1", &Status::Confirmed));
}

#[test]
fn a_released_payment_is_checked_again() {
    let held = hold(70);
    let decision = decided(&usd(69), Some(&held), HoldVerdict::Release, 20);
    let Next::Outcome(outcome) = decision.next else { panic!("no outcome") };
    assert_eq!(outcome.status, Status::Rejected(Reason::InsufficientFunds));
    assert!(outcome.hold.unwrap().decided.is_some() && decision.entry.is_none());
}

#[test]
fn a_refused_and_an_expired_payment_move_nothing() {
    let held = hold(70);
    for (with, at_ms, reason) in
        [(HoldVerdict::Refuse, 20, Reason::HoldRefused), (HoldVerdict::Expire, 109, Reason::HoldExpired)]
    {
        let decision = decided(&usd(100), Some(&held), with, at_ms);
        let Next::Outcome(outcome) = decision.next else { panic!("no outcome") };
        assert_eq!((outcome.id().as_str(), &outcome.status), ("p-1", &Status::Rejected(reason)));
        assert!(decision.entry.is_none() && decision.also.is_some());
    }
}

#[test]
fn what_is_not_held_cannot_be_decided_and_nothing_expires_early() {
    let held = hold(70);
    let of_another = HeldPayment {
        payment: Payment { from: AccountId::new("carol").unwrap(), ..held.payment.clone() },
        ..held.clone()
    };
    for (known, with, reason) in [
        (None, HoldVerdict::Release, Reason::HoldUnknown),
        (Some(&of_another), HoldVerdict::Release, Reason::HoldUnknown),
        (Some(&held), HoldVerdict::Expire, Reason::HoldNotExpired),
    ] {
        let decision = decided(&usd(100), known, with, 108);
        let Next::Outcome(outcome) = decision.next else { panic!("no outcome") };
        assert_eq!((outcome.id().as_str(), &outcome.status), ("c-1", &Status::Rejected(reason)));
        assert!(decision.held.is_none() && decision.also.is_none());
    }
}

#[test]
fn what_is_accepted_is_finished_whatever_becomes_of_a_hold() {
    let held = hold(70);
    let intake = Intake::Payment(held.payment.clone());
    let Command::Account { command, .. } = verdict(HoldVerdict::Release) else { panic!("a command") };
    for with in [HoldVerdict::Release, HoldVerdict::Refuse, HoldVerdict::Expire] {
        for known in [Some(&held), None] {
            let (mut accepted, mut finished) = (Progress::default(), Progress::default());
            accepted.record(&intake);
            let held_outcome = Outcome::of(intake.clone(), Status::Held(held.hold.rule.clone()), 1, 9);
            finished.finish(&held_outcome);
            assert_eq!(accepted, finished, "a held payment is not in flight");
            accepted.record(&Intake::Account(command.clone()));
            let decision = decided(&usd(100), known, with, 200);
            for next in [Some(decision.next), decision.also].into_iter().flatten() {
                let outcome = match next {
                    Next::Outcome(outcome) => outcome,
                    Next::Command(credit) => match decide(Some(&usd(0)), credit, 201).next {
                        Next::Outcome(outcome) => outcome,
                        other => panic!("{other:?}"),
                    },
                    Next::Nothing => panic!("a decision has a next step"),
                };
                finished.finish(&outcome);
            }
            assert_eq!(accepted, finished, "{with:?} {}", known.is_some());
        }
    }
}
