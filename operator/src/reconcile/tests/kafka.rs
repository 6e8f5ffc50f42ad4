//! A broker in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use kpay_control::autoscale::Offsets;
use kpay_control::drain::Progress;
use kpay_control::start::Ends;
use kpay_control::topics::TopicState;
use kpay_control::validate::DesiredTopic;
use parking_lot::Mutex;

use super::faults::{Fate, Interposer};
use super::mistakes::Operator;
use crate::broker::{Broker, BrokerError, Brokers};

#[derive(Default)]
pub(super) struct Kafka {
    pub(super) topics: Mutex<BTreeMap<String, TopicState>>,
    /// How far every group is, if the broker tells.
    pub(super) offsets: Mutex<Option<Offsets>>,
    /// Who was taken out of a group.
    pub(super) removed: Mutex<Vec<String>>,
    /// Where each partition of payment.incoming ends: others write to it.
    pub(super) end: Mutex<i64>,
    /// What the group of the intake has committed, with the metadata.
    pub(super) committed: Mutex<BTreeMap<i32, (i64, String)>>,
}

/// As one operator sees it.
pub(super) struct Seen {
    pub(super) kafka: Arc<Kafka>,
    pub(super) interposer: Interposer,
    pub(super) operator: Operator,
}

impl Brokers for Arc<Seen> {
    fn open(&self, _: &str) -> Result<Arc<dyn Broker>, BrokerError> {
        Ok(Arc::new(Arc::clone(self)))
    }
}

impl Seen {
    /// A write: carried out, or not, as the plan of the run says.
    fn write(&self, change: impl FnOnce(&Kafka)) -> Result<(), BrokerError> {
        const FAILED: Result<(), BrokerError> = Err(BrokerError::Planted("a planted failure"));
        if self.interposer.is_dead() {
            return FAILED;
        }
        match self.interposer.write() {
            Fate::Done => {
                change(&self.kafka);
                Ok(())
            }
            Fate::DoneBut(_) | Fate::Crash { done: true } => {
                change(&self.kafka);
                FAILED
            }
            Fate::Refused(_) | Fate::Crash { done: false } => FAILED,
        }
    }
}

impl Broker for Arc<Seen> {
    fn topics(&self, names: &[String]) -> Result<BTreeMap<String, TopicState>, BrokerError> {
        let found = self.kafka.topics.lock();
        Ok(names.iter().filter_map(|name| Some((name.clone(), found.get(name)?.clone()))).collect())
    }
    /// Each is a write of its own: a broker may carry out a part.
    fn create_topics(&self, topics: &[(String, DesiredTopic)]) -> Result<(), BrokerError> {
        topics.iter().try_for_each(|(topic, desired)| {
            let DesiredTopic { partitions, replication, config } = desired.clone();
            self.write(|kafka| {
                let state = TopicState { partitions, replication, config, ..TopicState::default() };
                kafka.topics.lock().entry(topic.clone()).or_insert(state);
            })
        })
    }
    fn create_partitions(&self, topic: &str, partitions: i32) -> Result<(), BrokerError> {
        if self.operator.grows_nothing() {
            return Ok(());
        }
        self.write(|kafka| {
            kafka.topics.lock().entry(topic.to_owned()).and_modify(|found| found.partitions = partitions);
        })
    }
    fn alter_config(&self, topic: &str, set: &BTreeMap<String, String>) -> Result<(), BrokerError> {
        if self.operator.leaves_topics_alone() {
            return Ok(());
        }
        self.write(|kafka| {
            kafka.topics.lock().entry(topic.to_owned()).and_modify(|found| found.config.extend(set.clone()));
        })
    }
    fn delete_topic(&self, topic: &str) -> Result<(), BrokerError> {
        if self.operator.keeps_topics() {
            return Ok(());
        }
        // A topic that is not there is no write.
        if !self.kafka.topics.lock().contains_key(topic) {
            return Ok(());
        }
        self.write(|kafka| {
            kafka.topics.lock().remove(topic);
        })
    }
    fn group_progress(&self, _: &str, topic: &str) -> Result<BTreeMap<i32, Progress>, BrokerError> {
        let topics = self.kafka.topics.lock();
        let partitions = topics.get(topic).ok_or(BrokerError::Planted("no topic"))?.partitions;
        let all_read = Progress { last_stable: 0, high_watermark: 0, data_records_between: false };
        Ok((0..partitions).map(|partition| (partition, all_read)).collect())
    }
    fn group_offsets(&self, _: &str, _: &str) -> Result<Offsets, BrokerError> {
        self.kafka.offsets.lock().ok_or(BrokerError::Planted("no group"))
    }
    fn remove_members(&self, group: &str, instances: &[String]) -> Result<(), BrokerError> {
        self.kafka.removed.lock().extend(instances.iter().map(|instance| format!("{group} {instance}")));
        Ok(())
    }
    fn ends(&self, topic: &str, _: Option<i64>) -> Result<BTreeMap<i32, Ends>, BrokerError> {
        let partitions = self.kafka.topics.lock().get(topic).map_or(0, |state| state.partitions);
        let ends = Ends { low: 0, high: *self.kafka.end.lock(), at: None };
        Ok((0..partitions).map(|partition| (partition, ends)).collect())
    }
    fn committed(&self, group: &str, _: &str) -> Result<BTreeMap<i32, i64>, BrokerError> {
        assert_eq!(group, "default.payments.inflight");
        let committed = self.kafka.committed.lock();
        Ok(committed.iter().map(|(partition, (offset, _))| (*partition, *offset)).collect())
    }
    fn commit(&self, _: &str, _: &str, offsets: &BTreeMap<i32, (i64, String)>) -> Result<(), BrokerError> {
        if self.operator.begins_anywhere() {
            return Ok(());
        }
        self.write(|kafka| kafka.committed.lock().extend(offsets.clone()))
    }
}
