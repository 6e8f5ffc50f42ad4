//! Topics and consumer groups, as an administrator sees them. Only I/O; every call blocks, so an async caller
//! wraps it in `spawn_blocking`.

mod offsets;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

pub use self::offsets::{GroupOffsets, PartitionEnds, PartitionProgress, watermarks};
use crate::config::Connection;
use crate::error::KafkaError;
use crate::ffi;
use crate::group::{members, remove_members};

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
    /// The settings that it has from the broker.
    pub inherited: BTreeMap<String, String>,
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
                ..TopicState::default()
            };
            topics.insert(topic.name().to_owned(), state);
        }
        self.settings(&mut topics)?;
        Ok(topics)
    }

    fn settings(&self, topics: &mut BTreeMap<String, TopicState>) -> Result<(), KafkaError> {
        if topics.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = topics.keys().cloned().collect();
        let resources: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let described = block_on(self.client.describe_configs(&resources, &self.options()))
            .map_err(KafkaError::call("describe settings"))?;
        for (name, result) in names.iter().zip(described) {
            let resource = result.map_err(|code| topic_error("describe settings", name, code))?;
            let Some(state) = topics.get_mut(name) else { continue };
            for entry in resource.entries {
                let Some(value) = entry.value else { continue };
                let own = entry.source == ConfigSource::DynamicTopic;
                let settings = if own { &mut state.config } else { &mut state.inherited };
                settings.insert(entry.name, value);
            }
        }
        Ok(())
    }

    /// Those of these topics that there are, with their settings. Costs what it asks for, however many others the
    /// cluster has.
    pub fn describe(&self, names: &[String]) -> Result<BTreeMap<String, TopicState>, KafkaError> {
        let mut topics = BTreeMap::new();
        if names.is_empty() {
            return Ok(topics);
        }
        for (name, found) in ffi::describe_topics(self.client.inner(), names, self.timeout)? {
            match found {
                Ok((partitions, replication)) => {
                    topics.insert(name, TopicState { partitions, replication, ..TopicState::default() });
                }
                Err(RDKafkaErrorCode::UnknownTopicOrPartition) => {}
                Err(code) => return Err(topic_error("describe", &name, code)),
            }
        }
        self.settings(&mut topics)?;
        Ok(topics)
    }

    /// Creates topics as they are described, by one call; one that exists already is no error.
    pub fn create_topics(&self, topics: &BTreeMap<String, TopicState>) -> Result<(), KafkaError> {
        let new: Vec<NewTopic<'_>> = topics.iter().map(|(name, state)| new_topic(name, state)).collect();
        let results = block_on(self.client.create_topics(&new, &self.options()))
            .map_err(KafkaError::call("create topics"))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(topic_error("create", &topic, code)),
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
        let state = TopicState { partitions, replication, config: config.clone(), ..TopicState::default() };
        self.create_topics(&[(name.to_owned(), state)].into())
    }

    /// Gives a topic more partitions, so that it has `partitions`; the broker refuses fewer than there are.
    pub fn create_partitions(&self, name: &str, partitions: i32) -> Result<(), KafkaError> {
        let count = usize::try_from(partitions).unwrap_or(0);
        let results =
            block_on(self.client.create_partitions([&NewPartitions::new(name, count)], &self.options()))
                .map_err(KafkaError::call("create partitions"))?;
        match results.into_iter().find_map(Result::err) {
            Some((topic, code)) => Err(topic_error("add partitions to", &topic, code)),
            None => Ok(()),
        }
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

    /// Takes static members of a group that do not come back out of it.
    pub fn remove_members(&self, group: &str, instances: &[String]) -> Result<(), KafkaError> {
        remove_members(&self.connection, group, instances, self.timeout)
    }

    /// The `client.id` of every member of a group.
    pub fn members(&self, group: &str) -> Result<Vec<String>, KafkaError> {
        members(&self.connection, group, self.timeout)
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
}

fn new_topic<'a>(name: &'a str, state: &'a TopicState) -> NewTopic<'a> {
    let topic = NewTopic::new(name, state.partitions, TopicReplication::Fixed(state.replication));
    state.config.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
}

fn topic_error(call: &'static str, topic: &str, code: RDKafkaErrorCode) -> KafkaError {
    KafkaError::Topic { call, topic: topic.to_owned(), code, detail: String::new() }
}
