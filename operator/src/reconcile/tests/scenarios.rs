//! What is done to a pipeline, in a cluster in which every write may go wrong.

use serde_json::{Value, json};

use super::world::{ACCOUNT, PIPELINE, World};

/// What somebody does to the cluster.
pub(super) type Deed = fn(&World);

/// What happens one after the other, each when all is quiet after the one before. Faults fall on what the deeds lead to,
/// or without any on the start.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) spec: fn() -> Value,
    pub(super) deeds: &'static [Deed],
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "start", spec: || json!({}), deeds: &[] },
    Scenario {
        name: "start at the end of a topic that others write",
        spec: || json!({"topics": {"incoming": {"startFrom": "Latest"}}}),
        deeds: &[],
    },
    Scenario {
        name: "a start that there is not is corrected",
        spec: || json!({"topics": {"incoming": {"partitions": 2, "startFrom": "0:0,1:5"}}}),
        deeds: &[|world| world.edit(&json!({"topics": {"incoming": {"startFrom": "Latest"}}}))],
    },
    Scenario {
        name: "pause and resume",
        spec: || json!({}),
        deeds: &[
            |world| world.edit(&json!({"desiredPhase": "Paused"})),
            |world| world.edit(&json!({"desiredPhase": "Running"})),
        ],
    },
    Scenario {
        name: "pauses",
        spec: || json!({}),
        deeds: &[
            |world| {
                world.edit(&json!({"pauses": [{"holder": "alice"}, {"holder": "bob", "reason": "books"}]}));
            },
            |world| world.edit(&json!({"pauses": [{"holder": "bob", "reason": "books"}]})),
            // Its end is past, and its entry stays.
            |world| world.edit(&json!({"pauses": [{"holder": "bob", "until": "2026-01-01T00:00:00Z"}]})),
        ],
    },
    Scenario {
        name: "a generator comes and goes",
        spec: || json!({}),
        deeds: &[
            |world| world.edit(&json!({"processors": {"generator": {"rate": 5}}})),
            |world| world.edit(&json!({"processors": {"generator": null}})),
        ],
    },
    Scenario {
        name: "accounts to begin with",
        spec: || json!({"accounts": {"bootstrap": {"configMap": {"name": "opening"}}}}),
        deeds: &[
            |world| world.has_accounts("id\nalice\n"),
            |world| world.has_accounts("id\nbob\n"),
            |world| world.edit(&json!({"accounts": {"bootstrap": null}})),
        ],
    },
    Scenario {
        name: "more and fewer pods",
        spec: || json!({}),
        deeds: &[
            |world| world.edit(&json!({"processors": {"account": {"replicas": 3}}})),
            |world| world.edit(&json!({"processors": {"account": {"replicas": 1}}})),
        ],
    },
    Scenario {
        name: "a new image",
        spec: || json!({"upgrade": {"verify": "1ms", "inconclusiveAfter": "1ms"}}),
        deeds: &[|world| world.edit(&json!({"image": {"tag": "2"}}))],
    },
    Scenario {
        name: "a restart with queries only",
        spec: || json!({"upgrade": {"verify": "1ms", "inconclusiveAfter": "1ms"}}),
        deeds: &[|world| world.asks_for_a_restart(Some("v/QueriesOnly"))],
    },
    Scenario {
        name: "a wrong spec is corrected",
        spec: || json!({}),
        deeds: &[
            |world| world.edit(&json!({"drain": {"timeout": "soon"}})),
            |world| world.edit(&json!({"drain": {"timeout": "30s"}})),
        ],
    },
    Scenario {
        name: "other settings of a topic, and drift",
        spec: || json!({}),
        deeds: &[
            |world| world.edit(&json!({"topics": {"incoming": {"retention": "48h"}}})),
            |world| {
                let mut topics = world.kafka.topics.lock();
                let ledger = topics.get_mut("default.payments.account.ledger").expect("the ledger");
                ledger.config.insert("retention.ms".into(), "1".into());
            },
        ],
    },
    Scenario {
        name: "objects are deleted and changed by hand",
        spec: || json!({}),
        deeds: &[
            |world| {
                let mut server = world.server.lock();
                let of_ours = |path: &&String| {
                    path.contains("payments") && *path != PIPELINE && !path.contains("/pods/")
                };
                let paths: Vec<String> = server.objects.keys().filter(of_ours).step_by(3).cloned().collect();
                for path in paths {
                    server.delete(&path);
                }
            },
            |world| {
                for object in world.server.lock().objects.values_mut() {
                    if object["kind"] == "Service" {
                        object["spec"]["ports"] = json!([]);
                    }
                }
            },
        ],
    },
    Scenario {
        name: "somebody else scales",
        spec: || json!({"autoscaling": {"mode": "External"}}),
        deeds: &[|world| {
            world.server.lock().objects.get_mut(ACCOUNT).expect("the stage")["spec"]["replicas"] = json!(3);
        }],
    },
    Scenario {
        name: "more partitions for the dead letters",
        spec: || json!({}),
        deeds: &[|world| world.edit(&json!({"topics": {"dlq": {"partitions": 12}}}))],
    },
    Scenario {
        name: "deleted, made anew, and told to go on with its topics",
        spec: || json!({}),
        deeds: &[World::is_made_anew, |world| world.edit(&json!({"topics": {"existing": "Adopt"}}))],
    },
    Scenario {
        name: "deleted with its topics",
        spec: || json!({"topics": {"deletionPolicy": "Delete"}}),
        deeds: &[|world| drop(world.server.lock().delete(PIPELINE))],
    },
    Scenario {
        name: "deleted, and its topics stay",
        spec: || json!({}),
        deeds: &[|world| drop(world.server.lock().delete(PIPELINE))],
    },
];
