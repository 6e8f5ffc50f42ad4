//! What is built or fetched once and kept in the cache: the cluster's programs, Kafka's jars, the cluster's own images.
//! Everything is keyed by its pins, so a changed pin is enough to get it anew.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::fcntl::{Flock, FlockArg};

use crate::instance::Instance;
use crate::{packages, process, steps};

/// One preparation at a time in a cache; a second one waits.
pub(crate) fn lock(instance: &Instance) -> Result<Flock<File>> {
    fs::create_dir_all(&instance.cache)
        .with_context(|| format!("cannot make {}", instance.cache.display()))?;
    let file = File::create(instance.cache.join("lock"))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((file, _)) => {
            steps::note("another xtask is preparing the tools; waiting for it");
            Flock::lock(file, FlockArg::LockExclusive)
                .map_err(|(_, error)| error)
                .context("cannot lock the cache")
        }
    }
}

/// Builds the tools modules of these names (folders of e2e/testbed/tools).
pub(crate) fn build(instance: &Instance, modules: &[&str]) -> Result<String> {
    let _lock = lock(instance)?;
    ensure!(packages::has("go"), "go is missing: install Go 1.26 or newer from https://go.dev/dl");
    let mut built = 0_usize;
    let mut command = instance.script("tools/build.sh");
    command.arg(&instance.cache).args(modules);
    process::logged(&mut command, &instance.log("tools"), |line| {
        built = built.saturating_add(1);
        steps::note(line);
    })?;
    Ok(match built {
        0 => "all built before".to_owned(),
        n => format!("{n} built"),
    })
}

/// The modules of a cluster without a container engine. The whole takes about 5 minutes, once.
pub(crate) const HOST_CLUSTER: &[&str] = &["crirm", "etcd", "kubernetes", "helm", "coredns"];

const CARGO_DENY: &str = "0.20.2";

/// The program that checks licenses and sources; built by cargo, once. Not optimised: it takes longer to build than it
/// ever runs.
pub(crate) fn cargo_deny(instance: &Instance) -> Result<PathBuf> {
    let _lock = lock(instance)?;
    let root = instance.cache.join("tools").join(format!("cargo-deny-{CARGO_DENY}"));
    let program = root.join("bin/cargo-deny");
    if !program.is_file() {
        steps::note("building cargo-deny");
        let mut cargo = Command::new("cargo");
        cargo
            .args(["install", "cargo-deny", "--debug", "--locked", "--version", CARGO_DENY, "--root"])
            .arg(&root);
        // A folder of its own: the workspace's is locked by whoever builds there.
        cargo
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_TARGET_DIR", instance.cache.join("tools/src-cargo-deny"));
        process::logged(&mut cargo, &instance.log("cargo-deny"), |_| {})?;
        remove_dir(&instance.cache.join("tools/src-cargo-deny"))?;
    }
    Ok(program)
}

/// Kafka's jars, by maven.
pub(crate) fn kafka(instance: &Instance) -> Result<String> {
    let _lock = lock(instance)?;
    let pom = instance.testbed("kafka/pom.xml");
    let libs = instance.kafka_libs();
    let (wanted, stamp) = (fs::read(&pom)?, instance.cache.join("kafka/pom.xml"));
    if fs::read(&stamp).is_ok_and(|had| had == wanted) && libs.is_dir() {
        return Ok("jars are there".to_owned());
    }
    packages::install(instance, packages::JAVA)?;
    let fresh = instance.cache.join("kafka/libs.part");
    remove_dir(&fresh)?;
    remove_dir(&libs)?;
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "-f"]).arg(&pom).arg("dependency:copy-dependencies");
    maven.arg(format!("-DoutputDirectory={}", fresh.display()));
    process::logged(&mut maven, &instance.log("kafka-jars"), |_| {})?;
    fs::rename(&fresh, &libs)?;
    fs::write(&stamp, wanted)?;
    Ok("jars fetched".to_owned())
}

/// The images that the cluster itself runs.
pub(crate) fn system_images(instance: &Instance) -> Result<()> {
    let _lock = lock(instance)?;
    let mut command = instance.script("system-images.sh");
    process::logged(command.arg(&instance.cache), &instance.log("system-images"), |_| {})
}

/// Removes a folder; one that is not there is removed.
pub(crate) fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Makes `link` lead to `target`, whatever it led to before.
pub(crate) fn link(target: &Path, link: &Path) -> Result<()> {
    fs::create_dir_all(link.parent().context("a link lies in a folder")?)?;
    match fs::remove_file(link) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", link.display()));
        }
        _ => {}
    }
    symlink(target, link).with_context(|| format!("cannot make {}", link.display()))
}
