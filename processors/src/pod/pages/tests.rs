//! Pages over a table and a ledger in memory.

use kpay_domain::{
    Account, AccountStatus, Attributes, Currency, EntryKind, HeldPayment, Hold, Money, Outflow, Payment,
    PaymentId, Reference, RuleAction, RuleName, RuleSource, Rules,
};
use kpay_streams::record::{NoHeaders, Record};

use super::holds::hold_json;
use super::*;

fn account() -> Account {
    let currency = Currency::new("USD").unwrap();
    Account { balance_minor: 1, version: 1, ..Account::empty(currency) }
}

/// The ids of a page, of accounts that come in a scattered order.
fn page(after: &str, limit: usize) -> (Vec<String>, bool) {
    let mut next = Next::new(AccountId::new(after).ok(), limit);
    for number in 0..100_u32 {
        next.see(&AccountId::new(&format!("a{:02}", number * 37 % 100)).unwrap(), &account());
    }
    let (page, more) = next.page();
    (page.into_iter().map(|(id, _)| id.as_str().to_owned()).collect(), more)
}

#[test]
fn a_page_is_the_next_ids_in_order_whatever_the_order_in_which_they_come() {
    assert_eq!(page("", 3), (vec!["a00".into(), "a01".into(), "a02".into()], true));
    assert_eq!(page("a02", 2), (vec!["a03".into(), "a04".into()], true));
    assert_eq!(page("a97", 2), (vec!["a98".into(), "a99".into()], false));
    assert_eq!(page("a97", 3), (vec!["a98".into(), "a99".into()], false));
    assert_eq!(page("a99", 3), (vec![], false));
}

fn held(id: &str, held_at_ms: i64) -> HeldPayment {
    let payment = Payment {
        id: PaymentId::new(id).unwrap(),
        from: AccountId::new("alice").unwrap(),
        to: AccountId::new("bob").unwrap(),
        amount: Money::new(600, Currency::new("USD").unwrap()),
        reference: Reference::new("invoice 7").unwrap(),
        attributes: Attributes::default(),
        occurred_at_ms: None,
        refund: None,
    };
    let rule = RuleName::new("big").unwrap();
    let hold = Hold { rule, held_at_ms, expires_at_ms: held_at_ms + 1_000, decided: None };
    HeldPayment { payment, accepted_at_ms: 0, hold }
}

