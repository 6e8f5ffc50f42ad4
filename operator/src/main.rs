//! `kpay-operator run`, and what a person or the chart asks without it.

use anyhow::Context;
use clap::Parser;
use kpay_operator::check::check;
use kpay_operator::render::render;
use kpay_operator::run::run;
use kpay_operator::settings::{Command, Operator, Settings};

fn main() -> anyhow::Result<()> {
    match Operator::parse().command {
        Command::Run(settings) => {
            log(&settings);
            runtime()?.block_on(run(settings))
        }
        Command::Render { manifest, image } => {
            let text = std::fs::read_to_string(&manifest)
                .with_context(|| format!("cannot read {}", manifest.display()))?;
            let yaml = render(&text, &(&image).into()).with_context(|| manifest.display().to_string())?;
            print!("{yaml}");
            Ok(())
        }
        Command::Check { url } => {
            println!("{}", runtime()?.block_on(check(&url))?);
            Ok(())
        }
    }
}

fn log(settings: &Settings) {
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(tracing_subscriber::EnvFilter::new(&settings.log))
        .with_writer(std::io::stdout)
        .init();
}

/// One thread: the work is waiting for answers, and each more thread costs memory.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()
}
