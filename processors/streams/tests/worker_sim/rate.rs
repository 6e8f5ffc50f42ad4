//! The rate of the intake: how many records all workers of a pipeline read in a second, in virtual time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kpay_streams::control::{Gate, Report};
use kpay_streams::out::Topic;
use kpay_streams::sim::{Faults, Identity, SimCluster, SimLog};
use kpay_streams::worker::{Settings, Worker};

use crate::planted::Plant;
use crate::stage::{Payment, SumStage};

const PARTITIONS: i32 = 6;

struct Setup {
    cluster: SimCluster,
    gate: Arc<Gate>,
    workers: Vec<(Worker<SimLog, SumStage>, Arc<Report>)>,
}

/// So many workers of one group before more records than they can read.
fn setup(workers: usize, intake: bool) -> Setup {
    let cluster = SimCluster::new(7);
    let topic = |name: &str| Topic { name: name.to_owned(), partitions: PARTITIONS };
    let topics = [topic("in"), topic("out"), topic("changelog")];
    for topic in &topics {
        cluster.create_topic(topic);
    }
    let gate = Arc::new(Gate::default());
    for id in 0..30_000 {
        let partition = i32::try_from(id % 6).unwrap();
        cluster.produce("in", partition, b"a", &Payment { id, amount: 1 }.encode());
    }
    let workers = (0..workers)
        .map(|number| {
            let instance = format!("w{number}");
            let transactional_id = format!("g-w{number}");
            let identity = Identity { group: "g".into(), instance, transactional_id };
            let log = SimLog::open(&cluster, identity, &topics).unwrap();
            let report = Arc::new(Report::default());
            let stage = SumStage::new(Arc::default(), Plant::None);
            let (gate, told) = (Arc::clone(&gate), Arc::clone(&report));
            let worker = Worker::new(log, stage, &topics, Settings::default(), gate, told);
            (if intake { worker.intake() } else { worker }, report)
        })
        .collect();
    Setup { cluster, gate, workers }
}

impl Setup {
    /// So many milliseconds, with a step of every worker in each. Says how many records were committed meanwhile.
    fn run(&mut self, total_ms: i64) -> u64 {
        let before = self.committed();
        let until = self.cluster.now_ms() + total_ms;
        while self.cluster.now_ms() < until {
            self.cluster.advance(1);
            for (worker, _) in &mut self.workers {
                worker.step().unwrap();
            }
        }
        self.committed() - before
    }

    fn committed(&self) -> u64 {
        self.workers.iter().map(|(_, report)| report.records.load(Ordering::Relaxed)).sum()
    }
}

fn within_a_hundredth(found: u64, expected: u64) {
    assert!(found.abs_diff(expected) * 100 <= expected, "{found} of {expected}");
}

#[test]
fn all_workers_together_read_as_many_as_the_rate_allows() {
    for workers in [1, 2, 4] {
        let mut s = setup(workers, true);
        s.gate.set_rate(Some(300));
        s.gate.set(1, true);
        s.run(200); // everybody has its partitions
        within_a_hundredth(s.run(10_000), 3_000);
    }
}

#[test]
fn a_change_of_the_rate_is_followed_at_once_and_back_to_none() {
    let mut s = setup(2, true);
    s.gate.set_rate(Some(100));
    s.gate.set(1, true);
    s.run(200);
    within_a_hundredth(s.run(10_000), 1_000);
    s.gate.set_rate(Some(1_000));
    within_a_hundredth(s.run(10_000), 10_000);
    s.gate.set_rate(None);
    s.run(1_000);
    assert_eq!(s.committed(), 30_000, "nothing is left");
}

#[test]
fn a_slow_rate_is_shared_and_what_waits_is_not_lost() {
    let mut s = setup(4, true);
    s.gate.set_rate(Some(5));
    s.gate.set(1, true);
    s.run(2_000);
    let ten_seconds = s.run(10_000);
    assert!((48..=52).contains(&ten_seconds), "{ten_seconds}");
    let decided: usize = (0..PARTITIONS).map(|p| s.cluster.decided("out", p).len()).sum();
    assert_eq!(u64::try_from(decided).unwrap(), s.committed());
}

#[test]
fn records_that_come_again_after_an_abort_count_again() {
    let mut s = setup(1, true);
    s.gate.set_rate(Some(300));
    s.gate.set(1, true);
    s.run(200);
    s.cluster.set_faults(Faults { commit_abort: 0.5, ..Faults::default() });
    let ten_seconds = s.run(10_000);
    assert!((1_000..3_000).contains(&ten_seconds), "{ten_seconds}");
}

#[test]
fn a_closed_gate_stops_the_intake_whatever_the_rate_and_stages_behind_it_have_none() {
    let mut s = setup(2, true);
    s.gate.set_rate(Some(300));
    s.gate.set(1, false);
    assert_eq!(s.run(2_000), 0);
    let mut s = setup(2, false);
    s.gate.set_rate(Some(1));
    s.gate.set(1, true);
    s.run(3_000);
    assert_eq!(s.committed(), 30_000);
}

/// After a drain and a pause the gate opens again.
fn resume(s: &mut Setup, slow_start_ms: u64) {
    s.gate.set_slow_start(0);
    s.gate.set(2, false);
    s.run(200);
    s.gate.set_slow_start(slow_start_ms);
    s.gate.set(3, true);
}

#[test]
fn an_intake_that_resumes_comes_back_step_by_step_and_is_full_after() {
    for workers in [1, 2, 4] {
        let mut s = setup(workers, true);
        s.gate.set_rate(Some(12_800));
        s.gate.set(1, true);
        s.run(200);
        resume(&mut s, 1_600);
        // What follows the phase Resuming changes nothing of it.
        s.run(1);
        s.gate.set_slow_start(0);
        s.gate.set(4, true);
        let found: Vec<u64> = (0..9).map(|_| s.run(200)).collect();
        assert!(found.is_sorted(), "{found:?}");
        for (step, found) in found.iter().enumerate() {
            let most = (10 << step).min(2_560);
            assert!((most * 3 / 4..=most + most / 20 + 1).contains(found), "{step}: {found} of {most}");
        }
        within_a_hundredth(s.run(400), 5_120);
    }
}

#[test]
fn an_intake_without_a_limit_comes_back_step_by_step_too() {
    let mut s = setup(2, true);
    s.gate.set_rate(Some(100));
    s.gate.set(1, true);
    s.run(200);
    s.gate.set_rate(None);
    resume(&mut s, 800);
    let found: Vec<u64> = (0..4).map(|_| s.run(100)).collect();
    for (step, found) in found.iter().enumerate() {
        let most = 100 << step;
        assert!((most * 3 / 4..=most + most / 20 + 1).contains(found), "{step}: {found} of {most}");
    }
    s.run(600);
    assert_eq!(s.committed(), 30_000, "nothing is left");
}

#[test]
fn a_first_start_and_a_resume_without_a_slow_start_are_full_at_once() {
    let mut s = setup(2, true);
    s.gate.set_rate(Some(1_000));
    s.gate.set(1, true);
    s.run(200);
    within_a_hundredth(s.run(2_000), 2_000);
    resume(&mut s, 0);
    s.run(200);
    within_a_hundredth(s.run(2_000), 2_000);
}
