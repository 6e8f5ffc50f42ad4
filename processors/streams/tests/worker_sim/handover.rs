//! Partitions that come while a transaction is open.

use std::sync::Arc;

use kpay_streams::control::{Gate, Report};
use kpay_streams::out::Topic;
use kpay_streams::sim::{Faults, Identity, SimCluster, SimLog};
use kpay_streams::worker::{Settings, Worker};

use crate::planted::Plant;
use crate::stage::{Payment, SumStage};

fn identity(instance: &str) -> Identity {
    Identity { group: "g".into(), instance: instance.into(), transactional_id: instance.into() }
}

#[test]
fn a_partition_assigned_while_the_commit_fails_is_restored_and_read() {
    let unknown = Faults { commit_unknown: 1.0, ..Faults::default() };
    let refused = Faults { commit_abort: 1.0, ..Faults::default() };
    for faults in [refused, unknown] {
        let cluster = SimCluster::new(1);
        let topics = ["in", "out", "changelog"].map(|name| Topic { name: name.to_owned(), partitions: 2 });
        let log = SimLog::open(&cluster, identity("a"), &topics).unwrap();
        let other = SimLog::open(&cluster, identity("b"), &topics).unwrap();
        for id in 0..20 {
            let partition = i32::try_from(id % 2).unwrap();
            cluster.produce("in", partition, b"k", &Payment { id, amount: 1 }.encode());
        }
        let gate = Arc::new(Gate::default());
        gate.set(1, true);
        let settings = Settings { poll_records_max: 1, commit_interval_ms: 1_000_000, ..Settings::default() };
        let stage = SumStage::new(Arc::default(), Plant::None);
        let report = Arc::<Report>::default();
        let mut worker = Worker::new(log, stage, &topics, settings, gate, Arc::clone(&report));
        for _ in 0..4 {
            worker.step().unwrap();
        }
        assert_eq!(report.partitions.lock().len(), 1);
        drop(other);
        cluster.expire("g", "b");
        cluster.set_faults(faults);
        worker.step().unwrap();
        cluster.set_faults(Faults::default());
        assert_eq!(report.partitions.lock().len(), 2);
        for _ in 0..40 {
            worker.step().unwrap();
        }
        let committed = |partition| cluster.committed_offset("g", partition).map(|(offset, _)| offset);
        assert_eq!((committed(0), committed(1)), (Some(10), Some(10)));
    }
}
