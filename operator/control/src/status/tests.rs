//! What the status says in which situation.

use k8s_openapi::jiff::Timestamp;
use kpay_crds::BootstrapReason;

use super::*;
use crate::phase::Reason;

/// By the desired phase alone.
static PAUSED: Wanted = Wanted { desired: DesiredPhase::Paused, held: Vec::new(), pauses: Vec::new() };

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).expect("a time"))
}

fn input(reports: &Reports) -> Input<'_> {
    Input {
        now: at(1_000),
        generation: Some(1),
        wanted: &PAUSED,
        transition: None,
        reports,
        reports_whole: false,
        workloads: BTreeMap::new(),
        topics: None,
        topics_verdict: Verdict::new(Some(true), "AsDeclared", "as declared"),
        degraded: None,
        blockers: None,
        release: None,
        autoscaling: None,
        decided: None,
        accounts: None,
        drain_timeout_ms: 60_000,
        image_tag: "1".into(),
        topic_prefix: "default.payments.".into(),
    }
}

fn status(phase: Phase) -> PaymentPipelineStatus {
    PaymentPipelineStatus {
        phase: Some(phase),
        epoch: 3,
        phase_since: Some(at(990)),
        ..PaymentPipelineStatus::default()
    }
}

fn condition<'a>(status: &'a PaymentPipelineStatus, kind: &str) -> &'a Condition {
    status.conditions.iter().find(|condition| condition.type_ == kind).expect("a condition")
}

#[test]
fn epoch_grows_with_the_phase_and_only_then() {
    let reports = Reports::new();
    let mut input = input(&reports);
    assert_eq!(next(&status(Phase::Running), &input).epoch, 3);
    input.transition = Some(Transition { to: Phase::Draining, reason: Reason::DrainRequested });
    let drained = next(&status(Phase::Running), &input);
    assert_eq!(
        (drained.phase, drained.epoch, drained.phase_since),
        (Some(Phase::Draining), 4, Some(at(1_000)))
    );
}

#[test]
fn unchanged_facts_give_the_same_status() {
    let reports = Reports::new();
    let mut input = input(&reports);
    let first = next(&status(Phase::Running), &input);
    input.now = at(2_000);
    assert_eq!(next(&first, &input), first);
}

#[test]
fn drain_names_the_pod_that_holds_it_and_says_when_it_is_late() {
    let reports = Reports::new();
    let blockers = [Blocker::NoReport { pod: "payments-account-1".into(), reason: "silent".into() }];
    let mut input = Input { blockers: Some(&blockers), ..input(&reports) };
    let early = next(&status(Phase::Draining), &input);
    assert_eq!(condition(&early, "Drained").reason, "Draining");
    assert!(condition(&early, "Drained").message.contains("payments-account-1"));
    input.now = at(990 + 61);
    let late = next(&status(Phase::Draining), &input);
    assert_eq!(condition(&late, "Drained").reason, "DrainTimeout");
    assert_eq!(late.phase, Some(Phase::Draining));
}

#[test]
fn ready_needs_running_pods_and_topics() {
    let reports = Reports::new();
    let mut input = input(&reports);
    assert_eq!(condition(&next(&status(Phase::Running), &input), "Ready").status, "True");
    assert_eq!(condition(&next(&status(Phase::Paused), &input), "Ready").status, "False");
    let waiting = WorkloadReport { ready: 1, desired: 2, revision: None };
    input.workloads = [(Component::Account, waiting)].into();
    let status = next(&status(Phase::Running), &input);
    assert_eq!(condition(&status, "Ready").message, "pods ready: account 1/2");
}

#[test]
fn a_pipeline_is_ready_without_its_generator_and_says_that_it_comes() {
    let reports = Reports::new();
    let waiting = WorkloadReport { ready: 0, desired: 1, revision: None };
    let input = Input { workloads: [(Component::Generator, waiting)].into(), ..input(&reports) };
    let status = next(&status(Phase::Running), &input);
    assert_eq!(condition(&status, "Ready").status, "True");
    assert_eq!(condition(&status, "Progressing").message, "pods ready: generator 0/1");
    assert_eq!(status.processors["generator"].desired, 1);
}

#[test]
fn figures_and_messages_are_not_steady() {
    let reports = Reports::new();
    let first =
        next(&status(Phase::Draining), &Input { blockers: Some(&[Blocker::InFlight]), ..input(&reports) });
    let mut second = first.clone();
    second.per_second = Some(5.0);
    second.conditions[2].message = "another".into();
    assert_eq!(steady(&first), steady(&second));
    second.phase = Some(Phase::Paused);
    assert_ne!(steady(&first), steady(&second));
}

