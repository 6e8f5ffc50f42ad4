//! The page in a real browser, over a real `kpay local`.

use std::process::Command;

use anyhow::{Result, bail};

use super::Context;
use crate::{packages, page, process};

/// Checks, builds and tests the page, and returns what was proven.
pub(super) fn run(context: &Context) -> Result<String> {
    let instance = context.instance;
    page::modules(instance)?;
    packages::install(instance, packages::BROWSER)?;
    page::build(instance)?;
    let folder = page::folder(instance);
    process::run(page::npm(&folder).args(["run", "--silent", "check"]))?;
    let unit = tests(page::npm(&folder).args(["run", "--silent", "unit"]), false)?;
    let mut browser = page::npm(&folder);
    browser.args(["run", "--silent", "browser"]);
    // One test by its name; the others then count as skipped.
    let chosen = context.args.args.join(" ");
    browser.env("KPAY_TESTS", &chosen);
    browser.env("KPAY_BIN", super::program(instance, "kpay")?);
    browser.env("KPAY_CHROMIUM", "/usr/bin/chromium");
    Ok(format!("{} in the browser, and {unit} without", tests(&mut browser, !chosen.is_empty())?))
}

/// Runs tests by Node's own runner and counts what passed; a run in which nothing ran, or something was left out, is a
/// failure, unless only some were `chosen`.
fn tests(command: &mut Command, chosen: bool) -> Result<String> {
    let (mut passed, mut left_out) = (0, 0);
    process::watched(command, |line| {
        passed += counted(line, "pass").unwrap_or(0);
        left_out += counted(line, "skipped").unwrap_or(0) + counted(line, "todo").unwrap_or(0);
    })?;
    if passed == 0 || (left_out > 0 && !chosen) {
        bail!("{passed} tests passed and {left_out} were left out");
    }
    Ok(format!("{passed} tests"))
}

/// The count in a line like `# pass 12`, which the runner writes with another sign for a terminal.
fn counted(line: &str, what: &str) -> Option<u64> {
    let mut words = line.split(' ');
    let (sign, name, count) = (words.next()?, words.next()?, words.next()?);
    (matches!(sign, "#" | "ℹ") && name == what).then(|| count.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_summary_counts() {
        assert_eq!(counted("# pass 12", "pass"), Some(12));
        assert_eq!(counted("ℹ pass 12", "pass"), Some(12));
        assert_eq!(counted("# fail 1", "pass"), None);
        assert_eq!(counted("ok 1 - pass 12", "pass"), None);
    }

    #[test]
    fn a_run_that_left_something_out_fails() {
        let say = |lines: &str, chosen| tests(Command::new("printf").arg(lines), chosen).is_ok();
        assert!(say("# pass 2\\n# skipped 0\\n# todo 0\\n", false));
        assert!(!say("# pass 2\\n# skipped 1\\n", false) && say("# pass 2\\n# skipped 1\\n", true));
        assert!(!say("# pass 0\\n", true));
    }
}
