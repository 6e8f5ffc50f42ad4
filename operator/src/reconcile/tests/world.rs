//! An API server in memory that counts the writes, a broker in memory, and an operator.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::http::{Method, Request, Response};
use kpay_control::autoscale::Offsets;
use kpay_control::drain::Progress;
use kpay_control::topics::TopicState;
use kpay_control::validate::DefaultImage;
use kpay_crds::{PaymentPipeline, Phase, PullPolicy};
use kube::Client;
use kube::client::Body;
use kube::runtime::events::{Recorder, Reporter};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::broker::{Broker, BrokerError, Brokers};
use crate::context::Context;
use crate::metrics::Metrics;
use crate::pods::PodClient;
use crate::reconcile::reconcile;

pub(super) const PIPELINE: &str = "/apis/kpay.dev/v1alpha1/namespaces/default/paymentpipelines/payments";
pub(super) const GENERATOR: &str = "/apis/apps/v1/namespaces/default/deployments/payments-generator";
pub(super) const ACCOUNT: &str = "/apis/apps/v1/namespaces/default/statefulsets/payments-account";

#[derive(Default)]
pub(super) struct Server {
    pub(super) objects: BTreeMap<String, Value>,
    pub(super) writes: Vec<String>,
    pub(super) version: u64,
}

impl Server {
    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> (u16, Value) {
        if method == Method::GET {
            return self.read(path);
        }
        self.writes.push(format!("{method} {path}"));
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let target = path.trim_end_matches("/status").to_owned();
        if path.contains("/events") {
            return (201, body);
        }
        self.version += 1;
        let version = json!(self.version.to_string());
        let live = self.objects.entry(target).or_insert_with(|| json!({}));
        if let Some(expected) = body["metadata"].get("resourceVersion")
            && live["metadata"]["resourceVersion"] != *expected
        {
            let conflict = json!({"kind": "Status", "status": "Failure", "code": 409, "reason": "Conflict",
                "message": "the object has been modified"});
            return (409, conflict);
        }
        merge(live, &body);
        live["metadata"]["resourceVersion"] = version;
        // What a real API server adds to each object.
        live["metadata"]["uid"] = json!("from-the-server");
        (200, live.clone())
    }

    fn read(&self, path: &str) -> (u16, Value) {
        if let Some(found) = self.objects.get(path) {
            return (200, found.clone());
        }
        let folder = format!("{path}/");
        let items: Vec<&Value> =
            self.objects.iter().filter(|(p, _)| p.starts_with(&folder)).map(|(_, object)| object).collect();
        (200, json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}))
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().map(|object| object.remove(key));
        } else {
            merge(&mut target[key], value);
        }
    }
}

#[derive(Default)]
pub(super) struct Topics(pub(super) Mutex<BTreeMap<String, TopicState>>, pub(super) Mutex<Groups>);

/// How far every group is, if the broker tells, and who was taken out of one.
#[derive(Default)]
pub(super) struct Groups {
    pub(super) offsets: Option<Offsets>,
    pub(super) removed: Vec<String>,
}

struct Cluster(Arc<Topics>);

impl Brokers for Cluster {
    fn open(&self, _: &str) -> Result<Arc<dyn Broker>, BrokerError> {
        Ok(Arc::clone(&self.0) as Arc<dyn Broker>)
    }
}

impl Broker for Topics {
    fn topics(&self, prefix: &str) -> Result<BTreeMap<String, TopicState>, BrokerError> {
        let found = self.0.lock();
        Ok(found.iter().filter(|(n, _)| n.starts_with(prefix)).map(|(n, s)| (n.clone(), s.clone())).collect())
    }
    fn create_topic(
        &self,
        topic: &str,
        partitions: i32,
        replication: i32,
        config: &BTreeMap<String, String>,
    ) -> Result<(), BrokerError> {
        let state = TopicState { partitions, replication, config: config.clone() };
        self.0.lock().insert(topic.to_owned(), state);
        Ok(())
    }
    fn alter_config(&self, topic: &str, set: &BTreeMap<String, String>) -> Result<(), BrokerError> {
        let mut topics = self.0.lock();
        topics.get_mut(topic).ok_or(BrokerError::Planted("no topic"))?.config.extend(set.clone());
        Ok(())
    }
    fn delete_topic(&self, topic: &str) -> Result<(), BrokerError> {
        self.0.lock().remove(topic);
        Ok(())
    }
    fn group_progress(&self, _: &str, _: &str) -> Result<BTreeMap<i32, Progress>, BrokerError> {
        Err(BrokerError::Planted("no group"))
    }
    fn group_offsets(&self, _: &str, _: &str) -> Result<Offsets, BrokerError> {
        self.1.lock().offsets.ok_or(BrokerError::Planted("no group"))
    }
    fn remove_members(&self, group: &str, instances: &[String]) -> Result<(), BrokerError> {
        self.1.lock().removed.extend(instances.iter().map(|instance| format!("{group} {instance}")));
        Ok(())
    }
}

