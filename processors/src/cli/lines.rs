//! Accounts of a file, line by line: CSV with a header, or JSON lines. Pure over a reader; a line that cannot be read is a
//! value and the next one goes on.

use std::io::{self, BufRead, Read};

use kpay_domain::intake::{RECORD_BYTES_MAX, open_from_json};
use kpay_domain::{Intake, Malformed};
use serde_json::Value;

use super::args::Format;
use super::exit::CliError;

const COLUMNS: [&str; 4] = ["id", "currency", "funding", "commandId"];

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1, of the file.
    pub(super) number: u64,
    /// The account's id as far as it can be told.
    pub(super) account: String,
    /// The body of the request, or what is wrong with the line.
    pub(super) body: Result<Vec<u8>, Refusal>,
}

/// Why a line is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Stable.
    pub(super) code: String,
    /// For people.
    pub(super) detail: String,
}

impl Refusal {
    pub(super) fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code: code.into(), detail: detail.into() }
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        let Malformed { code, field, detail } = malformed;
        Self::new(code, format!("{field}: {detail}"))
    }
}

/// The lines of a file; ends at the first that the disk does not give.
pub(super) type Lines = Box<dyn Iterator<Item = io::Result<Line>> + Send>;

/// Begins to read. Without a format the first byte tells: JSON lines begin with a brace.
pub(super) fn read<R: BufRead + Send + 'static>(
    mut reader: R,
    format: Option<Format>,
) -> Result<Lines, CliError> {
    let begin = reader.fill_buf()?;
    // What some programs put before UTF-8.
    if begin.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    let first = reader.fill_buf()?.iter().find(|byte| !byte.is_ascii_whitespace());
    let told = if first == Some(&b'{') { Format::Jsonl } else { Format::Csv };
    match format.unwrap_or(told) {
        Format::Jsonl => Ok(Box::new(JsonLines { reader, number: 0 })),
        Format::Csv => Ok(Box::new(CsvLines::open(reader)?)),
    }
}

/// Checks a body as the gateway would.
fn check(body: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    open_from_json(&body)?;
    Ok(body)
}

enum Found {
    End,
    Line(Vec<u8>),
    TooLong,
}

struct JsonLines<R> {
    reader: R,
    number: u64,
}

impl<R: BufRead> JsonLines<R> {
    /// A line without its end; one beyond the limit is passed over.
    fn next_line(&mut self) -> io::Result<Found> {
        let mut line = Vec::new();
        let limit = RECORD_BYTES_MAX as u64 + 2;
        if (&mut self.reader).take(limit).read_until(b'\n', &mut line)? == 0 {
            return Ok(Found::End);
        }
        if line.len() as u64 == limit && line.last() != Some(&b'\n') {
            self.skip_line()?;
            return Ok(Found::TooLong);
        }
        Ok(Found::Line(line.trim_ascii().to_vec()))
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let held = self.reader.fill_buf()?;
            let end = held.iter().position(|byte| *byte == b'\n');
            let (length, done) = end.map_or((held.len(), held.is_empty()), |at| (at.saturating_add(1), true));
            self.reader.consume(length);
            if done {
                return Ok(());
            }
        }
    }
}

impl<R: BufRead> Iterator for JsonLines<R> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let found = match self.next_line() {
                Ok(found) => found,
                Err(error) => return Some(Err(error)),
            };
            self.number = self.number.saturating_add(1);
            let number = self.number;
            let body = match found {
                Found::End => return None,
                Found::Line(body) => body,
                Found::TooLong => {
                    let refusal = Refusal::new("record_too_large", "the line has more than 262144 bytes");
                    return Some(Ok(Line { number, account: String::new(), body: Err(refusal) }));
                }
            };
            if body.is_empty() {
                continue;
            }
            let account = account_of(&body);
            return Some(Ok(Line { number, account, body: check(body) }));
        }
    }
}

fn account_of(body: &[u8]) -> String {
    if let Ok(Intake::Account(command)) = open_from_json(body) {
        return command.account.as_str().to_owned();
    }
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    value.get("id").and_then(Value::as_str).unwrap_or_default().chars().take(64).collect()
}

/// Every line ends in a newline alone: otherwise the reader of CSV counts the lines differently from file to file.
struct Newlines<R> {
    reader: R,
    ended: bool,
}

impl<R: Read> Read for Newlines<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !into.is_empty() {
            let length = self.reader.read(into)?;
            let mut kept = 0;
            for at in 0..length {
                if let Some(byte) = into.get(at).copied().filter(|byte| *byte != b'\r')
                    && let Some(place) = into.get_mut(kept)
                {
                    *place = byte;
                    kept += 1;
                }
            }
            if length == 0 {
                self.ended = true;
                if let Some(place) = into.first_mut() {
                    *place = b'\n';
                }
                return Ok(1);
            }
            if kept > 0 {
                return Ok(kept);
            }
        }
        Ok(0)
    }
}

struct CsvLines<R: Read> {
    records: csv::StringRecordsIntoIter<Newlines<R>>,
    columns: Vec<String>,
}

impl<R: BufRead> CsvLines<R> {
    fn open(reader: R) -> Result<Self, CliError> {
        // Every record is checked against the header here, so that a wrong one names its line and the next is read.
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(Newlines { reader, ended: false });
        let header = reader.headers().map_err(|error| CliError::Usage(format!("the header: {error}")))?;
        let columns: Vec<String> = header.iter().map(str::to_owned).collect();
        let unknown = columns.iter().find(|column| !COLUMNS.contains(&column.as_str()));
        if let Some(unknown) = unknown {
            let known = COLUMNS.join(", ");
            return Err(CliError::Usage(format!(
                "the first line is no header of {known}: {unknown:?}; JSON lines begin with a brace"
            )));
        }
        let twice =
            columns.iter().enumerate().find(|(at, column)| columns.iter().take(*at).any(|c| c == *column));
        if let Some((_, column)) = twice {
            return Err(CliError::Usage(format!("the header has {column} twice")));
        }
        if !columns.iter().any(|column| column == "id") {
            return Err(CliError::Usage("the header has no column id".to_owned()));
        }
        Ok(Self { records: reader.into_records(), columns })
    }

