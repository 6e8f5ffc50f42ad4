//! `kpay local` as a user runs it: one process, its own log, REST. Run by `cargo xtask test --tier local`; without the
//! `kpay` binary every test fails and says what is missing.

mod business;
mod cli;
mod dead_letters;
mod import;
mod rest;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kpay_e2e::auditor::Expected;
use kpay_e2e::load::{self, spread};
use kpay_e2e::local::Local;
use kpay_e2e::process::binary;
use kpay_e2e::rest::{Rest, as_json, payment};

const MANIFEST: &str = include_str!("../../../manifests/payments.yaml");
const ACCOUNTS: u64 = 40;
const FUNDING: i64 = 1_000_000;
const PAYMENTS: u64 = 3_000;
const CALLERS: u64 = 4;
const KILLS: u64 = 10;

static TURN: Mutex<()> = Mutex::new(());

/// Each test wants the machine for itself.
fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_accounts(rest: &Rest) -> anyhow::Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for number in 0..ACCOUNTS {
        let account = load::account(number)?;
        rest.open(account.as_str(), FUNDING)?;
        ids.insert(format!("open:{}", account.as_str()));
    }
    Ok(ids)
}

fn expected(ids: &BTreeSet<String>) -> Expected {
    let funded = i128::from(FUNDING) * i128::from(ACCOUNTS);
    Expected::new(&[("USD", funded)], ids.iter().cloned())
}

fn wait_for_outcome(rest: &Rest, id: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let answer = rest.get_patiently(&format!("/v1/payments/{id}"))?;
        match answer.text("status") {
            "confirmed" | "rejected" | "reversed" => return Ok(()),
            _ => ensure!(Instant::now() < deadline, "{id}: {answer:?}"),
        }
    }
}

/// Posts every payment of one caller until it is acknowledged.
fn call(base: &str, caller: u64, done: &AtomicU64) -> anyhow::Result<Vec<String>> {
    let rest = Rest::new(base)?;
    let mut acknowledged = Vec::new();
    for number in (0..PAYMENTS).filter(|number| number % CALLERS == caller) {
        let body = as_json(&load::payment("local", number, ACCOUNTS)?)?;
        let answer = rest.post_patiently("/v1/payments", &body, None)?;
        ensure!(answer.status == 202, "{answer:?}");
        acknowledged.push(answer.text("id").to_owned());
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(acknowledged)
}

#[test]
fn a_process_killed_ten_times_has_every_acknowledged_payment_once() -> anyhow::Result<()> {
    let _turn = turn();
    let mut local = Local::create("kills", binary()?, MANIFEST)?;
    local.start()?;
    let mut ids = open_accounts(&local.rest)?;
    let (base, done) = (format!("http://{}", local.address), AtomicU64::new(0));
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let (base, done) = (&base, &done);
        let callers: Vec<_> =
            (0..CALLERS).map(|caller| scope.spawn(move || call(base, caller, done))).collect();
        for kill in 0..KILLS {
            // Somewhere within its share of the payments.
            let target = (kill * PAYMENTS + spread(kill) % PAYMENTS) / (KILLS + 1);
            while done.load(Ordering::Relaxed) < target && !callers.iter().all(ScopedJoinHandle::is_finished)
            {
                std::thread::yield_now();
            }
            local.kill();
            local.start()?;
        }
        for caller in callers {
            ids.extend(caller.join().ok().context("a caller has panicked")??);
        }
        Ok(())
    })?;
    for id in &ids {
        wait_for_outcome(&local.rest, id)?;
    }
    local.stop()?;
    let report = local.audit(&expected(&ids))?;
    assert!(report.violations.is_empty(), "{:?}", report.violations);
    assert!(report.letters.is_empty(), "{:?}", report.letters);
    assert_eq!(report.outcomes.len(), usize::try_from(PAYMENTS + ACCOUNTS)?);
    // What the log says is what REST says, after one more start.
    local.start()?;
    assert_eq!(local.rest.balances(report.balances.keys())?, report.balances);
    Ok(())
}

