//! A pipeline of real `kpay` processes over a broker, without a cluster. Only I/O.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use kpay::names::{Names, StageName, TopicName};
use serde_json::Value;

use crate::broker::{Broker, free_ports};
use crate::process::Process;

const READY_WITHIN: Duration = Duration::from_secs(90);

/// One process of a pipeline.
pub struct Pod {
    /// As in Kubernetes: `flow-account-0`.
    pub name: String,
    /// What it runs; `None` is the gateway.
    pub stage: Option<StageName>,
    /// Its control port.
    pub control: String,
    /// Its public port, for the gateway.
    pub public: Option<String>,
    process: Option<Process>,
}

impl Pod {
    /// The running process.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }
}

/// A generator.
pub struct Generator {
    /// Its control port.
    pub control: String,
    /// Ends when it is dropped.
    pub process: Process,
}

/// What every process is told.
struct Place<'a> {
    bootstrap: &'a str,
    names: &'a Names,
    binary: &'a Path,
}

impl Place<'_> {
    fn command(&self, args: &[&str], name: &str, control: &str, phase_source: &str) -> Command {
        let mut command = Command::new(self.binary);
        command
            .args(args)
            .env("KPAY_BOOTSTRAP_SERVERS", self.bootstrap)
            .env("KPAY_TOPIC_PREFIX", &self.names.prefix)
            .env("KPAY_POD_NAME", name)
            .env("KPAY_LISTEN", control)
            .env("KPAY_ADVERTISED_ADDRESS", control)
            .env("KPAY_PHASE_SOURCE", phase_source);
        if let Some(log) = std::env::var_os("KPAY_LOG") {
            command.env("KPAY_LOG", log);
        }
        command
    }
}

/// A pipeline.
pub struct Flow {
    /// Its names.
    pub names: Names,
    /// Its processes.
    pub pods: Vec<Pod>,
    /// Where they learn their phase, limits and rules: `KPAY_PHASE_SOURCE`.
    pub phase_source: String,
    bootstrap: String,
    logs: PathBuf,
    binary: PathBuf,
    http: reqwest::blocking::Client,
}

