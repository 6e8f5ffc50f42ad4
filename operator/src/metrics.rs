//! What the operator counts of itself. Labels are bounded: verbs, kinds, categories, phases; never names.

use std::sync::atomic::AtomicU64;

use kpay_crds::Phase;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Kinds that the operator writes; any other is counted as `other`.
const KINDS: [&str; 13] = [
    "paymentpipelines",
    "pipelineoperations",
    "statefulsets",
    "deployments",
    "jobs",
    "services",
    "serviceaccounts",
    "roles",
    "rolebindings",
    "poddisruptionbudgets",
    "leases",
    "events",
    "pods",
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    verb: &'static str,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Category {
    category: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InPhase {
    phase: &'static str,
}

/// The operator's counters.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    reconciles: Counter<u64, AtomicU64>,
    errors: Family<Category, Counter>,
    writes: Family<Write, Counter>,
    pipelines: Family<InPhase, Gauge>,
}

impl Metrics {
    /// A reconcile has begun.
    pub fn reconcile(&self) {
        self.reconciles.inc();
    }

    /// A reconcile has failed.
    pub fn error(&self, category: &'static str) {
        self.errors.get_or_create(&Category { category }).inc();
    }

    /// A request goes to the API server; reads are not counted.
    pub fn request(&self, method: &str, path: &str) {
        let verb = match method {
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" => "delete",
            _ => return,
        };
        let kind = path.split('/').find_map(|part| KINDS.into_iter().find(|kind| *kind == part));
        self.writes.get_or_create(&Write { verb, kind: kind.unwrap_or("other") }).inc();
    }

    /// How many pipelines are in which phase.
    pub fn phases(&self, phases: impl Iterator<Item = Phase>) {
        let phases: Vec<Phase> = phases.collect();
        for phase in Phase::ALL {
            let count = phases.iter().filter(|found| **found == phase).count();
            let gauge = self.pipelines.get_or_create(&InPhase { phase: phase.as_str() });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Everything as `OpenMetrics` text.
    ///
    /// # Errors
    /// Never, for a `String`.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("kpay_operator");
        registry.register("reconciles", "Reconciles begun", self.reconciles.clone());
        registry.register("reconcile_errors", "Reconciles failed, by category", self.errors.clone());
        registry.register("api_writes", "Writes to the API server", self.writes.clone());
        registry.register("pipelines", "Pipelines by phase", self.pipelines.clone());
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}
