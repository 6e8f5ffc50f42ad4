//! `/metrics`: `OpenMetrics` made from the counters at the time of asking. No I/O.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::generator::stats::Stats;
use crate::pod::control::PodControl;

/// Of the answer.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug)]
struct Snapshot {
    counters: Vec<(&'static str, &'static str, u64)>,
    gauges: Vec<(&'static str, &'static str, f64)>,
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, value) in &self.counters {
            let metric = ConstCounter::new(*value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        for (name, help, value) in &self.gauges {
            let metric = ConstGauge::new(*value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        Ok(())
    }
}

/// The text of all metrics of a pod.
pub(super) fn encode(control: &PodControl) -> String {
    let mut registry = Registry::with_prefix("kpay");
    registry.register_collector(Box::new(snapshot(control)));
    if let Some(gateway) = control.gateway() {
        gateway.metrics.register(&mut registry);
    }
    let mut text = String::new();
    if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &registry) {
        tracing::error!(%error, "metrics");
    }
    text
}

fn snapshot(control: &PodControl) -> Snapshot {
    let reports = control.reports();
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let sum = |of: &dyn Fn(&kpay_streams::control::Report) -> u64| {
        reports.workers.iter().map(|w| of(w)).sum::<u64>()
    };
    let c = &reports.counters;
    let mut counters = vec![
        ("records_received", "Records read from payment.incoming", get(&c.received)),
        ("intakes_accepted", "Payments and account commands accepted", get(&c.accepted)),
        ("intakes_duplicate", "Copies of a known id, dropped", get(&c.duplicates)),
        ("records_rekeyed", "Records sent on to the partition of their id", get(&c.rekeyed)),
        ("dead_letters", "Records written to ops.dlq", get(&c.dead_letters)),
        ("ledger_entries", "Changes of balances", get(&c.ledger_entries)),
        ("outcomes_confirmed", "Outcomes: confirmed", get(&c.confirmed)),
        ("outcomes_rejected", "Outcomes: rejected", get(&c.rejected)),
        ("outcomes_reversed", "Outcomes: reversed", get(&c.reversed)),
        ("transaction_commits", "Kafka transactions committed", sum(&|w| w.commits.load(Ordering::Relaxed))),
        ("transaction_aborts", "Kafka transactions aborted", sum(&|w| w.aborts.load(Ordering::Relaxed))),
    ];
    if let Some(sent) = control.generator().map(Stats::counts) {
        counters.push((
            "generator_records_sent",
            "Records that the broker has, openings among them",
            sent.taken,
        ));
        counters.push(("generator_records_failed", "Records that the broker has not confirmed", sent.failed));
    }
    let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    let owned = reports.workers.iter().map(|w| w.partitions.lock().len()).sum();
    let mut gauges = vec![
        ("partitions_owned", "Partitions owned by this pod", count(owned)),
        ("ready", "1 when a phase is known and everything is restored", f64::from(u8::from(control.ready()))),
    ];
    if let Some(learned) = control.learned() {
        let epoch = count(usize::try_from(learned.epoch).unwrap_or(usize::MAX));
        gauges.push(("phase_epoch", "The epoch that was learned", epoch));
    }
    if let Some(figures) = &reports.figures {
        let reading = figures.read();
        gauges.push(("payments_per_second", "Finished per second, last ten seconds", reading.per_second));
        let p99 = reading.latency_p99_ms / 1000.0;
        gauges.push(("latency_p99_seconds", "Accepted to finished, 99th percentile, last ten seconds", p99));
    }
    Snapshot { counters, gauges }
}
