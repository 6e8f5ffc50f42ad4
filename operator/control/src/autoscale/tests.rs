//! Load traces through the decision: a stage that is simulated second by second, made-up noise, and missing figures.

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;

use super::*;

const STEP_MS: i64 = 5_000;
const PARTITIONS: i32 = 8;

fn settings() -> Settings {
    Settings {
        mode: AutoscalingMode::Native,
        max_replicas: 6,
        utilization: 0.75,
        catch_up_s: 60.0,
        cooldown_ms: 30_000,
        down_after_ms: 300_000,
        latency_p99_ms: None,
        intake_per_second: None,
    }
}

fn at(ms: i64) -> Time {
    Time(Timestamp::from_millisecond(ms).expect("in range"))
}

fn bounds(least: i32) -> Bounds {
    Bounds { least, partitions: PARTITIONS, current: least, intake: false }
}

/// A stage whose pods each finish `each` records a second; `scales` says what `n` pods together do.
struct Plant<F> {
    settings: Settings,
    least: i32,
    scaling: Option<StageScaling>,
    offsets: Offsets,
    now_ms: i64,
    together: F,
    history: Vec<i32>,
}

impl<F: Fn(i32) -> f64> Plant<F> {
    fn new(least: i32, settings: Settings, together: F) -> Self {
        Self {
            settings,
            least,
            scaling: None,
            offsets: Offsets::default(),
            now_ms: 0,
            together,
            history: Vec::new(),
        }
    }

    fn replicas(&self) -> i32 {
        self.scaling.as_ref().map_or(self.least, |scaling| scaling.replicas)
    }

    /// One look later, with so many arrivals a second.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn step(&mut self, arrivals: f64) -> &StageScaling {
        let before = self.offsets;
        let replicas = self.replicas();
        let seconds = STEP_MS as f64 / 1000.0;
        self.offsets.end += (arrivals * seconds) as i64;
        let can = ((self.together)(replicas) * seconds) as i64;
        self.offsets.committed = (before.committed + can).min(self.offsets.end);
        self.now_ms += STEP_MS;
        let load = Load::between(before, self.offsets, seconds, 20.0, replicas);
        let next =
            decide(self.scaling.as_ref(), Some(&load), bounds(self.least), &self.settings, &at(self.now_ms));
        self.history.push(next.replicas);
        self.scaling.insert(next)
    }

    fn run(&mut self, minutes: i64, arrivals: impl Fn(i64) -> f64) {
        for step in 0..minutes * 60_000 / STEP_MS {
            self.step(arrivals(step));
        }
    }

    /// How often up follows down or down follows up.
    fn turns(&self) -> usize {
        let moves: Vec<i32> = self
            .history
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).signum())
            .filter(|sign| *sign != 0)
            .collect();
        moves.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }
}

fn linear(each: f64) -> impl Fn(i32) -> f64 {
    move |replicas| each * f64::from(replicas)
}

#[test]
fn a_load_that_grows_gets_the_pods_it_needs_and_loses_them_slowly() {
    let mut plant = Plant::new(1, settings(), linear(1_000.0));
    plant.run(10, |_| 500.0);
    assert_eq!(plant.replicas(), 1, "one copes");
    plant.run(20, |_| 2_500.0);
    assert_eq!(plant.replicas(), 4, "2500 / (1000 * 0.75)");
    assert!(plant.offsets.lag() < 1_000, "the backlog of the first minutes is worked off");
    let up = plant.history.len();
    plant.run(4, |_| 200.0);
    assert_eq!(plant.replicas(), 4, "fewer must be enough for five minutes");
    plant.run(10, |_| 200.0);
    assert_eq!(plant.replicas(), 1);
    let down = &plant.history[up..];
    assert!(down.windows(2).all(|pair| pair[0] - pair[1] <= 1), "one at a time: {down:?}");
    assert_eq!(plant.turns(), 1);
}

