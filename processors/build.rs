//! Puts the built page into the program: every file of `page/dist/www`, or nothing when it was not built. Only I/O.
//! `page/dist` itself is always there, so that cargo runs this again only when the page has changed.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=page/dist");
    let package = variable("CARGO_MANIFEST_DIR")?;
    let folder = format!("{package}/page/dist/www");
    let mut files = Vec::new();
    if Path::new(&folder).is_dir() {
        list(Path::new(&folder), &mut files)?;
    }
    files.sort();
    // Where the package is, is looked up by the compiler: clones that share a target folder share this code.
    let include = |file: &str| {
        let inside = file.strip_prefix(&package).unwrap_or(file);
        format!("include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {inside:?}))")
    };
    let mut code = "&[\n".to_owned();
    for file in files.iter().filter(|file| file.strip_suffix(".gz").is_none()) {
        let path = file.strip_prefix(&folder).unwrap_or(file).trim_start_matches('/');
        let packed = format!("{file}.gz");
        let gzip =
            if files.contains(&packed) { format!("Some({})", include(&packed)) } else { "None".to_owned() };
        let asset = format!("Asset {{ path: {path:?}, bytes: {}, gzip: {gzip} }}", include(file));
        code.push_str(&asset);
        code.push_str(",\n");
    }
    code.push(']');
    fs::write(format!("{}/assets.rs", variable("OUT_DIR")?), code)
}

fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(io::Error::other)
}

fn list(folder: &Path, into: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, into)?;
        } else {
            into.push(
                path.into_os_string()
                    .into_string()
                    .map_err(|_| io::Error::other("a path that is no text"))?,
            );
        }
    }
    Ok(())
}
