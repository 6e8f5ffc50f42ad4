//! `spec.kafka`: where the payments are carried. Pure data with defaults, bounds and a CEL rule.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The Kafka cluster that carries the payments.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.topicPrefix) == has(oldSelf.topicPrefix) && (!has(self.topicPrefix) || self.topicPrefix == oldSelf.topicPrefix)")
    .message("kafka.topicPrefix cannot change, not even from absent: the money of this pipeline is under the old prefix; make a new PaymentPipeline"))]
pub struct Kafka {
    /// Where to reach Kafka first: `host:port`, several separated by commas.
    #[schemars(
        length(min = 3, max = 1024),
        regex(pattern = r"^[-a-zA-Z0-9._]+:[0-9]{1,5}(,[-a-zA-Z0-9._]+:[0-9]{1,5})*$")
    )]
    pub bootstrap_servers: String,
    /// Comes before the name of every topic, consumer group and transactional id. Cannot change. Default:
    /// `<namespace>.<name>.`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 120), regex(pattern = r"^[a-zA-Z0-9._-]+$"))]
    pub topic_prefix: Option<String>,
    /// Copies of each partition, at most the number of brokers. Used when a topic is created. From 3 on,
    /// `min.insync.replicas` is 2.
    #[serde(default = "defaults::replication")]
    #[schemars(range(min = 1, max = 9))]
    pub replication: i16,
}

mod defaults {
    pub(super) fn replication() -> i16 {
        1
    }
}
