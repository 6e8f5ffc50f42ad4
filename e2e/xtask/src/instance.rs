//! One testbed: its name, its paths, and commands that run inside its network. Reads `/proc`, starts nothing itself
//! but `shell`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// The bridge's address in the namespace: the node, the API server and the broker. Valid only inside it.
pub(crate) const GATEWAY: &str = "10.244.0.1";
pub(crate) const KAFKA: &str = "10.244.0.1:9092";

/// Unix socket paths end at 107 bytes, and the longest of ours adds 40 to the state folder's.
const STATE_PATH_BYTES_MAX: usize = 64;

#[derive(Debug, Clone)]
pub(crate) struct Instance {
    /// Also the name of the network namespace.
    pub(crate) name: String,
    pub(crate) cache: PathBuf,
    /// The root of the repository.
    pub(crate) repo: PathBuf,
}

impl Instance {
    /// The testbed called `name` (`kpay-<name>`; `kpay` when not given) in `cache`.
    pub(crate) fn new(cache: Option<PathBuf>, name: Option<&str>) -> Result<Self> {
        let name = match name {
            None => "kpay".to_owned(),
            Some(name) => format!("kpay-{name}"),
        };
        let fits = name.len() <= 20
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        ensure!(fits, "--name takes up to 15 lower-case letters, digits and hyphens");
        let cache = match cache {
            Some(cache) => std::path::absolute(cache)?,
            None => PathBuf::from(env::var_os("HOME").context("HOME is not set; give --cache")?)
                .join(".cache/kpay"),
        };
        // As `cargo run` says it now: two clones may share a target folder, and then the built-in one may be the other's.
        let manifest =
            env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).filter(|path| path.ends_with("e2e/xtask"));
        let manifest = manifest.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let repo = manifest.ancestors().nth(2).context("the repository has no root")?.to_owned();
        let instance = Self { name, cache, repo };
        ensure!(
            instance.state().as_os_str().len() <= STATE_PATH_BYTES_MAX,
            "{} is too long a path for unix sockets; set KPAY_CACHE to a shorter one",
            instance.state().display()
        );
        Ok(instance)
    }

    /// A second testbed in the same cache.
    pub(crate) fn sibling(&self, name: &str) -> Result<Self> {
        Self::new(Some(self.cache.clone()), Some(name))
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.cache.join("state").join(&self.name)
    }

    pub(crate) fn bin(&self, program: &str) -> PathBuf {
        self.cache.join("bin").join(program)
    }

    pub(crate) fn kafka_libs(&self) -> PathBuf {
        self.cache.join("kafka/libs")
    }

    pub(crate) fn log(&self, step: &str) -> PathBuf {
        self.cache.join("log").join(format!("{step}.log"))
    }

    pub(crate) fn testbed(&self, path: &str) -> PathBuf {
        self.repo.join("e2e/testbed").join(path)
    }

    /// For people: reaches the API server through the forwarder.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        if self.name == "kpay" {
            self.cache.join("kubeconfig")
        } else {
            self.cache.join(format!("kubeconfig-{}", self.name))
        }
    }

    pub(crate) fn namespace(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// The container engine whose kind cluster this testbed is; none for the host cluster.
    pub(crate) fn engine(&self) -> Option<String> {
        fs::read_to_string(self.state().join("engine")).ok()
    }

    /// The pid of the daemon that was recorded under this name, while it runs: the same pid with the same start time.
    pub(crate) fn pid(&self, daemon: &str) -> Option<String> {
        let recorded = fs::read_to_string(self.state().join("pids").join(daemon)).ok()?;
        let (pid, since) = recorded.trim().split_once(' ')?;
        started_at(pid).is_some_and(|now| now == since).then(|| pid.to_owned())
    }

    /// True while the daemon that was recorded under this name runs.
    pub(crate) fn alive(&self, daemon: &str) -> bool {
        self.pid(daemon).is_some()
    }

    /// A script of the testbed's.
    pub(crate) fn script(&self, script: &str) -> Command {
        let mut command = Command::new(self.testbed(script));
        command.env("CACHE", &self.cache).env("INSTANCE", &self.name);
        command
    }

    /// A program inside the cluster's network, with the environment that the tests get.
    pub(crate) fn inside(&self, program: impl AsRef<OsStr>) -> Command {
        let mut net = OsString::from("--net=");
        net.push(self.namespace());
        let mut command = Command::new("nsenter");
        command.arg(net).arg("--").arg(program);
        command.envs(self.environment());
        command
    }

    /// `PATH` with the testbed's tools first.
    fn search_path(&self) -> OsString {
        let mut path = self.cache.join("bin").into_os_string();
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        path
    }

    /// What programs inside the cluster's network are told.
    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let state = self.state();
        vec![
            ("PATH", self.search_path()),
            ("CACHE", self.cache.clone().into()),
            ("INSTANCE", self.name.clone().into()),
            ("KUBECONFIG", state.join("pki/admin.kubeconfig").into()),
            ("KPAY_KAFKA", KAFKA.into()),
            ("KPAY_KAFKA_LIBS", self.kafka_libs().into()),
            ("KPAY_KAFKA_CTL", self.testbed("kafka.sh").into()),
            ("KPAY_TOOLS", self.cache.join("bin").into()),
            ("KPAY_STATE", state.clone().into()),
            ("KPAY_AUDIT_LOG", state.join("log/audit.log").into()),
        ]
    }

    /// Becomes the command, inside the cluster's network where it is one of this host's.
    pub(crate) fn shell(&self, command: &[String]) -> Result<()> {
        self.ensure_up()?;
        let (program, args) = command.split_first().context("no command given")?;
        let mut command = if self.engine().is_some() {
            let mut command = Command::new(program);
            command.env("PATH", self.search_path()).env("KUBECONFIG", self.kubeconfig());
            command
        } else {
            self.inside(program)
        };
        Err(command.args(args).exec().into())
    }

    pub(crate) fn ensure_up(&self) -> Result<()> {
        if self.engine().is_some() || self.alive("apiserver") {
            return Ok(());
        }
        bail!("{} is not up; run: {} up", self.name, self.xtask())
    }

    /// How one calls us for this testbed.
    pub(crate) fn xtask(&self) -> String {
        let name = self.name.strip_prefix("kpay-").map(|name| format!(" --name {name}"));
        format!("cargo xtask{}", name.unwrap_or_default())
    }
}

