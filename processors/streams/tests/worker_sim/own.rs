//! Transfers over one stage that sends the credit to its own input: handled at once where the partition is the worker's,
//! written and read where it is another's. Sums and outputs are the same either way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kpay_kafka::partition::partition_of;
use kpay_streams::control::Gate;
use kpay_streams::log::{LogError, Reader, Start, Until};
use kpay_streams::out::{Out, Topic, TopicIndex};
use kpay_streams::record::{NOT_WRITTEN, Record};
use kpay_streams::sim::{Faults, Identity, Rng, SimCluster, SimLog};
use kpay_streams::stage::Stage;
use kpay_streams::worker::{Settings, Worker};

use crate::harness::draw_faults;

const INPUT: TopicIndex = TopicIndex(0);
const OUTPUT: TopicIndex = TopicIndex(1);
const CHANGELOG: TopicIndex = TopicIndex(2);
const TOPICS: [&str; 3] = ["in", "out", "changelog"];
const KEYS: u8 = 6;
const CALM_ROUNDS: usize = 20_000;

/// A mistake that the checks have to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plant {
    None,
    /// What was handled at once is written as well.
    Twice,
    /// What was handled at once has no effect.
    Lost,
    /// An abort leaves the sums as they are.
    OverlayKept,
}

/// One leg of a transfer: the debit names the other side, the credit does not.
struct Leg {
    id: u64,
    amount: i64,
    to: Option<u8>,
}

impl Leg {
    fn encode(&self) -> Vec<u8> {
        let to = self.to.unwrap_or(u8::MAX);
        [self.id.to_le_bytes().as_slice(), &self.amount.to_le_bytes(), &[to]].concat()
    }

    fn decode(bytes: &[u8]) -> Self {
        let word = |at: usize| <[u8; 8]>::try_from(&bytes[at..at + 8]).unwrap();
        let to = Some(bytes[16]).filter(|to| *to != u8::MAX);
        Self { id: u64::from_le_bytes(word(0)), amount: i64::from_le_bytes(word(8)), to }
    }
}

type Sums = BTreeMap<Vec<u8>, i64>;

struct TransferStage {
    committed: BTreeMap<i32, Sums>,
    open: BTreeMap<i32, Sums>,
    at_once: Arc<AtomicU64>,
    plant: Plant,
}

impl Stage for TransferStage {
    fn restore(
        &mut self,
        partition: i32,
        _committed: i64,
        _metadata: &str,
        reader: &mut dyn Reader,
    ) -> Result<(), LogError> {
        let mut sums = Sums::new();
        reader.read(CHANGELOG, partition, Start::Beginning, Until::Stable, &mut |record| {
            sums.insert(record.key.to_vec(), i64::from_le_bytes(record.value.try_into().unwrap()));
        })?;
        self.committed.insert(partition, sums.clone());
        self.open.insert(partition, sums);
        Ok(())
    }

    fn revoke(&mut self, partition: i32) {
        self.committed.remove(&partition);
        self.open.remove(&partition);
    }

    fn handles_own(&self) -> bool {
        true
    }

    fn process(&mut self, record: &Record<'_>, _now_ms: i64, out: &mut Out) {
        let leg = Leg::decode(record.value);
        let at_once = record.offset == NOT_WRITTEN;
        if at_once {
            self.at_once.fetch_add(1, Ordering::Relaxed);
        }
        if at_once && self.plant == Plant::Lost {
            return;
        }
        let change = if leg.to.is_some() { -leg.amount } else { leg.amount };
        let sum = self.open.get_mut(&record.partition).unwrap().entry(record.key.to_vec()).or_default();
        *sum += change;
        let sum = sum.to_le_bytes();
        out.send_to(CHANGELOG, record.partition, record.key, |b| b.extend_from_slice(&sum));
        match leg.to {
            Some(to) => {
                let credit = Leg { to: None, ..leg };
                out.send(INPUT, &[to], |b| b.extend_from_slice(&credit.encode()));
            }
            None => out.send(OUTPUT, record.key, |b| b.extend_from_slice(record.value)),
        }
        if at_once && self.plant == Plant::Twice {
            // Headers keep it from being taken.
            out.send_with_headers(INPUT, record.key, vec![("h".into(), Vec::new())], |b| {
                b.extend_from_slice(record.value);
            });
        }
    }

    fn commit(&mut self) {
        self.committed.clone_from(&self.open);
    }

    fn abort(&mut self) {
        if self.plant != Plant::OverlayKept {
            self.open.clone_from(&self.committed);
        }
    }
}

struct Slot {
    identity: Identity,
    worker: Option<Worker<SimLog, TransferStage>>,
    down_until_ms: i64,
}

struct Simulation {
    cluster: SimCluster,
    rng: Rng,
    topics: [Topic; 3],
    slots: Vec<Slot>,
    settings: Settings,
    gate: Arc<Gate>,
    at_once: Arc<AtomicU64>,
    plant: Plant,
    expected: Sums,
    sent: u64,
}

