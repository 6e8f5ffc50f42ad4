//! A producer that writes in transactions, as Kafka 4 does them (KIP-890: the epoch grows with each transaction).
//!
//! librdkafka has no such producer: it announces each partition first, sends a request a partition, and a call that
//! timed out may be applied to a later transaction. Here a transaction is three calls, one after the other: the batches
//! of all partitions that one broker leads, the offsets, the end. Each may be repeated without harm, so each is, until
//! it is answered or its time is up. Only I/O; every call blocks, and one thread drives it.

use std::time::{Duration, Instant};

use kafka_protocol::protocol::StrBytes;

use crate::batch::{Batch, Header};
use crate::cluster::{Cluster, Node};
use crate::config::Connection;
use crate::ffi::GroupMember;

pub(crate) mod attempt;
mod coordinator;
mod produce;

/// After this time a broker ends what a producer left open, in milliseconds. Longer than
/// [`CALL_TIME`].
const TRANSACTION_TIMEOUT_MS: i32 = 10_000;
/// How long one call is repeated.
const CALL_TIME: Duration = Duration::from_secs(8);
/// How long the end of a transaction is asked for: ours, or the one that a predecessor left open. A cluster takes up to
/// ten seconds to find a new coordinator, which then knows less of an id than the old one did, but ends it all the same.
const END_TIME: Duration = Duration::from_secs(30);
/// How long our consumer may take to learn of the generation that its group has.
const REJOIN_TIME: Duration = Duration::from_millis(100);
/// A partition's batch is sent before it grows over this size, in bytes: brokers take 1 MiB by default.
const BATCH_BYTES_MAX: usize = 800_000;

/// Why a transactional call failed, and so what the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {detail}")]
pub struct TransactionError {
    /// The call that failed.
    pub call: &'static str,
    /// What to do about it.
    pub kind: TransactionErrorKind,
    /// What the broker said, or why it could not be asked.
    pub detail: String,
}

/// What a failed transactional call asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionErrorKind {
    /// Somebody else runs under this transactional id: leave.
    Fenced,
    /// Abort the transaction and go back to the committed offsets.
    Abort,
    /// Nobody knows whether the transaction is committed: [`TransactionalProducer::reopen`], then ask for the offsets.
    Unknown,
    /// The broker is not there, or refuses us for good.
    Unavailable,
}

/// An input offset that a transaction commits.
#[derive(Debug, Clone, Copy)]
pub struct InputOffset<'a> {
    /// The partition of the input topic.
    pub partition: i32,
    /// The next offset to read.
    pub next: i64,
    /// Carried along.
    pub metadata: &'a str,
}

/// One transactional id, and under which number the cluster knows it.
struct Slot {
    id: StrBytes,
    producer_id: i64,
    epoch: i16,
    coordinator: Option<Node>,
}

/// What a transaction has for one partition.
#[derive(Default)]
struct Partition {
    batch: Batch,
    /// How many records of this transaction were sent.
    sent: i32,
}

/// The producer of one worker.
pub struct TransactionalProducer {
    cluster: Cluster,
    /// Used in turns: a coordinator refuses the next transaction of an id while it still writes the markers of the last
    /// one. With two, one's markers are written during the other's turn.
    slots: [Slot; 2],
    turn: usize,
    partitions: Vec<Vec<Partition>>,
    /// Places in `partitions` that this transaction has used.
    touched: Vec<(usize, usize)>,
    /// Whether the broker knows of this transaction.
    begun: bool,
    group_coordinator: Option<Node>,
}

