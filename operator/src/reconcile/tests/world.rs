//! A cluster and a broker in memory, and an operator.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{Method, Request, Response};
use futures::future::{BoxFuture, ready};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kpay_control::names::COMPONENT_LABEL;
use kpay_control::report::{ControlReport, NoReport};
use kpay_control::validate::DefaultImage;
use kpay_crds::{PaymentPipeline, Phase, PullPolicy};
use kube::client::Body;
use kube::core::PartialObjectMeta;
use kube::runtime::events::Reporter;
use kube::runtime::reflector::store::Writer;
use kube::runtime::{reflector, watcher};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::faults::{Fate, Interposer};
use super::kafka::{Kafka, Seen};
use super::mistakes::Operator;
use super::server::{Server, refusal};
use crate::context::Context;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::pods::Pods;
use crate::reconcile::reconcile;
use crate::rest::Changes;
use crate::serve::Probes;

pub(super) const PIPELINE: &str = "/apis/kpay.dev/v1alpha1/namespaces/default/paymentpipelines/payments";
pub(super) const GENERATOR: &str = "/apis/apps/v1/namespaces/default/deployments/payments-generator";
pub(super) const INFLIGHT: &str = "/apis/apps/v1/namespaces/default/statefulsets/payments-inflight";
pub(super) const CONFIRMED: &str = "/apis/apps/v1/namespaces/default/statefulsets/payments-confirmed";
pub(super) const ACCOUNT: &str = "/apis/apps/v1/namespaces/default/statefulsets/payments-account";
pub(super) const PODS: &str = "/api/v1/namespaces/default/pods";
pub(super) const ACCOUNTS: &str = "/api/v1/namespaces/default/configmaps/opening";

