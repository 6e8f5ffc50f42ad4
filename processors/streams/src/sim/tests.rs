use std::time::Duration;

use super::{Faults, Identity, SimCluster, SimLog, is_crash};
use crate::log::{Log, LogError, Offset, Polled, Reader, Start, Until};
use crate::out::{Outgoing, Topic, TopicIndex};

const OUT: TopicIndex = TopicIndex(1);

fn open(cluster: &SimCluster, instance: &str) -> SimLog {
    let topic = |name: &str| Topic { name: name.to_owned(), partitions: 2 };
    let identity =
        Identity { group: "g".into(), instance: instance.into(), transactional_id: instance.into() };
    SimLog::open(cluster, identity, &[topic("in"), topic("out")]).unwrap()
}

fn append(log: &mut SimLog) -> Result<(), LogError> {
    log.append(&Outgoing { topic: OUT, partition: 0, key: b"k", value: Some(b"v"), headers: &[] })
}

fn poll(log: &mut SimLog) -> Polled {
    log.poll(Duration::ZERO, 10, &mut |_| {}).unwrap()
}

fn offset(next: i64) -> [Offset; 1] {
    [Offset { partition: 0, next, metadata: "m".into() }]
}

fn read(log: &mut SimLog) -> Vec<i64> {
    let mut offsets = Vec::new();
    log.read(OUT, 0, Start::Beginning, Until::Stable, &mut |r| offsets.push(r.offset)).unwrap();
    offsets
}

#[test]
fn control_records_take_offsets_and_aborted_records_are_not_delivered() {
    let cluster = SimCluster::new(1);
    let mut log = open(&cluster, "a");
    for commit in [true, false, true] {
        log.begin().unwrap();
        append(&mut log).unwrap();
        if commit { log.commit(&[]).unwrap() } else { log.abort().unwrap() }
    }
    assert_eq!(read(&mut log), [0, 4]);
    assert_eq!(cluster.ends("out", 0), (6, 6));
}

#[test]
fn nothing_is_delivered_past_an_open_transaction_until_it_times_out() {
    let cluster = SimCluster::new(1);
    let (mut one, mut two) = (open(&cluster, "a"), open(&cluster, "b"));
    one.begin().unwrap();
    append(&mut one).unwrap();
    two.begin().unwrap();
    append(&mut two).unwrap();
    two.commit(&[]).unwrap();
    assert!(cluster.committed("out", 0).is_empty());
    let before = cluster.now_ms();
    assert_eq!(read(&mut two), [1], "waits for the open transaction to end");
    assert!(cluster.now_ms() > before);
    assert!(matches!(append(&mut one), Err(LogError::Fenced(_))), "its time-out ended it");
}

#[test]
fn a_new_producer_of_the_same_id_fences_the_old_and_aborts_what_it_left() {
    let cluster = SimCluster::new(1);
    let mut old = open(&cluster, "a");
    old.begin().unwrap();
    append(&mut old).unwrap();
    let mut new = open(&cluster, "a");
    assert!(matches!(old.commit(&[]), Err(LogError::Fenced(_))));
    assert_eq!(read(&mut new), [] as [i64; 0]);
    assert!(cluster.is_settled());
}

#[test]
fn offsets_of_another_generation_are_refused() {
    let cluster = SimCluster::new(1);
    let mut one = open(&cluster, "a");
    assert!(matches!(poll(&mut one), Polled::Assigned(partitions) if partitions.len() == 2));
    one.begin().unwrap();
    append(&mut one).unwrap();
    let mut two = open(&cluster, "b");
    assert!(matches!(one.commit(&offset(1)), Err(LogError::Abort(_))));
    one.abort().unwrap();
    assert_eq!(poll(&mut two), Polled::Assigned(Vec::new()), "nothing is free before it is given up");
    let Polled::Revoked { partitions, lost: false } = poll(&mut one) else { panic!("has to give one up") };
    one.release(&partitions).unwrap();
    assert!(matches!(poll(&mut two), Polled::Assigned(assigned) if assigned.len() == partitions.len()));
}

#[test]
fn a_dead_member_keeps_its_partitions_until_its_session_expires_or_it_comes_back() {
    let cluster = SimCluster::new(1);
    let mut one = open(&cluster, "a");
    poll(&mut one);
    one.begin().unwrap();
    one.commit(&offset(7)).unwrap();
    drop(one);
    let mut back = open(&cluster, "a");
    let Polled::Assigned(assigned) = poll(&mut back) else { panic!("has its partitions at once") };
    assert_eq!((assigned[0].offset, assigned[0].metadata.as_str()), (7, "m"));
    drop(back);
    let mut two = open(&cluster, "b");
    poll(&mut two);
    cluster.advance(10_000);
    assert!(cluster.owner("g", 0).is_none_or(|owner| owner == "b"));
    poll(&mut two);
    assert!((0..2).all(|p| cluster.owner("g", p).as_deref() == Some("b")));
}

#[test]
fn after_a_crash_every_call_fails() {
    let cluster = SimCluster::new(1);
    let mut log = open(&cluster, "a");
    cluster.set_faults(Faults { crash: 1.0, ..Faults::default() });
    assert!(is_crash(&log.begin().unwrap_err()));
    cluster.set_faults(Faults::default());
    assert!(is_crash(&log.begin().unwrap_err()));
}
