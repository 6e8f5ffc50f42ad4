//! Interactive queries: the live state of the partitions that this pod owns. Only I/O.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kpay_domain::fingerprint::id_hash;
use kpay_domain::{Account, Intake, Outcome, Policy, confirmed};
use kpay_kafka::partition::partition_of;
use kpay_streams::control::PartitionState;
use kpay_streams::record::Record;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::ids::{CommittedIds, Known};
use crate::lookup::Lookup;
use crate::names::StageName;
use crate::pod::control::Reports;
use crate::scan::Scan;
use crate::stage::account::{Accounts, Holds};
use crate::stage::inflight;

const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two looks for an outcome that somebody waits for.
const WAIT_POLL: Duration = Duration::from_millis(2);

/// What a pod answers to its peers.
#[derive(Clone)]
pub struct Queries {
    pub(crate) stage: StageName,
    pub(crate) input_partitions: i32,
    pub(crate) reports: Reports,
    pub(crate) ids: Arc<CommittedIds>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) holds: Arc<Holds>,
    /// Has the messages of the rules that hold.
    pub(crate) policy: watch::Receiver<Arc<Policy>>,
    pub(crate) lookup: Option<Arc<dyn Lookup>>,
    pub(crate) ledger: Option<Arc<dyn Scan>>,
}

/// An answer, before it is HTTP.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Here it is.
    Found(Vec<u8>),
    /// The partition is here and has no such key.
    Unknown,
    /// Somebody else owns the key.
    Elsewhere,
    /// The partition is being restored, or the log does not answer.
    Later,
}

impl Queries {
    /// Whether this pod can speak for a key.
    pub(super) fn partition(&self, key: &str) -> Result<i32, Answer> {
        self.serves(partition_of(key.as_bytes(), self.input_partitions))
    }

    /// Whether this pod can speak for a partition.
    pub(super) fn serves(&self, partition: i32) -> Result<i32, Answer> {
        let state = self
            .reports
            .workers
            .iter()
            .find_map(|worker| worker.partitions.lock().get(&partition).map(|report| report.state));
        match state {
            None => Err(Answer::Elsewhere),
            Some(PartitionState::Restoring) => Err(Answer::Later),
            Some(PartitionState::Running | PartitionState::Paused) => Ok(partition),
        }
    }

    /// The balance of an account.
    pub fn account(&self, id: &str) -> Answer {
        let partition = match self.partition(id) {
            Ok(partition) if self.stage == StageName::Account => partition,
            Ok(_) => return Answer::Elsewhere,
            Err(answer) => return answer,
        };
        match self.accounts.get(partition, id) {
            None => Answer::Later,
            Some(None) => Answer::Unknown,
            Some(Some(account)) => Answer::Found(bytes(&account_json(id, &account))),
        }
    }

    /// What the stage knows of a payment; with `wait` it is waited for.
    pub async fn payment(&self, id: &str, wait: Duration) -> Answer {
        let deadline = Instant::now() + wait;
        let mut commits = None;
        loop {
            let now = self.commits();
            if commits != Some(now) {
                commits = Some(now);
                match self.known(id) {
                    Ok((partition, known)) => return self.read(partition, known).await,
                    Err(Answer::Unknown) => {}
                    Err(answer) => return answer,
                }
            }
            if Instant::now() >= deadline {
                return Answer::Unknown;
            }
            tokio::time::sleep(WAIT_POLL).await;
        }
    }

    fn commits(&self) -> u64 {
        self.reports.workers.iter().map(|w| w.commits.load(Ordering::Relaxed)).sum()
    }

    fn known(&self, id: &str) -> Result<(i32, Known), Answer> {
        if self.stage == StageName::Account {
            return Err(Answer::Elsewhere);
        }
        let partition = self.partition(id)?;
        match self.ids.get(partition, &id_hash(id)) {
            None => Err(Answer::Later),
            Some(None) => Err(Answer::Unknown),
            Some(Some(known)) => Ok((partition, known)),
        }
    }

    async fn read(&self, partition: i32, known: Known) -> Answer {
        let Some(lookup) = self.lookup.clone() else { return Answer::Later };
        let stage = self.stage;
        let read = tokio::task::spawn_blocking(move || {
            let mut json = None;
            lookup.get(partition, known.offset, LOOKUP_TIMEOUT, &mut |record| {
                json = describe(stage, known, record);
            })?;
            Ok(json)
        });
        match read.await {
            Ok(Ok(Some(json))) => Answer::Found(json),
            Ok(Ok(None)) => Answer::Unknown,
            Ok(Err(error)) => {
                let error: anyhow::Error = error;
                tracing::warn!(error = format!("{error:#}"), "lookup");
                Answer::Later
            }
            Err(_) => Answer::Later,
        }
    }
}

/// An account as REST shows it.
pub(super) fn account_json(id: &str, account: &Account) -> Value {
    let mut json = json!({
        "id": id,
        "currency": account.currency.as_str(),
        "balance": account.balance_minor,
        "status": account.status.as_str(),
        "version": account.version,
    });
    if let (Some(own), Some(fields)) = (&account.limits, json.as_object_mut()) {
        let limits = [
            ("overdraft", own.overdraft_minor),
            ("dailyOutflow", own.daily_outflow_minor),
            ("dailyCount", own.daily_count.map(i64::from)),
            ("lowestBalance", own.lowest_balance_minor),
        ];
        let limits = limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit?.into())));
        fields.insert("limits".to_owned(), Value::Object(limits.collect()));
    }
    json
}

/// What the record of a known id says.
fn describe(stage: StageName, known: Known, record: &Record<'_>) -> Option<Vec<u8>> {
    match stage {
        StageName::Inflight => {
            let intake = inflight::read(record).ok()?;
            let fingerprint = format!("{:012x}", known.tag);
            Some(bytes(&json!({"known": true, "fingerprint": fingerprint, "intake": body(&intake)})))
        }
        StageName::Account | StageName::Confirmed => {
            let outcome = Outcome::decode(record.value).ok()?;
            let mut json = Vec::new();
            confirmed::to_json(&outcome, &mut json);
            Some(json)
        }
    }
}

/// The body as a caller would have sent it by REST.
fn body(intake: &Intake) -> Value {
    match intake {
        Intake::Payment(payment) => json!({
            "id": payment.id.as_str(),
            "from": payment.from.as_str(),
            "to": payment.to.as_str(),
            "amount": {"value": payment.amount.minor, "currency": payment.amount.currency.as_str()},
            "reference": payment.reference.as_ref().map(kpay_domain::Reference::as_str),
        }),
        Intake::Account(command) => json!({
            "id": command.id.as_str(),
            "account": command.account.as_str(),
        }),
    }
}

pub(super) fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
