//! Programs of the host: what is missing is installed by apt when we are root, and named otherwise.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::instance::Instance;
use crate::process;

/// A program, and the Debian package that brings it.
type Needed = (&'static str, &'static str);

/// What librdkafka and jemalloc are built with.
pub(crate) const BUILD: &[Needed] =
    &[("gcc", "gcc"), ("g++", "g++"), ("make", "make"), ("pkg-config", "pkg-config"), ("strip", "binutils")];
pub(crate) const JAVA: &[Needed] = &[("java", "default-jre-headless"), ("mvn", "maven")];
/// What the page is tested in.
pub(crate) const BROWSER: &[Needed] = &[("/usr/bin/chromium", "chromium")];
/// What the fuzzer is installed with, where Python has no `ensurepip`: Debian keeps it in a package of its own, without a
/// file whose name has no version but this one.
pub(crate) const PYTHON: &[Needed] =
    &[("python3", "python3"), ("/usr/share/doc/python3-venv/copyright", "python3-venv")];
pub(crate) const CLUSTER: &[Needed] = &[
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("socat", "socat"),
    ("ip", "iproute2"),
    ("sysctl", "procps"),
    ("nsenter", "util-linux"),
    ("openssl", "openssl"),
    ("bc", "bc"),
    ("buildah", "buildah"),
    ("gcc", "gcc"),
];

/// What makes images and sends them to a registry where no container engine runs.
pub(crate) const IMAGES: &[Needed] = &[("buildah", "buildah"), ("skopeo", "skopeo"), ("strip", "binutils")];

pub(crate) fn root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// True when the program is in the path (or, given as a path, is there).
pub(crate) fn has(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    // /usr/sbin is not in every root's PATH, and iptables lives there.
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(program).is_file())
        || Path::new(program).is_file() && program.starts_with('/')
}

/// Installs the packages of what is missing, or says what to install.
pub(crate) fn install(instance: &Instance, needed: &[Needed]) -> Result<String> {
    let mut missing: Vec<&str> =
        needed.iter().filter(|(program, _)| !has(program)).map(|(_, package)| *package).collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok("all there".to_owned());
    }
    let list = missing.join(" ");
    if !root() || !has("apt-get") {
        bail!(
            "these packages are missing: {list}\nInstall them, e.g.: sudo apt-get install -y --no-install-recommends {list}"
        );
    }
    let log = instance.log("packages");
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        process::logged(&mut command, &log, |_| {})
    };
    apt(&["update", "-q"])?;
    apt(&[&["install", "-y", "-q", "--no-install-recommends"], missing.as_slice()].concat())?;
    if let Some((program, package)) = needed.iter().find(|(program, _)| !has(program)) {
        bail!("{program} is still missing after installing {package}");
    }
    Ok(format!("installed {list}"))
}
