//! Throughput and latency over the last seconds. The clock is the process's own.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::stage::windows::{LATENCY_MAX_MS, Minute, Minutes, Paid, histogram};

/// How many seconds the figures look back.
const SECONDS: usize = 10;

/// Finished payments by second.
#[derive(Debug)]
pub struct Figures {
    inner: Mutex<Inner>,
    minutes: Mutex<Minutes>,
}

#[derive(Debug)]
struct Inner {
    started: Instant,
    /// The second that `slots[second % SECONDS]` stands for.
    second: u64,
    slots: Vec<Slot>,
    total: Histogram<u64>,
}

#[derive(Debug)]
struct Slot {
    count: u64,
    rejected: u64,
    latency_ms: Histogram<u64>,
}

/// One reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Finished per second over the last ten full seconds.
    pub per_second: f64,
    /// Of these, rejected or reversed.
    pub rejected_per_second: f64,
    /// 99th percentile from accepted to finished, in milliseconds; 0 without payments.
    pub latency_p99_ms: f64,
}

impl Default for Figures {
    fn default() -> Self {
        let slots = (0..=SECONDS).map(|_| Slot { count: 0, rejected: 0, latency_ms: histogram() }).collect();
        let inner = Inner { started: Instant::now(), second: 0, slots, total: histogram() };
        Self { inner: Mutex::new(inner), minutes: Mutex::default() }
    }
}

impl Inner {
    /// Clears the slots of the seconds that have passed since the last call.
    fn turn(&mut self) {
        let now = self.started.elapsed().as_secs();
        let len = u64::try_from(self.slots.len()).unwrap_or(1);
        for second in (self.second + 1..=now).rev().take(self.slots.len()) {
            if let Some(slot) = self.slots.get_mut(usize::try_from(second % len).unwrap_or(0)) {
                (slot.count, slot.rejected) = (0, 0);
                slot.latency_ms.reset();
            }
        }
        self.second = now;
    }
}

impl Figures {
    /// Takes the latencies of one committed transaction, in milliseconds, and how many of its outcomes are no.
    pub fn record(&self, latencies_ms: &[i64], rejected: u64) {
        let mut inner = self.inner.lock();
        inner.turn();
        let len = u64::try_from(inner.slots.len()).unwrap_or(1);
        let at = usize::try_from(inner.second % len).unwrap_or(0);
        let Inner { slots, total, .. } = &mut *inner;
        let Some(slot) = slots.get_mut(at) else { return };
        slot.rejected += rejected;
        for latency in latencies_ms {
            let ms = u64::try_from(*latency).unwrap_or(0).min(LATENCY_MAX_MS);
            slot.count += 1;
            slot.latency_ms.saturating_record(ms);
            total.saturating_record(ms);
        }
    }

    /// Takes the payments that one committed transaction confirmed.
    pub fn record_paid(&self, paid: &Paid) {
        self.minutes.lock().record(paid);
    }

    /// The minutes since 1970 from this one on in which something was confirmed.
    pub fn minutes(&self, since: i64) -> Vec<Minute> {
        self.minutes.lock().since(since)
    }

    /// The figures now; the running second is left out.
    pub fn read(&self) -> Reading {
        let mut inner = self.inner.lock();
        inner.turn();
        let len = u64::try_from(inner.slots.len()).unwrap_or(1);
        let running = usize::try_from(inner.second % len).unwrap_or(0);
        let (mut count, mut rejected) = (0_u64, 0_u64);
        let mut latency = histogram();
        for (_, slot) in inner.slots.iter().enumerate().filter(|(at, _)| *at != running) {
            count += slot.count;
            rejected += slot.rejected;
            latency += &slot.latency_ms;
        }
        let over = inner.started.elapsed().min(Duration::from_secs(10)).as_secs().max(1);
        Reading {
            per_second: ratio(count, over),
            rejected_per_second: ratio(rejected, over),
            latency_p99_ms: ratio(latency.value_at_quantile(0.99), 1),
        }
    }

    /// Latency percentiles since the process began, in milliseconds, for `/metrics`.
    pub fn quantile_ms(&self, quantile: f64) -> u64 {
        self.inner.lock().total.value_at_quantile(quantile)
    }
}

/// Counts stay far below 2^53, where `f64` is exact.
#[allow(clippy::cast_precision_loss)]
fn ratio(count: u64, over: u64) -> f64 {
    (count as f64) / (over as f64)
}
