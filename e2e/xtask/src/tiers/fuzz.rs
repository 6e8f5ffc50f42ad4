//! Requests that nobody thought of, made by schemathesis from `/openapi.json` of a real `kpay local`: no answer is a
//! server error, or one that the description does not know.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::Context;
use crate::instance::Instance;
use crate::{packages, process, steps, tools};

const REQUIREMENTS: &str = "e2e/fuzz/requirements.txt";

/// What is checked of every answer. Off, with the reason:
/// - `positive_data_acceptance`, `negative_data_rejection`: the API is stricter than a schema can say
///   (currencies that exist, bounds in bytes, no field that is not known) and laxer (an empty text that is no id is as good as none).
/// - `missing_required_header`, `ignored_auth`, `object_level_authorization`: there is no required header and no login.
/// - `use_after_free`: nothing can be deleted.
/// - `ensure_resource_availability`: what was accepted may yet be rejected.
/// - `response_headers_conformance`: `preference-applied` is sent only where there was a preference.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_schema_conformance,unsupported_method,allow_header_conformance";

/// A fixed one, so that what was found once is found again.
const SEED: &str = "1";
/// The most requests of an operation in a phase.
const EXAMPLES: &str = "25";
/// Longer than the longest `Prefer: wait`, which is 30 seconds.
const ANSWER_TIMEOUT_S: &str = "50";

/// Not asked at all: its answer has no end. The generator is asked, since this gateway is started without one: it refuses,
/// and sends no load.
const LEFT_OUT: &[&str] = &["follow_pipeline"];
/// Asked by themselves, last: nothing that comes after a pause is carried out.
const LAST: &[&str] = &["pause_pipeline", "resume_pipeline"];

const START_TIMEOUT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

/// Starts `kpay local`, asks it everything, and returns what was proven.
pub(super) fn run(context: &Context) -> Result<String> {
    let instance = context.instance;
    let program = schemathesis(instance)?;
    let kpay = super::program(instance, "kpay")?;
    let home = std::env::temp_dir().join(format!("kpay-fuzz-{}", std::process::id()));
    fs::create_dir_all(&home)?;
    let mut local = Local::start(&kpay, &home)?;
    let most = fuzz(&program, &home, local.address, &exclude(), &context.args.args)?;
    let last = fuzz(&program, &home, local.address, &include(), &context.args.args)?;
    // A server that died of the last request would not have answered it with a status.
    ensure!(
        local.running()?,
        "kpay local has ended; its log:\n{}",
        fs::read_to_string(home.join("kpay.log"))?
    );
    drop(local);
    tools::remove_dir(&home)?;
    Ok(format!("{} requests", most.saturating_add(last)))
}

fn exclude() -> Vec<&'static str> {
    LEFT_OUT.iter().chain(LAST).flat_map(|operation| ["--exclude-operation-id", operation]).collect()
}

fn include() -> Vec<&'static str> {
    LAST.iter().flat_map(|operation| ["--include-operation-id", operation]).collect()
}

/// The program, in an environment of its own that is made anew when the requirements change.
fn schemathesis(instance: &Instance) -> Result<PathBuf> {
    if process::output(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_err() {
        packages::install(instance, packages::PYTHON)?;
    }
    let _lock = tools::lock(instance)?;
    let requirements = instance.repo.join(REQUIREMENTS);
    let venv = instance.cache.join("tools/schemathesis");
    let (wanted, stamp) = (fs::read(&requirements)?, venv.join("requirements.txt"));
    let program = venv.join("bin/schemathesis");
    if fs::read(&stamp).is_ok_and(|had| had == wanted) && program.is_file() {
        return Ok(program);
    }
    steps::note("installing schemathesis");
    tools::remove_dir(&venv)?;
    let log = instance.log("schemathesis");
    process::logged(Command::new("python3").args(["-m", "venv"]).arg(&venv), &log, |_| {})?;
    let mut pip = Command::new(venv.join("bin/pip"));
    // Without what is not pinned.
    pip.args(["install", "--quiet", "--no-deps", "--only-binary", ":all:", "-r"]).arg(&requirements);
    process::logged(&mut pip, &log, |_| {})?;
    fs::write(&stamp, wanted)?;
    Ok(program)
}

/// Asks the operations that `chosen` says, and returns how many requests there were.
fn fuzz(program: &Path, home: &Path, at: SocketAddr, chosen: &[&str], args: &[String]) -> Result<u64> {
    let mut command = Command::new(program);
    // It keeps what it found in its working folder.
    command.current_dir(home).args(["run", &format!("http://{at}/openapi.json")]);
    command.args(["--checks", CHECKS, "--seed", SEED, "--max-examples", EXAMPLES]);
    command.args(["--request-timeout", ANSWER_TIMEOUT_S, "--continue-on-failure", "--no-color"]);
    command.args(["--generation-database", "none"]).args(chosen).args(args);
    let mut requests = 0;
    process::watched(&mut command, |line| requests = passed_in(line).unwrap_or(requests))?;
    ensure!(requests > 0, "schemathesis asked nothing");
    Ok(requests)
}

/// The count in a line like `  1136 generated, 1136 passed`.
fn passed_in(line: &str) -> Option<u64> {
    let (_, passed) = line.split_once(" generated, ")?;
    passed.strip_suffix(" passed").or_else(|| Some(passed.split_once(" passed")?.0))?.parse().ok()
}

/// A `kpay local` that is ended when dropped.
struct Local {
    child: Child,
    address: SocketAddr,
}

impl Local {
    fn start(binary: &Path, home: &Path) -> Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let log = File::create(home.join("kpay.log"))?;
        let mut command = Command::new(binary);
        command.args(["local", "--listen", &address.to_string(), "--data-dir"]).arg(home.join("data"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("cannot run kpay local")?;
        let mut local = Self { child, address };
        let deadline = Instant::now() + START_TIMEOUT;
        while !running_pipeline(address).unwrap_or(false) {
            if !local.running()? || Instant::now() > deadline || process::interrupted() {
                bail!("kpay local did not start; read {}", home.join("kpay.log").display());
            }
            std::thread::sleep(POLL);
        }
        Ok(local)
    }

    fn running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

/// Whether the pipeline there runs.
fn running_pipeline(address: SocketAddr) -> Result<bool> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(START_TIMEOUT))?;
    write!(connection, "GET /v1/pipeline HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer.contains(r#""phase":"Running""#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_summary_counts() {
        assert_eq!(passed_in("  1136 generated, 1136 passed"), Some(1136));
        assert_eq!(passed_in("  1136 generated, 1100 passed, 36 found unique failures"), Some(1100));
        assert_eq!(passed_in("     ✅ 24 passed"), None);
    }

    /// An operation that was renamed would not be left out any more.
    #[test]
    fn the_named_operations_are_there() {
        let description = include_str!("../../../../docs/openapi.json");
        for operation in LEFT_OUT.iter().chain(LAST) {
            assert!(description.contains(&format!(r#""operationId": "{operation}""#)), "{operation}");
        }
    }

    #[test]
    fn a_fuzzer_that_asks_nothing_fails() {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        assert!(fuzz(Path::new("true"), &std::env::temp_dir(), at, &[], &[]).is_err());
        assert!(fuzz(Path::new("false"), &std::env::temp_dir(), at, &[], &[]).is_err());
    }
}
