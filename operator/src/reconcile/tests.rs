//! Reconciles against an API server in memory that counts the writes, and a broker in memory.

use std::collections::{BTreeMap, HashMap};

use axum::http::{Method, Request, Response};
use kpay_control::autoscale::Offsets;
use kpay_control::drain::Progress;
use kpay_control::topics::TopicState;
use kpay_control::validate::DefaultImage;
use kpay_crds::{DesiredPhase, PullPolicy};
use kube::Client;
use kube::client::Body;
use kube::runtime::events::{Recorder, Reporter};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::broker::{Broker, BrokerError, Brokers};
use crate::metrics::Metrics;
use crate::pods::PodClient;

const PIPELINE: &str = "/apis/kpay.dev/v1alpha1/namespaces/default/paymentpipelines/payments";
const GENERATOR: &str = "/apis/apps/v1/namespaces/default/deployments/payments-generator";
const ACCOUNT: &str = "/apis/apps/v1/namespaces/default/statefulsets/payments-account";

#[derive(Default)]
struct Server {
    objects: BTreeMap<String, Value>,
    writes: Vec<String>,
    version: u64,
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
struct Topics(Mutex<BTreeMap<String, TopicState>>, Mutex<Groups>);

/// How far every group is, if the broker tells, and who was taken out of one.
#[derive(Default)]
struct Groups {
    offsets: Option<Offsets>,
    removed: Vec<String>,
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

struct World {
    server: Arc<Mutex<Server>>,
    topics: Arc<Topics>,
    context: Arc<Context>,
}

impl World {
    fn new() -> Self {
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
    fn restart_operator(&mut self) {
        self.context = context(&self.server, &self.topics);
    }

    fn pipeline(&self) -> PaymentPipeline {
        serde_json::from_value(self.server.lock().objects[PIPELINE].clone()).expect("a pipeline")
    }

    async fn reconcile(&self) -> Vec<String> {
        self.server.lock().writes.clear();
        reconcile(Arc::new(self.pipeline()), Arc::clone(&self.context)).await.expect("a reconcile");
        self.server.lock().writes.clone()
    }

    /// As the kubelet would: every pod becomes ready.
    fn pods_become_ready(&self) {
        for (path, object) in &mut self.server.lock().objects {
            if path.contains("/statefulsets/") || path.contains("/deployments/") {
                object["status"]["readyReplicas"] = object["spec"]["replicas"].clone();
                object["status"]["replicas"] = object["spec"]["replicas"].clone();
                object["status"]["updatedReplicas"] = object["spec"]["replicas"].clone();
            }
        }
    }

    async fn running(&self) {
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

#[tokio::test]
async fn new_pipeline_gets_its_objects_topics_and_phase() {
    let world = World::new();
    let writes = world.reconcile().await;
    let applied = writes.iter().filter(|write| !write.contains("/events") && !write.contains("/status"));
    assert_eq!(applied.count(), 6 + 4 + 4 + 3 + 1, "{writes:?}");
    assert_eq!(world.topics.0.lock().len(), 7);
    let status = world.pipeline().status.expect("a status");
    assert_eq!((status.phase, status.epoch), (Some(Phase::Pending), 1));
}

#[tokio::test]
async fn unchanged_pipeline_makes_no_write() {
    let world = World::new();
    world.running().await;
    for _ in 0..3 {
        assert_eq!(world.reconcile().await, [] as [&str; 0]);
    }
}

#[tokio::test]
async fn operator_restart_makes_no_write() {
    let mut world = World::new();
    world.running().await;
    world.restart_operator();
    assert_eq!(world.reconcile().await, [] as [&str; 0]);
}

#[tokio::test]
async fn deleted_object_comes_back_and_nothing_else_is_written() {
    let world = World::new();
    world.running().await;
    let owned: Vec<String> =
        world.server.lock().objects.keys().filter(|path| *path != PIPELINE).cloned().collect();
    assert_eq!(owned.len(), 18);
    for path in owned {
        world.server.lock().objects.remove(&path);
        let writes = world.reconcile().await;
        assert!(writes.contains(&format!("PATCH {path}")), "{path}: {writes:?}");
        assert!(writes.iter().all(|w| w.ends_with(&path) || w.ends_with("payments/status")), "{writes:?}");
        world.pods_become_ready();
        world.reconcile().await;
    }
}

#[tokio::test]
async fn drifted_object_is_brought_back() {
    let world = World::new();
    world.running().await;
    world.server.lock().objects.get_mut(ACCOUNT).expect("the account stage")["spec"]["replicas"] = json!(5);
    assert!(world.reconcile().await.contains(&format!("PATCH {ACCOUNT}")));
    assert_eq!(world.server.lock().objects[ACCOUNT]["spec"]["replicas"], 2);
}

#[tokio::test]
async fn a_generator_comes_and_goes_with_its_field_and_no_phase_waits_for_it() {
    let world = World::new();
    let set = |generator: Value| {
        let mut server = world.server.lock();
        server.objects.get_mut(PIPELINE).expect("the pipeline")["spec"]["processors"] =
            json!({"generator": generator});
    };
    set(json!({"rate": 5}));
    world.reconcile().await;
    assert!(world.server.lock().objects.contains_key(GENERATOR));
    world.pods_become_ready();
    world.server.lock().objects.get_mut(GENERATOR).expect("the generator")["status"] = json!({});
    world.reconcile().await;
    let status = world.pipeline().status.expect("a status");
    assert_eq!(status.phase, Some(Phase::Running));
    assert_eq!((status.processors["generator"].ready, status.processors["generator"].desired), (0, 1));
    world.reconcile().await;

    set(json!({"rate": 6}));
    assert_eq!(world.reconcile().await, [] as [&str; 0], "the pods follow their load by themselves");
    set(Value::Null);
    let writes = world.reconcile().await;
    assert!(writes.contains(&format!("DELETE {GENERATOR}")), "{writes:?}");
    let status = world.pipeline().status.expect("a status");
    assert!(!status.processors.contains_key("generator"), "{:?}", status.processors);
}

#[tokio::test]
async fn stale_leader_cannot_write_a_phase() {
    let world = World::new();
    world.running().await;
    let mut stale = world.pipeline();
    stale.spec.desired_phase = DesiredPhase::Paused;
    // Another leader has written since.
    world.server.lock().objects.get_mut(PIPELINE).expect("the pipeline")["metadata"]["resourceVersion"] =
        json!("99999");
    let refused = reconcile(Arc::new(stale), Arc::clone(&world.context)).await;
    assert!(matches!(refused, Err(Error::Conflict)), "{refused:?}");
    assert_eq!(world.pipeline().status.and_then(|status| status.phase), Some(Phase::Running));
}

#[tokio::test]
async fn drain_without_an_answer_of_the_pods_stays_draining_and_names_them() {
    let world = World::new();
    world.running().await;
    world.server.lock().objects.get_mut(PIPELINE).expect("the pipeline")["spec"]["desiredPhase"] =
        json!("Paused");
    world.reconcile().await;
    for _ in 0..3 {
        world.restart_quietly();
        world.reconcile().await;
    }
    let status = world.pipeline().status.expect("a status");
    assert_eq!(status.phase, Some(Phase::Draining));
    let drained = status.conditions.iter().find(|c| c.type_ == "Drained").expect("a condition");
    assert!(drained.message.contains("pod payments-account-0"), "{}", drained.message);
}

impl World {
    /// Forgets when the status was last written, so that messages need not wait.
    fn restart_quietly(&self) {
        self.context.memory.lock().clear();
    }
}

#[tokio::test]
async fn invalid_spec_of_a_running_pipeline_changes_only_the_status() {
    let world = World::new();
    world.running().await;
    world.server.lock().objects.get_mut(PIPELINE).expect("the pipeline")["spec"]["drain"] =
        json!({"timeout": "soon"});
    assert_eq!(world.reconcile().await, [format!("PATCH {PIPELINE}/status")]);
    let status = world.pipeline().status.expect("a status");
    assert_eq!(status.phase, Some(Phase::Running));
    let degraded = status.conditions.iter().find(|c| c.type_ == "Degraded").expect("a condition");
    assert!(degraded.message.contains("spec.drain.timeout"), "{}", degraded.message);
}

impl World {
    /// A running pipeline that is scaled by its load, and has been looked at once.
    async fn scaling(mode: &str) -> Self {
        let world = Self::new();
        world.server.lock().objects.get_mut(PIPELINE).expect("the pipeline")["spec"]["autoscaling"] =
            json!({"mode": mode, "maxReplicas": 4});
        world.topics.1.lock().offsets = Some(Offsets { committed: 0, end: 100_000 });
        world.running().await;
        world.time_passes();
        world
    }

    /// The last look at the groups was six seconds ago, and the status was written long before.
    fn time_passes(&self) {
        for memory in self.context.memory.lock().values_mut() {
            memory.status_written = None;
            let six = Duration::from_secs(6);
            if let Some((at, _)) = &mut memory.load {
                *at = at.checked_sub(six).expect("the machine is up for longer");
            }
        }
    }

    fn replicas(&self) -> i64 {
        self.server.lock().objects[ACCOUNT]["spec"]["replicas"].as_i64().expect("a number")
    }

    fn decided(&self) -> kpay_crds::StageScaling {
        self.pipeline().status.expect("a status").autoscaling["account"].clone()
    }
}

#[tokio::test]
async fn load_scales_a_stage_in_two_steps_first_written_then_done() {
    let world = World::scaling("Native").await;
    world.topics.1.lock().offsets = Some(Offsets { committed: 6_000, end: 200_000 });
    let writes = world.reconcile().await;
    assert!(writes.contains(&format!("PATCH {PIPELINE}/status")), "{writes:?}");
    assert_eq!((world.decided().replicas, world.decided().reason.as_str()), (4, "Arrivals"));
    assert_eq!(world.replicas(), 2, "what is not written down is not done");
    let writes = world.reconcile().await;
    assert!(writes.contains(&format!("PATCH {ACCOUNT}")), "{writes:?}");
    assert_eq!(world.replicas(), 4);
    let active = world.pipeline().status.expect("a status").conditions;
    let active = active.iter().find(|c| c.type_ == "AutoscalingActive").expect("a condition");
    assert_eq!((active.status.as_str(), active.reason.as_str()), ("True", "Native"));
}

#[tokio::test]
async fn missing_figures_hold_the_decision_and_say_so() {
    let world = World::scaling("Native").await;
    world.topics.1.lock().offsets = None;
    world.reconcile().await;
    assert_eq!((world.decided().replicas, world.decided().reason.as_str()), (2, "MetricsMissing"));
    world.reconcile().await;
    assert_eq!(world.replicas(), 2);
}

#[tokio::test]
async fn other_modes_leave_the_replicas_to_others() {
    for (mode, others, kept) in [("Recommend", 5, 2), ("External", 5, 5)] {
        let world = World::scaling(mode).await;
        world.topics.1.lock().offsets = Some(Offsets { committed: 6_000, end: 200_000 });
        world.server.lock().objects.get_mut(ACCOUNT).expect("the stage")["spec"]["replicas"] = json!(others);
        world.reconcile().await;
        world.reconcile().await;
        assert_eq!(world.replicas(), kept, "{mode}");
        assert_eq!(world.decided().reason, if mode == "External" { "Capped" } else { "Arrivals" });
    }
}

#[tokio::test]
async fn pods_that_a_scale_down_takes_away_leave_their_group() {
    let world = World::new();
    let of = |number: i32| format!("/api/v1/namespaces/default/pods/payments-account-{number}");
    for number in 0..3 {
        world.server.lock().objects.insert(
            of(number),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("payments-account-{number}")}}),
        );
    }
    world.running().await;
    world.server.lock().objects.remove(&of(1));
    world.reconcile().await;
    assert!(world.topics.1.lock().removed.is_empty(), "a pod that is wanted comes back");
    world.server.lock().objects.remove(&of(2));
    world.reconcile().await;
    world.reconcile().await;
    assert_eq!(world.topics.1.lock().removed, ["default.payments.account payments-account-2-0"]);
}

#[tokio::test]
async fn a_new_image_is_planned_first_and_goes_one_workload_after_the_other() {
    let world = World::new();
    world.running().await;
    world.server.lock().objects.get_mut(PIPELINE).expect("the pipeline")["spec"]["image"] =
        json!({"tag": "2"});
    // The pods here tell no figures, and nobody waits for them.
    world.server.lock().objects.get_mut(PIPELINE).expect("the pipeline")["spec"]["upgrade"] =
        json!({"inconclusiveAfter": "1ms"});
    let writes = world.reconcile().await;
    let workload = |write: &&String| write.contains("/statefulsets/") || write.contains("/deployments/");
    assert_eq!(
        writes.iter().filter(workload).count(),
        0,
        "nothing moves before the plan is written: {writes:?}"
    );
    let up = world.pipeline().status.and_then(|status| status.upgrade).expect("an upgrade");
    assert_eq!(
        (up.changes.as_slice(), up.steps.len()),
        (&[r#"image: "kpay:1" → "kpay:2""#.to_owned()][..], 4)
    );
    world.restart_quietly();
    tokio::time::sleep(Duration::from_millis(2)).await;
    world.reconcile().await;
    let writes = world.reconcile().await;
    let touched: Vec<&String> = writes.iter().filter(workload).collect();
    assert_eq!(touched, ["PATCH /apis/apps/v1/namespaces/default/statefulsets/payments-confirmed"]);
    // The next workload waits for this one, and for payments to be watched.
    world.pods_become_ready();
    world.reconcile().await;
    let writes = world.reconcile().await;
    assert_eq!(writes.iter().filter(workload).count(), 0, "{writes:?}");
}
