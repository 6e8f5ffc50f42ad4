//! Which topics are the pipeline's own. Pure.
//!
//! Kafka cannot say whose a topic is, so the status does: `status.topics.<name>.origin`, written before the first change.
//! An operator that ends between the two finds its topics again, made or not; and a pipeline that is made anew under a name
//! whose topics stayed knows nothing of them, since its status is empty.

use std::collections::BTreeMap;

use kpay_crds::{PaymentPipelineStatus, TopicOrigin, TopicReport};

use crate::names::TopicName;

/// Where the topics come from that the pipeline knows, its own and those that others manage.
pub type Claims = BTreeMap<TopicName, TopicOrigin>;

/// What the status says.
pub fn claims(status: &PaymentPipelineStatus) -> Claims {
    // An operator from before origins were written took every topic for its pipeline's own. Of those that a wipe was making
    // anew its status does not tell.
    let before = |report: &TopicReport| report.origin.is_none() && report.state.is_none();
    if status.topics.values().any(before) {
        return TopicName::ALL.map(|name| (name, TopicOrigin::Created)).into();
    }
    let known = |name: TopicName| Some((name, status.topics.get(name.as_str())?.origin?));
    TopicName::ALL.into_iter().filter_map(known).collect()
}

/// Whether the operator may change and delete it.
pub fn is_own(origin: TopicOrigin) -> bool {
    match origin {
        TopicOrigin::Created | TopicOrigin::Adopted => true,
        TopicOrigin::Unmanaged => false,
    }
}

/// The topics that may be changed and deleted.
pub fn own(claims: &Claims) -> impl Iterator<Item = TopicName> {
    claims.iter().filter(|(_, origin)| is_own(**origin)).map(|(name, _)| *name)
}