pub(super) struct World {
    pub(super) server: Arc<Mutex<Server>>,
    pub(super) kafka: Arc<Kafka>,
    pub(super) interposer: Interposer,
    pub(super) operator: Operator,
    pub(super) context: Arc<Context>,
    /// Tells the operator of other pipelines.
    others: Mutex<Writer<PaymentPipeline>>,
    /// What the watches have told of.
    told: Mutex<BTreeMap<String, Value>>,
    probes: Probes,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(Operator::default(), &json!({}))
    }

    /// With an operator, and fields of the spec that are not at their defaults.
    pub(super) fn with(operator: Operator, more: &Value) -> Self {
        let server = Arc::new(Mutex::new(Server { version: 1, ..Server::default() }));
        let mut spec = json!({"kafka": {"bootstrapServers": "kafka:9092"}});
        super::server::merge(&mut spec, more);
        server.lock().objects.insert(
            PIPELINE.to_owned(),
            json!({"apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
                "metadata": {"name": "payments", "namespace": "default", "uid": "u", "resourceVersion": "1",
                    "generation": 1},
                "spec": spec}),
        );
        let (kafka, interposer) = (Arc::new(Kafka::default()), Interposer::default());
        let (probes, (store, others)) = (Probes::default(), reflector::store());
        probes.watch(store);
        let context = context(&server, &kafka, &interposer, &operator, &probes);
        Self {
            server,
            kafka,
            interposer,
            operator,
            context,
            others: Mutex::new(others),
            told: Mutex::default(),
            probes,
        }
    }

    /// There is another pipeline, or the operator sees it anew.
    pub(super) fn sees(&self, other: &PaymentPipeline) {
        self.others.lock().apply_watcher_event(&watcher::Event::Apply(other.clone()));
    }

    /// Another pipeline has gone.
    pub(super) fn sees_gone(&self, other: &PaymentPipeline) {
        self.others.lock().apply_watcher_event(&watcher::Event::Delete(other.clone()));
    }

    /// Somebody deletes the pipeline and makes it again.
    pub(super) fn is_made_anew(&self) {
        let mut server = self.server.lock();
        let spec = server.objects[PIPELINE]["spec"].clone();
        server.delete(PIPELINE);
        let anew = json!({"apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
            "metadata": {"name": "payments", "namespace": "default", "uid": "made-anew"}, "spec": spec});
        server.put(PIPELINE, &json!({}), anew);
    }

    /// The operator's memory is gone; cluster and broker are as they were.
    pub(super) fn restart_operator(&mut self) {
        self.context = context(&self.server, &self.kafka, &self.interposer, &self.operator, &self.probes);
    }

    pub(super) fn pipeline(&self) -> PaymentPipeline {
        serde_json::from_value(self.server.lock().objects[PIPELINE].clone()).expect("a pipeline")
    }

    /// Somebody changes the spec.
    pub(super) fn edit(&self, spec: &Value) {
        let mut server = self.server.lock();
        let live = server.objects[PIPELINE].clone();
        let mut new = live.clone();
        super::server::merge(&mut new["spec"], spec);
        server.put(PIPELINE, &live, new);
    }

    /// Somebody asks for a restart by the annotation, or takes that back.
    pub(super) fn asks_for_a_restart(&self, text: Option<&str>) {
        let mut server = self.server.lock();
        let live = server.objects[PIPELINE].clone();
        let mut new = live.clone();
        super::server::merge(&mut new, &json!({"metadata": {"annotations": {"kpay.dev/restart": text}}}));
        server.put(PIPELINE, &live, new);
    }

    /// Somebody applies the `ConfigMap` with accounts.
    pub(super) fn has_accounts(&self, content: &str) {
        let mut server = self.server.lock();
        let live = server.objects.get(ACCOUNTS).cloned().unwrap_or_default();
        let new = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "opening"},
            "data": {"accounts.csv": content}});
        server.put(ACCOUNTS, &live, new);
    }

    /// The watches tell of all that has changed since they last did.
    pub(super) fn watches_tell(&self) {
        let there = self.server.lock().objects.clone();
        let before = std::mem::replace(&mut *self.told.lock(), there.clone());
        let changed = there.iter().filter(|(path, object)| before.get(*path) != Some(object));
        let gone = before.iter().filter(|(path, _)| !there.contains_key(*path));
        for (path, object) in changed.chain(gone) {
            if path.starts_with(PODS) {
                continue;
            }
            let metadata = json!({"apiVersion": "v1", "kind": "Any", "metadata": object["metadata"]});
            let object: PartialObjectMeta<Job> = serde_json::from_value(metadata).expect("an object");
            self.context.changes.note(&watcher::Event::Apply(object));
        }
    }

    pub(super) async fn reconcile(&self) -> Vec<String> {
        self.watches_tell();
        self.reconcile_untold().await
    }

    /// Before the watches have told of what has changed.
    pub(super) async fn reconcile_untold(&self) -> Vec<String> {
        {
            let mut server = self.server.lock();
            server.writes.clear();
            server.reads.clear();
        }
        reconcile(Arc::new(self.pipeline()), Arc::clone(&self.context)).await.expect("a reconcile");
        self.server.lock().writes.clone()
    }

    /// As the controllers would: every workload says that its pods are ready.
    pub(super) fn pods_become_ready(&self) {
        for (path, object) in &mut self.server.lock().objects {
            if path.contains("/statefulsets/") || path.contains("/deployments/") {
                let replicas = object["spec"]["replicas"].clone();
                for count in ["readyReplicas", "replicas", "updatedReplicas"] {
                    object["status"][count] = replicas.clone();
                }
                object["status"]["observedGeneration"] = object["metadata"]["generation"].clone();
            }
        }
    }

    /// As controllers and kubelet would: the workloads have the pods that they want, and those are ready; the pod of a Job is
    /// through.
    pub(super) fn pods_come_and_go(&self) {
        self.pods_become_ready();
        let mut server = self.server.lock();
        let mut wanted = HashMap::new();
        for object in server.objects.values_mut().filter(|object| object["kind"] == "Job") {
            object["status"]["conditions"] = json!([{"type": "Complete", "status": "True"}]);
            let pod = pod_of_job(object, "Succeeded", &json!({"lines": 1, "opened": 1}).to_string());
            wanted.insert(format!("{PODS}/{}", pod["metadata"]["name"].as_str().unwrap_or_default()), pod);
        }
        for object in server.objects.values() {
            if !["StatefulSet", "Deployment"].iter().any(|kind| object["kind"] == *kind) {
                continue;
            }
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            for ordinal in 0..object["spec"]["replicas"].as_i64().unwrap_or(1) {
                let name = format!("{name}-{ordinal}");
                let template = &object["spec"]["template"]["metadata"];
                let metadata = json!({"name": name, "labels": template["labels"], "annotations": template["annotations"]});
                let status = json!({"phase": "Running", "podIP": "10.0.0.1"});
                let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status});
                wanted.insert(format!("{PODS}/{name}"), pod);
            }
        }
        server.objects.retain(|path, _| !path.starts_with(PODS) || wanted.contains_key(path));
        server.objects.extend(wanted);
    }

    pub(super) async fn running(&self) {
        // First it is written down that the topics are its own, then they are made.
        self.reconcile().await;
        self.reconcile().await;
        self.pods_become_ready();
        self.reconcile().await;
        assert_eq!(self.pipeline().status.and_then(|status| status.phase), Some(Phase::Running));
        self.reconcile().await;
    }

    /// Forgets when the status was last written, so that messages need not wait.
    pub(super) fn restart_quietly(&self) {
        self.context.memory.lock().clear();
    }

    /// It is time to look at everything again.
    pub(super) fn rest_is_over(&self) {
        for rest in self.context.memory.lock().values_mut().filter_map(|memory| memory.rest.as_mut()) {
            rest.until = Instant::now();
        }
    }

    /// All that waits for a time has waited long enough, without the operator having forgotten anything; a rest is not over.
    pub(super) fn time_passes(&self) {
        for memory in self.context.memory.lock().values_mut() {
            memory.status_written = None;
            if let Some((_, at, _)) = &mut memory.topics {
                *at = at.checked_sub(Duration::from_secs(61)).expect("the machine is up for longer");
            }
            let six = Duration::from_secs(6);
            if let Some((at, _)) = &mut memory.load {
                *at = at.checked_sub(six).expect("the machine is up for longer");
            }
        }
    }
}

