//! The commands that ask a gateway, as a person or a script runs them.

use std::path::PathBuf;
use std::process::{Command, Output};

use kpay_e2e::local::Local;
use kpay_e2e::process::binary;
use serde_json::Value;

use crate::{MANIFEST, turn};

/// The binary, and the gateway that it asks.
pub(crate) struct Cli {
    binary: PathBuf,
    gateway: String,
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) exit: i32,
    pub(crate) out: String,
    pub(crate) told: String,
}

impl Ended {
    /// The JSON of each line.
    fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect()
    }
}

impl Cli {
    pub(crate) fn run(&self, args: &[&str]) -> anyhow::Result<Ended> {
        let mut command = Command::new(&self.binary);
        command.args(args).env("KPAY_GATEWAY_URL", &self.gateway);
        let Output { status, stdout, stderr } = command.output()?;
        Ok(Ended {
            exit: status.code().unwrap_or(-1),
            out: String::from_utf8(stdout)?,
            told: String::from_utf8(stderr)?,
        })
    }

    /// The first line as JSON, after the exit was looked at.
    fn json(&self, exit: i32, args: &[&str]) -> anyhow::Result<Value> {
        let ended = self.run(&[args, &["--output", "json"]].concat())?;
        assert_eq!(ended.exit, exit, "{args:?}: {}{}", ended.out, ended.told);
        let text = if ended.out.is_empty() { &ended.told } else { &ended.out };
        Ok(serde_json::from_str(text.lines().next().unwrap_or_default())?)
    }
}

fn started(name: &str) -> anyhow::Result<(Local, Cli)> {
    started_with(name, MANIFEST)
}

pub(crate) fn started_with(name: &str, manifest: &str) -> anyhow::Result<(Local, Cli)> {
    let mut local = Local::create(name, binary()?, manifest)?;
    local.start()?;
    local.wait_for_phase("Running", |phase| phase == "Running")?;
    let gateway = format!("http://{}", local.address);
    Ok((local, Cli { binary: binary()?, gateway }))
}

