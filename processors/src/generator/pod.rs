//! The generator as a processor of the resource: one pod's part of the load that the watched resource asks for. Only I/O.
//!
//! A change of the load begins a run of its own, with ids of its own. The accounts are opened when they are others than
//! before, and payments wait until the stages have carried that out; a pod that starts again opens them once more by the
//! same commands, which the pipeline knows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kpay_control::names::Component;
use kpay_domain::Intake;
use kpay_kafka::admin::{Admin, PartitionProgress};
use kpay_kafka::config::Connection;
use tokio::sync::watch;
use tracing::{info, warn};

use super::drive::{Open, while_intake_is_open};
use super::part::Part;
use super::settings::Plan;
use super::stats::Stats;
use super::topic::{Leave, Topic};
use crate::args::PodArgs;
use crate::names::{Names, StageName, TopicName};
use crate::pod::control::{PodControl, Reports};
use crate::pod::http;
use crate::pod::logs::partitions_of;
use crate::pod::phase::Learning;

const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);
const LINGER_MS: u32 = 5;
/// Between two looks while there is nothing to send.
const IDLE: Duration = Duration::from_millis(50);
/// Between two looks at how far the stages are with the accounts.
const ARRIVAL_POLL: Duration = Duration::from_millis(200);

/// Sends until `shutdown` turns true. Leaves with an error when it cannot send at all.
pub async fn run(args: PodArgs, learning: Learning, shutdown: watch::Receiver<bool>) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("KPAY_LISTEN: cannot listen on {}", args.listen))?;
    let Learning { phase, generator: parts, .. } = learning;
    let (pod, stage) = (args.pod_name.clone(), Component::Generator.as_str());
    let stats = Arc::<Stats>::default();
    let control =
        PodControl::new(pod, Some(stage), Reports::default(), phase.clone()).of_generator(Arc::clone(&stats));
    let server = tokio::spawn(http::serve(listener, http::base(Arc::new(control)), shutdown.clone()));
    let sender = Sender {
        connection: Connection {
            bootstrap_servers: args.bootstrap_servers.clone(),
            client_id: args.pod_name.clone(),
        },
        names: args.names(),
        open: while_intake_is_open(phase),
        parts,
        shutdown,
    };
    let sent = tokio::task::spawn_blocking(move || sender.run(stats)).await?;
    if sent.is_err() {
        server.abort();
    } else {
        server.await??;
    }
    sent
}

/// The thread that sends.
struct Sender {
    connection: Connection,
    names: Names,
    open: Open,
    parts: watch::Receiver<Option<Arc<Part>>>,
    shutdown: watch::Receiver<bool>,
}

impl Sender {
    fn run(self, stats: Arc<Stats>) -> anyhow::Result<()> {
        let admin = Admin::new(self.connection.clone(), ADMIN_TIMEOUT)?;
        let incoming = self.names.topic(TopicName::Incoming);
        let partitions = partitions_of(&admin, &incoming)?;
        let mut topic = Topic::open(&self.connection, incoming, partitions, LINGER_MS, stats)?;
        let mut opened = None;
        let mut following = self.parts.clone();
        while !self.stopping() {
            let part = following.borrow_and_update().clone();
            let leave = || self.stopping() || following.has_changed().unwrap_or(false);
            let Some(plan) = part.and_then(|part| begin(&part)) else {
                while !leave() {
                    topic.serve(IDLE);
                }
                continue;
            };
            let accounts = last_opening(&plan);
            if accounts != opened {
                if !self.open_accounts(&mut topic, &admin, &plan, &leave)? {
                    continue;
                }
                opened = accounts;
            }
            topic.pay(&plan, &self.open, &leave)?;
        }
        topic.flush();
        Ok(())
    }

    fn stopping(&self) -> bool {
        *self.shutdown.borrow()
    }

    /// Opens the accounts and waits until they are there; false when it was told to leave meanwhile.
    fn open_accounts(
        &self,
        topic: &mut Topic,
        admin: &Admin,
        plan: &Plan,
        leave: Leave<'_>,
    ) -> anyhow::Result<bool> {
        if !topic.open_accounts(plan, &self.open, leave)? {
            return Ok(false);
        }
        // Openings lie by their ids and payments by theirs: what is sent later may be carried out earlier.
        for stage in [StageName::Inflight, StageName::Account] {
            if !self.is_past_its_input(stage, admin, leave) {
                return Ok(false);
            }
        }
        info!(accounts = plan.workload.accounts(), "the accounts are open");
        Ok(true)
    }