/// The pod of a Job, with what it said at its end.
pub(super) fn pod_of_job(job: &Value, phase: &str, said: &str) -> Value {
    let name = job["metadata"]["name"].as_str().unwrap_or_default();
    let mut labels = job["spec"]["template"]["metadata"]["labels"].clone();
    labels["batch.kubernetes.io/job-name"] = json!(name);
    let mut container =
        json!({"name": "kpay", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {}});
    if phase != "Running" {
        container["state"] = json!({"terminated": {"exitCode": 1, "message": said}});
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("{name}-x"), "labels": labels},
        "status": {"phase": phase, "containerStatuses": [container]}})
}

/// Pods that have done what they were told, and hold nothing.
struct Idle {
    server: Arc<Mutex<Server>>,
    kafka: Arc<Kafka>,
}

impl Idle {
    fn ask(&self, pod: &Pod) -> Result<ControlReport, NoReport> {
        const READS: [(&str, &str); 3] = [
            ("inflight", "payment.incoming"),
            ("account", "payment.inflight"),
            ("confirmed", "payment.complete"),
        ];
        pod.status.as_ref().and_then(|status| status.pod_ip.as_ref()).ok_or(NoReport::NoAddress)?;
        let stage = pod.labels().get(COMPONENT_LABEL).ok_or(NoReport::Garbled)?;
        let (epoch, pods) = {
            let server = self.server.lock();
            let of_stage = |object: &&Value| {
                object["kind"] == "Pod" && object["metadata"]["labels"][COMPONENT_LABEL] == stage.as_str()
            };
            (
                server.objects[PIPELINE]["status"]["epoch"].clone(),
                server.objects.values().filter(of_stage).count(),
            )
        };
        let name = pod.name_any();
        let ordinal = name.rsplit('-').next().and_then(|number| number.parse::<usize>().ok());
        let input =
            READS.iter().find(|(of, _)| of == stage).map(|(_, topic)| format!("default.payments.{topic}"));
        let partitions = input.and_then(|topic| Some(self.kafka.topics.lock().get(&topic)?.partitions));
        let mine = |partition: &i32| usize::try_from(*partition).ok().map(|p| p % pods.max(1)) == ordinal;
        let own = (0..partitions.unwrap_or(0)).filter(mine);
        let own: Vec<Value> = own.map(|p| json!({"partition": p, "state": "running"})).collect();
        let report = json!({"pod": name, "stage": stage, "version": "1", "epoch": epoch, "ready": true, "partitions": own});
        serde_json::from_value(report).map_err(|_| NoReport::Garbled)
    }
}

