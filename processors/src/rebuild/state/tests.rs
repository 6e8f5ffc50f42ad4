//! What both topics have, where it goes, and what is refused.

use kpay_domain::{Currency, EntryKind, Money, PaymentId};
use kpay_streams::record::NoHeaders;

use super::*;

const OLD: i32 = 4;

fn id(text: &str) -> AccountId {
    AccountId::new(text).unwrap()
}

fn account(balance_minor: i64, version: u64) -> Account {
    Account { balance_minor, version, ..Account::empty(Currency::new("USD").unwrap()) }
}

fn entry(name: &str, state: &Account) -> Vec<u8> {
    let entry = LedgerEntry {
        account: id(name),
        kind: EntryKind::Funded,
        id: PaymentId::new("p").unwrap(),
        counterparty: None,
        amount: Money { minor: 1, currency: state.currency },
        balance_minor: state.balance_minor,
        version: state.version,
        status: state.status,
        at_ms: 0,
        outflow: state.outflow,
        limits: state.limits.clone(),
    };
    let mut bytes = Vec::new();
    entry.encode(&mut bytes);
    bytes
}

fn put(into: &mut Checkpointed, partition: i32, key: &[u8], value: &[u8]) {
    let record = Record { partition, offset: 0, timestamp_ms: 0, key, value, headers: &NoHeaders };
    into.read(&record).unwrap();
}

fn snap(into: &mut Checkpointed, name: &str, state: &Account) {
    let mut value = Vec::new();
    snapshot(&id(name), state, 9).encode(&mut value);
    put(into, partition_of(name.as_bytes(), OLD), name.as_bytes(), &value);
}

fn ledger(entries: &[(&str, Account)]) -> Ledgered {
    let mut ledger = Ledgered::default();
    for (name, state) in entries {
        ledger.read(&entry(name, state)).unwrap();
    }
    ledger
}

/// Snapshots of a and b, a refund that is known, a debit in flight that has ended.
fn checkpoints() -> Checkpointed {
    let mut found = Checkpointed::new(OLD);
    snap(&mut found, "a", &account(1, 1));
    snap(&mut found, "a", &account(5, 2));
    snap(&mut found, "b", &account(7, 1));
    let home = partition_of(b"b", OLD);
    put(&mut found, home, b"\0bb\0paid", &3_i64.to_be_bytes());
    put(&mut found, home, b"\0fb", b"p-1");
    put(&mut found, home, b"\0fb", b"");
    put(&mut found, home, MARKER_KEY, &1_i64.to_be_bytes());
    found
}

#[test]
fn the_last_of_both_counts_and_the_checkpoints_alone_tell_of_notes() {
    let found =
        checkpoints().with(&ledger(&[("a", account(4, 3)), ("b", account(7, 1)), ("c", account(2, 1))]));
    let recorded = found.unwrap().recorded().unwrap();
    assert_eq!((recorded.accounts, recorded.balances["USD"], recorded.notes), (3, 13, 1));
}

#[test]
fn an_account_that_differs_is_refused() {
    let with = |entries: &[(&str, Account)]| checkpoints().with(&ledger(entries)).map(drop);
    assert_eq!(with(&[("b", account(7, 1))]), Ok(()), "a has left the ledger by its retention");
    let same = StateError::Differs { account: "a".into(), ledger: 2, checkpoint: 2 };
    assert_eq!(with(&[("a", account(6, 2))]), Err(same.clone()));
    assert!(same.to_string().ends_with("and they differ"), "{same}");
    let newer = StateError::Differs { account: "a".into(), ledger: 1, checkpoint: 2 };
    assert_eq!(with(&[("a", account(1, 1))]), Err(newer));
}

#[test]
fn what_is_written_is_read_back_as_the_same_from_the_partitions_of_its_accounts() {
    let found = checkpoints().with(&ledger(&[("c", account(2, 1))])).unwrap();
    for partitions in [1, 3, 8] {
        let mut back = Checkpointed::new(partitions);
        let mut markers = 0;
        found
            .write(partitions, 77, &mut |partition, key, value| {
                markers += i32::from(key == MARKER_KEY);
                put(&mut back, partition, key, value);
                Ok(())
            })
            .unwrap();
        assert_eq!(back.recorded(), found.recorded(), "{partitions}");
        assert_eq!((back.at_home(), markers), (Ok(()), partitions));
    }
}

#[test]
fn every_difference_shows_in_the_digest() {
    let digest = |state: Account, note: i64| {
        let mut found = Checkpointed::new(OLD);
        snap(&mut found, "a", &state);
        put(&mut found, partition_of(b"a", OLD), b"\0ba\0paid", &note.to_be_bytes());
        found.recorded().unwrap().digest
    };
    let first = digest(account(5, 2), 3);
    assert_eq!(first, digest(account(5, 2), 3));
    assert_ne!(first, digest(account(6, 2), 3));
    assert_ne!(first, digest(account(5, 3), 3));
    assert_ne!(first, digest(account(5, 2), 4));
}

#[test]
fn a_record_away_from_its_account_is_seen() {
    let mut found = Checkpointed::new(OLD);
    let mut value = Vec::new();
    snapshot(&id("a"), &account(1, 1), 0).encode(&mut value);
    put(&mut found, (partition_of(b"a", OLD) + 1) % OLD, b"a", &value);
    assert_eq!(found.at_home(), Err(StateError::Astray("a".to_owned())));
}

#[test]
fn what_cannot_be_placed_or_counted_is_refused() {
    let record = |key: &'static [u8], value: &'static [u8]| Record {
        partition: 0,
        offset: 0,
        timestamp_ms: 0,
        key,
        value,
        headers: &NoHeaders,
    };
    let mut found = Checkpointed::new(OLD);
    assert_eq!(found.read(&record(b"\0zx", b"1")), Err(StateError::Homeless("\0zx".to_owned())));
    assert!(matches!(found.read(&record(b"a", b"\xff")), Err(StateError::Malformed(_))));
    snap(&mut found, "a", &account(i64::MAX, 1));
    snap(&mut found, "b", &account(1, 1));
    assert_eq!(found.recorded(), Err(StateError::Overflow("USD".to_owned())));
}