#[test]
fn a_burst_is_worked_off_in_time_and_is_over() {
    let mut plant = Plant::new(1, settings(), linear(1_000.0));
    plant.step(100_000.0);
    plant.run(5, |_| 100.0);
    assert!(plant.history.contains(&6), "{:?}", plant.history);
    assert!(plant.offsets.lag() < 1_000);
    plant.run(20, |_| 100.0);
    assert_eq!(plant.replicas(), 1);
}

#[test]
fn a_scale_up_that_lowers_the_throughput_is_undone_and_not_repeated_at_once() {
    // More pods fight over one core.
    let mut plant = Plant::new(1, settings(), |replicas| if replicas == 1 { 1_000.0 } else { 600.0 });
    plant.run(2, |_| 5_000.0);
    assert_eq!(plant.replicas(), 1, "{:?}", plant.history);
    assert!(plant.history.contains(&2), "it was tried");
    let steps = plant.history.len();
    plant.run(3, |_| 5_000.0);
    assert!(plant.history[steps..].iter().all(|replicas| *replicas == 1), "{:?}", plant.history);
    assert_eq!(plant.step(5_000.0).reason, "MoreDidNotHelp");
    plant.run(10, |_| 5_000.0);
    assert!(plant.history[steps..].contains(&2), "tried again when the ten cooldowns are over");
}

#[test]
fn latency_adds_pods_only_to_a_busy_stage() {
    let slo = Settings { latency_p99_ms: Some(10.0), ..settings() };
    let load = Load { arrivals_per_second: 500.0, latency_p99_ms: Some(50.0), ready: 2, ..Load::default() };
    let shown = |each| StageScaling { replicas: 2, shown_per_replica: Some(each), ..StageScaling::default() };
    let decided = |each| decide(Some(&shown(each)), Some(&load), bounds(1), &slo, &at(0));
    assert_eq!((decided(400.0).replicas, decided(400.0).reason.as_str()), (3, "Latency"));
    assert_eq!(decided(10_000.0).replicas, 2, "idle pods are not what is slow, and fewer must settle");
    let kept = Settings { latency_p99_ms: Some(60.0), ..slo };
    assert_ne!(decide(Some(&shown(400.0)), Some(&load), bounds(1), &kept, &at(0)).reason, "Latency");
}

#[test]
fn the_rate_of_the_intake_is_no_reason_for_more_pods() {
    let limited = Settings { intake_per_second: Some(500.0), ..settings() };
    let (before, now) = (Offsets { committed: 0, end: 90_000 }, Offsets { committed: 2_500, end: 95_000 });
    let load = Load::between(before, now, 5.0, 20.0, 1);
    let intake = Bounds { intake: true, ..bounds(1) };
    let decided = decide(None, Some(&load), intake, &limited, &at(0));
    assert_eq!((decided.replicas, decided.reason.as_str()), (1, "IntakeLimited"));
    assert_eq!(decide(None, Some(&load), bounds(1), &limited, &at(0)).reason, "Backlog");
}

#[test]
fn other_modes_say_what_is_needed_and_pace_nothing() {
    for mode in [AutoscalingMode::Recommend, AutoscalingMode::External] {
        let settings = Settings { mode, ..settings() };
        let old = StageScaling { shown_per_replica: Some(1_000.0), replicas: 1, ..StageScaling::default() };
        let load = Load { arrivals_per_second: 3_000.0, ready: 1, ..Load::default() };
        let said = decide(Some(&old), Some(&load), bounds(1), &settings, &at(0));
        assert_eq!((said.replicas, said.changed_at), (4, None));
    }
}

#[test]
fn what_is_beyond_the_bounds_is_said() {
    let old = StageScaling { shown_per_replica: Some(100.0), replicas: 6, ..StageScaling::default() };
    let load = Load { arrivals_per_second: 3_000.0, ready: 6, ..Load::default() };
    let said = decide(Some(&old), Some(&load), bounds(1), &settings(), &at(0));
    assert_eq!((said.replicas, said.reason.as_str()), (6, "Capped"));
}

