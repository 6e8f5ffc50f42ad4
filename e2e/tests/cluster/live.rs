//! Limits and rules are kept to the payment, and a change of them reaches the processors that run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kpay::names::TopicName;
use kpay_domain::Command;
use kpay_e2e::auditor::Report;
use kpay_e2e::auditor::record::{Ending, Outcome};
use kpay_e2e::load::{self, Appender};
use kpay_e2e::rest::{Answer, Rest, payment};
use serde_json::{Value, json};

use crate::world::{FUNDING, WITHIN, World, alone, not_around_midnight};

const ACCOUNTS: u64 = 20;
/// Payments of `debits_beyond_the_limit`, and how many of them the account may make in a day.
const DEBITS: u64 = 10_000;
const LIMIT: u64 = 3_000;
const BY_REST: u64 = 400;
const SENDERS: u64 = 4;
/// Of `the_intake_keeps_to_its_rate`.
const PER_SECOND: u64 = 500;
const BACKLOG: u64 = 7_000;
/// The window begins when the buckets have no start to make up for, and ends while every pod still has a backlog.
const WINDOW_MS: std::ops::Range<i64> = 1_000..11_000;

/// One pipeline for all three, because none of the changes may restart a pod of it.
#[test]
fn rules_and_limits_change_while_payments_flow_and_are_kept_to_the_payment() -> anyhow::Result<()> {
    let _turn = alone();
    not_around_midnight();
    let by_the_broker = json!({"inflight": {"config": {"message.timestamp.type": "LogAppendTime"}}});
    let spec = json!({"topics": by_the_broker, "processors": {"inflight": {"replicas": 2}}});
    let mut world = World::start_with("live", ACCOUNTS, &spec)?;
    let pods = world.incarnations()?;
    while_payments_flow(&mut world, ACCOUNTS, change_rules)?;
    world.finish()?;
    let payer = "one-payer";
    world.open(payer, "USD", FUNDING)?;
    debits_beyond_the_limit(&mut world, payer)?;
    the_intake_keeps_to_its_rate(&mut world)?;

    let report = world.audit_with_rest()?;
    assert_eq!(world.incarnations()?, pods, "a pod was restarted or replaced");
    assert!(report.letters.is_empty(), "{:?}", report.letters);
    let flow = of_run(&report, "flow-");
    assert!(
        !flow.is_empty() && flow.iter().all(|outcome| outcome.ending == Ending::Confirmed),
        "no rule is about these"
    );
    let (paid, refused): (Vec<_>, Vec<_>) =
        of_run(&report, "debit-").into_iter().partition(|outcome| outcome.ending == Ending::Confirmed);
    assert_eq!((paid.len(), refused.len()), (usize::try_from(LIMIT)?, usize::try_from(DEBITS - LIMIT)?));
    let exceeded = |outcome: &&Outcome| {
        (outcome.ending, outcome.reason.as_str()) == (Ending::Rejected, "limit_exceeded")
    };
    assert!(refused.iter().all(exceeded), "another reason: {:?}", refused.iter().find(|o| !exceeded(o)));
    assert_eq!(report.balances[payer], FUNDING - i64::try_from(LIMIT)?);
    Ok(())
}

/// The outcomes of the ids that begin so.
fn of_run<'a>(report: &'a Report, run: &str) -> Vec<&'a Outcome> {
    report.outcomes.iter().filter(|(id, _)| id.starts_with(run)).map(|(_, outcome)| outcome).collect()
}

/// Does something while payments flow between the first `accounts` accounts, at 200 a second.
pub(crate) fn while_payments_flow(
    world: &mut World,
    accounts: u64,
    work: impl FnOnce(&mut World) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut appender = world.another_appender()?;
    let stop = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| -> anyhow::Result<Vec<String>> {
        let flow = scope.spawn(|| flow(&mut appender, accounts, &stop));
        let worked = work(world);
        stop.store(true, Ordering::Relaxed);
        let sent = flow.join().ok().context("the sender has panicked")?;
        worked.and(sent)
    })?;
    world.ids.extend(sent);
    Ok(())
}

/// Pays until it is told to stop.
fn flow(appender: &mut Appender, accounts: u64, stop: &AtomicBool) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let intake = load::payment("flow", u64::try_from(ids.len())?, accounts)?;
        appender.append(&intake)?;
        ids.push(intake.id().as_str().to_owned());
        std::thread::sleep(Duration::from_millis(5));
    }
    appender.flush()?;
    Ok(ids)
}

/// Payments of one kind to one account, so that one pod judges them all, one after the other.
struct Probe<'a> {
    world: &'a mut World,
    sent: u32,
}