impl Simulation {
    fn new(seed: u64, plant: Plant) -> Self {
        let cluster = SimCluster::new(seed);
        let mut rng = Rng::new(!seed);
        let partitions = 1 + i32::try_from(rng.below(4)).unwrap();
        let topics = TOPICS.map(|name| Topic { name: name.to_owned(), partitions });
        for topic in &topics {
            cluster.create_topic(topic);
        }
        cluster.set_timeouts(300, 400);
        cluster.set_faults(draw_faults(&mut rng));
        let slot = |number: usize| {
            let name = format!("worker{number}");
            let identity = Identity { group: "g".into(), instance: name.clone(), transactional_id: name };
            Slot { identity, worker: None, down_until_ms: 0 }
        };
        let settings = Settings {
            commit_records_max: 1 + rng.below(30),
            commit_interval_ms: 1 + rng.up_to_ms(30),
            poll_records_max: 1 + rng.below(12),
            idle_wait_ms: 0,
            ..Settings::default()
        };
        let gate = Arc::new(Gate::default());
        gate.set(1, true);
        Self {
            slots: (0..=rng.below(3)).map(slot).collect(),
            cluster,
            rng,
            topics,
            settings,
            gate,
            at_once: Arc::default(),
            plant,
            expected: Sums::new(),
            sent: 0,
        }
    }

    fn send(&mut self) {
        let mut key = || u8::try_from(self.rng.below(usize::from(KEYS))).unwrap();
        let (from, to) = (key(), key());
        let leg = Leg { id: self.sent, amount: i64::try_from(self.sent * 37 % 101).unwrap(), to: Some(to) };
        *self.expected.entry(vec![from]).or_default() -= leg.amount;
        *self.expected.entry(vec![to]).or_default() += leg.amount;
        let partition = partition_of(&[from], self.topics[0].partitions);
        self.cluster.produce(TOPICS[0], partition, &[from], &leg.encode());
        self.sent += 1;
    }

    fn round(&mut self) {
        let longest = if self.rng.below(50) == 0 { 200 } else { 4 };
        let pause = self.rng.up_to_ms(longest);
        self.cluster.advance(pause);
        let slot = self.rng.below(self.slots.len());
        let slot = &mut self.slots[slot];
        let now_ms = self.cluster.now_ms();
        if slot.worker.is_none() && slot.down_until_ms <= now_ms {
            let Ok(log) = SimLog::open(&self.cluster, slot.identity.clone(), &self.topics) else { return };
            let (at_once, plant) = (Arc::clone(&self.at_once), self.plant);
            let stage = TransferStage { committed: BTreeMap::new(), open: BTreeMap::new(), at_once, plant };
            let gate = Arc::clone(&self.gate);
            slot.worker = Some(Worker::new(log, stage, &self.topics, self.settings, gate, Arc::default()));
        }
        if slot.worker.as_mut().is_some_and(|worker| worker.step().is_err()) {
            slot.worker = None;
            slot.down_until_ms = now_ms + self.rng.up_to_ms(500);
        }
    }

    fn done(&self) -> bool {
        let read = |partition| {
            let last = self.cluster.decided(TOPICS[0], partition).last().map_or(0, |r| r.offset + 1);
            self.cluster.committed_offset("g", partition).map_or(0, |(offset, _)| offset) >= last
        };
        self.cluster.is_settled() && (0..self.topics[0].partitions).all(read)
    }

    fn check(&self) -> Result<(), String> {
        let (mut ids, mut sums) = (BTreeSet::new(), Sums::new());
        for partition in 0..self.topics[0].partitions {
            for record in self.cluster.committed(TOPICS[1], partition) {
                let id = Leg::decode(record.value.as_deref().unwrap()).id;
                if !ids.insert(id) {
                    return Err(format!("id {id} has two outputs"));
                }
            }
            for record in self.cluster.committed(TOPICS[2], partition) {
                let sum = i64::from_le_bytes(record.value.as_deref().unwrap().try_into().unwrap());
                sums.insert(record.key.clone(), sum);
            }
        }
        if ids.len() != usize::try_from(self.sent).unwrap() {
            return Err(format!("{} of {} ids have an output", ids.len(), self.sent));
        }
        if sums != self.expected {
            return Err(format!("sums {sums:?}, expected {:?}", self.expected));
        }
        Ok(())
    }
}

/// Runs one history; says how many credits were handled at once, and how many were written.
fn run(seed: u64, plant: Plant) -> Result<(u64, u64), String> {
    let mut simulation = Simulation::new(seed, plant);
    for _ in 0..200 {
        if simulation.sent < 100 {
            simulation.send();
        }
        for _ in 0..4 {
            simulation.round();
        }
    }
    simulation.cluster.set_faults(Faults::default());
    for round in 0..CALM_ROUNDS {
        simulation.round();
        if round % 32 == 0 && simulation.done() {
            simulation.check()?;
            let written = (0..simulation.topics[0].partitions)
                .map(|partition| simulation.cluster.committed(TOPICS[0], partition).len())
                .sum::<usize>();
            let at_once = simulation.at_once.load(Ordering::Relaxed);
            return Ok((at_once, u64::try_from(written).unwrap() - simulation.sent));
        }
    }
    Err("not done in the calm".into())
}

#[test]
fn a_credit_counts_once_whether_it_is_handled_at_once_or_written() {
    let (mut at_once, mut written) = (0, 0);
    for seed in 0..300 {
        let (a, w) = run(seed, Plant::None).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        (at_once, written) = (at_once + a, written + w);
    }
    assert!(at_once > 1_000 && written > 1_000, "both ways have to occur: {at_once}, {written}");
}

#[test]
fn each_planted_mistake_with_own_records_is_found() {
    for plant in [Plant::Twice, Plant::Lost, Plant::OverlayKept] {
        assert!((0..100).any(|seed| run(seed, plant).is_err()), "{plant:?} is not found");
    }
}
