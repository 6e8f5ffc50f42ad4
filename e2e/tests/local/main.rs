//! `kpay local` as a user runs it: one process, its own log, REST. Run by `cargo xtask test --tier local`; without the
//! `kpay` binary every test fails and says what is missing.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ScopedJoinHandle;

use anyhow::{Context, ensure};
use kpay_e2e::auditor::Expected;
use kpay_e2e::load::{self, spread};
use kpay_e2e::local::{Local, binary};
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
        let path = format!("/v1/payments/{id}");
        while matches!(local.rest.get_patiently(&path)?.text("status"), "accepted" | "in_flight") {}
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
    local.desire("Running")?;
    local.wait_for_phase("Running", |phase| phase == "Running")?;
    let answer = local.rest.post("/v1/payments", &payment("p-1", "alice", "bob", 250), Some(30))?;
    assert_eq!(answer.text("status"), "confirmed", "{answer:?}");
    assert_eq!(balance(&local)?.get("bob"), Some(&250), "once");
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
