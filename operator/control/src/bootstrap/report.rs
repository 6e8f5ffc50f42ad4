//! What an import of accounts says of itself at its end: `kpay account import --report` writes it, the operator reads it
//! from the termination message of the import's pod. Pure.

use kpay_crds::RefusedLine;
use serde::{Deserialize, Serialize};

/// What Kubernetes keeps of a termination message.
pub const REPORT_BYTES_MAX: usize = 4096;
/// Refused lines that are listed; the others are only counted.
const LINES_LISTED: usize = 10;
const ACCOUNT_CHARS_MAX: usize = 64;
const CODE_CHARS_MAX: usize = 64;
const DETAIL_CHARS_MAX: usize = 200;
const ERROR_CHARS_MAX: usize = 500;

/// What became of the lines of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImportReport {
    /// Lines that were read and decided.
    pub lines: i64,
    /// Lines whose account was opened by them.
    pub opened: i64,
    /// Lines whose account was there, from an import before or from another command.
    pub existing: i64,
    /// Lines that were handed in, whose outcome is not known yet.
    pub accepted: i64,
    /// Lines that were refused.
    pub refused: i64,
    /// The first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused_lines: Vec<RefusedLine>,
    /// Why the import came to no end, if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl ImportReport {
    /// Counts a refused line, and lists it while there is room.
    pub fn refuse(&mut self, line: RefusedLine) {
        self.refused = self.refused.saturating_add(1);
        if self.refused_lines.len() < LINES_LISTED {
            self.refused_lines.push(line);
        }
    }

    /// The counts, for people.
    pub fn counts(&self) -> String {
        let Self { lines, opened, existing, accepted, refused, .. } = self;
        format!("{lines} lines: {opened} opened, {existing} existing, {accepted} accepted, {refused} refused")
    }

    /// As JSON of at most [`REPORT_BYTES_MAX`] bytes: with as many of the refused lines as there is room for.
    pub fn to_text(&self) -> String {
        let mut report = self.clone().bounded();
        loop {
            // Texts and numbers always have a JSON form.
            let text = serde_json::to_string(&report).unwrap_or_default();
            if text.len() <= REPORT_BYTES_MAX || report.refused_lines.pop().is_none() {
                return text;
            }
        }
    }

    /// The report of a text, if it is one; as bounded as one that is written, whoever wrote it.
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str::<Self>(text).ok().map(Self::bounded)
    }

    fn bounded(mut self) -> Self {
        self.refused_lines.truncate(LINES_LISTED);
        for line in &mut self.refused_lines {
            cut(&mut line.account, ACCOUNT_CHARS_MAX);
            cut(&mut line.code, CODE_CHARS_MAX);
            cut(&mut line.detail, DETAIL_CHARS_MAX);
        }
        if let Some(error) = &mut self.error {
            cut(error, ERROR_CHARS_MAX);
        }
        self
    }
}

fn cut(text: &mut String, chars: usize) {
    if let Some((end, _)) = text.char_indices().nth(chars) {
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(count: i64, detail: &str) -> ImportReport {
        let mut report = ImportReport { lines: count, ..ImportReport::default() };
        for line in 1..=count {
            let detail = detail.to_owned();
            report.refuse(RefusedLine { line, account: "a".into(), code: "csv_invalid".into(), detail });
        }
        report
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let report = ImportReport { error: Some("gone".into()), ..refused(3, "no") };
        assert_eq!(ImportReport::from_text(&report.to_text()), Some(report));
        assert_eq!(ImportReport::from_text("{}"), Some(ImportReport::default()));
        assert_eq!(ImportReport::from_text("error: unexpected argument"), None);
    }

    #[test]
    fn many_lines_are_counted_and_the_first_are_listed() {
        let report = refused(1_000, "no");
        let lines: Vec<_> = report.refused_lines.iter().map(|line| line.line).collect();
        assert_eq!((report.refused, lines), (1_000, (1..=10).collect()));
    }

    #[test]
    fn a_report_fits_whatever_the_lines_hold() {
        // A control character takes six bytes of JSON.
        for worst in ["\u{1}", "\u{10ffff}", "\"", "x"] {
            let long = worst.repeat(5_000);
            let mut report = ImportReport { error: Some(long.clone()), ..refused(20, &long) };
            for line in &mut report.refused_lines {
                (line.account, line.code) = (long.clone(), long.clone());
            }
            let text = report.to_text();
            assert!(text.len() <= REPORT_BYTES_MAX, "{worst:?}: {}", text.len());
            let read = ImportReport::from_text(&text).expect("a report");
            assert_eq!((read.refused, read.lines), (20, 20), "{worst:?}");
            assert!(read.error.is_some_and(|error| error.starts_with(worst)), "{worst:?}");
        }
        assert_eq!(refused(20, &"x".repeat(150)).to_text().matches("\"line\"").count(), 10);
    }

    #[test]
    fn what_a_stranger_wrote_is_bounded_as_well() {
        let line = r#"{"line": 1, "code": "c", "detail": "DETAIL"}"#.replace("DETAIL", &"d".repeat(9_000));
        let text = format!(r#"{{"refused": 99, "refusedLines": [{}]}}"#, [line.as_str(); 50].join(","));
        let read = ImportReport::from_text(&text).expect("a report");
        assert_eq!((read.refused, read.refused_lines.len()), (99, LINES_LISTED));
        assert_eq!(read.refused_lines[0].detail.len(), DETAIL_CHARS_MAX);
    }
}
