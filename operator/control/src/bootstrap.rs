//! The accounts that a pipeline begins with: whether a Job should import them, and what the status says of it. Pure; the
//! time is an argument.
//!
//! A Job is for one content, and named after it: other content is another Job. It is made while the pipeline is Running
//! and taken away when it is no longer, since every line may be given again. What has ended is remembered in the status,
//! so that nothing is imported anew when its Job or its `ConfigMap` is gone.

mod report;
mod source;

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kpay_crds::{
    AccountsBootstrapStatus, BootstrapReason, BootstrapState, ConfigMapFile, RefusedLine, WorkloadReport,
};

pub use self::report::{ImportReport, REPORT_BYTES_MAX};
pub use self::source::{Import, Source, digest, source};
use crate::names::bootstrap_job;

/// Refused lines that a condition lists; the status has more.
const LINES_TOLD: usize = 3;

/// A Job that imports accounts, or did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenJob {
    /// Its name.
    pub name: String,
    /// Whether it is being deleted.
    pub going: bool,
    /// How it ended; none while it is at it.
    pub end: Option<JobEnd>,
    /// Attempts that failed.
    pub failed: i32,
    /// What the last attempt that has ended says.
    pub report: Option<ImportReport>,
}

/// How a Job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// Its pod was through.
    Complete,
    /// It is not tried again, in Kubernetes' words.
    Failed(String),
}

/// What a decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The content.
    pub source: &'a Source,
    /// Whether payments are taken in.
    pub running: bool,
    /// The gateway's pods.
    pub gateway: &'a WorkloadReport,
    /// The Jobs of this pipeline.
    pub jobs: &'a [SeenJob],
    /// Names of the Jobs that have a pod at work; one may be gone already.
    pub at_work: &'a BTreeSet<String>,
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What is written down.
    pub status: AccountsBootstrapStatus,
    /// The only import for which there should be a Job.
    pub job: Option<Import>,
}

/// What should be done for the wanted file, after what was written down last.
pub fn decide(
    pipeline: &str,
    wanted: &ConfigMapFile,
    old: Option<&AccountsBootstrapStatus>,
    seen: &Seen<'_>,
    now: &Time,
) -> Decision {
    let (reason, message) = match seen.source {
        Source::Found(import) => return found(pipeline, import, old, seen, now),
        Source::Missing { reason, message } => (*reason, message.clone()),
    };
    if let Some(old) = old.filter(|old| outlives(old, wanted, reason)) {
        return Decision { status: old.clone(), job: kept(old, seen) };
    }
    let status = AccountsBootstrapStatus {
        config_map: wanted.name.clone(),
        key: wanted.key.clone(),
        ..told(reason, message, None)
    };
    Decision { status: since(status, old, now), job: None }
}

/// Whether what was written down of the same file holds without it.
fn outlives(old: &AccountsBootstrapStatus, wanted: &ConfigMapFile, reason: BootstrapReason) -> bool {
    let same = old.config_map == wanted.name && (wanted.key.is_none() || wanted.key == old.key);
    same && match reason {
        BootstrapReason::ConfigMapMissing => old.state.is_final(),
        // Nobody knows: it may be there.
        BootstrapReason::ConfigMapUnreadable => old.job.is_some(),
        _ => false,
    }
}

/// The import that the status names, where its Job is there.
fn kept(status: &AccountsBootstrapStatus, seen: &Seen<'_>) -> Option<Import> {
    seen.jobs.iter().find(|job| status.job.as_ref() == Some(&job.name))?;
    Some(Import {
        config_map: status.config_map.clone(),
        key: status.key.clone()?,
        digest: status.digest.clone()?,
    })
}

fn found(
    pipeline: &str,
    import: &Import,
    old: Option<&AccountsBootstrapStatus>,
    seen: &Seen<'_>,
    now: &Time,
) -> Decision {
    let name = bootstrap_job(pipeline, &import.digest);
    let job = seen.jobs.iter().find(|job| job.name == name && !job.going);
    let place = |status| AccountsBootstrapStatus {
        config_map: import.config_map.clone(),
        key: Some(import.key.clone()),
        digest: Some(import.digest.clone()),
        ..status
    };
    let same = old.filter(|old| old.digest.as_ref() == Some(&import.digest));
    if let Some(ended) = same.filter(|old| old.state.is_final()) {
        return Decision { status: place(ended.clone()), job: job.map(|_| import.clone()) };
    }
    let (reason, message) = match job {
        Some(job) => of_job(job, seen.running),
        None => before(&name, seen),
    };
    let report = job.and_then(|job| job.report.as_ref());
    let mut status = place(told(reason, message, report));
    // A wait means that nobody imports.
    let wanted = status.state != BootstrapState::Waiting;
    status.job = wanted.then_some(name);
    Decision { status: since(status, old, now), job: wanted.then(|| import.clone()) }
}

