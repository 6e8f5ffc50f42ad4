//! What the group wants of a member: noted in librdkafka's callback, answered by the worker.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::types::RDKafkaRespErr;
use tracing::debug;

/// Takes rebalances note of in the callback and leaves them to the worker, which has a transaction to end first.
pub(super) struct Rebalances {
    pub(super) pending: Arc<Mutex<VecDeque<Rebalance>>>,
    pub(super) closing: Arc<AtomicBool>,
}

pub(super) enum Rebalance {
    Assign(TopicPartitionList),
    Revoke { list: TopicPartitionList, lost: bool },
}

impl ClientContext for Rebalances {}

impl ConsumerContext for Rebalances {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assign = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let list = list.clone();
        let rebalance = if assign {
            Rebalance::Assign(list)
        } else {
            Rebalance::Revoke { list, lost: consumer.assignment_lost() }
        };
        if self.closing.load(Ordering::Acquire) {
            return rebalance.answer(consumer);
        }
        self.pending.lock().push_back(rebalance);
    }
}

impl Rebalance {
    /// While closing: a consumer is not closed before each was answered, and takes nothing any more.
    pub(super) fn answer<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>) {
        let answered = match self {
            Self::Assign(list) => consumer.incremental_assign(list),
            Self::Revoke { list, .. } => consumer.incremental_unassign(list),
        };
        if let Err(error) = answered {
            debug!(%error, "a rebalance while closing");
        }
    }
}

pub(super) fn partitions_of(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(rdkafka::topic_partition_list::TopicPartitionListElem::partition).collect()
}
