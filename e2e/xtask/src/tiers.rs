//! The test tiers, in the order in which they run: the cheap ones first. A tier fails when its subject is absent; none
//! passes by testing nothing.

mod bench;
mod chart;
mod fuzz;
mod page;
mod release;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cli::TestArgs;
use crate::deploy::{self, Target};
use crate::instance::{GATEWAY, Instance};
use crate::{images, packages, process, steps, tools, up};

pub(crate) use self::bench::bench;

/// What a tier is given: the testbed that it may bring up, and the words after `--`.
struct Context<'a> {
    instance: &'a Instance,
    args: &'a TestArgs,
}

struct Tier {
    name: &'static str,
    about: &'static str,
    /// Returns what was proven, for the table.
    run: fn(&Context) -> Result<String>,
}

const TIERS: &[Tier] = &[
    Tier { name: "fmt", about: "every file is formatted", run: fmt },
    Tier { name: "clippy", about: "no warning in any target", run: clippy },
    Tier { name: "deny", about: "licenses, bans and sources of the dependencies", run: deny },
    Tier { name: "generated", about: "generated files are fresh", run: generated },
    Tier {
        name: "unit",
        about: "tables, properties, the worker on a simulated log: needs nothing",
        run: unit,
    },
    Tier {
        name: "simulation",
        about: "10,000 seeds of the whole pipeline, and planted mistakes",
        run: simulation,
    },
    Tier {
        name: "chart",
        about: "the Helm chart's unit tests, schema and README; scanners",
        run: chart::run,
    },
    Tier { name: "local", about: "kpay local, killed and paused", run: local },
    Tier { name: "page", about: "the page in a browser, over kpay local", run: page::run },
    Tier { name: "fuzz", about: "requests made from the description of the API", run: fuzz::run },
    Tier { name: "kafka", about: "a real broker on loopback", run: kafka },
    Tier { name: "cluster", about: "a real API server, cluster and broker of its own", run: cluster },
];