    fn line(&self, number: u64, record: &csv::StringRecord) -> Line {
        let cell = |name: &str| {
            let at = self.columns.iter().position(|column| column == name)?;
            record.get(at).filter(|text| !text.is_empty())
        };
        let account: String = cell("id").unwrap_or_default().chars().take(64).collect();
        if record.len() != self.columns.len() {
            let detail = format!("has {} columns, the header has {}", record.len(), self.columns.len());
            return Line { number, account, body: Err(Refusal::new("columns_uneven", detail)) };
        }
        let funding = cell("funding").map(str::parse::<i64>);
        if let Some(Err(_)) = funding {
            let detail =
                "funding: is a whole number of minor units (cents, for USD): no point, no separators";
            return Line { number, account, body: Err(Refusal::new("amount_not_integer", detail)) };
        }
        let text = |name: &str| cell(name).map(Value::from);
        let body = super::object([
            ("id", text("id")),
            ("currency", text("currency")),
            ("funding", funding.and_then(Result::ok).map(Value::from)),
            ("commandId", text("commandId")),
        ]);
        Line { number, account, body: check(body.to_string().into_bytes()) }
    }
}

impl<R: BufRead> Iterator for CsvLines<R> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.records.next()?;
        // The newline behind the record is read by now.
        let number = self.records.reader().position().line().saturating_sub(1);
        match record {
            Ok(record) => Some(Ok(self.line(number, &record))),
            Err(error) => match error.into_kind() {
                csv::ErrorKind::Io(error) => Some(Err(error)),
                kind => {
                    let refusal = Refusal::new("csv_invalid", told(&kind));
                    Some(Ok(Line { number, account: String::new(), body: Err(refusal) }))
                }
            },
        }
    }
}

fn told(kind: &csv::ErrorKind) -> String {
    match kind {
        csv::ErrorKind::Utf8 { err, .. } => format!("is not UTF-8: {err}"),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn lines(text: &[u8]) -> Vec<Line> {
        read(Cursor::new(text.to_vec()), None).unwrap().map(Result::unwrap).collect()
    }

    fn told(line: &Line) -> (u64, &str, &str) {
        let what = match &line.body {
            Ok(body) => std::str::from_utf8(body).unwrap(),
            Err(refusal) => refusal.code.as_str(),
        };
        (line.number, line.account.as_str(), what)
    }

    #[test]
    fn csv_and_json_lines_say_the_same() {
        let csv = lines(b"\xef\xbb\xbfid, funding,currency\r\nalice,100000,USD\r\n\r\n\"bob\",,\n");
        let json = lines(b"{\"currency\":\"USD\",\"funding\":100000,\"id\":\"alice\"}\r\n\n{\"id\":\"bob\"}");
        let alice = r#"{"currency":"USD","funding":100000,"id":"alice"}"#;
        assert_eq!(
            csv.iter().map(told).collect::<Vec<_>>(),
            [(2, "alice", alice), (4, "bob", r#"{"id":"bob"}"#)]
        );
        assert_eq!(
            json.iter().map(told).collect::<Vec<_>>(),
            [(1, "alice", alice), (3, "bob", r#"{"id":"bob"}"#)]
        );
    }

    #[test]
    fn a_wrong_line_of_csv_is_told_and_the_next_one_is_read() {
        let text = b"id,currency,funding\nalice,USD,12.34\nb/b,USD,1\n,USD,1\nc,USD\nd,usd,1\n\xff,USD,1\ne,USD,99999999999999999999\nf,USD,7\n";
        let lines = lines(text);
        let told: Vec<_> = lines.iter().map(told).collect();
        assert_eq!(
            told,
            [
                (2, "alice", "amount_not_integer"),
                (3, "b/b", "id_invalid"),
                (4, "", "field_missing"),
                (5, "c", "columns_uneven"),
                (6, "d", "currency_invalid"),
                (7, "", "csv_invalid"),
                (8, "e", "amount_not_integer"),
                (9, "f", r#"{"currency":"USD","funding":7,"id":"f"}"#),
            ]
        );
    }

    #[test]
    fn a_wrong_line_of_json_is_told_and_the_next_one_is_read() {
        let long = vec![b'x'; RECORD_BYTES_MAX * 2];
        let mut text = b"{\"id\":\"a\",\"funding\":1.5}\n[1]\n{\"id\":\"b\"\n".to_vec();
        text.extend(long);
        text.extend(b"\n{\"id\":\"c\"}\n");
        let lines = lines(&text);
        let told: Vec<_> = lines.iter().map(told).collect();
        assert_eq!(
            told,
            [
                (1, "a", "amount_not_integer"),
                (2, "", "json_invalid"),
                (3, "", "json_invalid"),
                (4, "", "record_too_large"),
                (5, "c", r#"{"id":"c"}"#),
            ]
        );
    }

    #[test]
    fn a_header_that_is_none_is_refused_before_anything_is_done() {
        for text in ["alice,USD,5\n", "currency,funding\n", "id,funds\n", "id,id\n", ""] {
            let refused = read(Cursor::new(text.as_bytes().to_vec()), None);
            assert_eq!(refused.err().map(|error| error.exit().code()), Some(2), "{text:?}");
        }
    }
}
