//! Upgrades against workloads in memory that do what they are told after a while, and payments that go well or not.

use std::cell::RefCell;
use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;

use super::*;

mod gates;

const STEP_MS: i64 = 1_000;

fn settings() -> Settings {
    Settings {
        strategy: UpgradeStrategy::Rolling,
        max_surge: 1,
        step_timeout_ms: 60_000,
        verify_ms: 15_000,
        inconclusive_after_ms: 60_000,
        max_rejected_increase: 5.0,
        max_latency: 1.75,
        max_dead_letters: 10,
    }
}

fn at(ms: i64) -> Time {
    Time(Timestamp::from_millisecond(ms).expect("in range"))
}

fn of(image: &str) -> Release {
    let own = ReleaseProcessor { workers: 1, ..ReleaseProcessor::default() };
    let processors = ORDER.into_iter().map(|c| (c.to_string(), own.clone())).collect();
    Release { image: image.to_owned(), processors, ..Release::default() }
}

fn fine() -> UpgradeFigures {
    UpgradeFigures { per_second: 500.0, rejected_percent: 1.0, latency_p99_ms: 40.0, dead_letters: Some(7) }
}

/// What comes of an image.
type OfImage<T> = Box<dyn Fn(&str) -> Option<T>>;

/// A cluster whose pods take two looks to be replaced.
struct World {
    status: PaymentPipelineStatus,
    desired: Release,
    pods: RefCell<BTreeMap<Component, (String, u8)>>,
    /// How payments go while some workload has this image.
    while_on: OfImage<UpgradeFigures>,
    /// Why pods of an image do not start.
    trouble: OfImage<String>,
    running: bool,
    settings: Settings,
    in_flight: i64,
    now_ms: i64,
    /// The images that each workload had, in the order of the changes.
    log: Vec<(Component, String)>,
}

impl World {
    fn new() -> Self {
        let status = PaymentPipelineStatus { release: Some(of("v1")), ..PaymentPipelineStatus::default() };
        let rev = |c| (revision(&of("v1"), c), 0);
        Self {
            status,
            desired: of("v1"),
            pods: RefCell::new(ORDER.into_iter().map(|c| (c, rev(c))).collect()),
            while_on: Box::new(|_| Some(fine())),
            trouble: Box::new(|_| None),
            running: true,
            settings: settings(),
            in_flight: 0,
            now_ms: 0,
            log: Vec::new(),
        }
    }

    fn image(&self, component: Component) -> String {
        release_of(&self.status, &self.desired, component).image.clone()
    }

    /// One reconcile: apply what is written down, look, decide, write down.
    fn step(&mut self) {
        let images: BTreeMap<Component, String> = ORDER.into_iter().map(|c| (c, self.image(c))).collect();
        for component in ORDER {
            let wanted = revision(release_of(&self.status, &self.desired, component), component);
            let mut pods = self.pods.borrow_mut();
            let pod = pods.get_mut(&component).expect("a workload");
            if pod.0 != wanted {
                *pod = (wanted, 2);
                self.log.push((component, images[&component].clone()));
            } else if (self.trouble)(&images[&component]).is_none() {
                pod.1 = pod.1.saturating_sub(1);
            }
        }
        let rollout = |component: Component| {
            let (revision, left) = self.pods.borrow()[&component].clone();
            let trouble = (self.trouble)(&images[&component]).filter(|_| left > 0);
            Rollout { revision, done: left == 0, trouble, count: format!("{}/1", u8::from(left == 0)) }
        };
        let newest = images.values().find(|image| **image != "v1").cloned().unwrap_or("v1".to_owned());
        let figures = (self.while_on)(&newest);
        let seen = Seen {
            rollout: &rollout,
            figures: figures.as_ref(),
            in_flight: self.in_flight,
            started: true,
            running: self.running,
            paused: !self.running,
        };
        self.now_ms += STEP_MS;
        let (release, upgrade) = decide(&self.status, &self.desired, &seen, &self.settings, &at(self.now_ms));
        (self.status.release, self.status.upgrade) = (Some(release), upgrade);
    }

    fn run(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.step();
        }
    }

    fn upgrade(&self) -> &UpgradeStatus {
        self.status.upgrade.as_ref().expect("an upgrade")
    }

    fn images(&self) -> Vec<String> {
        ORDER.into_iter().map(|c| self.image(c)).collect()
    }
}

#[test]
fn nothing_moves_while_nothing_changes() {
    let mut world = World::new();
    world.run(10);
    assert_eq!((world.log.len(), &world.status.upgrade), (0, &None));
}

#[test]
fn a_release_that_needs_a_drain_moves_nothing_before_it_is_proven() {
    let mut world = World::new();
    world.settings.strategy = UpgradeStrategy::DrainThenRoll;
    world.desired = of("v2");
    world.run(300);
    assert_eq!((world.log.len(), world.upgrade().state), (0, UpgradeState::Rolling));
    world.running = false;
    world.run(20);
    assert_eq!(world.upgrade().state, UpgradeState::Succeeded, "{:?}", world.upgrade());
    assert_eq!(world.log, ORDER.map(|c| (c, "v2".to_owned())));
}

#[test]
fn a_restart_that_answers_queries_only_moves_nothing_before_the_drain_is_proven() {
    let mut world = World::new();
    world.desired = Release { restart: Some("u/QueriesOnly".to_owned()), ..of("v1") };
    world.run(300);
    assert_eq!((world.log.len(), world.upgrade().state), (0, UpgradeState::Rolling));
    world.running = false;
    world.run(20);
    assert_eq!(world.upgrade().state, UpgradeState::Succeeded, "{:?}", world.upgrade());
    assert_eq!(world.log, ORDER.map(|c| (c, "v1".to_owned())));
}

