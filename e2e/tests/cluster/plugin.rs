//! `kubectl kpay`: the commands of `kpay` through the API server, with nothing forwarded.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use kpay_e2e::process::binary;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::world::{NAME, World, phase_of, turn};

/// The plugin as kubectl finds it: a program with that name.
pub(crate) struct Plugin(PathBuf);

impl Plugin {
    /// For one test.
    pub(crate) fn install(test: &str) -> anyhow::Result<Self> {
        let folder = format!("kpay-plugin-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(folder).join("kubectl-kpay");
        std::fs::create_dir_all(path.with_file_name(""))?;
        symlink(binary()?, &path)?;
        Ok(Self(path))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        command.args(args).env_remove("KPAY_GATEWAY_URL");
        command
    }

    /// Begins a command that follows something, for programs.
    pub(crate) fn start(&self, args: &[&str]) -> anyhow::Result<Following> {
        let mut command = self.command(&[args, &["--output", "json"]].concat());
        Ok(Following(command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?))
    }

    /// The exit code, and the first line of what was written.
    pub(crate) fn run(&self, args: &[&str]) -> anyhow::Result<(i32, String)> {
        let output = self.command(args).output()?;
        let told = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        let first = String::from_utf8(told)?.lines().next().unwrap_or_default().to_owned();
        Ok((output.status.code().unwrap_or(-1), first))
    }

    pub(crate) fn json(&self, args: &[&str]) -> anyhow::Result<Value> {
        let (exit, line) = self.run(&[args, &["--output", "json"]].concat())?;
        ensure!(exit == 0, "{args:?}: {exit} {line}");
        Ok(serde_json::from_str(&line)?)
    }
}

/// A command that follows something.
pub(crate) struct Following(Child);

impl Following {
    /// The exit code, and every event.
    pub(crate) fn end(self) -> anyhow::Result<(i32, Vec<Value>)> {
        let output = self.0.wait_with_output()?;
        let lines = String::from_utf8(output.stdout)?;
        let events = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        Ok((output.status.code().context("ended by a signal")?, events?))
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.with_file_name(""));
    }
}

/// Alice holds it already. The others come, and the last one's time is over.
fn two_more_hold_it(world: &World, plugin: &Plugin, target: &[&str]) -> anyhow::Result<()> {
    let say = |args: &[&str]| plugin.json(&[target, args].concat());
    let names = |view: &Value| -> Vec<String> {
        let all = view["holders"].as_array().into_iter().flatten();
        all.map(|one| one["holder"].as_str().unwrap_or_default().to_owned()).collect()
    };
    // One of them by the resource, as a tool of somebody's own would.
    let patch = json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
        "spec": {"pauses": [{"holder": "tool", "reason": "by itself"}]},
    });
    let params = PatchParams::apply("tool");
    world.cluster.wait(world.pipelines().patch(NAME, &params, &Patch::Apply(patch)))?;
    let held = say(&["pause", "--holder", "alerts/lag", "--for", "1h"])?;
    assert_eq!(names(&held), ["alice", "tool", "alerts/lag"], "{held}");
    assert_eq!(names(&say(&["resume"])?).len(), 3, "the desired phase is none of theirs");
    assert_eq!(names(&say(&["resume", "--holder", "alice"])?), ["tool", "alerts/lag"]);
    assert_eq!(names(&say(&["resume", "--holder", "tool"])?), ["alerts/lag"], "whoever has written it");
    let ready = world.cluster.until("the condition names who still holds", |_| {
        let status = world.status()?;
        let names: Vec<&str> = status.holders.iter().map(|holder| holder.holder.as_str()).collect();
        ensure!(names == ["alerts/lag"] && phase_of(&status) == "Paused", "{names:?} {:?}", status.phase);
        let ready = status.conditions.iter().find(|c| c.type_ == "Ready").map(|c| c.message.clone());
        Ok(ready.filter(|message| message.contains("alerts/lag until ")))
    })?;
    ensure!(!ready.contains("alice"), "{ready}");
    say(&["pause", "--holder", "alerts/lag", "--for", "1s"])?;
    Ok(())
}

#[test]
fn the_plugin_pays_pauses_and_resumes_through_the_api_server() -> anyhow::Result<()> {
    let _turn = turn();
    let mut world = World::start("plugin", 2)?;
    let (plugin, namespace) = (Plugin::install("plugin")?, world.namespace.clone());
    let here = ["--namespace", &namespace];
    let status = plugin.json(&[&here[..], &["status"]].concat())?;
    assert_eq!(status["phase"], "Running", "the only pipeline of the namespace");
    let (exit, tree) = plugin.run(&[&here[..], &["status"]].concat())?;
    assert!(exit == 0 && tree.starts_with(&format!("{namespace}/{NAME}: Running since ")), "{exit} {tree}");
    let watch = ["upgrade", "watch", "--deadline", "1m"];
    let (exit, told) = plugin.run(&[&here[..], &watch].concat())?;
    assert_eq!((exit, told.as_str()), (0, "no change of the pods is under way"));
    assert_eq!(plugin.run(&[&here[..], &["operation", "get", "none"]].concat())?.0, 4);
    let (exit, told) = plugin.run(&["--gateway", "http://127.0.0.1:9", "wipe", "--dry-run"])?;
    assert!(exit == 2 && told.contains("in a cluster only"), "{exit} {told}");

    let id = "by-plugin";
    let pay = ["pay", "--from", "acct-000000", "--to", "acct-000001", "--amount", "1.00USD", "--id", id];
    let paid = plugin.json(&[&here[..], &pay].concat())?;
    assert_eq!(paid["status"], "confirmed", "{paid}");
    world.ids.insert(id.to_owned());

    let url = format!("kube://{namespace}/{NAME}");
    let named = ["--gateway", &url];
    plugin.json(&[&named[..], &["pause", "--holder", "alice", "--reason", "books"]].concat())?;
    world.reach("Paused")?;
    let status = plugin.json(&[&named[..], &["status"]].concat())?;
    let held = (&status["phase"], &status["holders"][0]["holder"], &status["holders"][0]["reason"]);
    assert_eq!(held, (&"Paused".into(), &"alice".into(), &"books".into()));
    // What is taken in while it is paused waits in the topic, or is refused where the spec says so.
    world.patch(&json!({"intakeWhilePaused": "Reject"}))?;
    let mut ids = Vec::new();
    world.cluster.until("payments are refused", |_| {
        let id = format!("while-paused-{}", ids.len());
        let pay = ["pay", "--from", "acct-000000", "--to", "acct-000001", "--amount", "1.00USD", "--id", &id];
        let (exit, told) = plugin.run(&[&named[..], &pay].concat())?;
        if told.starts_with("error: intake_closed") {
            assert_eq!(exit, 3, "it may be sent again");
            return Ok(Some(()));
        }
        ids.push(id);
        Ok(None)
    })?;
    world.ids.extend(ids);
    two_more_hold_it(&world, &plugin, &named)?;
    world.reach("Running")?;

    // What is wrong is said in words of what was asked.
    let (exit, told) = plugin.run(&["--gateway", "kube://default", "status"])?;
    assert_eq!((exit, told.as_str()), (2, "error: there is no PaymentPipeline in namespace default"));
    let other = format!("kube://{namespace}/other");
    for (asks, told_of) in [(&["status"][..], "\"other\" not found"), (&["dlq", "list"][..], "other-gateway")]
    {
        let (exit, told) = plugin.run(&[&["--gateway", &other][..], asks].concat())?;
        assert!(exit == 4 && told.contains(told_of), "{exit} {told}");
    }
    world.audit_with_rest()?;
    Ok(())
}