#[test]
fn the_file_pauses_and_resumes_and_what_comes_meanwhile_is_kept_over_a_restart() -> anyhow::Result<()> {
    let _turn = turn();
    let mut local = Local::create("pause", binary()?, MANIFEST)?;
    local.start()?;
    local.rest.open("alice", 1_000)?;
    local.rest.open("bob", 0)?;
    // Rejected, and counted all the same: two of them share a partition, and their sum is beyond 64 bits.
    for number in 0..9 {
        let body = payment(&format!("big-{number}"), "nobody", "bob", i64::MAX);
        let answer = local.rest.post("/v1/payments", &body, Some(30))?;
        assert_eq!(answer.text("status"), "rejected", "{answer:?}");
    }
    local.desire("Paused")?;
    local.wait_for_phase("Paused", |phase| phase == "Paused")?;
    let answer = local.rest.post("/v1/payments", &payment("p-1", "alice", "bob", 250), None)?;
    assert_eq!((answer.status, answer.text("status")), (202, "accepted"), "{answer:?}");
    assert!(answer.text("note").contains("Paused"), "{answer:?}");
    local.kill();
    local.start()?;
    local.wait_for_phase("Paused", |phase| phase == "Paused")?;
    let balance = |local: &Local| local.rest.balances([&"bob".to_owned()]);
    assert_eq!(balance(&local)?.get("bob"), Some(&0), "nothing moves while paused");
    assert_eq!(local.rest.get("/v1/payments/p-1")?.text("status"), "accepted", "its sender may ask");
    local.desire("Running")?;
    local.wait_for_phase("Running", |phase| phase == "Running")?;
    wait_for_outcome(&local.rest, "p-1")?;
    assert_eq!(local.rest.get_patiently("/v1/payments/p-1")?.text("status"), "confirmed");
    assert_eq!(balance(&local)?.get("bob"), Some(&250), "once");
    Ok(())
}

#[test]
fn the_rate_of_the_file_is_followed_and_a_wrong_rule_changes_nothing() -> anyhow::Result<()> {
    const PAYMENTS: u64 = 600;
    const RATE: u32 = 5;
    let _turn = turn();
    let limited = |rate: u32| format!("{MANIFEST}  limits: {{intakePerSecond: {rate}}}\n");
    let mut local = Local::create("rate", binary()?, MANIFEST)?;
    local.start()?;
    local.rest.open("alice", 1_000_000)?;
    local.rest.open("bob", 0)?;
    local.desire("Paused")?;
    local.wait_for_phase("Paused", |phase| phase == "Paused")?;
    for number in 0..PAYMENTS {
        local.rest.post("/v1/payments", &payment(&format!("p-{number}"), "alice", "bob", 1), None)?;
    }
    let before = local.confirmed_today()?;
    let began = Instant::now();
    // However slow this machine is: never more than the time allows, and the two that a bucket holds.
    let held_back_until = |count: u64| -> anyhow::Result<()> {
        loop {
            let done = local.confirmed_today()? - before;
            let elapsed = began.elapsed();
            let most = elapsed.as_secs_f64() * f64::from(RATE) + 2.0;
            ensure!(f64::from(u32::try_from(done)?) <= most, "{done} payments, and at most {most} are due");
            if done >= count {
                return Ok(());
            }
            ensure!(elapsed < Duration::from_mins(1), "{done} payments after {elapsed:?}");
        }
    };
    std::fs::write(&local.file, limited(RATE))?;
    held_back_until(10)?;
    let wrong = "  rules: [{name: typo, when: payment.amout > 5, action: Hold}]";
    std::fs::write(&local.file, format!("{}{wrong}\n", limited(100_000)))?;
    let told = || -> anyhow::Result<bool> {
        let log = std::fs::read_to_string(local.log())?;
        Ok(log.contains("spec.rules[0].when") && log.contains("amout"))
    };
    while !told()? {
        ensure!(began.elapsed() < Duration::from_mins(1), "nobody tells of the wrong rule");
    }
    held_back_until(20)?;
    // With the old rate this would take longer than the test waits.
    std::fs::write(&local.file, limited(100_000))?;
    for number in 0..PAYMENTS {
        wait_for_outcome(&local.rest, &format!("p-{number}"))?;
    }
    assert_eq!(local.confirmed_today()? - before, PAYMENTS);
    Ok(())
}

