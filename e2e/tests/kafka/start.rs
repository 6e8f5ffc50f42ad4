//! Where the first start begins in a payment.incoming that is older than the pipeline.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use kpay::names::{Names, StageName, TopicName};
use kpay_control::start::{StartRefusal, metadata};
use kpay_control::validate::{DefaultImage, ValidatedPipeline, validate};
use kpay_crds::PullPolicy;
use kpay_e2e::auditor::books::{Tail, records};
use kpay_e2e::broker::Broker as TestBroker;
use kpay_e2e::flow::Flow;
use kpay_e2e::load::{self, Appender};
use kpay_e2e::process::binary;
use kpay_e2e::rest::Rest;
use kpay_operator::broker::{Brokers, Kafka};
use kpay_operator::topics::begin;
use serde_json::json;

use crate::world::{FUNDING, PARTITIONS, WITHIN, broker, turn};

const ACCOUNTS: u64 = 20;

/// What the operator would have of the resource.
fn pipeline(broker: &TestBroker, prefix: &str, start: &str) -> anyhow::Result<ValidatedPipeline> {
    let partitions = json!({"partitions": PARTITIONS});
    let resource = serde_json::from_value(json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
        "metadata": {"name": "payments", "namespace": "default"},
        "spec": {
            "kafka": {"bootstrapServers": broker.bootstrap, "topicPrefix": prefix},
            "topics": {
                "incoming": {"partitions": PARTITIONS, "startFrom": start},
                "inflight": partitions, "complete": partitions, "confirmed": partitions,
            },
        },
    }))?;
    let image = DefaultImage { repository: "k".into(), tag: "1".into(), pull_policy: PullPolicy::Never };
    validate(&resource, &image).map_err(|invalid| anyhow::anyhow!("{invalid:?}"))
}

/// Opens these accounts with so much, and waits until the broker has it.
fn send(
    appender: &mut Appender,
    accounts: std::ops::Range<u64>,
    funding: i64,
) -> anyhow::Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for number in accounts {
        let intake = load::open(number, funding)?;
        ids.insert(intake.id().as_str().to_owned());
        appender.append(&intake)?;
    }
    appender.flush()?;
    Ok(ids)
}

fn balances(rest: &Rest, accounts: std::ops::Range<u64>) -> anyhow::Result<BTreeSet<i64>> {
    let accounts: Vec<String> = accounts
        .map(|number| Ok(load::account(number)?.as_str().to_owned()))
        .collect::<anyhow::Result<_>>()?;
    Ok(rest.balances(&accounts)?.into_values().collect())
}

#[test]
fn what_lies_before_the_start_is_never_taken_in_and_what_comes_after_is_once() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let mut flow = Flow::create(&broker, "start.", PARTITIONS, binary()?)?;
    let connection = broker.connection("kpay-e2e");
    let (group, topic) = (flow.names.group(StageName::Inflight), flow.names.topic(TopicName::Incoming));
    let mut appender = Appender::open(&connection, topic.clone(), PARTITIONS, 1)?;
    let mut tail = Tail::open(&connection, &flow.names)?;
    let admin = broker.admin()?;
    let behind = || -> anyhow::Result<bool> {
        Ok(admin.group_progress(&group, &topic)?.values().any(|p| p.data_records_between))
    };

    send(&mut appender, 0..ACCOUNTS, FUNDING)?;
    assert!(behind()?, "records of a group that never committed are lag");
    let operator = Kafka.open(&broker.bootstrap)?;
    let latest = pipeline(&broker, "start.", "Latest")?;
    assert_eq!(begin(operator.as_ref(), &latest)?, Ok(()));
    assert!(!behind()?, "what was passed over is no lag");
    let begun = operator.committed(&group, &topic)?;
    assert_eq!(begun, operator.ends(&topic, None)?.into_iter().map(|(p, ends)| (p, ends.high)).collect());

    // The same commands with other money, before any process was there. Another operator decides nothing anew.
    let mut ids = send(&mut appender, 0..5, 2 * FUNDING)?;
    assert_eq!(begin(operator.as_ref(), &latest)?, Ok(()));
    assert_eq!(begin(operator.as_ref(), &pipeline(&broker, "start.", "Earliest")?)?, Ok(()));
    assert_eq!(operator.committed(&group, &topic)?, begun);
    flow.start_all()?;
    tail.wait_for(&ids, WITHIN)?;
    let anew = begun.keys().map(|partition| (*partition, (0, metadata(0)))).collect();
    let refused = operator.commit(&group, &topic, &anew);
    assert!(refused.is_err(), "a group with members was set back");

    // A restart knows what was taken in, and not what was passed over.
    let inflight = flow.pods.iter().position(|pod| pod.stage == Some(StageName::Inflight));
    let inflight = inflight.expect("a flow has an inflight stage");
    for (again, more, accounts) in [(0..5, 2, 5..10), (0..10, 2, 10..ACCOUNTS)] {
        flow.kill(inflight)?;
        flow.start(inflight)?;
        send(&mut appender, again, 2 * FUNDING)?;
        ids.extend(send(&mut appender, accounts, more * FUNDING)?);
        tail.wait_for(&ids, WITHIN)?;
    }
    flow.wait_ready()?;
    assert_eq!(balances(&Rest::new(&flow.gateway()?)?, 0..ACCOUNTS)?, [2 * FUNDING].into());
    assert_eq!(flow.count(StageName::Inflight)?, ACCOUNTS);
    let letters = records(&connection, &flow.names.topic(TopicName::Dlq))?;
    ensure!(letters.is_empty(), "an id from before the start was known: {letters:?}");
    Ok(())
}

