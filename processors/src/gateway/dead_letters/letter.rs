//! A dead letter read from its record, the record that it is replayed as, and the mark that it was. Pure.

use std::fmt;

use jiff::Timestamp;
use kpay_streams::dead_letter as header;
use kpay_streams::record::Record;
use serde::{Deserialize, Serialize};

use super::dto::{Failure, Replay};
use super::log::Addressed;
use crate::names::{Names, StageName, TopicName};

/// Of a text of a header, in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// Earlier failures that a record carries along; of more, the oldest are forgotten.
const HISTORY_MAX: usize = 16;

/// Where a letter lies in ops.dlq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LetterId {
    pub(super) partition: i32,
    pub(super) offset: i64,
}

impl LetterId {
    /// Reads `<partition>-<offset>`, in the one way that [`LetterId`] is written.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (partition, offset) = text.split_once('-')?;
        let id = Self { partition: partition.parse().ok()?, offset: offset.parse().ok()? };
        (id.partition >= 0 && id.offset >= 0 && id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.partition, self.offset)
    }
}

/// What a list shows of a letter; bounded, however large the record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) id: LetterId,
    pub(super) at_ms: i64,
    pub(super) code: String,
    pub(super) detail: String,
    pub(super) stage: String,
    /// Full name.
    pub(super) topic: String,
    pub(super) partition: i32,
    /// Below 0 when the record was handled in the transaction that made it.
    pub(super) offset: i64,
    pub(super) key: String,
    pub(super) bytes: usize,
    /// How long the value was before it was cut.
    pub(super) cut_from: Option<usize>,
    /// How often the record was replayed before this failure.
    pub(super) replays: u32,
}

/// A letter with all that it carries.
#[derive(Debug, Clone)]
pub(super) struct Full {
    pub(super) letter: Letter,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

/// A text of a record, cut to what is shown.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes)).into_owned()
}

impl Letter {
    /// `None` for a record that is no dead letter.
    pub(super) fn of(record: &Record<'_>) -> Option<Self> {
        let bytes = |name| record.headers.get(name);
        let text = |name| bytes(name).map(shown).unwrap_or_default();
        Some(Self {
            id: LetterId { partition: record.partition, offset: record.offset },
            at_ms: record.timestamp_ms,
            code: shown(bytes(header::CODE)?),
            detail: text(header::DETAIL),
            stage: text(header::STAGE),
            topic: text(header::TOPIC),
            partition: text(header::PARTITION).parse().unwrap_or(-1),
            offset: text(header::OFFSET).parse().unwrap_or(-1),
            key: shown(record.key),
            bytes: record.value.len(),
            cut_from: text(header::CUT_FROM).parse().ok(),
            replays: text(header::REPLAYS).parse().unwrap_or(0),
        })
    }

    /// The stage that reads the topic where it came from, if that is one of ours.
    pub(super) fn source(&self, names: &Names) -> Option<StageName> {
        StageName::ALL.into_iter().find(|stage| names.topic(stage.input()) == self.topic)
    }
}

impl Full {
    /// `None` for a record that is no dead letter.
    pub(super) fn of(record: &Record<'_>) -> Option<Self> {
        let letter = Letter::of(record)?;
        let mut headers = Vec::new();
        record.headers.each(&mut |name, value| headers.push((name.to_owned(), value.to_vec())));
        Some(Self { letter, key: record.key.to_vec(), value: record.value.to_vec(), headers })
    }

    /// The failures before this one, the oldest first.
    pub(super) fn history(&self) -> Vec<Failure> {
        let of_history = self.headers.iter().filter(|(name, _)| name == header::HISTORY);
        of_history.filter_map(|(_, value)| serde_json::from_slice(value).ok()).collect()
    }

    /// The headers that the record came with, without those of kpay.
    pub(super) fn own_headers(&self) -> impl Iterator<Item = &(String, Vec<u8>)> {
        self.headers.iter().filter(|(name, _)| !name.starts_with(header::PREFIX))
    }

    /// The record as it came, with this failure in its history.
    pub(super) fn replayed(&self, topic: TopicName, partition: i32, replay: &Replay) -> Addressed {
        let Letter { id, at_ms, code, detail, stage, replays, .. } = &self.letter;
        let mut history = self.history();
        history.push(Failure {
            letter: id.to_string(),
            at: rfc3339(*at_ms),
            code: code.clone(),
            detail: detail.clone(),
            stage: stage.clone(),
            replayed: replay.clone(),
        });
        let forgotten = history.len().saturating_sub(HISTORY_MAX);
        let mut headers: Vec<_> = self.own_headers().cloned().collect();
        let mut add = |name: &str, value: Vec<u8>| headers.push((name.to_owned(), value));
        for failure in history.iter().skip(forgotten) {
            add(header::HISTORY, serde_json::to_vec(failure).unwrap_or_default());
        }
        add(header::REPLAY_OF, id.to_string().into_bytes());
        add(header::REPLAYS, replays.saturating_add(1).to_string().into_bytes());
        Addressed { topic, partition, key: self.key.clone(), value: self.value.clone(), headers }
    }
}

/// That a letter was replayed: it lies in the letter's partition, is written in the transaction that replays it, and is
/// the audit record as well.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Mark {
    at: String,
    who: String,
    what: String,
    why: String,
    target: MarkTarget,
}

#[derive(Debug, Serialize, Deserialize)]
struct MarkTarget {
    letter: String,
    code: String,
    topic: String,
    partition: i32,
}

impl Mark {
    /// The record.
    pub(super) fn record(letter: &Letter, replay: &Replay) -> Addressed {
        let mark = Self {
            at: replay.at.clone(),
            who: replay.by.clone(),
            what: "dead_letter_replayed".to_owned(),
            why: replay.reason.clone(),
            target: MarkTarget {
                letter: letter.id.to_string(),
                code: letter.code.clone(),
                topic: letter.topic.clone(),
                partition: letter.partition,
            },
        };
        Addressed {
            topic: TopicName::Dlq,
            partition: letter.id.partition,
            key: letter.id.to_string().into_bytes(),
            value: serde_json::to_vec(&mark).unwrap_or_default(),
            headers: vec![(header::REPLAYED.to_owned(), letter.id.to_string().into_bytes())],
        }
    }

    /// The offset of the letter that the record marks as replayed.
    pub(super) fn marks(record: &Record<'_>) -> Option<i64> {
        let id = LetterId::parse(std::str::from_utf8(record.headers.get(header::REPLAYED)?).ok()?)?;
        (id.partition == record.partition && id.offset < record.offset).then_some(id.offset)
    }

    /// What the record says of the replay.
    pub(super) fn replay(record: &Record<'_>) -> Option<Replay> {
        Self::marks(record)?;
        let mark: Self = serde_json::from_slice(record.value).ok()?;
        Some(Replay { at: mark.at, by: mark.who, reason: mark.why })
    }
}

/// A time in milliseconds since 1970.
pub(super) fn rfc3339(at_ms: i64) -> String {
    format!("{:.3}", Timestamp::from_millisecond(at_ms).unwrap_or_default())
}
