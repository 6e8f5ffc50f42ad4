//! How many pods a stage should have: from what comes in, what waits and how long payments take. Pure; the time is an
//! argument, and all that is remembered between two decisions is in the status.
//!
//! What a stage needs is the most of three: the arrivals over what a pod has shown it can do (at the target
//! utilisation), what works the backlog off in time, and one more while the 99th percentile is past the service level.
//! A pod shows what it can do only with a backlog before it: what it does with less to do says nothing.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kpay_crds::{AutoscalingMode, ScalingInputs, StageScaling};

use crate::duration::elapsed_ms;
use crate::report::rounded;

mod pace;

use pace::Pace;

/// Records of a partition that may wait without being a backlog: a moment's work, and markers of transactions, which
/// take offsets too.
const NOISE_PER_PARTITION: i64 = 100;
/// Weight of the newest measurement.
const NEWEST: f64 = 0.3;
/// For so long after a change partitions move, and a stage does less than it can; in milliseconds.
const REBALANCE_MS: i64 = 15_000;
/// So much more than the target is let be: one pod more for it would soon be taken away again.
const TOLERANCE: f64 = 0.1;
/// Below this share of what its pods can do a stage is not what makes payments slow.
const BUSY: f64 = 0.3;

/// What the resource asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Who sets the replicas.
    pub mode: AutoscalingMode,
    /// The most pods of a stage.
    pub max_replicas: i32,
    /// The share of what pods can do that should be used.
    pub utilization: f64,
    /// In how many seconds a backlog should be worked off.
    pub catch_up_s: f64,
    /// For how long a stage is left alone after a change, in milliseconds.
    pub cooldown_ms: i64,
    /// For how long fewer pods must be enough, in milliseconds.
    pub down_after_ms: i64,
    /// What the 99th percentile should stay below, in milliseconds.
    pub latency_p99_ms: Option<f64>,
    /// The most records that the pipeline takes in a second: a backlog behind it needs no pods.
    pub intake_per_second: Option<f64>,
}

/// How far a group is on its topic, over all partitions. Differences of two such are records and markers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// Sum of the committed offsets.
    pub committed: i64,
    /// Sum of the ends of the log.
    pub end: i64,
}

impl Offsets {
    /// What waits.
    pub fn lag(self) -> i64 {
        self.end.saturating_sub(self.committed).max(0)
    }
}

/// What a stage did between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Records a second that came in.
    pub arrivals_per_second: f64,
    /// Records a second that were finished.
    pub finished_per_second: f64,
    /// What waited at the first look.
    pub lag_before: i64,
    /// What waits now.
    pub lag: i64,
    /// The pipeline's 99th percentile, in milliseconds; none without payments.
    pub latency_p99_ms: Option<f64>,
    /// Pods that are ready.
    pub ready: i32,
}

impl Load {
    /// From two looks that lie `seconds` apart.
    #[allow(clippy::cast_precision_loss)] // offsets stay far below 2^53
    pub fn between(before: Offsets, now: Offsets, seconds: f64, latency_p99_ms: f64, ready: i32) -> Self {
        let rate = |from: i64, to: i64| to.saturating_sub(from).max(0) as f64 / seconds.max(0.001);
        Self {
            arrivals_per_second: rate(before.end, now.end),
            finished_per_second: rate(before.committed, now.committed),
            lag_before: before.lag(),
            lag: now.lag(),
            latency_p99_ms: (latency_p99_ms > 0.0).then_some(latency_p99_ms),
            ready,
        }
    }

    #[allow(clippy::cast_precision_loss)] // as above
    fn catch_up_seconds(&self) -> Option<f64> {
        let gained = self.finished_per_second - self.arrivals_per_second;
        (gained > 0.0 && self.lag > 0).then(|| self.lag as f64 / gained)
    }

    /// The figures as the status tells them.
    fn inputs(&self) -> ScalingInputs {
        ScalingInputs {
            arrivals_per_second: rounded(self.arrivals_per_second),
            finished_per_second: rounded(self.finished_per_second),
            lag: self.lag,
            catch_up_seconds: self.catch_up_seconds().map(rounded),
        }
    }
}

