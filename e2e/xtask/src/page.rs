//! The page: built by npm where Node is there, and kept until its sources change. Without Node kpay is built without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::instance::Instance;
use crate::{packages, process, steps};

/// The oldest that Vite runs on.
const NODE: (u32, u32) = (20, 19);
/// What the built page is made from.
const SOURCES: &str = "index.html docs.html package.json package-lock.json tsconfig.json vite.config.ts src";

/// Builds the page if it is not fresh. Without Node, or without a registry, it says so and what to do: kpay is built all the
/// same, and says it too where the page would be.
pub(crate) fn build_if_possible(instance: &Instance) {
    if let Err(error) = build(instance) {
        steps::note(&format!("without the page: {error:#}"));
    }
}

/// Builds the page if it is not fresh.
pub(crate) fn build(instance: &Instance) -> Result<()> {
    let folder = folder(instance);
    let (wanted, stamp) = (hash(&folder, SOURCES)?, folder.join("dist/stamp"));
    if fs::read_to_string(&stamp).is_ok_and(|had| had == wanted)
        && folder.join("dist/www/index.html").is_file()
    {
        return Ok(());
    }
    modules(instance)?;
    steps::note("building the page");
    process::logged(npm(&folder).args(["run", "build"]), &instance.log("page"), |_| {})?;
    fs::write(stamp, wanted)?;
    Ok(())
}

/// Node, and the packages that the lock file names.
pub(crate) fn modules(instance: &Instance) -> Result<()> {
    node()?;
    let folder = folder(instance);
    let (wanted, stamp) = (hash(&folder, "package-lock.json")?, folder.join("node_modules/.kpay-stamp"));
    if fs::read_to_string(&stamp).is_ok_and(|had| had == wanted) {
        return Ok(());
    }
    steps::note("fetching what the page is built with");
    process::logged(npm(&folder).args(["ci", "--no-audit", "--no-fund"]), &instance.log("npm"), |_| {})?;
    fs::write(stamp, wanted)?;
    Ok(())
}

/// Where the page's sources are.
pub(crate) fn folder(instance: &Instance) -> PathBuf {
    instance.repo.join("processors/page")
}

/// npm in the page's folder.
pub(crate) fn npm(folder: &Path) -> Command {
    let mut command = Command::new("npm");
    // The tests drive Debian's chromium; nothing but packages is to be fetched.
    command.current_dir(folder).env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
    command
}

fn node() -> Result<()> {
    let get = format!("install Node {}.{} or newer with npm, e.g. from https://nodejs.org", NODE.0, NODE.1);
    ensure!(packages::has("node") && packages::has("npm"), "node or npm is missing: {get}");
    let said = process::output(Command::new("node").arg("--version"))?;
    let version = version(&said).with_context(|| format!("node --version said {said:?}"))?;
    ensure!(version >= NODE, "Node {} is too old: {get}", said.trim());
    Ok(())
}

/// Major and minor of `v20.19.0`.
fn version(said: &str) -> Option<(u32, u32)> {
    let mut parts = said.trim().strip_prefix('v')?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Over the paths and bytes of these files and folders.
fn hash(folder: &Path, of: &str) -> Result<String> {
    let mut command = Command::new("bash");
    let pipe = format!("find {of} -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum");
    command.current_dir(folder).args(["-o", "pipefail", "-c", &pipe]);
    process::output(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("v20.19.4\n"), Some((20, 19)));
        assert!(version("v9.11.2").unwrap() < NODE && version("v20.9.0").unwrap() < NODE);
        assert!(version("v22.0.0").unwrap() > NODE);
        assert_eq!(version("20"), None);
    }

    #[test]
    fn a_changed_file_and_a_renamed_one_are_another_hash() {
        let folder = std::env::temp_dir().join(format!("kpay-xtask-hash-{}", std::process::id()));
        fs::create_dir_all(folder.join("src")).unwrap();
        let written = |name: &str, text: &str| {
            fs::write(folder.join("src").join(name), text).unwrap();
            hash(&folder, "src").unwrap()
        };
        let first = written("a", "1");
        assert_ne!(first, written("a", "2"));
        assert_eq!(first, written("a", "1"));
        fs::rename(folder.join("src/a"), folder.join("src/b")).unwrap();
        assert_ne!(first, hash(&folder, "src").unwrap());
        assert!(hash(&folder, "nothing").is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
