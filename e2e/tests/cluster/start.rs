//! A payment.incoming that is older than its pipeline.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use kpay::names::{StageName, TopicName};
use kpay_e2e::load;
use kpay_e2e::rest::payment;
use serde_json::json;

use crate::ground::Ground;
use crate::pods::few_partitions;
use crate::world::{FUNDING, World, turn};

const ACCOUNTS: u64 = 20;
/// Of the topic that others have made; fewer than the default.
const PARTITIONS: i32 = 2;

#[test]
fn a_pipeline_begins_in_the_middle_of_a_topic_that_others_have_made() -> anyhow::Result<()> {
    let _turn = turn();
    let ground = Ground::make("start")?;
    let start = written_by_others(&ground)?;
    let mut topics = few_partitions();
    topics["incoming"] = json!({"retention": "unlimited"});
    ground.create(&json!({"topics": topics}))?;
    told(&ground, "TopicsExist", "spec.topics.existing to Adopt")?;
    ground.patch(&json!({"topics": {"existing": "Adopt"}}))?;
    told(&ground, "PartitionsRefused", "set it to 2")?;
    let from = |start: &str| json!({"topics": {"incoming": {"partitions": PARTITIONS, "startFrom": start}}});
    ground.patch(&from("0:0,1:1000000"))?;
    told(&ground, "StartRefused", "offset 1000000 of partition 1")?;
    ground.patch(&from(&start))?;

    let mut world = World::on(ground)?;
    for number in 0..ACCOUNTS {
        world.ids.insert(load::open(number, FUNDING)?.id().as_str().to_owned());
    }
    world.finish()?;
    for number in 0..ACCOUNTS {
        world.send(&load::payment("after", number, ACCOUNTS)?)?;
    }
    let by_rest = payment("by-rest", "acct-000000", "acct-000001", 5);
    let answer = world.rest.post_patiently("/v1/payments", &by_rest, Some(30))?;
    ensure!(answer.text("status") == "confirmed", "{answer:?}");
    world.ids.insert("by-rest".to_owned());
    world.finish()?;
    for stage in StageName::ALL {
        world.cluster.until("the stages are at rest", |_| Ok(world.at_rest(stage)?.then_some(())))?;
    }

    let ids = world.records(TopicName::Confirmed)?.into_iter().filter_map(|record| record.key);
    let outcomes: Vec<String> = ids.map(String::from_utf8).collect::<Result<_, _>>()?;
    assert_eq!(outcomes.len(), world.ids.len(), "one outcome each: {outcomes:?}");
    assert_eq!(BTreeSet::from_iter(outcomes), world.ids, "of what lies before the start there is none");
    let letters = world.records(TopicName::Dlq)?;
    ensure!(letters.is_empty(), "an id from before the start was known: {letters:?}");
    let incoming = &world.admin.topics(&world.names.prefix)?[&world.names.topic(TopicName::Incoming)].config;
    let of = |setting: &str| incoming.get(setting).map(String::as_str);
    let settings = (of("message.timestamp.type"), of("retention.ms"));
    assert_eq!(settings, (Some("LogAppendTime"), Some("-1")), "the topic is the pipeline's now");
    let accounts: Vec<String> = (0..ACCOUNTS).map(|number| format!("acct-{number:06}")).collect();
    let total: i64 = world.rest.balances(&accounts)?.into_values().sum();
    assert_eq!(total, FUNDING * i64::try_from(ACCOUNTS)?, "the money of the openings after the start");
    Ok(())
}

/// Accounts and payments, and then the same accounts with other money. Where the second part begins.
fn written_by_others(ground: &Ground) -> anyhow::Result<String> {
    let topic = ground.names.topic(TopicName::Incoming);
    let forever = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
    ground.admin.create_topic(&topic, PARTITIONS, 1, &forever)?;
    ground.cluster.until("the topic is there", |_| Ok(Some(ground.admin.partition_count(&topic)?)))?;
    let mut appender = ground.appender()?;
    for number in 0..ACCOUNTS {
        appender.append(&load::open(number, 1)?)?;
        appender.append(&load::payment("before", number, ACCOUNTS)?)?;
    }
    appender.flush()?;
    let ends = ground.admin.ends(&topic, None)?;
    for number in 0..ACCOUNTS {
        appender.append(&load::open(number, FUNDING)?)?;
    }
    appender.flush()?;
    let start: Vec<String> =
        ends.iter().map(|(partition, ends)| format!("{partition}:{}", ends.high)).collect();
    Ok(start.join(","))
}

/// Waits until the Degraded condition says this.
pub(crate) fn told(ground: &Ground, reason: &str, part: &str) -> anyhow::Result<()> {
    ground.cluster.until(reason, |_| {
        let conditions = ground.status()?.conditions;
        let degraded = conditions.iter().find(|condition| condition.type_ == "Degraded");
        let degraded = degraded.context("no condition")?;
        ensure!(degraded.reason == reason && degraded.message.contains(part), "{degraded:?}");
        Ok(Some(()))
    })
}
