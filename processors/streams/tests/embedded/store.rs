//! Appends, commits, aborts and reopenings, one by one.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use kpay_streams::embedded::{EmbeddedLog, Limits, NewRecord, Store, StoreError};
use kpay_streams::log::{Log, LogError, Polled, Reader, Start, Until};
use kpay_streams::out::{Outgoing, TopicIndex};

use crate::directory::Directory;
use crate::{append, intake, offset, read, read_all, take_over, tight, topics};

const TOPICS: [(&str, i32); 2] = [("in", 2), ("out", 3)];
/// Longer than any test: who waits for this long was not woken.
const LONG: Duration = Duration::from_mins(1);

#[test]
fn records_offsets_and_metadata_are_there_after_a_reopening() {
    let directory = Directory::new();
    let topics = topics(&TOPICS);
    let headers = [("h".to_owned(), b"1".to_vec()), ("h".to_owned(), b"2".to_vec())];
    let before = {
        let store = Store::open(directory.path(), &topics, Limits::default()).unwrap();
        let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
        assert_eq!(take_over(&mut log), [(0, String::new()), (0, String::new())]);
        log.begin().unwrap();
        let record =
            Outgoing { topic: TopicIndex(1), partition: 2, key: b"k", value: Some(b"v"), headers: &headers };
        log.append(&record).unwrap();
        append(&mut log, 1, 2, b"gone", None);
        append(&mut log, 0, 1, b"", Some(b""));
        log.commit(&[offset(0, 7, "seven"), offset(1, 0, "")]).unwrap();
        (read_all(&mut log, 1, 2), read_all(&mut log, 0, 1))
    };
    assert_eq!(before.0.len(), 2);
    assert_eq!(before.0[0].headers, headers);
    let store = Store::open(directory.path(), &topics, Limits::default()).unwrap();
    let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
    assert_eq!(take_over(&mut log), [(7, "seven".to_owned()), (0, String::new())]);
    assert_eq!((read_all(&mut log, 1, 2), read_all(&mut log, 0, 1)), before);
    let mut other = EmbeddedLog::open(&store, "another group", &topics).unwrap();
    assert_eq!(take_over(&mut other)[0], (0, String::new()));
    let next = intake(&store, store.topic("in").unwrap(), b"", b"next");
    assert!([0, 1].contains(&next), "offsets go on where they were");
}

#[test]
fn an_abort_and_a_log_that_is_dropped_leave_nothing() {
    let directory = Directory::new();
    let topics = topics(&TOPICS);
    let store = Store::open(directory.path(), &topics, Limits::default()).unwrap();
    for drop_it in [false, true] {
        let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
        assert_eq!(take_over(&mut log)[0], (0, String::new()));
        log.begin().unwrap();
        append(&mut log, 1, 0, b"k", Some(b"v"));
        if !drop_it {
            log.abort().unwrap();
            assert!(matches!(log.commit(&[offset(0, 1, "")]), Err(LogError::Abort(_))));
            log.begin().unwrap();
            log.commit(&[]).unwrap();
        }
    }
    let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
    assert_eq!(take_over(&mut log)[0], (0, String::new()));
    assert_eq!(read_all(&mut log, 1, 0), []);
}

#[test]
fn a_newer_log_of_the_group_fences_the_older_one_even_while_it_waits() {
    let directory = Directory::new();
    let topics = topics(&TOPICS);
    let store = Store::open(directory.path(), &topics, Limits::default()).unwrap();
    let mut stranger = EmbeddedLog::open(&store, "h", &topics).unwrap();
    let mut older = EmbeddedLog::open(&store, "g", &topics).unwrap();
    for round in 0..20 {
        take_over(&mut older);
        older.begin().unwrap();
        append(&mut older, 1, 0, b"k", Some(b"old"));
        let (about_to, announced) = channel();
        let waiting = thread::spawn(move || {
            about_to.send(()).unwrap();
            let polled = older.poll(LONG, 1, &mut |_| {});
            (polled, older.commit(&[offset(0, 1, "old")]), older.reconnect(&[0]))
        });
        announced.recv().unwrap();
        // Takes long enough for the other to wait in most of the rounds, and wakes nobody who reads the input.
        intake(&store, store.topic("out").unwrap(), b"", b"");
        let mut newer = EmbeddedLog::open(&store, "g", &topics).unwrap();
        let (polled, committed, reconnected) = waiting.join().unwrap();
        assert!(matches!(polled, Err(LogError::Fenced(_))), "round {round}: {polled:?}");
        assert!(matches!(committed, Err(LogError::Fenced(_))), "{committed:?}");
        assert!(matches!(reconnected, Err(LogError::Fenced(_))), "{reconnected:?}");
        assert!(read_all(&mut newer, 1, 0).iter().all(|record| record.value != b"old"));
        older = newer;
    }
    assert_eq!(take_over(&mut older)[0], (0, String::new()));
    stranger.begin().unwrap();
    stranger.commit(&[offset(0, 1, "")]).unwrap();
}

