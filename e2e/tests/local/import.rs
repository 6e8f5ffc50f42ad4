//! `kpay account import` as the Job of a pipeline runs it: a content that is checked, and a report of how it ended.

use kpay_control::bootstrap::{ImportReport, REPORT_BYTES_MAX, digest};
use kpay_e2e::local::Local;

use crate::cli::{Cli, Ended, started_with};
use crate::{MANIFEST, turn};

const ACCOUNTS: &str = "id,currency,funding\nalice,USD,700\nbad,USD,1.5\nbob,USD,\nother,ZZZ,5\n";

/// What a Job gives besides.
const AS_A_JOB: [&str; 3] = ["--wait", "30s", "--require-outcome"];

struct Import {
    local: Local,
    cli: Cli,
}

impl Import {
    fn start(name: &str, manifest: &str) -> anyhow::Result<Self> {
        let (local, cli) = started_with(name, manifest)?;
        Ok(Self { local, cli })
    }

    fn path(&self, name: &str) -> String {
        self.local.file.with_file_name(name).display().to_string()
    }

    /// How the import of a content ended, and its report.
    fn run(&self, content: &str, more: &[&str]) -> anyhow::Result<(Ended, ImportReport)> {
        let (file, place) = (self.path("accounts.csv"), self.path("report.json"));
        std::fs::write(&file, content)?;
        // As the kubelet makes it.
        std::fs::write(&place, "x".repeat(10_000))?;
        let ended = self.cli.run(&[&["account", "import", &file, "--report", &place][..], more].concat())?;
        let text = std::fs::read_to_string(&place)?;
        assert!(text.len() <= REPORT_BYTES_MAX, "{}", text.len());
        Ok((ended, serde_json::from_str(&text)?))
    }
}

#[test]
fn an_import_reports_how_it_ended() -> anyhow::Result<()> {
    let _turn = turn();
    let bootstrap = "currency: USD\n    bootstrap: {configMap: {name: opening}}";
    let mut import = Import::start("report", &MANIFEST.replace("currency: USD", bootstrap))?;
    // Other content than was meant: nothing is done, and it may be tried again.
    let right = digest(ACCOUNTS.as_bytes());
    let (ended, report) = import.run(ACCOUNTS, &["--digest", &digest(b"another")[..10]])?;
    assert_eq!(ended.exit, 3, "{}", ended.told);
    let error = report.error.unwrap_or_default();
    assert!(error.contains(&right[..10]) && error.contains("accounts.csv"), "{error}");
    assert_eq!((report.lines, import.local.rest.get("/v1/accounts/alice")?.status), (0, 404));

    // The same content twice: it opens its accounts once.
    for counts in [(2, 0), (0, 2)] {
        let (ended, report) = import.run(ACCOUNTS, &[&["--digest", &right[..10]], &AS_A_JOB[..]].concat())?;
        assert_eq!(ended.exit, 1, "{}{}", ended.out, ended.told);
        let ImportReport { lines, opened, existing, accepted, refused, refused_lines, error } = report;
        assert_eq!((opened, existing), counts);
        assert_eq!((lines, accepted, refused, error), (4, 0, 2, None));
        let refused: Vec<_> =
            refused_lines.iter().map(|line| (line.line, line.account.as_str(), line.code.as_str())).collect();
        assert_eq!(refused, [(3, "bad", "amount_not_integer"), (5, "other", "currency_unknown")]);
        assert_eq!(import.local.rest.get("/v1/accounts/alice")?.body["balance"], 700);
    }

    // A file that is none.
    let (ended, report) = import.run("name,money\n", &AS_A_JOB)?;
    assert_eq!(ended.exit, 2, "{}", ended.told);
    assert!(report.error.is_some_and(|error| error.contains("no header")));

    // What is only handed in is no end for a Job.
    import.local.desire("Paused")?;
    import.local.wait_for_phase("Paused", |phase| phase == "Paused")?;
    let (ended, report) = import.run("id\ncarol\n", &["--wait", "1s"])?;
    assert_eq!((ended.exit, report.accepted, report.error), (0, 1, None), "{}", ended.told);
    let (ended, report) = import.run("id\ncarol\n", &AS_A_JOB)?;
    assert_eq!((ended.exit, report.accepted), (3, 1), "{}", ended.told);
    assert!(report.error.is_some_and(|error| error.contains("no outcome yet")));

    // The report of a refused line is not longer than the others' when the file is hostile.
    let hostile = format!("\u{1}{},USD,x\n", "\u{10ffff}".repeat(300)).repeat(50);
    let (ended, report) = import.run(&format!("id,currency,funding\n{hostile}"), &AS_A_JOB)?;
    assert_eq!((ended.exit, report.refused), (1, 50), "{}", ended.told);
    assert!(!report.refused_lines.is_empty());

    import.local.stop()?;
    let (ended, report) = import.run(ACCOUNTS, &AS_A_JOB)?;
    assert_eq!(ended.exit, 3, "{}", ended.told);
    assert!(report.error.is_some_and(|error| error.contains("cannot be reached")));
    let said = std::fs::read_to_string(import.local.log())?;
    assert!(said.contains("spec.accounts.bootstrap: there are no ConfigMaps here"), "{said}");
    Ok(())
}

#[test]
fn an_import_that_cannot_report_does_nothing() -> anyhow::Result<()> {
    let _turn = turn();
    let import = Import::start("no-report", MANIFEST)?;
    let file = import.path("accounts.csv");
    std::fs::write(&file, "id\ndora\n")?;
    let ended = import.cli.run(&["account", "import", &file, "--report", &import.path("no/such/folder")])?;
    assert_eq!(ended.exit, 2, "{}", ended.told);
    assert!(ended.told.contains("no/such/folder"), "{}", ended.told);
    assert_eq!(import.local.rest.get("/v1/accounts/dora")?.status, 404);
    Ok(())
}
