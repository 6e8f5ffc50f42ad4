//! Compiles `proto/` in Rust alone: `protox` reads the schemas, `buffa` writes the code. No protoc is needed.

use std::{env, error::Error, fs, path::PathBuf};

const ROOT: &str = "proto";
const FILES: [&str; 3] = ["kpay/v1/payment.proto", "kpay/v1/flow.proto", "kpay/v1/ledger.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let descriptors = PathBuf::from(env::var("OUT_DIR")?).join("kpay.binpb");
    fs::write(&descriptors, prost::Message::encode_to_vec(&protox::compile(FILES, [ROOT])?))?;
    buffa_build::Config::new()
        .descriptor_set(&descriptors)
        .files(&FILES)
        .preserve_unknown_fields(false)
        .file_per_package(true)
        .include_file("kpay.rs")
        .compile()?;
    Ok(())
}