pub(super) struct World {
    pub(super) server: Arc<Mutex<Server>>,
    pub(super) topics: Arc<Topics>,
    pub(super) context: Arc<Context>,
}

impl World {
    pub(super) fn new() -> Self {
        let server = Arc::new(Mutex::new(Server { version: 1, ..Server::default() }));
        server.lock().objects.insert(
            PIPELINE.to_owned(),
            json!({"apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
                "metadata": {"name": "payments", "namespace": "default", "uid": "u", "resourceVersion": "1",
                    "generation": 1},
                "spec": {"kafka": {"bootstrapServers": "kafka:9092"}}}),
        );
        let topics = Arc::new(Topics::default());
        let context = context(&server, &topics);
        Self { server, topics, context }
    }

    /// The operator's memory is gone; cluster and broker are as they were.
    pub(super) fn restart_operator(&mut self) {
        self.context = context(&self.server, &self.topics);
    }

    pub(super) fn pipeline(&self) -> PaymentPipeline {
        serde_json::from_value(self.server.lock().objects[PIPELINE].clone()).expect("a pipeline")
    }

    pub(super) async fn reconcile(&self) -> Vec<String> {
        self.server.lock().writes.clear();
        reconcile(Arc::new(self.pipeline()), Arc::clone(&self.context)).await.expect("a reconcile");
        self.server.lock().writes.clone()
    }

    /// As the kubelet would: every pod becomes ready.
    pub(super) fn pods_become_ready(&self) {
        for (path, object) in &mut self.server.lock().objects {
            if path.contains("/statefulsets/") || path.contains("/deployments/") {
                object["status"]["readyReplicas"] = object["spec"]["replicas"].clone();
                object["status"]["replicas"] = object["spec"]["replicas"].clone();
                object["status"]["updatedReplicas"] = object["spec"]["replicas"].clone();
            }
        }
    }

    pub(super) async fn running(&self) {
        self.reconcile().await;
        self.pods_become_ready();
        self.reconcile().await;
        assert_eq!(self.pipeline().status.and_then(|status| status.phase), Some(Phase::Running));
        self.reconcile().await;
    }
}

fn context(server: &Arc<Mutex<Server>>, topics: &Arc<Topics>) -> Arc<Context> {
    let server = Arc::clone(server);
    let service = tower::service_fn(move |request: Request<Body>| {
        let server = Arc::clone(&server);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let (code, answer) = server.lock().answer(&parts.method, parts.uri.path(), &body);
            let body = Body::from(answer.to_string().into_bytes());
            Ok::<_, kube::Error>(Response::builder().status(code).body(body).expect("a response"))
        }
    });
    let client = Client::new(service, "default");
    let reporter = Reporter { controller: "kpay-operator".into(), instance: None };
    Arc::new(Context {
        recorder: Recorder::new(client.clone(), reporter),
        brokers: Arc::new(Cluster(Arc::clone(topics))),
        pods: PodClient::new().expect("a client"),
        metrics: Metrics::default(),
        default_image: DefaultImage {
            repository: "kpay".into(),
            tag: "1".into(),
            pull_policy: PullPolicy::IfNotPresent,
        },
        memory: Mutex::new(HashMap::new()),
        client,
    })
}

impl World {
    /// Forgets when the status was last written, so that messages need not wait.
    pub(super) fn restart_quietly(&self) {
        self.context.memory.lock().clear();
    }
}
