//! The gate of the intake: what a worker reads, commits and acknowledges.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kpay_streams::control::{Gate, PartitionState, Report};
use kpay_streams::out::Topic;
use kpay_streams::sim::{Faults, Identity, SimCluster, SimLog};
use kpay_streams::worker::{Settings, Worker};

use crate::planted::Plant;
use crate::stage::{Payment, SumStage};

struct Setup {
    cluster: SimCluster,
    gate: Arc<Gate>,
    report: Arc<Report>,
    worker: Worker<SimLog, SumStage>,
}

/// A worker with ten records before it, of which it takes one a step and commits none before long.
fn setup(intake: bool) -> Setup {
    let cluster = SimCluster::new(1);
    let topic = |name: &str| Topic { name: name.to_owned(), partitions: 1 };
    let topics = [topic("in"), topic("out"), topic("changelog")];
    let identity = Identity { group: "g".into(), instance: "w".into(), transactional_id: "g-w".into() };
    let log = SimLog::open(&cluster, identity, &topics).unwrap();
    for id in 0..10 {
        cluster.produce("in", 0, b"a", &Payment { id, amount: 1 }.encode());
    }
    let settings = Settings { poll_records_max: 1, commit_interval_ms: 1_000_000, ..Settings::default() };
    let (gate, report) = (Arc::new(Gate::default()), Arc::new(Report::default()));
    let stage = SumStage::new(Arc::default(), Plant::None);
    let worker = Worker::new(log, stage, &topics, settings, Arc::clone(&gate), Arc::clone(&report));
    let worker = if intake { worker.intake() } else { worker };
    Setup { cluster, gate, report, worker }
}

impl Setup {
    fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.worker.step().unwrap();
        }
    }

    fn acked(&self) -> u64 {
        self.report.acked_epoch.load(Ordering::Acquire)
    }

    fn committed(&self) -> i64 {
        self.cluster.committed_offset("g", 0).map_or(0, |(offset, _)| offset)
    }

    /// The end of the output: what was appended, committed or not.
    fn appended(&self) -> i64 {
        self.cluster.ends("out", 0).1
    }
}

#[test]
fn a_worker_that_never_learned_an_epoch_reads_nothing() {
    for intake in [true, false] {
        let mut s = setup(intake);
        s.steps(20);
        assert_eq!((s.acked(), s.committed(), s.appended()), (0, 0, 0));
        assert_eq!(s.report.partitions.lock()[&0].state, PartitionState::Paused);
    }
}

#[test]
fn a_gate_that_is_closed_from_the_start_is_acknowledged_and_reads_nothing() {
    let mut s = setup(true);
    s.gate.set(1, false);
    s.steps(20);
    assert_eq!((s.acked(), s.committed(), s.appended()), (1, 0, 0));
}

#[test]
fn a_closing_gate_commits_what_is_open_and_only_then_acknowledges() {
    let mut s = setup(true);
    s.gate.set(1, true);
    s.steps(5);
    assert_eq!((s.acked(), s.committed(), s.appended()), (1, 0, 3), "three records in an open transaction");
    assert!(s.report.open_transaction.load(Ordering::Acquire));
    s.gate.set(2, false);
    s.steps(1);
    assert_eq!((s.acked(), s.committed()), (2, 3));
    assert!(!s.report.open_transaction.load(Ordering::Acquire));
    let end = s.appended();
    s.steps(20);
    assert_eq!((s.committed(), s.appended()), (3, end), "nothing is read behind a closed gate");
    assert_eq!(s.report.partitions.lock()[&0].state, PartitionState::Paused);
    s.gate.set(3, true);
    s.steps(20);
    assert_eq!((s.acked(), s.committed()), (3, 10));
}

#[test]
fn an_epoch_is_not_acknowledged_while_the_commit_before_it_fails() {
    let mut s = setup(true);
    s.gate.set(1, true);
    s.steps(4);
    s.cluster.set_faults(Faults { commit_abort: 1.0, ..Faults::default() });
    s.gate.set(2, false);
    s.steps(1);
    assert_eq!((s.acked(), s.committed()), (1, 0), "the commit was refused");
    s.steps(1);
    assert_eq!(
        (s.acked(), s.committed()),
        (2, 0),
        "nothing is open any more: closed, and nothing was committed"
    );
    s.cluster.set_faults(Faults::default());
    s.steps(20);
    assert_eq!(s.committed(), 0);
}

#[test]
fn a_stage_behind_the_intake_drains_with_the_gate_closed() {
    let mut s = setup(false);
    s.gate.set(1, false);
    s.steps(20);
    assert_eq!((s.acked(), s.committed()), (1, 10));
}

#[test]
fn records_that_were_seen_already_open_no_transaction() {
    let mut s = setup(true);
    s.gate.set(1, true);
    s.steps(20);
    assert_eq!(s.committed(), 10);
    let commits = s.report.commits.load(Ordering::Relaxed);
    let end = s.appended();
    s.cluster.set_faults(Faults { redelivery: 1.0, ..Faults::default() });
    s.steps(20);
    assert!(!s.report.open_transaction.load(Ordering::Acquire));
    assert_eq!((s.report.commits.load(Ordering::Relaxed), s.appended()), (commits, end));
    assert_eq!(s.report.records.load(Ordering::Relaxed), 10);
}