    /// Waits until a stage has carried out all that lies in its input now.
    fn is_past_its_input(&self, stage: StageName, admin: &Admin, leave: Leave<'_>) -> bool {
        let (group, input) = (self.names.group(stage), self.names.topic(stage.input()));
        let mut ends = None;
        while !leave() {
            match admin.group_progress(&group, &input) {
                Ok(progress) => {
                    let ends = ends.get_or_insert_with(|| ends_of(&progress));
                    if is_past(&progress, ends) {
                        return true;
                    }
                }
                Err(error) => warn!(%error, group, "cannot tell whether the accounts are open"),
            }
            std::thread::sleep(ARRIVAL_POLL);
        }
        false
    }
}

fn begin(part: &Part) -> Option<Plan> {
    let run = super::new_run();
    match part.plan(&run) {
        Ok(plan) => {
            info!(run, pods = part.pods, load = ?part.settings, "a load begins");
            Some(plan)
        }
        // What was learned was checked; so this is a kpay that is older than the operator.
        Err(error) => {
            warn!(%error, "the load cannot be sent");
            None
        }
    }
}

/// Tells which accounts a plan opens, and how: it differs whenever one of the commands does.
fn last_opening(plan: &Plan) -> Option<Intake> {
    let last = plan.workload.accounts().saturating_sub(1);
    plan.workload.opening(last, plan.funding_minor?).ok()
}

fn ends_of(progress: &BTreeMap<i32, PartitionProgress>) -> BTreeMap<i32, i64> {
    progress.iter().map(|(partition, found)| (*partition, found.high_watermark)).collect()
}

/// Whether nothing is left before these ends: a group never commits past the marker at the end of a log.
fn is_past(progress: &BTreeMap<i32, PartitionProgress>, ends: &BTreeMap<i32, i64>) -> bool {
    ends.iter().all(|(partition, end)| {
        progress.get(partition).is_some_and(|found| {
            let stable = found.last_stable >= *end;
            found.committed.unwrap_or(0) >= *end || (stable && !found.data_records_between)
        })
    })
}

#[cfg(test)]
mod tests {
    use kpay_crds::PaymentPipelineSpec;
    use serde_json::{Value, json};

    use super::*;

    fn plan(generator: &Value) -> Plan {
        let spec = json!({"kafka": {"bootstrapServers": "k:1"}, "processors": {"generator": generator}});
        let spec: PaymentPipelineSpec = serde_json::from_value(spec).unwrap();
        begin(&Part::of(&spec).unwrap()).unwrap()
    }

    #[test]
    fn accounts_are_opened_again_only_when_they_are_others() {
        let opening = |generator: Value| last_opening(&plan(&generator));
        let first = opening(json!({"accounts": 5}));
        assert!(first.is_some());
        assert_eq!(first, opening(json!({"accounts": 5, "rate": 7, "skew": "zipf", "replicas": 2})));
        for other in [json!({"accounts": 6}), json!({"accounts": 5, "funding": 1})] {
            assert_ne!(first, opening(other.clone()), "{other}");
        }
        assert_ne!(first, opening(json!({"accounts": 5, "currency": "EUR"})));
    }

    #[test]
    fn a_stage_is_past_an_end_when_it_committed_it_or_only_markers_lie_before() {
        let at = |committed, last_stable, data_records_between| {
            let found =
                PartitionProgress { committed, last_stable, high_watermark: 20, data_records_between };
            is_past(&[(0, found)].into(), &[(0, 10)].into())
        };
        assert!(at(Some(10), 20, true), "what came later is of no interest");
        assert!(!at(Some(9), 20, true));
        assert!(at(Some(9), 10, false), "a marker");
        assert!(!at(Some(9), 9, false), "a transaction is open");
        assert!(!at(None, 20, true));
        assert!(at(None, 20, false), "nothing was ever there to read");
        assert!(!is_past(&BTreeMap::new(), &[(0, 10)].into()), "unknown");
    }
}
