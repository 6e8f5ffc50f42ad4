//! What the operator asks a broker.

use std::collections::BTreeMap;
use std::time::Instant;

use kpay::names::StageName;
use kpay_e2e::load;
use kpay_kafka::admin::TopicState;
use kpay_kafka::group::owners;
use rdkafka::consumer::BaseConsumer;

use crate::world::{WITHIN, World, broker, turn};

fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn a_changed_setting_of_a_topic_leaves_the_others_alone() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let admin = broker.admin()?;
    let topic = "admin.settings";
    admin.create_topic(
        topic,
        2,
        1,
        &settings(&[("retention.ms", "3600000"), ("segment.bytes", "1048576")]),
    )?;
    // The broker learns of either only when the controller's log has come to it.
    let shows = |pairs: &[(&str, &str)]| -> anyhow::Result<()> {
        let deadline = Instant::now() + WITHIN;
        loop {
            let state = admin.topics(topic)?.remove(topic);
            if state.as_ref().is_some_and(|s| s.config == settings(pairs)) {
                assert_eq!(state.map(|s| (s.partitions, s.replication)), Some((2, 1)));
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "{state:?}, not {pairs:?}");
        }
    };
    shows(&[("retention.ms", "3600000"), ("segment.bytes", "1048576")])?;
    admin.alter_config(topic, &settings(&[("retention.ms", "7200000")]))?;
    shows(&[("retention.ms", "7200000"), ("segment.bytes", "1048576")])?;
    // Again is no error, and deleting is not either.
    admin.create_topic(topic, 2, 1, &settings(&[]))?;
    admin.delete_topic(topic)?;
    admin.delete_topic(topic)?;
    Ok(())
}

#[test]
fn topics_are_made_by_one_call_and_described_by_their_names_alone() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let admin = broker.admin()?;
    let state =
        |partitions, config| TopicState { partitions, replication: 1, config, ..TopicState::default() };
    let two: BTreeMap<String, TopicState> = [
        ("described.a".to_owned(), state(1, settings(&[]))),
        ("described.b".to_owned(), state(3, settings(&[("retention.ms", "3600000")]))),
    ]
    .into();
    admin.create_topics(&two)?;
    // One is there already, and the other begins with the name of one.
    let more = [("described.a", 5), ("described.ab", 1)];
    let more = more.map(|(name, partitions)| (name.to_owned(), state(partitions, settings(&[]))));
    admin.create_topics(&more.into())?;
    let asked = ["described.a", "described.b", "described.nothing"].map(str::to_owned);
    let deadline = Instant::now() + WITHIN;
    let describe = || -> anyhow::Result<BTreeMap<String, TopicState>> {
        let mut found = admin.describe(&asked)?;
        for state in found.values_mut() {
            anyhow::ensure!(!state.inherited.is_empty(), "it has no setting from the broker: {state:?}");
            state.inherited.clear();
        }
        Ok(found)
    };
    while admin.topics("described.")?.len() < 3 || describe()? != two {
        let (all, found) = (admin.topics("described.")?, describe()?);
        anyhow::ensure!(Instant::now() < deadline, "{all:?}, {found:?}");
    }
    assert_eq!(admin.describe(&[])?, BTreeMap::new());
    Ok(())
}

#[test]
fn the_records_that_end_a_transaction_are_no_lag() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let mut world = World::start(&broker, "lag.", 10)?;
    for number in 0..50 {
        world.send(&load::payment("lag", number, 10)?)?;
    }
    world.finish()?;
    world.settle()?;
    let admin = broker.admin()?;
    let names = world.flow.names.clone();
    for stage in [StageName::Account, StageName::Confirmed] {
        let progress = admin.group_progress(&names.group(stage), &names.topic(stage.input()))?;
        let behind =
            |p: &kpay_kafka::admin::PartitionProgress| p.committed.is_some_and(|c| c < p.last_stable);
        assert!(progress.values().any(behind), "no control record lies after the last commit: {progress:?}");
        assert!(progress.values().all(|p| !p.data_records_between), "{progress:?}");
    }
    // A payment that nobody takes on is lag.
    for number in world.pods_of(StageName::Account) {
        world.flow.stop(number)?;
    }
    world.send(&load::payment("lag", 50, 10)?)?;
    world.appender.flush()?;
    let (group, topic) = (names.group(StageName::Account), names.topic(StageName::Account.input()));
    let deadline = Instant::now() + WITHIN;
    while !admin.group_progress(&group, &topic)?.values().any(|p| p.data_records_between) {
        assert!(Instant::now() < deadline, "the command does not show as lag");
    }
    Ok(())
}

#[test]
fn members_that_do_not_come_back_leave_the_group_when_told() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let mut world = World::start(&broker, "gone.", 10)?;
    for number in 0..20 {
        world.send(&load::payment("gone", number, 10)?)?;
    }
    world.finish()?;
    world.settle()?;
    let (admin, names) = (broker.admin()?, world.flow.names.clone());
    let (group, topic) = (names.group(StageName::Account), names.topic(StageName::Account.input()));
    let offsets = admin.group_offsets(&group, &topic)?;
    assert!(offsets.committed > 0 && offsets.committed <= offsets.end, "{offsets:?}");

    let client: BaseConsumer = broker.connection("kpay-e2e").consumer("kpay-e2e", 1024).create()?;
    let owned = || owners(&client, &group, &topic, WITHIN).map(|owners| owners.len());
    let mut instances = Vec::new();
    for number in world.pods_of(StageName::Account) {
        instances.push(format!("{}-0", world.flow.pods[number].name));
        world.flow.stop(number)?;
    }
    assert_ne!(owned()?, 0, "static members stay when they stop");
    admin.remove_members(&group, &instances)?;
    assert_eq!(owned()?, 0, "nobody owns a partition any more");
    admin.remove_members(&group, &instances)?;
    Ok(())
}
