//! `kpay-operator run`.

use clap::Parser;
use kpay_operator::run::run;
use kpay_operator::settings::{Command, Operator};

fn main() -> anyhow::Result<()> {
    let Operator { command: Command::Run(settings) } = Operator::parse();
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(tracing_subscriber::EnvFilter::new(&settings.log))
        .with_writer(std::io::stdout)
        .init();
    // One thread: the work is waiting for answers, and each more thread costs memory.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
    runtime.block_on(run(settings))
}
