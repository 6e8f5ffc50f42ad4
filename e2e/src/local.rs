//! `kpay local` as a real process with its own data folder. Only I/O.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kpay::names::{Names, TopicName};
use kpay_domain::Intake;
use kpay_streams::embedded::{Limits, NewRecord, Store, StoreError};
use kpay_streams::out::Topic;
use serde_json::Value;

use crate::auditor::{Expected, Report, books, check};
use crate::broker::free_ports;
use crate::process::Process;
use crate::rest::Rest;

const START_TIMEOUT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);
/// As `manifests/payments.yaml` has it.
const PARTITIONS: i32 = 8;

/// One data folder, with or without a process on it.
pub struct Local {
    /// Where it answers.
    pub address: String,
    /// Callers of it.
    pub rest: Rest,
    /// Its resource.
    pub file: PathBuf,
    /// Has the data folder in it.
    pub home: PathBuf,
    binary: PathBuf,
    process: Option<Process>,
}

impl Local {
    /// A new data folder, and a file with `manifest`. `name` tells the folders of one test run apart.
    pub fn create(name: &str, binary: PathBuf, manifest: &str) -> anyhow::Result<Self> {
        let home = std::env::temp_dir().join(format!("kpay-local-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&home)?;
        let [port] = free_ports()?;
        let address = format!("127.0.0.1:{port}");
        let file = home.join("payments.yaml");
        std::fs::write(&file, manifest)?;
        let rest = Rest::new(&format!("http://{address}"))?;
        Ok(Self { address, rest, file, home, binary, process: None })
    }

    /// The command that runs it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(["local", "--listen", &self.address, "--data-dir"]).arg(self.data());
        command.arg("--file").arg(&self.file);
        command
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// What the process has printed.
    pub fn log(&self) -> PathBuf {
        self.home.join("kpay.log")
    }

    /// Starts it and waits until it answers.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.process = Some(Process::spawn("kpay local", self.command(), &self.log())?);
        self.wait_for_phase("Running, Paused or Draining", |phase| {
            matches!(phase, "Running" | "Paused" | "Draining")
        })
    }

    /// Waits until the pipeline's phase is as it should be.
    pub fn wait_for_phase(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let answer = self.rest.get("/v1/pipeline");
            if answer.as_ref().is_ok_and(|answer| wanted(answer.text("phase"))) {
                return Ok(());
            }
            let running = self.process.as_mut().is_some_and(Process::running);
            ensure!(running, "kpay local has ended: {}", std::fs::read_to_string(self.log())?);
            ensure!(Instant::now() < deadline, "not {what}: {answer:?}");
            std::thread::sleep(POLL);
        }
    }

    /// Writes another wish into the file.
    pub fn desire(&self, phase: &str) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(&self.file)?;
        let line = text.lines().find(|line| line.trim_start().starts_with("desiredPhase:"));
        let line = line.context("the file has no desiredPhase")?;
        Ok(std::fs::write(&self.file, text.replace(line, &format!("  desiredPhase: {phase}")))?)
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), Process::stop)
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// How many payments were confirmed today.
    pub fn confirmed_today(&self) -> anyhow::Result<u64> {
        let answer = self.rest.get("/v1/pipeline")?;
        Ok(answer.body.pointer("/confirmedToday/count").and_then(Value::as_u64).unwrap_or(0))
    }

    /// The data, while no process has it.
    pub fn store(&self) -> anyhow::Result<Store> {
        let name = |topic| names().topic(topic);
        let topic = |topic| Topic { name: name(topic), partitions: PARTITIONS };
        let topics: Vec<Topic> = TopicName::ALL.into_iter().map(topic).collect();
        Ok(Store::open(&self.data(), &topics, Limits::default())?)
    }

    /// Appends a record to a topic, while no process has the data.
    pub fn append(
        &self,
        topic: TopicName,
        key: &str,
        headers: &[(&str, &str)],
        value: &[u8],
    ) -> anyhow::Result<()> {
        let store = self.store()?;
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        let headers: Vec<_> = headers.iter().map(header).collect();
        let record = NewRecord { key: key.as_bytes(), value: Some(value), headers: &headers };
        store.append_and_wait(store.topic(&names().topic(topic))?, record)?;
        Ok(())
    }

    /// Checks the books by themselves, while no process has them.
    pub fn audit(&self, expected: &Expected) -> anyhow::Result<Report> {
        Ok(check::check(&books::read_store(&self.store()?, &names())?, expected))
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.process = None;
        if std::env::var_os("KPAY_KEEP").is_none()
            && let Err(error) = std::fs::remove_dir_all(&self.home)
        {
            eprintln!("{}: {error}", self.home.display());
        }
    }
}

fn names() -> Names {
    Names { prefix: "default.payments.".to_owned() }
}

/// Puts intakes into payment.incoming as a gateway would, without waiting for each.
pub fn fill(store: &Store, intakes: impl IntoIterator<Item = anyhow::Result<Intake>>) -> anyhow::Result<()> {
    let topic = store.topic(&names().topic(TopicName::Incoming))?;
    let headers = [("content-type".to_owned(), b"application/x-protobuf".to_vec())];
    let mut value = Vec::new();
    let mut intakes = intakes.into_iter().peekable();
    while let Some(intake) = intakes.next() {
        let intake = intake?;
        value.clear();
        intake.encode(&mut value);
        let key = intake.id().as_str().as_bytes();
        let record = NewRecord { key, value: Some(&value), headers: &headers };
        let mut append = || match intakes.peek() {
            Some(_) => store.append(topic, record, Box::new(|_| {})),
            // The last one's answer stands for all before it.
            None => store.append_and_wait(topic, record).map(drop),
        };
        while let Err(error) = append() {
            ensure!(matches!(error, StoreError::Busy { .. }), error);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}
