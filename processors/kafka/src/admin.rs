//! Topics and consumer groups, as an administrator sees them. Only I/O; every call blocks, so an async caller
//! wraps it in `spawn_blocking`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::config::{Connection, Isolation};
use crate::error::KafkaError;
use crate::ffi;
use crate::group::remove_members;
use crate::quiet::Quiet;

/// A client for topics and groups.
pub struct Admin {
    connection: Connection,
    client: AdminClient<DefaultClientContext>,
    timeout: Duration,
}

/// One topic as the broker has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicState {
    /// Number of partitions.
    pub partitions: i32,
    /// Replicas of the first partition.
    pub replication: i32,
    /// The settings that were set on the topic itself (not the broker's defaults).
    pub config: BTreeMap<String, String>,
}

/// How far a group has come in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionProgress {
    /// The committed offset; `None` when the group never committed.
    pub committed: Option<i64>,
    /// Where `read_committed` ends.
    pub last_stable: i64,
    /// Where the log ends.
    pub high_watermark: i64,
    /// Whether a data record lies between the committed and the last stable offset. Control records take
    /// offsets too, so the difference of the two says nothing.
    pub data_records_between: bool,
}

/// How far a group is on a topic, summed over its partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupOffsets {
    /// The committed offsets; the beginning of a partition where there is none.
    pub committed: i64,
    /// Where `read_committed` ends.
    pub end: i64,
}

