//! Clusters that are not ours to build: kind where a container engine runs, or any context that was named. The engine makes
//! the images; for a context buildah does where there is none. Kept short on purpose: kind and the engine do the work. The
//! host cluster (`up.rs`) is the one that the tests run on; these two are for people's machines.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::cli::UpArgs;
use crate::deploy::Target;
use crate::images::{Image, Recipe};
use crate::instance::Instance;
use crate::steps::{note, step};
use crate::{deploy, images, packages, process, tools, up};

/// The engine that answers, if any.
pub(crate) fn found() -> Option<&'static str> {
    ["docker", "podman"].into_iter().find(|engine| {
        // Both exit with 0 only when they can run containers; podman needs no daemon.
        Command::new(engine).arg("info").output().is_ok_and(|answer| answer.status.success())
    })
}

/// A kind cluster with Kafka in it.
pub(crate) fn up_kind(instance: &Instance, engine: &'static str, args: &UpArgs) -> Result<()> {
    step("tools", || tools::build(instance, &["kind", "kubernetes-client", "helm"]))?;
    let kubeconfig = instance.kubeconfig();
    step("cluster", || {
        ensure!(
            instance.engine().is_some() || !instance.state().exists(),
            "{} is up without an engine; `{1} up --no-engine` goes on with it, `{1} down` ends it",
            instance.name,
            instance.xtask()
        );
        let known = process::output(kind(instance, engine).args(["get", "clusters"]))?;
        let there = known.lines().any(|line| line == instance.name);
        let verb: &[&str] =
            if there { &["export", "kubeconfig"] } else { &["create", "cluster", "--wait", "180s"] };
        let mut command = kind(instance, engine);
        command.args(verb).args(["--name", &instance.name]).arg("--kubeconfig").arg(&kubeconfig);
        process::logged(&mut command, &instance.log("kind"), |_| {})?;
        fs::create_dir_all(instance.state().join("pids"))?;
        fs::create_dir_all(instance.state().join("log"))?;
        fs::write(instance.state().join("engine"), engine)?;
        Ok(if there { "kind, already up" } else { "kind" }.to_owned())
    })?;
    let target = Target::outside(instance, kubeconfig, None, "kafka.kpay-system.svc:9092");
    step("kafka", || {
        target.apply(&instance.repo.join("manifests/dev/kafka.yaml"))?;
        target.kubectl(&[
            "--namespace",
            "kpay-system",
            "rollout",
            "status",
            "statefulset/kafka",
            "--timeout=300s",
        ])?;
        Ok("in the cluster, kafka.kpay-system.svc:9092".to_owned())
    })?;
    if !args.no_deploy {
        let built = build(instance, engine, "localhost", args.binaries.as_deref())?;
        step("import", || {
            for image in &built {
                // Not where the host cluster keeps its own, which it knows by a stamp beside it.
                let archive = image.archive.with_extension("engine.tar");
                let _ = fs::remove_file(&archive); // podman does not overwrite
                let mut save = Command::new(engine);
                process::output(save.args(["save", &image.reference(), "-o"]).arg(&archive))?;
                let mut load = kind(instance, engine);
                load.args(["load", "image-archive", "--name", &instance.name]).arg(&archive);
                process::output(&mut load)?;
            }
            Ok("loaded into kind".to_owned())
        })?;
        deploy::deploy(instance, &target, &built, "Never")?;
    }
    up::forwarder(instance)?;
    up::people(instance, !args.no_deploy)
}

/// Ends the kind cluster, and the forwarder with what it started.
pub(crate) fn down_kind(instance: &Instance, engine: &str) -> Result<()> {
    if let Some(pid) = instance.pid("forward") {
        killpg(Pid::from_raw(pid.parse()?), Signal::SIGTERM)?;
    }
    process::run(kind(instance, engine).args(["delete", "cluster", "--name", &instance.name]))?;
    let _ = fs::remove_file(instance.kubeconfig()); // kind may have removed it
    tools::remove_dir(&instance.state())
}

fn kind(instance: &Instance, engine: &str) -> Command {
    let mut command = Command::new(instance.bin("kind"));
    command.env("KIND_EXPERIMENTAL_PROVIDER", engine);
    command
}

/// An existing cluster with its own Kafka; the images go through a registry.
pub(crate) fn up_context(instance: &Instance, context: &str, args: &UpArgs) -> Result<()> {
    let prefix = args.image_prefix.as_deref().context("--image-prefix is missing")?;
    let kafka = args.kafka.as_deref().context("--kafka is missing")?;
    step("tools", || tools::build(instance, &["kubernetes-client", "helm"]))?;
    let kubeconfig = std::env::var_os("KUBECONFIG").map_or_else(
        || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".kube/config"),
        Into::into,
    );
    let target = Target::outside(instance, kubeconfig, Some(context), kafka);
    step("cluster", || {
        // Before minutes of building: is it there?
        target.kubectl(&["version"])?;
        Ok(format!("context {context}"))
    })?;
    let engine = found();
    let built = if let Some(engine) = engine {
        build(instance, engine, prefix, args.binaries.as_deref())?
    } else {
        step("packages", || packages::install(instance, packages::IMAGES))?;
        let binaries = images::built_or_given(instance, args.binaries.as_deref())?;
        images::both(|recipe| images::build(instance, recipe, &binaries, prefix), "buildah")?
    };
    step("push", || {
        for image in &built {
            process::output(&mut push(engine, image))?;
        }
        Ok(format!("pushed to {prefix}"))
    })?;
    deploy::deploy(instance, &target, &built, "IfNotPresent")?;
    note("");
    note(&format!("export KUBECONFIG={}", target.kubeconfig.display()));
    note(&format!("kubectl --context {context} get pp --watch"));
    note(&format!("kubectl --context {context} port-forward service/payments-gateway 8080 &"));
    note("curl localhost:8080/v1/pipeline");
    Ok(())
}

/// Both images, made by the engine.
fn build(instance: &Instance, engine: &str, prefix: &str, binaries: Option<&Path>) -> Result<[Image; 2]> {
    let binaries = images::built_or_given(instance, binaries)?;
    let one = |recipe: &Recipe| -> Result<Image> {
        let prepared = images::prepare(instance, recipe, &binaries, prefix)?;
        let (image, work) = (prepared.image, prepared.work);
        let base = format!("{}-base:{}", image.repository, image.tag);
        let run =
            |args: &[&str]| process::output(Command::new(engine).current_dir(&work).args(args)).map(drop);
        run(&["build", "-q", "-t", &base, "-f", "base.Dockerfile", "."])?;
        let with_base = format!("BASE={base}");
        run(&["build", "-q", "--build-arg", &with_base, "-t", &image.reference(), "-f", "Dockerfile", "."])?;
        tools::remove_dir(&work)?;
        Ok(image)
    };
    images::both(one, engine)
}

/// Sends an image to its registry, by the engine that made it or out of its archive.
fn push(engine: Option<&str>, image: &Image) -> Command {
    if let Some(engine) = engine {
        let mut push = Command::new(engine);
        push.args(["push", &image.reference()]);
        return push;
    }
    let mut copy = Command::new("skopeo");
    copy.args(["copy", "--quiet", "--insecure-policy"]);
    copy.arg(format!("docker-archive:{}", image.archive.display()));
    copy.arg(format!("docker://{}", image.reference()));
    copy
}
