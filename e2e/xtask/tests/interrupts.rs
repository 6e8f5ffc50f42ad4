//! `cargo xtask` as it is killed while cargo builds: a program in cargo's place tells whether it was ended too.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// Builds for ten minutes, with a child as cargo has its rustc.
const CARGO: &str = "#!/bin/sh\nsleep 600 &\necho building $$ $!\nwait\n";
/// Has built, into its own folder.
const BUILT: &str = "#!/bin/sh\n[ $1 = build ] || echo '{\"target_directory\": \"'${0%/*}'\"}'\n";
/// In kpay's place: tells which signals it ignores.
const KPAY: &str = "#!/bin/sh\ngrep SigIgn /proc/$$/status\n";
/// Too old to build the page.
const NODE: &str = "#!/bin/sh\necho v0.0.1\n";

fn program(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    fs::write(&path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// False for one that has ended and that nobody has collected.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with('Z'))
}

/// Whether a process that tells this of itself ignores a hangup; as this one may, by nohup, and all that it starts.
fn ignores_hangup(status: &str) -> anyhow::Result<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("none").trim();
    Ok(u64::from_str_radix(mask, 16)? & 1 == 1)
}

#[test]
fn a_signal_ends_the_build_whether_it_is_sent_to_the_process_or_to_its_group() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("xti{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    program(&folder, "cargo", CARGO)?;
    program(&folder, "node", NODE)?;
    let path = format!("{}:{}", folder.display(), std::env::var("PATH")?);
    let mut signals = vec![Signal::SIGTERM, Signal::SIGINT];
    if !ignores_hangup(&fs::read_to_string("/proc/self/status")?)? {
        signals.push(Signal::SIGHUP);
    }
    for signal in signals {
        for send in [kill, killpg] {
            let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
            xtask.arg("local").env("PATH", &path).env("KPAY_CACHE", &folder).process_group(0);
            let mut xtask = xtask.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
            let told = BufReader::new(xtask.stdout.take().unwrap()).lines();
            let building =
                told.map_while(Result::ok).find_map(|line| line.strip_prefix("building ").map(str::to_owned));
            let building = building.unwrap_or_default();
            send(Pid::from_raw(i32::try_from(xtask.id())?), signal)?;
            assert!(!xtask.wait()?.success());
            let left: Vec<_> = building.split(' ').filter(|pid| runs(pid)).collect();
            assert!(!building.is_empty() && left.is_empty(), "{signal}: {left:?} of {building} is left");
            let mut said = String::new();
            xtask.stderr.take().unwrap().read_to_string(&mut said)?;
            assert!(said.contains("interrupted"), "{signal}: {said}");
        }
    }
    Ok(fs::remove_dir_all(folder)?)
}

#[test]
fn what_is_built_ignores_a_hangup_where_nohup_asked_for_that() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("xtn{}", std::process::id()));
    fs::create_dir_all(folder.join("release"))?;
    program(&folder, "cargo", BUILT)?;
    program(&folder, "node", NODE)?;
    program(&folder, "release/kpay", KPAY)?;
    let path = format!("{}:{}", folder.display(), std::env::var("PATH")?);
    let here = ignores_hangup(&fs::read_to_string("/proc/self/status")?)?;
    for (script, ignores) in [("exec \"$0\" local", here), ("trap '' HUP; exec \"$0\" local", true)] {
        let mut shell = Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_xtask")]).env("PATH", &path).env("KPAY_CACHE", &folder);
        let told = String::from_utf8(shell.output()?.stdout)?;
        assert_eq!(ignores_hangup(&told)?, ignores, "{script}: {told}");
    }
    Ok(fs::remove_dir_all(folder)?)
}
