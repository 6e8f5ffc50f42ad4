//! Ports of 127.0.0.1 for people, carried into the cluster's network. The listening sockets belong to the host; each
//! connection gets a thread that enters the namespace before it connects, so no cluster address is ever used outside.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CloneFlags, setns};
use serde::{Deserialize, Serialize};

use crate::instance::{GATEWAY, Instance};

/// Where people find the gateway, unless another program is there.
pub(crate) const GATEWAY_PORT: u16 = 8080;
const CONNECTIONS_MAX: usize = 256;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// How many ports after the usual one are tried.
const PORTS_TRIED: u16 = 50;

/// The ports of 127.0.0.1 that are carried.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Ports {
    /// None where the cluster's own kubeconfig reaches the API server.
    pub(crate) api: Option<u16>,
    pub(crate) gateway: u16,
}

impl Ports {
    /// What the running forwarder has taken.
    pub(crate) fn read(instance: &Instance) -> Result<Self> {
        let path = instance.state().join("ports.json");
        Ok(serde_json::from_slice(
            &fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?,
        )?)
    }
}

#[derive(Debug, Clone, Copy)]
enum Target {
    Api,
    /// The example pipeline's gateway; its address is asked for at each connection, because it may come late or change.
    Gateway,
}

/// Takes the ports, writes them to the state folder and forwards until it is ended.
pub(crate) fn run(instance: &Instance) -> Result<()> {
    if instance.engine().is_some() {
        return by_kubectl(instance);
    }
    let (api, gateway) = (listen(6443)?, listen(GATEWAY_PORT)?);
    let namespace = Arc::new(File::open(instance.namespace()).context("the cluster's network is not there")?);
    let ports = Ports { api: Some(api.local_addr()?.port()), gateway: gateway.local_addr()?.port() };
    tell(instance, ports)?;

    let connections = Arc::new(AtomicUsize::new(0));
    let served = [(api, Target::Api), (gateway, Target::Gateway)].map(|(listener, target)| {
        let (instance, namespace, connections) = (instance.clone(), namespace.clone(), connections.clone());
        thread::spawn(move || serve(&listener, target, &instance, &namespace, &connections))
    });
    for thread in served {
        let _ = thread.join(); // they end only with the process
    }
    Ok(())
}

fn tell(instance: &Instance, ports: Ports) -> Result<()> {
    let part = instance.state().join("ports.part");
    fs::write(&part, serde_json::to_vec(&ports)?)?;
    Ok(fs::rename(part, instance.state().join("ports.json"))?)
}

/// Where the cluster's network is not one of this host's: kubectl carries the gateway's port to one of its pods, and is
/// started again whenever that pod has gone. Ends only with the process group.
fn by_kubectl(instance: &Instance) -> Result<()> {
    let gateway = listen(GATEWAY_PORT)?.local_addr()?.port();
    tell(instance, Ports { api: None, gateway })?;
    loop {
        let mut kubectl = Command::new(instance.bin("kubectl"));
        kubectl.env("KUBECONFIG", instance.kubeconfig());
        kubectl.args(["port-forward", "--namespace", "default", "service/payments-gateway"]);
        kubectl.arg(format!("{gateway}:8080"));
        let ended = kubectl.status().context("cannot run kubectl")?;
        eprintln!("kubectl port-forward ended with {ended}");
        thread::sleep(RESTART_PAUSE);
    }
}

fn listen(wanted: u16) -> Result<TcpListener> {
    for port in wanted..wanted.saturating_add(PORTS_TRIED) {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            taken => return taken.with_context(|| format!("cannot listen on 127.0.0.1:{port}")),
        }
    }
    anyhow::bail!("the ports from {wanted} are all taken")
}

fn serve(
    listener: &TcpListener,
    target: Target,
    instance: &Instance,
    namespace: &Arc<File>,
    connections: &Arc<AtomicUsize>,
) {
    for client in listener.incoming() {
        let Ok(client) = client else {
            thread::sleep(Duration::from_millis(50)); // out of descriptors: let some close
            continue;
        };
        if connections.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            connections.fetch_sub(1, Ordering::Relaxed);
            continue; // closes it
        }
        let (instance, namespace, connections) = (instance.clone(), namespace.clone(), connections.clone());
        thread::spawn(move || {
            if let Err(error) = carry(client, target, &instance, &namespace) {
                eprintln!("{target:?}: {error:#}");
            }
            connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn carry(client: TcpStream, target: Target, instance: &Instance, namespace: &File) -> Result<()> {
    // From here on this thread, and what it starts, lives in the cluster's network.
    setns(namespace, CloneFlags::CLONE_NEWNET).context("cannot enter the cluster's network")?;
    let address = match target {
        Target::Api => SocketAddr::new(GATEWAY.parse()?, 6443),
        Target::Gateway => gateway(instance)?,
    };
    let server = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)
        .with_context(|| format!("no answer at {address}"))?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    let upward = thread::spawn(move || pump(&mut from, &mut to));
    pump(&mut { server }, &mut { client });
    let _ = upward.join(); // a broken connection ends both ways
    Ok(())
}

/// Copies until one side ends, and passes the end on.
fn pump(from: &mut TcpStream, to: &mut TcpStream) {
    let _ = io::copy(from, to); // a reset is an end like another
    let _ = to.shutdown(Shutdown::Write);
}

fn gateway(instance: &Instance) -> Result<SocketAddr> {
    let mut kubectl = Command::new(instance.bin("kubectl"));
    kubectl.env("KUBECONFIG", instance.state().join("pki/admin.kubeconfig"));
    kubectl.args(["get", "service", "payments-gateway", "--namespace", "default", "--request-timeout=5s"]);
    kubectl.args(["--output", "jsonpath={.spec.clusterIP}:8080"]);
    let answer = kubectl.output().context("cannot run kubectl")?;
    ensure!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr).trim());
    let address = String::from_utf8(answer.stdout)?;
    address.parse().with_context(|| format!("{address:?} is no address"))
}
