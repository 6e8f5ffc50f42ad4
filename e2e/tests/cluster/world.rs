//! A pipeline in a namespace of its own, and what was sent to it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use kpay::names::{Names, StageName, TopicName};
use kpay_crds::{PaymentPipeline, PaymentPipelineStatus};
use kpay_domain::{Intake, intake};
use kpay_e2e::auditor::books::{Raw, Tail, records};
use kpay_e2e::auditor::{Expected, Report, audit};
use kpay_e2e::load::{self, Appender};
use kpay_e2e::rest::Rest;
use kpay_e2e::turns::{Turn, Turns};
use kpay_kafka::admin::Admin;
use kpay_kafka::config::Connection;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::ground::Ground;

pub(crate) const NAME: &str = "payments";
pub(crate) const FUNDING: i64 = 1_000_000;
pub(crate) const WITHIN: Duration = Duration::from_mins(3);
/// The status tells of payments in flight that there were five seconds ago.
const GOES_WITHIN: Duration = Duration::from_secs(15);

static TURNS: Turns = Turns::new(3);

/// Waits for the tests before, but for some.
pub(crate) fn turn() -> Turn {
    TURNS.shared()
}

/// The same for one of the longest tests: they begin first.
pub(crate) fn long_turn() -> Turn {
    TURNS.long()
}

/// Waits for all tests that may share the machine.
pub(crate) fn alone() -> Turn {
    TURNS.alone()
}

/// Limits of a day begin anew at midnight UTC: waits for it where a test would run into it.
pub(crate) fn not_around_midnight() {
    const DAY_S: u64 = 86_400;
    const TEST_S: u64 = 300;
    let of_day = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() % DAY_S);
    while of_day() >= DAY_S - TEST_S {
        std::thread::sleep(Duration::from_millis(500));
    }
}

pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) namespace: String,
    pub(crate) rest: Rest,
    pub(crate) appender: Appender,
    pub(crate) tail: Tail,
    /// Every id that must have an outcome.
    pub(crate) ids: BTreeSet<String>,
    /// What came in from outside, in US dollars.
    pub(crate) funded: i128,
    pub(crate) names: Names,
    pub(crate) admin: Admin,
    pub(crate) connection: Connection,
}

/// The API server.
pub(crate) struct Cluster {
    pub(crate) runtime: Runtime,
    pub(crate) client: Client,
}

