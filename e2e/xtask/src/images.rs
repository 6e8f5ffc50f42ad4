//! The two images, from prebuilt binaries. The base holds the dynamic loader and the libraries that the binaries name,
//! nothing else: no shell, no package manager. A tag is a hash of all that is in the image.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::instance::Instance;
use crate::steps::making;
use crate::{packages, page, process, tools};

/// An image holds one binary and what it needs; more than this means that something else slipped in.
const IMAGE_BYTES_MAX: u64 = 60 * 1024 * 1024;

/// A binary of the workspace and the Dockerfile that wraps it.
pub(crate) struct Recipe {
    pub(crate) binary: &'static str,
    dockerfile: &'static str,
}

pub(crate) const OPERATOR: Recipe = Recipe { binary: "kpay-operator", dockerfile: "operator/Dockerfile" };
pub(crate) const PIPELINE: Recipe = Recipe { binary: "kpay", dockerfile: "processors/Dockerfile" };

/// An image as a docker-archive in the cache.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) repository: String,
    pub(crate) tag: String,
    pub(crate) archive: PathBuf,
}

impl Image {
    pub(crate) fn reference(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }
}

/// The folder of both binaries: the one that was given, or what cargo builds.
pub(crate) fn built_or_given(instance: &Instance, given: Option<&Path>) -> Result<PathBuf> {
    let folder = making("binaries", || {
        if let Some(given) = given {
            let folder = std::path::absolute(given)?;
            let from = format!("from {}", folder.display());
            return Ok((folder, from));
        }
        packages::install(instance, packages::BUILD)?;
        let folder = release(instance, &[PIPELINE.binary, OPERATOR.binary])?;
        Ok((folder, "built in release mode".to_owned()))
    })?;
    // For people: kpay, and the same as `kubectl kpay`.
    for name in [PIPELINE.binary, "kubectl-kpay"] {
        tools::link(&folder.join(PIPELINE.binary), &instance.cache.join("bin").join(name))?;
    }
    Ok(folder)
}

/// Builds these packages for release, the page first, and says where they are.
pub(crate) fn release(instance: &Instance, packages: &[&str]) -> Result<PathBuf> {
    page::build_if_possible(instance);
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&instance.repo).args(["build", "--release", "--locked"]);
    cargo.args(packages.iter().flat_map(|package| ["-p", package]));
    process::run(&mut cargo)?;
    Ok(target(instance)?.join("release"))
}

