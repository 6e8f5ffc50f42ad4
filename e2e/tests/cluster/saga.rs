//! A payment whose payee turns out closed or unknown after the debit comes back once, wherever in between all ends.

use anyhow::{Context, bail, ensure};
use kpay::names::TopicName;
use kpay_domain::{Command, Outcome, intake};
use kpay_e2e::auditor::record::Ending;
use kpay_e2e::rest::payment;
use serde_json::json;

use crate::pods::{ACCOUNT_PODS, PARTITIONS, PODS, Stopped, account_in, few_partitions, kill, owners};
use crate::world::{World, turn};

const FUNDING: i64 = 1_000;

/// What the log says of a payment, in the order of the saga. Each step is committed together with what it is about, so the
/// last one is the place where the saga stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// Accepted: the debit waits for the payer's pod.
    Debit,
    /// Debited: the credit waits for the payee's pod.
    Credit,
    /// The credit was refused: the reversal waits for the payer's pod.
    Reverse,
    /// Reversed: the outcome waits for the confirmed stage.
    Complete,
    /// The outcome is published.
    Confirmed,
}

impl Step {
    const CRASHES: [&'static [Self]; 4] = [
        &[Self::Debit],
        &[Self::Debit, Self::Credit],
        &[Self::Debit, Self::Credit, Self::Reverse],
        &[Self::Debit, Self::Credit, Self::Reverse, Self::Complete],
    ];
}

fn steps(world: &World, id: &str) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    for raw in world.records(TopicName::Inflight)? {
        let command = Command::decode(&raw.value)?;
        let step = match command {
            Command::Debit { .. } => Step::Debit,
            Command::Credit { .. } => Step::Credit,
            Command::Reverse { .. } => Step::Reverse,
            Command::Account { .. } | Command::Settled { .. } => continue,
        };
        if command.id().as_str() == id {
            steps.push(step);
        }
    }
    for raw in world.records(TopicName::Complete)? {
        if Outcome::decode(&raw.value)?.id().as_str() == id {
            steps.push(Step::Complete);
        }
    }
    for raw in world.records(TopicName::Confirmed)? {
        if raw.key.as_deref() == Some(id.as_bytes()) {
            steps.push(Step::Confirmed);
        }
    }
    steps.sort_unstable();
    Ok(steps)
}

/// Two payments, to a payee that is closed and to one that was never opened.
struct Payments {
    ids: [String; 2],
    payer: String,
    payees: [String; 2],
}

impl Payments {
    fn send(&self, world: &mut World) -> anyhow::Result<()> {
        for (id, payee) in self.ids.iter().zip(&self.payees) {
            let body = payment(id, &self.payer, payee, 10).to_string();
            world.send(&intake::payment_from_json(body.as_bytes(), None)?)?;
        }
        world.appender.flush()
    }

    fn wait_for(&self, world: &World, step: Step) -> anyhow::Result<()> {
        world.cluster.until(&format!("the saga comes to {step:?}"), |_| {
            for id in &self.ids {
                let steps = steps(world, id)?;
                ensure!(steps.contains(&step), "{id}: {steps:?}");
            }
            Ok(Some(()))
        })
    }
}