impl Cluster {
    pub(crate) fn open() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let client =
            runtime.block_on(Client::try_default()).context("no cluster: cargo xtask test --tier cluster")?;
        Ok(Self { runtime, client })
    }

    /// Waits for an answer.
    pub(crate) fn wait<T>(&self, answer: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
        self.runtime.block_on(answer)
    }

    /// Who the API server takes us for.
    pub(crate) fn user(&self) -> anyhow::Result<String> {
        let review: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let answer = self.wait(review.create(&PostParams::default(), &SelfSubjectReview::default()))?;
        let user = answer.status.and_then(|status| status.user_info).and_then(|user| user.username);
        user.context("the API server does not say who we are")
    }

    /// Asks again until there is an answer; fails after [`WITHIN`] with what was wrong last.
    pub(crate) fn until<T>(
        &self,
        what: &str,
        mut ask: impl FnMut(&Self) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + WITHIN;
        loop {
            let answer = ask(self);
            if let Ok(Some(found)) = answer {
                return Ok(found);
            }
            let last = answer.err().map(|error| format!("{error:#}")).unwrap_or_default();
            ensure!(Instant::now() < deadline, "still not after {WITHIN:?}: {what}; {last}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl World {
    /// Makes the namespace `<test>-<pid>` and the pipeline, and opens `accounts` accounts with [`FUNDING`] each.
    pub(crate) fn start(test: &str, accounts: u64) -> anyhow::Result<Self> {
        Self::start_with(test, accounts, &json!({}))
    }

    /// As [`World::start`], with fields of the spec that are not at their defaults.
    pub(crate) fn start_with(test: &str, accounts: u64, spec: &Value) -> anyhow::Result<Self> {
        let ground = Ground::make(test)?;
        ground.create(spec)?;
        let mut world = Self::on(ground)?;
        for number in 0..accounts {
            world.send(&load::open(number, FUNDING)?)?;
            world.funded += i128::from(FUNDING);
        }
        world.finish()?;
        Ok(world)
    }

    /// Waits until the pipeline that was made there is Running.
    pub(crate) fn on(ground: Ground) -> anyhow::Result<Self> {
        ground.cluster.until("the pipeline is Running", |_| {
            let status = ground.status()?;
            ensure!(phase_of(&status) == "Running", "{:?} {:?}", status.phase, status.conditions);
            Ok(Some(()))
        })?;
        let (rest, appender) = (gateway(&ground.cluster, &ground.namespace)?, ground.appender()?);
        let Ground { cluster, namespace, names, admin, connection } = ground;
        let tail = Tail::open(&connection, &names)?;
        let (ids, funded) = (BTreeSet::new(), 0);
        Ok(Self { cluster, namespace, rest, appender, tail, ids, funded, names, admin, connection })
    }

    pub(crate) fn pipelines(&self) -> Api<PaymentPipeline> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    pub(crate) fn status(&self) -> anyhow::Result<PaymentPipelineStatus> {
        Ok(self.cluster.wait(self.pipelines().get_status(NAME))?.status.unwrap_or_default())
    }

    /// As `kubectl patch pp payments --type merge`.
    pub(crate) fn desire(&self, phase: &str) -> anyhow::Result<()> {
        self.patch(&json!({"desiredPhase": phase}))
    }

    /// Changes fields of the spec.
    pub(crate) fn patch(&self, spec: &Value) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.cluster.wait(self.pipelines().patch(NAME, &PatchParams::default(), &patch))?;
        Ok(())
    }

    /// All records of a topic that are committed by now.
    pub(crate) fn records(&self, topic: TopicName) -> anyhow::Result<Vec<Raw>> {
        records(&self.connection, &self.names.topic(topic))
    }

    /// Opens an account by the topic; its outcome is among those that [`World::finish`] waits for.
    pub(crate) fn open(&mut self, account: &str, currency: &str, funding: i64) -> anyhow::Result<()> {
        let body = json!({"id": account, "currency": currency, "funding": funding});
        self.send(&intake::open_from_json(body.to_string().as_bytes())?)?;
        self.funded += if currency == "USD" { i128::from(funding) } else { 0 };
        Ok(())
    }

    /// Waits for a phase; the error says what the pipeline is instead.
    pub(crate) fn reach(&self, phase: &str) -> anyhow::Result<PaymentPipelineStatus> {
        self.cluster.until(&format!("the phase is {phase}"), |_| {
            let status = self.status()?;
            ensure!(phase_of(&status) == phase, "{:?} {:?}", status.phase, status.conditions);
            Ok(Some(status))
        })
    }

    pub(crate) fn send(&mut self, intake: &Intake) -> anyhow::Result<()> {
        self.ids.insert(intake.id().as_str().to_owned());
        self.appender.append(intake)
    }

    /// Waits until the gateway answers at the address that its Service has now.
    pub(crate) fn find_gateway(&mut self) -> anyhow::Result<()> {
        self.rest = self.cluster.until("the gateway answers", |cluster| {
            let rest = gateway(cluster, &self.namespace)?;
            Ok((rest.get("/v1/pipeline")?.status == 200).then_some(rest))
        })?;
        Ok(())
    }

    /// For a sender of its own.
    pub(crate) fn another_appender(&self) -> anyhow::Result<Appender> {
        let incoming = self.names.topic(TopicName::Incoming);
        let partitions = self.admin.partition_count(&incoming)?;
        Appender::open(&self.connection, incoming, partitions, 1)
    }

    /// Waits until every id has an outcome.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        self.appender.flush()?;
        self.tail.wait_for(&self.ids, WITHIN)
    }

    /// Waits until so many more outcomes are there than now.
    pub(crate) fn finish_some(&mut self, more: usize) -> anyhow::Result<()> {
        let target = (self.tail.seen.len() + more).min(self.ids.len());
        self.tail.follow(WITHIN, |seen| seen.len() >= target)
    }

    /// Whether a stage has nothing left to read and no transaction is open in its input.
    pub(crate) fn at_rest(&self, stage: StageName) -> anyhow::Result<bool> {
        let (group, topic) = (self.names.group(stage), self.names.topic(stage.input()));
        let progress = self.admin.group_progress(&group, &topic)?;
        Ok(progress.values().all(|p| !p.data_records_between && p.last_stable == p.high_watermark))
    }

    /// Waits for all, and asks the auditor; the balances by REST must be those of the ledger.
    pub(crate) fn audit_with_rest(&mut self) -> anyhow::Result<Report> {
        self.audit_grown(None)
    }

    /// As [`World::audit_with_rest`], after a wipe gave the accounts more partitions than so many.
    pub(crate) fn audit_grown(&mut self, grown_from: Option<i32>) -> anyhow::Result<Report> {
        self.finish()?;
        for stage in StageName::ALL {
            self.cluster.until("the stages are at rest", |_| Ok(self.at_rest(stage)?.then_some(())))?;
        }
        let expected = Expected::new(&[("USD", self.funded)], self.ids.iter().cloned());
        let expected = Expected { grown_from, ..expected };
        let report = audit(&self.connection, &self.names, &expected)?;
        report.clean()?;
        let by_rest = self.rest.balances(report.balances.keys())?;
        assert_eq!(by_rest, report.balances, "the balances by REST and those of the ledger");
        Ok(report)
    }

    /// What only the process of this pod has in its environment.
    pub(crate) fn environment_of(&self, pod: &str) -> [String; 2] {
        [format!("KPAY_POD_NAME={pod}"), format!("KPAY_PIPELINE={}/{NAME}", self.namespace)]
    }

    /// Uid and restarts of each pod.
    pub(crate) fn incarnations(&self) -> anyhow::Result<BTreeMap<String, (Option<String>, i32)>> {
        let pods = self.cluster.wait(self.pods().list(&ListParams::default()))?;
        let one = |pod: Pod| {
            let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.clone()).unwrap_or_default();
            (pod.name_any(), (pod.uid(), statuses.iter().map(|s| s.restart_count).sum()))
        };
        Ok(pods.into_iter().map(one).collect())
    }
}

