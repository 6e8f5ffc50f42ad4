//! The Jobs of a wipe, which read and write the accounts. Only I/O.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kpay_control::bootstrap::JobEnd;
use kpay_control::build::{Task, rebuild_job};
use kpay_control::names::{COMPONENT_LABEL, WIPE};
use kpay_control::wipe::RebuildReport;
use kpay_crds::RecordedAccounts;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Resource, ResourceExt};

use super::Wipe;
use crate::apply::one;
use crate::broker::BrokerError;
use crate::error::Error;
use crate::jobs::{JobState, state};

/// How a task ended.
pub(super) enum Ended {
    /// With these accounts.
    Well(RecordedAccounts),
    /// Not yet; what it waits for.
    Not(String),
    /// It will not end well by itself.
    Badly(String),
}

impl Wipe<'_> {
    /// Lets a task be done once, by a Job that is made when it is not there.
    pub(super) async fn run(&self, task: Task) -> Result<Ended, Error> {
        let owner = self.operation.controller_owner_ref(&()).ok_or(Error::Unnamed("uid"))?;
        let desired = rebuild_job(&self.pipeline, task, &owner);
        let name = desired.name_any();
        let jobs = self.jobs().await?;
        let Some(job) = jobs.iter().find(|job| job.name_any() == name) else {
            let api = Api::<Job>::namespaced(self.context.client.clone(), &self.pipeline.namespace);
            one(&api, &desired, &[]).await?;
            return Ok(Ended::Not(format!("Job {name} is at it")));
        };
        let pods = Api::<Pod>::namespaced(self.context.client.clone(), &self.pipeline.namespace);
        let pods = pods.list(&ours()).await.map_err(Error::api("list", "Pod"))?.items;
        let JobState { going, end, failed, words } = state(job, &pods);
        let report = words.as_deref().and_then(RebuildReport::from_text);
        let error = report.as_ref().and_then(|report| report.error.clone());
        Ok(match (end, report) {
            (Some(JobEnd::Complete), Some(report)) if report.error.is_none() && !going => {
                Ended::Well(report.accounts)
            }
            (Some(JobEnd::Complete), _) => {
                Ended::Not(format!("Job {name} left no words; delete it, and it is done again"))
            }
            (Some(JobEnd::Failed(why)), _) => Ended::Badly(format!(
                "Job {name} failed: {}; delete it, and it is done again",
                error.unwrap_or(why)
            )),
            (None, _) if failed > 0 => {
                let last = error.map(|error| format!(", the last: {error}")).unwrap_or_default();
                Ended::Not(format!("Job {name} is at it; {failed} attempts failed{last}"))
            }
            (None, _) => Ended::Not(format!("Job {name} is at it")),
        })
    }

    /// Takes away the Jobs and the topic that the accounts were copied to.
    pub(super) async fn clear_away(&self) -> Result<Result<(), BrokerError>, Error> {
        let api = Api::<Job>::namespaced(self.context.client.clone(), &self.pipeline.namespace);
        for job in self.jobs().await?.iter().filter(|job| job.metadata.deletion_timestamp.is_none()) {
            let deleted = api.delete(&job.name_any(), &DeleteParams::background()).await;
            deleted.map_err(Error::api("delete", "Job"))?;
        }
        Ok(self.drop_room().await)
    }

    /// Those of this operation.
    async fn jobs(&self) -> Result<Vec<Job>, Error> {
        let api = Api::<Job>::namespaced(self.context.client.clone(), &self.pipeline.namespace);
        let all = api.list(&ours()).await.map_err(Error::api("list", "Job"))?.items;
        let of_it = |job: &Job| job.owner_references().iter().any(|owner| owner.uid == self.uid);
        Ok(all.into_iter().filter(of_it).collect())
    }
}

fn ours() -> ListParams {
    ListParams::default().labels(&format!("{COMPONENT_LABEL}={WIPE}"))
}
