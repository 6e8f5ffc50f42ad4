//! What a person or a program reads: tables, or JSON with one answer a line. Only writes to stdout.

use std::fmt::Write as _;
use std::io::{self, Write};

use kpay_domain::Currency;
use serde_json::Value;

use super::amount::Shown;
use super::args::Output;

const GAP: &str = "   ";

/// Where the answers go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Printer {
    output: Output,
}

impl Printer {
    pub(super) const fn new(output: Output) -> Self {
        Self { output }
    }

    /// Whether a program reads.
    pub(super) fn json(self) -> bool {
        self.output == Output::Json
    }

    /// One answer: its JSON as it came, or names and values below each other.
    pub(super) fn one(self, raw: &str, fields: &[(&str, String)]) -> io::Result<()> {
        if self.json() { line(raw) } else { write(&pairs(fields)) }
    }
}

/// A line, for people or programs.
pub(super) fn line(text: &str) -> io::Result<()> {
    write(&format!("{text}\n"))
}

/// Text that is laid out already.
pub(super) fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A table that grows by pages: the columns keep the widths of what was printed before.
#[derive(Debug)]
pub(super) struct Table {
    columns: &'static [Column],
    widths: Vec<usize>,
    begun: bool,
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    title: &'static str,
    right: bool,
}

/// A column of text.
pub(super) const fn left(title: &'static str) -> Column {
    Column { title, right: false }
}

/// A column of numbers.
pub(super) const fn right(title: &'static str) -> Column {
    Column { title, right: true }
}

impl Table {
    pub(super) fn new(columns: &'static [Column]) -> Self {
        Self { columns, widths: columns.iter().map(|column| column.title.len()).collect(), begun: false }
    }

    /// The lines of more rows; before the first ones those of the titles.
    pub(super) fn rows(&mut self, rows: &[Vec<String>]) -> String {
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        if !self.begun {
            self.begun = true;
            let titles: Vec<String> = self.columns.iter().map(|column| column.title.to_owned()).collect();
            self.row(&mut text, &titles);
        }
        for row in &rows {
            self.row(&mut text, row);
        }
        text
    }

    fn row(&self, text: &mut String, cells: &[String]) {
        let mut line = String::new();
        for ((column, width), cell) in self.columns.iter().zip(&self.widths).zip(cells) {
            if !line.is_empty() {
                line.push_str(GAP);
            }
            let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
            if column.right {
                line.extend([&gap, cell.as_str()]);
            } else {
                line.extend([cell.as_str(), &gap]);
            }
        }
        text.extend([line.trim_end(), "\n"]);
    }
}

/// Names and values below each other, without those that are empty.
pub(super) fn pairs(fields: &[(&str, String)]) -> String {
    let shown: Vec<&(&str, String)> = fields.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = shown.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    shown.iter().fold(String::new(), |mut text, (name, value)| {
        let name = format!("{name}:");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<0$}{1}", width.saturating_add(3), plain(value));
        text
    })
}

/// Text of others cannot move the cursor, colour what follows or end a line.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A text or number of an answer; empty when there is none.
pub(super) fn cell(value: &Value, field: &str) -> String {
    match value.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// An amount of an answer: `{"value", "currency"}`, or a number of minor units in `currency`.
pub(super) fn money(value: Option<&Value>, currency: Option<&str>) -> String {
    let Some(value) = value else { return String::new() };
    let (minor, currency) = match value {
        Value::Object(fields) => {
            let own = fields.get("currency").and_then(Value::as_str);
            (fields.get("value").and_then(Value::as_i64), own.or(currency))
        }
        other => (other.as_i64(), currency),
    };
    let known = currency.and_then(|code| Currency::new(code).ok());
    match (minor, known) {
        (Some(minor), Some(currency)) => Shown(minor.into(), currency).to_string(),
        // Without a currency nobody knows where the point would be.
        (Some(minor), None) => format!("{minor} minor units"),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_line_up_and_keep_their_width_over_pages() {
        const COLUMNS: &[Column] = &[left("ID"), right("BALANCE"), left("STATUS")];
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let mut table = Table::new(COLUMNS);
        let first = table.rows(&[row(["alice", "12.34 USD", "open"]), row(["bé", "1 JPY", ""])]);
        assert_eq!(first, "ID        BALANCE   STATUS\nalice   12.34 USD   open\nbé          1 JPY\n");
        assert_eq!(table.rows(&[row(["c", "0.00 USD", "frozen"])]), "c        0.00 USD   frozen\n");
        assert_eq!(Table::new(COLUMNS).rows(&[]), "ID   BALANCE   STATUS\n");
    }

    #[test]
    fn names_and_values_line_up_and_the_empty_are_left_out() {
        let fields =
            [("id", "p-1".to_owned()), ("reason", String::new()), ("status", "confirmed".to_owned())];
        assert_eq!(pairs(&fields), "id:      p-1\nstatus:  confirmed\n");
    }

    #[test]
    fn text_of_others_cannot_drive_the_terminal() {
        const COLUMNS: &[Column] = &[left("REFERENCE")];
        let mut table = Table::new(COLUMNS);
        let text = table.rows(&[vec!["\u{1b}[2Jx\r\ny\u{9b}31m".to_owned()]]);
        assert!(!text.trim_end().lines().nth(1).unwrap().contains(char::is_control), "{text:?}");
        assert_eq!(text.lines().count(), 2);
        assert!(!pairs(&[("x", "\u{1b}[1m\n".to_owned())]).trim_end().contains(char::is_control));
    }

    #[test]
    fn an_amount_has_the_decimals_of_its_currency() {
        let amount = |value: Value, currency| money(Some(&value), currency);
        assert_eq!(amount(json!({"value": 1234, "currency": "USD"}), None), "12.34 USD");
        assert_eq!(amount(json!({"value": -7}), Some("KWD")), "-0.007 KWD");
        assert_eq!(amount(json!(1234), Some("JPY")), "1234 JPY");
        assert_eq!(amount(json!(1234), None), "1234 minor units");
        assert_eq!(money(None, Some("USD")), "");
    }
}
