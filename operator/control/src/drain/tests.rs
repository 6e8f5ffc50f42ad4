//! One way to be drained, and every way not to be.

use super::*;
use crate::report::PartitionReport;

const EPOCH: i64 = 7;

fn pod(stage: Component, ordinal: i32, partitions: &[i32]) -> (String, Result<ControlReport, NoReport>) {
    let name = format!("payments-{stage}-{ordinal}");
    let partitions = partitions
        .iter()
        .map(|partition| PartitionReport {
            partition: *partition,
            state: PartitionState::Running,
            count: if stage == Component::Account { 0 } else { 10 },
            value: BTreeMap::new(),
        })
        .collect();
    let report = ControlReport {
        pod: name.clone(),
        stage,
        version: None,
        epoch: Some(EPOCH),
        ready: true,
        open_transaction: false,
        partitions,
        figures: None,
    };
    (name, Ok(report))
}

fn drained() -> Evidence {
    let idle = Progress { last_stable: 5, high_watermark: 5, data_records_between: false };
    let progress: BTreeMap<i32, Progress> = [(0, idle), (1, idle)].into();
    let reports: Reports = [
        pod(Component::Inflight, 0, &[0, 1]),
        pod(Component::Account, 0, &[0]),
        pod(Component::Account, 1, &[1]),
        pod(Component::Confirmed, 0, &[0, 1]),
        pod(Component::Gateway, 0, &[]),
    ]
    .into();
    Evidence {
        epoch: EPOCH,
        expected: reports.keys().cloned().collect(),
        reports,
        partitions: Component::STAGES.map(|stage| (stage, 2)).into(),
        groups: [Component::Account, Component::Confirmed].map(|g| (g, Some(progress.clone()))).into(),
    }
}

fn report<'a>(evidence: &'a mut Evidence, pod: &str) -> &'a mut ControlReport {
    evidence.reports.get_mut(pod).and_then(|r| r.as_mut().ok()).expect("a report")
}

fn progress(evidence: &mut Evidence, group: Component) -> &mut Progress {
    evidence.groups.get_mut(&group).and_then(Option::as_mut).and_then(|p| p.get_mut(&1)).expect("progress")
}

#[test]
fn drain_with_nothing_in_flight_is_proven() {
    assert_eq!(prove(&drained()), []);
}

#[test]
fn each_planted_fault_is_the_one_blocker() {
    type Fault = (&'static str, fn(&mut Evidence));
    let faults: [Fault; 10] = [
        ("pod payments-account-1 has not acted on epoch 7 yet", |e| {
            report(e, "payments-account-1").epoch = None;
        }),
        ("pod payments-gateway-0 has not acted on epoch 7 yet", |e| {
            report(e, "payments-gateway-0").epoch = Some(EPOCH - 1);
        }),
        ("pod payments-confirmed-0 has an open transaction", |e| {
            report(e, "payments-confirmed-0").open_transaction = true;
        }),
        ("pod payments-account-0 is restoring partition 0", |e| {
            report(e, "payments-account-0").partitions[0].state = PartitionState::Restoring;
        }),
        ("no pod of stage account reports partition 1", |e| {
            report(e, "payments-account-1").partitions.clear();
        }),
        ("several pods of stage account report partition 0", |e| {
            let again = report(e, "payments-account-0").partitions[0].clone();
            report(e, "payments-account-1").partitions.push(again);
        }),
        ("payments are in flight (status.inFlight says how many)", |e| {
            report(e, "payments-inflight-0").partitions[0].count += 1;
        }),
        ("group account has records to process in partition 1", |e| {
            progress(e, Component::Account).data_records_between = true;
        }),
        ("a transaction is open in partition 1 of the topic that stage confirmed reads", |e| {
            progress(e, Component::Confirmed).high_watermark += 1;
        }),
        ("Kafka does not say how far group confirmed is", |e| {
            e.groups.insert(Component::Confirmed, None);
        }),
    ];
    for (expected, fault) in faults {
        let mut evidence = drained();
        fault(&mut evidence);
        let blockers: Vec<String> = prove(&evidence).iter().map(ToString::to_string).collect();
        assert_eq!(blockers, [expected]);
    }
}

#[test]
fn stopped_pod_is_named() {
    let mut evidence = drained();
    evidence.reports.insert("payments-account-1".into(), Err(NoReport::Silent));
    let blockers: Vec<String> = prove(&evidence).iter().map(ToString::to_string).collect();
    assert!(
        blockers.contains(&"pod payments-account-1: it does not answer on :9090".to_owned()),
        "{blockers:?}"
    );
    evidence.reports.remove("payments-account-1");
    assert!(
        prove(&evidence).iter().any(|b| b.to_string().contains("payments-account-1: there is no such pod"))
    );
}

#[test]
fn no_evidence_proves_nothing() {
    assert!(!prove(&Evidence::default()).is_empty());
}

#[test]
fn resume_is_done_when_payments_flow_or_there_are_none() {
    let mut evidence = drained();
    assert!(!flowing(&evidence, 0.0), "nobody knows whether payments wait");
    assert!(flowing(&evidence, 1.0));
    let account = evidence.groups.get(&Component::Account).cloned().expect("progress");
    evidence.groups.insert(Component::Inflight, account);
    assert!(flowing(&evidence, 0.0));
    report(&mut evidence, "payments-inflight-0").epoch = Some(EPOCH - 1);
    assert!(!flowing(&evidence, 1.0));
}