#[test]
fn a_poll_is_woken_by_a_record_and_a_paused_partition_stays_silent() {
    let directory = Directory::new();
    let topics = topics(&[("in", 1)]);
    let store = Store::open(directory.path(), &topics, Limits::default()).unwrap();
    let topic = store.topic("in").unwrap();
    let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
    take_over(&mut log);
    intake(&store, topic, b"k", b"1");
    log.pause(&[0]).unwrap();
    assert_eq!(log.poll(Duration::ZERO, 9, &mut |_| {}), Ok(Polled::Nothing));
    log.resume(&[0]).unwrap();
    assert_eq!(log.poll(LONG, 9, &mut |_| {}), Ok(Polled::Records(1)));
    let (reader, polled) = channel();
    let reading = thread::spawn(move || {
        (1..100).for_each(|_| reader.send(log.poll(LONG, 9, &mut |_| {})).unwrap());
    });
    // A record takes its time to be written and synced: in most of the rounds the other waits by then.
    for round in 1..100 {
        assert_eq!(intake(&store, topic, b"k", b"2"), round);
        assert_eq!(polled.recv().unwrap(), Ok(Polled::Records(1)), "round {round}");
    }
    reading.join().unwrap();
}

#[test]
fn a_reader_behind_the_memory_gets_every_record_once() {
    let directory = Directory::new();
    let topics = topics(&[("in", 2)]);
    let store = Store::open(directory.path(), &topics, tight()).unwrap();
    let mut writer = EmbeddedLog::open(&store, "writer", &topics).unwrap();
    for n in 0..300_u32 {
        writer.begin().unwrap();
        for _ in 0..=n % 3 {
            append(&mut writer, 0, i32::try_from(n % 2).unwrap(), b"k", Some(&n.to_le_bytes()));
        }
        writer.commit(&[]).unwrap();
    }
    let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
    take_over(&mut log);
    let mut next = [0, 0];
    while let Polled::Records(count) = log
        .poll(Duration::ZERO, 7, &mut |record| {
            let next = &mut next[usize::try_from(record.partition).unwrap()];
            assert_eq!(record.offset, *next);
            *next += 1;
        })
        .unwrap()
    {
        assert!((1..=7).contains(&count));
    }
    assert_eq!(next.iter().sum::<i64>(), 600);
    for (partition, end) in (0..).zip(next) {
        for from in 0..end {
            let until = (from + 5).min(end);
            let found = read(&mut log, 0, partition, Start::Offset(from), Until::Offset(until));
            assert!(found.iter().map(|r| r.offset).eq(from..until), "{from}");
        }
    }
}

#[test]
fn a_read_from_a_time_begins_with_the_first_record_of_that_time() {
    let directory = Directory::new();
    let topics = topics(&[("in", 1)]);
    let store = Store::open(directory.path(), &topics, tight()).unwrap();
    let topic = store.topic("in").unwrap();
    let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
    for n in 0..100_u8 {
        intake(&store, topic, b"k", &[n]);
    }
    let mut times = Vec::new();
    log.read(TopicIndex(0), 0, Start::Beginning, Until::Stable, &mut |r| times.push(r.timestamp_ms)).unwrap();
    for at_ms in [i64::MIN, times[0], times[50], times[99], times[99] + 1, i64::MAX] {
        let expected = times.iter().position(|t| *t >= at_ms).unwrap_or(100);
        let found = read(&mut log, 0, 0, Start::Timestamp(at_ms), Until::Stable);
        assert!(found.iter().map(|r| r.offset).eq(i64::try_from(expected).unwrap()..100), "{at_ms}");
    }
}