#[test]
fn holds_come_by_their_time_and_those_of_one_moment_by_their_payment() {
    let all = [("c", 5), ("a", 7), ("b", 5), ("d", 3)];
    let page = |after: Option<&str>, limit| {
        let mut next = Next::new(after.map(|after| Place::parse(after).unwrap()), limit);
        for (id, at_ms) in all {
            let held = held(id, at_ms);
            next.see(&Place::new(at_ms, held.payment.id.clone()), &held);
        }
        let (page, more) = next.page();
        (page.iter().map(|(place, _)| place.to_string()).collect::<Vec<_>>(), more)
    };
    assert_eq!(page(None, 2), (vec!["3.d".to_owned(), "5.b".to_owned()], true));
    assert_eq!(page(Some("5.b"), 2), (vec!["5.c".to_owned(), "7.a".to_owned()], false));
    assert_eq!(page(Some("7.a"), 2), (vec![], false));
    for wrong in ["", "5", "5.", ".b", "x.b", "5.b c"] {
        assert_eq!(Place::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn a_hold_is_shown_with_the_message_of_its_rule_while_there_is_one() {
    let rule = |name: &str, message: Option<&str>| RuleSource {
        name: name.to_owned(),
        when: "payment.amount > 500".to_owned(),
        action: RuleAction::Hold,
        message: message.map(str::to_owned),
    };
    let rules = Rules::compile(&[rule("other", Some("no")), rule("big", Some("We look at it."))]).unwrap();
    let expected = json!({
        "id": "p-1", "from": "alice", "to": "bob", "amount": {"value": 600, "currency": "USD"},
        "reference": "invoice 7", "rule": "big", "message": "We look at it.",
        "heldAt": "2026-11-23T12:00:00.000Z", "expiresAt": "2026-11-23T12:00:01.000Z",
    });
    let held = held("p-1", 1_795_435_200_000);
    assert_eq!(hold_json(&held, &rules), expected);
    let silent = Rules::compile(&[rule("big", None)]).unwrap();
    for rules in [silent, Rules::default()] {
        assert_eq!(hold_json(&held, &rules).get("message"), None);
    }
}

/// A ledger of which every `step`th record is of the account `a`, the first of them at `first`; the others are of `b`.
struct Memory {
    first: i64,
    end: i64,
    step: i64,
}

impl Memory {
    fn version(&self, offset: i64) -> Option<u64> {
        let at = offset - self.first;
        (at >= 0 && at % self.step == 0).then(|| u64::try_from(at / self.step + 1).unwrap())
    }

    /// The version that the account has.
    fn newest(&self) -> u64 {
        (0..self.end).filter_map(|offset| self.version(offset)).max().unwrap()
    }
}

impl Scan for Memory {
    fn ends(&self, _partition: i32, _timeout: Duration) -> anyhow::Result<(i64, i64)> {
        Ok((0, self.end))
    }

    fn range(
        &self,
        _partition: i32,
        (from, until): (i64, i64),
        _timeout: Duration,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> anyhow::Result<()> {
        assert!(0 <= from && from < until && until <= self.end, "{from}..{until}");
        for offset in from..until {
            let version = self.version(offset);
            let entry = LedgerEntry {
                account: AccountId::new(if version.is_some() { "a" } else { "b" }).unwrap(),
                kind: EntryKind::Funded,
                id: PaymentId::new("f").unwrap(),
                counterparty: None,
                amount: Money::new(1, Currency::new("USD").unwrap()),
                balance_minor: 1,
                version: version.unwrap_or(1),
                status: AccountStatus::Open,
                at_ms: 0,
                outflow: Outflow::NONE,
                limits: None,
            };
            let mut value = Vec::new();
            entry.encode(&mut value);
            let key = entry.account.as_str().as_bytes();
            each(&Record { partition: 0, offset, timestamp_ms: 0, key, value: &value, headers: &NoHeaders });
        }
        Ok(())
    }
}

/// The versions of every page, one after the other by the cursor.
fn pages(ledger: &Memory, limit: usize, newest_first: bool) -> Vec<Vec<u64>> {
    let last = if newest_first { 1 } else { ledger.newest() };
    let (mut pages, mut from) = (Vec::new(), None);
    loop {
        let query = LedgerQuery { account: "a".to_owned(), from, limit, newest_first };
        let (entries, next) = read_ledger(ledger, 0, &query, last).unwrap();
        pages.push(entries.iter().map(|entry| entry.version).collect());
        match next {
            None => return pages,
            Some(_) => from = next,
        }
    }
}

#[test]
fn the_pages_of_a_ledger_have_every_entry_once_in_either_order() {
    for (first, end, step) in [(0, 10, 1), (7, 8_000, 700), (99, 100, 5)] {
        let ledger = Memory { first, end, step };
        for limit in [1, 3, 1_000] {
            let all: Vec<u64> = (1..=ledger.newest()).collect();
            assert_eq!(pages(&ledger, limit, false).concat(), all, "{end} by {limit}");
            let reversed: Vec<u64> = all.into_iter().rev().collect();
            assert_eq!(pages(&ledger, limit, true).concat(), reversed, "{end} by {limit}");
        }
    }
}

#[test]
fn a_page_looks_at_a_bounded_stretch_and_goes_on_where_nothing_was_found() {
    let end = SCAN_RECORDS_MAX * 2 + 100;
    let late = Memory { first: end - 2, end, step: 1 };
    assert_eq!(pages(&late, 10, false), [vec![], vec![], vec![1, 2]]);
    let early = Memory { first: 0, end, step: end };
    assert_eq!(pages(&early, 10, true), [vec![], vec![], vec![1]]);
    // The newest entry is the last: what lies behind it is not looked at.
    assert_eq!(pages(&early, 10, false), [vec![1]]);
}
