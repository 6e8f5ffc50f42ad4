//! When there is a Job, and what is said of it.

use k8s_openapi::jiff::Timestamp;

use super::*;

const NAME: &str = "payments-accounts-0123456789";

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).expect("a time"))
}

fn wanted() -> ConfigMapFile {
    ConfigMapFile { name: "opening".into(), key: None }
}

fn import() -> Import {
    Import { config_map: "opening".into(), key: "a.csv".into(), digest: "0123456789".into() }
}

fn missing(reason: BootstrapReason) -> Source {
    Source::Missing { reason, message: format!("{reason:?}") }
}

fn job(end: Option<JobEnd>, report: Option<ImportReport>) -> SeenJob {
    SeenJob { name: NAME.into(), end, report, ..SeenJob::default() }
}

fn failed() -> JobEnd {
    JobEnd::Failed("backoff limit".into())
}

fn refused() -> ImportReport {
    let mut report = ImportReport { lines: 9, opened: 5, ..ImportReport::default() };
    for line in [3, 4, 7, 8] {
        let account = if line == 4 { String::new() } else { format!("acct-{line}") };
        report.refuse(RefusedLine { line, account, code: "csv_invalid".into(), detail: "d".into() });
    }
    report
}

/// A situation; one that imports unless it is changed.
struct Situation {
    source: Source,
    running: bool,
    gateway: WorkloadReport,
    jobs: Vec<SeenJob>,
    at_work: BTreeSet<String>,
}

impl Situation {
    fn new() -> Self {
        Self {
            source: Source::Found(import()),
            running: true,
            gateway: WorkloadReport { ready: 1, desired: 1, revision: None },
            jobs: Vec::new(),
            at_work: BTreeSet::new(),
        }
    }

    fn with(job: SeenJob) -> Self {
        Self { jobs: vec![job], ..Self::new() }
    }

    fn decide(&self, old: Option<&AccountsBootstrapStatus>) -> Decision {
        self.decide_at(old, 1_000)
    }

    fn decide_at(&self, old: Option<&AccountsBootstrapStatus>, second: i64) -> Decision {
        let seen = Seen {
            source: &self.source,
            running: self.running,
            gateway: &self.gateway,
            jobs: &self.jobs,
            at_work: &self.at_work,
        };
        decide("payments", &wanted(), old, &seen, &at(second))
    }
}

/// What is written down of an import that ended so.
fn after(end: Option<JobEnd>, report: ImportReport) -> AccountsBootstrapStatus {
    Situation::with(job(end, Some(report))).decide(None).status
}

#[test]
fn a_job_is_made_once_the_pipeline_runs_and_its_gateway_answers() {
    use BootstrapReason::{GatewayUnavailable, ImportEnding, Importing, NotRunning};
    let going = SeenJob { name: "payments-accounts-other".into(), going: true, ..SeenJob::default() };
    let ours_going = SeenJob { name: NAME.into(), going: true, ..SeenJob::default() };
    for (running, ready, desired, at_work, jobs, reason) in [
        (true, 1, 1, None, vec![], Importing),
        (true, 1, 3, None, vec![], Importing),
        (false, 1, 1, None, vec![], NotRunning),
        (true, 0, 1, None, vec![], GatewayUnavailable),
        (true, 0, 0, None, vec![], GatewayUnavailable),
        (true, 1, 1, Some("payments-accounts-other"), vec![], ImportEnding),
        (true, 1, 1, None, vec![going], ImportEnding),
        (true, 1, 1, None, vec![ours_going], ImportEnding),
    ] {
        let situation = Situation {
            running,
            gateway: WorkloadReport { ready, desired, revision: None },
            jobs,
            at_work: at_work.map(str::to_owned).into_iter().collect(),
            ..Situation::new()
        };
        let Decision { status, job } = situation.decide(None);
        assert_eq!(status.reason, reason, "{}", status.message);
        assert_eq!(job.is_some(), reason == Importing, "{reason:?}");
        assert_eq!(status.job.is_some(), reason == Importing, "{reason:?}");
        assert_eq!(status.digest.as_deref(), Some("0123456789"));
        assert_eq!(status.lines, None);
    }
}

#[test]
fn the_end_of_a_job_is_told_with_its_counts() {
    use BootstrapReason::{ImportFailed, Imported, Importing, LinesRefused};
    let good = ImportReport { lines: 9, opened: 8, existing: 1, ..ImportReport::default() };
    let gone = ImportReport { error: Some("cannot be reached".into()), ..refused() };
    let complete = Some(JobEnd::Complete);
    for (end, report, attempts, reason, told) in [
        (None, None, 0, Importing, "Job payments-accounts-0123456789 is at it"),
        (None, Some(&gone), 2, Importing, "2 attempts failed, the last: cannot be reached"),
        (complete.clone(), Some(&good), 0, Imported, "9 lines: 8 opened, 1 existing"),
        (complete, None, 0, Imported, "left no counts"),
        (
            Some(failed()),
            Some(&refused()),
            1,
            LinesRefused,
            "4 of 9 lines refused: line 3 (acct-3) csv_invalid, line 4 csv_invalid, line 7 (acct-7) csv_invalid; more in",
        ),
        (
            Some(failed()),
            Some(&gone),
            20,
            ImportFailed,
            "cannot be reached; to try again, delete Job payments-accounts-0123456789",
        ),
        (Some(failed()), None, 20, ImportFailed, "backoff limit; to try again"),
        (Some(failed()), Some(&good), 20, ImportFailed, "backoff limit"),
    ] {
        let seen = SeenJob { failed: attempts, ..job(end, report.cloned()) };
        let Decision { status, job } = Situation::with(seen).decide(None);
        assert_eq!((status.reason, status.state), (reason, reason.state()), "{told}");
        assert!(status.message.contains(told), "{told}: {}", status.message);
        assert_eq!(status.lines, report.map(|_| 9), "{told}");
        assert_eq!(status.refused, report.map(|report| report.refused), "{told}");
        assert_eq!(job, Some(import()), "a Job that is there stays: {told}");
    }
    let few = ImportReport { refused: 2, refused_lines: refused().refused_lines[..2].into(), ..refused() };
    assert!(!after(Some(failed()), few).message.contains("more"));
}

