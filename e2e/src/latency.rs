//! Latency under a steady load: from the call that appends to payment.incoming to the record read from payment.confirmed,
//! `read_committed`. Only I/O.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use kpay_kafka::config::{Connection, Isolation};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;

use crate::load::{self, Appender};

const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// So long there may be no outcome at all.
const SILENCE_MAX: Duration = Duration::from_mins(1);
const UNKNOWN: u64 = u64::MAX;

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// Payments at a steady rate.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// What their ids begin with.
    pub run: &'a str,
    /// Accounts that they are spread over.
    pub accounts: u64,
    /// Payments a second.
    pub rate: u64,
}

/// When each payment was sent, and when its outcome was read.
#[derive(Debug)]
pub struct Flown {
    /// By number.
    pub sent: Vec<Instant>,
    /// By number, in the order of reading.
    pub arrived: Vec<(usize, Instant)>,
}

impl Flown {
    /// The numbers that were sent in that time.
    pub fn sent_between(&self, from: Instant, to: Instant) -> Range<usize> {
        self.sent.partition_point(|at| *at < from)..self.sent.partition_point(|at| *at < to)
    }

    /// The latency of these numbers.
    pub fn latency(&self, numbers: &Range<usize>) -> anyhow::Result<Latency> {
        let mut histogram = Histogram::<u64>::new(3)?;
        for (number, at) in self.arrived.iter().filter(|(number, _)| numbers.contains(number)) {
            let sent = self.sent.get(*number).context("a payment that was not sent")?;
            histogram.record(u64::try_from(at.duration_since(*sent).as_micros())?)?;
        }
        #[allow(clippy::cast_precision_loss)] // microseconds of minutes
        let ms = |microseconds: u64| microseconds as f64 / 1000.0;
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| ms(histogram.value_at_quantile(q)));
        Ok(Latency { p50, p99, p999, max: ms(histogram.max()) })
    }
}

/// Sends while `more` says so of the next number, and reads every outcome. The reader is at the end of payment.confirmed.
pub fn fly(
    reader: &BaseConsumer,
    appender: &mut Appender,
    load: Load<'_>,
    more: impl Fn(u64) -> bool,
) -> anyhow::Result<Flown> {
    let total = AtomicU64::new(UNKNOWN);
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(reader, load.run, &total));
        let sent = send(appender, load, more);
        // Also when it failed: the receiver would wait for ever.
        total.store(sent.as_ref().map_or(0, |sent| sent.len() as u64), Ordering::Relaxed);
        let arrived = receiver.join().map_err(|_| anyhow::anyhow!("the receiver has panicked"))?;
        Ok(Flown { sent: sent?, arrived: arrived? })
    })
}

fn send(appender: &mut Appender, load: Load<'_>, more: impl Fn(u64) -> bool) -> anyhow::Result<Vec<Instant>> {
    let rate = u32::try_from(load.rate)?;
    ensure!(rate > 0, "a rate of 0 sends nothing");
    let (began, mut sent) = (Instant::now(), Vec::new());
    for number in (0..).take_while(|number| more(*number)) {
        let (seconds, part) = (u32::try_from(number / load.rate)?, u32::try_from(number % load.rate)?);
        let due = began + Duration::from_secs(1) * seconds + Duration::from_secs(1) * part / rate;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        sent.push(Instant::now());
        appender.append(&load::payment(load.run, number, load.accounts)?)?;
    }
    appender.flush()?;
    Ok(sent)
}

fn receive(reader: &BaseConsumer, run: &str, total: &AtomicU64) -> anyhow::Result<Vec<(usize, Instant)>> {
    let (mut received, mut heard) = (Vec::new(), Instant::now());
    while (received.len() as u64) < total.load(Ordering::Relaxed) {
        match reader.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let key = std::str::from_utf8(message.key().unwrap_or_default())?;
                let number = key.strip_prefix(run).and_then(|rest| rest.strip_prefix('-'));
                received.push((number.context("not of this run")?.parse()?, heard));
            }
            Some(Err(error)) => eprintln!("{error}"),
            None if heard.elapsed() > SILENCE_MAX => bail!("{} outcomes, and no more", received.len()),
            None => {}
        }
    }
    Ok(received)
}

/// A reader at the end of a topic.
pub fn reader_at_end(connection: &Connection, topic: &str, partitions: i32) -> anyhow::Result<BaseConsumer> {
    let mut config = connection.reader(Isolation::Committed);
    config.set("enable.partition.eof", "false").set("auto.offset.reset", "latest");
    let reader: BaseConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        let (_, end) = reader.fetch_watermarks(topic, partition, CALL_TIMEOUT)?;
        list.add_partition_offset(topic, partition, Offset::Offset(end))?;
    }
    reader.assign(&list)?;
    Ok(reader)
}
