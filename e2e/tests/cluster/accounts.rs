//! Accounts that a pipeline begins with, from a `ConfigMap`.

use std::fmt::Write;

use anyhow::ensure;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kpay_crds::{AccountsBootstrapStatus, BootstrapReason};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::world::{World, turn};

const GOOD: i64 = 50;

/// Fields of a spec that begins with the accounts of the `ConfigMap`.
pub(crate) fn bootstrap() -> Value {
    json!({"accounts": {"bootstrap": {"configMap": {"name": "opening"}}}})
}

/// CSV with so many accounts, each with its number as its balance, and further lines.
fn content(accounts: i64, more: &str) -> String {
    let mut text = "id,currency,funding\n".to_owned();
    for number in 1..=accounts {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "opening-{number},USD,{number}");
    }
    text + more
}

/// As `kubectl apply` of the `ConfigMap`.
pub(crate) fn put(world: &World, text: &str) -> anyhow::Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(world.cluster.client.clone(), &world.namespace);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "opening"},
        "data": {"accounts.csv": text}});
    let as_test = PatchParams::apply("kpay-e2e").force();
    world.cluster.wait(maps.patch("opening", &as_test, &Patch::Apply(map)))?;
    Ok(())
}

/// Waits until the accounts stand so.
pub(crate) fn reach(world: &World, reason: BootstrapReason) -> anyhow::Result<AccountsBootstrapStatus> {
    world.cluster.until(&format!("the accounts are {}", reason.as_str()), |_| {
        let found = world.status()?.accounts_bootstrap.unwrap_or_default();
        ensure!(found.reason == reason, "{found:?}");
        Ok(Some(found))
    })
}

/// Status and message of the condition.
fn condition(world: &World, kind: &str) -> anyhow::Result<Option<(String, String)>> {
    let conditions = world.status()?.conditions.into_iter();
    let mut found = conditions.filter(|condition| condition.type_ == kind);
    Ok(found.next().map(|condition| (condition.status, condition.message)))
}

fn jobs(world: &World) -> anyhow::Result<Vec<String>> {
    let jobs: Api<Job> = Api::namespaced(world.cluster.client.clone(), &world.namespace);
    let jobs = world.cluster.wait(jobs.list(&ListParams::default()))?;
    Ok(jobs
        .iter()
        .filter(|job| job.metadata.deletion_timestamp.is_none())
        .map(ResourceExt::name_any)
        .collect())
}

#[test]
fn accounts_of_a_config_map_are_opened_once_and_refused_lines_are_told() -> anyhow::Result<()> {
    let _turn = turn();
    // It is Running without its file, and says which it lacks.
    let mut world = World::start_with("accounts", 0, &bootstrap())?;
    let waits = reach(&world, BootstrapReason::ConfigMapMissing)?;
    assert_eq!(waits.message, "there is no ConfigMap opening in this namespace");

    put(&world, &content(GOOD, "bad,USD,1.5\nother,ZZZ,5\n"))?;
    let first = reach(&world, BootstrapReason::LinesRefused)?;
    let counts = [first.lines, first.opened, first.existing, first.refused];
    assert_eq!(counts, [Some(GOOD + 2), Some(GOOD), Some(0), Some(2)], "{first:?}");
    let refused: Vec<_> = first
        .refused_lines
        .iter()
        .map(|line| (line.line, line.account.as_str(), line.code.as_str()))
        .collect();
    assert_eq!(refused, [(GOOD + 2, "bad", "amount_not_integer"), (GOOD + 3, "other", "currency_unknown")]);
    let told = condition(&world, "AccountsBootstrapped")?;
    ensure!(
        told.as_ref()
            .is_some_and(|(status, message)| status == "False" && message.starts_with("2 of 52 lines")),
        "{told:?}"
    );
    assert_eq!(condition(&world, "Degraded")?.map(|(status, _)| status).as_deref(), Some("False"));
    let before = jobs(&world)?;
    assert_eq!((before.len(), before.first()), (1, first.job.as_ref()));

    // The lines that were right stand in the mended file again, and there are more.
    put(&world, &content(2 * GOOD, "bad,USD,2\n"))?;
    let second = reach(&world, BootstrapReason::Imported)?;
    let counts = [second.opened, second.existing, second.refused];
    assert_eq!(counts, [Some(GOOD + 1), Some(GOOD), Some(0)], "{second:?}");
    assert_eq!(condition(&world, "AccountsBootstrapped")?.map(|(status, _)| status).as_deref(), Some("True"));
    let after = jobs(&world)?;
    ensure!(
        after != before && after.first() == second.job.as_ref() && after.len() == 1,
        "{before:?} {after:?}"
    );

    world.patch(&json!({"accounts": {"bootstrap": null}}))?;
    world.cluster.until("the Job goes with its field", |_| {
        let jobs = jobs(&world)?;
        ensure!(jobs.is_empty(), "{jobs:?}");
        Ok(Some(()))
    })?;
    // Each account was funded once: the ledger and REST agree.
    world.ids.extend((1..=2 * GOOD).map(|number| format!("open:opening-{number}")));
    world.ids.insert("open:bad".to_owned());
    world.funded = i128::from((1..=2 * GOOD).sum::<i64>()) + 2;
    let report = world.audit_with_rest()?;
    assert_eq!(report.balances.get("opening-7"), Some(&7));
    assert_eq!(report.balances.len(), usize::try_from(2 * GOOD + 1)?);
    Ok(())
}