/// How a Job that is there stands.
fn of_job(job: &SeenJob, running: bool) -> (BootstrapReason, String) {
    let SeenJob { name, end, failed, report, .. } = job;
    let error = report.as_ref().and_then(|report| report.error.as_deref());
    match (end, report) {
        (Some(JobEnd::Complete), Some(report)) => (BootstrapReason::Imported, report.counts()),
        (Some(JobEnd::Complete), None) => {
            (BootstrapReason::Imported, format!("Job {name} is done; its pod is gone and left no counts"))
        }
        (Some(JobEnd::Failed(_)), Some(report)) if error.is_none() && report.refused > 0 => {
            (BootstrapReason::LinesRefused, refusals(report))
        }
        (Some(JobEnd::Failed(why)), _) => {
            let why = error.unwrap_or(why);
            (BootstrapReason::ImportFailed, format!("{why}; to try again, delete Job {name}"))
        }
        (None, _) if !running => not_running(),
        (None, _) if *failed > 0 => {
            let last = error.map(|error| format!(", the last: {error}")).unwrap_or_default();
            (BootstrapReason::Importing, format!("Job {name} is at it; {failed} attempts failed{last}"))
        }
        (None, _) => (BootstrapReason::Importing, format!("Job {name} is at it")),
    }
}

/// What an import waits for that has no Job yet.
fn before(name: &str, seen: &Seen<'_>) -> (BootstrapReason, String) {
    if !seen.running {
        return not_running();
    }
    if seen.gateway.ready < 1 {
        let message = if seen.gateway.desired < 1 {
            "accounts are opened by the gateway, and spec.processors.gateway.replicas is 0"
        } else {
            "waits for a gateway pod that is ready"
        };
        return (BootstrapReason::GatewayUnavailable, message.to_owned());
    }
    let going = seen.jobs.iter().filter(|job| job.going).map(|job| &job.name);
    if let Some(other) = going.chain(seen.at_work).next() {
        return (BootstrapReason::ImportEnding, format!("waits until Job {other} has ended"));
    }
    (BootstrapReason::Importing, format!("Job {name} is at it"))
}

fn not_running() -> (BootstrapReason, String) {
    (BootstrapReason::NotRunning, "waits until the pipeline is Running".to_owned())
}

fn refusals(report: &ImportReport) -> String {
    let one = |line: &RefusedLine| {
        let RefusedLine { line, account, code, .. } = line;
        let account = if account.is_empty() { String::new() } else { format!(" ({account})") };
        format!("line {line}{account} {code}")
    };
    let first: Vec<String> = report.refused_lines.iter().take(LINES_TOLD).map(one).collect();
    let more = if report.refused > i64::try_from(first.len()).unwrap_or(i64::MAX) {
        "; more in status.accountsBootstrap and the Job's log"
    } else {
        ""
    };
    format!("{} of {} lines refused: {}{more}", report.refused, report.lines, first.join(", "))
}

fn told(reason: BootstrapReason, message: String, report: Option<&ImportReport>) -> AccountsBootstrapStatus {
    AccountsBootstrapStatus {
        state: reason.state(),
        reason,
        message,
        lines: report.map(|report| report.lines),
        opened: report.map(|report| report.opened),
        existing: report.map(|report| report.existing),
        refused: report.map(|report| report.refused),
        refused_lines: report.map(|report| report.refused_lines.clone()).unwrap_or_default(),
        ..AccountsBootstrapStatus::default()
    }
}

/// With the time since when it is so.
fn since(
    status: AccountsBootstrapStatus,
    old: Option<&AccountsBootstrapStatus>,
    now: &Time,
) -> AccountsBootstrapStatus {
    let same = old.filter(|old| old.reason == status.reason && old.digest == status.digest);
    let since = same.and_then(|old| old.since.clone()).unwrap_or_else(|| now.clone());
    AccountsBootstrapStatus { since: Some(since), ..status }
}

/// Since when it waits for something that nobody tells of, so that one has to look again.
pub fn unwatched(status: &AccountsBootstrapStatus) -> Option<&Time> {
    match status.reason {
        BootstrapReason::ConfigMapMissing
        | BootstrapReason::KeyMissing
        | BootstrapReason::ConfigMapUnreadable
        | BootstrapReason::ImportEnding => status.since.as_ref(),
        BootstrapReason::NotRunning
        | BootstrapReason::GatewayUnavailable
        | BootstrapReason::Importing
        | BootstrapReason::Imported
        | BootstrapReason::LinesRefused
        | BootstrapReason::ImportFailed => None,
    }
}

#[cfg(test)]
mod tests;
