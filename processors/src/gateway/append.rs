//! Appends to payment.incoming. Only I/O, behind [`Appender`], which has a twin in the tests.
//!
//! The producer is rdkafka's `ThreadedProducer`: a thread of its own serves the deliveries, and a record costs one boxed
//! oneshot besides what librdkafka copies. `FutureProducer` is the same with an async runtime to be chosen, for retries
//! that are not wanted here.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use kpay_domain::intake;
use kpay_kafka::config::Connection;
use kpay_kafka::partition::partition_of;
use kpay_streams::embedded::StoreError;
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::owners::Directory;
use crate::names::StageName;

/// The caller is told that the log is unavailable after so long.
const DELIVERY_TIMEOUT_MS: &str = "5000";
/// Requests that wait for their record at one time; more are refused.
const QUEUE_RECORDS_MAX: &str = "20000";
const STOP_TIMEOUT: Duration = Duration::from_secs(6);
const _: () = assert!(intake::RECORD_BYTES_MAX < 1_000_000, "librdkafka's message.max.bytes");

/// Why a record is not known to be in the log. It may be there all the same, but for the first.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// The topic's partitions are not known yet.
    #[error("the partitions of payment.incoming are not known")]
    TopicUnknown,
    /// librdkafka or the broker refused it, or did not say in time.
    #[error("the record was not acknowledged: {source}")]
    Kafka {
        /// What librdkafka said.
        #[source]
        source: rdkafka::error::KafkaError,
    },
    /// The embedded log could not be written.
    #[error("the record was not written: {0}")]
    Embedded(#[from] StoreError),
    /// The producer was replaced while the record waited.
    #[error("the producer was replaced")]
    Replaced,
}

/// The log that intakes go to.
pub(crate) trait Appender: Send + Sync {
    /// Appends a record; `Ok` when all replicas in sync have it.
    fn append<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<(), AppendError>>;
}

type Delivery = Result<(), rdkafka::error::KafkaError>;

/// Hands every delivery to the request that waits for it.
struct Deliveries;

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<oneshot::Sender<Delivery>>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Self::DeliveryOpaque) {
        let result = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        // Nobody waits any more when the caller has gone.
        drop(waiting.send(result));
    }
}

/// Kafka.
pub(super) struct KafkaAppender {
    connection: Connection,
    topic: String,
    directory: Directory,
    headers: OwnedHeaders,
    producer: Mutex<Arc<ThreadedProducer<Deliveries>>>,
}

impl KafkaAppender {
    /// Opens an idempotent producer; it connects by itself.
    pub(super) fn open(
        connection: Connection,
        topic: String,
        directory: Directory,
    ) -> Result<Self, kpay_kafka::KafkaError> {
        let producer = Mutex::new(Arc::new(create(&connection)?));
        Ok(Self { connection, topic, directory, headers: protobuf(), producer })
    }

    async fn send(&self, key: &str, value: &[u8]) -> Result<(), AppendError> {
        let partitions = self.directory.owners().partitions(StageName::Inflight);
        let partition = partition_of(key.as_bytes(), partitions.ok_or(AppendError::TopicUnknown)?);
        let producer = Arc::clone(&self.producer.lock());
        let appended = deliver(&producer, &self.topic, &self.headers, |record| {
            record.partition(partition).key(key).payload(value)
        })
        .await;
        if matches!(appended, Err(AppendError::Kafka { .. })) {
            self.renew(&producer);
        }
        appended
    }

    /// A producer with a fatal error never sends again: the next record gets a new one.
    fn renew(&self, producer: &Arc<ThreadedProducer<Deliveries>>) {
        if let Some((code, reason)) = producer.client().fatal_error() {
            let mut current = self.producer.lock();
            if Arc::ptr_eq(&current, producer) {
                error!(%code, reason, "the producer is replaced");
                match create(&self.connection) {
                    Ok(new) => {
                        let old = std::mem::replace(&mut *current, Arc::new(new));
                        // Dropping the last clone joins its thread.
                        tokio::task::spawn_blocking(move || drop(old));
                    }
                    Err(error) => error!(%error, "no new producer"),
                }
            }
        }
    }

    /// Waits for what is on its way. Blocks.
    pub(super) fn stop(&self) {
        let producer = Arc::clone(&self.producer.lock());
        if let Err(error) = producer.flush(STOP_TIMEOUT) {
            warn!(%error, "records are left behind unacknowledged; their callers were told so");
        }
    }
}

/// Kafka, for a few records of a pod that is no gateway: librdkafka finds the partition of the key.
pub(crate) struct KeyedAppender {
    topic: String,
    headers: OwnedHeaders,
    producer: ThreadedProducer<Deliveries>,
}

impl KeyedAppender {
    /// Opens an idempotent producer; it connects by itself.
    pub(crate) fn open(connection: &Connection, topic: String) -> Result<Self, kpay_kafka::KafkaError> {
        Ok(Self { topic, headers: protobuf(), producer: create(connection)? })
    }
}

impl Appender for KeyedAppender {
    fn append<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<(), AppendError>> {
        let Self { topic, headers, producer } = self;
        deliver(producer, topic, headers, |record| record.key(key).payload(value)).boxed()
    }
}

type NewRecord<'a> = BaseRecord<'a, str, [u8], Box<oneshot::Sender<Delivery>>>;

/// Sends a record, and waits until the broker has it.
async fn deliver<'a>(
    producer: &ThreadedProducer<Deliveries>,
    topic: &'a str,
    headers: &OwnedHeaders,
    fill: impl FnOnce(NewRecord<'a>) -> NewRecord<'a>,
) -> Result<(), AppendError> {
    let (waiting, delivered) = oneshot::channel();
    let record = fill(BaseRecord::with_opaque_to(topic, Box::new(waiting))).headers(headers.clone());
    producer.send(record).map_err(|(source, _)| AppendError::Kafka { source })?;
    match delivered.await {
        Ok(delivery) => delivery.map_err(|source| AppendError::Kafka { source }),
        Err(_) => Err(AppendError::Replaced),
    }
}

fn protobuf() -> OwnedHeaders {
    OwnedHeaders::new().insert(Header { key: "content-type", value: Some("application/x-protobuf") })
}

fn create(connection: &Connection) -> Result<ThreadedProducer<Deliveries>, kpay_kafka::KafkaError> {
    let mut config = connection.producer();
    config
        .set("delivery.timeout.ms", DELIVERY_TIMEOUT_MS)
        .set("request.timeout.ms", "4000")
        .set("partitioner", "murmur2")
        .set("queue.buffering.max.messages", QUEUE_RECORDS_MAX);
    config.create_with_context(Deliveries).map_err(kpay_kafka::KafkaError::call("create producer"))
}

impl Appender for KafkaAppender {
    fn append<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<(), AppendError>> {
        self.send(key, value).boxed()
    }
}
