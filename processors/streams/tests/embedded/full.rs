//! The disk is full: the store fails as a whole, and loses nothing of what it had.

use std::env;
use std::path::Path;
use std::process::Command;

use kpay_streams::embedded::{EmbeddedLog, Limits, NewRecord, Store, StoreError};
use kpay_streams::log::LogError;

use crate::directory::Directory;
use crate::kill::{Said, TOPICS, check, transfer};
use crate::{read_all, take_over, topics};

const VARIABLE: &str = "KPAY_EMBEDDED_FULL";

/// Commits transfers until no more can be written, in a process whose files may not grow any longer.
#[test]
fn child() {
    let Ok(directory) = env::var(VARIABLE) else { return };
    let topics = topics(&TOPICS);
    let store = Store::open(Path::new(&directory), &topics, Limits::default()).unwrap();
    let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
    let next = take_over(&mut log)[0].0;
    let (full, error) = (next..).find_map(|n| transfer(&mut log, n).err().map(|error| (n, error))).unwrap();
    assert!(full > next, "something fits");
    assert!(matches!(error, LogError::Unavailable(_)), "{error}");
    for partition in 0..2 {
        let there = read_all(&mut log, 1, partition).len();
        assert_eq!(i64::try_from(there).unwrap(), full, "what could not be written is not seen");
    }
    assert!(transfer(&mut log, full).is_err());
    let record = NewRecord { key: b"k", value: None, headers: &[] };
    let refused = store.append_and_wait(store.topic("in").unwrap(), record);
    assert!(matches!(refused, Err(StoreError::Failed)), "{refused:?}");
    println!("full {full}");
}

#[test]
fn a_full_disk_fails_the_store_and_loses_nothing() {
    let directory = Directory::new();
    // Created without the bound: a new journal takes its room beforehand.
    drop(Store::open(directory.path(), &topics(&TOPICS), Limits::default()).unwrap());
    for _ in 0..2 {
        let committed = run(directory.path());
        check(directory.path(), &Said { committed, ..Said::default() });
        let topics = topics(&TOPICS);
        let store = Store::open(directory.path(), &topics, Limits::default()).unwrap();
        let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
        let next = take_over(&mut log)[0].0;
        assert!(next <= committed + 1, "at most what failed last may be there");
        assert!(store.ends(store.topic("in").unwrap(), 0).unwrap().1 == 0, "the refused record is not there");
    }
}

/// Says how many transfers the child had committed when the disk was full.
fn run(directory: &Path) -> i64 {
    // A write beyond the bound is an error instead of the end: as on a full disk.
    let bounded = "trap '' XFSZ
        bytes=$(find \"$1\" -name '*.jnl' -exec stat -c %s {} + | sort -n | tail -1)
        ulimit -f $((bytes / 512 + 4000))
        exec \"$0\" full::child --exact --nocapture";
    let output = Command::new("sh")
        .args(["-c", bounded])
        .arg(env::current_exe().unwrap())
        .arg(directory)
        .env(VARIABLE, directory)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let full = text.lines().find_map(|line| line.strip_prefix("full ")).unwrap();
    full.parse().unwrap()
}
