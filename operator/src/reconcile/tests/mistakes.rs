//! Operators with a mistake, made from the right one by changing what it reads and what it writes. They prove that the
//! exploration of `converge` sees what it is there to see.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::Method;
use kpay_control::names::HASH_ANNOTATION;
use parking_lot::Mutex;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// Services are not applied.
    NoServices,
    /// What is not wanted any more stays.
    LeavesOrphans,
    /// It does not find again what it has applied.
    ForgetsItsHash,
    /// The pods' template is another one each time.
    ClockInTemplate,
    /// Owned objects do not name their owner.
    NoOwner,
    /// The status is written over whatever there is.
    StatusWithoutVersion,
    /// The status does not say which spec it is of.
    NoObservedGeneration,
    /// What is written down of the good release is lost.
    ForgetsRelease,
    /// The status is another one each time.
    ClockInStatus,
    /// The finalizer is not set.
    NoFinalizer,
    /// The finalizer is never taken away.
    KeepsFinalizer,
    /// Topics stay although they are to go.
    KeepsTopics,
    /// Settings of topics that exist are not changed.
    LeavesTopicsAlone,
    /// Topics that may have more partitions do not get them.
    GrowsNothing,
    /// It is not written down whose the topics are.
    ForgetsOrigins,
    /// It does not commit where the intake begins.
    BeginsAnywhere,
    /// It works from the spec that it saw first.
    FirstSpecForever,
    /// After a restart it does not know the status.
    StatusInMemory,
    /// It gives up after a failure.
    GivesUp,
    /// It gives up after a conflict.
    GivesUpOnConflict,
    /// What was changed by hand looks as it should.
    BlindForDrift,
    /// Replicas that somebody else sets are set back.
    OwnsReplicas,
    /// It starts by deleting a workload, and makes it anew.
    StartsWithABroom,
    /// A pause is never ended.
    NeverResumes,
}

impl Mistake {
    pub(super) const ALL: [Self; 24] = [
        Self::NoServices,
        Self::LeavesOrphans,
        Self::ForgetsItsHash,
        Self::ClockInTemplate,
        Self::NoOwner,
        Self::StatusWithoutVersion,
        Self::NoObservedGeneration,
        Self::ForgetsRelease,
        Self::ClockInStatus,
        Self::NoFinalizer,
        Self::KeepsFinalizer,
        Self::KeepsTopics,
        Self::LeavesTopicsAlone,
        Self::GrowsNothing,
        Self::ForgetsOrigins,
        Self::BeginsAnywhere,
        Self::FirstSpecForever,
        Self::StatusInMemory,
        Self::GivesUp,
        Self::GivesUpOnConflict,
        Self::BlindForDrift,
        Self::OwnsReplicas,
        Self::StartsWithABroom,
        Self::NeverResumes,
    ];
}

/// The operator of a run: the right one, or one with a mistake. Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Operator {
    pub(super) mistake: Option<Mistake>,
    clock: Arc<AtomicU64>,
    /// What it has applied last, by path.
    applied: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Operator {
    pub(super) fn with(mistake: Option<Mistake>) -> Self {
        Self { mistake, ..Self::default() }
    }

    fn is(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    /// What it writes instead; none when it writes nothing and takes that for done.
    pub(super) fn writes(&self, method: &Method, path: &str, mut body: Value) -> Option<Value> {
        let Some(mistake) = self.mistake else { return Some(body) };
        let status = path.ends_with("/status");
        let finalizers = body["metadata"].get("finalizers").and_then(Value::as_array).map(Vec::len);
        let swallowed = match mistake {
            Mistake::NoServices => path.contains("/services/"),
            Mistake::LeavesOrphans => method == Method::DELETE,
            Mistake::NoFinalizer => finalizers == Some(1),
            Mistake::KeepsFinalizer => finalizers == Some(0),
            _ => false,
        };
        if swallowed {
            return None;
        }
        self.applied.lock().insert(path.to_owned(), body["spec"].clone());
        let workload = path.contains("/statefulsets/") || path.contains("/deployments/");
        match mistake {
            Mistake::ClockInTemplate if workload && method != Method::DELETE => {
                body["spec"]["template"]["metadata"]["annotations"]["at"] = json!(self.tick().to_string());
                body["metadata"]["annotations"][HASH_ANNOTATION] = json!(self.tick().to_string());
            }
            Mistake::NoOwner if body["metadata"].get("ownerReferences").is_some() => {
                body["metadata"].as_object_mut()?.remove("ownerReferences");
            }
            Mistake::StatusWithoutVersion if status => {
                body["metadata"].as_object_mut()?.remove("resourceVersion");
            }
            Mistake::NoObservedGeneration if status => {
                body["status"].as_object_mut()?.remove("observedGeneration");
            }
            Mistake::ForgetsOrigins if status => {
                for topic in
                    body["status"]["topics"].as_object_mut().into_iter().flat_map(|all| all.values_mut())
                {
                    topic["origin"] = Value::Null;
                }
            }
            Mistake::ForgetsRelease if status => body["status"]["release"] = Value::Null,
            Mistake::ClockInStatus if status => body["status"]["version"] = json!(self.tick().to_string()),
            Mistake::OwnsReplicas if path.ends_with("/payments-account") && workload => {
                body["spec"]["replicas"] = json!(2);
            }
            _ => {}
        }
        Some(body)
    }

    /// What it reads instead.
    pub(super) fn reads(&self, path: &str, found: &mut Value) {
        let each = |found: &mut Value, change: &dyn Fn(&mut Value)| {
            for item in found["items"].as_array_mut().into_iter().flatten() {
                change(item);
            }
        };
        if self.is(Mistake::ForgetsItsHash) {
            each(found, &|item| {
                if let Some(annotations) = item["metadata"]["annotations"].as_object_mut() {
                    annotations.remove(HASH_ANNOTATION);
                }
            });
        }
        if self.is(Mistake::BlindForDrift) && path.ends_with("/services") {
            let applied = self.applied.lock();
            each(found, &|item| {
                let name = item["metadata"]["name"].as_str().unwrap_or_default();
                if let Some(spec) = applied.get(&format!("{path}/{name}")) {
                    item["spec"] = spec.clone();
                }
            });
        }
    }

    /// What it takes for the resource.
    pub(super) fn takes(&self, resource: &mut Value, first: &Value, restarted: bool) {
        match self.mistake {
            Some(Mistake::FirstSpecForever) => resource["spec"] = first["spec"].clone(),
            Some(Mistake::StatusInMemory) if restarted => {
                resource.as_object_mut().map(|resource| resource.remove("status"));
            }
            Some(Mistake::NeverResumes) if resource["status"]["phase"] == "Paused" => {
                resource["spec"]["desiredPhase"] = json!("Paused");
            }
            _ => {}
        }
    }

    pub(super) fn gives_up(&self, conflict: bool) -> bool {
        self.is(Mistake::GivesUp) && !conflict || self.is(Mistake::GivesUpOnConflict) && conflict
    }

    pub(super) fn starts_with_a_broom(&self) -> bool {
        self.is(Mistake::StartsWithABroom)
    }

    pub(super) fn keeps_topics(&self) -> bool {
        self.is(Mistake::KeepsTopics)
    }

    pub(super) fn leaves_topics_alone(&self) -> bool {
        self.is(Mistake::LeavesTopicsAlone)
    }

    pub(super) fn grows_nothing(&self) -> bool {
        self.is(Mistake::GrowsNothing)
    }

    pub(super) fn begins_anywhere(&self) -> bool {
        self.is(Mistake::BeginsAnywhere)
    }
}