#[test]
fn a_person_pays_and_looks_and_every_end_has_its_exit_code() -> anyhow::Result<()> {
    let _turn = turn();
    let (mut local, cli) = started("cli")?;
    let opened = cli.run(&["account", "open", "alice", "--funding", "1000.00USD", "--wait", "30s"])?;
    assert_eq!(opened.exit, 0, "{}{}", opened.out, opened.told);
    assert_eq!(cli.json(0, &["account", "open", "bob", "--wait", "30s"])?["status"], "confirmed");
    let alice_to_bob = ["pay", "--from", "alice", "--to", "bob", "--wait", "30s", "--amount"];
    let pay = |rest: &[&'static str]| [&alice_to_bob, rest].concat();
    // Every list is whole without a word about how much of it.
    for list in
        [&["account", "list"][..], &["account", "ledger", "alice"], &["dlq", "list"], &["payment", "holds"]]
    {
        let ended = cli.run(list)?;
        assert_eq!(ended.exit, 0, "{list:?}: {}{}", ended.out, ended.told);
    }
    let table =
        cli.run(&pay(&["12.34USD", "--id", "p-1", "--attribute", "order=7", "--reference", "invoice 7"]))?;
    assert_eq!(table.exit, 0, "{}{}", table.out, table.told);
    for line in ["status:     confirmed", "amount:     12.34 USD", "attribute:  order=7"] {
        assert!(table.out.lines().any(|told| told == line), "{line}: {}", table.out);
    }
    // The same once more, and as a program reads it: paid once.
    let again = pay(&[
        "1234",
        "--minor",
        "--currency",
        "USD",
        "--id",
        "p-1",
        "--attribute",
        "order=7",
        "--reference",
        "invoice 7",
    ]);
    assert_eq!(cli.json(0, &again)?["amount"]["value"], 1234);
    assert_eq!(cli.json(0, &["account", "get", "bob"])?["balance"], 1234);
    let bob = cli.run(&["account", "get", "bob"])?;
    assert!(bob.out.lines().any(|line| line == "balance:  12.34 USD"), "{}", bob.out);

    let other = cli.json(1, &pay(&["12.35USD", "--id", "p-1"]))?;
    assert_eq!(other["code"], "idempotency_conflict");
    let poor = cli.json(1, &pay(&["5000.00USD"]))?;
    assert_eq!((&poor["status"], &poor["reason"]), (&"rejected".into(), &"insufficient_funds".into()));
    assert_eq!(
        cli.json(1, &["pay", "--from", "alice", "--to", "alice", "--amount", "1.00USD"])?["code"],
        "same_account"
    );
    assert_eq!(
        cli.json(1, &["account", "unfreeze", "bob", "--wait", "30s"])?["reason"],
        "account_not_frozen"
    );
    assert_eq!(cli.json(4, &["payment", "get", "nothing"])?["code"], "payment_unknown");
    assert_eq!(cli.json(4, &["account", "get", "nobody"])?["code"], "unknown_account");
    for wrong in
        [pay(&["12USD"]), pay(&["12.3USD"]), pay(&["12.34"]), pay(&["12.34USD", "--wait", "5"]), vec!["payy"]]
    {
        let ended = cli.run(&wrong)?;
        assert_eq!((ended.exit, ended.out.as_str()), (2, ""), "{wrong:?}: {}", ended.told);
    }
    let below = cli.run(&pay(&["-12.00USD"]))?;
    assert!(below.exit == 2 && below.told.contains("\"-12.00USD\" has a sign"), "{}", below.told);
    let status = cli.run(&["status"])?;
    assert!(status.out.lines().any(|line| line == "phase:            Running"), "{}", status.out);
    assert_eq!(cli.json(0, &["status"])?["phase"], "Running");

    cli.json(0, &["pause", "--reason", "month's end"])?;
    cli.json(0, &["pause", "--holder", "alice", "--for", "1h", "--reason", "books"])?;
    local.wait_for_phase("Paused", |phase| phase == "Paused")?;
    let status = cli.run(&["status"])?;
    let told = |begin: &str, end: &str| status.out.lines().any(|l| l.starts_with(begin) && l.ends_with(end));
    assert!(told("reason: ", " month's end"), "{}", status.out);
    assert!(told("held by:          alice since ", "Z (books)"), "{}", status.out);
    let resumed = cli.json(0, &["resume"])?;
    assert_eq!(
        (&resumed["desiredPhase"], &resumed["holders"][0]["holder"]),
        (&"Paused".into(), &"alice".into())
    );
    cli.json(0, &["resume", "--holder", "alice"])?;
    local.wait_for_phase("Running", |phase| phase == "Running")?;
    for wrong in [["pause", "--for", "1h"].as_slice(), &["pause", "--holder", "alice", "--for", "soon"]] {
        assert_eq!(cli.run(wrong)?.exit, 2, "{wrong:?}");
    }
    local.desire("Paused")?;
    local.wait_for_phase("Paused", |phase| phase == "Paused")?;
    let kept = cli.run(&pay(&["1.00USD", "--id", "p-2"]))?;
    assert_eq!(kept.exit, 3, "no outcome yet is not done: {}{}", kept.out, kept.told);
    assert!(kept.out.contains("Paused"), "{}", kept.out);
    let kept = cli.run(&["pay", "--from", "alice", "--to", "bob", "--amount", "1.00USD", "--no-wait"])?;
    assert_eq!(kept.exit, 0, "handed in, as asked: {}{}", kept.out, kept.told);
    local.stop()?;
    let away = cli.run(&pay(&["1.00USD"]))?;
    assert_eq!(away.exit, 3, "{}{}", away.out, away.told);
    assert!(away.told.contains("the id was"), "{}", away.told);
    Ok(())
}

#[test]
fn a_file_of_accounts_is_opened_once_however_often_it_is_given() -> anyhow::Result<()> {
    let _turn = turn();
    let (local, cli) = started("import")?;
    let file = local.file.with_file_name("accounts.csv");
    let accounts = (0..300).map(|number| format!("csv-{number},USD,{number}\n"));
    let text: String = ["id,currency,funding\n".to_owned(), "bad,USD,1.5\n".to_owned()]
        .into_iter()
        .chain(accounts)
        .chain(["other,ZZZ,5\n".to_owned()])
        .collect();
    std::fs::write(&file, &text)?;
    let path = file.to_str().unwrap_or_default();
    let import = ["account", "import", path, "--wait", "30s"];
    for round in 0..2 {
        let ended = cli.run(&[&import[..], &["--output", "json"]].concat())?;
        assert_eq!(ended.exit, 1, "{round}: {}{}", ended.out, ended.told);
        let told = ended.lines();
        let refused: Vec<_> =
            told.iter().filter_map(|line| Some((line["line"].as_u64()?, line["code"].as_str()?))).collect();
        assert_eq!(refused, [(2, "amount_not_integer"), (303, "currency_unknown")]);
        let (opened, existing) = if round == 0 { (300, 0) } else { (0, 300) };
        let counts = serde_json::json!({
            "lines": 302, "opened": opened, "existing": existing, "accepted": 0, "refused": 2
        });
        assert_eq!(told.last(), Some(&counts), "{round}");
    }
    assert_eq!(local.rest.get("/v1/accounts/csv-299")?.body["balance"], 299);
    // The refused lines for people; and what the file cannot mean.
    let ended = cli.run(&import)?;
    assert!(ended.out.contains("303   other") && ended.out.contains("2 refused"), "{}", ended.out);
    // Lines of JSON by a command id of their own: what exists already stays as it is.
    let lines = local.file.with_file_name("accounts.jsonl");
    std::fs::write(&lines, "{\"id\":\"csv-7\",\"funding\":9,\"commandId\":\"mine\"}\n{\"id\":\"json-1\"}\n")?;
    let ended = cli.json(0, &["account", "import", lines.to_str().unwrap_or_default(), "--wait", "30s"])?;
    assert_eq!(
        ended,
        serde_json::json!({"lines": 2, "opened": 1, "existing": 1, "accepted": 0, "refused": 0})
    );
    assert_eq!(local.rest.get("/v1/accounts/csv-7")?.body["balance"], 7, "as the first file opened it");
    Ok(())
}
