//! The lists that the account stage gives, part by part. Pure.

use crate::gateway::owners::Owners;
use crate::names::StageName;
use crate::pod::pages::{HoldsQuery, LedgerQuery};

/// A list of the account stage's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listing {
    /// The accounts of a partition with an id above `after`.
    Accounts { partition: i32, after: String, limit: usize },
    /// Entries of an account.
    Ledger(LedgerQuery),
    /// The held payments of a partition.
    Holds(HoldsQuery),
}

impl Listing {
    /// What a pod is asked.
    pub(super) fn path(&self) -> String {
        match self {
            Self::Accounts { partition, after, limit } => {
                format!("/internal/v1/accounts?partition={partition}&after={after}&limit={limit}")
            }
            Self::Ledger(LedgerQuery { account, from, limit, newest_first }) => {
                let from = from.map_or_else(String::new, |from| format!("&from={from}"));
                let query = format!("limit={limit}&newestFirst={newest_first}{from}");
                format!("/internal/v1/accounts/{account}/ledger?{query}")
            }
            Self::Holds(HoldsQuery { partition, after, limit }) => {
                let after = after.as_ref().map_or_else(String::new, |after| format!("&after={after}"));
                format!("/internal/v1/holds?partition={partition}&limit={limit}{after}")
            }
        }
    }

    /// The partition that it is of, where the asker chose one.
    pub(super) fn partition(&self) -> Option<i32> {
        match self {
            Self::Accounts { partition, .. } | Self::Holds(HoldsQuery { partition, .. }) => Some(*partition),
            Self::Ledger(_) => None,
        }
    }

    /// Where it is asked for.
    pub(super) fn owner<'a>(&self, owners: &'a Owners) -> Option<&'a str> {
        match self {
            Self::Accounts { partition, .. } | Self::Holds(HoldsQuery { partition, .. }) => {
                owners.owner_of(StageName::Account, *partition)
            }
            Self::Ledger(query) => owners.owner(StageName::Account, &query.account),
        }
    }
}
