//! The `CustomResourceDefinition` that is committed is the one of the types, and its rules say what they should.

use std::path::Path;

use crate::{HOLDER_PATTERN, PaymentPipeline, PipelineOperation, generated};
use kube::CustomResourceExt;
use kube::core::cel::{validate_cel, validate_cel_update};
use serde_json::{Value, json};

fn pipeline(name: &str, spec: Value) -> PaymentPipeline {
    let mut resource = json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline", "metadata": {"name": name},
        "spec": {"kafka": {"bootstrapServers": "kafka:9092"}},
    });
    if let (Some(target), Value::Object(extra)) = (resource["spec"].as_object_mut(), spec) {
        target.extend(extra);
    }
    serde_json::from_value(resource).expect("a resource")
}

fn prefixed(prefix: Option<&str>) -> PaymentPipeline {
    let mut kafka = json!({"bootstrapServers": "kafka:9092"});
    if let Some(prefix) = prefix {
        kafka["topicPrefix"] = prefix.into();
    }
    pipeline("payments", json!({"kafka": kafka}))
}

#[test]
fn committed_copies_are_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for one in generated().expect("YAML") {
        for copy in one.copies {
            let committed = std::fs::read_to_string(root.join(&copy)).unwrap_or_default();
            assert!(committed == one.yaml, "{copy}: run `cargo run -p kpay-crds --bin crdgen -- --write`");
        }
    }
}

#[test]
fn minimal_resource_gets_the_defaults() {
    let spec = pipeline("payments", json!({})).spec;
    assert_eq!(spec.topics.inflight.partitions, 8);
    assert_eq!(spec.kafka.replication, 1);
    assert_eq!(spec.accounts.currency, "USD");
    assert_eq!((spec.processors.inflight.replicas, spec.processors.account.replicas), (1, 2));
    assert_eq!(spec.drain.timeout, "5m");
}

#[test]
fn replicas_have_their_default_whether_something_else_of_the_processor_is_said_or_not() {
    let crd = serde_json::to_value(PaymentPipeline::crd()).expect("JSON");
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        ["processors"]["properties"];
    for (processor, replicas) in [("gateway", 1), ("inflight", 1), ("account", 2), ("confirmed", 1)] {
        let absent = serde_json::to_value(pipeline("payments", json!({})).spec.processors).expect("JSON");
        let bare = pipeline("payments", json!({"processors": {processor: {"resources": {}}}}));
        let bare = serde_json::to_value(bare.spec.processors).expect("JSON");
        // The API server fills in by the schema what a program would by the types.
        let schema = &schema[processor];
        let filled = [&schema["default"]["replicas"], &schema["properties"]["replicas"]["default"]];
        let read = [&absent[processor]["replicas"], &bare[processor]["replicas"]];
        assert_eq!([filled, read].concat(), [&json!(replicas); 4], "{processor}");
    }
}

#[test]
fn every_spec_field_is_documented() {
    for crd in [PaymentPipeline::crd(), PipelineOperation::crd()] {
        let crd = serde_json::to_value(crd).expect("JSON");
        let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let mut bare = Vec::new();
        undocumented("spec", spec, &mut bare);
        assert!(bare.is_empty(), "no doc comment: {bare:?}");
    }
}

fn undocumented(path: &str, schema: &Value, bare: &mut Vec<String>) {
    if schema["description"].as_str().unwrap_or_default().is_empty() {
        bare.push(path.to_owned());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        undocumented(&format!("{path}.{name}"), property, bare);
    }
}

#[test]
fn names_that_a_service_cannot_have_are_refused() {
    for good in ["payments", "p", "eu-1"] {
        assert!(validate_cel(&pipeline(good, json!({}))).is_ok(), "{good}");
    }
    for bad in ["1st", "a.b", "ends-", &"x".repeat(41)] {
        let refused = validate_cel(&pipeline(bad, json!({}))).expect_err(bad);
        assert!(refused.to_string().contains("metadata.name"), "{refused}");
    }
}

#[test]
fn topic_prefix_cannot_change_not_even_from_absent() {
    for (old, new) in [(None, Some("a.")), (Some("a."), None), (Some("a."), Some("b."))] {
        let refused = validate_cel_update(&prefixed(new), &prefixed(old)).expect_err("a change");
        assert!(refused.to_string().contains("kafka.topicPrefix cannot change"), "{refused}");
    }
    for same in [None, Some("a.")] {
        assert!(validate_cel_update(&prefixed(same), &prefixed(same)).is_ok());
    }
}

#[test]
fn confirmed_has_the_partitions_of_complete() {
    let uneven = json!({"topics": {"complete": {"partitions": 8}, "confirmed": {"partitions": 4}}});
    let refused = validate_cel(&pipeline("payments", uneven)).expect_err("uneven");
    assert!(refused.to_string().contains("topics.complete.partitions"), "{refused}");
}

