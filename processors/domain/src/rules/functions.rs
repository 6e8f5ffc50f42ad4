//! The functions that a rule may call. Pure.

use cel::common::ast::{Expr, IdedExpr, LiteralValue};
use regex::RegexBuilder;

use super::Fault;
use super::check::{Check, Typed};
use super::expr::{BoolExpr, ClockPart, IntExpr, StrExpr, TextTest};

/// The most memory of a compiled pattern, in bytes.
const REGEX_BYTES_MAX: usize = 64 * 1_024;

const KNOWN: &str = "startsWith, endsWith, contains, matches, size, int, string, timestamp, getHours, getMinutes, \
                     getDayOfWeek, has, exists, all and exists_one";

pub(super) fn check(
    check: &mut Check<'_>,
    name: &str,
    target: Option<&IdedExpr>,
    args: &[IdedExpr],
) -> Result<Typed, Fault> {
    match (name, target, args) {
        ("startsWith", Some(text), [part]) => text_test(check, TextTest::StartsWith, name, text, part),
        ("endsWith", Some(text), [part]) => text_test(check, TextTest::EndsWith, name, text, part),
        ("contains", Some(text), [part]) => text_test(check, TextTest::Contains, name, text, part),
        ("matches", Some(text), [pattern]) | ("matches", None, [text, pattern]) => {
            matches(check, text, pattern)
        }
        ("size", Some(of), []) | ("size", None, [of]) => size(check, of),
        ("int", None, [of]) => match check.any(of)? {
            Typed::Str(text) => Ok(Typed::Int(IntExpr::Parse(text))),
            Typed::Time(time) => Ok(Typed::Int(IntExpr::Clock(ClockPart::Seconds, Box::new(time)))),
            Typed::Int(number) => Ok(Typed::Int(number)),
            other => Err(check.at(name, format!("int() takes a string or a timestamp, not a {other}"))),
        },
        ("string", None, [of]) => match check.any(of)? {
            Typed::Int(number) => Ok(Typed::Str(StrExpr::OfInt(Box::new(number)))),
            Typed::Str(text) => Ok(Typed::Str(text)),
            other => Err(check.at(name, format!("string() takes an int, not a {other}"))),
        },
        ("timestamp", None, [text]) => timestamp(check, text),
        ("getHours", Some(time), []) => clock(check, ClockPart::Hours, name, time),
        ("getMinutes", Some(time), []) => clock(check, ClockPart::Minutes, name, time),
        ("getDayOfWeek", Some(time), []) => clock(check, ClockPart::DayOfWeek, name, time),
        _ if KNOWN.split([',', ' ']).any(|known| known == name) => {
            Err(check.at(name, format!("{name} is not called like that")))
        }
        _ => Err(check.at(name, format!("unknown function {name:?}; there are {KNOWN}"))),
    }
}

fn text_test(
    check: &mut Check<'_>,
    relation: TextTest,
    name: &str,
    text: &IdedExpr,
    part: &IdedExpr,
) -> Result<Typed, Fault> {
    Ok(Typed::Bool(BoolExpr::Text(relation, check.str(text, name)?, check.str(part, name)?)))
}

/// The pattern must stand in the rule: it is compiled once.
fn matches(check: &mut Check<'_>, text: &IdedExpr, pattern: &IdedExpr) -> Result<Typed, Fault> {
    let text = check.str(text, "matches")?;
    let Expr::Literal(LiteralValue::String(pattern)) = &pattern.expr else {
        return Err(check.at("matches", "the pattern of matches must be a text in the rule"));
    };
    RegexBuilder::new(pattern.inner())
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .build()
        .map(|regex| Typed::Bool(BoolExpr::Matches(text, regex)))
        .map_err(|error| check.at("matches", format!("the pattern of matches: {error}")))
}

fn size(check: &mut Check<'_>, of: &IdedExpr) -> Result<Typed, Fault> {
    match check.any(of)? {
        Typed::Str(text) => Ok(Typed::Int(IntExpr::Size(text))),
        Typed::Attributes => Ok(Typed::Int(IntExpr::AttributeCount)),
        other => Err(check.at("size", format!("size takes a string or payment.attributes, not a {other}"))),
    }
}

fn timestamp(check: &mut Check<'_>, text: &IdedExpr) -> Result<Typed, Fault> {
    let Expr::Literal(LiteralValue::String(text)) = &text.expr else {
        return Err(check.at("timestamp", "timestamp takes a text in the rule"));
    };
    let time: Result<jiff::Timestamp, _> = text.inner().parse();
    time.map(|time| Typed::Time(IntExpr::Const(time.as_millisecond())))
        .map_err(|_| check.at("timestamp", "timestamp takes RFC 3339, such as \"2026-01-31T12:00:00Z\""))
}

fn clock(check: &mut Check<'_>, part: ClockPart, name: &str, time: &IdedExpr) -> Result<Typed, Fault> {
    match check.any(time)? {
        Typed::Time(time) => Ok(Typed::Int(IntExpr::Clock(part, Box::new(time)))),
        other => Err(check.at(name, format!("{name} takes a timestamp such as now, not a {other}"))),
    }
}
