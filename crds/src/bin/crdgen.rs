//! `crdgen` prints the `CustomResourceDefinition`s; `--write` renews the committed copies; `--check` fails when
//! they are not fresh.

use std::path::Path;
use std::process::ExitCode;

use kpay_crds::generated;

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
    let all = generated()?;
    // Of the run, not of the build: clones may share a target folder.
    let manifest =
        std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let root = Path::new(&manifest).join("..");
    let copies = || all.iter().flat_map(|one| one.copies.iter().map(|copy| (copy, &one.yaml)));
    match mode {
        None => all.iter().for_each(|one| println!("{}---", one.yaml)),
        Some("--write") => {
            for (copy, yaml) in copies() {
                let path = root.join(copy);
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                std::fs::write(path, yaml)?;
            }
        }
        Some("--check") => {
            for (copy, yaml) in copies() {
                if std::fs::read_to_string(root.join(copy)).unwrap_or_default() != *yaml {
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
