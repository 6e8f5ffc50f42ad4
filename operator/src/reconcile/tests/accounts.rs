//! The accounts that a pipeline begins with.

use kpay_crds::{AccountsBootstrapStatus, BootstrapReason, BootstrapState};
use serde_json::{Value, json};

use super::super::*;
use super::world::{ACCOUNTS, PIPELINE, PODS, World, pod_of_job};

const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs/";

impl World {
    /// A running pipeline that begins with the accounts of a `ConfigMap`, which is there if it has a content.
    async fn with_accounts(content: Option<&str>) -> Self {
        let world = Self::new();
        world.wants_accounts(&json!({"configMap": {"name": "opening"}}));
        world.running().await;
        if let Some(content) = content {
            world.has_accounts(content);
            world.reconcile().await;
        }
        world
    }

    fn wants_accounts(&self, bootstrap: &Value) {
        self.edit(&json!({"accounts": {"bootstrap": bootstrap}}));
    }

    fn jobs(&self) -> Vec<String> {
        let server = self.server.lock();
        server.objects.keys().filter_map(|path| path.strip_prefix(JOBS).map(str::to_owned)).collect()
    }

    /// The only Job has its pod, as its own controller makes it.
    fn job_has_a_pod(&self, phase: &str, said: &str) -> String {
        let job = self.jobs().pop().expect("a Job");
        let mut server = self.server.lock();
        let pod = pod_of_job(&server.objects[&format!("{JOBS}{job}")], phase, said);
        server.objects.insert(format!("{PODS}/{job}-x"), pod);
        job
    }

    /// The only Job ends, and its pod says this.
    fn job_ends(&self, how: &str, said: &Value) -> String {
        let phase = if how == "Complete" { "Succeeded" } else { "Failed" };
        let job = self.job_has_a_pod(phase, &said.to_string());
        let conditions = json!([{"type": how, "status": "True", "message": "a rule has matched"}]);
        self.server.lock().objects.get_mut(&format!("{JOBS}{job}")).expect("a Job")["status"] =
            json!({"conditions": conditions});
        job
    }

    fn accounts(&self) -> AccountsBootstrapStatus {
        self.pipeline().status.and_then(|status| status.accounts_bootstrap).expect("a status")
    }

    /// Status, reason and message of a condition.
    fn condition(&self, kind: &str) -> Option<(String, String, String)> {
        let conditions = self.pipeline().status.expect("a status").conditions;
        let found = conditions.into_iter().find(|condition| condition.type_ == kind)?;
        Some((found.status, found.reason, found.message))
    }

    /// The events since the last look.
    fn events(&self) -> Vec<String> {
        std::mem::take(&mut self.server.lock().events)
    }
}

#[tokio::test]
async fn a_missing_file_is_told_and_looked_for_and_holds_nothing_else_up() {
    let world = World::with_accounts(None).await;
    assert_eq!(world.jobs(), [""; 0]);
    assert!(world.events().contains(&"ConfigMapMissing".to_owned()));
    let (status, reason, message) = world.condition("AccountsBootstrapped").expect("a condition");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "ConfigMapMissing"));
    assert_eq!(message, "there is no ConfigMap opening in this namespace");
    assert_eq!(world.condition("Ready").expect("a condition").0, "True");
    let again = reconcile(Arc::new(world.pipeline()), Arc::clone(&world.context)).await;
    assert_eq!(again.expect("a reconcile"), Action::requeue(SOON));
    assert_eq!(world.reconcile().await, [""; 0]);

    world.has_accounts("id\nalice\n");
    world.wants_accounts(&json!({"configMap": {"name": "opening", "key": "other"}}));
    world.reconcile().await;
    assert_eq!(world.accounts().message, "ConfigMap opening has no key other; it has accounts.csv");
    assert_eq!(world.jobs(), [""; 0]);
}

#[tokio::test]
async fn accounts_are_imported_once_and_then_nothing_is_written() {
    let mut world = World::with_accounts(Some("id\nalice\n")).await;
    let job = world.job_has_a_pod("Running", "");
    assert_eq!(world.accounts().job.as_ref(), Some(&job));
    assert_eq!(world.accounts().state, BootstrapState::Importing);
    assert_eq!(world.events().pop().as_deref(), Some("Importing"));
    assert_eq!(world.reconcile().await, [""; 0], "while it is at it");

    world.job_ends("Complete", &json!({"lines": 3, "opened": 2, "existing": 1}));
    assert_eq!(world.reconcile().await, [format!("PATCH {PIPELINE}/status")]);
    assert_eq!(world.events(), ["Imported"]);
    let AccountsBootstrapStatus { lines, opened, existing, refused, state, .. } = world.accounts();
    assert_eq!((state, lines, opened), (BootstrapState::Done, Some(3), Some(2)));
    assert_eq!((existing, refused), (Some(1), Some(0)));
    assert_eq!(world.condition("AccountsBootstrapped").expect("a condition").0, "True");
    for _ in 0..2 {
        assert_eq!(world.reconcile().await, [""; 0]);
        world.restart_operator();
    }
    assert_eq!(world.events(), [""; 0]);
    // Neither without its Job nor without its ConfigMap is it imported again.
    for path in [format!("{JOBS}{job}"), ACCOUNTS.to_owned()] {
        world.server.lock().objects.remove(&path);
        assert_eq!(world.reconcile().await, [""; 0], "without {path}");
    }
}