#[test]
fn what_has_ended_is_not_imported_again_when_its_job_is_gone() {
    for (end, report) in [(Some(JobEnd::Complete), ImportReport::default()), (Some(failed()), refused())] {
        let ended = after(end, report);
        assert!(ended.state.is_final());
        for running in [true, false] {
            let later = Situation { running, ..Situation::new() }.decide(Some(&ended));
            assert_eq!(later, Decision { status: ended.clone(), job: None });
        }
        let other = Import { digest: "9876543210".into(), ..import() };
        let later =
            Situation { source: Source::Found(other.clone()), ..Situation::new() }.decide(Some(&ended));
        assert_eq!(later.job, Some(other), "other content");
        assert_eq!((later.status.state, later.status.lines), (BootstrapState::Importing, None));
    }
}

#[test]
fn an_import_that_failed_or_lost_its_job_is_tried_again() {
    for old in [after(Some(failed()), ImportReport::default()), Situation::new().decide(None).status] {
        assert!(!old.state.is_final());
        let again = Situation::new().decide(Some(&old));
        assert_eq!((again.status.state, again.job), (BootstrapState::Importing, Some(import())));
    }
}

#[test]
fn a_pause_takes_away_a_job_that_is_at_it_and_no_other() {
    for (end, reason, kept) in [
        (None, BootstrapReason::NotRunning, false),
        (Some(JobEnd::Complete), BootstrapReason::Imported, true),
        (Some(failed()), BootstrapReason::LinesRefused, true),
    ] {
        let situation = Situation { running: false, ..Situation::with(job(end, Some(refused()))) };
        let Decision { status, job } = situation.decide(None);
        assert_eq!((status.reason, job.is_some()), (reason, kept));
    }
    // A gateway that is away for a moment is what the Job itself waits for.
    let gateway = WorkloadReport { ready: 0, desired: 1, revision: None };
    let without = Situation { gateway, ..Situation::with(job(None, None)) }.decide(None);
    assert_eq!(without.status.reason, BootstrapReason::Importing);
}

#[test]
fn a_file_that_goes_takes_nothing_back() {
    use BootstrapReason::{ConfigMapMissing, ConfigMapUnreadable, Imported, Importing, KeyMissing};
    let done = after(Some(JobEnd::Complete), ImportReport::default());
    let at_it = after(None, ImportReport::default());
    for (old, reason, told) in [
        (None, ConfigMapMissing, ConfigMapMissing),
        (None, KeyMissing, KeyMissing),
        (None, ConfigMapUnreadable, ConfigMapUnreadable),
        (Some(&done), ConfigMapMissing, Imported),
        (Some(&done), ConfigMapUnreadable, Imported),
        (Some(&done), KeyMissing, KeyMissing),
        (Some(&at_it), ConfigMapMissing, ConfigMapMissing),
        (Some(&at_it), ConfigMapUnreadable, Importing),
    ] {
        let situation = Situation { source: missing(reason), ..Situation::with(job(None, None)) };
        let Decision { status, job } = situation.decide(old);
        assert_eq!(status.reason, told, "{reason:?} after {:?}", old.map(|old| old.reason));
        assert_eq!(job.is_some(), matches!(told, Imported | Importing), "{told:?}");
        assert_eq!(status.config_map, "opening");
    }
    let elsewhere = AccountsBootstrapStatus { config_map: "another".into(), ..done };
    let named = Situation { source: missing(ConfigMapMissing), ..Situation::new() }.decide(Some(&elsewhere));
    assert_eq!(named.status.reason, ConfigMapMissing, "the spec names another one now");
}

#[test]
fn unchanged_facts_give_the_same_status_and_since_when() {
    let situations = [
        Situation::new(),
        Situation { running: false, ..Situation::new() },
        Situation { source: missing(BootstrapReason::KeyMissing), ..Situation::new() },
        Situation::with(job(Some(JobEnd::Complete), Some(ImportReport::default()))),
        Situation::with(job(Some(failed()), Some(refused()))),
        Situation::with(job(Some(failed()), None)),
    ];
    for situation in situations {
        let first = situation.decide_at(None, 10).status;
        assert_eq!(first.since, Some(at(10)));
        assert_eq!(situation.decide_at(Some(&first), 20).status, first);
    }
    let waits = Situation { running: false, ..Situation::new() }.decide_at(None, 10).status;
    assert_eq!(Situation::new().decide_at(Some(&waits), 20).status.since, Some(at(20)));
}

#[test]
fn only_what_nobody_tells_of_is_looked_for() {
    for (reason, looked_for) in [
        (BootstrapReason::ConfigMapMissing, true),
        (BootstrapReason::KeyMissing, true),
        (BootstrapReason::ConfigMapUnreadable, true),
        (BootstrapReason::ImportEnding, true),
        (BootstrapReason::NotRunning, false),
        (BootstrapReason::Importing, false),
        (BootstrapReason::Imported, false),
        (BootstrapReason::LinesRefused, false),
        (BootstrapReason::ImportFailed, false),
    ] {
        let status =
            AccountsBootstrapStatus { reason, since: Some(at(5)), ..AccountsBootstrapStatus::default() };
        assert_eq!(unwatched(&status), looked_for.then_some(&at(5)), "{reason:?}");
    }
}
