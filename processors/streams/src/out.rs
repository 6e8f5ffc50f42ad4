//! What a stage appends, collected in one reused buffer: no allocation per record once it has grown. Pure.

use kpay_kafka::partition::partition_of;

use crate::dead_letter;
use crate::record::Record;

/// How much of a record a dead letter carries, in bytes: a batch of 1 MiB may hold a record that is longer than that.
const DEAD_LETTER_BYTES_MAX: usize = 1_500_000;

/// A topic that the worker may write to or read from, by its place in the worker's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicIndex(pub usize);

/// A topic by name, with the number of its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Full name, prefix included.
    pub name: String,
    /// Number of partitions, at least 1.
    pub partitions: i32,
}

/// One record to be appended, borrowed from [`Out`].
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Where to.
    pub topic: TopicIndex,
    /// Which partition of it.
    pub partition: i32,
    /// Key, empty for none.
    pub key: &'a [u8],
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers, in order.
    pub headers: &'a [(String, Vec<u8>)],
}

/// Headers of a record that has any: few do, so they may allocate.
type OwnedHeaders = Box<[(String, Vec<u8>)]>;

#[derive(Debug)]
struct Entry {
    topic: TopicIndex,
    partition: i32,
    key_end: usize,
    value_end: usize,
    headers: Option<OwnedHeaders>,
    /// Carried out by the worker itself: not appended.
    taken: bool,
}

/// A copy of a record that was taken out of [`Out`], in buffers that are used again.
#[derive(Debug, Default)]
pub struct Taken {
    /// Which partition it would have gone to.
    pub partition: i32,
    /// Key, empty for none.
    pub key: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
}

/// Records that one `process` call appends, in order.
#[derive(Debug)]
pub struct Out {
    partitions: Vec<i32>,
    buffer: Vec<u8>,
    entries: Vec<Entry>,
}

impl Out {
    /// An empty buffer for these topics.
    pub fn new(topics: &[Topic]) -> Self {
        Self {
            partitions: topics.iter().map(|t| t.partitions).collect(),
            buffer: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// The partition of `key` in `topic`.
    pub fn partition_of(&self, topic: TopicIndex, key: &[u8]) -> i32 {
        partition_of(key, self.partitions.get(topic.0).copied().unwrap_or(1))
    }

    /// Appends a record to the partition of its key; `encode` writes the value.
    pub fn send(&mut self, topic: TopicIndex, key: &[u8], encode: impl FnOnce(&mut Vec<u8>)) {
        let partition = self.partition_of(topic, key);
        self.push(topic, partition, key, None, encode);
    }

    /// Appends a record to a given partition (a changelog lies beside its input). Where `encode` writes nothing the record
    /// has no value, which in a compacted topic ends its key.
    pub fn send_to(
        &mut self,
        topic: TopicIndex,
        partition: i32,
        key: &[u8],
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        self.push(topic, partition, key, None, encode);
    }

    /// As [`Out::send`], with headers.
    pub fn send_with_headers(
        &mut self,
        topic: TopicIndex,
        key: &[u8],
        headers: Vec<(String, Vec<u8>)>,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        let partition = self.partition_of(topic, key);
        self.push(topic, partition, key, Some(headers.into_boxed_slice()), encode);
    }

    fn push(
        &mut self,
        topic: TopicIndex,
        partition: i32,
        key: &[u8],
        headers: Option<OwnedHeaders>,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        self.buffer.extend_from_slice(key);
        let key_end = self.buffer.len();
        encode(&mut self.buffer);
        let value_end = self.buffer.len();
        self.entries.push(Entry { topic, partition, key_end, value_end, headers, taken: false });
    }

    /// Appends `record` as it came to a dead-letter topic, with where it came from and why. What no topic would take is
    /// cut: a header then tells how long it was, and the whole of it lies where it came from. The headers of a replay are
    /// kept, so that a record that fails again has its history.
    pub fn dead_letter(&mut self, topic: TopicIndex, letter: &DeadLetter<'_>) {
        let record = letter.record;
        let value = record.value.get(..DEAD_LETTER_BYTES_MAX).unwrap_or(record.value);
        let mut headers = Vec::new();
        record.headers.each(&mut |name, value| {
            // A sender's own would be taken for ours.
            if !dead_letter::of_one_failure(name) {
                headers.push((name.to_owned(), value.to_vec()));
            }
        });
        for (name, value) in [
            (dead_letter::CODE, letter.code.to_owned()),
            (dead_letter::DETAIL, letter.detail.to_owned()),
            (dead_letter::STAGE, letter.stage.to_owned()),
            (dead_letter::TOPIC, letter.source_topic.to_owned()),
            (dead_letter::PARTITION, record.partition.to_string()),
            (dead_letter::OFFSET, record.offset.to_string()),
        ] {
            headers.push((name.to_owned(), value.into_bytes()));
        }
        if value.len() < record.value.len() {
            headers.push((dead_letter::CUT_FROM.to_owned(), record.value.len().to_string().into_bytes()));
        }
        self.send_with_headers(topic, record.key, headers, |b| b.extend_from_slice(value));
    }

    /// Takes a record out that goes to `topic` and one of the partitions that are `ours`: it is copied to `to` and will
    /// not be appended. `number` counts the records that were sent, from 0. A record with headers is never taken.
    pub fn take(
        &mut self,
        number: usize,
        topic: TopicIndex,
        ours: impl FnOnce(i32) -> bool,
        to: &mut Taken,
    ) -> bool {
        let start = number.checked_sub(1).and_then(|n| self.entries.get(n)).map_or(0, |e| e.value_end);
        let Some(entry) = self.entries.get_mut(number) else { return false };
        if entry.topic != topic || entry.headers.is_some() || !ours(entry.partition) {
            return false;
        }
        entry.taken = true;
        to.partition = entry.partition;
        to.key.clear();
        to.key.extend_from_slice(self.buffer.get(start..entry.key_end).unwrap_or_default());
        to.value.clear();
        to.value.extend_from_slice(self.buffer.get(entry.key_end..entry.value_end).unwrap_or_default());
        true
    }

    /// Number of records collected, also of those that were taken.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The records to be appended, in order.
    pub fn iter(&self) -> impl Iterator<Item = Outgoing<'_>> {
        let mut start = 0;
        self.entries.iter().filter_map(move |entry| {
            let key = self.buffer.get(start..entry.key_end).unwrap_or_default();
            let value = self.buffer.get(entry.key_end..entry.value_end).unwrap_or_default();
            start = entry.value_end;
            (!entry.taken).then(|| Outgoing {
                topic: entry.topic,
                partition: entry.partition,
                key,
                // Nothing is the end of what a compacted topic keeps under the key.
                value: (!value.is_empty()).then_some(value),
                headers: entry.headers.as_deref().unwrap_or_default(),
            })
        })
    }

    /// Forgets the records and keeps the buffer.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.entries.clear();
    }
}