#[tokio::test]
async fn refused_lines_are_listed_and_the_pipeline_is_not_degraded() {
    let world = World::with_accounts(Some("id\nalice\n")).await;
    let lines = json!([{"line": 2, "account": "alice", "code": "amount_not_integer", "detail": "no point"},
        {"line": 9, "code": "csv_invalid"}]);
    let job =
        world.job_ends("Failed", &json!({"lines": 9, "opened": 7, "refused": 2, "refusedLines": lines}));
    world.events();
    assert_eq!(world.reconcile().await, [format!("PATCH {PIPELINE}/status")]);
    assert_eq!(world.events(), ["LinesRefused"]);
    let (status, reason, message) = world.condition("AccountsBootstrapped").expect("a condition");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "LinesRefused"));
    assert_eq!(message, "2 of 9 lines refused: line 2 (alice) amount_not_integer, line 9 csv_invalid");
    assert_eq!(serde_json::to_value(world.accounts().refused_lines).expect("JSON"), lines);
    for (kind, status) in [("Degraded", "False"), ("Ready", "True"), ("Progressing", "False")] {
        assert_eq!(world.condition(kind).expect("a condition").0, status, "{kind}");
    }
    assert_eq!(world.reconcile().await, [""; 0]);
    assert_eq!(world.jobs(), [job], "its log has all lines");
}

#[tokio::test]
async fn other_content_is_another_job_once_the_one_before_has_ended() {
    let world = World::with_accounts(Some("id\nalice\n")).await;
    let first = world.job_has_a_pod("Running", "");
    world.has_accounts("id\nbob\n");
    let writes = world.reconcile().await;
    assert!(writes.contains(&format!("DELETE {JOBS}{first}")), "{writes:?}");
    assert_eq!(world.accounts().reason, BootstrapReason::ImportEnding);
    world.reconcile().await;
    assert_eq!(world.jobs(), [""; 0], "its pod is still there");
    world.server.lock().objects.remove(&format!("{PODS}/{first}-x"));
    world.reconcile().await;
    let second = world.jobs().pop().expect("a Job");
    assert_ne!(first, second);

    // One that has ended goes when there is other content.
    world.job_ends("Complete", &json!({}));
    world.reconcile().await;
    world.has_accounts("id\ncarol\n");
    let writes = world.reconcile().await;
    assert!(writes.contains(&format!("DELETE {JOBS}{second}")), "{writes:?}");
    assert!(writes.iter().any(|write| write.starts_with("PATCH /apis/batch")), "{writes:?}");
    assert_eq!(world.accounts().state, BootstrapState::Importing);
}

#[tokio::test]
async fn a_job_is_never_changed_and_goes_with_its_field() {
    let world = World::with_accounts(Some("id\nalice\n")).await;
    let job = world.jobs().pop().expect("a Job");
    // As an earlier release has made it: its pods cannot change.
    world.server.lock().objects.get_mut(&format!("{JOBS}{job}")).expect("a Job")["spec"]["template"]["spec"]
        ["containers"][0]["image"] = json!("kpay:0");
    assert_eq!(world.reconcile().await, [""; 0]);
    world.wants_accounts(&Value::Null);
    let writes = world.reconcile().await;
    assert!(writes.contains(&format!("DELETE {JOBS}{job}")), "{writes:?}");
    assert_eq!(world.pipeline().status.expect("a status").accounts_bootstrap, None);
    assert_eq!(world.condition("AccountsBootstrapped"), None);
}

#[tokio::test]
async fn a_drain_takes_away_an_import_that_is_at_it_and_does_not_ask_its_pod() {
    let world = World::with_accounts(Some("id\nalice\n")).await;
    let job = world.job_has_a_pod("Running", "");
    world.edit(&json!({"desiredPhase": "Paused"}));
    let writes = world.reconcile().await;
    assert!(writes.contains(&format!("DELETE {JOBS}{job}")), "{writes:?}");
    assert_eq!(world.accounts().reason, BootstrapReason::NotRunning);
    world.restart_quietly();
    world.reconcile().await;
    let (_, reason, message) = world.condition("Drained").expect("a condition");
    assert_eq!(reason, "Draining");
    assert!(message.contains("payments-account-0") && !message.contains(&job), "{message}");
}

#[tokio::test]
async fn an_invalid_spec_leaves_what_is_known_of_the_accounts() {
    let world = World::with_accounts(Some("id\nalice\n")).await;
    world.job_ends("Complete", &json!({"lines": 1, "opened": 1}));
    world.reconcile().await;
    let (before, condition) = (world.accounts(), world.condition("AccountsBootstrapped"));
    world.edit(&json!({"drain": {"timeout": "soon"}}));
    world.reconcile().await;
    assert_eq!(world.condition("Degraded").expect("a condition").0, "True");
    assert_eq!((world.accounts(), world.condition("AccountsBootstrapped")), (before, condition));
}
