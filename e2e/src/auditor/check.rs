//! The auditor's rules. Pure: from what the topics say to what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use super::books::Books;
use super::record::{Ending, Entry, Kind, Outcome};

/// What the auditor is told by who sent the payments.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// By currency, in minor units.
    pub funded: BTreeMap<String, i128>,
    /// Every id that was submitted and can be read; each must have one outcome.
    pub ids: BTreeSet<String>,
    /// How many partitions the accounts had before a wipe gave them a multiple of that, if one did: then, and only then,
    /// an account may move, once, and to no other partition than the remainder of its new one.
    pub grown_from: Option<i32>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the variants say it, and their fields are ids, accounts and amounts")]
pub enum Violation {
    /// The balances are not what came in from outside.
    Sum { currency: String, funded: i128, balances: i128 },
    /// The ledger's own openings and fundings are not what was sent.
    Funded { currency: String, expected: i128, ledger: i128 },
    /// An entry's balance is not the one before plus its amount.
    Balance { account: String, version: u64 },
    /// A balance below zero.
    BelowZero { account: String, version: u64, balance_minor: i64 },
    /// The entries of an account do not count 1, 2, 3.
    Version { account: String, expected: u64, found: u64 },
    /// The entries of an account lie in two partitions, or are of two currencies, or begin without an opening.
    Account { account: String, version: u64 },
    /// More than one entry of a kind for an id.
    Repeated { id: String, kind: Kind },
    /// An amount of the wrong sign, or another than the payment's, or to another account.
    Amount { id: String, kind: Kind },
    /// The money of a payment left and did not arrive, or arrived and never left.
    OneSided { id: String },
    /// Credited, or given back, before it was debited.
    CreditFirst { id: String },
    /// The outcome does not say what the ledger says.
    Untrue { id: String, ending: Ending },
    /// More than one outcome in payment.complete.
    CompleteTwice { id: String },
    /// More than one outcome in payment.confirmed.
    ConfirmedTwice { id: String },
    /// payment.complete and payment.confirmed say two things, or only one of them says any.
    Disagree { id: String },
    /// Submitted, and not even in payment.incoming.
    NotSent { id: String },
    /// In payment.incoming, without an outcome and without a dead letter.
    Lost { id: String },
    /// An outcome, or an entry, of an id that nobody sent.
    Invented { id: String },
    /// A record that cannot be read has no dead letter.
    NoLetter { partition: i32, offset: i64 },
    /// A record has more than one dead letter.
    LetterTwice { partition: i32, offset: i64 },
    /// A record of the pipeline's own that the auditor cannot read.
    Unreadable { topic: String, partition: i32, offset: i64 },
}

/// The result.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// All that is wrong; empty is good.
    pub violations: Vec<Violation>,
    /// The balance of each account.
    pub balances: BTreeMap<String, i64>,
    /// Each id's outcome.
    pub outcomes: BTreeMap<String, Outcome>,
    /// Dead letters by code.
    pub letters: BTreeMap<String, u64>,
}

impl Report {
    /// Fails with the first violations when there is any.
    pub fn clean(&self) -> anyhow::Result<()> {
        let first: Vec<&Violation> = self.violations.iter().take(10).collect();
        anyhow::ensure!(first.is_empty(), "{} violations, such as {first:#?}", self.violations.len());
        Ok(())
    }
}

/// Checks everything.
pub fn check(books: &Books, expected: &Expected) -> Report {
    let mut report = Report::default();
    accounts(books, expected, &mut report);
    let outcomes = outcomes(books, &mut report.violations);
    payments(books, &outcomes, &mut report.violations);
    intakes(books, expected, &outcomes, &mut report.violations);
    for (topic, partition, offset) in &books.unreadable {
        let (topic, partition, offset) = (topic.clone(), *partition, *offset);
        report.violations.push(Violation::Unreadable { topic, partition, offset });
    }
    for letter in &books.letters {
        *report.letters.entry(letter.code.clone()).or_default() += 1;
    }
    report.outcomes = outcomes;
    report
}

