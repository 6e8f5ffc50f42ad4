//! Sending the batches of a transaction: one request a broker, with all partitions that it leads.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, TransactionalId};

use super::attempt::{Trouble, again, persist};
use super::{CALL_TIME, TransactionError, TransactionErrorKind, TransactionalProducer};
use crate::cluster::Node;

const CALL: &str = "append";
const PRODUCE: i16 = 12;
/// As many replicas as the topic's `min.insync.replicas` asks for.
const ACKS_ALL: i16 = -1;
const REPLICAS_TIMEOUT_MS: i32 = 3_000;

/// A batch that is on its way.
struct Sealed {
    topic: usize,
    partition: usize,
    bytes: Bytes,
}

impl TransactionalProducer {
    /// Sends what was collected, and waits until the broker has it.
    pub(super) fn flush(&mut self) -> Result<(), TransactionError> {
        let mut waiting = self.seal();
        if waiting.is_empty() {
            return Ok(());
        }
        self.begun = true;
        persist(CALL, CALL_TIME, TransactionErrorKind::Abort, || self.try_produce(&mut waiting))
    }

    fn seal(&mut self) -> Vec<Sealed> {
        let mut sealed = Vec::with_capacity(self.touched.len());
        let sequence = self.sequence(0);
        for &(topic, partition) in &self.touched {
            let place = self.partitions.get_mut(topic).and_then(|all| all.get_mut(partition));
            if let Some(place) = place.filter(|place| !place.batch.is_empty()) {
                let mut sequence = sequence;
                sequence.first = place.sent;
                place.sent += place.batch.count();
                sealed.push(Sealed { topic, partition, bytes: place.batch.seal(sequence) });
            }
        }
        sealed
    }

    /// Sends the batches that are `waiting`; those that the broker has are taken out.
    ///
    /// One broker after the other: each adds its partitions to the transaction, and the coordinator makes two that come
    /// at once wait for longer than this takes.
    fn try_produce(&mut self, waiting: &mut Vec<Sealed>) -> Result<(), Trouble> {
        let mut leaders = Vec::with_capacity(waiting.len());
        for sealed in waiting.iter() {
            leaders.push(self.cluster.leader(sealed.topic, sealed.partition)?);
        }
        let mut nodes: Vec<Node> = leaders.clone();
        nodes.sort_unstable();
        nodes.dedup();
        let (mut reason, mut moved) = (None, false);
        let mut done = vec![false; waiting.len()];
        for node in nodes {
            let at_node = |number: &usize| leaders.get(*number) == Some(&node);
            let numbers: Vec<usize> = (0..waiting.len()).filter(at_node).collect();
            match self.produce_at(node, waiting, &numbers, &mut done) {
                Ok(None) => {}
                Ok(Some(error)) => {
                    moved |= error != ResponseError::ConcurrentTransactions;
                    reason = Some(format!("{error:?}"));
                }
                Err(Trouble::Again(detail)) => (reason, moved) = (Some(detail), true),
                Err(failed) => return Err(failed),
            }
        }
        let mut keep = done.iter().map(|done| !done);
        waiting.retain(|_| keep.next().unwrap_or(true));
        let Some(reason) = reason else { return Ok(()) };
        if moved {
            self.cluster.forget_leaders();
        }
        Err(Trouble::Again(reason))
    }

    fn request<'a>(&self, batches: impl Iterator<Item = &'a Sealed>) -> ProduceRequest {
        let mut topics: Vec<TopicProduceData> = Vec::new();
        for sealed in batches {
            let name = self.cluster.topic(sealed.topic);
            let data = PartitionProduceData::default()
                .with_index(i32::try_from(sealed.partition).unwrap_or(i32::MAX))
                .with_records(Some(sealed.bytes.clone()));
            if let Some(topic) = topics.iter_mut().find(|topic| topic.name == name) {
                topic.partition_data.push(data);
            } else {
                topics.push(TopicProduceData::default().with_name(name).with_partition_data(vec![data]));
            }
        }
        ProduceRequest::default()
            .with_transactional_id(Some(TransactionalId(self.slot().id.clone())))
            .with_acks(ACKS_ALL)
            .with_timeout_ms(REPLICAS_TIMEOUT_MS)
            .with_topic_data(topics)
    }

    /// Sends some of the batches to one broker, and marks those that it took. Says why it did not take the others.
    fn produce_at(
        &mut self,
        node: Node,
        waiting: &[Sealed],
        numbers: &[usize],
        done: &mut [bool],
    ) -> Result<Option<ResponseError>, Trouble> {
        let request = self.request(numbers.iter().filter_map(|number| waiting.get(*number)));
        let answer = self.cluster.call(node, CALL, PRODUCE, &request)?;
        let mut reason = None;
        for &number in numbers {
            let Some(sealed) = waiting.get(number) else { continue };
            let name = self.cluster.topic(sealed.topic);
            let topic = answer.responses.iter().find(|topic| topic.name == name);
            let found = topic.into_iter().flat_map(|topic| &topic.partition_responses).find(|partition| {
                usize::try_from(partition.index).is_ok_and(|index| index == sealed.partition)
            });
            let code =
                found.map_or(ResponseError::UnknownServerError.code(), |partition| partition.error_code);
            match ResponseError::try_from_code(code) {
                // It was taken when it was sent before, and only the answer was lost.
                None | Some(ResponseError::DuplicateSequenceNumber) => {
                    if let Some(done) = done.get_mut(number) {
                        *done = true;
                    }
                }
                Some(error) if again(error) => reason = Some(error),
                Some(error) => {
                    let topic = name.0.as_str();
                    tracing::warn!(topic, partition = sealed.partition, ?error, "append refused");
                    return Err(Trouble::refused(CALL, error));
                }
            }
        }
        Ok(reason)
    }
}
