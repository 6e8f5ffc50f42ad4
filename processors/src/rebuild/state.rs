//! Accounts as the topics have them: read, compared, counted, and laid out for other partitions. Pure; the time is an
//! argument.

use std::collections::{BTreeMap, HashMap};

use kpay_crds::RecordedAccounts;
use kpay_domain::{Account, AccountId, AccountSnapshot, LedgerEntry, Malformed};
use kpay_kafka::partition::partition_of;
use kpay_streams::map::Map;
use kpay_streams::record::Record;

use crate::stage::account::{newest, note_account};
use crate::stage::checkpoint::{MARKER_KEY, marker_time};

/// What speaks against going on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A record that cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The ledger and the checkpoints tell two stories.
    #[error("account {account}: account.ledger ends with version {ledger}, account.checkpoints has version {checkpoint}{}", if ledger == checkpoint { ", and they differ" } else { "" })]
    Differs {
        /// Which.
        account: String,
        /// Version of the last entry.
        ledger: u64,
        /// Version of the snapshot.
        checkpoint: u64,
    },
    /// A note of no account.
    #[error("account.checkpoints has a note that is of no account: {0:?}")]
    Homeless(String),
    /// A record in a partition that is not that of its account.
    #[error("{0:?} lies in another partition than its account")]
    Astray(String),
    /// More money than a number holds.
    #[error("the balances in {0} come to more than can be counted")]
    Overflow(String),
}

/// Takes a record: its partition, key and value.
pub type Write<'a> = &'a mut dyn FnMut(i32, &[u8], &[u8]) -> anyhow::Result<()>;

/// What the ledger has of each account: the last entry.
#[derive(Debug, Default)]
pub struct Ledgered(Map<AccountId, Account>);

impl Ledgered {
    /// Takes one entry, of whatever partition: an account may have been in several.
    ///
    /// # Errors
    /// One that cannot be read.
    pub fn read(&mut self, value: &[u8]) -> Result<(), StateError> {
        let entry = LedgerEntry::decode(value)?;
        let state = entry.state();
        newest(&mut self.0, entry.account, state);
        Ok(())
    }

    /// How many accounts.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What the checkpoints have: each account, and what is noted besides.
#[derive(Debug)]
pub struct Checkpointed {
    partitions: i32,
    accounts: Map<AccountId, Account>,
    notes: HashMap<Vec<u8>, Vec<u8>>,
    /// A record that is not where its account is.
    astray: Option<String>,
}

impl Checkpointed {
    /// Of a topic with so many partitions.
    pub fn new(partitions: i32) -> Self {
        Self { partitions, accounts: Map::default(), notes: HashMap::new(), astray: None }
    }

    /// Takes one record of account.checkpoints, in the order of its partition.
    ///
    /// # Errors
    /// One that cannot be read.
    pub fn read(&mut self, record: &Record<'_>) -> Result<(), StateError> {
        if marker_time(record).is_some() {
            return Ok(());
        }
        let account = if record.key.first() != Some(&0) {
            if record.value.is_empty() {
                return Ok(());
            }
            let AccountSnapshot { account, state, .. } = AccountSnapshot::decode(record.value)?;
            newest(&mut self.accounts, account.clone(), state);
            account
        } else if record.value.is_empty() {
            self.notes.remove(record.key);
            return Ok(());
        } else {
            let account = note_account(record.key, record.value)?.ok_or_else(|| homeless(record.key))?;
            self.notes.insert(record.key.to_vec(), record.value.to_vec());
            account
        };
        if partition_of(account.as_str().as_bytes(), self.partitions) != record.partition {
            self.astray.get_or_insert_with(|| account.as_str().to_owned());
        }
        Ok(())
    }

    /// The accounts as the last of both has them. What both have must be the same, and nothing may be newer in the
    /// checkpoints; what is in them alone has left the ledger by its retention.
    ///
    /// # Errors
    /// An account that differs.
    pub fn with(mut self, ledger: &Ledgered) -> Result<Self, StateError> {
        for (account, last) in ledger.0.iter() {
            match self.accounts.get(account.as_str()) {
                Some(known)
                    if known.version > last.version || known.version == last.version && known != last =>
                {
                    return Err(StateError::Differs {
                        account: account.as_str().to_owned(),
                        ledger: last.version,
                        checkpoint: known.version,
                    });
                }
                Some(_) | None => newest(&mut self.accounts, account.clone(), last.clone()),
            }
        }
        Ok(self)
    }

    /// Whether every record lies in the partition of its account.
    ///
    /// # Errors
    /// One that does not.
    pub fn at_home(&self) -> Result<(), StateError> {
        self.astray.clone().map_or(Ok(()), |account| Err(StateError::Astray(account)))
    }

    /// Shows everything as it is to be in `partitions` partitions, and at the end of each one the marker of a checkpoint
    /// that covers it.
    ///
    /// # Errors
    /// A note of no account, or what `write` says.
    pub fn write(&self, partitions: i32, now_ms: i64, write: Write<'_>) -> anyhow::Result<()> {
        let mut value = Vec::new();
        for (account, state) in self.accounts.iter() {
            value.clear();
            snapshot(account, state, now_ms).encode(&mut value);
            let key = account.as_str().as_bytes();
            write(partition_of(key, partitions), key, &value)?;
        }
        for (key, value) in &self.notes {
            let account = note_account(key, value)?.ok_or_else(|| homeless(key))?;
            write(partition_of(account.as_str().as_bytes(), partitions), key, value)?;
        }
        for partition in 0..partitions {
            write(partition, MARKER_KEY, &now_ms.to_be_bytes())?;
        }
        Ok(())
    }

    /// As few figures; their order does not matter.
    ///
    /// # Errors
    /// Balances that come to more than can be counted.
    pub fn recorded(&self) -> Result<RecordedAccounts, StateError> {
        let mut balances = BTreeMap::<String, i64>::new();
        let mut digest = 0_u128;
        let mut bytes = Vec::new();
        for (account, state) in self.accounts.iter() {
            let currency = state.currency.as_str();
            let sum = balances.entry(currency.to_owned()).or_default();
            *sum = sum
                .checked_add(state.balance_minor)
                .ok_or_else(|| StateError::Overflow(currency.to_owned()))?;
            bytes.clear();
            snapshot(account, state, 0).encode(&mut bytes);
            digest = digest.wrapping_add(hash(&[account.as_str().as_bytes(), &bytes]));
        }
        for (key, value) in &self.notes {
            digest = digest.wrapping_add(hash(&[key, value]));
        }
        Ok(RecordedAccounts {
            accounts: count(self.accounts.len()),
            balances,
            notes: count(self.notes.len()),
            digest: format!("{digest:032x}"),
        })
    }
}

fn snapshot(account: &AccountId, state: &Account, at_ms: i64) -> AccountSnapshot {
    AccountSnapshot { account: account.clone(), state: state.clone(), at_ms }
}

fn homeless(key: &[u8]) -> StateError {
    StateError::Homeless(String::from_utf8_lossy(key).into_owned())
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// 128 bits of BLAKE3 over the parts, each with its length before it.
fn hash(parts: &[&[u8]]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&part.len().to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().as_bytes().first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
