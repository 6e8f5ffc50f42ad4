//! Loads for payment.incoming, straight to the topic. Only I/O.

use std::time::Duration;

use kpay_domain::{
    AccountCommand, AccountId, Action, Attributes, Currency, Intake, Money, Payment, PaymentId,
};
use kpay_kafka::config::Connection;
use kpay_kafka::partition::partition_of;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;

/// Writes intakes to one topic.
pub struct Appender {
    producer: BaseProducer,
    topic: String,
    partitions: i32,
    buffer: Vec<u8>,
}

impl Appender {
    /// Opens a producer. `linger_ms` trades latency for larger batches.
    pub fn open(
        connection: &Connection,
        topic: String,
        partitions: i32,
        linger_ms: u32,
    ) -> anyhow::Result<Self> {
        let mut config = connection.producer();
        config
            .set("linger.ms", linger_ms.to_string())
            .set("queue.buffering.max.messages", "500000")
            .set("message.max.bytes", "1048588")
            .set("delivery.report.only.error", "true");
        Ok(Self { producer: config.create()?, topic, partitions, buffer: Vec::new() })
    }

    /// Appends protobuf under the intake's id.
    pub fn append(&mut self, intake: &Intake) -> anyhow::Result<()> {
        self.buffer.clear();
        intake.encode(&mut self.buffer);
        let key = intake.id().as_str();
        let partition = partition_of(key.as_bytes(), self.partitions);
        let mut record = BaseRecord::to(&self.topic).partition(partition).key(key).payload(&self.buffer);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.producer.poll(Duration::from_millis(1));
                    record = back;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    /// Appends any bytes. Without `partition` they lie where the key puts them, and without both anywhere.
    pub fn append_raw(
        &mut self,
        key: Option<&str>,
        partition: Option<i32>,
        headers: &[(&str, &str)],
        value: &[u8],
    ) -> anyhow::Result<()> {
        let mut record = BaseRecord::<str, [u8]>::to(&self.topic).payload(value);
        if let Some(key) = key {
            record = record.key(key).partition(partition_of(key.as_bytes(), self.partitions));
        }
        if let Some(partition) = partition {
            record = record.partition(partition);
        }
        let owned = OwnedHeaders::new_with_capacity(headers.len());
        let insert =
            |all: OwnedHeaders, (key, value): &(&str, &str)| all.insert(Header { key, value: Some(*value) });
        let record = record.headers(headers.iter().fold(owned, insert));
        self.producer.send(record).map_err(|(error, _)| error.into())
    }

    /// The partition where the records of an id lie.
    pub fn partition_of(&self, id: &str) -> i32 {
        partition_of(id.as_bytes(), self.partitions)
    }

    /// Waits until the broker has everything.
    pub fn flush(&self) -> anyhow::Result<()> {
        Ok(self.producer.flush(Duration::from_mins(2))?)
    }
}

/// The name of account `number`.
pub fn account(number: u64) -> anyhow::Result<AccountId> {
    Ok(AccountId::new(&format!("acct-{number:06}"))?)
}

/// Opens account `number` with so much.
pub fn open(number: u64, funding_minor: i64) -> anyhow::Result<Intake> {
    let account = account(number)?;
    Ok(Intake::Account(AccountCommand {
        id: PaymentId::new(&format!("open:{}", account.as_str()))?,
        account,
        occurred_at_ms: None,
        action: Action::Open { currency: Some(Currency::new("USD")?), funding_minor },
    }))
}

/// Payment `number` of a run, between two accounts that the number picks evenly.
pub fn payment(run: &str, number: u64, accounts: u64) -> anyhow::Result<Intake> {
    let from = spread(number) % accounts;
    let to = (from + 1 + spread(number ^ 0x5555) % (accounts - 1)) % accounts;
    Ok(Intake::Payment(Payment {
        id: PaymentId::new(&format!("{run}-{number:09}"))?,
        from: account(from)?,
        to: account(to)?,
        amount: Money::new(1 + i64::try_from(number % 100)?, Currency::new("USD")?),
        reference: None,
        attributes: Attributes::default(),
        occurred_at_ms: None,
        refund: None,
    }))
}

/// The finaliser of `SplitMix64`: spreads consecutive numbers evenly.
pub fn spread(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
