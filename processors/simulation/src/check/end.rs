//! The end of a run: nothing is left over, and the topics themselves say what the journal said.

use std::collections::BTreeMap;

use kpay::names::{StageName, TopicName};
use kpay_domain::{Account, LedgerEntry};

use super::{Books, Checked, index, wrong};
use crate::request::Sent;
use crate::topology::Topology;

impl Books {
    /// What is still to be done; empty when everything is.
    pub fn backlog(&self) -> String {
        let mut backlog = Vec::new();
        let mut look = |stage: StageName, partition: usize, last: Option<i64>| {
            let partition = i32::try_from(partition).unwrap();
            let consumed = self.consumed.get(&(stage, partition)).copied().unwrap_or(0);
            if let Some(last) = last.filter(|last| consumed <= *last) {
                backlog.push(format!("{} {partition}: {consumed} of {}", stage.as_str(), last + 1));
            }
        };
        for (partition, records) in self.incoming.iter().enumerate() {
            look(StageName::Inflight, partition, records.keys().next_back().copied());
        }
        for (partition, records) in self.commands.iter().enumerate() {
            look(StageName::Account, partition, records.keys().next_back().copied());
        }
        for (partition, records) in self.outcomes.iter().enumerate() {
            look(StageName::Confirmed, partition, records.keys().next_back().copied());
        }
        backlog.join("; ")
    }

    /// Everything that can be read has one outcome, no money is on its way, and the topics agree.
    pub fn close(&self, topology: &Topology) -> Checked {
        for (_, sent) in self.incoming.iter().flat_map(BTreeMap::values) {
            if let Sent::Good(request) = sent
                && !self.known.get(&request.id).is_some_and(super::Known::is_over)
            {
                return wrong("lost", format!("{request:?} has no outcome"));
            }
        }
        if self.accounts.flying() != 0 || self.in_flight() != 0 {
            let (money, count) = (self.accounts.flying(), self.in_flight());
            return wrong("in_flight", format!("{money} of {count} are left on the way"));
        }
        for topic in TopicName::ALL {
            let partitions = 0..topology.partitions(topic);
            let count: usize =
                partitions.map(|p| topology.cluster.committed(&topology.name(topic), p).len()).sum();
            let expected = self.records.get(&topic).copied().unwrap_or(0);
            // Compaction takes from the checkpoints what is superseded.
            if expected != count && topic != TopicName::Checkpoints {
                return wrong("topics", format!("{} has {count} records, not {expected}", topic.as_str()));
            }
        }
        for partition in 0..topology.inflight {
            self.ledger(topology, partition)?;
        }
        for (partition, known) in self.known.values().map(|k| (k.partition, k)) {
            if !self.incoming[index(partition)].contains_key(&known.offset) {
                return wrong("invented", format!("{known:?}"));
            }
        }
        Ok(())
    }

    /// The ledger by its offsets gives the same accounts as by the order of the transactions.
    fn ledger(&self, topology: &Topology, partition: i32) -> Checked {
        let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
        for record in topology.cluster.committed(&topology.name(TopicName::Ledger), partition) {
            let entry = LedgerEntry::decode(record.value.as_deref().unwrap_or_default());
            let entry = entry.or_else(|e| wrong("readable", format!("account.ledger {record:?}: {e}")))?;
            let id = entry.account.as_str().to_owned();
            let before = accounts.insert(id, entry.state());
            let expected = before.map_or(0, |b| b.version) + 1;
            if entry.version != expected {
                return wrong("version", format!("{entry:?} lies where {expected} should be"));
            }
        }
        let expected = self.accounts.of(partition).map(|(id, a)| (id.clone(), a.clone())).collect();
        if accounts == expected {
            return Ok(());
        }
        wrong("ledger", format!("{partition}: {accounts:?}, should be {expected:?}"))
    }
}