impl TransactionalProducer {
    /// A producer for `topics`, which are named by their place from here on. Ends what a predecessor of the same
    /// `transactional_id` left open and fences it.
    pub fn open(
        connection: Connection,
        transactional_id: &str,
        topics: &[String],
    ) -> Result<Self, TransactionError> {
        let slot = |turn| Slot {
            id: StrBytes::from_string(format!("{transactional_id}-{turn}")),
            producer_id: -1,
            epoch: -1,
            coordinator: None,
        };
        let mut producer = Self {
            cluster: Cluster::new(connection, topics),
            slots: [slot("a"), slot("b")],
            turn: 0,
            partitions: topics.iter().map(|_| Vec::new()).collect(),
            touched: Vec::new(),
            begun: false,
            group_coordinator: None,
        };
        producer.reopen()?;
        Ok(producer)
    }

    /// Ends whatever is open under our ids, and begins anew. Fails with [`TransactionErrorKind::Fenced`] when somebody
    /// else took them over.
    pub fn reopen(&mut self) -> Result<(), TransactionError> {
        self.discard();
        for turn in 0..self.slots.len() {
            self.init(turn)?;
        }
        Ok(())
    }

    /// Adds a record to the open transaction. An empty key is none.
    pub fn append(
        &mut self,
        topic: usize,
        partition: i32,
        at_ms: i64,
        key: &[u8],
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Result<(), TransactionError> {
        let index = usize::try_from(partition).map_err(|_| misplaced(topic, partition))?;
        let headers_size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let size = key.len() + value.map_or(0, <[u8]>::len) + headers_size;
        let full = |p: &Partition| !p.batch.is_empty() && p.batch.size() + size > BATCH_BYTES_MAX;
        if self.partitions.get(topic).and_then(|all| all.get(index)).is_some_and(full) {
            self.flush()?;
        }
        let all = self.partitions.get_mut(topic).ok_or_else(|| misplaced(topic, partition))?;
        if all.len() <= index {
            all.resize_with(index + 1, Partition::default);
        }
        if let Some(place) = all.get_mut(index) {
            if place.batch.is_empty() && place.sent == 0 {
                self.touched.push((topic, index));
            }
            place.batch.push(at_ms, key, value, headers);
        }
        Ok(())
    }

    /// Commits what was appended together with the offsets of a group in its input topic. `member` says who we are in the
    /// group now, and is asked again where the group has another generation than we had: a member that has joined that one
    /// still has what it had before, or has been told to give it up and not done so yet. That it is the same member is for
    /// `member` to see to.
    pub fn commit(
        &mut self,
        member: impl Fn() -> Option<GroupMember>,
        input: &str,
        offsets: &[InputOffset<'_>],
    ) -> Result<(), TransactionError> {
        let began = Instant::now();
        self.flush()?;
        let appended = began.elapsed();
        if !offsets.is_empty() {
            self.begun = true;
            self.add_offsets(member, input, offsets)?;
        }
        let read = began.elapsed();
        if self.begun {
            self.end(true)?;
        }
        tracing::trace!(
            append_us = appended.as_micros(),
            offsets_us = read.saturating_sub(appended).as_micros(),
            end_us = began.elapsed().saturating_sub(read).as_micros(),
            "committed"
        );
        self.discard();
        self.turn = (self.turn + 1) % self.slots.len();
        Ok(())
    }

    /// Gives up what was appended.
    pub fn abort(&mut self) -> Result<(), TransactionError> {
        let begun = self.begun;
        self.discard();
        if begun {
            self.end(false)?;
            self.turn = (self.turn + 1) % self.slots.len();
        }
        Ok(())
    }

    /// Forgets the transaction on our side.
    fn discard(&mut self) {
        for (topic, partition) in self.touched.drain(..) {
            if let Some(place) = self.partitions.get_mut(topic).and_then(|all| all.get_mut(partition)) {
                place.batch.clear();
                place.sent = 0;
            }
        }
        self.begun = false;
    }
}

fn misplaced(topic: usize, partition: i32) -> TransactionError {
    let kind = TransactionErrorKind::Unavailable;
    TransactionError {
        call: "append",
        kind,
        detail: format!("there is no topic {topic} with a partition {partition}"),
    }
}
