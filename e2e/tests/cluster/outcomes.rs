//! Every outcome and every code that can come from outside, once by REST and once by a record of payment.incoming.

use std::collections::BTreeSet;

use anyhow::{Context, bail, ensure};
use kpay_domain::{Reason, RuleName};
use kpay_e2e::rest::{Answer, payment};
use serde_json::{Value, json};

use crate::pods::{ACCOUNT_PODS, Stopped, account_in, few_partitions, owners};
use crate::world::{World, not_around_midnight, turn};

mod cases;
mod letters;

use cases::{Case, cases};

const JSON: (&str, &str) = ("content-type", "application/json");

/// How a request comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Rest,
    Topic,
}

impl Way {
    /// Before the names of the accounts and the ids, so that the two ways have nothing in common.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Topic => "topic",
        }
    }

    /// Codes that do not come this way, and why.
    const fn never(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Rest => &[("hold_not_expired", "no request expires a hold; a pod does, by the topic")],
            Self::Topic => &[],
        }
    }
}

/// Codes that the gateway tells at once, with 422, and that leave nothing in the topic.
const AT_ONCE: [&str; 3] = ["amount_not_positive", "currency_unknown", "same_account"];

/// The id, the path and the body of a case for REST: what the path says does not stand in the body.
fn request(case: &Case) -> anyhow::Result<(String, Value)> {
    let text = |field: &str| case.body.get(field).and_then(Value::as_str).unwrap_or_default();
    let mut body = case.body.clone();
    let fields = body.as_object_mut().context("a body is an object")?;
    let path = match case.kind {
        "payment" => {
            if let Some(refund) = fields.remove("refund") {
                fields.remove("from");
                fields.remove("to");
                format!("/v1/payments/{}/refund", refund["of"].as_str().context("a refund is of a payment")?)
            } else {
                "/v1/payments".to_owned()
            }
        }
        "account.open" => "/v1/accounts".to_owned(),
        kind => match kind.split_once('.') {
            Some(("account", verb)) => format!("/v1/accounts/{}/{verb}", text("account")),
            Some(("payment", verb)) => {
                fields.remove("account");
                fields.remove("payment");
                format!("/v1/payments/{}/{verb}", text("payment"))
            }
            _ => bail!("{kind} is no kind"),
        },
    };
    Ok((path, body))
}

/// Sends a case.
fn send(world: &mut World, way: Way, case: &Case, wait_s: Option<u32>) -> anyhow::Result<Option<Answer>> {
    let id = case.id()?;
    match way {
        Way::Rest => {
            let (path, body) = request(case)?;
            let answer = world.rest.post_patiently(&path, &body, wait_s)?;
            if answer.status < 400 {
                world.ids.insert(id);
            }
            Ok(Some(answer))
        }
        Way::Topic => {
            let headers = [JSON, ("kpay-kind", case.kind)];
            world.appender.append_raw(Some(&id), None, &headers, case.body.to_string().as_bytes())?;
            world.ids.insert(id);
            world.appender.flush()?;
            Ok(None)
        }
    }
}

/// What `GET /v1/payments/{id}` says, once it is no longer on its way, or not any more what it was.
fn outcome(world: &World, id: &str, unless: &str) -> anyhow::Result<Answer> {
    world.cluster.until(&format!("{id} has its outcome"), |_| {
        let answer = world.rest.get(&format!("/v1/payments/{id}"))?;
        let status = answer.text("status");
        let on_its_way = answer.status != 200 || ["accepted", "in_flight", unless].contains(&status);
        ensure!(!on_its_way, "{answer:?}");
        Ok(Some(answer))
    })
}

/// The status, the code, and the limit or the rule that the code speaks of.
fn ended(answer: &Answer) -> [&str; 3] {
    let limit = answer.text("limit");
    let rule = if answer.text("reason") == "rule_refused" { answer.text("rule") } else { "" };
    [answer.text("status"), answer.text("reason"), if limit.is_empty() { rule } else { limit }]
}

/// Runs a case and checks how it ends.
fn run(world: &mut World, way: Way, case: &Case) -> anyhow::Result<()> {
    let answer = send(world, way, case, Some(30))?;
    if let Some(answer) = answer {
        if AT_ONCE.contains(&case.ends[1]) {
            assert_eq!((answer.status, answer.text("code")), (422, case.ends[1]), "{case:?}: {answer:?}");
            return Ok(());
        }
        assert_eq!((answer.status, ended(&answer)), (200, case.ends), "{case:?}: {answer:?}");
    }
    let found = outcome(world, &case.id()?, "")?;
    assert_eq!(ended(&found), case.ends, "{case:?}: {found:?}");
    world.funded += case.funds();
    Ok(())
}

