//! A pipeline at rest, of which nothing has been seen to change, is looked at lightly: its pods are asked and its topics have
//! their turn, and what it owns is not listed. Only I/O.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use kpay_control::names::PIPELINE_LABEL;
use kpay_control::owner::place;
use kpay_control::report::Reports;
use kpay_control::validate::ValidatedPipeline;
use kpay_crds::{PaymentPipeline, PaymentPipelineStatus};
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use parking_lot::Mutex;

use crate::context::Context;
use crate::error::Error;
use crate::topics::turn;
use crate::{observe, pods};

/// Until what a pipeline owns is listed though no watch has told of a change, which may have been lost.
pub const WHOLE_EVERY: Duration = Duration::from_mins(10);

/// How often something that a pipeline owns has changed, as far as the watches have told.
#[derive(Debug, Default)]
pub struct Changes(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Anything may have changed in a gap of a watch.
    gaps: u64,
    /// By the name of the pipeline: one that was deleted and made anew is told of what the one before had.
    of: HashMap<String, u64>,
}

impl Changes {
    /// Notes what a watch tells of an object.
    pub fn note<K: ResourceExt>(&self, event: &Event<K>) {
        let mut counts = self.0.lock();
        match event {
            Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => {
                let namespace = object.namespace().unwrap_or_default();
                let owners = object.owner_references().iter().map(|owner| &owner.name);
                for name in owners.chain(object.labels().get(PIPELINE_LABEL)) {
                    *counts.of.entry(format!("{namespace}/{name}")).or_default() += 1;
                }
            }
            Event::Init => counts.gaps += 1,
            Event::InitDone => {}
        }
    }

    /// How many there have been of this pipeline.
    pub fn seen(&self, pipeline: &PaymentPipeline) -> u64 {
        let counts = self.0.lock();
        counts.gaps + counts.of.get(&place(pipeline)).copied().unwrap_or_default()
    }

    /// Forgets those of all other pipelines.
    pub fn forget_all_but<'a>(&self, pipelines: impl Iterator<Item = &'a PaymentPipeline>) {
        let there: HashSet<String> = pipelines.map(place).collect();
        let mut counts = self.0.lock();
        counts.of.retain(|name, _| there.contains(name));
        counts.of.shrink_to_fit();
    }
}

/// What a whole look has left that wrote nothing and waits for nothing.
#[derive(Clone, Debug)]
pub struct Rest {
    /// The resource as it was then.
    version: Option<String>,
    /// Of what it owns, that had been seen when the look began.
    changes: u64,
    /// What the pods said.
    said: u64,
    /// When to look at everything again.
    pub until: Instant,
}

impl Rest {
    /// After a look that began when `changes` had been seen, if all may be left as it is for so long.
    pub fn new(resource: &PaymentPipeline, changes: u64, said: &Reports, lasts: Duration) -> Self {
        let until = Instant::now() + lasts.min(WHOLE_EVERY);
        Self { version: resource.resource_version(), changes, said: digest(said), until }
    }
}

/// For how long a pipeline may be left as it is, by a light look; none when it needs a whole one.
pub async fn lasts(
    resource: &PaymentPipeline,
    pipeline: &ValidatedPipeline,
    status: &PaymentPipelineStatus,
    context: &Context,
) -> Result<Option<Duration>, Error> {
    let (rest, topics) = context.remember(resource, |memory| (memory.rest.clone(), memory.topics.clone()));
    let (Some(rest), Some((_, _, topics))) = (rest, topics) else { return Ok(None) };
    let left = rest.until.saturating_duration_since(Instant::now());
    if left.is_zero()
        || rest.changes != context.changes.seen(resource)
        || rest.version != resource.resource_version()
    {
        return Ok(None);
    }
    if turn::take(resource, pipeline, status, false, context).await != topics {
        return Ok(None);
    }
    let pods = observe::pods(&context.client, &pipeline.namespace, &pipeline.name).await?;
    let said = pods::ask(context.pods.as_ref(), &pods).await;
    Ok((digest(&said) == rest.said).then_some(left))
}

/// Answers are only ever compared with those of the same process.
fn digest(reports: &Reports) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{reports:?}").hash(&mut hasher);
    hasher.finish()
}
