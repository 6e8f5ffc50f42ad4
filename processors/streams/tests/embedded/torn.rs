//! A journal that was cut short, or that has a hole: a prefix of the transactions, or an error; never anything else.

use std::fs;
use std::path::{Path, PathBuf};

use kpay_streams::embedded::{EmbeddedLog, Limits, Store, StoreError};
use kpay_streams::log::Log;
use kpay_streams::sim::Rng;

use crate::directory::Directory;
use crate::{append, offset, read_all, take_over, topics};

const TOPICS: [(&str, i32); 2] = [("in", 1), ("ledger", 2)];
const TRANSACTIONS: i64 = 40;
/// What a disk writes or does not write.
const PAGE_BYTES: usize = 4096;

fn journal(directory: &Path) -> PathBuf {
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "jnl") {
                return path;
            }
        }
    }
    panic!("there is no journal");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else if path.extension().is_none_or(|extension| extension != "jnl") {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// A directory with transactions that all lie in its journal, and the bytes of that.
fn written() -> (Directory, Vec<u8>) {
    let directory = Directory::new();
    let topics = topics(&TOPICS);
    let store = Store::open(directory.path(), &topics, Limits::default()).unwrap();
    let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
    for number in 0..TRANSACTIONS {
        log.begin().unwrap();
        for partition in 0..2 {
            let value = vec![1; usize::try_from(number * 997 % 20_000).unwrap()];
            append(&mut log, 1, partition, &number.to_le_bytes(), Some(&value));
        }
        log.commit(&[offset(0, number + 1, "")]).unwrap();
    }
    drop((log, store));
    let mut bytes = fs::read(journal(directory.path())).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(end);
    (directory, bytes)
}

/// Opens a copy with this journal; says how many transactions are there.
fn open(pristine: &Directory, bytes: &[u8]) -> Result<i64, StoreError> {
    let directory = Directory::new();
    copy(pristine.path(), directory.path());
    let name = journal(pristine.path());
    fs::write(directory.path().join(name.strip_prefix(pristine.path()).unwrap()), bytes).unwrap();
    let topics = topics(&TOPICS);
    let store = Store::open(directory.path(), &topics, Limits::default())?;
    let mut log = EmbeddedLog::open(&store, "g", &topics)?;
    let next = take_over(&mut log)[0].0;
    for partition in 0..2 {
        let keys: Vec<_> = read_all(&mut log, 1, partition).into_iter().map(|r| r.key).collect();
        assert!(keys.into_iter().eq((0..next).map(|number| number.to_le_bytes().to_vec())));
    }
    // What is left can be written to.
    log.begin().unwrap();
    append(&mut log, 1, 0, b"new", None);
    log.commit(&[offset(0, next + 1, "")]).unwrap();
    drop((log, store));
    let store = Store::open(directory.path(), &topics, Limits::default())?;
    let mut log = EmbeddedLog::open(&store, "g", &topics)?;
    assert_eq!(take_over(&mut log)[0].0, next + 1);
    assert_eq!(read_all(&mut log, 1, 0).last().unwrap().key, b"new");
    Ok(next)
}

#[test]
fn a_journal_that_was_cut_short_ends_with_a_whole_transaction() {
    let (directory, bytes) = written();
    assert_eq!(open(&directory, &bytes).unwrap(), TRANSACTIONS);
    let mut rng = Rng::new(1);
    let mut found = Vec::new();
    for _ in 0..40 {
        // The topics were synced before anything else was written.
        let cut = bytes.len() / 20 + rng.below(bytes.len() - bytes.len() / 20);
        let mut cut_short = bytes[..cut].to_vec();
        if rng.chance(0.5) {
            cut_short.resize(bytes.len() + PAGE_BYTES, 0);
        }
        found.push((cut, open(&directory, &cut_short).unwrap()));
    }
    found.sort_unstable();
    assert!(
        found.is_sorted_by_key(|(_, next)| *next),
        "the longer the journal, the more there is: {found:?}"
    );
    assert!(found[0].1 < TRANSACTIONS / 2);
}

#[test]
fn a_journal_with_a_hole_gives_a_prefix_or_an_error() {
    let (directory, bytes) = written();
    let (mut prefixes, mut errors) = (0, 0);
    let mut rng = Rng::new(2);
    for _ in 0..60 {
        let page = 1 + rng.below(bytes.len() / PAGE_BYTES - 1);
        let mut holed = bytes.clone();
        holed[page * PAGE_BYTES..(page + 1) * PAGE_BYTES].fill(0);
        match open(&directory, &holed) {
            Ok(next) => {
                assert!(next < TRANSACTIONS);
                prefixes += 1;
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Torn { .. }), "{error}");
                errors += 1;
            }
        }
    }
    assert!(prefixes > 0 && errors > 0, "both have to occur: {prefixes} prefixes, {errors} errors");
}
