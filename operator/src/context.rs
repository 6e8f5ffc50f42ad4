//! What reconciles share, and the little that is remembered between two of them. Pure but for its clients.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use kpay_control::autoscale::Offsets;
use kpay_control::bootstrap::Source;
use kpay_control::names::Component;
use kpay_control::validate::DefaultImage;
use kpay_crds::{ConfigMapFile, PaymentPipeline};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;

use crate::broker::Brokers;
use crate::departures::Ordinals;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::pods::Pods;
use crate::rest::{Changes, Rest};
use crate::serve::Probes;
use crate::topics::TopicsPass;

/// What every reconcile shares.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Kafka clusters.
    pub brokers: Arc<dyn Brokers>,
    /// The pods' control endpoints.
    pub pods: Arc<dyn Pods>,
    /// The operator's counters.
    pub metrics: Metrics,
    /// Knows which pipelines there are.
    pub probes: Probes,
    /// Writes Events.
    pub recorder: Events,
    /// Image of pipelines that name none.
    pub default_image: DefaultImage,
    /// What the watches have told of what pipelines own.
    pub changes: Changes,
    /// What is remembered of each resource; only to do less, nothing depends on it.
    pub memory: Mutex<HashMap<String, Memory>>,
}

/// What is remembered of a resource between two reconciles.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The last look at the topics: for which generation, when, and what it found.
    pub topics: Option<(Option<i64>, Instant, TopicsPass)>,
    /// The last look at how much the stages have left.
    pub load: Option<(Instant, BTreeMap<Component, Offsets>)>,
    /// The accounts that the pipeline begins with: which, in which version of their `ConfigMap`, and what it holds.
    pub accounts: Option<(ConfigMapFile, String, Source)>,
    /// The pods of the stages that were seen last.
    pub ordinals: Ordinals,
    /// The last whole look, if it left nothing to do.
    pub rest: Option<Rest>,
    /// When the status was last written.
    pub status_written: Option<Instant>,
    /// Reconciles that failed one after the other.
    pub failures: u32,
}

impl Context {
    /// Changes what is remembered of a resource.
    pub fn remember<T>(&self, resource: &impl ResourceExt, change: impl FnOnce(&mut Memory) -> T) -> T {
        let key = resource.uid().unwrap_or_default();
        change(self.memory.lock().entry(key).or_default())
    }

    /// What is remembered of a pipeline.
    pub fn recall(&self, resource: &PaymentPipeline) -> Memory {
        self.remember(resource, |memory| memory.clone())
    }

    /// Forgets what is not there any more; a failure that is being tried again is kept.
    pub fn forget_gone(&self) {
        let pipelines = self.probes.pipelines();
        let there: HashSet<String> = pipelines.iter().filter_map(|one| one.uid()).collect();
        self.changes.forget_all_but(pipelines.iter().map(AsRef::as_ref));
        let mut memory = self.memory.lock();
        memory.retain(|uid, of_it| there.contains(uid) || of_it.failures > 0);
        memory.shrink_to_fit();
    }

    /// The API of the resource's namespace.
    pub fn api(&self, resource: &PaymentPipeline) -> Api<PaymentPipeline> {
        Api::namespaced(self.client.clone(), &resource.namespace().unwrap_or_default())
    }
}
