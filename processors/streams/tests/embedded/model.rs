//! Any history of calls against a model in memory: lists of batches, and a map of offsets.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use kpay_kafka::partition::partition_of;
use kpay_streams::embedded::{EmbeddedLog, NewRecord, Store};
use kpay_streams::log::{Log, Polled, Start, Until};
use kpay_streams::out::Topic;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::Config;

use crate::directory::Directory;
use crate::{Read, append, offset, read, read_all, take_over, tight, topics};

const TOPICS: [(&str, i32); 2] = [("in", 2), ("out", 2)];

#[derive(Debug, Clone)]
enum Call {
    /// Within the transaction: topic, partition, key, length of the value (or a tombstone).
    Append(usize, i32, u8, Option<u8>),
    Poll(usize),
    Commit,
    Abort,
    Intake(u8),
    Reopen,
    /// A new log in place of the old one.
    Replace,
    Read(usize, i32, u8, u8),
    Retain(usize),
    Compact(usize),
}

fn call() -> impl Strategy<Value = Call> {
    let topic = 0..TOPICS.len();
    prop_oneof![
        8 => (topic.clone(), 0..2, 0..5_u8, proptest::option::of(any::<u8>()))
            .prop_map(|(t, p, k, v)| Call::Append(t, p, k, v)),
        4 => (1..6_usize).prop_map(Call::Poll),
        4 => Just(Call::Commit),
        1 => Just(Call::Abort),
        4 => any::<u8>().prop_map(Call::Intake),
        1 => Just(Call::Reopen),
        1 => Just(Call::Replace),
        3 => (topic.clone(), 0..2, any::<u8>(), any::<u8>()).prop_map(|(t, p, a, b)| Call::Read(t, p, a, b)),
        1 => topic.clone().prop_map(Call::Retain),
        1 => topic.prop_map(Call::Compact),
    ]
}

/// A partition: its batches, and the next offset.
#[derive(Debug, Default)]
struct Partition {
    batches: Vec<Vec<Read>>,
    end: i64,
}

impl Partition {
    fn push(&mut self, records: &[(Vec<u8>, Vec<u8>)]) {
        let read = |(offset, (key, value)): (i64, &(Vec<u8>, Vec<u8>))| Read {
            offset,
            key: key.clone(),
            value: value.clone(),
            headers: vec![],
        };
        self.batches.push((self.end..).zip(records).map(read).collect());
        self.end += i64::try_from(records.len()).unwrap();
    }

    fn records(&self) -> Vec<Read> {
        self.batches.concat()
    }

    fn compact(&mut self) {
        let Some(newest) = self.batches.last().cloned() else { return };
        let mut seen = HashSet::new();
        for batch in self.batches.iter_mut().rev() {
            let mut kept: Vec<Read> =
                batch.drain(..).rev().filter(|record| seen.insert(record.key.clone())).collect();
            kept.reverse();
            *batch = kept;
        }
        *self.batches.last_mut().unwrap() = newest;
        self.batches.retain(|batch| !batch.is_empty());
    }
}

type Place = (usize, i32);
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Default)]
struct Model {
    partitions: BTreeMap<Place, Partition>,
    committed: [(i64, String); 2],
    positions: [i64; 2],
    open: Option<BTreeMap<Place, Pairs>>,
    commits: usize,
}

impl Model {
    fn at(&mut self, topic: usize, partition: i32) -> &mut Partition {
        self.partitions.entry((topic, partition)).or_default()
    }

    fn rewind(&mut self) {
        self.open = None;
        self.positions = [self.committed[0].0, self.committed[1].0];
    }
}

struct Run {
    directory: Directory,
    topics: Vec<Topic>,
    store: Option<Store>,
    log: Option<EmbeddedLog>,
    model: Model,
}

impl Run {
    fn new() -> Self {
        let topics = topics(&TOPICS);
        let mut run =
            Self { directory: Directory::new(), topics, store: None, log: None, model: Model::default() };
        run.reopen();
        run
    }

    fn reopen(&mut self) {
        self.log = None;
        self.store = None;
        self.store = Some(Store::open(self.directory.path(), &self.topics, tight()).unwrap());
        self.replace();
    }

    fn replace(&mut self) {
        let mut log = EmbeddedLog::open(self.store.as_ref().unwrap(), "g", &self.topics).unwrap();
        // What was never committed begins with what is there.
        for (partition, committed) in self.model.committed.iter_mut().enumerate() {
            if committed.1.is_empty() {
                let found = self.model.partitions.get(&(0, i32::try_from(partition).unwrap()));
                committed.0 = found.and_then(|p| p.batches.first()).map_or(0, |batch| batch[0].offset);
            }
        }
        assert_eq!(take_over(&mut log), self.model.committed);
        self.model.rewind();
        self.log = Some(log);
    }