/// Each account by itself, and the sums.
fn accounts(books: &Books, expected: &Expected, report: &mut Report) {
    let mut last: BTreeMap<&str, &Entry> = BTreeMap::new();
    let mut recomputed: BTreeMap<&str, i128> = BTreeMap::new();
    let mut funded: BTreeMap<String, i128> = BTreeMap::new();
    // Where an account has moved, it has moved up: each partition is in order already.
    let mut ledger: Vec<&Entry> = books.ledger.iter().collect();
    if expected.grown_from.is_some() {
        ledger.sort_by_key(|entry| entry.partition);
    }
    let moved = |from: i32, to: i32| {
        expected.grown_from.is_some_and(|count| from < count && to >= count && to % count == from)
    };
    for entry in ledger {
        let account = || entry.account.clone();
        let before = last.insert(&entry.account, entry);
        let next_version = before.map_or(0, |b| b.version) + 1;
        if entry.version != next_version {
            let (expected, found) = (next_version, entry.version);
            report.violations.push(Violation::Version { account: account(), expected, found });
        }
        let fits = before.map_or(entry.kind == Kind::Opened, |b| {
            let there = b.partition == entry.partition || moved(b.partition, entry.partition);
            there && b.currency == entry.currency && entry.kind != Kind::Opened
        });
        if !fits {
            report.violations.push(Violation::Account { account: account(), version: entry.version });
        }
        let balance = recomputed.entry(&entry.account).or_default();
        *balance += i128::from(entry.amount_minor);
        if *balance != i128::from(entry.balance_minor) {
            report.violations.push(Violation::Balance { account: account(), version: entry.version });
        }
        if entry.balance_minor < 0 || *balance < 0 {
            let (version, balance_minor) = (entry.version, entry.balance_minor);
            report.violations.push(Violation::BelowZero { account: account(), version, balance_minor });
        }
        if matches!(entry.kind, Kind::Opened | Kind::Funded) {
            *funded.entry(entry.currency.clone()).or_default() += i128::from(entry.amount_minor);
        }
    }
    let mut balances: BTreeMap<String, i128> = BTreeMap::new();
    for (account, entry) in &last {
        *balances.entry(entry.currency.clone()).or_default() += i128::from(entry.balance_minor);
        report.balances.insert((*account).to_owned(), entry.balance_minor);
    }
    let currencies: BTreeSet<&String> =
        funded.keys().chain(expected.funded.keys()).chain(balances.keys()).collect();
    for currency in currencies {
        let of = |sums: &BTreeMap<String, i128>| sums.get(currency).copied().unwrap_or(0);
        let (expected, ledger, balances) = (of(&expected.funded), of(&funded), of(&balances));
        if expected != ledger {
            report.violations.push(Violation::Funded { currency: currency.clone(), expected, ledger });
        }
        if expected != balances {
            let funded = expected;
            report.violations.push(Violation::Sum { currency: currency.clone(), funded, balances });
        }
    }
}

/// One outcome an id, and one more of what was held, the same in both topics.
fn outcomes(books: &Books, violations: &mut Vec<Violation>) -> BTreeMap<String, Outcome> {
    let complete = ends(&books.complete, |id| violations.push(Violation::CompleteTwice { id }));
    let confirmed = ends(&books.confirmed, |id| violations.push(Violation::ConfirmedTwice { id }));
    let ids: BTreeSet<&str> = complete.keys().chain(confirmed.keys()).copied().collect();
    for id in ids.into_iter().filter(|id| complete.get(id) != confirmed.get(id)) {
        violations.push(Violation::Disagree { id: id.to_owned() });
    }
    complete.into_iter().map(|(id, end)| (id.to_owned(), end.last.clone())).collect()
}

/// What a topic says of an id.
#[derive(PartialEq)]
struct End<'a> {
    held: bool,
    last: &'a Outcome,
}

/// The outcomes of a topic by id; `twice` is told of each that has one too many.
fn ends(outcomes: &[Outcome], mut twice: impl FnMut(String)) -> BTreeMap<&str, End<'_>> {
    let mut ends: BTreeMap<&str, End<'_>> = BTreeMap::new();
    for last in outcomes {
        let held = last.ending == Ending::Held;
        let before = ends.insert(&last.id, End { held, last });
        // The records of an id lie in one partition, so the hold comes before its end.
        if before.as_ref().is_some_and(|before| held || before.last.ending != Ending::Held) {
            twice(last.id.clone());
        }
        if let (Some(before), Some(end)) = (before, ends.get_mut(last.id.as_str())) {
            end.held |= before.held;
        }
    }
    ends
}

/// The two sides of each payment, against each other and against the outcome.
fn payments(books: &Books, outcomes: &BTreeMap<String, Outcome>, violations: &mut Vec<Violation>) {
    let mut by_id: BTreeMap<&str, BTreeMap<Kind, &Entry>> = BTreeMap::new();
    for entry in &books.ledger {
        let sides = by_id.entry(&entry.id).or_default();
        if sides.insert(entry.kind, entry).is_some() {
            violations.push(Violation::Repeated { id: entry.id.clone(), kind: entry.kind });
        }
        let sign = match entry.kind {
            Kind::Debit => entry.amount_minor < 0,
            Kind::Opened => entry.amount_minor >= 0,
            Kind::Funded | Kind::Credit | Kind::Reverse => entry.amount_minor > 0,
            Kind::Status => entry.amount_minor == 0,
        };
        if !sign {
            violations.push(Violation::Amount { id: entry.id.clone(), kind: entry.kind });
        }
    }
    let none = BTreeMap::new();
    let ids: BTreeSet<&str> = by_id.keys().copied().chain(outcomes.keys().map(String::as_str)).collect();
    for id in ids {
        let sides = by_id.get(id).unwrap_or(&none);
        both_sides(id, sides, violations);
        if let Some(outcome) = outcomes.get(id) {
            agree(outcome, sides, violations);
        }
    }
}

