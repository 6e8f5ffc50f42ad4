//! Wishes against an API server in memory to which others write as well.

use std::sync::Arc;

use axum::http::{Method, Request, Response};
use kube::client::Body;
use parking_lot::Mutex;

use super::*;

fn hold(holder: &str) -> Wish {
    let until = "2026-11-27T12:00:00Z".parse::<Timestamp>().unwrap();
    Wish::Hold(Pause { holder: holder.to_owned(), reason: None, until: Some(until.into()) })
}

fn now() -> Timestamp {
    "2026-11-27T11:00:00Z".parse().unwrap()
}

#[test]
fn a_pause_by_the_phase_says_why_and_a_resume_takes_that_away() {
    let expected = json!({
        "metadata": {"annotations": {"kpay.dev/pause-reason": "books"}},
        "spec": {"desiredPhase": "Paused"},
    });
    assert_eq!(phase_patch(DesiredPhase::Paused, Some("books")), expected);
    let expected = json!({
        "metadata": {"annotations": {"kpay.dev/pause-reason": null}},
        "spec": {"desiredPhase": "Running"},
    });
    assert_eq!(phase_patch(DesiredPhase::Running, None), expected);
}

#[test]
fn a_wish_changes_the_entry_of_its_holder_and_leaves_the_others_to_the_letter() {
    // As others may write it, now and in times to come.
    let bob = json!({"holder": "bob", "until": "2026-11-27T13:00:00.5+02:00", "ticket": 7});
    let alice = json!({"holder": "alice", "until": "2026-11-27T12:00:00Z"});
    let after = |before: &[Value], wish: Wish| pauses_after(before, &wish, now()).unwrap();
    let both = after(std::slice::from_ref(&bob), hold("alice"));
    assert_eq!(both, [bob.clone(), alice.clone()]);
    assert_eq!(after(&both, hold("alice")), both);
    let forever = Pause { holder: "alice".to_owned(), reason: Some("books".to_owned()), until: None };
    let changed = after(&both, Wish::Hold(forever));
    assert_eq!(changed, [bob.clone(), json!({"holder": "alice", "reason": "books"})]);
    assert_eq!(after(&both, Wish::LetGo("alice".to_owned())), std::slice::from_ref(&bob));
    assert_eq!(after(&both, Wish::LetGo("carol".to_owned())), both);
}

#[test]
fn an_entry_that_has_ended_makes_room_only_where_there_is_none() {
    let until = |holder: usize, until: &str| json!({"holder": format!("h{holder}"), "until": until});
    let (over, holds) = ("2026-11-27T11:00:00Z", "2026-11-27T11:00:01Z");
    let few = [until(0, over)];
    assert_eq!(pauses_after(&few, &hold("alice"), now()).unwrap().len(), 2, "as it was written");
    let mut full: Vec<Value> = (0..PAUSES_MAX).map(|holder| until(holder, holds)).collect();
    assert!(matches!(pauses_after(&full, &hold("alice"), now()), Err(WishError::Full)));
    assert_eq!(pauses_after(&full, &hold("h3"), now()).unwrap().len(), PAUSES_MAX, "his own is replaced");
    full[7] = until(7, over);
    let made = pauses_after(&full, &hold("alice"), now()).unwrap();
    assert!(made.len() == PAUSES_MAX && made.iter().all(|entry| entry["holder"] != "h7"), "{made:?}");
}

/// A resource, and what somebody else makes of it before the next patches.
struct Server {
    resource: Value,
    version: u64,
    others: Vec<Value>,
    patches: usize,
}

impl Server {
    fn set_pauses(&mut self, pauses: &Value) {
        self.version += 1;
        self.resource["spec"]["pauses"] = pauses.clone();
        self.resource["metadata"]["resourceVersion"] = json!(self.version.to_string());
    }

    fn answer(&mut self, method: &Method, body: &Value) -> (u16, Value) {
        if method == Method::GET {
            let list = json!({"kind": "PaymentPipelineList", "apiVersion": "kpay.dev/v1alpha1",
                "metadata": {}, "items": [self.resource]});
            return (200, list);
        }
        self.patches += 1;
        if let Some(pauses) = self.others.pop() {
            self.set_pauses(&pauses);
        }
        if body["metadata"]["resourceVersion"] != self.resource["metadata"]["resourceVersion"] {
            let conflict = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "code": 409, "reason": "Conflict", "message": "it has changed"});
            return (409, conflict);
        }
        self.set_pauses(&body["spec"]["pauses"]);
        (200, self.resource.clone())
    }
}

fn resource(others: Vec<Value>) -> (Arc<Mutex<Server>>, Resource) {
    let resource = json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
        "metadata": {"name": "payments", "namespace": "default", "resourceVersion": "0"},
        "spec": {"kafka": {"bootstrapServers": "kafka:9092"}},
    });
    let server = Arc::new(Mutex::new(Server { resource, version: 0, others, patches: 0 }));
    let shared = Arc::clone(&server);
    let service = tower::service_fn(move |request: Request<Body>| {
        let server = Arc::clone(&shared);
        async move {
            let (parts, body) = request.into_parts();
            let body = serde_json::from_slice(&body.collect_bytes().await?).unwrap_or_default();
            let (code, answer) = server.lock().answer(&parts.method, &body);
            let body = Body::from(answer.to_string().into_bytes());
            Ok::<_, kube::Error>(Response::builder().status(code).body(body).unwrap())
        }
    });
    let client = OnceCell::new_with(Some(Client::new(service, "default")));
    (server, Resource { pipeline: "default/payments".parse().unwrap(), client })
}

fn names(granted: &Granted) -> Vec<&str> {
    granted.pauses.holders.iter().map(|holder| holder.holder.as_str()).collect()
}

#[tokio::test]
async fn what_another_holder_writes_at_the_same_time_is_kept() {
    let bob = json!([{"holder": "bob"}]);
    let (server, wishes) = resource(vec![json!([{"holder": "bob", "reason": "later"}]), bob]);
    let granted = wishes.wish(hold("alice")).await.unwrap();
    assert_eq!(names(&granted), ["bob", "alice"]);
    assert_eq!(server.lock().patches, 3, "two were refused");
    let entry = server.lock().resource["spec"]["pauses"][0].clone();
    assert_eq!(entry, json!({"holder": "bob", "reason": "later"}));
    let granted = wishes.wish(Wish::LetGo("alice".to_owned())).await.unwrap();
    assert_eq!((names(&granted), granted.desired), (vec!["bob"], DesiredPhase::Running));
    wishes.wish(Wish::LetGo("alice".to_owned())).await.unwrap();
    assert_eq!(server.lock().patches, 4, "nothing to let go is no write");
}

#[tokio::test]
async fn a_resource_that_changes_all_the_time_is_not_tried_for_ever() {
    let others = (0..100).map(|number| json!([{"holder": format!("h{number}")}])).collect();
    let (server, wishes) = resource(others);
    let refused = wishes.wish(hold("alice")).await.unwrap_err();
    assert!(matches!(&refused, WishError::Kubernetes(kube::Error::Api(status)) if status.code == 409));
    assert_eq!(server.lock().patches, 8);
}
