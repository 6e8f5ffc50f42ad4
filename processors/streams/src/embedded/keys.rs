//! What the keys of the store look like. Pure.
//!
//! One key space for everything, told apart by the first byte; numbers are big-endian, so that keys sort as they count.

const META: u8 = 0;
const TOPIC: u8 = 1;
const OFFSET: u8 = 2;
const BATCH: u8 = 3;

/// Of the format version.
pub(super) const FORMAT: [u8; 2] = [META, 0];

/// Before each topic.
pub(super) const TOPICS: [u8; 1] = [TOPIC];

/// Length of the key of a batch: tag, topic, partition, offset.
const BATCH_BYTES: usize = 1 + 2 + 4 + 8;

/// The number of a topic within the store.
pub(super) type TopicId = u16;

/// Of the name and the partition count of a topic.
pub(super) fn topic(id: TopicId) -> [u8; 3] {
    let [high, low] = id.to_be_bytes();
    [TOPIC, high, low]
}

/// The topic of such a key.
pub(super) fn topic_of(key: &[u8]) -> Option<TopicId> {
    let [TOPIC, high, low] = key else { return None };
    Some(TopicId::from_be_bytes([*high, *low]))
}

/// Of the offset that a group has committed.
pub(super) fn offset(group: &str, topic: TopicId, partition: i32) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + 2 + 4 + group.len());
    key.push(OFFSET);
    key.extend_from_slice(&topic.to_be_bytes());
    key.extend_from_slice(&partition.to_be_bytes());
    key.extend_from_slice(group.as_bytes());
    key
}

/// Of the batch that begins at `base`, which is not negative.
pub(super) fn batch(topic: TopicId, partition: i32, base: i64) -> [u8; BATCH_BYTES] {
    let mut key = [BATCH; BATCH_BYTES];
    let fields = topic.to_be_bytes().into_iter().chain(partition.to_be_bytes()).chain(base.to_be_bytes());
    for (to, from) in key.iter_mut().skip(1).zip(fields) {
        *to = from;
    }
    key
}

/// The first offset of the batch with this key.
pub(super) fn base_of(key: &[u8]) -> Option<i64> {
    let at = BATCH_BYTES.checked_sub(8)?;
    Some(i64::from_be_bytes(key.get(at..)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{base_of, batch, topic, topic_of};

    #[test]
    fn the_keys_of_batches_sort_by_topic_partition_and_offset() {
        let keys = [
            batch(0, 0, 0),
            batch(0, 0, 255),
            batch(0, 0, 256),
            batch(0, 1, 0),
            batch(0, 256, 0),
            batch(1, 0, 0),
            batch(256, 0, i64::MAX),
        ];
        assert!(keys.is_sorted());
        assert_eq!(keys.map(|key| base_of(&key)), [0, 255, 256, 0, 0, 0, i64::MAX].map(Some));
    }

    #[test]
    fn a_topic_is_read_back_from_its_key() {
        assert_eq!(topic_of(&topic(513)), Some(513));
        assert_eq!(topic_of(&[1, 2]), None);
    }
}
