//! What a transaction says to its coordinators: who we are, how far we have read, and that it is over.

use std::time::Instant;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    EndTxnRequest, GroupId, InitProducerIdRequest, ProducerId, TransactionalId, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::attempt::{Trouble, again, fenced, persist};
use super::{
    CALL_TIME, END_TIME, InputOffset, REJOIN_TIME, Slot, TRANSACTION_TIMEOUT_MS, TransactionError,
    TransactionErrorKind, TransactionalProducer,
};
use crate::batch::Sequence;
use crate::cluster::{Coordinates, Node};
use crate::ffi::GroupMember;

const INIT_PRODUCER_ID: i16 = 5;
const TXN_OFFSET_COMMIT: i16 = 5;
const END_TXN: i16 = 5;
/// The call that makes offsets part of a transaction.
const COMMIT_OFFSETS: &str = "commit offsets";

impl TransactionalProducer {
    pub(super) fn slot(&self) -> &Slot {
        let [a, b] = &self.slots;
        if self.turn == 0 { a } else { b }
    }

    fn slot_at(&mut self, turn: usize) -> &mut Slot {
        let [a, b] = &mut self.slots;
        if turn == 0 { a } else { b }
    }

    /// Looked up once, and again after it has moved.
    fn coordinator(&mut self, turn: usize) -> Result<Node, Trouble> {
        let (known, id) = (self.slot_at(turn).coordinator, self.slot_at(turn).id.clone());
        if let Some(node) = known {
            return Ok(node);
        }
        let node = self.cluster.coordinator(Coordinates::Transaction, &id)?;
        self.slot_at(turn).coordinator = Some(node);
        Ok(node)
    }

    pub(super) fn init(&mut self, turn: usize) -> Result<(), TransactionError> {
        persist("init producer id", END_TIME, TransactionErrorKind::Unavailable, || self.try_init(turn))
    }

