//! A worker on the embedded log: transfers whose credit goes to its own input, through restarts and reopenings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kpay_streams::control::Gate;
use kpay_streams::embedded::{EmbeddedLog, Limits, Store};
use kpay_streams::log::{LogError, Reader, Start, Until};
use kpay_streams::out::{Out, Topic, TopicIndex};
use kpay_streams::record::{NOT_WRITTEN, Record};
use kpay_streams::sim::Rng;
use kpay_streams::stage::Stage;
use kpay_streams::worker::{Settings, Step, Worker};

use crate::directory::Directory;
use crate::{intake, read_all, topics};

const INPUT: TopicIndex = TopicIndex(0);
const OUTPUT: TopicIndex = TopicIndex(1);
const CHANGELOG: TopicIndex = TopicIndex(2);
const TOPICS: [(&str, i32); 3] = [("in", 3), ("out", 3), ("changelog", 3)];
const KEYS: usize = 6;

type Sums = BTreeMap<(i32, Vec<u8>), i64>;

/// A debit names the other side in its third byte; a credit has two bytes.
#[derive(Default)]
struct TransferStage {
    committed: Sums,
    open: Sums,
    handles_own: bool,
    at_once: u64,
}

impl Stage for TransferStage {
    fn restore(
        &mut self,
        partition: i32,
        _committed: i64,
        metadata: &str,
        reader: &mut dyn Reader,
    ) -> Result<(), LogError> {
        let mut records = 0;
        reader.read(CHANGELOG, partition, Start::Beginning, Until::Stable, &mut |record| {
            let sum = i64::from_le_bytes(record.value.try_into().unwrap());
            self.committed.insert((partition, record.key.to_vec()), sum);
            records += 1;
        })?;
        assert_eq!(metadata, if records == 0 { "" } else { "carried" });
        self.open.clone_from(&self.committed);
        Ok(())
    }

    fn revoke(&mut self, _partition: i32) {}

    fn handles_own(&self) -> bool {
        self.handles_own
    }

    fn process(&mut self, record: &Record<'_>, _now_ms: i64, out: &mut Out) {
        if record.offset == NOT_WRITTEN {
            self.at_once += 1;
        }
        let (id, amount) = (record.value[0], i64::from(record.value[1]));
        let to = record.value.get(2);
        let sum = self.open.entry((record.partition, record.key.to_vec())).or_default();
        *sum += if to.is_some() { -amount } else { amount };
        let sum = sum.to_le_bytes();
        out.send_to(CHANGELOG, record.partition, record.key, |b| b.extend_from_slice(&sum));
        match to {
            Some(to) => out.send(INPUT, &[*to], |b| b.extend_from_slice(&record.value[..2])),
            None => out.send(OUTPUT, &[id], |b| b.extend_from_slice(record.value)),
        }
    }

    fn metadata(&self, _partition: i32) -> String {
        "carried".to_owned()
    }

    fn commit(&mut self) {
        self.committed.clone_from(&self.open);
    }

    fn abort(&mut self) {
        self.open.clone_from(&self.committed);
    }
}

fn worker(store: &Store, topics: &[Topic], handles_own: bool) -> Worker<EmbeddedLog, TransferStage> {
    let log = EmbeddedLog::open(store, "g", topics).unwrap();
    let gate = Arc::new(Gate::default());
    gate.set(1, true);
    let stage = TransferStage { handles_own, ..TransferStage::default() };
    let settings =
        Settings { idle_wait_ms: 0, poll_records_max: 3, commit_records_max: 20, ..Settings::default() };
    Worker::new(log, stage, topics, settings, gate, Arc::default())
}

fn run(handles_own: bool) {
    let directory = Directory::new();
    let topics = topics(&TOPICS);
    let mut rng = Rng::new(3);
    let mut store = Some(Store::open(directory.path(), &topics, Limits::default()).unwrap());
    let mut working = None;
    let mut expected = BTreeMap::<Vec<u8>, i64>::new();
    for id in 0..200_u8 {
        let opened = store.as_ref().unwrap();
        let mut key = || u8::try_from(rng.below(KEYS)).unwrap();
        let (from, to, amount) = (key(), key(), id % 7 + 1);
        *expected.entry(vec![from]).or_default() -= i64::from(amount);
        *expected.entry(vec![to]).or_default() += i64::from(amount);
        intake(opened, opened.topic("in").unwrap(), &[from], &[id, amount, to]);
        for _ in 0..rng.below(4) {
            working.get_or_insert_with(|| worker(opened, &topics, handles_own)).step().unwrap();
        }
        match rng.below(20) {
            // A second worker takes over while the first is still there.
            0 => {
                let mut older = working.replace(worker(opened, &topics, handles_own));
                if let Some(older) = &mut older {
                    assert!(matches!(older.step(), Err(LogError::Fenced(_))));
                }
            }
            1 => {
                working = None;
                store = None;
                store.get_or_insert_with(|| {
                    Store::open(directory.path(), &topics, Limits::default()).unwrap()
                });
            }
            _ => {}
        }
    }
    let mut last = working.take().unwrap_or_else(|| worker(store.as_ref().unwrap(), &topics, handles_own));
    let mut idle = 0;
    while idle < 3 {
        idle = if last.step().unwrap() == Step::Idle { idle + 1 } else { 0 };
    }
    drop(last);
    let mut log = EmbeddedLog::open(store.as_ref().unwrap(), "g", &topics).unwrap();
    let (mut ids, mut sums) = (BTreeSet::new(), BTreeMap::new());
    let mut written = 0;
    for partition in 0..3 {
        for record in read_all(&mut log, 1, partition) {
            assert!(ids.insert(record.value[0]), "id {} has two outputs", record.value[0]);
        }
        for record in read_all(&mut log, 2, partition) {
            sums.insert(record.key, i64::from_le_bytes(record.value.try_into().unwrap()));
        }
        written += read_all(&mut log, 0, partition).len();
    }
    assert_eq!(ids.len(), 200);
    assert_eq!(sums, expected);
    // A credit is written when it is not handled at once: every one, or those that came before their partition was restored.
    if handles_own {
        assert!((200..240).contains(&written), "{written}");
    } else {
        assert_eq!(written, 400);
    }
}

#[test]
fn a_worker_that_handles_its_own_records_is_exactly_once_over_restarts() {
    run(true);
}

#[test]
fn a_worker_that_writes_its_own_records_is_exactly_once_over_restarts() {
    run(false);
}
