//! Each rule with a planted fault that it must catch, and the honest books that it must not.

mod reading;

use super::books::{Books, Letter, Received};
use super::check::{Expected, Violation, check};
use super::record::{Ending, Entry, Kind, Outcome, Paid};

fn entry(account: &str, kind: Kind, id: &str, amount_minor: i64, balance_minor: i64, version: u64) -> Entry {
    let counterparty = match (kind, account) {
        (Kind::Opened | Kind::Funded, _) => "",
        (_, "a") => "b",
        _ => "a",
    };
    Entry {
        partition: 0,
        account: account.to_owned(),
        kind,
        id: id.to_owned(),
        counterparty: counterparty.to_owned(),
        amount_minor,
        currency: "USD".to_owned(),
        balance_minor,
        version,
        at_ms: 1_000,
    }
}

fn outcome(id: &str, ending: Ending, payment: Option<i64>) -> Outcome {
    let reason = if matches!(ending, Ending::Confirmed | Ending::Held) { "" } else { "insufficient_funds" };
    let paid = |amount_minor| Paid { from: "a".to_owned(), to: "b".to_owned(), amount_minor };
    let payment = payment.map(paid);
    Outcome { id: id.to_owned(), ending, reason: reason.to_owned(), payment, decides: false }
}

/// Two accounts with 100 each: p moves 30 from a to b, q comes back, r is rejected, h is held and then refused by v, one
/// record is unreadable.
fn honest() -> (Books, Expected) {
    let outcomes = vec![
        outcome("open:a", Ending::Confirmed, None),
        outcome("open:b", Ending::Confirmed, None),
        outcome("p", Ending::Confirmed, Some(30)),
        outcome("q", Ending::Reversed, Some(20)),
        outcome("r", Ending::Rejected, Some(900)),
        outcome("h", Ending::Held, Some(10)),
        Outcome { decides: true, ..outcome("v", Ending::Confirmed, None) },
        outcome("h", Ending::Rejected, Some(10)),
    ];
    let received = |(offset, id): (i64, &str)| Received { at: (0, offset), id: Some(id.to_owned()) };
    let ids = ["open:a", "open:b", "p", "q", "r", "p"];
    let mut incoming: Vec<Received> = (0..).zip(ids).map(received).collect();
    incoming.push(Received { at: (0, 6), id: None });
    incoming.extend([(7, "h"), (8, "v")].map(received));
    let books = Books {
        incoming,
        ledger: vec![
            entry("a", Kind::Opened, "open:a", 100, 100, 1),
            entry("b", Kind::Opened, "open:b", 100, 100, 1),
            entry("a", Kind::Debit, "p", -30, 70, 2),
            entry("b", Kind::Credit, "p", 30, 130, 2),
            entry("a", Kind::Debit, "q", -20, 50, 3),
            entry("a", Kind::Reverse, "q", 20, 70, 4),
        ],
        complete: outcomes.clone(),
        confirmed: outcomes,
        letters: vec![Letter { code: "json_invalid".to_owned(), topic: "in".to_owned(), at: (0, 6) }],
        unreadable: Vec::new(),
        incoming_topic: "in".to_owned(),
    };
    (books, Expected::new(&[("USD", 200)], ids.map(str::to_owned)))
}

/// The same before v: h waits for a person.
fn waiting(books: &mut Books) {
    books.incoming.retain(|received| received.id.as_deref() != Some("v"));
    books.complete.truncate(6);
    books.confirmed.truncate(6);
}

/// What the auditor says after `fault` was planted.
fn caught(fault: impl FnOnce(&mut Books, &mut Expected)) -> Vec<Violation> {
    let (mut books, mut expected) = honest();
    fault(&mut books, &mut expected);
    check(&books, &expected).violations
}

#[test]
fn honest_books_are_clean() {
    let (books, expected) = honest();
    let report = check(&books, &expected);
    report.clean().unwrap();
    assert_eq!(report.balances["a"], 70);
    assert_eq!(report.balances["b"], 130);
    assert_eq!(report.letters["json_invalid"], 1);
}

#[test]
fn a_payment_that_still_waits_for_a_person_is_honest() {
    let (mut books, expected) = honest();
    waiting(&mut books);
    let report = check(&books, &expected);
    report.clean().unwrap();
    assert_eq!(report.outcomes["h"].ending, Ending::Held);
}

type Fault = fn(&mut Books, &mut Expected);

