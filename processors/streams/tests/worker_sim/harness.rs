//! Drives workers of one or two chained stages over one simulated cluster, and checks what must always hold.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kpay_streams::control::{Gate, GateState, Report};
use kpay_streams::out::Topic;
use kpay_streams::sim::{Faults, Identity, Rng, SimCluster, SimLog};
use kpay_streams::worker::{Settings, Worker};
use parking_lot::Mutex;

use crate::planted::{Plant, PlantedLog};
use crate::stage::{Payment, SumStage, Table, View};

const SESSION_MS: i64 = 300;
const TRANSACTION_MS: i64 = 400;
const CALM_ROUNDS: u64 = 20_000;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) steps: u64,
    pub(crate) commits: u64,
    pub(crate) aborts: u64,
    /// Times that a worker ended with an error.
    pub(crate) failures: u64,
}

/// One place for a worker, filled again after each end.
struct Slot {
    stage: usize,
    identity: Identity,
    worker: Option<Worker<PlantedLog, SumStage>>,
    view: Arc<Mutex<View>>,
    report: Arc<Report>,
    version: u64,
    down_until_ms: i64,
}

/// Input, output and changelog of each stage.
type Topics = [Topic; 3];

struct Simulation {
    cluster: SimCluster,
    rng: Rng,
    plant: Plant,
    partitions: i32,
    stages: Vec<Topics>,
    slots: Vec<Slot>,
    settings: Settings,
    gate: Arc<Gate>,
    epoch: GateState,
    produced: u64,
    stats: Stats,
}

/// Runs one history; an `Err` says what does not hold.
pub(crate) fn run(seed: u64, plant: Plant) -> Result<Stats, String> {
    let mut simulation = Simulation::new(seed, plant);
    simulation.storm()?;
    simulation.calm()?;
    Ok(simulation.stats)
}

/// Most histories have a few kinds of faults; one in eight has none.
pub(crate) fn draw_faults(rng: &mut Rng) -> Faults {
    let calm = rng.below(8) == 0;
    let mut draw = |most: f64| {
        let level = f64::from(u32::try_from(rng.below(4)).unwrap());
        if calm || rng.below(2) == 0 { 0.0 } else { most * (level + 1.0) / 4.0 }
    };
    Faults {
        crash: draw(0.005),
        unavailable: draw(0.002),
        rebalance: draw(0.01),
        expire: draw(0.004),
        late_rebalance: draw(0.5),
        append_abort: draw(0.01),
        commit_abort: draw(0.1),
        commit_unknown: draw(0.2),
        abort_unknown: draw(0.2),
        fenced: draw(0.002),
        redelivery: draw(0.3),
        short_poll: draw(0.8),
        late_marker: draw(0.6),
        late_marker_max_ms: 60,
        slow: draw(0.2),
        slow_max_ms: 200,
    }
}

impl Simulation {
    fn new(seed: u64, plant: Plant) -> Self {
        let cluster = SimCluster::new(seed);
        let mut rng = Rng::new(!seed);
        let partitions = 1 + i32::try_from(rng.below(4)).unwrap();
        let topic = |name: String| Topic { name, partitions };
        let stages: Vec<Topics> = (0..=rng.below(2))
            .map(|s| [topic(format!("t{s}")), topic(format!("t{}", s + 1)), topic(format!("changelog{s}"))])
            .collect();
        cluster.set_timeouts(SESSION_MS, TRANSACTION_MS);
        stages.iter().flatten().for_each(|t| cluster.create_topic(t));
        cluster.set_faults(draw_faults(&mut rng));
        let mut slots = Vec::new();
        for stage in 0..stages.len() {
            for slot in 0..=rng.below(3) {
                slots.push(Slot::new(stage, slot));
            }
        }
        let settings = Settings {
            commit_records_max: 1 + rng.below(30),
            commit_interval_ms: 1 + rng.up_to_ms(30),
            commit_linger_ms: 0,
            poll_records_max: 1 + rng.below(12),
            idle_wait_ms: 0,
        };
        let gate = Arc::new(Gate::default());
        let epoch = GateState { epoch: 1, open: true };
        gate.set(epoch.epoch, epoch.open);
        Self {
            cluster,
            rng,
            plant,
            partitions,
            stages,
            slots,
            settings,
            gate,
            epoch,
            produced: 0,
            stats: Stats::default(),
        }
    }

