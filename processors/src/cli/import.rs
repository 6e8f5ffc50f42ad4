//! `kpay account import`: opens the accounts of a file. Only I/O.
//!
//! Lines go out side by side and are reported in the order of the file. The id of each command follows from the account, so
//! a line that was carried out before changes nothing.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Write, stdin};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use kpay_control::bootstrap::{self, ImportReport};
use kpay_crds::RefusedLine;
use serde_json::{Value, json};

use super::Context;
use super::args::ImportArgs;
use super::exit::{CliError, Exit};
use super::lines::{Line, Lines, Refusal, read};
use super::print::{self, Column, Table, left, right};

const REFUSED: &[Column] =
    &[right("  LINE"), left("ACCOUNT         "), left("CODE                "), left("DETAIL")];
/// How long one line is sent again to a gateway that is away.
const PATIENCE: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_millis(500);
const PROGRESS: Duration = Duration::from_secs(1);

/// What became of a line.
enum Fate {
    /// The account is open, by this line.
    Opened,
    /// It was there before: this file was given before, or another command has opened it.
    Existing,
    /// Handed in; the outcome is not known yet.
    Accepted,
    Refused(Refusal),
    /// The gateway went away.
    Unknown(CliError),
}

/// Imports the file, and reports how it ended where that is asked for.
pub(super) async fn run(context: &Context, args: &ImportArgs) -> Result<Exit, CliError> {
    let Some(path) = &args.report else {
        return import(context, args, &mut ImportReport::default()).await;
    };
    // Before the first line: a place that cannot be written to is told at once.
    let mut file = File::create(path).map_err(|source| file_error(path, source))?;
    let mut report = ImportReport::default();
    let ended = import(context, args, &mut report).await;
    if let Err(error) = &ended {
        report.error = Some(error.to_string());
    }
    file.write_all(report.to_text().as_bytes()).map_err(|source| file_error(path, source))?;
    ended
}

async fn import(context: &Context, args: &ImportArgs, report: &mut ImportReport) -> Result<Exit, CliError> {
    let lines = open(&args.file, args)?;
    if !args.dry_run {
        // Before the first line: a wrong address is told at once.
        context.gateway.get("/v1/pipeline", &[]).await?;
    }
    let (began, mut told) = (Instant::now(), Instant::now());
    let mut table = Table::new(REFUSED);
    let stopped = AtomicBool::new(false);
    let fates = stream::iter(lines.take_while(|_| !stopped.load(Ordering::Relaxed))).map(|line| async {
        let line = line?;
        let fate = fate(context, args, &line).await;
        Ok::<_, std::io::Error>((line, fate))
    });
    let mut fates = std::pin::pin!(fates.buffered(usize::from(args.concurrency)));
    let mut lost = None;
    while let Some(done) = fates.next().await {
        let (line, fate) = done.map_err(|source| file_error(&args.file, source))?;
        match fate {
            Fate::Unknown(error) => {
                // What is on its way is still waited for; it counts as far as it is known.
                stopped.store(true, Ordering::Relaxed);
                lost.get_or_insert((line.number, error));
                continue;
            }
            Fate::Opened => report.opened += 1,
            Fate::Existing => report.existing += 1,
            Fate::Accepted => report.accepted += 1,
            Fate::Refused(refusal) => {
                tell(context, &mut table, &line, &refusal)?;
                report.refuse(refused(line, refusal));
            }
        }
        report.lines += 1;
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            eprintln!("{}; {}/s", report.counts(), per_second(report.lines, began.elapsed()));
        }
    }
    if context.printer.json() {
        print::line(&counts(report).to_string())?;
    } else {
        print::line(&report.counts())?;
    }
    if let Some((line, error)) = lost {
        eprintln!("the gateway went away at line {line}: give the same file again");
        return Err(error);
    }
    if args.require_outcome && report.accepted > 0 {
        let error = format!("{} lines have no outcome yet: give the same file again", report.accepted);
        eprintln!("{error}");
        report.error = Some(error);
        return Ok(Exit::Again);
    }
    Ok(if report.refused > 0 { Exit::Refused } else { Exit::Done })
}

