//! What is old or superseded leaves, and nothing else.

use std::time::Duration;

use kpay_streams::embedded::{EmbeddedLog, Limits, Store};
use kpay_streams::log::{Log, LogError, Offset, Reader, Start, Until};
use kpay_streams::out::TopicIndex;

use crate::directory::Directory;
use crate::{append, intake, read_all, take_over, tight, topics};

#[test]
fn what_was_written_before_a_time_leaves_and_the_beginning_is_known_after_a_reopening() {
    let directory = Directory::new();
    let topics = topics(&[("in", 1), ("other", 1)]);
    let store = Store::open(directory.path(), &topics, tight()).unwrap();
    let topic = store.topic("in").unwrap();
    for n in 0..600_u32 {
        intake(&store, topic, b"k", &n.to_le_bytes());
    }
    intake(&store, store.topic("other").unwrap(), b"k", b"v");
    let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
    take_over(&mut log);
    let mut times = Vec::new();
    log.read(TopicIndex(0), 0, Start::Beginning, Until::Stable, &mut |r| times.push(r.timestamp_ms)).unwrap();
    assert_eq!(store.retain(topic, None, times[0]).unwrap(), 0);
    let before_ms = times[500];
    let expected = times.iter().position(|t| *t >= before_ms).unwrap();
    assert_eq!(store.retain(topic, None, before_ms).unwrap(), u64::try_from(expected).unwrap());
    let first = i64::try_from(expected).unwrap();
    assert_eq!(store.ends(topic, 0).unwrap(), (first, 600));
    let behind = log.poll(Duration::ZERO, 1, &mut |_| {});
    assert!(expected == 0 || matches!(behind, Err(LogError::Unavailable(_))), "{behind:?}");
    assert_eq!(read_all(&mut log, 1, 0).len(), 1);
    drop((log, store));

    let store = Store::open(directory.path(), &topics, tight()).unwrap();
    assert_eq!(store.ends(topic, 0).unwrap(), (first, 600));
    assert!(first == 0 || !store.get(topic, 0, first - 1, &mut |_| {}).unwrap());
    assert!(store.get(topic, 0, first, &mut |_| {}).unwrap());
    assert_eq!(store.retain(topic, None, i64::MAX).unwrap(), 599 - u64::try_from(first).unwrap());
    drop(store);
    let store = Store::open(directory.path(), &topics, Limits::default()).unwrap();
    assert_eq!(store.ends(topic, 0).unwrap(), (599, 600), "the newest batch tells where the partition ends");
    assert_eq!(intake(&store, topic, b"k", b"next"), 600);
    let mut log = EmbeddedLog::open(&store, "new", &topics).unwrap();
    assert_eq!(take_over(&mut log)[0].0, 599);
}

#[test]
fn what_its_reader_has_yet_to_read_stays_however_old() {
    let directory = Directory::new();
    let topics = topics(&[("in", 1)]);
    let store = Store::open(directory.path(), &topics, tight()).unwrap();
    let topic = store.topic("in").unwrap();
    for n in 0..10_u32 {
        intake(&store, topic, b"k", &n.to_le_bytes());
    }
    assert_eq!(store.retain(topic, Some("g"), i64::MAX).unwrap(), 0, "nothing was ever read");
    let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
    take_over(&mut log);
    log.begin().unwrap();
    log.commit(&[Offset { partition: 0, next: 4, metadata: String::new() }]).unwrap();
    assert_eq!(store.committed("g", topic, 0).unwrap(), 4);
    assert_eq!(store.retain(topic, Some("g"), i64::MAX).unwrap(), 4);
    assert_eq!(store.ends(topic, 0).unwrap(), (4, 10));
    assert_eq!(read_all(&mut log, 0, 0).len(), 6);
}

#[test]
fn compaction_keeps_the_newest_of_each_key_at_its_offset() {
    let directory = Directory::new();
    let topics = topics(&[("checkpoints", 1)]);
    let store = Store::open(directory.path(), &topics, Limits::default()).unwrap();
    let topic = store.topic("checkpoints").unwrap();
    let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
    for transaction in ["abc", "ab", "bdb", "aa"] {
        log.begin().unwrap();
        for key in transaction.bytes() {
            append(&mut log, 0, 0, &[key], (key != b'd').then_some(transaction.as_bytes()));
        }
        log.commit(&[]).unwrap();
    }
    let all = read_all(&mut log, 0, 0);
    assert_eq!(store.compact(topic).unwrap(), 5);
    let kept: Vec<_> = [2, 6, 7, 8, 9].map(|at: usize| all[at].clone()).to_vec();
    assert_eq!(read_all(&mut log, 0, 0), kept);
    assert_eq!(store.compact(topic).unwrap(), 0);
    drop((log, store));
    let store = Store::open(directory.path(), &topics, Limits::default()).unwrap();
    let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
    assert_eq!(read_all(&mut log, 0, 0), kept);
    assert_eq!(intake(&store, topic, b"d", b"next"), 10);
    assert!(!store.get(topic, 0, 3, &mut |_| {}).unwrap());
    assert!(store.get(topic, 0, 6, &mut |record| assert_eq!(record.key, b"d")).unwrap());
}