#[test]
fn a_standstill_while_partitions_move_teaches_nothing_and_what_is_wrong_is_forgotten() {
    let at_work =
        Load { arrivals_per_second: 300.0, finished_per_second: 300.0, ready: 1, ..Load::default() };
    let still = Load { finished_per_second: 150.0, lag_before: 10, lag: 1_500, ..at_work };
    let old = StageScaling { replicas: 1, changed_at: Some(at(0)), ..StageScaling::default() };
    let settings = Settings { cooldown_ms: 2_000, ..settings() };
    let soon = decide(Some(&old), Some(&still), bounds(1), &settings, &at(5_000));
    assert_eq!(soon.shown_per_replica, None, "the partitions are still moving");
    let later = decide(Some(&old), Some(&still), bounds(1), &settings, &at(20_000));
    assert_eq!(later.shown_per_replica, Some(150.0));
    let wrong = StageScaling { replicas: 1, changed_at: Some(at(0)), ..later };
    let forgotten = decide(Some(&wrong), Some(&at_work), bounds(1), &settings, &at(40_000));
    assert_eq!(forgotten.shown_per_replica, None, "one pod does 300 without a backlog");
}

fn loads() -> impl Strategy<Value = Load> {
    (0.0..1e6_f64, 0.0..1e6_f64, 0_i64..10_000_000, 0_i64..10_000_000, 0..12_i32, 0.0..1e5_f64).prop_map(
        |(arrivals_per_second, finished_per_second, lag_before, lag, ready, p99)| Load {
            arrivals_per_second,
            finished_per_second,
            lag_before,
            lag,
            latency_p99_ms: Some(p99),
            ready,
        },
    )
}

proptest! {
    #[test]
    fn never_above_the_partitions_nor_outside_the_bounds(
        trace in prop::collection::vec(prop::option::weighted(0.8, loads()), 1..100),
        least in 1..12_i32, max in 1..64_i32, partitions in 1..16_i32,
    ) {
        let settings = Settings { max_replicas: max, latency_p99_ms: Some(40.0), ..settings() };
        let bounds = Bounds { least, partitions, current: least, intake: true };
        let mut scaling: Option<StageScaling> = None;
        for (step, load) in (0..).zip(&trace) {
            let next = decide(scaling.as_ref(), load.as_ref(), bounds, &settings, &at(step * STEP_MS));
            prop_assert!(next.replicas <= partitions && next.replicas <= max && next.replicas >= 1);
            prop_assert!(next.replicas >= least.min(partitions).min(max));
            let before = scaling.map_or(next.replicas, |old| old.replicas);
            if load.is_none() {
                prop_assert_eq!(next.replicas, before, "acted on missing figures");
                prop_assert_eq!(next.reason.as_str(), "MetricsMissing");
            }
            prop_assert!(next.replicas <= before * 2, "up fast, but at most twice as many");
            prop_assert!(next.replicas >= before - 1 || next.reason == "ScaleUpUndone");
            scaling = Some(next);
        }
    }

    #[test]
    fn noise_around_a_load_does_not_flap(
        load in 200.0..4_000.0_f64,
        noise in prop::collection::vec(0.7..1.3_f64, 720),
    ) {
        let mut plant = Plant::new(1, settings(), linear(1_000.0));
        // An hour, in looks of five seconds.
        for factor in &noise {
            plant.step(load * factor);
        }
        prop_assert!(plant.turns() <= 4, "{} turns in an hour: {:?}", plant.turns(), plant.history);
        prop_assert!(plant.offsets.lag() < 60_000, "the load is carried");
    }

    #[test]
    fn a_load_that_stays_is_carried_with_what_it_needs(load in 100.0..4_400.0_f64, each in 800.0..2_000.0_f64) {
        let mut plant = Plant::new(1, settings(), linear(each));
        plant.run(120, |_| load);
        let needed = pods(load, each).clamp(1, 6);
        let generous = pods(load, each * 0.75).clamp(1, 6) + 1;
        prop_assert!((needed..=generous).contains(&plant.replicas()), "{} for {needed}", plant.replicas());
        prop_assert!(plant.offsets.lag() < 60_000);
    }
}
