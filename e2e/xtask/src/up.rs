//! Bringing a testbed up and down. The host cluster's daemons are started by the scripts in `e2e/testbed`; this is the
//! order of the steps and what people are told.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cli::{DownArgs, UpArgs};
use crate::deploy::Target;
use crate::forward::{GATEWAY_PORT, Ports};
use crate::images::{Image, OPERATOR, PIPELINE};
use crate::instance::{Instance, KAFKA, started_at};
use crate::steps::{making, note, step};
use crate::{deploy, engine, images, packages, process, tools};

/// The daemons without which the cluster is not up, in the order in which they are asked after.
const DAEMONS: &[&str] = &["containerd", "etcd", "apiserver", "kubelet", "kcm", "scheduler", "proxy"];
/// The forwarder writes its ports within milliseconds.
const FORWARDER_POLLS: usize = 50;
const FORWARDER_POLL: Duration = Duration::from_millis(100);

pub(crate) fn up(instance: &Instance, args: &UpArgs) -> Result<()> {
    if let Some(context) = &args.context {
        return engine::up_context(instance, context, args);
    }
    if !args.no_engine
        && let Some(engine) = engine::found()
    {
        return engine::up_kind(instance, engine, args);
    }
    ensure!(
        packages::root(),
        "without a container engine the cluster needs root: start docker or podman, or run as root"
    );
    host_cluster(instance)?;
    if !args.no_deploy {
        let binaries = images::built_or_given(instance, args.binaries.as_deref())?;
        let images = host_images(instance, &binaries)?;
        deploy::deploy(instance, &Target::inside(instance), &images, "Never")?;
    }
    forwarder(instance)?;
    people(instance, !args.no_deploy)
}

/// Builds kpay and becomes `kpay local`.
pub(crate) fn local(instance: &Instance, args: &[String]) -> Result<()> {
    packages::install(instance, packages::BUILD)?;
    let program = images::release(instance, &[PIPELINE.binary])?.join(PIPELINE.binary);
    ensure!(!process::interrupted(), "interrupted");
    Err(Command::new(program).arg("local").args(args).exec().into())
}

/// Packages, tools, the cluster and Kafka; what is there already is left alone.
pub(crate) fn host_cluster(instance: &Instance) -> Result<()> {
    step("packages", || packages::install(instance, packages::CLUSTER))?;
    step("tools", || tools::build(instance, tools::HOST_CLUSTER))?;
    step("kafka jars", || tools::kafka(instance))?;
    step("cluster", || {
        if instance.state().exists() {
            return still_up(instance);
        }
        tools::system_images(instance)?;
        process::logged(&mut instance.script("up.sh"), &instance.log("cluster"), |_| {})?;
        Ok(format!("Kubernetes in the network namespace {}", instance.name))
    })?;
    step("kafka", || {
        let there = instance.alive("kafka");
        process::logged(instance.script("kafka.sh").arg("start"), &instance.log("kafka"), |_| {})?;
        Target::inside(instance).apply(&instance.testbed("etc/kafka-service.yaml"))?;
        Ok(format!(
            "{} {KAFKA}, for pods kafka.{}.svc:9092",
            if there { "already at" } else { "at" },
            deploy::NAMESPACE
        ))
    })
}

fn still_up(instance: &Instance) -> Result<String> {
    match DAEMONS.iter().find(|daemon| !instance.alive(daemon)) {
        None => Ok("already up".to_owned()),
        Some(dead) => bail!(
            "{dead} does not run; read {}, then: {} down",
            instance.state().join("log").join(format!("{dead}.log")).display(),
            instance.xtask()
        ),
    }
}

/// Both of these binaries as images in the cluster's containerd: the operator's, then the pipeline's.
pub(crate) fn host_images(instance: &Instance, binaries: &Path) -> Result<[Image; 2]> {
    making("images", || {
        let image = |recipe| images::build(instance, recipe, binaries, "localhost");
        let images = [image(&OPERATOR)?, image(&PIPELINE)?];
        let mut new = 0_usize;
        for image in &images {
            new = new.saturating_add(usize::from(import(instance, image)?));
        }
        let told = if new == 0 { "unchanged".to_owned() } else { format!("{new} built and imported") };
        Ok((images, told))
    })
}

/// Puts releases of the pipeline's binary to upgrade to into the cluster's containerd.
pub(crate) fn host_variants(instance: &Instance, binaries: &Path, faults: &[&str]) -> Result<()> {
    step("variants", || {
        import(instance, &images::variants(instance, binaries, faults)?)?;
        Ok(faults.join(", "))
    })
}

/// Puts the image into the cluster's containerd; false when it is there already.
fn import(instance: &Instance, image: &Image) -> Result<bool> {
    let ctr = || {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(instance.state().join("c.sock")).args([
            "--namespace",
            "k8s.io",
            "images",
        ]);
        command
    };
    let reference = image.reference();
    if process::output(ctr().args(["list", "--quiet"]))?.lines().any(|line| line == reference) {
        return Ok(false);
    }
    process::output(ctr().arg("import").arg(&image.archive))?;
    Ok(true)
}