impl World {
    /// Takes the pipeline away, then its namespace. With payments in flight it may not go with its topics, and the figures
    /// are some seconds old: where they do not come to an end, the topics stay.
    fn remove(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + GOES_WITHIN;
        let delete = || self.cluster.wait(self.pipelines().delete(NAME, &DeleteParams::default()));
        while let Err(refused) = delete() {
            if Instant::now() > deadline {
                eprintln!("{}: {refused}", self.namespace);
                self.patch(&json!({"topics": {"deletionPolicy": "Retain"}}))?;
                delete()?;
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let namespaces: Api<Namespace> = Api::all(self.cluster.client.clone());
        self.cluster.wait(namespaces.delete(&self.namespace, &DeleteParams::background()))?;
        Ok(())
    }
}

/// The public API at the address that its Service has now.
fn gateway(cluster: &Cluster, namespace: &str) -> anyhow::Result<Rest> {
    let services: Api<Service> = Api::namespaced(cluster.client.clone(), namespace);
    let service = cluster.wait(services.get("payments-gateway"))?;
    let address = service.spec.and_then(|spec| spec.cluster_ip).context("the gateway has no address")?;
    Rest::new(&format!("http://{address}:8080"))
}

impl Drop for World {
    fn drop(&mut self) {
        if std::env::var_os("KPAY_KEEP").is_some() {
            return;
        }
        let gone = self.remove();
        if let Err(error) = gone {
            eprintln!("{} stays: {error}", self.namespace);
        }
    }
}

pub(crate) fn phase_of(status: &PaymentPipelineStatus) -> &'static str {
    status.phase.map_or("", kpay_crds::Phase::as_str)
}
