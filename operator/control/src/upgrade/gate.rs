//! Whether payments go as they went before. Pure.

use kpay_crds::{UpgradeFigures, UpgradeStrategy};

/// A latency that grew by less is let pass, in milliseconds: small ones double by chance.
const LATENCY_SLACK_MS: f64 = 50.0;

/// The time that the figures of a pod tell of, in milliseconds.
pub(super) const FIGURES_MS: i64 = 10_000;

/// What the resource asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Whether payments go on meanwhile.
    pub strategy: UpgradeStrategy,
    /// How many more pods a stage may have while its pods are replaced.
    pub max_surge: i32,
    /// How long a step may take until all pods are ready, in milliseconds.
    pub step_timeout_ms: i64,
    /// For how long payments are watched after it.
    pub verify_ms: i64,
    /// For how much longer, when there are none.
    pub inconclusive_after_ms: i64,
    /// How many more of a hundred may be rejected.
    pub max_rejected_increase: f64,
    /// What the 99th percentile may be, over what it was.
    pub max_latency: f64,
    /// How many dead letters may come.
    pub max_dead_letters: i64,
}

pub(super) enum Gate {
    /// With the figures.
    Passes(String),
    /// Which gate, with the figures.
    Fails(String),
    /// Nobody tells figures.
    Silent,
    /// There are no payments.
    Idle,
}

/// Compares with the time before; where nothing was known of that, only what is bad by itself fails.
pub(super) fn judge(
    before: Option<&UpgradeFigures>,
    now: Option<&UpgradeFigures>,
    settings: &Settings,
) -> Gate {
    let Some(now) = now else { return Gate::Silent };
    let none = UpgradeFigures::default();
    let was = before.unwrap_or(&none);
    // First what does not need payments that end.
    let letters = now.dead_letters.zip(was.dead_letters).map_or(0, |(now, was)| now.saturating_sub(was));
    if letters > settings.max_dead_letters {
        return Gate::Fails(format!(
            "{letters} dead letters since it began, and upgrade.maxDeadLetters is {}",
            settings.max_dead_letters
        ));
    }
    if now.per_second <= 0.0 {
        return Gate::Idle;
    }
    let rejected = format!("{:.1} % rejected, {:.1} % before", now.rejected_percent, was.rejected_percent);
    if now.rejected_percent > was.rejected_percent + settings.max_rejected_increase {
        let allowed = settings.max_rejected_increase;
        return Gate::Fails(format!("{rejected}, and upgrade.maxRejectedIncrease is {allowed}"));
    }
    let latency = format!("p99 {:.0} ms, {:.0} ms before", now.latency_p99_ms, was.latency_p99_ms);
    let known = was.per_second > 0.0 && was.latency_p99_ms > 0.0;
    let slower = now.latency_p99_ms > was.latency_p99_ms * settings.max_latency
        && now.latency_p99_ms > was.latency_p99_ms + LATENCY_SLACK_MS;
    if known && slower {
        let allowed = settings.max_latency * 100.0;
        return Gate::Fails(format!("{latency}, and upgrade.maxLatency is {allowed:.0} %"));
    }
    Gate::Passes(format!("{:.0} payments/s, {rejected}; {latency}; {letters} dead letters", now.per_second))
}
