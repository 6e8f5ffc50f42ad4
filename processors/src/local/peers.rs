//! The gateway's questions, answered by the stages of this process. No I/O but theirs.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};

use super::Local;
use crate::gateway::peers::{Answer, AskError, Controls, Listing, Peers, Question};
use crate::names::StageName;
use crate::pod::queries;
use crate::stage::windows::Minute;

/// The stages, none of which is ever elsewhere.
pub(super) struct LocalPeers {
    stages: Arc<[Local]>,
}

impl LocalPeers {
    pub(super) fn new(stages: Arc<[Local]>) -> Self {
        Self { stages }
    }

    fn of(&self, stage: StageName) -> Result<&Local, AskError> {
        self.stages.iter().find(|local| local.stage == stage).ok_or(AskError::NoOwner)
    }
}

fn told(answer: queries::Answer) -> Result<Answer, AskError> {
    match answer {
        queries::Answer::Found(json) => Ok(Answer::Found(json.into())),
        queries::Answer::Unknown => Ok(Answer::Unknown),
        queries::Answer::Elsewhere | queries::Answer::Later => Err(AskError::Restoring),
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
            told(answer)
        }
        .boxed()
    }

    fn list(&self, listing: Listing) -> BoxFuture<'_, Result<Answer, AskError>> {
        async move {
            let queries = &self.of(StageName::Account)?.queries;
            told(match listing {
                Listing::Accounts { partition, after, limit } => {
                    queries.accounts(partition, after, limit).await
                }
                Listing::Ledger(query) => queries.ledger(query).await,
                Listing::Holds(query) => queries.holds(query).await,
            })
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