/// Starts the process that carries 127.0.0.1 ports into the cluster's network, and writes the kubeconfig for people where
/// the API server has one of these ports.
pub(crate) fn forwarder(instance: &Instance) -> Result<()> {
    step("forwarder", || {
        if !instance.alive("forward") {
            start_forwarder(instance)?;
        }
        let Ports { api, gateway } = Ports::read(instance)?;
        let Some(api) = api else { return Ok(format!("127.0.0.1:{gateway} gateway")) };
        let admin = fs::read_to_string(instance.state().join("pki/admin.kubeconfig"))?;
        let people = admin.replace("https://10.244.0.1:6443", &format!("https://127.0.0.1:{api}"));
        fs::write(instance.kubeconfig(), people)?;
        Ok(format!("127.0.0.1:{api} API server, 127.0.0.1:{gateway} gateway"))
    })
}

fn start_forwarder(instance: &Instance) -> Result<()> {
    let state = instance.state();
    let _ = fs::remove_file(state.join("ports.json")); // of an earlier one
    let log = fs::File::create(state.join("log/forward.log"))?;
    // A copy, so that a build that replaces this program, or `cargo clean`, does not matter to it.
    let program = state.join("forwarder");
    let _ = fs::remove_file(&program); // the name may belong to a running one
    fs::copy(std::env::current_exe()?, &program)?;
    let mut command = Command::new("setsid");
    command.arg(&program).arg("--cache").arg(&instance.cache);
    if let Some(name) = instance.name.strip_prefix("kpay-") {
        command.args(["--name", name]);
    }
    command.arg("forward").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir("/");
    // setsid becomes the program, so the pid is its own.
    let pid = command.spawn().context("cannot start the forwarder")?.id().to_string();
    let since = started_at(&pid).context("the forwarder ended at once")?;
    fs::write(state.join("pids/forward"), format!("{pid} {since}\n"))?;
    for _ in 0..FORWARDER_POLLS {
        if state.join("ports.json").exists() {
            return Ok(());
        }
        thread::sleep(FORWARDER_POLL);
    }
    bail!("the forwarder took no ports; read {}", state.join("log/forward.log").display())
}

/// Tells how to go on, in lines that may be pasted.
pub(crate) fn people(instance: &Instance, deployed: bool) -> Result<()> {
    let ports = Ports::read(instance)?;
    println!();
    println!(
        "export KUBECONFIG={} PATH={}:$PATH",
        instance.kubeconfig().display(),
        instance.cache.join("bin").display()
    );
    if deployed {
        let api = format!("localhost:{}/v1", ports.gateway);
        if ports.gateway != GATEWAY_PORT {
            let taken = format!("localhost:{GATEWAY_PORT} belongs to another program, perhaps `kpay local`");
            println!("# {taken}: this pipeline's gateway is at localhost:{}", ports.gateway);
        }
        println!("kubectl get pp");
        println!(r#"curl {api}/accounts --json '{{"id": "alice", "currency": "USD", "funding": 100000}}'"#);
        println!(r#"curl {api}/accounts --json '{{"id": "bob", "currency": "USD"}}'"#);
        let payment = r#"{"id": "p-1", "from": "alice", "to": "bob", "amount": {"value": 1234, "currency": "USD"}, "reference": "invoice 7"}"#;
        println!("curl {api}/payments --header 'Prefer: wait=5' --json '{payment}'");
        println!("curl {api}/accounts/bob");
        for phase in ["Paused", "Running"] {
            println!(
                r#"kubectl patch pp payments --type merge -p '{{"spec":{{"desiredPhase":"{phase}"}}}}'"#
            );
            println!("kubectl wait pp payments --for jsonpath='{{.status.phase}}'={phase}");
        }
    } else {
        println!("kubectl get nodes");
    }
    println!("{} kafka topics --list", instance.xtask());
    println!("{} down", instance.xtask());
    Ok(())
}

/// Ends one cluster, or all that the cache knows, and removes what they made.
pub(crate) fn down(instance: &Instance, args: &DownArgs) -> Result<()> {
    let mut names = vec![instance.name.clone()];
    if args.all || args.purge {
        let states = fs::read_dir(instance.cache.join("state")).into_iter().flatten().flatten();
        names = states
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
    }
    for name in names {
        let instance = Instance { name, ..instance.clone() };
        match instance.engine() {
            Some(engine) => engine::down_kind(&instance, &engine)?,
            None => host_down(&instance)?,
        }
    }
    if args.purge {
        for folder in ["bin", "tools", "kafka", "images", "log", "state"] {
            tools::remove_dir(&instance.cache.join(folder))?;
        }
        note("the caches are removed");
    }
    Ok(())
}

pub(crate) fn host_down(instance: &Instance) -> Result<()> {
    let _ = fs::remove_file(instance.kubeconfig()); // there is none without a forwarder
    process::run(&mut instance.script("down.sh"))
}
