//! What a worker holds in memory is what the log says, after each commit, each abort and each restore.

use std::collections::BTreeMap;

use kpay::ids::CommittedIds;
use kpay::names::StageName;
use kpay::stage::account::Accounts as Held;
use kpay_domain::Account;

use super::{Books, Checked, index, wrong};

/// What a worker shows of its state.
pub enum View<'a> {
    /// Of the inflight stage, and of the confirmed stage.
    Ids(&'a CommittedIds),
    /// Of the account stage.
    Accounts(&'a Held),
}

impl Books {
    /// Checks one partition that the worker owns. `metadata` is what it reports of it.
    pub fn holds(&self, stage: StageName, partition: i32, metadata: &str, view: &View<'_>) -> Checked {
        let who = format!("{} {partition}", stage.as_str());
        let told = metadata.split('|').next().unwrap_or_default();
        let expected = self.told(stage, partition).unwrap_or_default();
        if told != expected {
            return wrong("report", format!("{who} reports {metadata}, should be {expected}"));
        }
        match (stage, view) {
            (StageName::Account, View::Accounts(held)) => self.holds_accounts(partition, held, &who),
            (StageName::Inflight, View::Ids(ids)) => self.holds_ids(partition, ids, &who),
            (StageName::Confirmed, View::Ids(ids)) => self.holds_outcomes(partition, ids, &who),
            _ => wrong("state", format!("{who} shows another stage's state")),
        }
    }

    fn holds_accounts(&self, partition: i32, held: &Held, who: &str) -> Checked {
        let mut found: BTreeMap<String, Account> = BTreeMap::new();
        held.each(partition, &mut |id, account| {
            found.insert(id.as_str().to_owned(), account.clone());
        });
        let mut count = 0;
        for (id, account) in self.accounts.of(partition) {
            count += 1;
            if found.get(id) != Some(account) {
                return wrong("state", format!("{who}: {id} is {:?}, should be {account:?}", found.get(id)));
            }
        }
        if found.len() > count {
            return wrong("state", format!("{who} holds accounts that are not in the ledger: {found:?}"));
        }
        Ok(())
    }

    fn holds_ids(&self, partition: i32, ids: &CommittedIds, who: &str) -> Checked {
        for (id, known) in self.known.iter().filter(|(_, k)| k.partition == partition) {
            let offset = ids.get(partition, &known.hash).flatten().map(|k| k.offset);
            if offset != Some(known.offset) {
                return wrong("state", format!("{who}: {id} is at {offset:?}, should be {}", known.offset));
            }
        }
        Ok(())
    }

    fn holds_outcomes(&self, partition: i32, ids: &CommittedIds, who: &str) -> Checked {
        let until = self.consumed.get(&(StageName::Confirmed, partition)).copied().unwrap_or(0);
        // Of a held payment the newest outcome counts.
        let newest: BTreeMap<&str, i64> = self.outcomes[index(partition)]
            .range(..until)
            .map(|(offset, outcome)| (outcome.id().as_str(), *offset))
            .collect();
        for (id, offset) in newest {
            let found = ids.get(partition, &self.known[id].hash).flatten().map(|k| k.offset);
            if found != Some(offset) {
                return wrong("state", format!("{who}: {id} is at {found:?}, should be {offset}"));
            }
        }
        Ok(())
    }
}