/// What a stage may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// `processors.<stage>.replicas`.
    pub least: i32,
    /// Of its topic; more pods would be idle.
    pub partitions: i32,
    /// Pods that there are now, as far as the resource decides.
    pub current: i32,
    /// Whether the stage takes payments in, so that the rate of the intake bounds it.
    pub intake: bool,
}

/// Why a stage has the pods that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The figures are missing; the last decision holds.
    MetricsMissing,
    /// No more and no fewer are needed.
    AsNeeded,
    /// For what comes in.
    Arrivals,
    /// For what waits.
    Backlog,
    /// For the service level.
    Latency,
    /// More are needed than may be.
    Capped,
    /// The last change is too young.
    Cooldown,
    /// Fewer would do; they must do for a while.
    Settling,
    /// Fewer do.
    FewerAreEnough,
    /// More pods had lowered the throughput.
    ScaleUpUndone,
    /// More would be needed, but the last ones did not help.
    MoreDidNotHelp,
    /// The rate of the intake is what makes payments wait.
    IntakeLimited,
}

impl Reason {
    /// The word for the status and Events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MetricsMissing => "MetricsMissing",
            Self::AsNeeded => "AsNeeded",
            Self::Arrivals => "Arrivals",
            Self::Backlog => "Backlog",
            Self::Latency => "Latency",
            Self::Capped => "Capped",
            Self::Cooldown => "Cooldown",
            Self::Settling => "Settling",
            Self::FewerAreEnough => "FewerAreEnough",
            Self::ScaleUpUndone => "ScaleUpUndone",
            Self::MoreDidNotHelp => "MoreDidNotHelp",
            Self::IntakeLimited => "IntakeLimited",
        }
    }
}

/// The next decision for a stage. Without a `load` the last one holds.
pub fn decide(
    old: Option<&StageScaling>,
    load: Option<&Load>,
    bounds: Bounds,
    settings: &Settings,
    now: &Time,
) -> StageScaling {
    let most = bounds.partitions.min(settings.max_replicas).max(1);
    let least = bounds.least.clamp(1, most);
    let current = match (settings.mode, old) {
        (AutoscalingMode::Native, Some(old)) => old.replicas.clamp(least, most),
        _ => bounds.current.clamp(1, most),
    };
    let mut next = StageScaling { replicas: current, ..old.cloned().unwrap_or_default() };
    let Some(load) = load else {
        next.inputs = None;
        (next.fewer_since, next.fewer) = (None, None);
        return said(
            next,
            Reason::MetricsMissing,
            "no figures of the stage's topic; the last decision holds",
        );
    };
    // One loud look is no load; what it leaves behind shows as a backlog.
    let before = old.and_then(|old| old.inputs.as_ref()).map(|inputs| inputs.arrivals_per_second);
    let arrivals_per_second = weighed(before, load.arrivals_per_second);
    let load = &Load { arrivals_per_second, ..*load };
    next.inputs = Some(load.inputs());
    let noise = NOISE_PER_PARTITION * i64::from(bounds.partitions);
    let since_change = next.changed_at.as_ref().map_or(i64::MAX, |at| elapsed_ms(at, now));
    let settled = since_change >= settings.cooldown_ms.max(REBALANCE_MS);
    next.shown_per_replica = shown(next.shown_per_replica, load, current, noise, settled);
    let stage = Stage { load, bounds, settings, current, shown: next.shown_per_replica, noise };
    let Need { replicas, reason, message } = stage.need();
    let wanted = replicas.clamp(least, most);
    let (reason, message) = if replicas > most && wanted == current {
        (Reason::Capped, format!("{message}; {most} is the most (maxReplicas and partitions)"))
    } else {
        (reason, message)
    };
    if settings.mode != AutoscalingMode::Native {
        next.replicas = wanted;
        return said(next, reason, message);
    }
    Pace { next, load, current, least, noise, settings, now }.go(wanted, reason, message)
}

fn said(next: StageScaling, reason: Reason, message: impl Into<String>) -> StageScaling {
    StageScaling { reason: reason.as_str().to_owned(), message: message.into(), ..next }
}

/// What one pod has shown it can do. Measured only while all pods had a backlog at the end, and before or a growing one;
/// forgotten when a pod does more than that without any.
fn shown(before: Option<f64>, load: &Load, current: i32, noise: i64, settled: bool) -> Option<f64> {
    if !settled || load.ready < current || load.finished_per_second <= 0.0 {
        return before;
    }
    let each = load.finished_per_second / f64::from(current.max(1));
    if load.lag > noise && (load.lag_before > noise || load.lag > load.lag_before) {
        return Some(rounded(weighed(before, each)));
    }
    before.filter(|before| each <= before * (1.0 + TOLERANCE))
}