#[test]
fn a_drain_that_is_not_waited_for_is_remembered_until_the_spec_changes() {
    let reports = Reports::new();
    let blockers = [Blocker::NoReport { pod: "payments-account-1".into(), reason: "silent".into() }];
    let of = |to, reason| Input {
        blockers: Some(&blockers),
        transition: Some(Transition { to, reason }),
        ..input(&reports)
    };
    let given = next(&status(Phase::Draining), &of(Phase::Resuming, Reason::DrainGivenUp));
    assert!(given_up(&given, Some(1)) && !given_up(&given, Some(2)));
    let told = condition(&given, "Drained");
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("False", "DrainGivenUp"));
    assert!(told.message.contains("payments-account-1"), "{}", told.message);
    let flows = next(&given, &of(Phase::Running, Reason::PaymentsFlow));
    assert!(given_up(&flows, Some(1)));
    let again = next(&flows, &of(Phase::Draining, Reason::DrainRequested));
    assert_eq!(again.drain_timed_out, None);

    let forced = next(&status(Phase::Draining), &of(Phase::Paused, Reason::DrainForced));
    let told = condition(&forced, "Drained");
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("False", "Forced"));
    assert!(condition(&forced, "Ready").message.contains("may be in flight"));
    assert!(!given_up(&forced, Some(1)));
}

#[test]
fn refused_lines_are_told_and_leave_the_pipeline_ready() {
    let reports = Reports::new();
    let of = |reason: BootstrapReason, message: &str| AccountsBootstrapStatus {
        state: reason.state(),
        reason,
        message: message.into(),
        ..AccountsBootstrapStatus::default()
    };
    for (reason, status) in [
        (BootstrapReason::NotRunning, "False"),
        (BootstrapReason::Importing, "False"),
        (BootstrapReason::Imported, "True"),
        (BootstrapReason::LinesRefused, "False"),
        (BootstrapReason::ImportFailed, "False"),
    ] {
        let accounts = Some(of(reason, "2 of 9"));
        let next = next(&self::status(Phase::Running), &Input { accounts, ..input(&reports) });
        let told = condition(&next, "AccountsBootstrapped");
        assert_eq!((told.status.as_str(), told.reason.as_str()), (status, reason.as_str()));
        assert_eq!(told.message, "2 of 9");
        assert_eq!(condition(&next, "Degraded").status, "False", "{reason:?}");
        assert_eq!(condition(&next, "Ready").status, "True", "{reason:?}");
    }
    let with = next(
        &status(Phase::Running),
        &Input { accounts: Some(of(BootstrapReason::Imported, "")), ..input(&reports) },
    );
    let without = next(&with, &input(&reports));
    assert_eq!(without.accounts_bootstrap, None);
    assert!(without.conditions.iter().all(|condition| condition.type_ != "AccountsBootstrapped"));
}

#[test]
fn a_pause_names_its_holders_in_every_condition_and_they_are_kept_with_since_when() {
    let reports = Reports::new();
    let pause = kpay_crds::Pause { holder: "alice".into(), reason: Some("books".into()), until: None };
    let held = vec!["held by alice (books)".to_owned()];
    let wanted = Wanted { desired: DesiredPhase::Paused, held, pauses: vec![pause] };
    let input = Input { wanted: &wanted, blockers: Some(&[]), ..input(&reports) };
    let draining = next(&status(Phase::Draining), &input);
    for kind in ["Ready", "Progressing"] {
        let told = condition(&draining, kind);
        assert!(told.message.ends_with("; held by alice (books)"), "{}", told.message);
    }
    let paused = next(&PaymentPipelineStatus { phase: Some(Phase::Paused), ..draining }, &input);
    for kind in ["Ready", "Drained"] {
        let told = condition(&paused, kind);
        assert!(told.message.ends_with("nothing is in flight; held by alice (books)"), "{}", told.message);
    }
    assert_eq!(paused.holders.len(), 1);
    assert_eq!(paused.holders[0].since, Some(at(1_000)));
    assert_ne!(steady(&paused), steady(&status(Phase::Paused)), "who holds is written at once");
    let let_go = next(&paused, &Input { wanted: &Wanted::default(), ..input });
    assert_eq!(let_go.holders, []);
}

#[test]
fn an_upgrade_says_how_far_it_is_also_between_two_steps() {
    use kpay_crds::{StepState, UpgradeStatus, UpgradeStep};
    for (states, told) in [
        ([StepState::Planned, StepState::Planned], "0 of 2 workloads are done"),
        ([StepState::Rolling, StepState::Planned], "1 of 2, confirmed: ready 1/2"),
        ([StepState::Verifying, StepState::Planned], "1 of 2, confirmed: payments are watched"),
        ([StepState::Inconclusive, StepState::Planned], "1 of 2 workloads are done"),
        ([StepState::Passed, StepState::Rolling], "2 of 2, account: ready 1/2"),
    ] {
        let step = |(workload, state): (&str, StepState)| UpgradeStep {
            workload: workload.to_owned(),
            state,
            evidence: "ready 1/2".to_owned(),
            ..UpgradeStep::default()
        };
        let steps = ["confirmed", "account"].into_iter().zip(states).map(step).collect();
        let verdict = upgraded(Some(&UpgradeStatus { steps, ..UpgradeStatus::default() }));
        assert_eq!(
            (verdict.status, verdict.reason, verdict.message.as_str()),
            (Some(false), "Rolling", told)
        );
    }
}