    fn try_init(&mut self, turn: usize) -> Result<(), Trouble> {
        const CALL: &str = "init producer id";
        let node = self.coordinator(turn)?;
        let slot = self.slot_at(turn);
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(slot.id.clone())))
            .with_transaction_timeout_ms(TRANSACTION_TIMEOUT_MS)
            .with_producer_id(ProducerId(slot.producer_id))
            .with_producer_epoch(slot.epoch);
        let answer = self.cluster.call(node, CALL, INIT_PRODUCER_ID, &request);
        let answer = answer.inspect_err(|_| self.slot_at(turn).coordinator = None)?;
        let slot = self.slot_at(turn);
        match ResponseError::try_from_code(answer.error_code) {
            None => {
                slot.producer_id = answer.producer_id.0;
                slot.epoch = answer.producer_epoch;
                Ok(())
            }
            Some(error) if fenced(error) => Err(Trouble::fenced(CALL, error)),
            Some(error) => Err(self.moved_or_refused(turn, CALL, error)),
        }
    }

    /// A coordinator that is not, or not now, is asked again after it was looked up.
    fn moved_or_refused(&mut self, turn: usize, call: &'static str, error: ResponseError) -> Trouble {
        if !again(error) {
            return Trouble::refused(call, error);
        }
        if error != ResponseError::ConcurrentTransactions {
            self.slot_at(turn).coordinator = None;
        }
        Trouble::again(error)
    }

    /// Makes the offsets part of the transaction.
    pub(super) fn add_offsets(
        &mut self,
        member: impl Fn() -> Option<GroupMember>,
        input: &str,
        offsets: &[InputOffset<'_>],
    ) -> Result<(), TransactionError> {
        let mut refused: Option<(i32, Instant)> = None;
        persist(COMMIT_OFFSETS, CALL_TIME, TransactionErrorKind::Abort, || {
            // Without a generation the group would take the offsets of anybody.
            let group = member().filter(|group| group.generation >= 0);
            let group =
                group.ok_or_else(|| Trouble::refused(COMMIT_OFFSETS, ResponseError::UnknownMemberId))?;
            if let Some((_, since)) = refused.filter(|(generation, _)| *generation == group.generation) {
                let late = since.elapsed() >= REJOIN_TIME;
                let error = ResponseError::IllegalGeneration;
                return Err(if late {
                    Trouble::refused(COMMIT_OFFSETS, error)
                } else {
                    Trouble::again(error)
                });
            }
            let request = self.offsets_request(&group, input, offsets);
            if self.try_offsets(&request)? {
                return Ok(());
            }
            refused = Some((group.generation, Instant::now()));
            Err(Trouble::again(ResponseError::IllegalGeneration))
        })
    }

    fn offsets_request(
        &self,
        group: &GroupMember,
        input: &str,
        offsets: &[InputOffset<'_>],
    ) -> TxnOffsetCommitRequest {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let partition = |offset: &InputOffset<'_>| {
            TxnOffsetCommitRequestPartition::default()
                .with_partition_index(offset.partition)
                .with_committed_offset(offset.next)
                .with_committed_metadata(Some(text(offset.metadata)))
        };
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(text(input).into())
            .with_partitions(offsets.iter().map(partition).collect());
        let slot = self.slot();
        TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(slot.id.clone()))
            .with_producer_id(ProducerId(slot.producer_id))
            .with_producer_epoch(slot.epoch)
            .with_group_id(GroupId(text(&group.group)))
            .with_generation_id(group.generation)
            .with_member_id(text(&group.member))
            .with_group_instance_id(group.instance.as_deref().map(text))
            .with_topics(vec![topic])
    }

    /// False when the group has another generation.
    fn try_offsets(&mut self, request: &TxnOffsetCommitRequest) -> Result<bool, Trouble> {
        let node = match self.group_coordinator {
            Some(node) => node,
            None => self.cluster.coordinator(Coordinates::Group, &request.group_id.0)?,
        };
        self.group_coordinator = None;
        let answer = self.cluster.call(node, COMMIT_OFFSETS, TXN_OFFSET_COMMIT, request)?;
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let answered: usize = answer.topics.iter().map(|topic| topic.partitions.len()).sum();
        let asked: usize = request.topics.iter().map(|topic| topic.partitions.len()).sum();
        match partitions.find_map(|p| ResponseError::try_from_code(p.error_code)) {
            None if answered != asked => {
                Err(Trouble::refused(COMMIT_OFFSETS, ResponseError::UnknownServerError))
            }
            None => {
                self.group_coordinator = Some(node);
                Ok(true)
            }
            Some(ResponseError::IllegalGeneration) => {
                self.group_coordinator = Some(node);
                Ok(false)
            }
            Some(error) if again(error) => Err(Trouble::again(error)),
            Some(error) => Err(Trouble::refused(COMMIT_OFFSETS, error)),
        }
    }

    /// Commits the transaction, or aborts it. Both are the end of its epoch, which keeps out whatever of it is still on
    /// its way.
    pub(super) fn end(&mut self, commit: bool) -> Result<(), TransactionError> {
        let call = if commit { "commit" } else { "abort" };
        let ended = persist(call, END_TIME, TransactionErrorKind::Unknown, || self.try_end(call, commit));
        ended.map_err(|error| match error.kind {
            // Refused now, it may have been done when it was asked for before: the committed offsets tell.
            TransactionErrorKind::Abort => TransactionError { kind: TransactionErrorKind::Unknown, ..error },
            _ => error,
        })
    }

    fn try_end(&mut self, call: &'static str, commit: bool) -> Result<(), Trouble> {
        let turn = self.turn;
        let node = self.coordinator(turn)?;
        let slot = self.slot();
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(slot.id.clone()))
            .with_producer_id(ProducerId(slot.producer_id))
            .with_producer_epoch(slot.epoch)
            .with_committed(commit);
        let answer = self.cluster.call(node, call, END_TXN, &request);
        let answer = answer.inspect_err(|_| self.slot_at(turn).coordinator = None)?;
        match ResponseError::try_from_code(answer.error_code) {
            None => {
                let slot = self.slot_at(turn);
                slot.producer_id = answer.producer_id.0;
                slot.epoch = answer.producer_epoch;
                Ok(())
            }
            Some(error) if fenced(error) => Err(Trouble::fenced(call, error)),
            Some(error) => Err(self.moved_or_refused(turn, call, error)),
        }
    }

    pub(super) fn sequence(&self, first: i32) -> Sequence {
        let slot = self.slot();
        Sequence { producer_id: slot.producer_id, producer_epoch: slot.epoch, first }
    }
}