#[test]
fn many_who_append_at_once_are_each_told_their_own_offset() {
    let directory = Directory::new();
    let topics = topics(&[("in", 4)]);
    let store = Store::open(directory.path(), &topics, Limits::default()).unwrap();
    let topic = store.topic("in").unwrap();
    let (sender, receiver) = channel();
    for n in 0..1_000_u32 {
        let (sender, key) = (sender.clone(), n.to_le_bytes());
        let record = NewRecord { key: &key, value: Some(b"v"), headers: &[] };
        store
            .append(topic, record, Box::new(move |told| sender.send((key, told.unwrap())).unwrap()))
            .unwrap();
    }
    drop(sender);
    let mut told = 0;
    for (key, offset) in receiver {
        let partition = kpay_kafka::partition::partition_of(&key, 4);
        let found = store.get(topic, partition, offset, &mut |record| assert_eq!(record.key, key)).unwrap();
        assert!(found);
        told += 1;
    }
    assert_eq!(told, 1_000);
    assert!(!store.get(topic, 0, 1_000, &mut |_| {}).unwrap());
}

#[test]
fn what_does_not_fit_the_directory_is_refused_with_what_to_do() {
    let directory = Directory::new();
    let store = Store::open(directory.path(), &topics(&TOPICS), Limits::default()).unwrap();
    let again = Store::open(directory.path(), &topics(&TOPICS), Limits::default());
    assert!(matches!(again, Err(StoreError::Locked { .. })), "{again:?}");
    drop(store);
    let error = Store::open(directory.path(), &topics(&[("out", 4)]), Limits::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("topic out has 3 partitions") && text.contains("4 were asked for"), "{text}");
    let store = Store::open(directory.path(), &topics(&[("new", 1)]), Limits::default()).unwrap();
    assert_eq!(store.topic("out").unwrap().partitions, 3, "topics that are not asked for stay");
    assert_eq!(store.topic("new").unwrap().partitions, 1);
    assert!(matches!(store.topic("none"), Err(StoreError::NoTopic { .. })));
    let wrong = EmbeddedLog::open(&store, "g", &topics(&[("out", 4)]));
    assert!(matches!(wrong, Err(StoreError::Partitions { .. })));
    let mut log = EmbeddedLog::open(&store, "g", &topics(&[("out", 3)])).unwrap();
    log.begin().unwrap();
    let nowhere = Outgoing { topic: TopicIndex(0), partition: 3, key: b"", value: None, headers: &[] };
    assert!(matches!(log.append(&nowhere), Err(LogError::Unavailable(_))));
}

#[test]
fn more_than_may_wait_is_refused_and_one_long_record_is_not() {
    let directory = Directory::new();
    let topics = topics(&[("in", 1)]);
    let limits = Limits { waiting_bytes_max: 100, ..Limits::default() };
    let store = Store::open(directory.path(), &topics, limits).unwrap();
    let topic = store.topic("in").unwrap();
    intake(&store, topic, b"k", &[0; 1_000]);
    // The thread that syncs waits in the first answer, so that what comes now stays in the queue.
    let (go, gate) = channel::<()>();
    let (told, entered) = channel();
    let record = |value| NewRecord { key: b"", value: Some(value), headers: &[] };
    store
        .append(
            topic,
            record(b"1"),
            Box::new(move |_| {
                told.send(()).unwrap();
                assert!(gate.recv().is_err());
            }),
        )
        .unwrap();
    entered.recv().unwrap();
    store.append(topic, record(&[0; 60]), Box::new(|_| {})).unwrap();
    let refused = store.append(topic, record(&[0; 60]), Box::new(|_| panic!("refused")));
    assert!(matches!(refused, Err(StoreError::Busy { waiting_bytes: 60 })), "{refused:?}");
    drop(go);
    intake(&store, topic, b"", b"2");
    assert_eq!(store.ends(topic, 0).unwrap(), (0, 4));
}
