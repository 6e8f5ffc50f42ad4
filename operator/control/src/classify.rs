//! How a change of each spec field reaches the running pipeline. A table; a test walks the CRD's schema and
//! proves that no field is missing. Pure.

/// How a change of a field is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing restarts.
    InPlace,
    /// Pods are replaced one by one while payments flow.
    Rolling,
    /// The pipeline drains before pods are replaced.
    DrainThenRoll,
    /// Derived topics and state are rebuilt.
    WipeRequired,
    /// Refused.
    Immutable,
}

/// How a change of the spec field at this path (`kafka.replication`) is carried out; `None` for no field.
#[allow(clippy::match_same_arms)] // a table: one line a group of fields, in the order of the spec
pub fn classify(path: &str) -> Option<Change> {
    let mut parts = path.split('.');
    let (first, second, third) = (parts.next()?, parts.next(), parts.next());
    match (first, second, third) {
        ("desiredPhase" | "pauses" | "intakeWhilePaused", None, None) => Some(Change::InPlace),
        ("image", Some("repository" | "tag" | "pullPolicy" | "pullSecrets"), None) => Some(Change::Rolling),
        ("kafka", Some(field), None) => kafka(field),
        ("topics", Some("deletionPolicy" | "existing"), None) => Some(Change::InPlace),
        ("topics", Some(topic), Some(field)) => topics(topic, field),
        ("accounts", Some("currency" | "idempotencyWindow"), None) => Some(Change::Rolling),
        ("accounts", Some("overdraftFloor" | "holdExpiry"), None)
        | ("accounts", Some("bootstrap"), Some("configMap")) => Some(Change::InPlace),
        ("limits", Some(field), None) => limits(field),
        ("rules", None, None) => Some(Change::InPlace),
        ("processors", Some("gateway" | "inflight" | "account" | "confirmed"), Some(field)) => {
            processors(field)
        }
        ("autoscaling", Some(field), None) => autoscaling(field),
        ("slo", Some("latencyP99"), None) => Some(Change::InPlace),
        ("upgrade", Some(field), None) => upgrade(field),
        ("processors", Some("generator"), Some(field)) => generator(field),
        ("drain", Some("timeout" | "onTimeout"), None) => Some(Change::InPlace),
        _ => None,
    }
}

fn kafka(field: &str) -> Option<Change> {
    match field {
        "bootstrapServers" => Some(Change::Rolling),
        "topicPrefix" => Some(Change::Immutable),
        // Only the creation of a topic looks at it; moving replicas is Kafka's own business.
        "replication" => Some(Change::InPlace),
        _ => None,
    }
}

/// The processors follow them by their watch.
fn limits(field: &str) -> Option<Change> {
    match field {
        "perPayment"
        | "perAccountPerDay"
        | "paymentsPerAccountPerDay"
        | "lowestBalance"
        | "serialDebits"
        | "waitingDebitsMax"
        | "intakePerSecond"
        | "slowStart" => Some(Change::InPlace),
        _ => None,
    }
}

fn topics(topic: &str, field: &str) -> Option<Change> {
    match (topic, field) {
        ("inflight", "partitions") => Some(Change::WipeRequired),
        // Ids and outcomes are found by their partition.
        ("incoming" | "complete" | "confirmed", "partitions") => Some(Change::Immutable),
        ("dlq", "partitions")
        | ("incoming" | "inflight" | "complete" | "confirmed" | "ledger" | "dlq", "retention" | "config")
        | ("checkpoints", "config")
        // Only the first start looks at it.
        | ("incoming", "startFrom") => Some(Change::InPlace),
        _ => None,
    }
}

fn processors(field: &str) -> Option<Change> {
    match field {
        "replicas" => Some(Change::InPlace),
        "workers" | "resources" | "placement" => Some(Change::Rolling),
        _ => None,
    }
}

fn upgrade(field: &str) -> Option<Change> {
    match field {
        "strategy"
        | "maxSurge"
        | "stepTimeout"
        | "verify"
        | "inconclusiveAfter"
        | "maxRejectedIncrease"
        | "maxLatency"
        | "maxDeadLetters" => Some(Change::InPlace),
        _ => None,
    }
}

fn autoscaling(field: &str) -> Option<Change> {
    match field {
        "mode" | "maxReplicas" | "targetUtilization" | "catchUp" | "cooldown" | "scaleDownAfter" => {
            Some(Change::InPlace)
        }
        _ => None,
    }
}

/// Its pods follow the load, and their number, by their watch.
fn generator(field: &str) -> Option<Change> {
    match field {
        "replicas" | "rate" | "steps" | "burst" | "accounts" | "funding" | "currency" | "skew"
        | "amounts" | "invalid" | "duplicates" => Some(Change::InPlace),
        "resources" | "placement" => Some(Change::Rolling),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kpay_crds::PaymentPipeline;
    use kube::CustomResourceExt;
    use serde_json::Value;

    fn leaves(path: &str, schema: &Value, found: &mut Vec<String>) {
        match schema["properties"].as_object() {
            Some(properties) => {
                for (name, property) in properties {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    leaves(&path, property, found);
                }
            }
            None => found.push(path.to_owned()),
        }
    }

    #[test]
    fn every_spec_field_is_classified() {
        let crd = serde_json::to_value(PaymentPipeline::crd()).expect("JSON");
        let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let mut found = Vec::new();
        leaves("", spec, &mut found);
        assert!(found.len() > 30, "{found:?}");
        let missing: Vec<_> = found.iter().filter(|path| classify(path).is_none()).collect();
        assert!(missing.is_empty(), "not classified: {missing:?}");
    }

    #[test]
    fn a_load_changes_without_a_restart() {
        for field in ["rate", "steps", "burst", "accounts", "skew", "amounts", "invalid", "duplicates"] {
            assert_eq!(classify(&format!("processors.generator.{field}")), Some(Change::InPlace), "{field}");
        }
        assert_eq!(classify("processors.generator.resources"), Some(Change::Rolling));
    }

    #[test]
    fn what_is_no_field_has_no_class() {
        for path in [
            "",
            "rules.name",
            "limits.perYear",
            "kafka.tls",
            "topics.ledger.partitions",
            "processors.generator.workers",
            "processors.generator.perYear",
        ] {
            assert_eq!(classify(path), None, "{path}");
        }
    }
}
