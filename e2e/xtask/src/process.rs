//! Running other programs: each in a process group of its own, so that a signal to us ends them all, those that do not
//! listen too, and leaves us time to clean up.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// The group of the command that runs now. Held while one is started, so that no interrupt falls between, and while one is
/// ended, so that nothing begins beside what is left of it.
static RUNNING: Mutex<Option<Pid>> = Mutex::new(None);

/// How long a command that is interrupted may take to end.
const GRACE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// Lines of a failed command's log that are shown.
const TAIL_LINES: usize = 15;

/// From now on SIGINT, SIGTERM and SIGHUP end the running command and fail the next one, but not this process. A SIGHUP that
/// whoever started us had us ignore is ignored on, also by what we become.
pub(crate) fn watch_for_interrupts() -> Result<()> {
    let mut watched = vec![SIGINT, SIGTERM];
    if !ignored(&fs::read_to_string("/proc/self/status")?, SIGHUP) {
        watched.push(SIGHUP);
    }
    let mut signals = Signals::new(watched).context("cannot handle interrupts")?;
    thread::spawn(move || {
        for _ in signals.forever() {
            INTERRUPTED.store(true, Ordering::SeqCst);
            if let Ok(running) = RUNNING.lock()
                && let Some(group) = *running
            {
                end(group, GRACE);
            }
        }
    });
    Ok(())
}

/// Whether the process with this `/proc/<pid>/status` ignores the signal.
fn ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal - 1) & 1 == 1
}

/// Asks a process group to end, and kills what is left of it after `grace`.
fn end(group: Pid, grace: Duration) {
    let _ = killpg(group, Signal::SIGTERM); // it may have ended just now
    let asked = Instant::now();
    while lives(group) {
        if asked.elapsed() >= grace {
            let _ = killpg(group, Signal::SIGKILL); // as above
            return;
        }
        thread::sleep(POLL);
    }
}

/// True while a process of the group runs. One that has ended and that nobody collects is still in it, and runs no more.
fn lives(group: Pid) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok()).any(|stat| {
        // After the command's name, which may hold spaces: state, parent, group.
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split(' '));
        let Some((state, of)) = fields.and_then(|mut fields| Some((fields.next()?, fields.nth(1)?))) else {
            return false;
        };
        !matches!(state, "Z" | "X") && of.parse() == Ok(group.as_raw())
    })
}

pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Runs `work` although we were interrupted: for cleaning up.
pub(crate) fn despite_interrupt<T>(work: impl FnOnce() -> T) -> T {
    let before = INTERRUPTED.swap(false, Ordering::SeqCst);
    let result = work();
    if before {
        INTERRUPTED.store(true, Ordering::SeqCst);
    }
    result
}

/// Takes away what `cargo run` told this program of its own package: build scripts that look at these variables (ring's does)
/// would run again, and all that depends on them be compiled again, whenever cargo is called by us and then by a person, or from
/// another clone.
fn without_own_package(command: &mut Command) {
    let given: Vec<OsString> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
    let of_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    let names = env::vars_os().map(|(name, _)| name).filter(|name| name.to_str().is_some_and(of_package));
    for name in names.filter(|name| !given.contains(name)) {
        command.env_remove(name);
    }
}

fn spawn(command: &mut Command) -> Result<Child> {
    let mut running = RUNNING.lock().map_err(|_| anyhow::anyhow!("another command's thread failed"))?;
    if interrupted() {
        bail!("interrupted");
    }
    without_own_package(command);
    command.stdin(Stdio::null()).process_group(0);
    let child = command.spawn().with_context(|| format!("cannot run {}", describe(command)))?;
    *running = i32::try_from(child.id()).ok().map(Pid::from_raw);
    Ok(child)
}

fn wait(mut child: Child) -> Result<ExitStatus> {
    let status = child.wait()?;
    if let Ok(mut running) = RUNNING.lock() {
        *running = None;
    }
    Ok(status)
}

