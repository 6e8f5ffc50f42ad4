//! What a run promises.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn spec() -> Spec {
    Spec {
        seed: 7,
        run: "r".to_owned(),
        accounts: 1_000,
        skew: Skew::Uniform,
        amounts: Amounts::Uniform(1, 100),
        currency: Currency::new("USD").unwrap(),
        invalid_ppm: 0,
        duplicates_ppm: 0,
    }
}

fn items(spec: Spec, count: u64) -> Vec<Item> {
    let workload = Workload::new(spec).unwrap();
    (0..count).map(|number| workload.item(number).unwrap()).collect()
}

fn payments(items: &[Item]) -> impl Iterator<Item = &Payment> {
    items.iter().filter_map(|item| match item {
        Item::Intake(Intake::Payment(payment)) => Some(payment),
        _ => None,
    })
}

#[test]
fn the_same_seed_gives_the_same_items_in_any_order_and_another_seed_others() {
    let mixed = Spec { invalid_ppm: 100_000, duplicates_ppm: 100_000, ..spec() };
    let first = items(mixed.clone(), 500);
    let workload = Workload::new(mixed.clone()).unwrap();
    for number in (0..500).rev() {
        assert_eq!(workload.item(number).unwrap(), first[usize::try_from(number).unwrap()]);
    }
    assert_ne!(items(Spec { seed: 8, ..mixed }, 500), first);
}

#[test]
fn without_invalid_and_duplicates_every_payment_is_good_and_new() {
    let items = items(spec(), 20_000);
    let ids: BTreeSet<&str> = items.iter().map(|item| item.id().as_str()).collect();
    assert_eq!(ids.len(), items.len());
    assert_eq!(payments(&items).count(), items.len());
    for payment in payments(&items) {
        assert!(payment.from != payment.to && (1..=100).contains(&payment.amount.minor), "{payment:?}");
    }
}

#[test]
fn the_skew_decides_who_pays() {
    let shares = |skew| {
        let items = items(Spec { skew, ..spec() }, 100_000);
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for payment in payments(&items) {
            *counts.entry(payment.from.as_str().to_owned()).or_default() += 1;
        }
        counts
    };
    let uniform = shares(Skew::Uniform);
    assert_eq!(uniform.len(), 1_000);
    assert!(uniform.values().all(|count| (50..200).contains(count)));
    let zipf = shares(Skew::Zipf);
    // 1 / H(1000) = 13.36 % for the first, a tenth of it for the tenth.
    let of = |number: u64| zipf[account(number).unwrap().as_str()];
    assert!((12_900..13_900).contains(&of(0)), "{}", of(0));
    assert!((1_150..1_520).contains(&of(9)), "{}", of(9));
}

#[test]
fn as_many_are_invalid_as_asked_for_and_of_every_kind() {
    let items = items(Spec { invalid_ppm: 60_000, ..spec() }, 100_000);
    let mut kinds = BTreeMap::from([("unreadable", items.len() - payments(&items).count())]);
    for payment in payments(&items) {
        let kind = if payment.amount.minor == 0 {
            "amount"
        } else if payment.from == payment.to {
            "same"
        } else if payment.from.as_str() == "nobody" {
            "payer"
        } else if payment.to.as_str() == "nobody" {
            "payee"
        } else if payment.amount.currency.as_str() != "USD" {
            "currency"
        } else {
            continue;
        };
        *kinds.entry(kind).or_default() += 1;
    }
    assert_eq!(kinds.len(), Invalid::ALL.len());
    assert!(kinds.values().all(|count| (850..1_150).contains(count)), "{kinds:?}");
}

#[test]
fn a_duplicate_is_an_exact_copy_of_one_before() {
    let items = items(Spec { duplicates_ppm: 200_000, invalid_ppm: 50_000, ..spec() }, 50_000);
    let mut seen: BTreeMap<&str, &Item> = BTreeMap::new();
    let mut copies = 0;
    for item in &items {
        if let Some(before) = seen.insert(item.id().as_str(), item) {
            assert_eq!(before, item);
            copies += 1;
        }
    }
    assert!((9_500..10_500).contains(&copies), "{copies}");
}

#[test]
fn a_median_is_in_the_middle_and_far_amounts_are_seldom() {
    let items = items(Spec { amounts: Amounts::Median(2_000), ..spec() }, 50_000);
    let mut minor: Vec<i64> = payments(&items).map(|payment| payment.amount.minor).collect();
    minor.sort_unstable();
    let at = |percent: usize| minor[minor.len() * percent / 100];
    assert!((1_600..2_600).contains(&at(50)), "the median: {}", at(50));
    assert!(at(5) < 500 && at(95) > 8_000, "{} {}", at(5), at(95));
    assert!(minor[0] >= 1);
}

#[test]
fn an_opening_is_the_same_command_in_every_run_and_another_with_other_money() {
    let opening = |run: &str, funding| {
        let run = run.to_owned();
        Workload::new(Spec { run, ..spec() }).unwrap().opening(7, funding).unwrap()
    };
    assert_eq!(opening("a", 5), opening("b", 5));
    assert_eq!(opening("a", 5).id().as_str(), "open:acct-000007:5USD");
    assert_ne!(opening("a", 5).id(), opening("a", 6).id());
    let (accounts, currency) = (1_000_000, Currency::new("USD").unwrap());
    let largest = Workload::new(Spec { accounts, currency, ..spec() }).unwrap();
    assert!(largest.opening(accounts - 1, i64::MAX).is_ok(), "the longest id");
}