    /// Clients produce, workers work, and everything goes wrong.
    fn storm(&mut self) -> Result<(), String> {
        let records = 50 + u64::try_from(self.rng.below(250)).unwrap();
        while self.produced < records {
            for _ in 0..self.rng.below(4) {
                self.produce();
            }
            if self.rng.below(100) == 0 {
                let open = self.rng.below(2) == 0;
                self.turn_gate(open);
            }
            self.round()?;
        }
        for _ in 0..100 {
            self.round()?;
        }
        Ok(())
    }

    /// Nothing goes wrong any more: everything has to be done within a bound.
    fn calm(&mut self) -> Result<(), String> {
        self.cluster.set_faults(Faults::default());
        self.turn_gate(true);
        for _ in 0..CALM_ROUNDS {
            self.round()?;
            if self.stats.steps.is_multiple_of(32) && self.is_done() {
                return self.check_end();
            }
        }
        Err(format!("not done after {CALM_ROUNDS} calm rounds: {}", self.backlog()))
    }

    /// A new payment, or one that the client sends again.
    fn produce(&mut self) {
        let again = self.produced > 0 && self.rng.below(8) == 0;
        let id = if again { self.rng.next_u64() % self.produced } else { self.produced };
        self.produced += u64::from(!again);
        let key = [b'a' + u8::try_from(id % 7).unwrap()];
        let payment = Payment { id, amount: i64::try_from(id * 37 % 101).unwrap() };
        let partition = kpay_kafka::partition::partition_of(&key, self.partitions);
        self.cluster.produce(&self.stages[0][0].name, partition, &key, &payment.encode());
    }

    fn turn_gate(&mut self, open: bool) {
        self.epoch = GateState { epoch: self.epoch.epoch + 1, open };
        self.gate.set(self.epoch.epoch, open);
    }

    fn round(&mut self) -> Result<(), String> {
        let longest = if self.rng.below(50) == 0 { 200 } else { 4 };
        let pause = self.rng.up_to_ms(longest);
        self.cluster.advance(pause);
        let index = self.rng.below(self.slots.len());
        self.stats.steps += 1;
        self.step(index)
    }

    fn step(&mut self, index: usize) -> Result<(), String> {
        let now_ms = self.cluster.now_ms();
        let slot = &mut self.slots[index];
        let topics = &self.stages[slot.stage];
        if slot.worker.is_none() && slot.down_until_ms <= now_ms {
            slot.view = Arc::default();
            slot.version = 0;
            slot.report = Arc::default();
            let Ok(log) = SimLog::open(&self.cluster, slot.identity.clone(), topics) else { return Ok(()) };
            let log = PlantedLog::new(log, self.cluster.clone(), slot.identity.group.clone(), self.plant);
            let stage = SumStage::new(Arc::clone(&slot.view), self.plant);
            let report = Arc::clone(&slot.report);
            let worker = Worker::new(log, stage, topics, self.settings, Arc::clone(&self.gate), report);
            slot.worker = Some(if slot.stage == 0 { worker.intake() } else { worker });
        }
        let Some(worker) = &mut slot.worker else { return Ok(()) };
        let commits = slot.report.commits.load(Ordering::Relaxed);
        let aborts = slot.report.aborts.load(Ordering::Relaxed);
        let acked = slot.report.acked_epoch.load(Ordering::Acquire) == self.epoch.epoch;
        let result = worker.step();
        self.stats.commits += slot.report.commits.load(Ordering::Relaxed) - commits;
        self.stats.aborts += slot.report.aborts.load(Ordering::Relaxed) - aborts;
        if slot.stage == 0
            && acked
            && !self.epoch.open
            && slot.report.commits.load(Ordering::Relaxed) > commits
        {
            return Err(format!(
                "{} commits behind a closed gate that it acknowledged",
                slot.identity.transactional_id
            ));
        }
        if result.is_err() {
            self.stats.failures += 1;
            slot.worker = None;
            slot.view = Arc::default();
            // Some come back at once, some only after their session expired.
            slot.down_until_ms = self.cluster.now_ms() + self.rng.up_to_ms(2 * SESSION_MS);
            return Ok(());
        }
        let version = slot.view.lock().version;
        if version == slot.version {
            return Ok(());
        }
        slot.version = version;
        let stage = slot.stage;
        self.check_state(&self.slots[index])?;
        self.check_outputs(stage).map(drop)
    }

