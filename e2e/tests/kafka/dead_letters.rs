//! Dead letters by REST: a replay that fails again, and one that two gateways want at the same time.

use anyhow::{Context, bail, ensure};
use kpay::names::TopicName;
use kpay_domain::{Command, Intake};
use kpay_e2e::load::{Appender, account};
use kpay_e2e::rest::{Rest, payment};
use serde_json::json;

use crate::world::{FUNDING, World, broker, turn};

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