/// A record that a stage cannot read, and why.
pub struct DeadLetter<'a> {
    /// The record.
    pub record: &'a Record<'a>,
    /// Full name of the topic that it was read from.
    pub source_topic: &'a str,
    /// The stage that refused it.
    pub stage: &'static str,
    /// Stable `snake_case` code.
    pub code: &'static str,
    /// For people.
    pub detail: &'a str,
}

#[cfg(test)]
mod tests {
    use super::{DEAD_LETTER_BYTES_MAX, DeadLetter, Out, Taken, Topic, TopicIndex};
    use crate::record::{NoHeaders, Record};

    fn out() -> Out {
        Out::new(&[Topic { name: "in".into(), partitions: 1 }, Topic { name: "dlq".into(), partitions: 1 }])
    }

    #[test]
    fn a_record_that_is_taken_is_not_appended_and_the_others_keep_their_bytes() {
        let mut out = out();
        for (topic, key) in [(0, "a"), (1, "b"), (0, "c")] {
            out.send(TopicIndex(topic), key.as_bytes(), |b| b.extend_from_slice(b"value"));
        }
        let mut taken = Taken::default();
        assert!(!out.take(1, TopicIndex(0), |_| true, &mut taken), "another topic");
        assert!(!out.take(2, TopicIndex(0), |_| false, &mut taken), "not ours");
        assert!(out.take(0, TopicIndex(0), |_| true, &mut taken));
        assert_eq!((taken.key.as_slice(), taken.value.as_slice()), (b"a".as_slice(), b"value".as_slice()));
        let left: Vec<_> = out.iter().map(|r| (r.key.to_vec(), r.value.unwrap().to_vec())).collect();
        assert_eq!(left, [(b"b".to_vec(), b"value".to_vec()), (b"c".to_vec(), b"value".to_vec())]);
    }

    #[test]
    fn a_record_that_fails_again_keeps_its_history_and_has_one_code() {
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let headers = vec![
            header("content-type", "text/xml"),
            header("kpay-dlq-history", "{}"),
            header("kpay-dlq-replays", "1"),
            header("kpay-dlq-code", "forged"),
            header("kpay-dlq-replayed", "0-1"),
        ];
        let record =
            Record { partition: 2, offset: 7, timestamp_ms: 0, key: b"k", value: b"v", headers: &headers };
        let mut out = out();
        let letter = DeadLetter { record: &record, source_topic: "in", stage: "s", code: "c", detail: "d" };
        out.dead_letter(TopicIndex(1), &letter);
        let sent = out.iter().next().unwrap();
        let names: Vec<_> = sent.headers.iter().map(|(name, _)| name.strip_prefix("kpay-dlq-")).collect();
        let own = ["history", "replays", "code", "detail", "stage", "topic", "partition", "offset"];
        assert_eq!(names, [None].into_iter().chain(own.map(Some)).collect::<Vec<_>>());
        assert!(sent.headers.contains(&header("kpay-dlq-code", "c")), "{:?}", sent.headers);
    }

    #[test]
    fn a_dead_letter_that_no_topic_would_take_is_cut_and_says_so() {
        for (length, cut) in [(DEAD_LETTER_BYTES_MAX, false), (DEAD_LETTER_BYTES_MAX + 1, true)] {
            let value = vec![0; length];
            let record = Record {
                partition: 0,
                offset: 7,
                timestamp_ms: 0,
                key: b"",
                value: &value,
                headers: &NoHeaders,
            };
            let mut out = out();
            let letter =
                DeadLetter { record: &record, source_topic: "in", stage: "s", code: "c", detail: "d" };
            out.dead_letter(TopicIndex(1), &letter);
            let sent = out.iter().next().unwrap();
            assert_eq!(sent.value.unwrap().len(), DEAD_LETTER_BYTES_MAX);
            let said = sent.headers.iter().find(|(name, _)| name == "kpay-dlq-cut-from");
            assert_eq!(said.map(|(_, v)| v.clone()), cut.then(|| length.to_string().into_bytes()));
        }
    }
}
