//! What became of what was sent. No I/O.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The answer to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Taken in.
    Taken,
    /// Refused, as an invalid one should be.
    Refused,
    /// Nobody knows whether it was taken in.
    Failed,
}

/// Counters that the senders share.
#[derive(Debug)]
pub struct Stats {
    taken: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    /// Microseconds to the answer: since the last look, and of all.
    latency: Mutex<[Option<Histogram<u64>>; 2]>,
}

/// A look at them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Taken in by the gateway or the log.
    pub taken: u64,
    /// Refused at once, as invalid ones are.
    pub refused: u64,
    /// Without an answer.
    pub failed: u64,
}

/// Milliseconds to the answer; none without any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// The median.
    pub p50_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
}

impl Default for Stats {
    fn default() -> Self {
        let histogram = || Histogram::new_with_bounds(1, 60_000_000, 3).ok();
        Self {
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            latency: Mutex::new([histogram(), histogram()]),
        }
    }
}

impl Stats {
    /// Counts an answer.
    pub fn record(&self, sent: Sent, after: Duration) {
        self.add(sent, 1);
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        for histogram in self.latency.lock().iter_mut().flatten() {
            histogram.saturating_record(micros);
        }
    }

    /// Counts without a time.
    pub fn add(&self, sent: Sent, count: u64) {
        let counter = match sent {
            Sent::Taken => &self.taken,
            Sent::Refused => &self.refused,
            Sent::Failed => &self.failed,
        };
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn counts(&self) -> Counts {
        Counts {
            taken: self.taken.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// Since the last call.
    pub fn latency_since(&self) -> Option<Latency> {
        let mut both = self.latency.lock();
        let recent = both.first_mut()?.as_mut()?;
        let latency = of(recent);
        recent.reset();
        latency
    }

    /// Of all.
    pub fn latency(&self) -> Option<Latency> {
        of(self.latency.lock().last()?.as_ref()?)
    }
}

#[allow(clippy::cast_precision_loss)] // microseconds far below 2^53
fn of(histogram: &Histogram<u64>) -> Option<Latency> {
    let ms = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    (!histogram.is_empty()).then(|| Latency { p50_ms: ms(0.5), p99_ms: ms(0.99) })
}