#[test]
fn every_planted_fault_is_caught_by_its_name() {
    let id = |id: &str| id.to_owned();
    let usd = || "USD".to_owned();
    let a = || "a".to_owned();
    let faults: Vec<(Fault, Violation)> = vec![
        (|b, _| b.ledger[5].amount_minor = 19, Violation::Amount { id: id("q"), kind: Kind::Reverse }),
        (
            |b, _| b.ledger[3].balance_minor = 131,
            Violation::Sum { currency: usd(), funded: 200, balances: 201 },
        ),
        (
            |_, e| e.funded.extend([("USD".to_owned(), 201)]),
            Violation::Funded { currency: usd(), expected: 201, ledger: 200 },
        ),
        (|b, _| b.ledger[2].balance_minor = 71, Violation::Balance { account: a(), version: 2 }),
        (
            |b, _| b.ledger[2].balance_minor = -1,
            Violation::BelowZero { account: a(), version: 2, balance_minor: -1 },
        ),
        (|b, _| b.ledger[2].version = 3, Violation::Version { account: a(), expected: 2, found: 3 }),
        (|b, _| b.ledger[4].partition = 1, Violation::Account { account: a(), version: 3 }),
        (|b, _| b.ledger[4].currency = "EUR".to_owned(), Violation::Account { account: a(), version: 3 }),
        (
            |b, _| b.ledger.push(entry("a", Kind::Debit, "p", -30, 40, 5)),
            Violation::Repeated { id: id("p"), kind: Kind::Debit },
        ),
        (
            |b, _| b.ledger.push(entry("b", Kind::Credit, "p", 30, 160, 3)),
            Violation::Repeated { id: id("p"), kind: Kind::Credit },
        ),
        (|b, _| b.ledger[2].amount_minor = 30, Violation::Amount { id: id("p"), kind: Kind::Debit }),
        (|b, _| b.ledger[3].account = "c".to_owned(), Violation::Amount { id: id("p"), kind: Kind::Credit }),
        (|b, _| drop(b.ledger.remove(3)), Violation::OneSided { id: id("p") }),
        (|b, _| drop(b.ledger.remove(2)), Violation::OneSided { id: id("p") }),
        (
            |b, _| b.ledger.push(entry("b", Kind::Credit, "q", 20, 150, 3)),
            Violation::OneSided { id: id("q") },
        ),
        (|b, _| b.ledger[3].at_ms = 999, Violation::CreditFirst { id: id("p") }),
        (
            |b, _| b.complete[2].ending = Ending::Rejected,
            Violation::Untrue { id: id("p"), ending: Ending::Rejected },
        ),
        (
            |b, _| b.ledger.push(entry("a", Kind::Debit, "r", -900, -830, 5)),
            Violation::Untrue { id: id("r"), ending: Ending::Rejected },
        ),
        (
            |b, _| b.complete[2].payment = Some(Paid { from: "a".into(), to: "b".into(), amount_minor: 31 }),
            Violation::Untrue { id: id("p"), ending: Ending::Confirmed },
        ),
        (|b, _| b.complete.push(b.complete[2].clone()), Violation::CompleteTwice { id: id("p") }),
        (|b, _| b.confirmed.push(b.confirmed[2].clone()), Violation::ConfirmedTwice { id: id("p") }),
        (|b, _| drop(b.confirmed.remove(2)), Violation::Disagree { id: id("p") }),
        (|b, _| b.complete.push(b.complete[5].clone()), Violation::CompleteTwice { id: id("h") }),
        (|b, _| b.confirmed.push(b.confirmed[7].clone()), Violation::ConfirmedTwice { id: id("h") }),
        (|b, _| drop(b.confirmed.remove(5)), Violation::Disagree { id: id("h") }),
        (|b, _| drop(b.confirmed.remove(7)), Violation::Disagree { id: id("h") }),
        (
            |b, _| b.ledger.push(entry("a", Kind::Debit, "h", -10, 60, 5)),
            Violation::Untrue { id: id("h"), ending: Ending::Rejected },
        ),
        (
            |b, _| {
                waiting(b);
                b.ledger.push(entry("a", Kind::Debit, "h", -10, 60, 5));
                b.ledger.push(entry("b", Kind::Credit, "h", 10, 140, 3));
            },
            Violation::Untrue { id: id("h"), ending: Ending::Held },
        ),
        (|b, _| b.complete[6].decides = false, Violation::Untrue { id: id("v"), ending: Ending::Confirmed }),
        (|b, _| b.confirmed[4].reason = "account_closed".to_owned(), Violation::Disagree { id: id("r") }),
        (|_, e| e.ids.extend(["s".to_owned()]), Violation::NotSent { id: id("s") }),
        (
            |b, _| b.incoming.push(Received { at: (1, 0), id: Some("s".to_owned()) }),
            Violation::Lost { id: id("s") },
        ),
        (|b, _| b.incoming.retain(|r| r.id.as_deref() != Some("p")), Violation::Invented { id: id("p") }),
        (|b, _| b.letters.clear(), Violation::NoLetter { partition: 0, offset: 6 }),
        (|b, _| b.letters.push(b.letters[0].clone()), Violation::LetterTwice { partition: 0, offset: 6 }),
        (
            |b, _| b.unreadable.push(("ledger".to_owned(), 2, 9)),
            Violation::Unreadable { topic: "ledger".to_owned(), partition: 2, offset: 9 },
        ),
    ];
    for (fault, violation) in faults {
        let found = caught(fault);
        assert!(found.contains(&violation), "{violation:?} is not among {found:?}");
    }
}

#[test]
fn a_lost_payment_is_caught_also_when_it_has_a_dead_letter_of_another_record() {
    let found = caught(|books, _| {
        books.complete.retain(|outcome| outcome.id != "r");
        books.confirmed.retain(|outcome| outcome.id != "r");
    });
    assert_eq!(found, [Violation::Lost { id: "r".to_owned() }]);
}

#[test]
fn an_account_moves_only_after_a_wipe_and_only_to_where_it_can() {
    let moved = |grown_from: Option<i32>, to: [i32; 2]| {
        caught(|books, expected| {
            expected.grown_from = grown_from;
            books.ledger.iter_mut().for_each(|entry| entry.partition = 1);
            let of_a = books.ledger.iter_mut().filter(|entry| entry.account == "a").skip(2);
            of_a.zip(to).for_each(|(entry, partition)| entry.partition = partition);
        })
    };
    assert_eq!(moved(Some(2), [3, 3]), []);
    assert_eq!(moved(Some(2), [1, 5]), []);
    let away = |version| Violation::Account { account: "a".to_owned(), version };
    assert_eq!(moved(None, [3, 3]), [away(3)]);
    assert_eq!(moved(Some(2), [2, 2]), [away(3)], "another remainder");
    assert_eq!(moved(Some(4), [3, 3]), [away(3)], "there was a partition 3 before");
}
