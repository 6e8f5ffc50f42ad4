//! What the transactional producer does when calls fail, against a peer that fails them on purpose. On a real broker it
//! is tested with the stages, in the `kafka` tier.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod peer;

use std::cell::Cell;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiKey;
use kpay_kafka::config::Connection;
use kpay_kafka::ffi::GroupMember;
use kpay_kafka::transaction::{InputOffset, TransactionError, TransactionErrorKind, TransactionalProducer};

use peer::{Asked, Fault, Peer};

fn open(peer: &Peer) -> Result<TransactionalProducer, TransactionError> {
    let connection = Connection { bootstrap_servers: peer.address.clone(), client_id: "test".into() };
    TransactionalProducer::open(connection, "slot", &["in".to_owned(), "out".to_owned()])
}

/// A producer that has told its peer who it is; the peer has given it the epochs 1 and 2.
fn opened() -> (Peer, TransactionalProducer) {
    let peer = Peer::start(2);
    let producer = open(&peer).unwrap();
    let init = |id: &str| Asked::Init { id: id.to_owned(), epoch: -1 };
    assert_eq!(peer.asked(), [init("slot-a"), init("slot-b")]);
    (peer, producer)
}

fn append(producer: &mut TransactionalProducer, partitions: &[i32]) {
    for partition in partitions {
        producer.append(1, *partition, 0, b"key", Some(b"value"), &[]).unwrap();
    }
}

fn commit(producer: &mut TransactionalProducer) -> Result<(), TransactionError> {
    commit_as(producer, || Some(member(1)))
}

fn commit_as(
    producer: &mut TransactionalProducer,
    member: impl Fn() -> Option<GroupMember>,
) -> Result<(), TransactionError> {
    producer.commit(member, "in", &[InputOffset { partition: 0, next: 5, metadata: "" }])
}

fn member(generation: i32) -> GroupMember {
    GroupMember { group: "group".into(), generation, member: "member".into(), instance: None }
}

fn end(epoch: i16) -> Asked {
    Asked::End { epoch, committed: true }
}

#[test]
fn a_transaction_is_one_request_a_broker_then_the_offsets_then_the_end() {
    let (peer, mut producer) = opened();
    append(&mut producer, &[0, 2, 2, 3]);
    commit(&mut producer).unwrap();
    let batches = Asked::Produce(vec![(0, 1, 0), (2, 1, 0), (3, 1, 0)]);
    assert_eq!(peer.asked(), [Asked::Metadata, batches, Asked::Offsets { epoch: 1 }, end(1)]);
}

#[test]
fn two_ids_take_turns_and_each_goes_on_with_the_epoch_that_its_last_end_brought() {
    let (peer, mut producer) = opened();
    for epoch in [1, 2, 2, 3, 3] {
        append(&mut producer, &[0]);
        commit(&mut producer).unwrap();
        let asked: Vec<Asked> = peer.asked().into_iter().filter(|a| *a != Asked::Metadata).collect();
        let batches = Asked::Produce(vec![(0, epoch, 0)]);
        assert_eq!(asked, [batches, Asked::Offsets { epoch }, end(epoch)]);
    }
}

#[test]
fn a_batch_that_is_full_is_sent_before_the_commit_and_the_next_one_counts_on() {
    let (peer, mut producer) = opened();
    let large = vec![0; 500_000];
    for _ in 0..3 {
        producer.append(1, 0, 0, b"", Some(&large), &[]).unwrap();
    }
    commit(&mut producer).unwrap();
    let batches = |sequence| Asked::Produce(vec![(0, 1, sequence)]);
    let asked = peer.asked();
    assert_eq!(asked[1..4], [batches(0), batches(1), batches(2)], "{asked:?}");
}

