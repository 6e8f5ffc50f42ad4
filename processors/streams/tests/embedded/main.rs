//! The embedded log: what it keeps over a reopening, an abort, a kill, a torn journal; and a worker on it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod directory;
mod full;
mod kill;
mod maintenance;
mod model;
mod store;
mod torn;
mod worker;

use kpay_streams::embedded::{EmbeddedLog, Limits, NewRecord, Store, StoredTopic};
use kpay_streams::log::{Log, Offset, Polled, Reader, Start, Until};
use kpay_streams::out::{Outgoing, Topic, TopicIndex};

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) offset: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Read {
    pub(crate) fn of(record: &kpay_streams::record::Record<'_>) -> Self {
        let mut headers = Vec::new();
        record.headers.each(&mut |name, value| headers.push((name.to_owned(), value.to_vec())));
        Self { offset: record.offset, key: record.key.to_vec(), value: record.value.to_vec(), headers }
    }
}

pub(crate) fn topics(list: &[(&str, i32)]) -> Vec<Topic> {
    list.iter()
        .map(|(name, partitions)| Topic { name: (*name).to_owned(), partitions: *partitions })
        .collect()
}

/// Only the newest batch of each partition stays in memory.
pub(crate) fn tight() -> Limits {
    Limits { partition_bytes_max: 1, ..Limits::default() }
}

pub(crate) fn append(log: &mut EmbeddedLog, topic: usize, partition: i32, key: &[u8], value: Option<&[u8]>) {
    log.append(&Outgoing { topic: TopicIndex(topic), partition, key, value, headers: &[] }).unwrap();
}

pub(crate) fn intake(store: &Store, topic: StoredTopic, key: &[u8], value: &[u8]) -> i64 {
    store.append_and_wait(topic, NewRecord { key, value: Some(value), headers: &[] }).unwrap()
}

pub(crate) fn read(
    log: &mut EmbeddedLog,
    topic: usize,
    partition: i32,
    from: Start,
    until: Until,
) -> Vec<Read> {
    let mut found = Vec::new();
    log.read(TopicIndex(topic), partition, from, until, &mut |r| found.push(Read::of(r))).unwrap();
    found
}

pub(crate) fn read_all(log: &mut EmbeddedLog, topic: usize, partition: i32) -> Vec<Read> {
    read(log, topic, partition, Start::Beginning, Until::Stable)
}

pub(crate) fn offset(partition: i32, next: i64, metadata: &str) -> Offset {
    Offset { partition, next, metadata: metadata.to_owned() }
}

/// Takes the assignment and resumes everything; says where each partition stands.
pub(crate) fn take_over(log: &mut EmbeddedLog) -> Vec<(i64, String)> {
    let Polled::Assigned(assigned) = log.poll(std::time::Duration::ZERO, 1, &mut |_| {}).unwrap() else {
        panic!("the first poll assigns");
    };
    let partitions: Vec<i32> = assigned.iter().map(|a| a.partition).collect();
    assert!(partitions.iter().copied().eq(0..i32::try_from(partitions.len()).unwrap()));
    log.resume(&partitions).unwrap();
    assigned.into_iter().map(|a| (a.offset, a.metadata)).collect()
}
