//! What the REST API tells and does besides payments.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use kpay_e2e::load;
use kpay_e2e::local::Local;
use kpay_e2e::process::binary;
use kpay_e2e::rest::{Answer, Rest, payment};
use serde_json::{Value, json};

use super::{MANIFEST, turn};

fn wait_for(local: &mut Local, phase: &str) -> anyhow::Result<()> {
    local.wait_for_phase(phase, |now| now == phase)
}

/// Who paused it, why, and since when.
fn pause(local: &Local) -> anyhow::Result<[String; 3]> {
    let pipeline = local.rest.get("/v1/pipeline")?;
    Ok(["pausedBy", "reason", "since"].map(|field| pipeline.text(field).to_owned()))
}

#[test]
fn the_last_of_button_and_file_wins_and_a_button_outlives_the_process() -> anyhow::Result<()> {
    let _turn = turn();
    let mut local = Local::create("button", binary()?, MANIFEST)?;
    local.start()?;
    let body = json!({"reason": "month's end"});
    let answer = local.rest.post("/v1/pipeline/pause", &body, None)?;
    assert_eq!((answer.status, answer.text("desiredPhase")), (202, "Paused"), "{answer:?}");
    let own = local.rest.get("/v1/pipeline")?;
    assert_eq!((own.text("desiredPhase"), own.text("since")), ("Paused", answer.text("since")), "at once");
    assert!(["Draining", "Paused"].contains(&own.text("phase")), "{own:?}");
    wait_for(&mut local, "Paused")?;
    let since = pause(&local)?;
    assert_eq!(&since[..2], ["", "month's end"]);
    let epoch = |local: &Local| -> anyhow::Result<Option<u64>> {
        Ok(local.rest.get("/v1/pipeline")?.body.get("epoch").and_then(Value::as_u64))
    };
    let before = epoch(&local)?;
    local.kill();
    local.start()?;
    wait_for(&mut local, "Paused")?;
    assert!(before.is_some() && epoch(&local)? > before, "{before:?}: it only grows, over restarts too");
    assert_eq!(pause(&local)?, since, "why and since when outlive the process");
    // A file that cannot be read changes nothing; one that can is the newer wish.
    let whole = std::fs::read_to_string(&local.file)?;
    std::fs::write(&local.file, "spec: {")?;
    assert_eq!(local.rest.post("/v1/pipeline/pause", &body, None)?.status, 202);
    std::fs::write(&local.file, whole)?;
    wait_for(&mut local, "Running")?;
    assert_eq!(local.rest.post("/v1/pipeline/pause", &body, None)?.status, 202);
    wait_for(&mut local, "Paused")?;
    assert_eq!(local.rest.post("/v1/pipeline/resume", &json!({}), None)?.status, 202);
    assert_eq!(local.rest.get("/v1/pipeline")?.text("desiredPhase"), "Running", "at once");
    wait_for(&mut local, "Running")?;
    assert_eq!(pause(&local)?, ["", "", ""]);
    local.desire("Paused")?;
    wait_for(&mut local, "Paused")?;
    assert_eq!(pause(&local)?, ["", "", ""], "a file does not say");
    // Written while nobody looks.
    assert_eq!(local.rest.post("/v1/pipeline/resume", &json!({}), None)?.status, 202);
    wait_for(&mut local, "Running")?;
    local.stop()?;
    local.desire("Draining")?;
    local.start()?;
    wait_for(&mut local, "Draining")
}

/// Who holds it paused.
fn holders(answer: &Answer) -> Vec<&str> {
    let all = answer.body.get("holders").and_then(Value::as_array);
    all.into_iter().flatten().filter_map(|one| one.get("holder")?.as_str()).collect()
}

#[test]
fn the_last_holder_to_let_go_or_to_expire_resumes_and_holders_outlive_the_process() -> anyhow::Result<()> {
    let _turn = turn();
    let mut local = Local::create("holders", binary()?, MANIFEST)?;
    local.start()?;
    let hold = |local: &Local, body: Value| local.rest.post("/v1/pipeline/pause", &body, None);
    let resume = |local: &Local, body: Value| local.rest.post("/v1/pipeline/resume", &body, None);
    let answer = hold(&local, json!({"holder": "alice", "reason": "books"}))?;
    assert_eq!((answer.status, holders(&answer)), (202, vec!["alice"]), "{answer:?}");
    let answer = hold(&local, json!({"holder": "alerts/lag", "expiresIn": "1h"}))?;
    assert_eq!(holders(&answer), ["alice", "alerts/lag"], "{answer:?}");
    wait_for(&mut local, "Paused")?;
    local.kill();
    local.start()?;
    wait_for(&mut local, "Paused")?;
    let kept = local.rest.get("/v1/pipeline")?;
    assert_eq!(kept.body.get("holders"), answer.body.get("holders"), "since and until when as well");

    // Neither the desired phase, by the gateway and by the file, nor another holder ends what is held.
    local.desire("Draining")?;
    local.desire("Running")?;
    assert_eq!(holders(&resume(&local, json!({}))?), ["alice", "alerts/lag"]);
    let answer = resume(&local, json!({"holder": "alice"}))?;
    assert_eq!((answer.text("desiredPhase"), holders(&answer)), ("Paused", vec!["alerts/lag"]), "{answer:?}");
    assert_eq!(local.rest.get("/v1/pipeline")?.text("phase"), "Paused");
    // Its time is over soon, and nobody has to come back.
    hold(&local, json!({"holder": "alerts/lag", "expiresIn": "1ms"}))?;
    wait_for(&mut local, "Running")?;
    let over = local.rest.get("/v1/pipeline")?;
    assert_eq!((over.text("desiredPhase"), holders(&over)), ("Running", vec![]), "{over:?}");

    // The file's own holders hold, and go with their entries.
    let text = std::fs::read_to_string(&local.file)?;
    let changed = text.replacen("spec:\n", "spec:\n  pauses: [{holder: ci, reason: release}]\n", 1);
    ensure!(changed != text, "{text}");
    std::fs::write(&local.file, changed)?;
    wait_for(&mut local, "Paused")?;
    let answer = resume(&local, json!({"holder": "ci"}))?;
    assert_eq!(holders(&answer), ["ci"], "what the file holds is let go there: {answer:?}");
    std::fs::write(&local.file, text)?;
    wait_for(&mut local, "Running")
}

