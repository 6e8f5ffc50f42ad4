//! Dead letters by REST: a replay that fails again, and one that two gateways want at the same time.

use anyhow::{Context, bail, ensure};
use kpay::names::{StageName, TopicName};
use kpay_domain::{Command, Intake};
use kpay_e2e::load::{Appender, account};
use kpay_e2e::rest::{Rest, payment};
use kpay_operator::broker::{Brokers, Kafka};
use serde_json::json;

use crate::world::{FUNDING, WITHIN, World, broker, turn};

#[test]
fn a_dead_letter_is_replayed_once_by_whichever_gateway_and_keeps_its_history() -> anyhow::Result<()> {
    const STEPS: usize = 20;
    let broker = broker()?;
    let _turn = turn();
    let mut world = World::start(&broker, "letters.", 2)?;
    let rest = world.rest()?;
    world.appender.append_raw(Some("k"), None, &[("content-type", "application/json")], b"{no json")?;
    world.appender.flush()?;
    let letters = rest.dead_letters(1)?;
    let id = letters[0]["id"].as_str().context("an id")?.to_owned();
    assert_eq!(rest.replay(&id)?, "replayed");
    assert_eq!(rest.replay(&id)?, "already_replayed");
    let letters = rest.dead_letters(2)?;
    let again = letters[0]["id"].as_str().context("an id")?;
    let shown = rest.get(&format!("/v1/dead-letters/{again}"))?.body;
    assert_eq!((&shown["replays"], &shown["history"][0]["letter"]), (&json!(1), &json!(id)), "{shown}");
    assert_eq!((&shown["value"]["text"], &shown["code"]), (&json!("{no json"), &json!("json_invalid")));

    // Steps that an older release could not read: each moves money whenever it comes.
    let (alice, bob) = (account(0)?, account(1)?);
    let dlq = world.flow.names.topic(TopicName::Dlq);
    let mut appender = Appender::open(&broker.connection("letters"), dlq, 1, 1)?;
    let source = world.flow.names.topic(TopicName::Inflight);
    let headers = [
        ("kpay-dlq-code", "enum_unknown"),
        ("kpay-dlq-stage", "account"),
        ("kpay-dlq-topic", source.as_str()),
    ];
    for number in 0..STEPS {
        let body = payment(&format!("step-{number}"), alice.as_str(), bob.as_str(), 1).to_string();
        let intake = kpay_domain::intake::payment_from_json(body.as_bytes(), None)?;
        let Intake::Payment(payment) = intake else { bail!("{intake:?} is no payment") };
        let mut step = Vec::new();
        Command::Debit { payment, accepted_at_ms: 1 }.encode(&mut step);
        appender.append_raw(Some(alice.as_str()), Some(0), &headers, &step)?;
    }
    appender.flush()?;
    let letters = rest.dead_letters(STEPS + 2)?;
    let steps: Vec<&str> = letters
        .iter()
        .filter(|letter| letter["stage"] == "account")
        .filter_map(|letter| letter["id"].as_str())
        .collect();
    assert_eq!(steps.len(), STEPS);
    let other = Rest::new(&world.flow.add_gateway()?)?;
    let mut first = Vec::new();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        // The two get in each other's way, and ask again.
        let of = |rest| {
            let steps = &steps;
            scope.spawn(move || {
                steps.iter().map(|id| Rest::replay(rest, id)).collect::<anyhow::Result<Vec<_>>>()
            })
        };
        for thread in [of(&rest), of(&other)] {
            first.extend(thread.join().ok().context("a thread has panicked")??);
        }
        Ok(())
    })?;
    ensure!(first.len() == 2 * STEPS, "{first:?}");
    for id in &steps {
        assert_eq!(rest.replay(id)?, "already_replayed");
    }
    world.ids.extend((0..STEPS).map(|number| format!("step-{number}")));
    world.finish()?;
    world.settle()?;
    let moved = i64::try_from(STEPS)?;
    let balances = rest.balances([&alice.as_str().to_owned(), &bob.as_str().to_owned()])?;
    let expected = [(alice.as_str().to_owned(), FUNDING - moved), (bob.as_str().to_owned(), FUNDING + moved)];
    assert_eq!(balances, expected.into());
    Ok(())
}

#[test]
fn new_partitions_of_the_dead_letters_are_found_by_a_gateway_that_runs() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let mut world = World::start(&broker, "growth.", 2)?;
    let rest = world.rest()?;
    let garbage = |world: &mut World, key: &str| -> anyhow::Result<()> {
        world.appender.append_raw(Some(key), None, &[("content-type", "application/json")], b"{no json")?;
        world.appender.flush()
    };
    garbage(&mut world, "before")?;
    let old = rest.dead_letters(1)?[0]["id"].as_str().context("an id")?.to_owned();
    assert_eq!(rest.replay(&old)?, "replayed");
    rest.dead_letters(2)?;

    let dlq = world.flow.names.topic(TopicName::Dlq);
    let operator = Kafka.open(&broker.bootstrap)?;
    operator.create_partitions(&dlq, 3)?;
    // Again is an error of one topic, as any growth to what there is.
    let again = operator.create_partitions(&dlq, 3).err().context("a topic was grown to what it has")?;
    ensure!(again.topic().is_some(), "{again}");
    let admin = broker.admin()?;
    let deadline = std::time::Instant::now() + WITHIN;
    while admin.partition_count(&dlq)? < 3 {
        ensure!(std::time::Instant::now() < deadline, "no more partitions");
    }
    // Stages that run go on with the partitions that they know, and so does what was replayed.
    garbage(&mut world, "after")?;
    assert_eq!(rest.replay(&old)?, "already_replayed");
    let incoming = world.flow.names.topic(TopicName::Incoming);
    let headers = [
        ("kpay-dlq-code", "json_invalid"),
        ("kpay-dlq-stage", "inflight"),
        ("kpay-dlq-topic", incoming.as_str()),
        ("content-type", "application/json"),
    ];
    let mut appender = Appender::open(&broker.connection("growth"), dlq, 3, 1)?;
    appender.append_raw(Some("new"), Some(2), &headers, b"{no json")?;
    appender.flush()?;
    let letters = rest.dead_letters(4)?;
    let new = letters.iter().filter_map(|letter| letter["id"].as_str()).find(|id| id.starts_with("2-"));
    let new = new.context("the letter of a new partition")?.to_owned();
    let other = Rest::new(&world.flow.add_gateway()?)?;
    assert_eq!(rest.replay(&new)?, "replayed");
    assert_eq!(other.replay(&new)?, "already_replayed");
    // A stage that starts uses all of them.
    for number in world.pods_of(StageName::Inflight) {
        world.crash(number)?;
    }
    world.flow.wait_ready()?;
    for number in 0..12 {
        garbage(&mut world, &format!("later-{number}"))?;
    }
    let letters = rest.dead_letters(4 + 1 + 12)?;
    let in_new = |letter: &&serde_json::Value| {
        letter["id"].as_str().is_some_and(|id| id.starts_with("1-") || id.starts_with("2-"))
    };
    ensure!(letters.iter().filter(in_new).count() > 1, "{letters:?}");
    Ok(())
}
