//! When it is the topics' turn to be looked at, and whether they are the pipeline's at all.

use std::time::{Duration, Instant};

use kpay_control::owner::{owner, place};
use kpay_control::status::Verdict;
use kpay_control::topics::{Claims, claims};
use kpay_control::validate::ValidatedPipeline;
use kpay_crds::{PaymentPipeline, PaymentPipelineStatus, Phase};

use super::{TopicsPass, keep};
use crate::context::Context;
use crate::reconcile::SOON;

const TOPICS_EVERY: Duration = Duration::from_mins(1);
const TOPICS_RETRY: Duration = Duration::from_secs(5);

/// What the topics are, as found now or a short while ago.
pub async fn take(
    resource: &PaymentPipeline,
    pipeline: &ValidatedPipeline,
    status: &PaymentPipelineStatus,
    first: bool,
    context: &Context,
) -> TopicsPass {
    let generation = resource.metadata.generation;
    let claims = claims(status);
    if let Some((seen, at, pass)) = context.recall(resource).topics
        && seen == generation
        // What was found without knowing what is written now says nothing of whose the topics are.
        && pass.claims == claims
        && (!first || pass.begun.is_some())
    {
        let pending = matches!(status.phase, None | Some(Phase::Pending));
        let every = match pass.verdict.status {
            Some(true) => TOPICS_EVERY,
            Some(false) if pending => SOON,
            Some(false) | None => TOPICS_RETRY,
        };
        if at.elapsed() < every {
            return pass;
        }
    }
    let mut pass = match taken(resource, pipeline, &claims, first, context) {
        Some(pass) => pass,
        None => keep(&context.brokers, pipeline, &claims, first).await,
    };
    // What the status says already is not kept twice.
    pass.report = pass.report.filter(|report| *report != status.topics);
    context.remember(resource, |memory| memory.topics = Some((generation, Instant::now(), pass.clone())));
    pass
}

/// What is said of topics that belong to another pipeline: they are not even looked at.
fn taken(
    resource: &PaymentPipeline,
    pipeline: &ValidatedPipeline,
    claims: &Claims,
    first: bool,
    context: &Context,
) -> Option<TopicsPass> {
    let all = context.probes.pipelines();
    let owner = owner(resource, all.iter().map(AsRef::as_ref))?;
    let message = format!(
        "the topics {}… at {} belong to PaymentPipeline {}, which had them first; make this pipeline with another \
         spec.kafka.topicPrefix",
        pipeline.topic_prefix,
        pipeline.bootstrap_servers,
        place(owner)
    );
    Some(TopicsPass {
        report: None,
        verdict: Verdict::new(Some(false), "TopicsTaken", message),
        begun: first.then_some(false),
        usable: false,
        claims: claims.clone(),
    })
}