#[test]
fn a_time_and_offsets_begin_with_the_records_that_they_name() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let operator = Kafka.open(&broker.bootstrap)?;
    let connection = broker.connection("kpay-e2e");
    for (prefix, start) in [
        ("start-past.", "1970-01-01T00:00:01Z".to_owned()),
        ("start-future.", "2999-01-01T00:00:00Z".to_owned()),
        ("start-offsets.", "0:1,1:2,2:0,3:1".to_owned()),
        ("start-beyond.", "0:1,1:2,2:0,3:1000".to_owned()),
    ] {
        let names = Names { prefix: prefix.to_owned() };
        let topic = names.topic(TopicName::Incoming);
        let admin = broker.admin()?;
        let config = [("message.timestamp.type".to_owned(), "LogAppendTime".to_owned())].into();
        admin.create_topic(&topic, PARTITIONS, 1, &config)?;
        let deadline = std::time::Instant::now() + WITHIN;
        while admin.partition_count(&topic).is_err() {
            ensure!(std::time::Instant::now() < deadline, "{topic} did not appear");
        }
        let mut appender = Appender::open(&connection, topic.clone(), PARTITIONS, 1)?;
        send(&mut appender, 0..ACCOUNTS, FUNDING)?;
        let said = begin(operator.as_ref(), &pipeline(&broker, prefix, &start)?)?;
        let committed = operator.committed(&names.group(StageName::Inflight), &topic)?;
        let ends = operator.ends(&topic, None)?;
        let expected: BTreeMap<i32, i64> = match prefix {
            "start-past." => ends.iter().map(|(p, ends)| (*p, ends.low)).collect(),
            "start-future." => ends.iter().map(|(p, ends)| (*p, ends.high)).collect(),
            "start-offsets." => [(0, 1), (1, 2), (2, 0), (3, 1)].into(),
            _ => BTreeMap::new(),
        };
        let end = ends.get(&3).map_or(0, |ends| ends.high);
        let refused = StartRefusal { partition: 3, offset: 1000, end };
        assert_eq!(said, if prefix == "start-beyond." { Err(refused) } else { Ok(()) }, "{prefix}");
        assert_eq!(committed, expected, "{prefix}");
        // The time of a record begins with it or with one of the same millisecond.
        let found = records(&connection, &topic)?;
        let record = found.last().expect("records were sent");
        let at = operator.ends(&topic, Some(record.timestamp_ms))?.get(&record.partition).and_then(|e| e.at);
        let first = found
            .iter()
            .filter(|r| r.partition == record.partition && r.timestamp_ms >= record.timestamp_ms)
            .map(|r| r.offset)
            .min();
        assert_eq!(at, first, "{prefix}");
    }
    Ok(())
}