impl Flow {
    /// Makes the topics and describes one inflight, two account and one confirmed process, and a gateway.
    /// `binary` is the `kpay` to run.
    pub fn create(broker: &Broker, prefix: &str, partitions: i32, binary: PathBuf) -> anyhow::Result<Self> {
        let names = Names { prefix: prefix.to_owned() };
        let admin = broker.admin()?;
        for topic in TopicName::ALL {
            let config: BTreeMap<String, String> = match topic {
                TopicName::Checkpoints => [("cleanup.policy".to_owned(), "compact".to_owned())].into(),
                TopicName::Incoming => {
                    [("message.timestamp.type".to_owned(), "LogAppendTime".to_owned())].into()
                }
                _ => BTreeMap::new(),
            };
            let count = if topic == TopicName::Dlq { 1 } else { partitions };
            admin.create_topic(&names.topic(topic), count, 1, &config)?;
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        while admin.topics(prefix)?.len() < TopicName::ALL.len() {
            anyhow::ensure!(Instant::now() < deadline, "the topics under {prefix} did not appear");
        }
        let stages = [
            Some(StageName::Inflight),
            Some(StageName::Account),
            Some(StageName::Account),
            Some(StageName::Confirmed),
            None,
        ];
        let mut pods: Vec<Pod> = Vec::new();
        for stage in stages {
            let word = stage.map_or("gateway", StageName::as_str);
            let ordinal = pods.iter().filter(|p| p.stage == stage).count();
            let [control, public] = free_ports()?;
            pods.push(Pod {
                name: format!("flow-{word}-{ordinal}"),
                stage,
                control: format!("127.0.0.1:{control}"),
                public: stage.is_none().then(|| format!("127.0.0.1:{public}")),
                process: None,
            });
        }
        let http = reqwest::blocking::Client::builder().timeout(Duration::from_secs(10)).build()?;
        let (bootstrap, logs) = (broker.bootstrap.clone(), broker.home().to_owned());
        let phase_source = "static:Running".to_owned();
        Ok(Self { names, pods, phase_source, bootstrap, logs, binary, http })
    }

    /// Starts a process; see [`Flow::pods`] for the numbers.
    pub fn start(&mut self, number: usize) -> anyhow::Result<()> {
        let pod = self.pods.get_mut(number).context("no such pod")?;
        let args: &[&str] = match pod.stage {
            Some(StageName::Inflight) => &["run", "--stage", "inflight"],
            Some(StageName::Account) => &["run", "--stage", "account"],
            Some(StageName::Confirmed) => &["run", "--stage", "confirmed"],
            None => &["gateway"],
        };
        let place = Place { bootstrap: &self.bootstrap, names: &self.names, binary: &self.binary };
        let mut command = place.command(args, &pod.name, &pod.control, &self.phase_source);
        if let Some(public) = &pod.public {
            command.env("KPAY_GATEWAY_LISTEN", public);
        }
        let log = self.logs.join(format!("{}.log", pod.name));
        pod.process = Some(Process::spawn(&pod.name, command, &log)?);
        Ok(())
    }

    /// Starts every process of the stages, and waits until all are ready.
    pub fn start_all(&mut self) -> anyhow::Result<()> {
        for number in 0..self.pods.len() {
            self.start(number)?;
        }
        self.wait_ready()
    }

    /// Starts one more gateway, and says where it answers once it does.
    pub fn add_gateway(&mut self) -> anyhow::Result<String> {
        let [control, public] = free_ports()?;
        let public = format!("127.0.0.1:{public}");
        self.pods.push(Pod {
            name: "flow-gateway-1".to_owned(),
            stage: None,
            control: format!("127.0.0.1:{control}"),
            public: Some(public.clone()),
            process: None,
        });
        self.start(self.pods.len() - 1)?;
        self.wait_ready()?;
        Ok(format!("http://{public}"))
    }

    /// Starts a generator whose load is that of the `PaymentPipeline` in a file.
    pub fn start_generator(&self, name: &str, resource: &Path) -> anyhow::Result<Generator> {
        let [control] = free_ports()?;
        let control = format!("127.0.0.1:{control}");
        let place = Place { bootstrap: &self.bootstrap, names: &self.names, binary: &self.binary };
        let phase_source = format!("file:{}", resource.display());
        let command = place.command(&["generator"], name, &control, &phase_source);
        let process = Process::spawn(name, command, &self.logs.join(format!("{name}.log")))?;
        Ok(Generator { control, process })
    }

    /// Ends a process gracefully.
    pub fn stop(&mut self, number: usize) -> anyhow::Result<()> {
        let pod = self.pods.get_mut(number).context("no such pod")?;
        pod.process.take().context("not running")?.stop()
    }

    /// Ends a process with SIGKILL.
    pub fn kill(&mut self, number: usize) -> anyhow::Result<()> {
        let pod = self.pods.get_mut(number).context("no such pod")?;
        drop(pod.process.take().context("not running")?);
        Ok(())
    }

    /// Starts the processes that have ended by themselves, as a kubelet would; says how many.
    pub fn revive(&mut self) -> anyhow::Result<usize> {
        let ended = |pod: &mut Pod| pod.process.as_mut().is_some_and(|process| !process.running());
        let numbers: Vec<usize> =
            (0..).zip(&mut self.pods).filter_map(|(n, p)| ended(p).then_some(n)).collect();
        for number in &numbers {
            self.start(*number)?;
        }
        Ok(numbers.len())
    }

    /// The public address of the gateway, as `http://host:port`.
    pub fn gateway(&self) -> anyhow::Result<String> {
        let public = self.pods.iter().find_map(|pod| pod.public.as_ref()).context("no gateway")?;
        Ok(format!("http://{public}"))
    }

    /// The numbers of a stage's processes.
    pub fn pods_of(&self, stage: StageName) -> Vec<usize> {
        (0..).zip(&self.pods).filter(|(_, pod)| pod.stage == Some(stage)).map(|(number, _)| number).collect()
    }

    /// Waits until a process says that it is ready, whatever it owns.
    pub fn wait_answers_ready(&self, number: usize) -> anyhow::Result<()> {
        self.wait_for(self.pods.get(number).context("no such pod")?, Self::answers_ready)
    }

    /// Waits until every started process says that it is ready and the partitions of its stage are all owned.
    pub fn wait_ready(&self) -> anyhow::Result<()> {
        self.pods
            .iter()
            .filter(|pod| pod.process.is_some())
            .try_for_each(|pod| self.wait_for(pod, Self::is_ready))
    }

    fn wait_for(&self, pod: &Pod, ready: impl Fn(&Self, &Pod) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while !ready(self, pod) {
            ensure!(Instant::now() < deadline, "{} did not become ready:\n{}", pod.name, self.log_tails());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The last lines of every process's log: what a failed test shows, since the logs go with the broker's folder.
    pub fn log_tails(&self) -> String {
        const LINES: usize = 12;
        let mut tails = String::new();
        for pod in &self.pods {
            let text =
                std::fs::read_to_string(self.logs.join(format!("{}.log", pod.name))).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.iter().skip(lines.len().saturating_sub(LINES));
            tails.extend(["--- ", pod.name.as_str(), "\n"]);
            last.for_each(|line| tails.extend([*line, "\n"]));
        }
        tails
    }

    fn answers_ready(&self, pod: &Pod) -> bool {
        let url = format!("http://{}/healthz/ready", pod.control);
        self.http.get(url).send().is_ok_and(|answer| answer.status().is_success())
    }

    fn is_ready(&self, pod: &Pod) -> bool {
        self.answers_ready(pod)
            && pod.stage.is_none_or(|_| self.control(pod).is_ok_and(|c| owns_partitions(&c)))
    }

    /// `GET /control` of a process.
    pub fn control(&self, pod: &Pod) -> anyhow::Result<Value> {
        Ok(self.http.get(format!("http://{}/control", pod.control)).send()?.error_for_status()?.json()?)
    }

    /// What a stage has counted, over all of its processes.
    pub fn count(&self, stage: StageName) -> anyhow::Result<u64> {
        let mut total = 0;
        for pod in self.pods.iter().filter(|p| p.stage == Some(stage) && p.process.is_some()) {
            let control = self.control(pod)?;
            let partitions = control.get("partitions").and_then(Value::as_array).context("partitions")?;
            total += partitions.iter().filter_map(|p| p.get("count").and_then(Value::as_u64)).sum::<u64>();
        }
        Ok(total)
    }

    /// Waits until so many intakes are finished.
    pub fn wait_finished(&self, count: u64, within: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let finished = self.count(StageName::Confirmed).unwrap_or(0);
            if finished >= count {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{finished} of {count} finished after {within:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn owns_partitions(control: &Value) -> bool {
    control.get("partitions").and_then(Value::as_array).is_some_and(|p| !p.is_empty())
}
