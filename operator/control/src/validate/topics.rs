//! From `spec.topics` to what each topic should be. Pure.

use std::collections::BTreeMap;

use kpay_crds::PaymentPipelineSpec;

use super::Invalid;
use crate::duration::parse_retention_ms;
use crate::names::TopicName;

const DAY_MS: i64 = 86_400_000;
/// A dead letter is the record as it came, however large, and headers that tell of it; Kafka's own limit of 1 MiB
/// for a record leaves no room for those.
const DLQ_RECORD_BYTES_MAX: u32 = 2 * 1024 * 1024;

/// What a topic should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredTopic {
    /// Number of partitions.
    pub partitions: i32,
    /// Copies of each.
    pub replication: i32,
    /// Settings that differ from the broker's.
    pub config: BTreeMap<String, String>,
}

/// What every topic should be; tells what is wrong with it.
pub(super) fn topics(
    spec: &PaymentPipelineSpec,
    window_ms: i64,
    invalid: &mut Vec<Invalid>,
) -> BTreeMap<TopicName, DesiredTopic> {
    let t = &spec.topics;
    let entry_partitions = t.inflight.partitions;
    let mut topics = BTreeMap::new();
    for topic in TopicName::ALL {
        let (partitions, retention, config, default_ms) = match topic {
            TopicName::Incoming => (
                t.incoming.partitions,
                &t.incoming.retention,
                &t.incoming.config,
                (7 * DAY_MS).max(window_ms),
            ),
            TopicName::Inflight => (entry_partitions, &t.inflight.retention, &t.inflight.config, 7 * DAY_MS),
            TopicName::Complete => {
                (t.complete.partitions, &t.complete.retention, &t.complete.config, 7 * DAY_MS)
            }
            TopicName::Confirmed => {
                (t.confirmed.partitions, &t.confirmed.retention, &t.confirmed.config, 30 * DAY_MS)
            }
            TopicName::Ledger => (entry_partitions, &t.ledger.retention, &t.ledger.config, -1),
            TopicName::Checkpoints => (entry_partitions, &None, &t.checkpoints.config, -1),
            TopicName::Dlq => (t.dlq.partitions, &t.dlq.retention, &t.dlq.config, 30 * DAY_MS),
        };
        let retention_ms = retention_of(topic, retention.as_deref(), default_ms, invalid);
        if topic == TopicName::Incoming && retention_ms >= 0 && retention_ms < window_ms {
            invalid.push(Invalid::RetentionBelowWindow { window: spec.accounts.idempotency_window.clone() });
        }
        let replication = spec.kafka.replication;
        let config = topic_config(topic, retention_ms, replication, config, invalid);
        topics.insert(topic, DesiredTopic { partitions, replication: i32::from(replication), config });
    }
    if t.confirmed.partitions != t.complete.partitions {
        invalid.push(Invalid::UnevenPartitions {
            confirmed: t.confirmed.partitions,
            complete: t.complete.partitions,
        });
    }
    topics
}

fn retention_of(topic: TopicName, text: Option<&str>, default_ms: i64, invalid: &mut Vec<Invalid>) -> i64 {
    let Some(text) = text else { return default_ms };
    parse_retention_ms(text).unwrap_or_else(|| {
        invalid.push(Invalid::Retention { topic: topic.field(), value: text.to_owned() });
        default_ms
    })
}

fn topic_config(
    topic: TopicName,
    retention_ms: i64,
    replication: i16,
    own: &BTreeMap<String, String>,
    invalid: &mut Vec<Invalid>,
) -> BTreeMap<String, String> {
    let mut config = BTreeMap::new();
    if replication >= 3 {
        config.insert("min.insync.replicas".to_owned(), "2".to_owned());
    }
    if topic == TopicName::Dlq {
        config.insert("max.message.bytes".to_owned(), DLQ_RECORD_BYTES_MAX.to_string());
    }
    // How long an id is known is measured from when the record came, not from when its sender says it was made: a copy
    // with an old timestamp would otherwise be paid again.
    let stamped = "message.timestamp.type";
    for (key, value) in own {
        let stamp = topic == TopicName::Incoming && key == stamped;
        if key == "cleanup.policy" || key == "retention.ms" || stamp {
            invalid.push(Invalid::ReservedConfig { topic: topic.field(), key: key.clone() });
        } else {
            config.insert(key.clone(), value.clone());
        }
    }
    if topic == TopicName::Incoming {
        config.insert(stamped.to_owned(), "LogAppendTime".to_owned());
    }
    if topic == TopicName::Checkpoints {
        config.insert("cleanup.policy".to_owned(), "compact".to_owned());
    } else {
        config.insert("cleanup.policy".to_owned(), "delete".to_owned());
        config.insert("retention.ms".to_owned(), retention_ms.to_string());
    }
    config
}
