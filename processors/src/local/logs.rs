//! The embedded log behind the workers, the lookups and the gateway. Only I/O.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::future::{BoxFuture, FutureExt};
use kpay_control::drain;
use kpay_control::names::Component;
use kpay_control::validate::ValidatedPipeline;
use kpay_domain::Intake;
use kpay_streams::embedded::{Done, EmbeddedLog, NewRecord, Store, StoreError, StoredTopic};
use kpay_streams::log::LogError;
use kpay_streams::out::Topic;
use kpay_streams::record::Record;
use tokio::sync::oneshot;

use super::phase::Progress;
use crate::gateway::append::{AppendError, Appender};
use crate::lookup::Lookup;
use crate::names::{StageName, TopicName};
use crate::pod::logs::Logs;
use crate::scan::Scan;
use crate::stage::inflight;

/// As many as the gateway remembers.
const UNREAD_MAX: i64 = 32_768;

/// Every topic of the pipeline, as the store makes them.
pub(super) fn topics(pipeline: &ValidatedPipeline) -> Vec<Topic> {
    TopicName::ALL.into_iter().map(|topic| named(pipeline, topic)).collect()
}

pub(super) fn named(pipeline: &ValidatedPipeline, topic: TopicName) -> Topic {
    let partitions = pipeline.topics.get(&topic).map_or(1, |desired| desired.partitions);
    Topic { name: pipeline.topic(topic), partitions }
}

/// What of a topic stays.
pub(super) enum Kept {
    /// All of it.
    ForEver,
    /// The newest of each key.
    Newest,
    /// What is younger, in milliseconds, or was not read yet by the group that reads it.
    For { ms: i64, reader: Option<String> },
}

/// What of a topic stays, as its settings say; the ledger does in any case, since balances are rebuilt from it.
pub(super) fn kept(pipeline: &ValidatedPipeline, topic: TopicName) -> Kept {
    let setting = |name| pipeline.topics.get(&topic).and_then(|desired| desired.config.get(name));
    if setting("cleanup.policy").is_some_and(|policy| policy == "compact") {
        return Kept::Newest;
    }
    let ms = setting("retention.ms").and_then(|text| text.parse().ok()).unwrap_or(-1);
    if topic == TopicName::Ledger || ms < 0 {
        return Kept::ForEver;
    }
    let reader = StageName::ALL.into_iter().find(|stage| stage.input() == topic);
    Kept::For { ms, reader: reader.map(|stage| super::names(pipeline).group(stage)) }
}

/// The intakes that no stage has read yet, the newest in each partition: acknowledged, so their senders may ask for them.
pub(super) fn unread(store: &Store, pipeline: &ValidatedPipeline) -> anyhow::Result<Vec<Intake>> {
    let topic = store.topic(&pipeline.topic(TopicName::Incoming))?;
    let group = super::names(pipeline).group(StageName::Inflight);
    let mut intakes = Vec::new();
    for partition in 0..topic.partitions {
        let (_, end) = store.ends(topic, partition)?;
        let from = store.committed(&group, topic, partition)?;
        let from = from.max(end - UNREAD_MAX / i64::from(topic.partitions));
        store.read(topic, partition, from, &mut |record| intakes.extend(inflight::read(record)))?;
    }
    Ok(intakes)
}

/// The logs of one stage's workers.
pub(super) struct EmbeddedLogs {
    store: Store,
    topics: Vec<Topic>,
    group: String,
}

impl EmbeddedLogs {
    pub(super) fn new(store: Store, pipeline: &ValidatedPipeline, stage: StageName) -> Self {
        let topics = stage.topics().iter().map(|topic| named(pipeline, *topic)).collect();
        Self { store, topics, group: super::names(pipeline).group(stage) }
    }
}

impl Logs for EmbeddedLogs {
    type Log = EmbeddedLog;

    fn topics(&self) -> &[Topic] {
        &self.topics
    }

    fn open(&self, _worker: usize) -> Result<EmbeddedLog, LogError> {
        Ok(EmbeddedLog::open(&self.store, &self.group, &self.topics)?)
    }

    fn lookup(&self) -> anyhow::Result<Arc<dyn Lookup>> {
        let input = self.topics.first().context("a stage without topics")?;
        Ok(Arc::new(EmbeddedLookup { store: self.store.clone(), topic: self.store.topic(&input.name)? }))
    }

    fn ledger(&self) -> anyhow::Result<Arc<dyn Scan>> {
        let index = StageName::Account.index(TopicName::Ledger).0;
        let ledger = self.topics.get(index).context("the stage has no ledger")?;
        Ok(Arc::new(EmbeddedScan { store: self.store.clone(), topic: self.store.topic(&ledger.name)? }))
    }
}

struct EmbeddedLookup {
    store: Store,
    topic: StoredTopic,
}

impl Lookup for EmbeddedLookup {
    fn get(
        &self,
        partition: i32,
        offset: i64,
        _timeout: Duration,
        read: &mut dyn FnMut(&Record<'_>),
    ) -> anyhow::Result<bool> {
        Ok(self.store.get(self.topic, partition, offset, read)?)
    }
}

struct EmbeddedScan {
    store: Store,
    topic: StoredTopic,
}

impl Scan for EmbeddedScan {
    fn ends(&self, partition: i32, _timeout: Duration) -> anyhow::Result<(i64, i64)> {
        Ok(self.store.ends(self.topic, partition)?)
    }

    fn range(
        &self,
        partition: i32,
        (from, until): (i64, i64),
        _timeout: Duration,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> anyhow::Result<()> {
        Ok(self.store.read_range(self.topic, partition, from..until, each)?)
    }
}

/// payment.incoming, for the gateway.
pub(super) struct EmbeddedAppender {
    store: Store,
    topic: StoredTopic,
    headers: Vec<(String, Vec<u8>)>,
}

impl EmbeddedAppender {
    pub(super) fn new(store: Store, pipeline: &ValidatedPipeline) -> anyhow::Result<Self> {
        let headers = vec![("content-type".to_owned(), b"application/x-protobuf".to_vec())];
        let topic = store.topic(&pipeline.topic(TopicName::Incoming))?;
        Ok(Self { store, topic, headers })
    }
}

impl Appender for EmbeddedAppender {
    fn append<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<(), AppendError>> {
        let Self { store, topic, headers } = self;
        async move {
            let (waiting, written) = oneshot::channel();
            // Nobody waits any more when the caller has gone.
            let done: Done = Box::new(move |result| drop(waiting.send(result)));
            let record = NewRecord { key: key.as_bytes(), value: Some(value), headers };
            store.append(*topic, record, done)?;
            match written.await {
                Ok(written) => Ok(written.map(drop)?),
                Err(_) => Err(AppendError::Replaced),
            }
        }
        .boxed()
    }
}

/// How far the stages' groups are, for the proof of a drain: here nothing is open once it can be seen.
pub(super) fn progress(store: Store, pipeline: &ValidatedPipeline) -> Progress {
    let known = StageName::ALL
        .map(|stage| (stage.component(), super::names(pipeline).group(stage), pipeline.topic(stage.input())));
    Box::new(move |component: Component| {
        let (_, group, topic) = known.iter().find(|(known, _, _)| *known == component)?;
        let topic = store.topic(topic).ok()?;
        let of = |partition| {
            let (_, end) = store.ends(topic, partition)?;
            let data_records_between = store.committed(group, topic, partition)? < end;
            Ok((partition, drain::Progress { last_stable: end, high_watermark: end, data_records_between }))
        };
        (0..topic.partitions).map(of).collect::<Result<_, StoreError>>().ok()
    })
}
