//! What the `TopicsReady` condition says of all topics. Pure.

use std::collections::BTreeMap;

use kpay_crds::{TopicOrigin, TopicReport, TopicReportState};

use super::{TopicPlan, TopicRefusal, told};
use crate::names::TopicName;
use crate::status::{Verdict, WIPE_REQUIRED};
use crate::validate::ValidatedPipeline;

impl TopicPlan {
    /// What the broker would not do, by topic, and in its words.
    pub fn note_failures(&mut self, pipeline: &ValidatedPipeline, failures: &BTreeMap<String, String>) {
        for (name, report) in &mut self.reports {
            let topic = pipeline.topic(*name);
            if let Some(words) = failures.get(&topic) {
                report.state = Some(TopicReportState::Refused);
                report.message = Some(format!("the broker refuses it: {words}"));
                self.failed.push(format!("{topic}: {words}"));
            }
        }
    }

    /// Whether every topic may be used: it is the pipeline's own, or one that it may use as it is.
    pub fn usable(&self) -> bool {
        self.reports.values().all(|report| report.origin.is_some())
    }

    /// The `TopicsReady` condition.
    pub fn verdict(&self) -> Verdict {
        let no = |reason, message: String| Verdict::new(Some(false), reason, message);
        if !self.foreign.is_empty() {
            return no("TopicsExist", exist(&self.foreign));
        }
        if !self.failed.is_empty() {
            return no("BrokerRefused", self.failed.join("; "));
        }
        if !self.refusals.is_empty() {
            let wipe = self.refusals.iter().all(|refusal| matches!(refusal, TopicRefusal::NeedsWipe { .. }));
            let all: Vec<String> = told(&self.refusals).into_iter().map(ToString::to_string).collect();
            let reason = if wipe { WIPE_REQUIRED } else { "PartitionsRefused" };
            return no(reason, all.join("; "));
        }
        if !self.unfit.is_empty() {
            let then = "have it changed there, or declare it in spec.topics as it is";
            return no("TopicsUnfit", format!("{}; {then}", self.unfit.join("; ")));
        }
        let creating: Vec<&str> = self
            .reports
            .iter()
            .filter(|(_, report)| report.state == Some(TopicReportState::Creating))
            .map(|(name, _)| name.as_str())
            .collect();
        if !creating.is_empty() {
            return no("Creating", format!("not there yet: {}", creating.join(", ")));
        }
        if !self.claimed.is_empty() {
            return no("Adopting", format!("become the pipeline's own: {}", self.claimed.join(", ")));
        }
        let unmanaged = self.reports.iter().filter(|(_, r)| r.origin == Some(TopicOrigin::Unmanaged));
        let differ = |(name, report): (&TopicName, &TopicReport)| {
            Some(format!("{}: {}", name.as_str(), report.message.as_deref()?))
        };
        let differ: Vec<String> = unmanaged.filter_map(differ).collect();
        if !differ.is_empty() {
            let by_others = "topics that others manage differ from what is declared: ";
            return Verdict::new(Some(true), "OthersDiffer", format!("{by_others}{}", differ.join("; ")));
        }
        Verdict::new(Some(true), "AsDeclared", "every topic is as declared")
    }
}

fn exist(topics: &[String]) -> String {
    format!(
        "there already, and not made by this pipeline: {}; set spec.topics.existing to Adopt to go on with the payments and \
         balances in them as the pipeline's own, or to CheckOnly to use them and leave their settings to others; or make the \
         pipeline with another spec.kafka.topicPrefix",
        topics.join(", ")
    )
}