/// Where cargo puts what it builds.
pub(crate) fn target(instance: &Instance) -> Result<PathBuf> {
    let mut metadata = Command::new("cargo");
    metadata.current_dir(&instance.repo).args(["metadata", "--no-deps", "--locked", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_str(&process::output(&mut metadata)?)?;
    let target = metadata.get("target_directory").and_then(serde_json::Value::as_str);
    Ok(target.context("cargo metadata names no target directory")?.into())
}

/// An image that can be built: everything that goes into it lies in `work`.
pub(crate) struct Prepared {
    pub(crate) image: Image,
    /// `base.Dockerfile`, `base/`, `Dockerfile` and the stripped binary.
    pub(crate) work: PathBuf,
}

/// Gathers what goes into the image and names it after its content, in the repository `<prefix>/<binary>`.
pub(crate) fn prepare(
    instance: &Instance,
    recipe: &Recipe,
    binaries: &Path,
    prefix: &str,
) -> Result<Prepared> {
    let work = instance.cache.join("images/work").join(recipe.binary);
    tools::remove_dir(&work)?;
    fs::create_dir_all(work.join("base"))?;
    let stripped = work.join(recipe.binary);
    process::output(Command::new("strip").arg("-o").arg(&stripped).arg(binaries.join(recipe.binary)))?;
    rootfs(&stripped, &work.join("base"))?;
    fs::write(work.join("base.Dockerfile"), "FROM scratch\nCOPY base/ /\n")?;
    fs::copy(instance.repo.join(recipe.dockerfile), work.join("Dockerfile"))
        .with_context(|| format!("cannot copy {}", recipe.dockerfile))?;
    let image = Image {
        repository: format!("{prefix}/{}", recipe.binary),
        tag: content_hash(&work)?,
        archive: instance.cache.join("images").join(format!("{}.tar", recipe.binary)),
    };
    Ok(Prepared { image, work })
}

/// The step that makes both images: the operator's, then the pipeline's.
pub(crate) fn both(make: impl Fn(&Recipe) -> Result<Image>, by: &str) -> Result<[Image; 2]> {
    making("images", || Ok(([make(&OPERATOR)?, make(&PIPELINE)?], format!("by {by}"))))
}

/// Makes the image without an engine, unless the cache has one with the same name and so the same content.
pub(crate) fn build(instance: &Instance, recipe: &Recipe, binaries: &Path, prefix: &str) -> Result<Image> {
    let Prepared { image, work } = prepare(instance, recipe, binaries, prefix)?;
    let stamp = image.archive.with_extension("tag");
    let named = |had: String| had == image.reference();
    if !(image.archive.is_file() && fs::read_to_string(&stamp).is_ok_and(named)) {
        let _ = fs::remove_file(&stamp); // it may not exist
        buildah(instance, &work, &image)?;
        let bytes = fs::metadata(&image.archive)?.len();
        ensure!(
            bytes <= IMAGE_BYTES_MAX,
            "{} has {bytes} bytes, more than {IMAGE_BYTES_MAX}",
            image.reference()
        );
        fs::write(&stamp, image.reference())?;
    }
    tools::remove_dir(&work)?;
    Ok(image)
}

/// Releases of the pipeline's image to upgrade to, by their faults: `<repository>:<fault>`, all in one archive.
pub(crate) fn variants(instance: &Instance, binaries: &Path, faults: &[&str]) -> Result<Image> {
    let layer = instance.cache.join("images/work/variants");
    tools::remove_dir(&layer)?;
    let stripped = layer.join("usr/local/bin").join(PIPELINE.binary);
    fs::create_dir_all(stripped.parent().context("a binary lies in a folder")?)?;
    process::output(Command::new("strip").arg("-o").arg(&stripped).arg(binaries.join(PIPELINE.binary)))?;
    rootfs(&stripped, &layer)?;
    let archive = instance.cache.join("images/variants.tar");
    let (repository, tag) =
        ("localhost/kpay-variant".to_owned(), faults.first().copied().unwrap_or_default());
    let mut make = Command::new("bash");
    make.arg(instance.testbed("variants.sh"))
        .args([repository.as_str()])
        .arg(&archive)
        .arg(&layer)
        .args(faults);
    process::logged(&mut make, &instance.log("images"), |_| {})?;
    tools::remove_dir(&layer)?;
    Ok(Image { repository, tag: tag.to_owned(), archive })
}

/// The base's files: what `ldd` names, a user to be, and a folder for temporary files.
fn rootfs(binary: &Path, base: &Path) -> Result<()> {
    let listed = process::output(Command::new("ldd").arg(binary))?;
    for library in libraries(&listed)? {
        let to = base.join(library.trim_start_matches('/'));
        fs::create_dir_all(to.parent().context("a library without a folder")?)?;
        fs::copy(library, &to).with_context(|| format!("cannot copy {library}"))?;
    }
    fs::create_dir_all(base.join("etc"))?;
    fs::write(
        base.join("etc/passwd"),
        "root:x:0:0:root:/:/none\nnonroot:x:65532:65532:nonroot:/tmp:/none\n",
    )?;
    fs::write(base.join("etc/group"), "root:x:0:\nnonroot:x:65532:\n")?;
    fs::create_dir_all(base.join("tmp"))?;
    fs::set_permissions(base.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    Ok(())
}

/// The paths in the output of `ldd`; the kernel's own vdso has none.
fn libraries(listed: &str) -> Result<BTreeSet<&str>> {
    let mut paths = BTreeSet::new();
    for line in listed.lines().map(str::trim) {
        let path = line.split_once("=> ").map_or(line, |(_, path)| path);
        if path.starts_with("not found") {
            bail!("a library is missing: {line}");
        }
        if let Some(path) = path.split_whitespace().next().filter(|path| path.starts_with('/')) {
            paths.insert(path);
        }
    }
    Ok(paths)
}

/// 12 hexadecimal digits over every file's path and bytes.
fn content_hash(folder: &Path) -> Result<String> {
    let mut hash = Command::new("bash");
    hash.current_dir(folder);
    hash.args(["-c", "find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12"]);
    Ok(process::output(&mut hash)?.trim().to_owned())
}

fn buildah(instance: &Instance, work: &Path, image: &Image) -> Result<()> {
    let store = instance.cache.join("images/store");
    let log = instance.log("images");
    let policy = instance.cache.join("images/policy.json");
    // Nothing is ever pulled: both builds start from files that lie here.
    fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)?;
    let run = |verb: &str, args: &[&str]| {
        let mut command = Command::new("buildah");
        command.current_dir(work);
        command.args(["--storage-driver", "vfs", "--root"]).arg(store.join("root"));
        command.arg("--runroot").arg(store.join("run"));
        command.args([verb, "-q", "--signature-policy"]).arg(&policy).args(args);
        process::logged(&mut command, &log, |_| {})
    };
    let base = format!("{}-base:{}", image.repository, image.tag);
    let name = image.reference();
    let archive = image.archive.with_extension("part");
    let _ = fs::remove_file(&archive); // buildah does not overwrite
    let build = ["--isolation", "chroot", "--pull=never", "--timestamp", "0"];
    run("bud", &[&build[..], &["-t", &base, "-f", "base.Dockerfile", "."]].concat())?;
    let with_base = format!("BASE={base}");
    run("bud", &[&build[..], &["--build-arg", &with_base, "-t", &name, "-f", "Dockerfile", "."]].concat())?;
    run("push", &[&name, &format!("docker-archive:{}:{name}", archive.display())])?;
    fs::rename(&archive, &image.archive)?;
    tools::remove_dir(&store)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The features of each package that a build of these packages links.
    fn features(packages: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
        let mut tree = Command::new("cargo");
        tree.args("tree --locked --offline --edges normal --prefix none --format {p}={f}".split(' '));
        tree.args(packages.iter().flat_map(|package| ["-p", package]));
        let mut features = BTreeMap::<_, BTreeSet<_>>::new();
        let lines = process::output(&mut tree).unwrap();
        for (package, of) in lines.lines().filter_map(|line| line.split_once('=')) {
            features.entry(package.to_owned()).or_default().insert(of.trim_end_matches(" (*)").to_owned());
        }
        features
    }

    #[test]
    fn kpay_is_the_same_whether_the_operator_is_built_with_it_or_not() {
        let alone = features(&[PIPELINE.binary]);
        let mut both = features(&[PIPELINE.binary, OPERATOR.binary]);
        both.retain(|package, _| alone.contains_key(package));
        assert!(alone.len() > 100, "{alone:?}");
        let differ: Vec<_> = alone.iter().filter(|(package, of)| both.get(*package) != Some(of)).collect();
        assert!(differ.is_empty(), "`up` after `local` would compile again what needs: {differ:?}");
    }

    #[test]
    fn ldd_lines_become_paths() {
        let listed =
            "\tlinux-vdso.so.1 (0x7ffc)\n\tlibm.so.6 => /lib/x/libm.so.6 (0x7f)\n\t/lib64/ld.so.2 (0x7f)\n";
        assert_eq!(Vec::from_iter(libraries(listed).unwrap()), ["/lib/x/libm.so.6", "/lib64/ld.so.2"]);
    }

    #[test]
    fn a_library_that_is_not_found_is_an_error() {
        assert!(libraries("\tlibz.so.1 => not found\n").is_err());
    }
}
