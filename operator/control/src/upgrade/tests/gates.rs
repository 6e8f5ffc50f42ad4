//! Releases that are bad, each in its own way, and are taken back.

use super::*;

/// What goes wrong, how it shows, and a word of what is told.
fn rolled_back(world: &mut World, told: &str) {
    world.desired = of("bad");
    world.run(400);
    let up = world.upgrade();
    assert_eq!(up.state, UpgradeState::RolledBack, "{up:?}");
    let failed = up.failed.clone().expect("a reason");
    assert!(failed.starts_with("confirmed: ") && failed.contains(told), "{failed}");
    assert_eq!(world.images(), ["v1", "v1", "v1", "v1"]);
    assert_eq!(world.status.release, Some(of("v1")));
    assert_eq!(world.log.len(), 2, "one workload there and back, and never again: {:?}", world.log);
    world.run(100);
    assert_eq!(world.log.len(), 2, "the same release is not tried again");
    world.desired = of("good");
    world.while_on = Box::new(|_| Some(fine()));
    world.trouble = Box::new(|_| None);
    world.run(120);
    assert_eq!(world.upgrade().state, UpgradeState::Succeeded, "another one is");
}

#[test]
fn pods_that_do_not_start_are_rolled_back() {
    let mut world = World::new();
    world.trouble =
        Box::new(|image| (image == "bad").then(|| "pod payments-confirmed-0: CrashLoopBackOff".into()));
    rolled_back(&mut world, "CrashLoopBackOff");
}

#[test]
fn pods_that_are_never_ready_are_rolled_back_after_the_timeout() {
    let mut world = World::new();
    // They start and never become ready.
    let never = |world: &mut World| {
        for pod in world.pods.get_mut().values_mut() {
            if pod.0 == revision(&of("bad"), Component::Confirmed) {
                pod.1 = 2;
            }
        }
    };
    world.desired = of("bad");
    for _ in 0..80 {
        never(&mut world);
        world.step();
    }
    world.run(10);
    assert_eq!(world.upgrade().state, UpgradeState::RolledBack);
    assert!(
        world.upgrade().failed.as_deref().is_some_and(|why| why.contains("60 s: 0/1")),
        "{:?}",
        world.upgrade()
    );
}

#[test]
fn pods_that_reject_all_are_rolled_back() {
    let mut world = World::new();
    world.while_on = Box::new(|image| {
        let rejected_percent = if image == "bad" { 100.0 } else { 1.0 };
        Some(UpgradeFigures { rejected_percent, ..fine() })
    });
    rolled_back(&mut world, "100.0 % rejected, 1.0 % before");
}

#[test]
fn pods_that_double_the_latency_are_rolled_back() {
    let mut world = World::new();
    world.while_on = Box::new(|image| {
        Some(UpgradeFigures { latency_p99_ms: if image == "bad" { 160.0 } else { 80.0 }, ..fine() })
    });
    rolled_back(&mut world, "p99 160 ms, 80 ms before");
}

#[test]
fn pods_that_fill_the_dead_letters_are_rolled_back() {
    let mut world = World::new();
    world.while_on = Box::new(|image| {
        Some(UpgradeFigures { dead_letters: Some(if image == "bad" { 18 } else { 7 }), ..fine() })
    });
    rolled_back(&mut world, "11 dead letters");
}

#[test]
fn pods_that_finish_nothing_are_rolled_back() {
    let mut world = World::new();
    world.in_flight = 5;
    world.while_on = Box::new(|image| {
        Some(UpgradeFigures { per_second: if image == "bad" { 0.0 } else { 500.0 }, ..fine() })
    });
    rolled_back(&mut world, "5 payments are in flight");
}

#[test]
fn pods_that_finish_nothing_for_less_than_the_figures_tell_of_are_waited_for() {
    let mut world = World::new();
    (world.settings.verify_ms, world.settings.inconclusive_after_ms) = (1_000, 1_000);
    world.in_flight = 5;
    world.while_on = Box::new(|image| {
        Some(UpgradeFigures { per_second: if image == "v2" { 0.0 } else { 500.0 }, ..fine() })
    });
    world.desired = of("v2");
    world.step();
    while world.upgrade().steps[0].state != StepState::Verifying {
        world.step();
    }
    world.run(9);
    assert_eq!(world.upgrade().steps[0].state, StepState::Verifying);
    world.while_on = Box::new(|_| Some(fine()));
    world.run(2);
    assert_eq!(world.upgrade().steps[0].state, StepState::Passed);
}

#[test]
fn without_payments_it_is_inconclusive_and_goes_on_after_a_bounded_wait() {
    let mut world = World::new();
    world.while_on = Box::new(|_| Some(UpgradeFigures { per_second: 0.0, ..fine() }));
    world.desired = of("v2");
    world.run(70);
    assert_eq!(world.upgrade().steps[0].state, StepState::Verifying);
    world.run(300);
    assert_eq!(world.upgrade().state, UpgradeState::Succeeded);
    assert!(world.upgrade().steps.iter().all(|step| step.state == StepState::Inconclusive));
}