#[test]
fn nothing_appended_and_nothing_read_is_no_transaction() {
    let (peer, mut producer) = opened();
    producer.commit(|| None, "in", &[]).unwrap();
    producer.abort().unwrap();
    assert_eq!(peer.asked(), []);
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_epoch_and_sequence() {
    for call in [ApiKey::Produce, ApiKey::TxnOffsetCommit, ApiKey::EndTxn] {
        let (peer, mut producer) = opened();
        peer.fault(call, Fault::LoseAnswer);
        append(&mut producer, &[0]);
        commit(&mut producer).unwrap();
        let asked: Vec<Asked> = peer.asked().into_iter().filter(|a| *a != Asked::Metadata).collect();
        let mut expected = vec![Asked::Produce(vec![(0, 1, 0)]), Asked::Offsets { epoch: 1 }, end(1)];
        let lost = match call {
            ApiKey::Produce => 0,
            ApiKey::TxnOffsetCommit => 1,
            _ => 2,
        };
        expected.insert(lost, expected[lost].clone());
        assert_eq!(asked, expected, "{call:?}");
    }
}

#[test]
fn a_batch_that_the_broker_has_already_is_no_error() {
    let (peer, mut producer) = opened();
    peer.fault(ApiKey::Produce, Fault::Refuse(ResponseError::DuplicateSequenceNumber));
    append(&mut producer, &[0]);
    commit(&mut producer).unwrap();
    assert_eq!(peer.asked().last(), Some(&end(1)));
}

#[test]
fn only_the_partition_that_was_refused_is_sent_again() {
    let (peer, mut producer) = opened();
    let busy = ResponseError::ConcurrentTransactions;
    peer.fault(ApiKey::Produce, Fault::RefusePartition(2, busy));
    append(&mut producer, &[0, 2]);
    commit(&mut producer).unwrap();
    let (both, one) = (vec![(0, 1, 0), (2, 1, 0)], vec![(2, 1, 0)]);
    assert_eq!(peer.asked()[..3], [Asked::Metadata, Asked::Produce(both), Asked::Produce(one)]);
}

#[test]
fn a_leader_that_has_moved_is_looked_up_again() {
    let (peer, mut producer) = opened();
    peer.fault(ApiKey::Produce, Fault::Refuse(ResponseError::NotLeaderOrFollower));
    append(&mut producer, &[0]);
    commit(&mut producer).unwrap();
    let batches = Asked::Produce(vec![(0, 1, 0)]);
    assert_eq!(peer.asked()[..4], [Asked::Metadata, batches.clone(), Asked::Metadata, batches]);
}

#[test]
fn a_group_that_has_moved_on_asks_for_an_abort_and_the_other_id_goes_on() {
    let (peer, mut producer) = opened();
    peer.fault(ApiKey::TxnOffsetCommit, Fault::Refuse(ResponseError::IllegalGeneration));
    append(&mut producer, &[0]);
    assert_eq!(commit(&mut producer).unwrap_err().kind, TransactionErrorKind::Abort);
    let offsets = |asked: &&Asked| matches!(asked, Asked::Offsets { .. });
    assert_eq!(peer.asked().iter().filter(offsets).count(), 1, "not again as the member that was refused");
    producer.abort().unwrap();
    assert_eq!(peer.asked(), [Asked::End { epoch: 1, committed: false }]);
    append(&mut producer, &[0]);
    commit(&mut producer).unwrap();
    assert_eq!(peer.asked()[0], Asked::Produce(vec![(0, 2, 0)]));
}

#[test]
fn a_group_that_we_have_moved_on_with_takes_the_offsets() {
    let (peer, mut producer) = opened();
    peer.fault(ApiKey::TxnOffsetCommit, Fault::Refuse(ResponseError::IllegalGeneration));
    append(&mut producer, &[0]);
    // Our consumer hears of the new generation a moment after the coordinator has it.
    let asked = Cell::new(0);
    let joining = || Some(member(if asked.replace(asked.get() + 1) < 3 { 1 } else { 2 }));
    commit_as(&mut producer, joining).unwrap();
    assert_eq!(peer.asked()[2..], [Asked::Offsets { epoch: 1 }, Asked::Offsets { epoch: 1 }, end(1)]);
}

#[test]
fn who_is_no_member_commits_no_offsets() {
    let (peer, mut producer) = opened();
    append(&mut producer, &[0]);
    for member in [None, Some(member(-1))] {
        let refused = commit_as(&mut producer, || member.clone()).unwrap_err();
        assert_eq!(refused.kind, TransactionErrorKind::Abort);
    }
    assert!(!peer.asked().contains(&Asked::Offsets { epoch: 1 }));
}

#[test]
fn an_abort_whose_answer_is_lost_is_asked_for_again() {
    let (peer, mut producer) = opened();
    peer.fault(ApiKey::TxnOffsetCommit, Fault::Refuse(ResponseError::RebalanceInProgress));
    peer.fault(ApiKey::EndTxn, Fault::LoseAnswer);
    append(&mut producer, &[0]);
    commit(&mut producer).unwrap_err();
    peer.asked();
    producer.abort().unwrap();
    let abort = Asked::End { epoch: 1, committed: false };
    assert_eq!(peer.asked(), [abort.clone(), abort]);
}

#[test]
fn an_abort_that_is_refused_for_the_epoch_says_that_we_are_fenced() {
    let (peer, mut producer) = opened();
    peer.fault(ApiKey::Produce, Fault::Refuse(ResponseError::InvalidProducerEpoch));
    peer.fault(ApiKey::EndTxn, Fault::Refuse(ResponseError::ProducerFenced));
    append(&mut producer, &[0]);
    assert_eq!(commit(&mut producer).unwrap_err().kind, TransactionErrorKind::Abort);
    assert_eq!(producer.abort().unwrap_err().kind, TransactionErrorKind::Fenced);
}

#[test]
fn a_commit_that_is_refused_leaves_the_outcome_unknown_and_a_new_epoch_finds_it_out() {
    let (peer, mut producer) = opened();
    peer.fault(ApiKey::EndTxn, Fault::Refuse(ResponseError::InvalidTxnState));
    append(&mut producer, &[0]);
    assert_eq!(commit(&mut producer).unwrap_err().kind, TransactionErrorKind::Unknown);
    peer.asked();
    producer.reopen().unwrap();
    let init = |id: &str, epoch| Asked::Init { id: id.into(), epoch };
    assert_eq!(peer.asked(), [init("slot-a", 1), init("slot-b", 2)]);
    peer.fault(ApiKey::InitProducerId, Fault::Refuse(ResponseError::ProducerFenced));
    assert_eq!(producer.reopen().unwrap_err().kind, TransactionErrorKind::Fenced);
}

#[test]
fn a_commit_that_is_refused_for_the_epoch_says_that_we_are_fenced() {
    let (peer, mut producer) = opened();
    peer.fault(ApiKey::EndTxn, Fault::Refuse(ResponseError::ProducerFenced));
    append(&mut producer, &[0]);
    assert_eq!(commit(&mut producer).unwrap_err().kind, TransactionErrorKind::Fenced);
}

#[test]
fn an_answer_without_the_offsets_is_no_commit() {
    let (peer, mut producer) = opened();
    peer.fault(ApiKey::TxnOffsetCommit, Fault::AnswerNothing);
    append(&mut producer, &[0]);
    assert_eq!(commit(&mut producer).unwrap_err().kind, TransactionErrorKind::Abort);
}

#[test]
fn a_record_that_the_topic_does_not_take_is_refused_for_good() {
    let (peer, mut producer) = opened();
    peer.fault(ApiKey::Produce, Fault::Refuse(ResponseError::MessageTooLarge));
    append(&mut producer, &[0]);
    assert_eq!(commit(&mut producer).unwrap_err().kind, TransactionErrorKind::Unavailable);
}

#[test]
fn a_cluster_with_the_older_transactions_is_refused_with_what_to_do() {
    let error = open(&Peer::start(1)).err().unwrap();
    assert_eq!(error.kind, TransactionErrorKind::Unavailable);
    assert!(error.detail.contains("upgrade --feature transaction.version=2"), "{}", error.detail);
}
