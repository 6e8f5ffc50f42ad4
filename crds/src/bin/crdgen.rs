//! `crdgen` prints the `CustomResourceDefinition`; `--write` renews the committed copies; `--check` fails when
//! they are not fresh.

use std::path::Path;
use std::process::ExitCode;

use kpay_crds::{committed_copies, crd_yaml};

fn main() -> ExitCode {
    match run(std::env::args().nth(1).as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("crdgen: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(mode: Option<&str>) -> Result<(), Box<dyn std::error::Error>> {
    let yaml = crd_yaml()?;
    // Of the run, not of the build: clones may share a target folder.
    let manifest =
        std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let root = Path::new(&manifest).join("..");
    match mode {
        None => print!("{yaml}"),
        Some("--write") => {
            for copy in committed_copies() {
                let path = root.join(copy);
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                std::fs::write(path, &yaml)?;
            }
        }
        Some("--check") => {
            for copy in committed_copies() {
                if std::fs::read_to_string(root.join(copy)).unwrap_or_default() != yaml {
                    return Err(format!(
                        "{copy} is not fresh: run `cargo run -p kpay-crds --bin crdgen -- --write`"
                    )
                    .into());
                }
            }
        }
        Some(other) => return Err(format!("unknown argument {other}: nothing, --write or --check").into()),
    }
    Ok(())
}
