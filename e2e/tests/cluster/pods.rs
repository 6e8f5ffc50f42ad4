//! The pods of the stages: who owns which partition, and how their processes are stopped and killed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Pod;
use kpay_kafka::partition::partition_of;
use kube::api::DeleteParams;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::node::{pod_process, process_with, signal};
use crate::world::{WITHIN, World};

/// Of payment.inflight, and so of the accounts, with [`few_partitions`].
pub(crate) const PARTITIONS: i32 = 4;
pub(crate) const ACCOUNT_PODS: [&str; 2] = ["payments-account-0", "payments-account-1"];
/// Every pod of a stage, where there is one of inflight and one of confirmed.
pub(crate) const PODS: [&str; 4] =
    ["payments-inflight-0", ACCOUNT_PODS[0], ACCOUNT_PODS[1], "payments-confirmed-0"];

/// `spec.topics` with fewer partitions than by default, so that a start takes less.
pub(crate) fn few_partitions() -> Value {
    let few = json!({"partitions": 2});
    json!({"incoming": few, "inflight": {"partitions": PARTITIONS}, "complete": few, "confirmed": few})
}

/// Which account pod owns each partition, once every pod of the stages is ready.
pub(crate) fn owners(world: &World) -> anyhow::Result<BTreeMap<i32, &'static str>> {
    world.cluster.until("every partition has one owner that is ready", |_| {
        let mut owners = BTreeMap::new();
        for name in PODS {
            let pod = world.cluster.wait(world.pods().get(name))?;
            let address = pod.status.and_then(|status| status.pod_ip).context("no address")?;
            let answer = reqwest::blocking::get(format!("http://{address}:9090/control"))?.bytes()?;
            let control: Value = serde_json::from_slice(&answer)?;
            let partitions = control["partitions"].as_array().context("no partitions")?;
            ensure!(control["ready"] == true && !partitions.is_empty(), "{name}: {control}");
            for partition in partitions.iter().filter(|_| ACCOUNT_PODS.contains(&name)) {
                let number = partition["partition"].as_i64().context("no number")?;
                let before = owners.insert(i32::try_from(number)?, name);
                ensure!(before.is_none(), "{number} has two owners");
            }
        }
        Ok((owners.len() == usize::try_from(PARTITIONS)?).then_some(owners))
    })
}

/// The first name of this kind that lies in a partition.
pub(crate) fn account_in(kind: &str, partition: i32) -> String {
    let mut names = (0..).map(|number| format!("{kind}-{number}"));
    names
        .find(|name| partition_of(name.as_bytes(), PARTITIONS) == partition)
        .expect("there is always another")
}

/// Stops processes, and lets them go on when it goes out of scope, so that a failed test does not leave them behind.
#[derive(Default)]
pub(crate) struct Stopped(BTreeMap<&'static str, Pid>);

impl Stopped {
    pub(crate) fn stop(&mut self, world: &World, pod: &'static str) -> anyhow::Result<()> {
        self.stop_process(&world.environment_of(pod), pod)
    }

    /// The process that has this in its environment.
    pub(crate) fn stop_process(
        &mut self,
        environment: &[String; 2],
        pod: &'static str,
    ) -> anyhow::Result<()> {
        let process = pod_process(environment)?;
        signal(process, Signal::SIGSTOP)?;
        self.0.insert(pod, process);
        Ok(())
    }

    pub(crate) fn go_on(&mut self, pod: &str) -> anyhow::Result<()> {
        self.0.remove(pod).map_or(Ok(()), |process| signal(process, Signal::SIGCONT))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for process in self.0.values() {
            // Gone already where all went well.
            drop(signal(*process, Signal::SIGCONT));
        }
    }
}

/// SIGKILL to the processes of all these pods, and only then waits for the next ones.
pub(crate) fn kill(world: &World, pods: &[&str]) -> anyhow::Result<()> {
    let mut old = Vec::new();
    for pod in pods {
        let environment = world.environment_of(pod);
        old.push((*pod, pod_process(&environment)?, environment));
    }
    for (_, process, _) in &old {
        signal(*process, Signal::SIGKILL)?;
    }
    let deadline = Instant::now() + WITHIN;
    for (pod, process, environment) in old {
        while process_with(&environment).is_none_or(|new| new == process) {
            // The kubelet makes a container that ends often wait for minutes; a new pod need not.
            if world.cluster.wait(world.pods().get_opt(pod))?.is_some_and(|found| waits(&found)) {
                world.cluster.wait(world.pods().delete(pod, &DeleteParams::default().grace_period(0)))?;
            }
            ensure!(Instant::now() < deadline, "{pod} did not come back");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

fn waits(pod: &Pod) -> bool {
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let state = containers.into_iter().flatten().filter_map(|c| c.state.as_ref()?.waiting.as_ref());
    state.filter_map(|waiting| waiting.reason.as_deref()).any(|reason| reason == "CrashLoopBackOff")
}
