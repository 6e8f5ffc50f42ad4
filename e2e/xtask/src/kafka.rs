//! Kafka's command-line tools against the testbed's broker.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::deploy;
use crate::instance::{Instance, KAFKA};

/// The broker, as its own pod reaches it.
const IN_POD: &str = "localhost:9092";

/// A tool's name as in `kafka-<name>.sh`, and its class in the jars.
const TOOLS: &[(&str, &str)] = &[
    ("acls", "org.apache.kafka.tools.AclCommand"),
    ("broker-api-versions", "org.apache.kafka.tools.BrokerApiVersionsCommand"),
    ("configs", "kafka.admin.ConfigCommand"),
    ("console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
    ("console-producer", "org.apache.kafka.tools.ConsoleProducer"),
    ("consumer-groups", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
    ("consumer-perf-test", "org.apache.kafka.tools.ConsumerPerformance"),
    ("delete-records", "org.apache.kafka.tools.DeleteRecordsCommand"),
    ("get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
    ("groups", "org.apache.kafka.tools.GroupsCommand"),
    ("leader-election", "org.apache.kafka.tools.LeaderElectionCommand"),
    ("log-dirs", "org.apache.kafka.tools.LogDirsCommand"),
    ("producer-perf-test", "org.apache.kafka.tools.ProducerPerformance"),
    ("topics", "org.apache.kafka.tools.TopicCommand"),
    ("transactions", "org.apache.kafka.tools.TransactionsCommand"),
];

/// Becomes the tool, inside the cluster's network.
pub(crate) fn tool(instance: &Instance, name: &str, args: &[String]) -> Result<()> {
    instance.ensure_up()?;
    if instance.engine().is_some() {
        return in_pod(instance, name, args);
    }
    let (_, class) = TOOLS.iter().find(|(known, _)| *known == name).with_context(|| {
        let known: Vec<&str> = TOOLS.iter().map(|(known, _)| *known).collect();
        format!("unknown tool {name:?}; known are: {}", known.join(", "))
    })?;
    let mut java = instance.inside("java");
    java.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]);
    java.arg(format!("-Dlog4j2.configurationFile={}", instance.testbed("kafka/log4j2.yaml").display()));
    java.arg("-cp").arg(instance.kafka_libs().join("*")).arg(class);
    java.args(["--bootstrap-server", KAFKA]).args(args);
    Err(java.exec().into())
}

/// Becomes the tool that lies in the broker's own image, on a kind cluster.
fn in_pod(instance: &Instance, name: &str, args: &[String]) -> Result<()> {
    let mut kubectl = Command::new(instance.bin("kubectl"));
    kubectl.env("KUBECONFIG", instance.kubeconfig());
    kubectl.args(["exec", "--stdin", "--namespace", deploy::NAMESPACE, "kafka-0", "--"]);
    kubectl.arg(format!("/opt/kafka/bin/kafka-{name}.sh")).args(["--bootstrap-server", IN_POD]).args(args);
    Err(kubectl.exec().into())
}
