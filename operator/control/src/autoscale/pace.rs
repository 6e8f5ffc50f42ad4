//! When what is needed is done: up fast, down slowly, and back when up did not help. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kpay_crds::{BeforeScaleUp, StageScaling};

use super::{Load, Reason, Settings, said};
use crate::duration::elapsed_ms;
use crate::report::rounded;

/// A scale-up after which less than this share of the throughput is left is undone.
const HELPED: f64 = 0.85;
/// How many cooldowns pass after an undone scale-up before another one.
const UNDONE_COOLDOWNS: i64 = 10;

/// From what is needed to what is done now: up fast, down slowly, and back when up did not help.
pub(super) struct Pace<'a> {
    pub(super) next: StageScaling,
    pub(super) load: &'a Load,
    pub(super) current: i32,
    pub(super) least: i32,
    pub(super) noise: i64,
    pub(super) settings: &'a Settings,
    pub(super) now: &'a Time,
}

impl Pace<'_> {
    /// The next decision.
    pub(super) fn go(mut self, wanted: i32, reason: Reason, message: String) -> StageScaling {
        let cooling =
            self.next.changed_at.as_ref().is_some_and(|at| self.since(at) < self.settings.cooldown_ms);
        if let Some(undone) = self.undo(cooling) {
            return undone;
        }
        if wanted >= self.current {
            (self.next.fewer_since, self.next.fewer) = (None, None);
        }
        match wanted.cmp(&self.current) {
            std::cmp::Ordering::Equal => said(self.next, reason, message),
            std::cmp::Ordering::Greater => self.up(wanted, cooling, reason, message),
            std::cmp::Ordering::Less => self.down(wanted, cooling, message),
        }
    }

    /// Takes a scale-up back that has lowered the throughput, once it has had its time.
    fn undo(&mut self, cooling: bool) -> Option<StageScaling> {
        let before = self.next.before.clone().filter(|_| !cooling && self.load.ready >= self.current)?;
        self.next.before = None;
        let worse = self.load.finished_per_second < HELPED * before.finished_per_second;
        if !worse || self.load.lag <= self.noise || self.load.lag_before <= self.noise {
            return None;
        }
        let hold_ms = self.settings.cooldown_ms.saturating_mul(UNDONE_COOLDOWNS);
        let message = format!(
            "{} pods finish {:.0} records/s and {} finished {:.0}/s",
            self.current, self.load.finished_per_second, before.replicas, before.finished_per_second
        );
        let next = StageScaling {
            no_more_until: later(self.now, hold_ms),
            shown_per_replica: None,
            ..std::mem::take(&mut self.next)
        };
        Some(said(self.changed(next, before.replicas.max(self.least)), Reason::ScaleUpUndone, message))
    }

    fn up(self, wanted: i32, cooling: bool, reason: Reason, message: String) -> StageScaling {
        if cooling {
            return said(self.next, Reason::Cooldown, message);
        }
        if self.next.no_more_until.as_ref().is_some_and(|until| self.since(until) < 0) {
            return said(self.next, Reason::MoreDidNotHelp, message);
        }
        let to = wanted.min(self.current.saturating_mul(2));
        let finished_per_second = rounded(self.load.finished_per_second);
        let before = Some(BeforeScaleUp { replicas: self.current, finished_per_second });
        let next = StageScaling { before, no_more_until: None, ..self.next.clone() };
        said(self.changed(next, to), reason, message)
    }

    /// One pod at a time, once the most that was needed for a while is fewer.
    fn down(mut self, wanted: i32, cooling: bool, message: String) -> StageScaling {
        let since = self.next.fewer_since.get_or_insert_with(|| self.now.clone()).clone();
        let needed = self.next.fewer.map_or(wanted, |fewer| fewer.max(wanted));
        self.next.fewer = Some(needed);
        if needed >= self.current {
            // As many were needed not long ago: from now on anew.
            (self.next.fewer_since, self.next.fewer) = (Some(self.now.clone()), Some(wanted));
        }
        if cooling || self.since(&since) < self.settings.down_after_ms || needed >= self.current {
            return said(self.next, Reason::Settling, message);
        }
        let next = StageScaling { before: None, ..self.next.clone() };
        said(self.changed(next, self.current - 1), Reason::FewerAreEnough, message)
    }

    fn changed(&self, next: StageScaling, replicas: i32) -> StageScaling {
        StageScaling { replicas, changed_at: Some(self.now.clone()), ..next }
    }

    fn since(&self, at: &Time) -> i64 {
        elapsed_ms(at, self.now)
    }
}

fn later(now: &Time, ms: i64) -> Option<Time> {
    let at = now.0.as_millisecond().saturating_add(ms);
    k8s_openapi::jiff::Timestamp::from_millisecond(at).ok().map(Time)
}