impl Admin {
    /// Opens a client. It connects on the first call; `timeout` bounds each call.
    pub fn new(connection: Connection, timeout: Duration) -> Result<Self, KafkaError> {
        let client = connection.base().create().map_err(KafkaError::call("create admin client"))?;
        Ok(Self { connection, client, timeout })
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.timeout)).operation_timeout(Some(self.timeout))
    }

    /// All topics whose name starts with `prefix`, with their own settings.
    pub fn topics(&self, prefix: &str) -> Result<BTreeMap<String, TopicState>, KafkaError> {
        let metadata = self
            .client
            .inner()
            .fetch_metadata(None, self.timeout)
            .map_err(KafkaError::call("fetch metadata"))?;
        let mut topics = BTreeMap::new();
        for topic in metadata.topics().iter().filter(|topic| topic.name().starts_with(prefix)) {
            let replication = topic.partitions().first().map_or(0, |p| p.replicas().len());
            let state = TopicState {
                partitions: i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX),
                replication: i32::try_from(replication).unwrap_or(i32::MAX),
                config: BTreeMap::new(),
            };
            topics.insert(topic.name().to_owned(), state);
        }
        self.describe(&mut topics)?;
        Ok(topics)
    }

    fn describe(&self, topics: &mut BTreeMap<String, TopicState>) -> Result<(), KafkaError> {
        if topics.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = topics.keys().cloned().collect();
        let resources: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let described = block_on(self.client.describe_configs(&resources, &self.options()))
            .map_err(KafkaError::call("describe settings"))?;
        for (name, result) in names.iter().zip(described) {
            let resource = result.map_err(|code| topic_error("describe settings", name, code))?;
            let own = resource.entries.into_iter().filter(|e| e.source == ConfigSource::DynamicTopic);
            if let Some(state) = topics.get_mut(name) {
                state.config = own.filter_map(|e| Some((e.name, e.value?))).collect();
            }
        }
        Ok(())
    }

    /// Creates one topic; one that exists already is no error.
    pub fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replication: i32,
        config: &BTreeMap<String, String>,
    ) -> Result<(), KafkaError> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
        for (key, value) in config {
            topic = topic.set(key, value);
        }
        let results = block_on(self.client.create_topics([&topic], &self.options()))
            .map_err(KafkaError::call("create topic"))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(topic_error("create", &topic, code)),
            }
        }
        Ok(())
    }

    /// Sets the given settings and leaves all others as they are.
    pub fn alter_config(&self, topic: &str, set: &BTreeMap<String, String>) -> Result<(), KafkaError> {
        let pairs: Vec<_> = set.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        ffi::alter_topic_config(self.client.inner(), topic, &pairs, self.timeout)
    }

    /// Deletes one topic; one that does not exist is no error.
    pub fn delete_topic(&self, name: &str) -> Result<(), KafkaError> {
        let results = block_on(self.client.delete_topics(&[name], &self.options()))
            .map_err(KafkaError::call("delete topic"))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((topic, code)) => return Err(topic_error("delete", &topic, code)),
            }
        }
        Ok(())
    }

    /// How far `group` has come in every partition of `topic`. Reads only what lies between, joins nothing.
    pub fn group_progress(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<i32, PartitionProgress>, KafkaError> {
        let create = || KafkaError::call("create consumer");
        let as_group: BaseConsumer = self.connection.consumer(group, 1024).create().map_err(create())?;
        let reader = |isolation| self.connection.reader(isolation).create_with_context(Quiet);
        let stable = reader(Isolation::Committed).map_err(create())?;
        let all = reader(Isolation::Uncommitted).map_err(create())?;
        let mut wanted = TopicPartitionList::new();
        for partition in 0..self.partition_count(topic)? {
            wanted.add_partition(topic, partition);
        }
        let committed = as_group
            .committed_offsets(wanted, self.timeout)
            .map_err(KafkaError::call("fetch committed offsets"))?;
        let mut progress = BTreeMap::new();
        let mut gaps = BTreeMap::new();
        for element in committed.elements() {
            let partition = element.partition();
            // The high watermark first: what becomes stable in between only shows as more lag, never as less.
            let (low, high_watermark) = watermarks(&all, topic, partition, self.timeout)?;
            let (_, last_stable) = watermarks(&stable, topic, partition, self.timeout)?;
            let committed = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            let from = committed.unwrap_or(low).max(low);
            if from < last_stable {
                gaps.insert(partition, from);
            }
            let found =
                PartitionProgress { committed, last_stable, high_watermark, data_records_between: false };
            progress.insert(partition, found);
        }
        for partition in self.with_records(&stable, topic, gaps)? {
            if let Some(found) = progress.get_mut(&partition) {
                found.data_records_between = true;
            }
        }
        Ok(progress)
    }

    /// Takes static members of a group that do not come back out of it.
    pub fn remove_members(&self, group: &str, instances: &[String]) -> Result<(), KafkaError> {
        remove_members(&self.connection, group, instances, self.timeout)
    }

    /// How far `group` is on the whole of `topic`. Reads no record and joins nothing.
    pub fn group_offsets(&self, group: &str, topic: &str) -> Result<GroupOffsets, KafkaError> {
        let consumer: BaseConsumer =
            self.connection.consumer(group, 1024).create().map_err(KafkaError::call("create consumer"))?;
        let mut wanted = TopicPartitionList::new();
        for partition in 0..self.partition_count(topic)? {
            wanted.add_partition(topic, partition);
        }
        let committed = consumer
            .committed_offsets(wanted, self.timeout)
            .map_err(KafkaError::call("fetch committed offsets"))?;
        let mut sums = GroupOffsets::default();
        for element in committed.elements() {
            let (low, end) = watermarks(&consumer, topic, element.partition(), self.timeout)?;
            let committed = if let Offset::Offset(offset) = element.offset() { offset.max(low) } else { low };
            sums.committed = sums.committed.saturating_add(committed);
            sums.end = sums.end.saturating_add(end);
        }
        Ok(sums)
    }

    /// The number of partitions of a topic that exists.
    pub fn partition_count(&self, topic: &str) -> Result<i32, KafkaError> {
        let metadata = self
            .client
            .inner()
            .fetch_metadata(Some(topic), self.timeout)
            .map_err(KafkaError::call("fetch metadata"))?;
        let found = metadata.topics().iter().find(|t| t.name() == topic);
        match found {
            Some(t) if t.error().is_none() => Ok(i32::try_from(t.partitions().len()).unwrap_or(0)),
            _ => Err(topic_error("find", topic, RDKafkaErrorCode::UnknownTopicOrPartition)),
        }
    }

    /// Which of these partitions hold a data record from their offset on. They are read together: an assignment takes
    /// librdkafka about a second, however many partitions it has.
    fn with_records(
        &self,
        reader: &BaseConsumer<Quiet>,
        topic: &str,
        mut unknown: BTreeMap<i32, i64>,
    ) -> Result<BTreeSet<i32>, KafkaError> {
        let mut found = BTreeSet::new();
        if unknown.is_empty() {
            return Ok(found);
        }
        let mut list = TopicPartitionList::new();
        for (partition, from) in &unknown {
            list.add_partition_offset(topic, *partition, Offset::Offset(*from))
                .map_err(KafkaError::call("assign"))?;
        }
        reader.assign(&list).map_err(KafkaError::call("assign"))?;
        let deadline = Instant::now() + self.timeout;
        while !unknown.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(KafkaError::TimedOut {
                    call: "read up to the last stable offset",
                    timeout_ms: self.timeout.as_millis(),
                });
            }
            match reader.poll(left) {
                Some(Ok(record)) => {
                    unknown.remove(&record.partition());
                    found.insert(record.partition());
                }
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                    unknown.remove(&partition);
                }
                Some(Err(source)) => return Err(KafkaError::Call { call: "read", source }),
                None => {}
            }
        }
        Ok(found)
    }
}

fn topic_error(call: &'static str, topic: &str, code: RDKafkaErrorCode) -> KafkaError {
    KafkaError::Topic { call, topic: topic.to_owned(), code, detail: String::new() }
}

/// Low and high end of a partition as the client's isolation level sees it.
pub fn watermarks<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    timeout: Duration,
) -> Result<(i64, i64), KafkaError> {
    client.fetch_watermarks(topic, partition, timeout).map_err(KafkaError::call("fetch watermarks"))
}