impl Probe<'_> {
    fn pay(&mut self) -> anyhow::Result<Answer> {
        let id = format!("probe-{}", self.sent);
        self.sent += 1;
        let mut body = payment(&id, "acct-000000", "acct-000001", 1);
        body["attributes"] = json!({"kind": "gamble"});
        let answer = self.world.rest.post_patiently("/v1/payments", &body, Some(30))?;
        ensure!(answer.status == 200, "{answer:?}");
        self.world.ids.insert(id);
        Ok(answer)
    }

    /// Changes the rules: all is judged as `before` until one is judged as `after`, and from then on all is.
    fn change(&mut self, rules: &Value, before: [&str; 3], after: [&str; 3]) -> anyhow::Result<()> {
        let judged = |answer: &Answer| -> [String; 3] {
            ["status", "reason", "rule"].map(|field| answer.text(field).to_owned())
        };
        for _ in 0..10 {
            let answer = self.pay()?;
            ensure!(judged(&answer) == before, "before the change: {answer:?}");
        }
        self.world.patch(&json!({"rules": rules}))?;
        let deadline = Instant::now() + WITHIN;
        loop {
            let answer = self.pay()?;
            if judged(&answer) == after {
                break;
            }
            ensure!(judged(&answer) == before, "neither the old nor the new rules: {answer:?}");
            ensure!(Instant::now() < deadline, "the rules do not change");
        }
        for _ in 0..10 {
            let answer = self.pay()?;
            ensure!(judged(&answer) == after, "the old rules after the new ones: {answer:?}");
        }
        Ok(())
    }
}

fn change_rules(world: &mut World) -> anyhow::Result<()> {
    let (paid, refused) = (["confirmed", "", ""], ["rejected", "rule_refused", "no-gambling"]);
    let rule = json!({
        "name": "no-gambling", "action": "Reject",
        "when": "has(payment.attributes.kind) && payment.attributes.kind == \"gamble\""
    });
    let mut probe = Probe { world, sent: 0 };
    probe.change(&json!([rule]), paid, refused)?;
    probe.change(&json!([]), refused, paid)
}

/// All at once, most to the topic and some by REST; what is too much is refused, and the audit counts it.
fn debits_beyond_the_limit(world: &mut World, payer: &str) -> anyhow::Result<()> {
    world.finish()?;
    let limits = json!({"id": "limit-one-payer", "limits": {"dailyOutflow": LIMIT}});
    let path = format!("/v1/accounts/{payer}/limits");
    let set = world.rest.post_patiently(&path, &limits, Some(30))?;
    ensure!(set.text("status") == "confirmed", "{set:?}");
    world.ids.insert("limit-one-payer".to_owned());
    let debit = |number: u64| -> anyhow::Result<(String, Value)> {
        let id = format!("debit-{number:05}");
        let to = load::account(number % ACCOUNTS)?;
        let body = payment(&id, payer, to.as_str(), 1);
        Ok((id, body))
    };
    let post = |rest: &Rest, sender: u64| -> anyhow::Result<()> {
        for number in (0..BY_REST).filter(|number| number % SENDERS == sender) {
            let answer = rest.post_patiently("/v1/payments", &debit(number)?.1, None)?;
            ensure!(answer.status == 202, "{answer:?}");
        }
        Ok(())
    };
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let World { rest, appender, ids, .. } = world;
        let (rest, post) = (&*rest, &post);
        let senders: Vec<_> = (0..SENDERS).map(|sender| scope.spawn(move || post(rest, sender))).collect();
        for number in 0..DEBITS {
            let (id, body) = debit(number)?;
            if number >= BY_REST {
                appender
                    .append(&kpay_domain::intake::payment_from_json(body.to_string().as_bytes(), None)?)?;
            }
            ids.insert(id);
        }
        for sender in senders {
            sender.join().ok().context("a sender has panicked")??;
        }
        Ok(())
    })?;
    world.finish()
}

/// What the broker's clock says of the debits in payment.inflight: so many in the window as the rate allows, within 5 %. Two
/// pods share the rate. The limit and the backlog are made while nothing is taken in, so that both are there from the first
/// record on; a pod has half of the partitions and so half of the backlog, but for a percent or two.
fn the_intake_keeps_to_its_rate(world: &mut World) -> anyhow::Result<()> {
    world.desire("Paused")?;
    world.reach("Paused")?;
    // From the first record on, and not after a slow start.
    world.patch(&json!({"limits": {"intakePerSecond": PER_SECOND, "slowStart": "0s"}}))?;
    for number in 0..BACKLOG {
        world.send(&load::payment("rate", number, ACCOUNTS)?)?;
    }
    world.appender.flush()?;
    world.desire("Running")?;
    world.finish()?;
    let stamps = accepted_at(world, "rate-")?;
    let [first, last] = [stamps.first(), stamps.last()].map(|at_ms| at_ms.copied().unwrap_or_default());
    ensure!(stamps.len() == usize::try_from(BACKLOG)?, "{} of {BACKLOG} debits", stamps.len());
    ensure!(last - first >= WINDOW_MS.end, "{BACKLOG} were accepted within {} ms", last - first);
    let within = |at_ms: &&i64| WINDOW_MS.contains(&(**at_ms - first));
    let accepted = i64::try_from(stamps.iter().filter(within).count())?;
    let expected = i64::try_from(PER_SECOND)? * (WINDOW_MS.end - WINDOW_MS.start) / 1_000;
    println!("{accepted} accepted in {WINDOW_MS:?} ms, {expected} expected");
    ensure!((accepted - expected).abs() * 20 <= expected, "{accepted} were accepted, not about {expected}");
    Ok(())
}

/// When the debits of a run came into payment.inflight, in order.
fn accepted_at(world: &World, run: &str) -> anyhow::Result<Vec<i64>> {
    let mut stamps = Vec::new();
    for raw in world.records(TopicName::Inflight)? {
        let command = Command::decode(&raw.value)?;
        if matches!(command, Command::Debit { .. }) && command.id().as_str().starts_with(run) {
            stamps.push(raw.timestamp_ms);
        }
    }
    stamps.sort_unstable();
    Ok(stamps)
}