#[test]
fn an_account_is_frozen_and_closed_and_payments_know_it() -> anyhow::Result<()> {
    let _turn = turn();
    let mut local = Local::create("status", binary()?, MANIFEST)?;
    local.start()?;
    for (account, funding) in [("alice", 1_000), ("bob", 0)] {
        local.rest.open(account, funding)?;
    }
    let change = |local: &Local, account: &str, to: &str, id: &str| -> anyhow::Result<(String, String)> {
        let path = format!("/v1/accounts/{account}/{to}");
        let answer = local.rest.post(&path, &serde_json::json!({"id": id}), Some(30))?;
        Ok((answer.text("status").to_owned(), answer.text("reason").to_owned()))
    };
    let pay = |local: &Local, id: &str, from: &str, to: &str| -> anyhow::Result<(String, String)> {
        let answer = local.rest.post("/v1/payments", &payment(id, from, to, 10), Some(30))?;
        Ok((answer.text("status").to_owned(), answer.text("reason").to_owned()))
    };
    let told = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    assert_eq!(change(&local, "nobody", "freeze", "c-0")?, told("rejected", "unknown_account"));
    assert_eq!(change(&local, "bob", "unfreeze", "c-1")?, told("rejected", "account_not_frozen"));
    assert_eq!(change(&local, "bob", "freeze", "c-2")?, told("confirmed", ""));
    assert_eq!(change(&local, "bob", "freeze", "c-2")?, told("confirmed", ""), "the same command once more");
    assert_eq!(change(&local, "bob", "freeze", "c-3")?, told("rejected", "account_frozen"));
    assert_eq!(pay(&local, "p-1", "bob", "alice")?, told("rejected", "account_frozen"));
    assert_eq!(pay(&local, "p-2", "alice", "bob")?, told("reversed", "account_frozen"));
    assert_eq!(change(&local, "bob", "close", "c-4")?, told("rejected", "account_frozen"));
    local.kill();
    local.start()?;
    assert_eq!(local.rest.get("/v1/accounts/bob")?.text("status"), "frozen", "over a restart");
    assert_eq!(change(&local, "bob", "unfreeze", "c-5")?, told("confirmed", ""));
    assert_eq!(pay(&local, "p-3", "alice", "bob")?, told("confirmed", ""));
    assert_eq!(change(&local, "bob", "close", "c-6")?, told("rejected", "balance_not_zero"));
    assert_eq!(pay(&local, "p-4", "bob", "alice")?, told("confirmed", ""));
    assert_eq!(change(&local, "bob", "close", "c-7")?, told("confirmed", ""));
    assert_eq!(pay(&local, "p-5", "alice", "bob")?, told("reversed", "account_closed"));
    assert_eq!(change(&local, "bob", "unfreeze", "c-8")?, told("rejected", "account_closed"));
    local.stop()?;
    let ids = ["c-0", "c-7", "p-1", "p-2", "p-3", "p-4", "p-5"].map(str::to_owned);
    let report = local.audit(&Expected::new(&[("USD", 1_000)], ids))?;
    assert!(report.violations.is_empty(), "{:?}", report.violations);
    assert_eq!(report.balances, [("alice".to_owned(), 1_000), ("bob".to_owned(), 0)].into());
    Ok(())
}

#[test]
fn what_cannot_work_is_refused_with_what_would() -> anyhow::Result<()> {
    let _turn = turn();
    let mut local = Local::create("refused", binary()?, MANIFEST)?;
    local.start()?;
    let refused = |local: &Local| -> anyhow::Result<String> {
        let output = local.command().args(["--listen", "127.0.0.1:0"]).output()?;
        ensure!(!output.status.success(), "it started");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let said = refused(&local)?;
    assert!(said.contains("--data-dir") && said.contains("process"), "{said}");
    local.stop()?;
    for (wrong, field) in [
        (MANIFEST.replace("currency: USD", "idempotencyWindow: soon"), "spec.accounts.idempotencyWindow"),
        (MANIFEST.replace("desiredPhase: Running", "desiredPhase: Walking"), "desiredPhase"),
        (
            MANIFEST.replace("  accounts:", "  topics: {incoming: {partitions: 4}}\n  accounts:"),
            "payment.incoming",
        ),
    ] {
        std::fs::write(&local.file, wrong)?;
        let said = refused(&local)?;
        assert!(said.contains(field), "{field}: {said}");
    }
    Ok(())
}
