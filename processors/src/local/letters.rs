//! The dead letters in the embedded log, for the gateway. Only I/O.

use std::ops::Range;

use kpay_control::validate::ValidatedPipeline;
use kpay_streams::embedded::{EmbeddedLog, Store};
use kpay_streams::log::Log;
use kpay_streams::out::{Outgoing, Topic, TopicIndex};
use kpay_streams::record::Record;

use super::logs::named;
use crate::gateway::dead_letters::log::{Addressed, LetterLog, LettersError, Part, Replayer};
use crate::names::TopicName;

/// A replayer's topics: a place in here is what its log knows a topic by.
const TOPICS: [TopicName; 4] =
    [TopicName::Dlq, TopicName::Incoming, TopicName::Inflight, TopicName::Complete];

/// ops.dlq, and what its letters are replayed into.
pub(super) struct EmbeddedLetters {
    store: Store,
    topics: [Topic; 4],
    group: String,
}

impl EmbeddedLetters {
    pub(super) fn new(store: Store, pipeline: &ValidatedPipeline) -> Self {
        let group = format!("{}dead-letters", pipeline.topic_prefix);
        Self { store, topics: TOPICS.map(|topic| named(pipeline, topic)), group }
    }
}

fn place(topic: TopicName) -> Result<usize, LettersError> {
    TOPICS.iter().position(|known| *known == topic).ok_or(LettersError::TopicUnknown(topic))
}

impl LetterLog for EmbeddedLetters {
    fn partitions(&self, topic: TopicName) -> Result<i32, LettersError> {
        let known = self.topics.get(place(topic)?).map(|topic| topic.partitions);
        known.ok_or(LettersError::TopicUnknown(topic))
    }

    fn ends(&self) -> Result<Vec<Range<i64>>, LettersError> {
        let [dlq, ..] = &self.topics;
        let topic = self.store.topic(&dlq.name)?;
        let of = |partition| Ok(self.store.ends(topic, partition).map(|(first, end)| first..end)?);
        (0..topic.partitions).map(of).collect()
    }

    fn read(&self, parts: &[Part], each: &mut dyn FnMut(&Record<'_>)) -> Result<(), LettersError> {
        let [dlq, ..] = &self.topics;
        let topic = self.store.topic(&dlq.name)?;
        for Part { partition, offsets } in parts {
            self.store.read_range(topic, *partition, offsets.clone(), each)?;
        }
        Ok(())
    }

    /// A log that is opened later for the same group fences this one. Its commits are atomic and in order with those of
    /// the stages; after a loss of power a replay of the last moments is undone as a whole, and can be asked for again.
    fn replayer(&self) -> Result<Box<dyn Replayer>, LettersError> {
        Ok(Box::new(EmbeddedReplayer(EmbeddedLog::open(&self.store, &self.group, &self.topics)?)))
    }
}

struct EmbeddedReplayer(EmbeddedLog);

impl Replayer for EmbeddedReplayer {
    fn append(&mut self, records: Vec<Addressed>) -> Result<(), LettersError> {
        self.0.begin()?;
        for Addressed { topic, partition, key, value, headers } in &records {
            let topic = TopicIndex(place(*topic)?);
            let value = Some(value.as_slice());
            self.0.append(&Outgoing { topic, partition: *partition, key, value, headers })?;
        }
        Ok(self.0.commit(&[])?)
    }
}