/// The newest measurement with those before it.
fn weighed(before: Option<f64>, newest: f64) -> f64 {
    before.map_or(newest, |before| before + NEWEST * (newest - before))
}

struct Need {
    replicas: i32,
    reason: Reason,
    message: String,
}

struct Stage<'a> {
    load: &'a Load,
    bounds: Bounds,
    settings: &'a Settings,
    current: i32,
    shown: Option<f64>,
    noise: i64,
}

impl Stage<'_> {
    /// The most that one of the signals asks for; may be beyond the bounds.
    fn need(&self) -> Need {
        if let Some(limit) = self.limited() {
            let message = format!("limits.intakePerSecond ({limit:.0}) is what makes payments wait");
            return Need { replicas: self.current, reason: Reason::IntakeLimited, message };
        }
        let signals = [self.latency(), self.backlog(), self.arrivals()];
        let most = signals.into_iter().flatten().max_by_key(|need| need.replicas);
        most.unwrap_or_else(|| {
            // Nobody knows what a pod can do before one had a backlog: one fewer is tried, and a backlog would tell.
            let message = "no backlog, and nothing that would need as many".to_owned();
            Need { replicas: self.current - 1, reason: Reason::AsNeeded, message }
        })
    }

    fn limited(&self) -> Option<f64> {
        let limit = self.settings.intake_per_second.filter(|_| self.bounds.intake)?;
        (self.load.lag > self.noise && self.load.finished_per_second >= 0.9 * limit).then_some(limit)
    }

    fn arrivals(&self) -> Option<Need> {
        let shown = self.shown?;
        let (arrivals, used) = (self.load.arrivals_per_second, self.settings.utilization);
        let mut replicas = pods(arrivals, shown * used).max(1);
        if arrivals <= shown * used * f64::from(self.current) * (1.0 + TOLERANCE) {
            replicas = replicas.min(self.current);
        }
        let message = format!(
            "{arrivals:.0} records/s come in; a pod has shown {shown:.0}/s, of which {:.0} % should be used",
            used * 100.0
        );
        let reason = if replicas > self.current { Reason::Arrivals } else { Reason::AsNeeded };
        Some(Need { replicas, reason, message })
    }

    #[allow(clippy::cast_precision_loss)] // lags stay far below 2^53
    fn backlog(&self) -> Option<Need> {
        let Load { lag, arrivals_per_second, .. } = *self.load;
        let within = self.settings.catch_up_s;
        if lag <= self.noise || self.load.catch_up_seconds().is_some_and(|seconds| seconds <= within) {
            return (lag > self.noise).then(|| {
                let message = format!("{lag} records wait, and are worked off in time");
                Need { replicas: self.current, reason: Reason::AsNeeded, message }
            });
        }
        let replicas = match self.shown {
            Some(shown) => pods(arrivals_per_second + lag as f64 / within, shown).max(self.current),
            None => self.current + 1,
        };
        let message = format!("{lag} records wait, and should be worked off in {within:.0} s");
        Some(Need { replicas, reason: Reason::Backlog, message })
    }

    fn latency(&self) -> Option<Need> {
        let (wanted, p99) = (self.settings.latency_p99_ms?, self.load.latency_p99_ms?);
        let can = self.shown.map(|shown| shown * f64::from(self.current));
        let idle = can.is_some_and(|can| self.load.arrivals_per_second < BUSY * can);
        (p99 > wanted && !idle).then(|| Need {
            replicas: self.current + 1,
            reason: Reason::Latency,
            message: format!("p99 is {p99:.0} ms, and slo.latencyP99 is {wanted:.0} ms"),
        })
    }
}

/// How many pods it takes; at most what an i32 holds.
#[allow(clippy::cast_possible_truncation)] // clamped before
fn pods(work: f64, each: f64) -> i32 {
    if each <= 0.0 { 1 } else { (work / each).ceil().clamp(0.0, f64::from(i16::MAX)) as i32 }
}

#[cfg(test)]
mod tests;