    fn step(&mut self, call: &Call) {
        let Self { store, log, model, .. } = self;
        let (store, log) = (store.as_ref().unwrap(), log.as_mut().unwrap());
        match *call {
            Call::Append(topic, partition, key, length) => {
                let open = model.open.get_or_insert_with(|| {
                    log.begin().unwrap();
                    BTreeMap::new()
                });
                let value = length.map(|length| vec![key; usize::from(length)]);
                append(log, topic, partition, &[key], value.as_deref());
                open.entry((topic, partition)).or_default().push((vec![key], value.unwrap_or_default()));
            }
            Call::Poll(max) => Self::poll(log, model, max),
            Call::Commit => {
                if model.open.is_none() {
                    log.begin().unwrap();
                }
                model.commits += 1;
                let metadata = model.commits.to_string();
                model.committed = model.positions.map(|next| (next, metadata.clone()));
                let offsets =
                    [0, 1].map(|p: i32| offset(p, model.positions[usize::try_from(p).unwrap()], &metadata));
                log.commit(&offsets).unwrap();
                for ((topic, partition), records) in model.open.take().unwrap_or_default() {
                    model.at(topic, partition).push(&records);
                }
            }
            Call::Abort => {
                log.abort().unwrap();
                model.rewind();
                log.seek(&[(0, model.positions[0]), (1, model.positions[1])]).unwrap();
            }
            Call::Intake(key) => {
                let topic = store.topic("in").unwrap();
                let record = NewRecord { key: &[key], value: Some(b"intake"), headers: &[] };
                let told = store.append_and_wait(topic, record).unwrap();
                let partition = model.at(0, partition_of(&[key], 2));
                assert_eq!(told, partition.end);
                partition.push(&[(vec![key], b"intake".to_vec())]);
            }
            Call::Reopen => self.reopen(),
            Call::Replace => self.replace(),
            Call::Read(topic, partition, from, until) => {
                let end = model.at(topic, partition).end;
                let [from, until] = [from, until].map(|at| i64::from(at) * (end + 2) / 255 - 1);
                let expected = model.at(topic, partition).records();
                let within = |r: &Read| r.offset >= from && r.offset < until;
                let expected: Vec<_> = expected.into_iter().filter(within).collect();
                assert_eq!(read(log, topic, partition, Start::Offset(from), Until::Offset(until)), expected);
            }
            Call::Retain(topic) => {
                // The input is retained up to what is committed at most: leave it.
                if topic == 1 {
                    store.retain(store.topic("out").unwrap(), None, i64::MAX).unwrap();
                    for partition in 0..2 {
                        let batches = &mut model.at(topic, partition).batches;
                        batches.drain(..batches.len().saturating_sub(1));
                    }
                }
            }
            Call::Compact(topic) => {
                if topic == 1 {
                    store.compact(store.topic("out").unwrap()).unwrap();
                    (0..2).for_each(|partition| model.at(topic, partition).compact());
                }
            }
        }
    }

    fn poll(log: &mut EmbeddedLog, model: &mut Model, max: usize) {
        let mut delivered = Vec::new();
        let polled =
            log.poll(Duration::ZERO, max, &mut |r| delivered.push((r.partition, Read::of(r)))).unwrap();
        for (partition, record) in &delivered {
            let position = &mut model.positions[usize::try_from(*partition).unwrap()];
            let records = model.partitions[&(0, *partition)].records();
            assert_eq!(records.iter().find(|r| r.offset >= *position), Some(record));
            *position = record.offset + 1;
        }
        assert!(delivered.len() <= max);
        match polled {
            Polled::Records(count) => assert!(count > 0 && count == delivered.len()),
            Polled::Nothing => {
                let read_up = |p: i32| model.positions[usize::try_from(p).unwrap()];
                assert!(
                    (0..2).all(|p| model.partitions.get(&(0, p)).is_none_or(|found| found.end == read_up(p)))
                );
            }
            other => panic!("{other:?}"),
        }
    }

    fn check(&mut self) {
        for topic in 0..2 {
            for partition in 0..2 {
                let found = read_all(self.log.as_mut().unwrap(), topic, partition);
                assert_eq!(found, self.model.at(topic, partition).records(), "topic {topic}, {partition}");
            }
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: 48, max_shrink_iters: 200, failure_persistence: None, ..Config::default() })]
    #[test]
    fn every_history_reads_as_the_model_says(calls in vec(call(), 1..60)) {
        let mut run = Run::new();
        for call in &calls {
            run.step(call);
        }
        run.check();
        run.reopen();
        run.check();
    }
}