/// Sends the payments and brings them to where the log ends with `last`; whoever would act next is stopped by then.
fn bring_to(
    world: &mut World,
    stopped: &mut Stopped,
    payments: &Payments,
    last: Step,
    [from_pod, to_pod]: [&'static str; 2],
) -> anyhow::Result<()> {
    match last {
        Step::Debit => stopped.stop(world, from_pod)?,
        Step::Credit | Step::Reverse => stopped.stop(world, to_pod)?,
        Step::Complete => stopped.stop(world, "payments-confirmed-0")?,
        Step::Confirmed => bail!("after it there is nothing"),
    }
    payments.send(world)?;
    if last == Step::Reverse {
        payments.wait_for(world, Step::Credit)?;
        stopped.stop(world, from_pod)?;
        stopped.go_on(to_pod)?;
    }
    payments.wait_for(world, last)
}

/// The crash point is a matter of the log and not of time. The accounts of payer and payee lie in partitions of two pods, so
/// each step is a committed record that somebody else has to read. Before a payment is sent, the process that would take the
/// step after the wanted one gets SIGSTOP; the test reads the log until the wanted step is there, stops all other processes as
/// well, and reads once more that the log has these steps and none after: nobody can take one any more. Then all get SIGKILL
/// and are started again. (All of this has to be done within the 10 s after which a group gives a silent member's partitions
/// to another; if it is not, the second reading says so.)
#[test]
fn a_saga_that_dies_at_any_step_reverses_the_payment_once() -> anyhow::Result<()> {
    let _turn = turn();
    let mut world = World::start_with("saga", 0, &json!({"topics": few_partitions()}))?;
    for partition in 0..PARTITIONS {
        world.open(&account_in("payer", partition), "USD", FUNDING)?;
        world.open(&account_in("closed", partition), "USD", 0)?;
    }
    world.finish()?;
    for partition in 0..PARTITIONS {
        let account = account_in("closed", partition);
        let body = json!({"id": format!("close-{partition}"), "account": account}).to_string();
        world.send(&intake::parse(body.as_bytes(), Some("application/json"), Some("account.close"))?)?;
    }
    world.finish()?;

    let mut all = Vec::new();
    for (number, crash) in (0..).zip(Step::CRASHES) {
        let owners = owners(&world)?;
        let [from, to] = if number % 2 == 0 { [0, 1] } else { [1, 0] };
        let pods = [ACCOUNT_PODS[from], ACCOUNT_PODS[to]];
        let [from_in, to_in] = pods.map(|pod| owners.iter().find(|(_, owner)| **owner == pod));
        let (from_in, _) = from_in.context("a pod owns nothing")?;
        let (to_in, _) = to_in.context("a pod owns nothing")?;
        let payments = Payments {
            ids: ["closed", "unknown"].map(|payee| format!("saga-{number}-{payee}")),
            payer: account_in("payer", *from_in),
            payees: ["closed", "unknown"].map(|kind| account_in(kind, *to_in)),
        };
        let last = *crash.last().context("a crash is after a step")?;
        let mut stopped = Stopped::default();
        bring_to(&mut world, &mut stopped, &payments, last, pods)?;
        for pod in PODS {
            stopped.stop(&world, pod)?;
        }
        for id in &payments.ids {
            assert_eq!(steps(&world, id)?, crash, "{id}: somebody acted who should not");
        }
        kill(&world, &PODS)?;
        world.finish()?;
        let after = [Step::Debit, Step::Credit, Step::Reverse, Step::Complete, Step::Confirmed];
        for id in &payments.ids {
            let steps = steps(&world, id)?;
            // A pod that has come back before the other has both accounts for a while, and goes on without a record of it.
            let at_once = |step: &Step| {
                [Step::Credit, Step::Reverse].contains(step) && !crash.contains(step) && !steps.contains(step)
            };
            let expected = after.into_iter().filter(|step| !at_once(step));
            assert_eq!(steps, expected.collect::<Vec<_>>(), "{id}");
        }
        all.push(payments);
    }

    owners(&world)?;
    let report = world.audit_with_rest()?;
    for payments in &all {
        for (id, reason) in payments.ids.iter().zip(["account_closed", "unknown_account"]) {
            let outcome = &report.outcomes[id];
            assert_eq!((outcome.ending, outcome.reason.as_str()), (Ending::Reversed, reason), "{id}");
        }
    }
    for partition in 0..PARTITIONS {
        assert_eq!(report.balances[&account_in("payer", partition)], FUNDING);
        assert_eq!(report.balances[&account_in("closed", partition)], 0);
    }
    assert!(report.letters.is_empty(), "{:?}", report.letters);
    Ok(())
}