impl Pods for Idle {
    fn report<'a>(&'a self, pod: &'a Pod) -> BoxFuture<'a, Result<ControlReport, NoReport>> {
        Box::pin(ready(self.ask(pod)))
    }

    fn post<'a>(
        &'a self,
        _: &'a Pod,
        _: i32,
        _: &'a str,
        _: &'a Value,
        _: Duration,
    ) -> BoxFuture<'a, Result<(u16, Value), NoReport>> {
        Box::pin(ready(Err(NoReport::Silent)))
    }
}

/// The operator's way to the API server, with its mistake and the fault of the run.
fn client(server: &Arc<Mutex<Server>>, interposer: &Interposer, operator: &Operator) -> Client {
    let (server, interposer, operator) = (Arc::clone(server), interposer.clone(), operator.clone());
    let service = tower::service_fn(move |request: Request<Body>| {
        let (server, interposer, operator) = (Arc::clone(&server), interposer.clone(), operator.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let path = parts.uri.path();
            let (code, answer) = if interposer.is_dead() {
                std::future::pending().await
            } else if parts.method == Method::GET {
                let (code, mut found) = server.lock().read(path);
                operator.reads(path, &mut found);
                (code, found)
            } else if path.contains("/events") {
                let event: Value = serde_json::from_slice(&body).unwrap_or_default();
                server.lock().events.push(event["reason"].as_str().unwrap_or_default().to_owned());
                (201, event)
            } else {
                let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
                match operator.writes(&parts.method, path, asked.clone()) {
                    None => (200, asked),
                    Some(body) => match interposer.write() {
                        Fate::Done => server.lock().write(&parts, &body),
                        Fate::DoneBut(code) => {
                            server.lock().write(&parts, &body);
                            refusal(code, "Planted")
                        }
                        Fate::Refused(code) => refusal(code, "Planted"),
                        Fate::Crash { done } => {
                            if done {
                                server.lock().write(&parts, &body);
                            }
                            std::future::pending().await
                        }
                    },
                }
            };
            let body = Body::from(answer.to_string().into_bytes());
            Ok::<_, kube::Error>(Response::builder().status(code).body(body).expect("a response"))
        }
    });
    Client::new(service, "default")
}

fn context(
    server: &Arc<Mutex<Server>>,
    kafka: &Arc<Kafka>,
    interposer: &Interposer,
    operator: &Operator,
    probes: &Probes,
) -> Arc<Context> {
    let client = client(server, interposer, operator);
    let reporter = Reporter { controller: "kpay-operator".into(), instance: None };
    let kafka = Arc::clone(kafka);
    let seen = Seen { kafka: Arc::clone(&kafka), interposer: interposer.clone(), operator: operator.clone() };
    Arc::new(Context {
        recorder: Events::new(client.clone(), reporter),
        brokers: Arc::new(Arc::new(seen)),
        pods: Arc::new(Idle { server: Arc::clone(server), kafka }),
        metrics: Metrics::default(),
        default_image: DefaultImage {
            repository: "kpay".into(),
            tag: "1".into(),
            pull_policy: PullPolicy::IfNotPresent,
        },
        probes: probes.clone(),
        changes: Changes::default(),
        memory: Mutex::new(HashMap::new()),
        client,
    })
}