fn both_sides(id: &str, sides: &BTreeMap<Kind, &Entry>, violations: &mut Vec<Violation>) {
    let id = || id.to_owned();
    let (credit, reverse) = (sides.get(&Kind::Credit), sides.get(&Kind::Reverse));
    let (debit, second) = match (sides.get(&Kind::Debit), credit, reverse) {
        (None, None, None) => return,
        (Some(debit), Some(second), None) | (Some(debit), None, Some(second)) => (debit, second),
        _ => return violations.push(Violation::OneSided { id: id() }),
    };
    let credited = second.kind == Kind::Credit;
    let arrived_at = if credited { &debit.counterparty } else { &debit.account };
    if debit.amount_minor.checked_neg() != Some(second.amount_minor)
        || debit.currency != second.currency
        || *arrived_at != second.account
    {
        violations.push(Violation::Amount { id: id(), kind: second.kind });
    }
    if second.at_ms < debit.at_ms {
        violations.push(Violation::CreditFirst { id: id() });
    }
}

fn agree(outcome: &Outcome, sides: &BTreeMap<Kind, &Entry>, violations: &mut Vec<Violation>) {
    let kinds: Vec<Kind> = sides.keys().copied().collect();
    let truth = match (&outcome.payment, outcome.ending) {
        (Some(_), Ending::Confirmed) => kinds == [Kind::Debit, Kind::Credit],
        (Some(_), Ending::Reversed) => kinds == [Kind::Debit, Kind::Reverse],
        (None, Ending::Confirmed) if outcome.decides => kinds.is_empty(),
        (None, Ending::Confirmed) => {
            matches!(kinds[..], [Kind::Opened | Kind::Funded | Kind::Status])
        }
        (Some(_), Ending::Held) | (_, Ending::Rejected) => kinds.is_empty(),
        (None, Ending::Reversed | Ending::Held) => false,
    };
    let reason = matches!(outcome.ending, Ending::Confirmed | Ending::Held) == outcome.reason.is_empty();
    let moved = match (&outcome.payment, sides.get(&Kind::Debit)) {
        (Some(paid), Some(debit)) => {
            paid.from == debit.account
                && paid.to == debit.counterparty
                && paid.amount_minor.checked_neg() == Some(debit.amount_minor)
        }
        _ => true,
    };
    if !(truth && reason && moved) {
        violations.push(Violation::Untrue { id: outcome.id.clone(), ending: outcome.ending });
    }
}

/// What was sent, against what came of it.
fn intakes(
    books: &Books,
    expected: &Expected,
    outcomes: &BTreeMap<String, Outcome>,
    violations: &mut Vec<Violation>,
) {
    let mut letters: BTreeSet<(i32, i64)> = BTreeSet::new();
    for letter in books.letters.iter().filter(|letter| letter.topic == books.incoming_topic) {
        if !letters.insert(letter.at) {
            let (partition, offset) = letter.at;
            violations.push(Violation::LetterTwice { partition, offset });
        }
    }
    let mut sent: BTreeSet<&str> = BTreeSet::new();
    let mut lost: BTreeSet<&str> = BTreeSet::new();
    for received in &books.incoming {
        let dead = letters.contains(&received.at);
        match &received.id {
            None if !dead => {
                let (partition, offset) = received.at;
                violations.push(Violation::NoLetter { partition, offset });
            }
            None => {}
            Some(id) => {
                sent.insert(id);
                if !dead && !outcomes.contains_key(id) {
                    lost.insert(id);
                }
            }
        }
    }
    lost.extend(
        expected.ids.iter().map(String::as_str).filter(|id| sent.contains(id) && !outcomes.contains_key(*id)),
    );
    violations.extend(lost.iter().map(|id| Violation::Lost { id: (*id).to_owned() }));
    let unsent = expected.ids.iter().filter(|id| !sent.contains(id.as_str()));
    violations.extend(unsent.map(|id| Violation::NotSent { id: id.clone() }));
    let of_ledger = books.ledger.iter().map(|entry| entry.id.as_str());
    let told: BTreeSet<&str> = outcomes.keys().map(String::as_str).chain(of_ledger).collect();
    let invented = told.difference(&sent);
    violations.extend(invented.map(|id| Violation::Invented { id: (*id).to_owned() }));
}