#[test]
fn the_steps_of_a_generator_go_without_a_rate_and_without_bursts() {
    let of = |generator: Value| pipeline("payments", json!({"processors": {"generator": generator}}));
    for good in [
        json!({}),
        json!({"rate": 5}),
        json!({"rate": 5, "burst": "50:1s/9s"}),
        json!({"burst": "50:1s/9s"}),
        json!({"steps": "5:1s,9:2s"}),
    ] {
        assert!(validate_cel(&of(good.clone())).is_ok(), "{good}");
    }
    for bad in [json!({"steps": "5:1s", "rate": 5}), json!({"steps": "5:1s", "burst": "50:1s/9s"})] {
        let refused = validate_cel(&of(bad.clone())).expect_err("two shapes");
        assert!(refused.to_string().contains("processors.generator.steps"), "{bad}: {refused}");
    }
    assert_eq!(pipeline("payments", json!({})).spec.processors.generator, None);
}

#[test]
fn pauses_are_a_list_by_holder_so_that_writers_of_two_do_not_collide() {
    let crd = serde_json::to_value(PaymentPipeline::crd()).expect("JSON");
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let pauses = &schema["spec"]["properties"]["pauses"];
    for list in [pauses, &schema["status"]["properties"]["holders"]] {
        assert_eq!(list["x-kubernetes-list-type"], "map");
        assert_eq!(list["x-kubernetes-list-map-keys"], json!(["holder"]));
    }
    assert_eq!((&pauses["maxItems"], &pauses["items"]["required"]), (&json!(16), &json!(["holder"])));
    let fields = &pauses["items"]["properties"];
    let bounds = [&fields["holder"]["maxLength"], &fields["reason"]["maxLength"]];
    assert_eq!((bounds, &fields["holder"]["pattern"]), ([&json!(64), &json!(256)], &json!(HOLDER_PATTERN)));
    // An API server lets only through what can be read.
    let until = &fields["until"];
    assert_eq!((&until["type"], &until["format"]), (&json!("string"), &json!("date-time")));
    assert!(until["pattern"].as_str().is_some_and(|pattern| pattern.starts_with("^[0-9]{4}-")), "{until}");
}

fn operation(spec: Value) -> PipelineOperation {
    let mut all =
        json!({"pipeline": "payments", "type": "ReplayDeadLetters", "reason": "the parser is mended"});
    if let (Some(target), Value::Object(extra)) = (all.as_object_mut(), spec) {
        target.extend(extra);
    }
    let resource = json!({"apiVersion": "kpay.dev/v1alpha1", "kind": "PipelineOperation",
        "metadata": {"name": "replay"}, "spec": all});
    serde_json::from_value(resource).expect("a resource")
}

#[test]
fn an_operation_cannot_change() {
    let (old, new) = (operation(json!({})), operation(json!({"dryRun": true})));
    assert!(validate_cel_update(&old, &old).is_ok());
    let refused = validate_cel_update(&new, &old).expect_err("a change");
    assert!(refused.to_string().contains("make another one"), "{refused}");
}

#[test]
fn what_goes_on_during_a_restart_belongs_to_a_restart_and_a_limit_to_a_limited_intake() {
    let of = |kind: &str, restart: Value| operation(json!({"type": kind, "restart": restart}));
    let limited = |limit: Value| json!({"during": "LimitedIntake", "intakePerSecond": limit});
    for good in [json!({"during": "Full"}), json!({"during": "QueriesOnly"}), limited(json!(20))] {
        assert!(validate_cel(&of("Restart", good.clone())).is_ok(), "{good}");
    }
    for (kind, restart, field) in [
        ("ReplayDeadLetters", json!({"during": "QueriesOnly"}), "restart: belongs to type Restart"),
        ("Restart", limited(Value::Null), "restart.intakePerSecond: is needed"),
        (
            "Restart",
            json!({"during": "QueriesOnly", "intakePerSecond": 20}),
            "restart.intakePerSecond: belongs to",
        ),
    ] {
        let refused = validate_cel(&of(kind, restart.clone())).expect_err("it makes no sense");
        assert!(refused.to_string().contains(field), "{restart}: {refused}");
    }
}

/// The chart's admission policy names the fields that a gateway may not change.
#[test]
fn a_gateway_may_change_no_field_that_is_not_looked_at() {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/kpay/templates/admissionpolicy.yaml");
    let policy = std::fs::read_to_string(chart).expect("the policy");
    let fields = policy.split_once("!variables.byGateway || [").and_then(|(_, rest)| rest.split_once(']'));
    let fields = fields.expect("a list of fields").0;
    let crd = serde_json::to_value(PaymentPipeline::crd()).expect("JSON");
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let open: Vec<&String> = spec
        .as_object()
        .expect("fields")
        .keys()
        .filter(|field| !fields.contains(&format!("'{field}'")))
        .collect();
    assert_eq!(open, ["desiredPhase", "pauses"]);
}
