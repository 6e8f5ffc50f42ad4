//! A namespace and Kafka, before there is a pipeline.

use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::core::v1::Namespace;
use kpay::names::{Names, TopicName};
use kpay_crds::{PaymentPipeline, PaymentPipelineStatus};
use kpay_e2e::load::Appender;
use kpay_kafka::admin::Admin;
use kpay_kafka::config::Connection;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::world::{Cluster, NAME};

pub(crate) struct Ground {
    pub(crate) cluster: Cluster,
    pub(crate) namespace: String,
    /// Of the pipeline that will be there.
    pub(crate) names: Names,
    pub(crate) admin: Admin,
    pub(crate) connection: Connection,
}

/// A pipeline with all settings at their defaults, whose topics go with it.
pub(crate) fn manifest(namespace: &str) -> Value {
    json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "kafka": {"bootstrapServers": "kafka.kpay-system.svc:9092"},
            "topics": {"deletionPolicy": "Delete"}
        }
    })
}

impl Ground {
    /// Makes the namespace `<test>-<pid>`.
    pub(crate) fn make(test: &str) -> anyhow::Result<Self> {
        let cluster = Cluster::open()?;
        let kafka =
            std::env::var("KPAY_KAFKA").context("KPAY_KAFKA is not set: cargo xtask test --tier cluster")?;
        let namespace = format!("{test}-{}", std::process::id());
        make_namespace(&cluster, &namespace)?;
        let connection = Connection { bootstrap_servers: kafka, client_id: "kpay-e2e".to_owned() };
        let names = Names { prefix: format!("{namespace}.{NAME}.") };
        let admin = Admin::new(connection.clone(), Duration::from_secs(15))?;
        Ok(Self { cluster, namespace, names, admin, connection })
    }

    /// Makes the pipeline, with fields of the spec that are not at their defaults.
    pub(crate) fn create(&self, spec: &Value) -> anyhow::Result<()> {
        let mut manifest = manifest(&self.namespace);
        merge(&mut manifest["spec"], spec);
        let pipeline: PaymentPipeline = serde_json::from_value(manifest)?;
        self.cluster.wait(self.pipelines().create(&PostParams::default(), &pipeline))?;
        Ok(())
    }

    /// Changes fields of the spec.
    pub(crate) fn patch(&self, spec: &Value) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.cluster.wait(self.pipelines().patch(NAME, &PatchParams::default(), &patch))?;
        Ok(())
    }

    pub(crate) fn status(&self) -> anyhow::Result<PaymentPipelineStatus> {
        Ok(self.cluster.wait(self.pipelines().get_status(NAME))?.status.unwrap_or_default())
    }

    /// For payment.incoming, which is there.
    pub(crate) fn appender(&self) -> anyhow::Result<Appender> {
        let incoming = self.names.topic(TopicName::Incoming);
        let partitions = self.admin.partition_count(&incoming)?;
        Appender::open(&self.connection, incoming, partitions, 1)
    }

    pub(crate) fn pipelines(&self) -> Api<PaymentPipeline> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }
}

/// Puts the fields of `more` into `into`, object by object.
pub(crate) fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (name, value) in more {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

pub(crate) fn make_namespace(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    cluster.wait(namespaces.create(&PostParams::default(), &namespace))?;
    Ok(())
}
