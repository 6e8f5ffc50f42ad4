//! The stages with their topics, under the names that the operator made. Pure.

use kpay_control::names::{self, Component};
use kpay_streams::out::TopicIndex;

pub use kpay_control::names::TopicName;

/// A stage of the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum StageName {
    /// Known ids, validation, the intake's gate.
    Inflight,
    /// Balances and the ledger.
    Account,
    /// Outcomes for the outside, totals, status.
    Confirmed,
}

impl StageName {
    /// Every stage, in the order of the flow.
    pub const ALL: [Self; 3] = [Self::Inflight, Self::Account, Self::Confirmed];

    /// The workload that runs it.
    pub fn component(self) -> Component {
        match self {
            Self::Inflight => Component::Inflight,
            Self::Account => Component::Account,
            Self::Confirmed => Component::Confirmed,
        }
    }

    /// As in names of topics, groups and pods.
    pub fn as_str(self) -> &'static str {
        self.component().as_str()
    }

    /// The topic that the stage reads.
    pub fn input(self) -> TopicName {
        match self {
            Self::Inflight => TopicName::Incoming,
            Self::Account => TopicName::Inflight,
            Self::Confirmed => TopicName::Complete,
        }
    }

    /// The topics of the stage: the input, then what it writes or restores from.
    pub fn topics(self) -> &'static [TopicName] {
        use TopicName::{Checkpoints, Complete, Confirmed, Dlq, Incoming, Inflight, Ledger};
        match self {
            Self::Inflight => &[Incoming, Inflight, Complete, Dlq],
            Self::Account => &[Inflight, Ledger, Checkpoints, Complete, Dlq],
            Self::Confirmed => &[Complete, Confirmed, Dlq],
        }
    }

    /// Where a topic stands in [`StageName::topics`].
    ///
    /// # Panics
    /// When the stage has no such topic: the stages are tested with theirs.
    pub fn index(self, topic: TopicName) -> TopicIndex {
        let found = self.topics().iter().position(|t| *t == topic);
        TopicIndex(found.expect("a stage asks only for its own topics"))
    }
}

/// The names of one pipeline.
#[derive(Debug, Clone)]
pub struct Names {
    /// Before every topic, group and transactional id.
    pub prefix: String,
}

impl Names {
    /// Full name of a topic.
    pub fn topic(&self, topic: TopicName) -> String {
        format!("{}{}", self.prefix, topic.as_str())
    }

    /// The consumer group of a stage.
    pub fn group(&self, stage: StageName) -> String {
        names::group(&self.prefix, stage.component())
    }
}