/// Runs the tiers and prints a table; the last line is `N passed, N failed`.
pub(crate) fn test(instance: &Instance, args: &TestArgs) -> Result<ExitCode> {
    if args.list {
        for tier in TIERS {
            println!("{:<11} {}", tier.name, tier.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = choose(&args.tier)?;
    let context = Context { instance, args };
    packages::install(instance, packages::BUILD)?;
    // First of all: kpay would be built anew when the page comes later.
    crate::page::build_if_possible(instance);
    let mut results: Vec<(&Tier, Duration, Result<String>)> = Vec::new();
    for tier in chosen {
        println!("\n=== {}: {}", tier.name, tier.about);
        let started = Instant::now();
        let result = (tier.run)(&context);
        if let Err(error) = &result {
            eprintln!("{} FAILED: {error:#}", tier.name);
        }
        results.push((tier, started.elapsed(), result));
        if process::interrupted() {
            break;
        }
    }
    Ok(report(&results))
}

fn choose(names: &[String]) -> Result<Vec<&'static Tier>> {
    for name in names {
        let known = TIERS.iter().any(|tier| tier.name == name);
        ensure!(known, "there is no tier {name:?}; cargo xtask test --list says which there are");
    }
    Ok(TIERS.iter().filter(|tier| names.is_empty() || names.iter().any(|name| name == tier.name)).collect())
}

fn report(results: &[(&Tier, Duration, Result<String>)]) -> ExitCode {
    println!("\n{:<11} {:>9}  result", "tier", "seconds");
    for (tier, elapsed, result) in results {
        let said = match result {
            Ok(proven) => format!("ok      {proven}"),
            Err(_) => format!("FAILED  alone: cargo xtask test --tier {}", tier.name),
        };
        println!("{:<11} {:>9.1}  {said}", tier.name, elapsed.as_secs_f64());
    }
    let failed = results.iter().filter(|(_, _, result)| result.is_err()).count();
    if process::interrupted() {
        println!("interrupted");
    }
    println!("{} passed, {failed} failed", results.len().saturating_sub(failed));
    if failed == 0 && !process::interrupted() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cargo(instance: &Instance, args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(&instance.repo).args(args);
    command
}

/// The tests of one target. The whole workspace is named each time: cargo chooses the dependencies' features by what is
/// named, and each other choice would compile all of them once more.
fn test_target(instance: &Instance, target: &str) -> Command {
    cargo(instance, &["test", "--locked", "--workspace", "--test", target])
}

/// Builds a program that tests start, which cargo does not know, and returns its path.
pub(crate) fn program(instance: &Instance, name: &str) -> Result<PathBuf> {
    Ok(programs(instance, &[name])?.join(name))
}

/// Builds programs that tests start, and returns the folder that they are in. A test target is named too, for the features of
/// the tests.
fn programs(instance: &Instance, names: &[&str]) -> Result<PathBuf> {
    let mut build = cargo(instance, &["build", "--locked", "--workspace", "--test", "local"]);
    process::run(build.args(names.iter().flat_map(|name| ["--bin", name])))?;
    Ok(images::target(instance)?.join("debug"))
}

fn fmt(context: &Context) -> Result<String> {
    process::run(&mut cargo(context.instance, &["fmt", "--all", "--check"]))?;
    Ok(String::new())
}

fn clippy(context: &Context) -> Result<String> {
    process::run(&mut cargo(
        context.instance,
        &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
    ))?;
    // `--all-targets` leaves out the tests that a plain `cargo test` does.
    let mut tiers = cargo(context.instance, &["clippy", "--workspace", "--locked"]);
    tiers.args(["local", "kafka", "cluster", "seeds"].iter().flat_map(|target| ["--test", target]));
    process::run(tiers.args(["--", "-D", "warnings"]))?;
    Ok(String::new())
}

fn deny(context: &Context) -> Result<String> {
    let program = tools::cargo_deny(context.instance)?;
    let mut command = Command::new(program);
    command.current_dir(&context.instance.repo);
    command.args(["--locked", "--log-level", "error", "check", "bans", "licenses", "sources"]);
    process::run(&mut command)?;
    Ok(String::new())
}

fn generated(context: &Context) -> Result<String> {
    let crdgen = program(context.instance, "crdgen")?;
    // Where its files are: the variable that it would find is that of xtask itself.
    let crds = context.instance.repo.join("crds");
    process::run(Command::new(crdgen).env("CARGO_MANIFEST_DIR", crds).arg("--check"))?;
    Ok("the CRDs are what the types say".to_owned())
}

fn unit(context: &Context) -> Result<String> {
    tests(cargo(context.instance, &["test", "--locked", "--workspace", "--"]).args(&context.args.args))
}

/// Tells its speed, so its output is shown.
fn simulation(context: &Context) -> Result<String> {
    tests(test_target(context.instance, "seeds").args(["--", "--nocapture"]).args(&context.args.args))
}

fn local(context: &Context) -> Result<String> {
    program(context.instance, "kpay")?;
    tests(test_target(context.instance, "local").arg("--").args(&context.args.args))
}

fn kafka(context: &Context) -> Result<String> {
    tools::kafka(context.instance)?;
    program(context.instance, "kpay")?;
    let mut command = test_target(context.instance, "kafka");
    command.env("KPAY_KAFKA_LIBS", context.instance.kafka_libs());
    tests(command.arg("--").args(&context.args.args))
}

fn cluster(context: &Context) -> Result<String> {
    on_fresh_cluster(context.instance, context.args.keep, |instance| on_cluster(context, instance))
}

/// Does something on a testbed of its own with fresh state; it goes down whatever happens, also on Ctrl-C.
fn on_fresh_cluster<T>(
    instance: &Instance,
    keep: bool,
    work: impl FnOnce(&Instance) -> Result<T>,
) -> Result<T> {
    ensure!(packages::root(), "a cluster needs root: it makes a network namespace");
    let instance = instance.sibling("test")?;
    process::despite_interrupt(|| up::host_down(&instance))
        .context("cannot remove the last one's leftovers")?;
    let result = work(&instance);
    if result.is_err() && keep && !process::interrupted() {
        steps::note("left up: cargo xtask --name test shell -- bash; then cargo xtask --name test down");
        return result;
    }
    let kept = result.is_err().then(|| keep_logs(&instance));
    process::despite_interrupt(|| up::host_down(&instance)).context("the cluster did not go down cleanly")?;
    match kept {
        Some(Ok(folder)) => result.with_context(|| format!("the daemons' logs are in {folder}")),
        _ => result,
    }
}

fn on_cluster(context: &Context, instance: &Instance) -> Result<String> {
    // As the other tiers have built them: the cluster's tests ask what is done, the benchmarks how fast, and a release build
    // would be most of the time until they begin.
    let binaries = programs(instance, &[images::PIPELINE.binary, images::OPERATOR.binary])?;
    let (images, target) = deployed(instance, &binaries, &["none", "crash", "slow", "reject", "letters"])?;
    steps::step("helm test", || release::test(instance, &target))?;
    guarded()?;
    compile_cluster_tests(context.instance)?;
    let proven = tests(on_cluster_tests(instance, &images).args(&context.args.args))?;
    // What looks at the whole run, when it was whole.
    if context.args.args.is_empty() {
        tests(on_cluster_tests(instance, &images).args(["--ignored", "rights::"]))?;
        release::live(instance, &target, &images)?;
    }
    guarded()?;
    Ok(proven)
}

/// A cluster with the operator, and with these releases to upgrade to, from these binaries.
fn deployed(instance: &Instance, binaries: &Path, variants: &[&str]) -> Result<([images::Image; 2], Target)> {
    up::host_cluster(instance)?;
    let images = up::host_images(instance, binaries)?;
    up::host_variants(instance, binaries, variants)?;
    let target = Target::inside(instance);
    steps::step("helm", || deploy::operator(instance, &target, &images, "Never"))?;
    Ok((images, target))
}

/// The namespace has no way out, so what cargo fetches and compiles is had before.
fn compile_cluster_tests(instance: &Instance) -> Result<()> {
    program(instance, "kpay")?;
    process::run(test_target(instance, "cluster").arg("--no-run"))
}

/// The tests inside the cluster's network; what is added are arguments of their program.
fn on_cluster_tests(instance: &Instance, images: &[images::Image; 2]) -> Command {
    let mut command = instance.inside("cargo");
    command.current_dir(&instance.repo);
    command.args(["test", "--locked", "--offline", "--workspace", "--test", "cluster"]);
    let [operator, pipeline] = images;
    command.env("KPAY_OPERATOR_IMAGE", operator.reference()).env("KPAY_IMAGE", pipeline.reference());
    // Room for all: they wait for their turns themselves.
    command.env("RUST_TEST_THREADS", "64").arg("--");
    command
}

/// Proves that a cluster address used outside the namespace goes nowhere, by asking the host's routes.
fn guarded() -> Result<()> {
    for address in [GATEWAY, "10.96.0.1"] {
        let route = process::output(Command::new("ip").args(["route", "get", address]));
        ensure!(route.is_err(), "{address} has a route outside the cluster's network; see e2e/testbed/up.sh");
    }
    Ok(())
}

/// Copies the logs to where `down` does not reach, and returns where.
fn keep_logs(instance: &Instance) -> Result<String> {
    let kept = instance.cache.join("log").join(&instance.name);
    tools::remove_dir(&kept)?;
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(instance.state().join("log")).arg(&kept);
    process::despite_interrupt(|| process::output(&mut copy))?;
    Ok(kept.display().to_string())
}

/// Runs a test command and counts what passed; a run in which nothing ran is a failure.
fn tests(command: &mut Command) -> Result<String> {
    let mut passed = 0_u64;
    process::watched(command, |line| passed = passed.saturating_add(passed_in(line)))?;
    if passed == 0 {
        bail!("no test ran");
    }
    Ok(format!("{passed} tests"))
}

/// The count in a line like `test result: ok. 12 passed; 0 failed; …`.
fn passed_in(line: &str) -> u64 {
    let count = line.strip_prefix("test result: ok. ").and_then(|rest| rest.split_once(" passed"));
    count.and_then(|(count, _)| count.parse().ok()).unwrap_or(0)
}

/// Runs seeds of the simulation, in the profile of the tier: what it built serves both.
pub(crate) fn simulate(instance: &Instance, args: &[String]) -> Result<()> {
    process::run(Command::new(program(instance, "simulate")?).current_dir(&instance.repo).args(args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_result_lines_count() {
        assert_eq!(passed_in("test result: ok. 12 passed; 0 failed; 1 ignored"), 12);
        assert_eq!(passed_in("test result: FAILED. 11 passed; 1 failed"), 0);
        assert_eq!(passed_in("test money_is_kept ... ok"), 0);
    }

    #[test]
    fn an_unknown_tier_is_refused() {
        assert!(choose(&["unti".to_owned()]).is_err());
    }

    #[test]
    fn named_tiers_keep_their_order() {
        let names: Vec<_> =
            choose(&["unit".to_owned(), "fmt".to_owned()]).unwrap().iter().map(|t| t.name).collect();
        assert_eq!(names, ["fmt", "unit"]);
    }

    #[test]
    fn a_run_without_tests_fails() {
        assert!(tests(Command::new("echo").arg("test result: ok. 0 passed; 0 failed")).is_err());
        assert!(tests(Command::new("echo").arg("test result: ok. 1 passed; 0 failed")).is_ok());
    }
}
