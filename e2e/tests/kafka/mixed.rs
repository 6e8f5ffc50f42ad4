//! Every way in at once.

use kpay_e2e::load;
use kpay_e2e::rest::as_json;
use serde_json::json;

use crate::world::{World, broker, bytes, turn};

const ACCOUNTS: u64 = 40;

#[test]
fn payments_by_every_way_in_move_the_money_once_and_rest_agrees_with_the_ledger() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let mut world = World::start(&broker, "mixed.", ACCOUNTS)?;
    let rest = world.rest()?;

    // Accounts by REST and by JSON on the topic, one of them without a command id.
    rest.open("rest-1", 500)?;
    let opening = json!({"id": "json-1", "currency": "USD", "funding": 700});
    let headers = [("content-type", "application/json"), ("kpay-kind", "account.open")];
    world.appender.append_raw(Some("open:json-1"), None, &headers, &serde_json::to_vec(&opening)?)?;
    world.funded += 1_200;
    world.ids.extend(["open:rest-1".to_owned(), "open:json-1".to_owned()]);
    world.finish()?;

    let is_json = [("content-type", "application/json")];
    for number in 0..600 {
        let intake = load::payment("mixed", number, ACCOUNTS)?;
        let id = intake.id().as_str().to_owned();
        let (protobuf, json) = (bytes(&intake), as_json(&intake)?);
        let json_bytes = serde_json::to_vec(&json)?;
        let append = &mut world.appender;
        match number % 8 {
            0 => append.append_raw(Some(&id), None, &[], &protobuf)?,
            1 => append.append_raw(Some(&id), None, &is_json, &json_bytes)?,
            2 => append.append_raw(None, None, &[], &protobuf)?,
            3 => append.append_raw(None, None, &is_json, &json_bytes)?,
            4 => append.append_raw(Some("another-key"), None, &[("trace", "7")], &protobuf)?,
            // The right key in a partition where it does not belong, as another partitioner puts it.
            5 => {
                let elsewhere = (append.partition_of(&id) + 1) % crate::world::PARTITIONS;
                append.append_raw(Some(&id), Some(elsewhere), &is_json, &json_bytes)?;
            }
            6 => {
                let answer = rest.post("/v1/payments", &json, None)?;
                assert_eq!((answer.status, answer.text("id")), (202, id.as_str()), "{answer:?}");
                let read_back = rest.get(&format!("/v1/payments/{id}"))?;
                assert_eq!(read_back.status, 200, "{read_back:?}");
            }
            _ => {
                let answer = rest.post("/v1/payments", &json, Some(30))?;
                assert_eq!((answer.status, answer.text("status")), (200, "confirmed"), "{answer:?}");
            }
        }
        world.ids.insert(id);
    }
    let report = world.audit_with_rest()?;
    assert_eq!(report.outcomes.len(), 602 + usize::try_from(ACCOUNTS)?);
    assert!(report.letters.is_empty(), "{:?}", report.letters);
    assert_eq!((report.balances["rest-1"], report.balances["json-1"]), (500, 700));
    let pipeline = rest.get("/v1/pipeline")?;
    assert_eq!(pipeline.body["inFlight"]["count"], 0, "{pipeline:?}");
    Ok(())
}