    /// The state of an owner is what follows from the input up to the committed offset.
    fn check_state(&self, slot: &Slot) -> Result<(), String> {
        let group = &slot.identity.group;
        for (&partition, table) in &slot.view.lock().tables {
            if self.cluster.owner(group, partition).as_ref() != Some(&slot.identity.instance) {
                continue;
            }
            let who = format!("{} partition {partition}", slot.identity.transactional_id);
            let (offset, metadata) = self.cluster.committed_offset(group, partition).unwrap_or_default();
            if table.next != offset {
                return Err(format!("{who}: state at {}, committed {offset}", table.next));
            }
            if !metadata.is_empty() && metadata != table.ids.len().to_string() {
                return Err(format!("{who}: metadata {metadata}, ids {}", table.ids.len()));
            }
            let expected = self.recompute(slot.stage, partition, offset);
            if *table != expected {
                return Err(format!("{who}: state differs\n{table:?}\nexpected\n{expected:?}"));
            }
        }
        Ok(())
    }

    fn recompute(&self, stage: usize, partition: i32, until: i64) -> Table {
        let mut table = Table { next: until, ..Table::default() };
        for record in self.cluster.decided(&self.stages[stage][0].name, partition) {
            if record.offset < until {
                table.add(&record.key, Payment::decode(record.value.as_deref().unwrap()));
            }
        }
        table
    }

    /// No id has two outputs.
    fn check_outputs(&self, stage: usize) -> Result<BTreeSet<u64>, String> {
        let mut ids = BTreeSet::new();
        for partition in 0..self.partitions {
            for record in self.cluster.decided(&self.stages[stage][1].name, partition) {
                let id = Payment::decode(record.value.as_deref().unwrap()).id;
                if !ids.insert(id) {
                    return Err(format!("stage {stage}: id {id} has two outputs"));
                }
            }
        }
        Ok(ids)
    }

    fn is_done(&self) -> bool {
        self.cluster.is_settled() && self.backlog().is_empty()
    }

    /// Partitions with records that are not committed.
    fn backlog(&self) -> String {
        let mut backlog = Vec::new();
        for (stage, topics) in self.stages.iter().enumerate() {
            for partition in 0..self.partitions {
                let last =
                    self.cluster.decided(&topics[0].name, partition).last().map_or(0, |r| r.offset + 1);
                let next = self.cluster.committed_offset(&group(stage), partition).map_or(0, |(o, _)| o);
                if next < last {
                    let owner = self.cluster.owner(&group(stage), partition);
                    backlog
                        .push(format!("stage {stage} partition {partition} ({owner:?}): {next} of {last}"));
                }
            }
        }
        backlog.join("; ")
    }

    /// Nothing is lost, and the changelog holds the same sums as the state.
    fn check_end(&self) -> Result<(), String> {
        for slot in &self.slots {
            self.check_state(slot)?;
        }
        for (stage, topics) in self.stages.iter().enumerate() {
            let ids = self.check_outputs(stage)?;
            if ids != (0..self.produced).collect() {
                return Err(format!("stage {stage}: {} of {} ids have an output", ids.len(), self.produced));
            }
            for partition in 0..self.partitions {
                let mut sums = std::collections::BTreeMap::new();
                for record in self.cluster.committed(&topics[2].name, partition) {
                    let sum = i64::from_le_bytes(record.value.as_deref().unwrap().try_into().unwrap());
                    sums.insert(record.key.clone(), sum);
                }
                let expected = self.recompute(stage, partition, i64::MAX);
                if sums != expected.sums {
                    return Err(format!("stage {stage} partition {partition}: the changelog differs"));
                }
                let metadata = self.cluster.committed_offset(&group(stage), partition).unwrap_or_default().1;
                if metadata.parse().unwrap_or(0) != expected.ids.len() {
                    return Err(format!("stage {stage} partition {partition}: metadata {metadata}"));
                }
            }
        }
        Ok(())
    }
}

fn group(stage: usize) -> String {
    format!("stage{stage}")
}

impl Slot {
    fn new(stage: usize, slot: usize) -> Self {
        let identity = Identity {
            group: group(stage),
            instance: format!("worker{slot}"),
            transactional_id: format!("stage{stage}-worker{slot}"),
        };
        Self {
            stage,
            identity,
            worker: None,
            view: Arc::default(),
            report: Arc::default(),
            version: 0,
            down_until_ms: 0,
        }
    }
}