/// Field 22 of `/proc/<pid>/stat`, counted after the command's name, which may hold spaces. None for a zombie: it has
/// ended, and nobody may ever come to collect it.
pub(crate) fn started_at(pid: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(") ")?;
    if after.starts_with('Z') {
        return None;
    }
    after.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_cannot_be_a_namespace_is_refused() {
        for name in ["", "UPPER", "with space", "a/b", "far-too-long-for-an-interface"] {
            let made = Instance::new(Some("/c".into()), Some(name));
            assert_eq!(made.is_ok(), name.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_state_path_too_long_for_sockets_is_refused() {
        assert!(Instance::new(Some(format!("/{}", "c".repeat(80)).into()), None).is_err());
    }

    #[test]
    fn a_recorded_process_is_alive_only_with_its_start_time() {
        let cache = env::temp_dir().join(format!("xt{}", std::process::id()));
        let instance = Instance::new(Some(cache.clone()), None).unwrap();
        let pids = instance.state().join("pids");
        fs::create_dir_all(&pids).unwrap();
        let pid = std::process::id().to_string();
        fs::write(pids.join("me"), format!("{pid} {}", started_at(&pid).unwrap())).unwrap();
        fs::write(pids.join("reused"), format!("{pid} 1")).unwrap();
        assert!(instance.alive("me"));
        assert!(!instance.alive("reused"));
        assert!(!instance.alive("never"));
        fs::remove_dir_all(cache).unwrap();
    }
}
