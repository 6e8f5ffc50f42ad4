//! What the controllers ask an API server for that has nothing.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use axum::http::{Request, Response};
use kpay_control::validate::DefaultImage;
use kpay_crds::PullPolicy;
use kube::client::Body;
use kube::runtime::events::Reporter;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;

use super::*;
use crate::broker::Kafka;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::pods::PodClient;
use crate::rest::Changes;

/// Both resources, and what a pipeline owns.
const KINDS: usize = 10;
const DEADLINE: Duration = Duration::from_secs(30);

/// The paths of the lists of all controllers; watches are never answered.
async fn listed(namespaces: &[String]) -> BTreeSet<String> {
    let wanted = KINDS * namespaces.len().max(1);
    let (sender, mut lists) = watch::channel(Vec::<String>::new());
    let sender = Arc::new(sender);
    let service = tower::service_fn(move |request: Request<Body>| {
        let sender = Arc::clone(&sender);
        async move {
            if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
                std::future::pending::<()>().await;
            }
            sender.send_modify(|lists| lists.push(request.uri().path().to_owned()));
            let none = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []});
            let body = Body::from(none.to_string().into_bytes());
            Ok::<_, kube::Error>(Response::builder().status(200).body(body).expect("a response"))
        }
    });
    let client = Client::new(service, "default");
    let reporter = Reporter { controller: "kpay-operator".into(), instance: None };
    let context = Arc::new(Context {
        recorder: Events::new(client.clone(), reporter),
        brokers: Arc::new(Kafka),
        pods: Arc::new(PodClient::new().expect("a client")),
        metrics: Metrics::default(),
        default_image: DefaultImage {
            repository: "kpay".into(),
            tag: "1".into(),
            pull_policy: PullPolicy::Never,
        },
        probes: Probes::default(),
        changes: Changes::default(),
        memory: Mutex::new(HashMap::new()),
        client,
    });
    let mut seen = lists.clone();
    let stop = async move {
        let _ = seen.wait_for(|lists| lists.len() >= wanted).await;
    };
    let probes = Probes::default();
    let run = run(context, &probes, namespaces, stop);
    let ended = tokio::time::timeout(DEADLINE, run).await;
    assert!(ended.is_ok(), "{:?}", lists.borrow());
    let lists = lists.borrow_and_update();
    assert_eq!(lists.len(), wanted);
    lists.iter().cloned().collect()
}

#[tokio::test]
async fn without_namespaces_everything_is_watched_everywhere() {
    let lists = listed(&[]).await;
    assert_eq!(lists.len(), KINDS);
    assert!(lists.iter().all(|path| !path.contains("/namespaces/")), "{lists:?}");
    assert!(lists.contains("/apis/kpay.dev/v1alpha1/paymentpipelines"), "{lists:?}");
}

#[tokio::test]
async fn with_namespaces_nothing_is_watched_outside_of_them() {
    let lists = listed(&["a".to_owned(), "b".to_owned()]).await;
    for namespace in ["a", "b"] {
        let inside = format!("/namespaces/{namespace}/");
        assert_eq!(lists.iter().filter(|path| path.contains(&inside)).count(), KINDS, "{lists:?}");
    }
    assert!(lists.contains("/apis/kpay.dev/v1alpha1/namespaces/b/pipelineoperations"), "{lists:?}");
}
