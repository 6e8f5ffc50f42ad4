//! Bad requests, and resources that the API server refuses.

use kpay_e2e::rest::payment;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use crate::ground::{make_namespace, manifest};
use crate::world::{Cluster, NAME, World, turn};

#[test]
fn bad_requests_have_their_own_answers_and_the_next_payment_passes() -> anyhow::Result<()> {
    let _turn = turn();
    let mut world = World::start("bad", 2)?;
    let (a, b) = ("acct-000000", "acct-000001");
    let of = |id: &str, from: &str, to: &str, amount: &str, currency: &str| {
        let amount = format!(r#"{{"value":{amount},"currency":"{currency}"}}"#);
        format!(r#"{{"id":"{id}","from":"{from}","to":"{to}","amount":{amount}}}"#).into_bytes()
    };
    let refused: Vec<(Vec<u8>, u16, &str)> = vec![
        (b"{".to_vec(), 400, "json_invalid"),
        (of("r", a, b, "0", "USD"), 422, "amount_not_positive"),
        (of("r", a, b, "-5", "USD"), 422, "amount_not_positive"),
        (of("r", a, b, "9223372036854775808", "USD"), 400, "amount_out_of_range"),
        (of("r", a, b, "1.5", "USD"), 400, "amount_not_integer"),
        (vec![b' '; 2 * 1024 * 1024], 413, "body_too_large"),
    ];
    for (body, status, code) in refused {
        let answer = world.rest.post_bytes("/v1/payments", body, None)?;
        assert_eq!((answer.status, answer.text("code")), (status, code), "{answer:?}");
    }
    let ended = [
        ("wrong-currency", of("wrong-currency", a, b, "5", "EUR"), "rejected", "currency_mismatch"),
        ("no-payer", of("no-payer", "nobody", b, "5", "USD"), "rejected", "unknown_account"),
        ("no-payee", of("no-payee", a, "nobody", "5", "USD"), "reversed", "unknown_account"),
        ("too-much", of("too-much", a, b, "9223372036854775807", "USD"), "rejected", "insufficient_funds"),
    ];
    for (id, body, status, reason) in ended {
        let answer = world.rest.post_bytes("/v1/payments", body, Some(30))?;
        assert_eq!((answer.text("status"), answer.text("reason")), (status, reason), "{answer:?}");
        world.ids.insert(id.to_owned());
    }
    let json = [("content-type", "application/json")];
    let partition = world.appender.partition_of("good");
    world.appender.append_raw(Some("bad"), Some(partition), &json, b"{")?;
    world.appender.append_raw(Some("bad"), Some(partition), &[], b"\xff")?;
    world.appender.flush()?;
    let answer = world.rest.post("/v1/payments", &payment("good", a, b, 5), Some(30))?;
    assert_eq!((answer.status, answer.text("status")), (200, "confirmed"), "{answer:?}");
    world.ids.insert("good".to_owned());
    let report = world.audit_with_rest()?;
    let letters: Vec<(&str, u64)> = report.letters.iter().map(|(code, n)| (code.as_str(), *n)).collect();
    assert_eq!(letters, [("json_invalid", 1), ("protobuf_invalid", 1)]);
    Ok(())
}

#[test]
fn a_resource_that_cannot_work_is_refused_with_the_name_of_the_field() -> anyhow::Result<()> {
    let _turn = turn();
    let cluster = Cluster::open()?;
    let namespace = format!("refused-{}", std::process::id());
    make_namespace(&cluster, &namespace)?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("kpay.dev", "v1alpha1", "PaymentPipeline"));
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), &namespace, &resource);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let create = |manifest: &Value| -> anyhow::Result<Result<(), String>> {
        let object: DynamicObject = serde_json::from_value(manifest.clone())?;
        Ok(cluster.wait(api.create(&dry_run, &object)).map(drop).map_err(|error| error.to_string()))
    };
    assert_eq!(create(&manifest(&namespace))?, Ok(()), "the manifest that the others differ from");
    let wrong: [(&str, Value, &str); 10] = [
        ("/spec/desiredPhase", json!("Stopped"), "desiredPhase"),
        ("/spec/kafka/bootstrapServers", json!("no port"), "bootstrapServers"),
        ("/spec/kafka/replication", json!(0), "replication"),
        ("/spec/topics/complete", json!({"partitions": 4}), "topics.confirmed.partitions"),
        ("/spec/topics/incoming", json!({"partitions": 0}), "partitions"),
        ("/spec/topics/incoming", json!({"retention": "for ever"}), "retention"),
        ("/spec/topics/incoming", json!({"startFrom": "yesterday"}), "startFrom"),
        ("/spec/accounts", json!({"currency": "usd"}), "currency"),
        ("/spec/processors", json!({"account": {"replicas": -1}}), "replicas"),
        ("/metadata/name", json!("a-name-that-is-longer-than-forty-characters"), "metadata.name"),
    ];
    for (path, value, field) in wrong {
        let mut manifest = manifest(&namespace);
        let (parent, name) = path.rsplit_once('/').expect("a path has a name");
        manifest.pointer_mut(parent).expect("the parent is there")[name] = value.clone();
        let said = create(&manifest)?.expect_err(&format!("{path}: {value} was accepted"));
        assert!(said.contains(field), "{path}: {value} is refused without the name of the field: {said}");
    }
    // The prefix of the topics never changes.
    let mut first = manifest(&namespace);
    first["spec"]["desiredPhase"] = json!("Paused");
    cluster.wait(api.create(&PostParams::default(), &serde_json::from_value(first)?))?;
    let patch = Patch::Merge(json!({"spec": {"kafka": {"topicPrefix": "other."}}}));
    let changed = cluster.wait(api.patch(NAME, &PatchParams::default(), &patch));
    let said = changed.expect_err("the prefix was changed").to_string();
    assert!(said.contains("topicPrefix"), "{said}");
    cluster.wait(api.delete(NAME, &kube::api::DeleteParams::default()))?;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.client.clone());
    cluster.wait(namespaces.delete(&namespace, &kube::api::DeleteParams::background()))?;
    Ok(())
}