/// Everything of a list, page by page.
pub(super) fn whole_list(rest: &Rest, path: &str, field: &str) -> anyhow::Result<Vec<Value>> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let answer = rest.get_patiently(&format!("{path}{after}"))?;
        ensure!(answer.status == 200, "{answer:?}");
        all.extend(answer.body.get(field).and_then(Value::as_array).context("a list")?.clone());
        match answer.text("next") {
            "" => return Ok(all),
            next => after = format!("&after={next}"),
        }
    }
}

fn number(value: &Value, field: &str) -> i64 {
    value.pointer(field).and_then(Value::as_i64).unwrap_or(i64::MIN)
}

#[test]
fn the_lists_have_every_account_and_every_entry_once_over_a_restart() -> anyhow::Result<()> {
    let _turn = turn();
    let mut local = Local::create("lists", binary()?, MANIFEST)?;
    local.start()?;
    let mut expected = BTreeMap::new();
    for account in 0..50 {
        let id = load::account(account)?.as_str().to_owned();
        local.rest.open(&id, 1_000)?;
        expected.insert(id, 1_000);
    }
    local.rest.open("alice", 1_000)?;
    for pay in 0..30 {
        let body = payment(&format!("p-{pay}"), "alice", load::account(pay)?.as_str(), 10);
        let answer = local.rest.post("/v1/payments", &body, Some(30))?;
        ensure!(answer.text("status") == "confirmed", "{answer:?}");
        *expected.entry(load::account(pay)?.as_str().to_owned()).or_default() += 10;
    }
    expected.insert("alice".to_owned(), 700);
    let throughput = local.rest.get("/v1/metrics/throughput")?;
    let windows = throughput.body.get("windows").and_then(Value::as_array).context("windows")?;
    assert_eq!(windows.iter().map(|window| number(window, "/count")).sum::<i64>(), 30, "{throughput:?}");
    let totals = local.rest.get("/v1/metrics/totals")?;
    let sums = ["/inFlight/count", "/confirmedToday/count", "/accepted/count", "/finished/count"];
    assert_eq!(sums.map(|sum| number(&totals.body, sum)), [0, 30, 81, 81], "{totals:?}");
    local.kill();
    local.start()?;
    for limit in [7, 1000] {
        let accounts = whole_list(&local.rest, &format!("/v1/accounts?limit={limit}"), "accounts")?;
        let listed: BTreeMap<String, i64> = accounts
            .iter()
            .map(|account| {
                (account["id"].as_str().unwrap_or_default().to_owned(), number(account, "/balance"))
            })
            .collect();
        assert_eq!((listed.len(), &listed), (accounts.len(), &expected), "by {limit}");
    }
    for (order, limit) in [("asc", 4), ("asc", 1000), ("desc", 4), ("desc", 1000)] {
        let path = format!("/v1/accounts/alice/ledger?order={order}&limit={limit}");
        let mut entries = whole_list(&local.rest, &path, "entries")?;
        if order == "desc" {
            entries.reverse();
        }
        assert_eq!(entries.len(), 31, "{order} by {limit}");
        let mut balance = 0;
        for (version, entry) in (1..).zip(&entries) {
            balance += number(entry, "/amount/value");
            assert_eq!((number(entry, "/version"), number(entry, "/balance")), (version, balance), "{entry}");
        }
        assert_eq!(
            (entries[0]["kind"].as_str(), entries[30]["kind"].as_str()),
            (Some("opened"), Some("debit"))
        );
        assert_eq!(entries[1]["counterparty"].as_str(), Some(load::account(0)?.as_str()));
    }
    assert_eq!(local.rest.get("/v1/accounts/nobody/ledger")?.status, 404);
    Ok(())
}
