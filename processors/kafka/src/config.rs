//! Client settings. Pure: makes `ClientConfig` values, opens nothing.

use rdkafka::ClientConfig;

/// Who and where: what every client of one process shares.
#[derive(Debug, Clone)]
pub struct Connection {
    /// `host:port[,host:port]`.
    pub bootstrap_servers: String,
    /// `client.id`; for a stage's consumer it is the address where peers reach the pod.
    pub client_id: String,
}

impl Connection {
    /// The settings that every client has.
    pub fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", &self.client_id)
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "2000")
            .set("topic.metadata.refresh.interval.ms", "60000")
            .set("allow.auto.create.topics", "false");
        config
    }

    /// A consumer that reads committed data and stores no offsets by itself.
    ///
    /// `queued_kbytes_max` bounds what is fetched ahead, per consumer.
    pub fn consumer(&self, group: &str, queued_kbytes_max: u32) -> ClientConfig {
        let mut config = self.base();
        config
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.wait.max.ms", "250")
            .set("fetch.min.bytes", "1")
            .set("fetch.error.backoff.ms", "20")
            // Offsets are asked for just after another member committed them: the first answer is often "not yet".
            .set("retry.backoff.ms", "20")
            .set("retry.backoff.max.ms", "100")
            .set("queued.min.messages", "5000")
            .set("queued.max.messages.kbytes", queued_kbytes_max.to_string())
            // What one answer may bring, before it is decompressed: the queue's bound is only looked at in between.
            .set("fetch.message.max.bytes", "262144")
            .set("fetch.max.bytes", "524288")
            .set("message.max.bytes", "524288")
            .set("check.crcs", "false");
        config
    }

    /// A consumer of one worker: cooperative, static, with the group's session bounds.
    pub fn group_member(&self, group: &str, instance: &str, queued_kbytes_max: u32) -> ClientConfig {
        let mut config = self.consumer(group, queued_kbytes_max);
        config
            .set("group.instance.id", instance)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            // Who is to give or take a partition learns of it by a heartbeat; `KafkaLog` sees to it that they are sent.
            .set("heartbeat.interval.ms", "100")
            .set("max.poll.interval.ms", "60000");
        config
    }

    /// A consumer outside any group's rebalancing, for reading a range up to its end.
    pub fn reader(&self, isolation: Isolation) -> ClientConfig {
        let mut config = self.consumer("kpay-reader", 16_384);
        config
            .set("isolation.level", isolation.as_str())
            .set("enable.partition.eof", "true")
            // The end is what is waited for, and the broker tells of it only after this time.
            .set("fetch.wait.max.ms", "1")
            .set("auto.offset.reset", "error");
        config
    }

    /// An idempotent producer for records from the outside.
    pub fn producer(&self) -> ClientConfig {
        let mut config = self.base();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "1")
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            .set("retry.backoff.ms", "10")
            .set("delivery.timeout.ms", "30000")
            .set("queue.buffering.max.kbytes", "65536")
            // A dead letter carries a whole record and headers of its own; the topics have the last word.
            .set("message.max.bytes", "4000000");
        config
    }
}

/// What a reader sees of open and aborted transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the last stable offset, without aborted records.
    Committed,
    /// Up to the high watermark, everything.
    Uncommitted,
}

impl Isolation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "read_committed",
            Self::Uncommitted => "read_uncommitted",
        }
    }
}