/// One debit in flight and one that waits are as many as may: the third is refused. The first stays in flight because the
/// payee's pod is stopped.
fn one_debit_too_many(world: &mut World, way: Way) -> anyhow::Result<()> {
    let prefix = way.prefix();
    let owners = owners(world)?;
    let of_pod = |pod: &str| owners.iter().find(|(_, owner)| **owner == pod).map(|(partition, _)| *partition);
    let [from_in, to_in] = ACCOUNT_PODS.map(of_pod);
    let from = account_in(&format!("{prefix}-payer"), from_in.context("a pod owns nothing")?);
    let to = account_in(&format!("{prefix}-payee"), to_in.context("a pod owns nothing")?);
    world.open(&from, "USD", 100)?;
    world.open(&to, "USD", 0)?;
    world.finish()?;
    let mut stopped = Stopped::default();
    stopped.stop(world, ACCOUNT_PODS[1])?;
    let ids = [1, 2, 3].map(|number| format!("{prefix}-serial-{number}"));
    for id in &ids {
        let case = Case { kind: "payment", body: payment(id, &from, &to, 10), ends: ["confirmed", "", ""] };
        send(world, way, &case, None)?;
    }
    let refused = |world: &World| -> anyhow::Result<usize> {
        let mut refused = 0;
        for id in &ids {
            let answer = world.rest.get(&format!("/v1/payments/{id}"))?;
            refused += usize::from(ended(&answer) == ["rejected", "debits_waiting_full", ""]);
        }
        Ok(refused)
    };
    world.cluster.until("one is refused", |_| Ok((refused(world)? > 0).then_some(())))?;
    stopped.go_on(ACCOUNT_PODS[1])?;
    let mut confirmed = 0;
    for id in &ids {
        confirmed += usize::from(outcome(world, id, "")?.text("status") == "confirmed");
    }
    assert_eq!((refused(world)?, confirmed), (1, 2), "by {way:?}");
    Ok(())
}

/// What the reasons of a table are: every code of this release with its limit, and `rule_refused` with a rule.
fn every_reason() -> anyhow::Result<Vec<Reason>> {
    let mut all = Reason::ALL.to_vec();
    all.push(Reason::RuleRefused(RuleName::new("refused")?));
    Ok(all)
}

/// Fails for a code that neither has come nor is known not to come this way, and for one that is said not to and does.
fn complete(way: Way, came: &BTreeSet<[String; 2]>) -> anyhow::Result<()> {
    for reason in every_reason()? {
        let key = [reason.code().to_owned(), reason.detail().unwrap_or_default().to_owned()];
        let never = way.never().iter().find(|(code, _)| *code == reason.code());
        match (came.contains(&key), never) {
            (true, None) | (false, Some(_)) => {}
            (true, Some((code, why))) => bail!("{code} came by {way:?}, although {why}"),
            (false, None) => bail!("{key:?} did not come by {way:?}: add a case, or say why it cannot"),
        }
    }
    Ok(())
}

#[test]
fn every_outcome_and_code_comes_by_rest_and_by_topic() -> anyhow::Result<()> {
    let _turn = turn();
    not_around_midnight();
    let is = |what: &str| format!("has(payment.attributes.rule) && payment.attributes.rule == \"{what}\"");
    let spec = json!({
        "topics": few_partitions(),
        // Long enough for what is decided before, and short enough to wait for.
        "accounts": {"holdExpiry": "20s"},
        "limits": {"perPayment": 5000, "serialDebits": true, "waitingDebitsMax": 1},
        "rules": [
            {"name": "refused", "when": is("refuse"), "action": "Reject"},
            {"name": "held", "when": is("hold"), "action": "Hold"},
        ],
    });
    let mut world = World::start_with("outcomes", 0, &spec)?;
    for way in [Way::Rest, Way::Topic] {
        let mut came = BTreeSet::new();
        let mut statuses = BTreeSet::new();
        for case in cases(way.prefix()) {
            if way.never().iter().any(|(code, _)| *code == case.ends[1]) {
                continue;
            }
            run(&mut world, way, &case)?;
            let [status, code, detail] = case.ends.map(str::to_owned);
            came.insert([code, detail]);
            statuses.insert(status);
        }
        let prefix = way.prefix();
        assert_eq!(
            ended(&outcome(&world, &format!("{prefix}-released"), "held")?),
            ["confirmed", "", ""],
            "by {way:?}"
        );
        assert_eq!(
            ended(&outcome(&world, &format!("{prefix}-refused"), "held")?),
            ["rejected", "hold_refused", ""],
            "by {way:?}"
        );
        one_debit_too_many(&mut world, way)?;
        came.extend(
            ["hold_refused", "hold_expired", "debits_waiting_full"].map(|c| [c.to_owned(), String::new()]),
        );
        complete(way, &came)?;
        let all = ["confirmed", "held", "rejected", "reversed"];
        assert!(statuses.iter().eq(all), "by {way:?}: {statuses:?}");
    }
    let letters = letters::send(&mut world)?;
    for way in [Way::Rest, Way::Topic] {
        let expired = outcome(&world, &format!("{}-expired", way.prefix()), "held")?;
        assert_eq!(ended(&expired), ["rejected", "hold_expired", ""], "by {way:?}");
    }
    let report = world.audit_with_rest()?;
    let found: Vec<(&str, u64)> =
        report.letters.iter().map(|(code, count)| (code.as_str(), *count)).collect();
    let wanted: Vec<(&str, u64)> = letters.iter().map(|code| (*code, 1)).collect();
    assert_eq!(found, wanted);
    Ok(())
}