/// The command as one could type it.
pub(crate) fn describe(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

/// Runs it with our output.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = wait(spawn(command)?)?;
    judge(command, status)
}

/// Runs it and returns its standard output; an error carries what it said.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let stderr = child.stderr.take().context("no standard error")?;
    let said = thread::spawn(move || {
        let mut text = String::new();
        let _ = BufReader::new(stderr).read_to_string(&mut text); // only for the message
        text
    });
    let mut out = String::new();
    child.stdout.take().context("no standard output")?.read_to_string(&mut out)?;
    let status = wait(child)?;
    let said = said.join().unwrap_or_default();
    judge(command, status).with_context(|| said.trim().to_owned())?;
    Ok(out)
}

/// Runs it with its output in a log, and tells of each line of standard output; an error names the log and shows its end.
pub(crate) fn logged(command: &mut Command, log: &Path, mut line: impl FnMut(&str)) -> Result<()> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut child = spawn(command.stdout(Stdio::piped()).stderr(file.try_clone()?))?;
    let stdout = child.stdout.take().context("no standard output")?;
    for text in BufReader::new(stdout).lines() {
        let text = text?;
        line(&text);
        std::io::Write::write_all(&mut &file, format!("{text}\n").as_bytes())?;
    }
    let status = wait(child)?;
    judge(command, status).with_context(|| format!("{}\nread {}", tail(log), log.display()))
}

/// Runs it with our output, and looks at each line of standard output while it passes.
pub(crate) fn watched(command: &mut Command, mut line: impl FnMut(&str)) -> Result<()> {
    let mut child = spawn(command.stdout(Stdio::piped()))?;
    let stdout = child.stdout.take().context("no standard output")?;
    for text in BufReader::new(stdout).lines() {
        let text = text?;
        println!("{text}");
        line(&text);
    }
    let status = wait(child)?;
    judge(command, status)
}

fn judge(command: &Command, status: ExitStatus) -> Result<()> {
    if interrupted() {
        bail!("interrupted");
    }
    if !status.success() {
        bail!("{} ended with {status}", describe(command));
    }
    Ok(())
}

fn tail(log: &Path) -> String {
    let Ok(file) = File::open(log) else { return String::new() };
    let mut last = VecDeque::with_capacity(TAIL_LINES);
    for line in BufReader::new(file).lines().map_while(Result::ok) {
        if last.len() == TAIL_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    Vec::from(last).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell in a group of its own that runs `script`, once it has said a line.
    fn shell(script: &str) -> (Child, Pid) {
        let mut command = Command::new("sh");
        let mut child = command.args(["-c", script]).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap());
        (child, group)
    }

    #[test]
    fn what_nohup_has_set_is_seen() {
        let status = "Name:\txtask\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert!(ignored(status, SIGHUP) && !ignored(status, SIGINT));
        assert!(!ignored("", SIGHUP));
    }

    #[test]
    fn what_listens_ends_by_itself_with_all_that_it_has_started() {
        let (mut child, group) = shell("trap 'exit 7' TERM; sh -c 'echo; exec sleep 600' & wait");
        end(group, Duration::from_mins(1));
        assert!(!lives(group));
        assert_eq!(child.wait().unwrap().code(), Some(7));
    }

    #[test]
    fn what_does_not_listen_is_killed() {
        let (mut child, group) = shell("trap '' TERM; echo; sleep 600; sleep 600");
        assert!(lives(group));
        end(group, Duration::from_millis(100));
        assert!(!child.wait().unwrap().success());
        while lives(group) {
            thread::yield_now();
        }
    }

    #[test]
    fn a_child_that_is_left_behind_is_waited_for_too() {
        let (mut child, group) = shell("sh -c 'trap \"\" TERM; echo; sleep 600; sleep 600' & exec sleep 600");
        end(group, Duration::from_millis(100));
        assert!(!child.wait().unwrap().success());
        while lives(group) {
            thread::yield_now();
        }
    }
}
