//! Keeps the topics as declared, and asks groups how far they are. Only I/O; what to change is decided by
//! `kpay_control::topics`.

pub mod turn;

use std::collections::BTreeMap;
use std::sync::Arc;

use kpay_control::autoscale::Offsets;
use kpay_control::drain::GroupProgress;
use kpay_control::names::{Component, TopicName, group};
use kpay_control::start::{StartFrom, StartRefusal, metadata, resolve};
use kpay_control::status::Verdict;
use kpay_control::topics::{Claims, TopicChange, TopicState, plan, while_wiped};
use kpay_control::validate::ValidatedPipeline;
use kpay_control::wipe::Mark;
use kpay_crds::TopicReport;

use crate::broker::{Broker, BrokerError, Brokers};

/// What a pass over the topics found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicsPass {
    /// What there is, by name without the prefix; none when nobody looked, or it is what the status says.
    pub report: Option<BTreeMap<String, TopicReport>>,
    /// The `TopicsReady` condition.
    pub verdict: Verdict,
    /// Whether it is settled where the intake begins; none when that was not asked.
    pub begun: Option<bool>,
    /// Whether pods may be made that use the topics.
    pub usable: bool,
    /// What the pipeline knew of its topics before.
    pub claims: Claims,
}

/// Makes the topics what the pipeline declares, as far as that is safe and they are its own by `claims`. With `first` the
/// intake has never started: where it begins is decided once they are as declared, and once for ever.
pub async fn keep(
    brokers: &Arc<dyn Brokers>,
    pipeline: &ValidatedPipeline,
    claims: &Claims,
    first: bool,
) -> TopicsPass {
    let (wanted, known) = (pipeline.clone(), claims.clone());
    let keep = move |broker: &dyn Broker| keep_blocking(broker, &wanted, known, first);
    match blocking(brokers, &pipeline.bootstrap_servers, keep).await {
        Ok(pass) => pass,
        Err(reason) => TopicsPass {
            report: None,
            begun: first.then_some(false),
            // Whose they are cannot be told.
            usable: !claims.is_empty(),
            claims: claims.clone(),
            verdict: Verdict::new(
                None,
                "KafkaUnreachable",
                format!("cannot look after the topics at {}: {reason}", pipeline.bootstrap_servers),
            ),
        },
    }
}

/// How far the groups of these stages are; `None` for one that the broker does not tell.
pub async fn progress(
    brokers: &Arc<dyn Brokers>,
    pipeline: &ValidatedPipeline,
    stages: &[Component],
) -> BTreeMap<Component, GroupProgress> {
    let asked = groups(pipeline, stages);
    let ask = move |broker: &dyn Broker| {
        let answer = |(stage, group, topic): (Component, String, String)| {
            let progress = broker.group_progress(&group, &topic);
            if let Err(reason) = &progress {
                tracing::warn!(group, %reason, "no progress of the group");
            }
            (stage, progress.ok())
        };
        Ok(asked.into_iter().map(answer).collect())
    };
    blocking(brokers, &pipeline.bootstrap_servers, ask).await.unwrap_or_else(|reason| {
        tracing::warn!(%reason, "no progress of the groups");
        BTreeMap::new()
    })
}

/// How much every stage has left; `None` when the broker does not tell of all.
pub async fn offsets(
    brokers: &Arc<dyn Brokers>,
    pipeline: &ValidatedPipeline,
) -> Option<BTreeMap<Component, Offsets>> {
    let asked = groups(pipeline, &Component::STAGES);
    let ask = move |broker: &dyn Broker| {
        asked
            .into_iter()
            .map(|(stage, group, topic)| Ok((stage, broker.group_offsets(&group, &topic)?)))
            .collect()
    };
    let told = blocking(brokers, &pipeline.bootstrap_servers, ask).await;
    told.inspect_err(|reason| tracing::warn!(%reason, "no offsets of the groups")).ok()
}

/// How many dead letters there have been; `None` when the broker does not tell.
pub async fn dead_letters(brokers: &Arc<dyn Brokers>, pipeline: &ValidatedPipeline) -> Option<i64> {
    // Any group will do: only the end is looked at.
    let (group, topic) = (group(&pipeline.topic_prefix, Component::Inflight), pipeline.topic(TopicName::Dlq));
    let ask = move |broker: &dyn Broker| broker.group_offsets(&group, &topic);
    let told = blocking(brokers, &pipeline.bootstrap_servers, ask).await;
    told.inspect_err(|reason| tracing::warn!(%reason, "no count of the dead letters")).ok().map(|o| o.end)
}

/// Takes members that do not come back out of a stage's group.
pub async fn remove_members(
    brokers: &Arc<dyn Brokers>,
    pipeline: &ValidatedPipeline,
    stage: Component,
    instances: Vec<String>,
) -> Result<(), BrokerError> {
    let group = group(&pipeline.topic_prefix, stage);
    blocking(brokers, &pipeline.bootstrap_servers, move |broker| broker.remove_members(&group, &instances))
        .await
}

/// The stages with their groups and the topics that they read.
fn groups(pipeline: &ValidatedPipeline, stages: &[Component]) -> Vec<(Component, String, String)> {
    let of = |stage: &Component| {
        Some((*stage, group(&pipeline.topic_prefix, *stage), pipeline.topic(stage.input()?)))
    };
    stages.iter().filter_map(of).collect()
}