fn counts(report: &ImportReport) -> Value {
    let ImportReport { lines, opened, existing, accepted, refused, .. } = report;
    json!({"lines": lines, "opened": opened, "existing": existing, "accepted": accepted, "refused": refused})
}

fn refused(line: Line, refusal: Refusal) -> RefusedLine {
    let Refusal { code, detail } = refusal;
    RefusedLine { line: i64::try_from(line.number).unwrap_or(i64::MAX), account: line.account, code, detail }
}

/// Per second, in whole numbers.
fn per_second(count: i64, elapsed: Duration) -> u128 {
    u128::from(count.unsigned_abs()) * 1000 / elapsed.as_millis().max(1)
}

fn open(path: &Path, args: &ImportArgs) -> Result<Lines, CliError> {
    let lines = match &args.digest {
        Some(wanted) => read(Cursor::new(whole(path, wanted)?), args.format),
        None if is_stdin(path) => read(BufReader::new(stdin()), args.format),
        None => {
            let file = File::open(path).map_err(|source| file_error(path, source))?;
            read(BufReader::new(file), args.format)
        }
    };
    match lines {
        Err(CliError::Output(source)) => Err(file_error(path, source)),
        Err(CliError::Usage(detail)) if !is_stdin(path) => {
            Err(CliError::Usage(format!("{}: {detail}", path.display())))
        }
        other => other,
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// The content, when it is the one that is meant. What is imported is what was looked at.
fn whole(path: &Path, wanted: &str) -> Result<Vec<u8>, CliError> {
    let mut content = Vec::new();
    let read = if is_stdin(path) {
        stdin().read_to_end(&mut content)
    } else {
        File::open(path).and_then(|mut file| file.read_to_end(&mut content))
    };
    read.map_err(|source| file_error(path, source))?;
    let digest = bootstrap::digest(&content);
    if digest.starts_with(wanted) {
        return Ok(content);
    }
    let found = digest.chars().take(wanted.len()).collect();
    Err(CliError::OtherContent { path: path.display().to_string(), found, wanted: wanted.to_owned() })
}

fn file_error(path: &Path, source: std::io::Error) -> CliError {
    CliError::File { path: path.display().to_string(), source }
}

fn tell(context: &Context, table: &mut Table, line: &Line, refusal: &Refusal) -> Result<(), CliError> {
    let Line { number, account, .. } = line;
    let Refusal { code, detail } = refusal;
    if context.printer.json() {
        let told = json!({"line": number, "account": account, "code": code, "detail": detail});
        print::line(&told.to_string())?;
    } else {
        let row = vec![number.to_string(), account.clone(), code.clone(), detail.clone()];
        print::write(&table.rows(&[row]))?;
    }
    Ok(())
}

async fn fate(context: &Context, args: &ImportArgs, line: &Line) -> Fate {
    let body = match &line.body {
        Ok(body) => body,
        Err(refusal) => return Fate::Refused(refusal.clone()),
    };
    if args.dry_run {
        return Fate::Accepted;
    }
    let deadline = Instant::now() + PATIENCE;
    // What a request of ours that was not answered may have done, we did.
    let mut again = false;
    loop {
        match context.gateway.post("/v1/accounts", body.clone(), args.wait.seconds()).await {
            Ok(answer) => {
                return of_outcome(answer.text("status"), answer.text("reason"), answer.replayed && !again);
            }
            // The same command may be sent again.
            Err(error) if error.may_pass() && Instant::now() < deadline => {
                again = true;
                tokio::time::sleep(RETRY).await;
            }
            Err(CliError::Problem(problem)) if problem.status < 500 && problem.status != 429 => {
                return Fate::Refused(Refusal::new(problem.code.to_string(), problem.detail.clone()));
            }
            Err(error) => return Fate::Unknown(error),
        }
    }
}

/// `before` says that the same command was carried out before.
fn of_outcome(status: &str, reason: &str, before: bool) -> Fate {
    match (status, reason) {
        ("confirmed", _) if !before => Fate::Opened,
        ("confirmed", _) | (_, "account_exists") => Fate::Existing,
        ("rejected" | "reversed", reason) => {
            Fate::Refused(Refusal::new(reason, format!("the opening was {status}")))
        }
        _ => Fate::Accepted,
    }
}
