//! A real Apache Kafka broker on loopback, with its data in a temporary folder. Only I/O.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use kpay_kafka::admin::Admin;
use kpay_kafka::config::Connection;

use crate::process::Process;

const PORTS_FROM: u32 = 12_000;
const PORTS: u32 = 20_000;
/// As the scripts that Kafka comes with.
const GC: [&str; 4] = [
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
];

/// A running broker; dropping it ends the process and removes its data.
pub struct Broker {
    /// `host:port`.
    pub bootstrap: String,
    /// Where the logs of the topics lie.
    pub data: PathBuf,
    home: PathBuf,
    process: Option<Process>,
    libs: PathBuf,
}

/// The jars of a broker, which `cargo xtask` fetches and names here.
fn libs() -> anyhow::Result<PathBuf> {
    let libs = std::env::var_os("KPAY_KAFKA_LIBS")
        .context("KPAY_KAFKA_LIBS is not set: run this by `cargo xtask test` or `cargo xtask bench`")?;
    Ok(libs.into())
}

/// Free ports of loopback that stay free for who restarts on them: below the range from which the kernel gives outgoing
/// connections theirs, and none twice in this process.
pub fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut ports = [0; N];
    for port in &mut ports {
        *port = loop {
            let taken = NEXT.fetch_add(1, Ordering::Relaxed);
            anyhow::ensure!(taken < PORTS, "no port of loopback is free");
            // Runs side by side begin at different places.
            let candidate =
                u16::try_from(PORTS_FROM + (std::process::id().wrapping_mul(97) + taken) % PORTS)?;
            if TcpListener::bind(("127.0.0.1", candidate)).is_ok() {
                break candidate;
            }
        };
    }
    Ok(ports)
}

impl Broker {
    /// Formats a log folder and starts a broker on it. `name` tells the folders of one test run apart.
    pub fn start(name: &str) -> anyhow::Result<Self> {
        let libs = libs()?;
        let home = std::env::temp_dir().join(format!("kpay-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&home)?;
        let [port, controller] = free_ports()?;
        let data = home.join("data");
        let config = home.join("server.properties");
        std::fs::write(&config, properties(port, controller, &data))?;
        let formatted = java(&libs, "128m")
            .args(["kafka.tools.StorageTool", "format", "--standalone", "--cluster-id"])
            .args(["kpay-bench-AAAAAAAAAAA", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .output()?;
        if !formatted.status.success() {
            bail!("kafka format: {}", String::from_utf8_lossy(&formatted.stderr));
        }
        let bootstrap = format!("127.0.0.1:{port}");
        let mut broker = Self { bootstrap, data, home, process: None, libs };
        broker.launch()?;
        Ok(broker)
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        let mut command = java(&self.libs, "1g");
        command.arg("kafka.Kafka").arg(self.home.join("server.properties"));
        self.process = Some(Process::spawn("kafka", command, &self.home.join("kafka.log"))?);
        let deadline = Instant::now() + Duration::from_secs(90);
        let admin = self.admin()?;
        while admin.topics("").is_err() {
            if Instant::now() > deadline {
                bail!("the broker did not answer; see {}", self.home.join("kafka.log").display());
            }
        }
        Ok(())
    }

    /// Ends the broker with SIGKILL and starts it again on the same data.
    pub fn crash(&mut self) -> anyhow::Result<()> {
        self.process = None;
        self.launch()
    }

    /// A client for its topics and groups.
    pub fn admin(&self) -> anyhow::Result<Admin> {
        Ok(Admin::new(self.connection("kpay-e2e"), Duration::from_secs(15))?)
    }

    /// How to reach it.
    pub fn connection(&self, client_id: &str) -> Connection {
        Connection { bootstrap_servers: self.bootstrap.clone(), client_id: client_id.to_owned() }
    }

    /// The process.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Where logs of further processes may be put.
    pub fn home(&self) -> &Path {
        &self.home
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.process = None;
        if std::env::var_os("KPAY_KEEP").is_none()
            && let Err(error) = std::fs::remove_dir_all(&self.home)
        {
            eprintln!("{}: {error}", self.home.display());
        }
    }
}

fn java(libs: &Path, heap: &str) -> Command {
    let mut java = Command::new("java");
    java.args([format!("-Xms{heap}"), format!("-Xmx{heap}")]).args(GC).arg("-cp").arg(libs.join("*"));
    java
}

fn properties(port: u16, controller: u16, data: &Path) -> String {
    format!(
        "process.roles=broker,controller\nnode.id=1\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller}\ncontroller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\nlog.dirs={}\n\
         offsets.topic.replication.factor=1\noffsets.topic.num.partitions=8\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=8\nshare.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\ngroup.initial.rebalance.delay.ms=0\n\
         num.network.threads=2\nnum.io.threads=4\nauto.create.topics.enable=false\n",
        data.display()
    )
}
