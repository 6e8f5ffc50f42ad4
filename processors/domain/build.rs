//! Compiles `proto/` in Rust alone: `protox` reads the schemas, `buffa` writes the code. No protoc is needed.

use std::fs::{self, File};
use std::{env, error::Error, path::PathBuf, time::SystemTime};

const ROOT: &str = "proto";
const FILES: [&str; 3] = ["kpay/v1/payment.proto", "kpay/v1/flow.proto", "kpay/v1/ledger.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let descriptors = PathBuf::from(env::var("OUT_DIR")?).join("kpay.binpb");
    fs::write(&descriptors, prost::Message::encode_to_vec(&protox::compile(FILES, [ROOT])?))?;
    // `buffa_build` names this file as one to watch, and cargo would find it newer than the script's own run, each time.
    File::options().write(true).open(&descriptors)?.set_modified(SystemTime::UNIX_EPOCH)?;
    buffa_build::Config::new()
        .descriptor_set(&descriptors)
        .files(&FILES)
        .preserve_unknown_fields(false)
        .file_per_package(true)
        .include_file("kpay.rs")
        .compile()?;
    Ok(())
}
