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

#[test]
fn a_signal_ends_the_build_whether_it_is_sent_to_the_process_or_to_its_group() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("xti{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    program(&folder, "cargo", CARGO)?;
    program(&folder, "node", NODE)?;
    let path = format!("{}:{}", folder.display(), std::env::var("PATH")?);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
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
