//! An API server in memory: server-side apply by one manager, merge patches under a version, generations, deletion with
//! finalizers and the collection of what is owned. It notes reads and writes.

use std::collections::BTreeMap;

use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde_json::{Value, json};

/// Of an object's metadata, what the server keeps when a manager applies it anew.
const OF_THE_SERVER: [&str; 5] =
    ["uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"];

#[derive(Default)]
pub(super) struct Server {
    pub(super) objects: BTreeMap<String, Value>,
    pub(super) writes: Vec<String>,
    pub(super) reads: Vec<String>,
    /// The reasons of the events.
    pub(super) events: Vec<String>,
    pub(super) version: u64,
}

impl Server {
    pub(super) fn read(&mut self, path: &str) -> (u16, Value) {
        self.reads.push(path.to_owned());
        if let Some(found) = self.objects.get(path) {
            return (200, found.clone());
        }
        // `<namespace>/<kind>/<name>` is no list.
        if path.split_once("/namespaces/").is_some_and(|(_, place)| place.split('/').count() > 2) {
            return refusal(404, "NotFound");
        }
        let folder = format!("{path}/");
        let items: Vec<&Value> =
            self.objects.iter().filter(|(p, _)| p.starts_with(&folder)).map(|(_, object)| object).collect();
        (200, json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}))
    }

    /// Carries a write out.
    pub(super) fn write(&mut self, request: &Parts, body: &Value) -> (u16, Value) {
        let path = request.uri.path();
        self.writes.push(format!("{} {path}", request.method));
        let target = path.trim_end_matches("/status");
        if request.method == Method::DELETE {
            return match self.delete(target) {
                Some(object) => (200, object),
                None => refusal(404, "NotFound"),
            };
        }
        let apply =
            request.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/apply-patch+yaml");
        if !apply && !self.objects.contains_key(target) {
            return refusal(404, "NotFound");
        }
        let live = self.objects.get(target).cloned().unwrap_or_else(|| json!({}));
        if let Some(expected) = body["metadata"].get("resourceVersion")
            && live["metadata"]["resourceVersion"] != *expected
        {
            return refusal(409, "Conflict");
        }
        let mut new = live.clone();
        if apply {
            new = applied(&live, body);
        } else {
            merge(&mut new, body);
        }
        (200, self.put(target, &live, new))
    }

    /// Stores an object as its next version.
    pub(super) fn put(&mut self, path: &str, live: &Value, mut new: Value) -> Value {
        self.version += 1;
        new["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if new["metadata"]["uid"].is_null() {
            new["metadata"]["uid"] = json!("from-the-server");
        }
        if live["spec"] != new["spec"] || new["metadata"]["generation"].is_null() {
            let generation = live["metadata"]["generation"].as_i64().unwrap_or(0);
            new["metadata"]["generation"] = json!(generation + 1);
        }
        self.objects.insert(path.to_owned(), new.clone());
        if new["metadata"].get("deletionTimestamp").is_some() {
            self.delete(path);
        }
        new
    }

    /// Takes an object away, or marks it while somebody's finalizer is on it; with it goes what it owns.
    pub(super) fn delete(&mut self, path: &str) -> Option<Value> {
        let mut object = self.objects.remove(path)?;
        let finalizers = object["metadata"]["finalizers"].as_array().map_or(0, Vec::len);
        if finalizers > 0 {
            if object["metadata"].get("deletionTimestamp").is_none() {
                object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                self.version += 1;
                object["metadata"]["resourceVersion"] = json!(self.version.to_string());
            }
            self.objects.insert(path.to_owned(), object.clone());
            return Some(object);
        }
        let uid = object["metadata"]["uid"].clone();
        if object["kind"] == "PaymentPipeline" {
            let owned = |object: &Value| {
                let owners = object["metadata"]["ownerReferences"].as_array();
                owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == uid))
            };
            self.objects.retain(|_, object| !owned(object));
        }
        Some(object)
    }
}

/// What a refusal looks like.
pub(super) fn refusal(code: u16, reason: &str) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
            "reason": reason, "message": format!("planted: {reason}")}),
    )
}

/// The one manager's whole wish: a field that it no longer has goes, the server's own and the status stay. Replicas that
/// it leaves out belong to somebody else.
fn applied(live: &Value, wish: &Value) -> Value {
    let mut new = wish.clone();
    for field in OF_THE_SERVER {
        if let Some(kept) = live["metadata"].get(field) {
            new["metadata"][field] = kept.clone();
        }
    }
    if let Some(status) = live.get("status") {
        new["status"] = status.clone();
    }
    if new["spec"].is_object()
        && new["spec"].get("replicas").is_none()
        && let Some(replicas) = live["spec"].get("replicas")
    {
        new["spec"]["replicas"] = replicas.clone();
    }
    new
}

pub(super) fn merge(target: &mut Value, patch: &Value) {
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