/// Deletes these topics.
pub async fn delete(
    brokers: &Arc<dyn Brokers>,
    bootstrap_servers: &str,
    topics: Vec<String>,
) -> Result<(), BrokerError> {
    blocking(brokers, bootstrap_servers, move |broker| {
        topics.iter().try_for_each(|topic| broker.delete_topic(topic))
    })
    .await
}

pub(crate) async fn blocking<T: Send + 'static>(
    brokers: &Arc<dyn Brokers>,
    bootstrap_servers: &str,
    call: impl FnOnce(&dyn Broker) -> Result<T, BrokerError> + Send + 'static,
) -> Result<T, BrokerError> {
    let (brokers, servers) = (Arc::clone(brokers), bootstrap_servers.to_owned());
    tokio::task::spawn_blocking(move || call(brokers.open(&servers)?.as_ref())).await?
}

/// Commits where the intake begins, for its group, unless that has committed before. `Earliest` needs no commit: it is
/// where a group begins that has none. Safe to repeat: what is committed is never decided anew.
///
/// # Errors
/// When the broker does not do it. A start that the topic does not have is a value.
pub fn begin(
    broker: &dyn Broker,
    pipeline: &ValidatedPipeline,
) -> Result<Result<(), StartRefusal>, BrokerError> {
    if pipeline.start_from == StartFrom::Earliest {
        return Ok(Ok(()));
    }
    let topic = pipeline.topic(TopicName::Incoming);
    let group = group(&pipeline.topic_prefix, Component::Inflight);
    if !broker.committed(&group, &topic)?.is_empty() {
        return Ok(Ok(()));
    }
    let offsets = match resolve(&pipeline.start_from, &broker.ends(&topic, pipeline.start_from.time_ms())?) {
        Ok(offsets) => offsets,
        Err(refusal) => return Ok(Err(refusal)),
    };
    tracing::info!(group, ?offsets, "the intake begins");
    let offsets = offsets.into_iter().map(|(partition, offset)| (partition, (offset, metadata(offset))));
    broker.commit(&group, &topic, &offsets.collect())?;
    Ok(Ok(()))
}

fn keep_blocking(
    broker: &dyn Broker,
    pipeline: &ValidatedPipeline,
    claims: Claims,
    first: bool,
) -> Result<TopicsPass, BrokerError> {
    let names = TopicName::ALL.map(|topic| pipeline.topic(topic));
    let mut actual = broker.topics(&names)?;
    // While a wipe is at them they are its own.
    if pipeline.wipe == Some(Mark::Stop) {
        let said = "a wipe makes topics anew, see the PipelineOperation";
        return Ok(TopicsPass {
            report: Some(by_name(while_wiped(pipeline, &claims, &actual))),
            verdict: Verdict::new(Some(false), "Wiping", said),
            begun: first.then_some(false),
            usable: true,
            claims,
        });
    }
    let changes = plan(pipeline, &claims, &actual).changes;
    let failures = carry_out(broker, pipeline, &changes, &mut actual)?;
    let mut plan = plan(pipeline, &claims, &actual);
    plan.note_failures(pipeline, &failures);
    let (mut verdict, mut begun) = (plan.verdict(), first.then_some(false));
    if first && verdict.status == Some(true) {
        match begin(broker, pipeline)? {
            Ok(()) => begun = Some(true),
            Err(refusal) => verdict = Verdict::new(Some(false), "StartRefused", refusal.to_string()),
        }
    }
    Ok(TopicsPass { usable: plan.usable(), report: Some(by_name(plan.reports)), verdict, begun, claims })
}

/// Carries changes out and brings `actual` up to date. What the broker refuses of a topic is a value, in its words.
fn carry_out(
    broker: &dyn Broker,
    pipeline: &ValidatedPipeline,
    changes: &[TopicChange],
    actual: &mut BTreeMap<String, TopicState>,
) -> Result<BTreeMap<String, String>, BrokerError> {
    let mut failures = BTreeMap::new();
    let mut note = |done: Result<(), BrokerError>| match done {
        Ok(()) => Ok(()),
        Err(error) => match error.topic() {
            Some(topic) => {
                failures.insert(topic.to_owned(), error.to_string());
                Ok(())
            }
            None => Err(error),
        },
    };
    let mut missing = Vec::new();
    for change in changes {
        match change {
            TopicChange::Create { topic, desired } => missing.push((topic.clone(), desired.clone())),
            TopicChange::Alter { topic, set } => note(broker.alter_config(topic, set))?,
            TopicChange::Grow { topic, partitions } => note(broker.create_partitions(topic, *partitions))?,
        }
    }
    if !missing.is_empty() {
        note(broker.create_topics(&missing))?;
        *actual = broker.topics(&TopicName::ALL.map(|topic| pipeline.topic(topic)))?;
    }
    // The broker has taken these; the one that is asked next may not know yet.
    for change in changes.iter().filter(|change| !failures.contains_key(change.topic())) {
        let Some(state) = actual.get_mut(change.topic()) else { continue };
        match change {
            TopicChange::Create { .. } => {}
            TopicChange::Alter { set, .. } => state.config.extend(set.clone()),
            TopicChange::Grow { partitions, .. } => state.partitions = *partitions,
        }
    }
    Ok(failures)
}

fn by_name(reports: BTreeMap<TopicName, TopicReport>) -> BTreeMap<String, TopicReport> {
    reports.into_iter().map(|(name, report)| (name.as_str().to_owned(), report)).collect()
}
