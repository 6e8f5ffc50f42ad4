//! The benchmarks: those on this machine's processes are a program of their own, that of an upgrade runs on a cluster.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Parser;

use super::{compile_cluster_tests, deployed, on_cluster_tests, on_fresh_cluster};
use crate::instance::Instance;
use crate::{images, packages, process, tools};

/// `bench upgrade`: latency while a new release is rolled out under load, and while the one before comes back, on a cluster
/// of its own
#[derive(Debug, Parser)]
#[command(name = "bench upgrade")]
struct Upgrade {
    /// Payments per second
    #[arg(long, default_value_t = 500)]
    rate: u64,
    /// Write the figures as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Runs a benchmark in release mode.
pub(crate) fn bench(instance: &Instance, args: &[String]) -> Result<()> {
    match args.first().map(String::as_str) {
        Some("upgrade") => upgrade(instance, &Upgrade::parse_from(args)),
        of => program(instance, of == Some("operator"), args),
    }
}

/// The benchmark program, with Kafka's jars at hand.
fn program(instance: &Instance, of_operator: bool, args: &[String]) -> Result<()> {
    packages::install(instance, packages::BUILD)?;
    tools::kafka(instance)?;
    let mut packages = vec![images::PIPELINE.binary, "kpay-e2e"];
    if of_operator {
        tools::build(instance, &["etcd", "kubernetes"])?;
        packages.push(images::OPERATOR.binary);
    }
    let release = images::release(instance, &packages)?;
    let mut bench = Command::new(release.join("bench"));
    bench.current_dir(&instance.repo).args(args).env("KPAY_KAFKA_LIBS", instance.kafka_libs());
    bench.env("KPAY_CLUSTER_BIN", instance.cache.join("bin"));
    process::run(&mut bench)
}

fn upgrade(instance: &Instance, args: &Upgrade) -> Result<()> {
    // Relative to where it was asked for.
    let json = args.json.as_deref().map(std::path::absolute).transpose()?;
    on_fresh_cluster(instance, false, |cluster| {
        let binaries = images::built_or_given(cluster, None)?;
        let (images, _) = deployed(cluster, &binaries, &["none"])?;
        compile_cluster_tests(cluster)?;
        let mut test = on_cluster_tests(cluster, &images);
        test.args(["--ignored", "--exact", "--nocapture", "benchmark::upgrade_under_load_and_back"]);
        test.env("KPAY_BENCH_RATE", args.rate.to_string()).envs(json.map(|file| ("KPAY_BENCH_JSON", file)));
        process::run(&mut test)
    })
}
