//! The gateway's questions, answered by the stages of this process. No I/O but theirs.
//!
//! The stages go on with what is not on the disk yet. What they found may leave the process only once it is: else a loss of
//! power could take back an outcome that somebody was told.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use kpay_streams::embedded::Store;
use tokio::sync::oneshot;

use super::Local;
use crate::gateway::peers::{Answer, AskError, Controls, Listing, Peers, Question};
use crate::names::StageName;
use crate::pod::queries;
use crate::stage::windows::Minute;

/// The stages, none of which is ever elsewhere.
pub(super) struct LocalPeers {
    stages: Arc<[Local]>,
    store: Store,
}

impl LocalPeers {
    pub(super) fn new(stages: Arc<[Local]>, store: Store) -> Self {
        Self { stages, store }
    }

    fn of(&self, stage: StageName) -> Result<&Local, AskError> {
        self.stages.iter().find(|local| local.stage == stage).ok_or(AskError::NoOwner)
    }

    /// The answer, once all that it tells of is on the disk.
    async fn told(&self, answer: queries::Answer) -> Result<Answer, AskError> {
        let json = match answer {
            queries::Answer::Found(json) => json,
            queries::Answer::Unknown => return Ok(Answer::Unknown),
            queries::Answer::Elsewhere | queries::Answer::Later => return Err(AskError::Restoring),
        };
        let (done, synced) = oneshot::channel();
        // Nobody waits any more when the caller has gone.
        let waits = self.store.when_synced(Box::new(move |result| drop(done.send(result))));
        match (waits, synced.await) {
            (Ok(()), Ok(Ok(()))) => Ok(Answer::Found(json.into())),
            // The store has failed, and says so itself.
            _ => Err(AskError::Unreachable),
        }
    }
}

impl Peers for LocalPeers {
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<Answer, AskError>> {
        async move {
            let queries = &self.of(question.stage)?.queries;
            let answer = match question.stage {
                StageName::Account => queries.account(question.key),
                StageName::Inflight | StageName::Confirmed => {
                    queries.payment(question.key, question.wait).await
                }
            };
            self.told(answer).await
        }
        .boxed()
    }

    fn list(&self, listing: Listing) -> BoxFuture<'_, Result<Answer, AskError>> {
        async move {
            let queries = &self.of(StageName::Account)?.queries;
            let answer = match listing {
                Listing::Accounts { partition, after, limit } => {
                    queries.accounts(partition, after, limit).await
                }
                Listing::Ledger(query) => queries.ledger(query).await,
                Listing::Holds(query) => queries.holds(query).await,
            };
            self.told(answer).await
        }
        .boxed()
    }

    fn minutes(&self, since: i64) -> BoxFuture<'_, Result<Vec<Minute>, AskError>> {
        async move { Ok(self.of(StageName::Confirmed)?.control.minutes(since)) }.boxed()
    }

    fn controls(&self, stage: StageName) -> BoxFuture<'_, Result<Controls, AskError>> {
        async move {
            let local = self.of(stage)?;
            let said = local.report().map_err(|_| AskError::Unreachable)?;
            Ok(Controls { partitions: local.partitions, pods: vec![said] })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process};

    use kpay_streams::embedded::{EmbeddedLog, Limits};
    use kpay_streams::log::Log;
    use kpay_streams::out::{Outgoing, Topic, TopicIndex};

    use super::*;

    #[tokio::test]
    async fn what_was_found_is_told_only_when_the_disk_has_it() {
        let folder = env::temp_dir().join(format!("kpay-peers-{}", process::id()));
        let topics = [Topic { name: "confirmed".to_owned(), partitions: 1 }];
        // Nothing is synced but for who waits.
        let limits = Limits { sync_interval_ms: 3_600_000, ..Limits::default() };
        let store = Store::open(&folder, &topics, limits).unwrap();
        let peers = LocalPeers::new(Arc::new([]), store.clone());
        let told = || peers.told(queries::Answer::Found(b"{}".to_vec()));
        let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
        let mut commit = || {
            log.begin().unwrap();
            let record =
                Outgoing { topic: TopicIndex(0), partition: 0, key: b"k", value: None, headers: &[] };
            log.append(&record).unwrap();
            log.commit(&[]).unwrap();
        };
        commit();
        assert!(matches!(told().await, Ok(Answer::Found(_))));
        commit();
        // So that nothing more can be synced.
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(told().await, Err(AskError::Unreachable));
    }
}
