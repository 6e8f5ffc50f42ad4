//! The text of a rule → CEL's syntax tree. Pure.

use std::panic;

use cel::common::ast::IdedExpr;
use cel::parser::Parser;

use super::{Fault, Position, WHEN_BYTES_MAX};

/// How deep an expression may nest.
const DEPTH_MAX: u16 = 32;

/// Reads the text.
pub(super) fn parse(text: &str) -> Result<IdedExpr, Fault> {
    if text.len() > WHEN_BYTES_MAX {
        return Err(Fault::new(format!("it has more than {WHEN_BYTES_MAX} bytes")));
    }
    let code = blank_texts(text);
    for twice in ["!!", "--"] {
        // The parser takes two for one.
        if let Some(at) = doubled(&code, twice) {
            let message = format!("{twice:?} is not supported; write it with brackets or leave it out");
            return Err(Fault { position: position(text, at), message });
        }
    }
    let parser = Parser::new().max_recursion_depth(DEPTH_MAX);
    // The parser is generated and unwraps in places: a rule that it stumbles over is a wrong rule, not a crash.
    match panic::catch_unwind(panic::AssertUnwindSafe(|| parser.parse(text))) {
        Ok(Ok(tree)) => Ok(tree),
        Ok(Err(errors)) => {
            let first = errors.errors.into_iter().next();
            let (at, message) = first.map_or(((0, 0), String::new()), |error| (error.pos, error.msg));
            let number = |n: isize| u32::try_from(n).ok().filter(|n| *n > 0);
            let position = number(at.0).zip(number(at.1)).map(|(line, column)| Position { line, column });
            let message = if message.contains("Recursion limit") {
                format!("it nests deeper than {DEPTH_MAX}")
            } else {
                message
            };
            Err(Fault { position, message })
        }
        Err(_) => Err(Fault::new("it cannot be read")),
    }
}

/// Where `word` stands alone outside of texts and comments, for the first time.
pub(super) fn find_word(text: &str, word: &str) -> Option<Position> {
    let code = blank_texts(text);
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let (at, _) = code.match_indices(word).find(|(at, _)| {
        let before = code.get(..*at).and_then(|text| text.chars().next_back());
        let after = code.get(at.saturating_add(word.len())..).and_then(|text| text.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })?;
    position(text, at)
}

/// Where the operator stands twice, also with blanks between.
fn doubled(code: &str, twice: &str) -> Option<usize> {
    let operator = twice.chars().next()?;
    let mut last = None;
    for (at, c) in code.char_indices() {
        if c == operator {
            if let Some(first) = last {
                return Some(first);
            }
            last = Some(at);
        } else if !c.is_whitespace() {
            last = None;
        }
    }
    None
}

/// `offset` counts bytes.
fn position(text: &str, offset: usize) -> Option<Position> {
    let before = text.get(..offset)?;
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
    let one_based = |n: usize| u32::try_from(n.saturating_add(1)).ok();
    Some(Position { line: one_based(line)?, column: one_based(column)? })
}

/// The text with every string literal and comment made blank, byte for byte, so that offsets stay.
fn blank_texts(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut raw = false;
    while let Some(c) = rest.chars().next() {
        let length = if c == '"' || c == '\'' {
            literal_bytes(rest, c, raw)
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else {
            raw = matches!(c, 'r' | 'R');
            code.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            continue;
        };
        raw = false;
        let (literal, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        // Not blanks: "a" - "b" has something between its operators.
        code.extend(literal.bytes().map(|byte| if byte == b'\n' { '\n' } else { '"' }));
        rest = after;
    }
    code
}

/// How long the string literal at the begin of `text` is, with its quotes.
fn literal_bytes(text: &str, quote: char, raw: bool) -> usize {
    let triple: String = [quote; 3].iter().collect();
    let end = if text.starts_with(&triple) { triple } else { quote.to_string() };
    let mut at = end.len();
    while let Some(rest) = text.get(at..) {
        if rest.starts_with(&end) {
            return at.saturating_add(end.len());
        }
        let mut chars = rest.chars();
        let Some(c) = chars.next() else { break };
        let escaped = if c == '\\' && !raw { chars.next().map_or(0, char::len_utf8) } else { 0 };
        at = at.saturating_add(c.len_utf8()).saturating_add(escaped);
    }
    text.len()
}
