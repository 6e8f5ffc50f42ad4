//! The topics and groups of a wipe. Only I/O.

use std::collections::BTreeMap;

use kpay_control::names::{Component, REBUILT_TOPIC, TopicName, group, workload};
use kpay_control::topics::claims;
use kpay_control::validate::DesiredTopic;
use kpay_control::wipe::{DERIVED, Look, WipeRefusal, confirmation, inventory};
use kpay_crds::WipeInventory;
use kube::ResourceExt;

use super::Wipe;
use crate::broker::{Broker, BrokerError};
use crate::topics::{blocking, remove_members};

impl Wipe<'_> {
    pub(super) async fn inventory(
        &self,
    ) -> Result<Result<(WipeInventory, String), WipeRefusal>, BrokerError> {
        let names = TopicName::ALL.map(|topic| self.pipeline.topic(topic));
        let actual = self.ask(move |broker| broker.topics(&names)).await?;
        let uid = self.resource.uid().unwrap_or_default();
        let claims = claims(&self.resource.status.clone().unwrap_or_default());
        Ok(inventory(&self.pipeline, &claims, &actual).map(|found| {
            let stands_for = confirmation(&uid, &found);
            (found, stands_for)
        }))
    }

    /// Takes every member of the stages' pods out of their groups: they are static, and would count as members until their
    /// sessions end.
    pub(super) async fn dismiss(&self) -> Result<(), BrokerError> {
        for stage in Component::STAGES {
            let own = self.pipeline.release(stage).processors.get(stage.as_str());
            let workers = own.map_or(1, |own| own.workers.max(1));
            // No stage can use more pods than there are partitions.
            let name = workload(&self.pipeline.name, stage);
            let pods = 0..self.pipeline.partitions(stage).max(self.pipeline.replicas(stage));
            let members = pods.flat_map(|pod| (0..workers).map(move |worker| (pod, worker)));
            let members = members.map(|(pod, worker)| format!("{name}-{pod}-{worker}")).collect();
            remove_members(&self.context.brokers, &self.pipeline, stage, members).await?;
        }
        Ok(())
    }

    /// A topic as it is declared, with as many partitions as were confirmed: the spec may have changed since.
    fn confirmed(&self, name: TopicName, inventory: &WipeInventory) -> Option<(String, DesiredTopic)> {
        let (topic, mut desired) = (self.pipeline.topic(name), self.pipeline.topics.get(&name).cloned()?);
        let listed = inventory.deleted.iter().chain(&inventory.grown).find(|listed| listed.topic == topic);
        if let Some(listed) = listed {
            desired.partitions = listed.becomes;
        }
        Some((topic, desired))
    }

    /// A topic for the accounts, as the checkpoints will be; false while one of another wipe is in its place.
    pub(super) async fn make_room(&self, inventory: &WipeInventory) -> Result<bool, BrokerError> {
        let Some((_, desired)) = self.confirmed(TopicName::Checkpoints, inventory) else { return Ok(false) };
        let topic = self.rebuilt_topic();
        let make = move |broker: &dyn Broker| match broker.topics(std::slice::from_ref(&topic))?.get(&topic) {
            Some(found) if found.partitions == desired.partitions => Ok(true),
            Some(_) => broker.delete_topic(&topic).map(|()| false),
            None => broker.create_topics(&[(topic, desired)]).map(|()| true),
        };
        self.ask(make).await
    }

    fn rebuilt_topic(&self) -> String {
        format!("{}{REBUILT_TOPIC}", self.pipeline.topic_prefix)
    }

    pub(super) async fn drop_room(&self) -> Result<(), BrokerError> {
        let topic = self.rebuilt_topic();
        self.ask(move |broker| broker.delete_topic(&topic)).await
    }

    /// Through when none of the derived topics is there.
    pub(super) async fn delete_derived(&self) -> Look {
        let derived = DERIVED.map(|topic| self.pipeline.topic(topic));
        let delete = move |broker: &dyn Broker| {
            let left: Vec<String> = broker.topics(&derived)?.into_keys().collect();
            left.iter().try_for_each(|topic| broker.delete_topic(topic))?;
            Ok(left)
        };
        match self.ask(delete).await {
            Ok(left) if left.is_empty() => Look::Done("what is derived is deleted".to_owned()),
            Ok(left) => Look::Waits(format!("are being deleted: {}", left.join(", "))),
            Err(reason) => Look::Waits(format!("waits for Kafka: {reason}")),
        }
    }

    /// Makes them anew, gives the ledger what it lacks, and lets the group of the account stage begin anew.
    pub(super) async fn create(&self, inventory: &WipeInventory) -> Look {
        let wanted = |name: TopicName| self.confirmed(name, inventory);
        let derived: Vec<(String, DesiredTopic)> = DERIVED.into_iter().filter_map(wanted).collect();
        // One that was not to grow has enough, whatever the spec says by now.
        let ledger = wanted(TopicName::Ledger).filter(|(topic, _)| !inventory.kept.contains(topic));
        let names = TopicName::ALL.map(|topic| self.pipeline.topic(topic));
        let group = group(&self.pipeline.topic_prefix, Component::Account);
        let input = self.pipeline.topic(TopicName::Inflight);
        let create = move |broker: &dyn Broker| {
            broker.create_topics(&derived)?;
            let has = |actual: &BTreeMap<_, kpay_control::topics::TopicState>, topic: &String| {
                actual.get(topic).map_or(0, |state| state.partitions)
            };
            let mut actual = broker.topics(&names)?;
            if let Some((topic, desired)) = &ledger
                && has(&actual, topic) < desired.partitions
            {
                broker.create_partitions(topic, desired.partitions)?;
                actual = broker.topics(&names)?;
            }
            let made = |(topic, desired): &(String, DesiredTopic)| has(&actual, topic) == desired.partitions;
            let grown = |(topic, desired): &(String, DesiredTopic)| has(&actual, topic) >= desired.partitions;
            if !derived.iter().all(made) || !ledger.iter().all(grown) {
                return Ok(false);
            }
            let begins = (0..has(&actual, &input)).map(|partition| (partition, (0, String::new())));
            broker.commit(&group, &input, &begins.collect())?;
            Ok(true)
        };
        match self.ask(create).await {
            Ok(true) => Look::Done("made anew, and the group of the account stage begins anew".to_owned()),
            Ok(false) => Look::Waits("topics are being made".to_owned()),
            Err(reason) => Look::Waits(format!("waits for Kafka: {reason}")),
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Broker) -> Result<T, BrokerError> + Send + 'static,
    ) -> Result<T, BrokerError> {
        blocking(&self.context.brokers, &self.pipeline.bootstrap_servers, call).await
    }
}
