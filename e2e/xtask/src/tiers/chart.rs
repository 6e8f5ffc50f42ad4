//! The chart tier: helm's own checks, the chart's unit tests, what is made from its values or must be in step with them, and
//! scanners.

mod scan;
mod schemas;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::Context;
use crate::instance::Instance;
use crate::{process, tools};

/// Where it is set, generated files are written instead of compared, as the API's description is.
const BLESS: &str = "KPAY_BLESS";

struct Chart<'a> {
    instance: &'a Instance,
    folder: PathBuf,
}

pub(super) fn run(context: &Context) -> Result<String> {
    let instance = context.instance;
    tools::build(instance, &["helm", "chart", "kube-score", "schemas"])?;
    let chart = Chart { instance, folder: instance.repo.join("charts/kpay") };
    ensure!(chart.folder.join("Chart.yaml").is_file(), "{} is not there", chart.folder.display());
    process::run(chart.program("helm", &["lint", "--strict"]).arg(&chart.folder))?;
    let tests = chart.unit_tests()?;
    chart.readme()?;
    let values = chart.schema()?;
    let objects = scan::run(&chart, &super::program(instance, "kpay-operator")?)?;
    Ok(format!("{tests} tests, {values} values documented, {objects} objects scanned"))
}

impl Chart<'_> {
    fn program(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(self.instance.bin(name));
        command.args(args);
        command
    }

    /// Those in `tests/`: what the values make of the templates, and which values are refused with which words.
    fn unit_tests(&self) -> Result<u64> {
        let mut passed = 0;
        let mut tests = self.program("helm-unittest", &["--strict"]);
        process::watched(tests.arg(&self.folder), |line| passed = passed.max(passed_in(line)))?;
        ensure!(passed > 0, "no test of the chart ran");
        Ok(passed)
    }

    /// The README is what the comments of `values.yaml` say, and there is no value without one.
    fn readme(&self) -> Result<()> {
        let mut docs = self.program("helm-docs", &["--dry-run", "--skip-version-footer"]);
        docs.args(["--log-level", "warning", "--sort-values-order", "file"]);
        let wanted = process::output(docs.arg("--chart-search-root").arg(&self.folder))?;
        // It says what went wrong, and ends well.
        ensure!(wanted.contains("\n## Values\n"), "helm-docs makes no README");
        let silent = wanted.lines().find(|line| line.starts_with('|') && line.ends_with("|  |"));
        ensure!(silent.is_none(), "values.yaml does not describe {}", silent.unwrap_or_default());
        fresh(&self.folder.join("README.md"), &format!("{}\n", wanted.trim_end()))
    }

    /// Every value that the schema knows is described by it, and is in the README: the schema's words are what people see
    /// whose values are refused. Returns how many there are.
    fn schema(&self) -> Result<usize> {
        let schema = fs::read_to_string(self.folder.join("values.schema.json"))?;
        let schema: Value = serde_json::from_str(&schema).context("values.schema.json")?;
        let readme = fs::read_to_string(self.folder.join("README.md"))?;
        let documented = |value: &str| readme.contains(&format!("\n| {value} |"));
        known(&schema, &schema, "", &documented)
    }
}

/// Goes through the properties of a schema down to those that are documented, and counts these; one that is not, and has no
/// properties of its own that are, is a mistake.
fn known(schema: &Value, at: &Value, path: &str, documented: &impl Fn(&str) -> bool) -> Result<usize> {
    let properties = at.get("properties").and_then(Value::as_object);
    let properties = properties.with_context(|| format!("the schema has {path}, values.yaml has not"))?;
    let mut count = 0_usize;
    // `global` is helm's own, which no chart sets.
    for (name, property) in properties.iter().filter(|(name, _)| !path.is_empty() || *name != "global") {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        ensure!(property.get("description").is_some(), "the schema does not describe {path}");
        if documented(&path) {
            count = count.saturating_add(1);
            continue;
        }
        let place = property.get("$ref").and_then(Value::as_str).and_then(|place| place.strip_prefix('#'));
        let target = match place {
            Some(place) => schema.pointer(place).with_context(|| format!("the schema has no {place}"))?,
            None => property,
        };
        count = count.saturating_add(known(schema, target, &path, documented)?);
    }
    Ok(count)
}

/// Compares, or writes when the result is blessed.
fn fresh(file: &Path, wanted: &str) -> Result<()> {
    if fs::read_to_string(file).unwrap_or_default() == wanted {
        return Ok(());
    }
    if std::env::var_os(BLESS).is_some() {
        return fs::write(file, wanted).with_context(|| format!("cannot write {}", file.display()));
    }
    bail!("{} is not fresh: {BLESS}=1 cargo xtask test --tier chart", file.display())
}

/// The count in a line like `Tests:       1 failed, 58 passed, 59 total`.
fn passed_in(line: &str) -> u64 {
    let mut counts = line.strip_prefix("Tests:").into_iter().flat_map(|counts| counts.split(','));
    let passed = counts.find_map(|count| count.trim().strip_suffix(" passed"));
    passed.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_line_of_all_tests_counts() {
        assert_eq!(passed_in("Tests:       59 passed, 59 total"), 59);
        assert_eq!(passed_in("Tests:       1 failed, 1 errored, 58 passed, 59 total"), 58);
        assert_eq!(passed_in("Test Suites: 7 passed, 7 total"), 0);
    }

    #[test]
    fn a_value_that_only_the_schema_has_is_a_mistake() {
        let schema = json!({
            "definitions": {"image": {"properties": {"tag": {"description": "d"}}}},
            "properties": {
                "image": {"$ref": "#/definitions/image", "description": "d"},
                "log": {"description": "d"},
            },
        });
        let of = |schema: &Value, rows: &[&str]| known(schema, schema, "", &|path| rows.contains(&path));
        assert_eq!(of(&schema, &["image.tag", "log"]).unwrap(), 2);
        assert_eq!(of(&schema, &["image", "log"]).unwrap(), 2);
        let said = |schema, rows| of(schema, rows).unwrap_err().to_string();
        assert_eq!(said(&schema, &["log"]), "the schema has image.tag, values.yaml has not");
        assert_eq!(said(&schema, &["image.tag"]), "the schema has log, values.yaml has not");
        let silent = json!({"properties": {"log": {}}});
        assert_eq!(said(&silent, &["log"]), "the schema does not describe log");
    }
}