#[test]
fn a_restart_that_is_taken_back_while_it_drains_moves_nothing() {
    let mut world = World::new();
    world.desired = Release { restart: Some("u/QueriesOnly".to_owned()), ..of("v1") };
    world.run(5);
    world.desired = of("v1");
    world.run(5);
    assert_eq!((world.log.len(), world.upgrade().state), (0, UpgradeState::RolledBack));
}

#[test]
fn a_good_release_goes_downstream_first_and_one_workload_after_the_other() {
    let mut world = World::new();
    world.desired = of("v2");
    world.step();
    let plan: Vec<&str> = world.upgrade().steps.iter().map(|step| step.workload.as_str()).collect();
    assert_eq!(plan, ["confirmed", "account", "inflight", "gateway"]);
    assert_eq!(world.upgrade().changes, [r#"image: "v1" → "v2""#]);
    assert!(world.log.is_empty(), "the plan is written before anything moves");
    world.run(120);
    assert_eq!(world.upgrade().state, UpgradeState::Succeeded);
    assert!(
        world.upgrade().steps.iter().all(|step| step.state == StepState::Passed),
        "{:?}",
        world.upgrade()
    );
    assert_eq!(world.log, ORDER.map(|c| (c, "v2".to_owned())));
    assert_eq!(world.status.release, Some(of("v2")));
}

#[test]
fn what_a_change_does_not_touch_is_not_replaced() {
    let mut world = World::new();
    world.desired.processors.get_mut("account").expect("account").workers = 2;
    world.run(60);
    assert_eq!(world.upgrade().state, UpgradeState::Succeeded);
    assert_eq!(world.upgrade().changes, ["processors.account.workers: 1 → 2"]);
    assert_eq!(world.log.iter().map(|(c, _)| *c).collect::<Vec<_>>(), [Component::Account]);
}

#[test]
fn while_paused_only_readiness_counts() {
    let mut world = World::new();
    world.running = false;
    world.while_on = Box::new(|_| None);
    world.desired = of("v2");
    world.run(20);
    assert_eq!(world.upgrade().state, UpgradeState::Succeeded, "{:?}", world.upgrade());
}

#[test]
fn a_new_spec_on_the_way_starts_from_what_was_good() {
    let mut world = World::new();
    world.desired = of("v2");
    world.run(40);
    assert_eq!(world.images(), ["v2", "v2", "v1", "v1"]);
    world.desired = of("v3");
    world.step();
    assert_eq!(world.upgrade().state, UpgradeState::RollingBack);
    world.run(120);
    assert_eq!((world.upgrade().state, world.images()[0].as_str()), (UpgradeState::Succeeded, "v3"));
    let mixed = world.log.iter().any(|(_, image)| image == "v1");
    assert!(mixed, "it went back before it went on: {:?}", world.log);
}

#[test]
fn taking_the_change_back_goes_back() {
    let mut world = World::new();
    world.desired = of("v2");
    world.run(25);
    world.desired = of("v1");
    world.run(30);
    assert_eq!((world.upgrade().state, world.images()), (UpgradeState::RolledBack, vec!["v1".to_owned(); 4]));
}

#[test]
fn before_the_first_payment_a_change_is_simply_made() {
    let world = World::new();
    let rollout = |_| Rollout::default();
    let seen = Seen {
        rollout: &rollout,
        figures: None,
        in_flight: 0,
        started: false,
        running: false,
        paused: false,
    };
    let (release, upgrade) = decide(&world.status, &of("v2"), &seen, &settings(), &at(0));
    assert_eq!((release, upgrade), (of("v2"), None));
}

#[test]
fn a_kill_before_any_write_changes_nothing_but_the_time_it_takes() {
    // What is not written down is lost: every third decision here. The workloads keep what was applied.
    let mut world = World::new();
    world.desired = of("v2");
    for step in 0..400 {
        let (release, upgrade) = (world.status.release.clone(), world.status.upgrade.clone());
        world.step();
        if step % 3 == 0 {
            (world.status.release, world.status.upgrade) = (release, upgrade);
        }
    }
    assert_eq!(world.upgrade().state, UpgradeState::Succeeded);
    assert_eq!(world.log, ORDER.map(|c| (c, "v2".to_owned())));
}

#[test]
fn one_more_takes_over_while_the_pods_of_a_step_are_replaced_and_payments_go_on() {
    let step = |workload: Component, state, ready_since| UpgradeStep {
        workload: workload.to_string(),
        state,
        ready_since,
        ..UpgradeStep::default()
    };
    let replaced = |state, phase, account: UpgradeStep| {
        let steps = vec![
            step(Component::Confirmed, StepState::Passed, Some(at(1))),
            account,
            step(Component::Inflight, StepState::Planned, None),
        ];
        let upgrade = UpgradeStatus { state, steps, ..UpgradeStatus::default() };
        let status = PaymentPipelineStatus { phase, upgrade: Some(upgrade), ..Default::default() };
        ORDER.into_iter().filter(|component| is_replaced(&status, *component)).collect::<Vec<_>>()
    };
    let account = |state, ready_since| step(Component::Account, state, ready_since);
    let rolling = || account(StepState::Rolling, None);
    let running = Some(Phase::Running);
    assert_eq!(replaced(UpgradeState::Rolling, running, rolling()), [Component::Account]);
    assert!(replaced(UpgradeState::Rolling, Some(Phase::Paused), rolling()).is_empty());
    assert!(replaced(UpgradeState::RollingBack, running, rolling()).is_empty());
    let ready = Some(at(1));
    assert!(
        replaced(UpgradeState::Rolling, running, account(StepState::Verifying, ready.clone())).is_empty()
    );
    assert!(replaced(UpgradeState::Rolling, running, account(StepState::Rolling, ready)).is_empty());
}
