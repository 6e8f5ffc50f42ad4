//! The most that a rule can cost, told from its tree alone. Pure.
//!
//! A step is about a comparison of two numbers. Texts cost by the bytes that they can have, comprehensions by the
//! elements that they can walk: both are bounded, because payments are.

use super::expr::{BoolExpr, IntExpr, Range, StrExpr};
use crate::ids::ID_BYTES_MAX;
use crate::payment::{
    ATTRIBUTE_KEY_BYTES_MAX, ATTRIBUTE_VALUE_BYTES_MAX, ATTRIBUTES_MAX, REFERENCE_BYTES_MAX,
};

/// Bytes of a text that are walked in one step.
const BYTES_A_STEP: u64 = 64;
/// A pattern takes about this many times what a comparison of its text takes.
const PATTERN_FACTOR: u64 = 16;

fn sum(parts: impl IntoIterator<Item = u64>) -> u64 {
    parts.into_iter().fold(1, u64::saturating_add)
}

fn walk(text: &StrExpr) -> u64 {
    bytes_max(text).checked_div(BYTES_A_STEP).unwrap_or(0)
}

fn product(left: u64, right: u64) -> u64 {
    left.saturating_mul(right)
}

pub(super) fn of_bool(expr: &BoolExpr) -> u64 {
    match expr {
        BoolExpr::Const(_) | BoolExpr::HasReference => 1,
        BoolExpr::Not(inner) => sum([of_bool(inner)]),
        BoolExpr::And(left, right) | BoolExpr::Or(left, right) | BoolExpr::SameBool { left, right, .. } => {
            sum([of_bool(left), of_bool(right)])
        }
        BoolExpr::If(when, yes, no) => sum([of_bool(when), of_bool(yes).max(of_bool(no))]),
        BoolExpr::CompareInt(_, left, right) => sum([of_int(left), of_int(right)]),
        BoolExpr::CompareStr(_, left, right) => {
            sum([of_str(left), of_str(right), walk(left).min(walk(right))])
        }
        BoolExpr::IntIn(needle, list) => sum([of_int(needle), sum(list.iter().map(of_int))]),
        BoolExpr::StrIn(needle, list) => sum([
            of_str(needle),
            sum(list.iter().map(|item| sum([of_str(item), walk(item).min(walk(needle))]))),
        ]),
        BoolExpr::HasAttribute(key) => sum([of_str(key), 4]),
        BoolExpr::Text(_, text, part) => sum([of_str(text), of_str(part), walk(text), walk(part)]),
        BoolExpr::Matches(text, _) => sum([of_str(text), product(walk(text).max(1), PATTERN_FACTOR)]),
        BoolExpr::Over { range, body, .. } => {
            let turn = sum([of_bool(body)]);
            let (items, turns) = match range {
                Range::Ints(items) => (sum(items.iter().map(of_int)), items.len()),
                Range::Strs(items) => (sum(items.iter().map(of_str)), items.len()),
                Range::AttributeKeys => (1, ATTRIBUTES_MAX),
            };
            sum([items, product(turn, turns as u64)])
        }
    }
}

fn of_int(expr: &IntExpr) -> u64 {
    match expr {
        IntExpr::Const(_)
        | IntExpr::Amount
        | IntExpr::Balance
        | IntExpr::OutflowToday
        | IntExpr::PaymentsToday
        | IntExpr::Now
        | IntExpr::Local(_)
        | IntExpr::AttributeCount => 1,
        IntExpr::Negate(inner) | IntExpr::Clock(_, inner) => sum([of_int(inner)]),
        IntExpr::Arithmetic(_, left, right) => sum([of_int(left), of_int(right)]),
        IntExpr::If(when, yes, no) => sum([of_bool(when), of_int(yes).max(of_int(no))]),
        IntExpr::Size(text) | IntExpr::Parse(text) => sum([of_str(text), walk(text)]),
    }
}

fn of_str(expr: &StrExpr) -> u64 {
    match expr {
        StrExpr::Const(_)
        | StrExpr::Id
        | StrExpr::From
        | StrExpr::To
        | StrExpr::Currency
        | StrExpr::Reference
        | StrExpr::Local(_) => 1,
        StrExpr::Attribute(key) => sum([of_str(key), 4]),
        StrExpr::Concat(left, right) => sum([of_str(left), of_str(right), walk(expr), 4]),
        StrExpr::If(when, yes, no) => sum([of_bool(when), of_str(yes).max(of_str(no))]),
        StrExpr::OfInt(number) => sum([of_int(number), 4]),
    }
}

fn bytes_max(expr: &StrExpr) -> u64 {
    match expr {
        StrExpr::Const(text) => text.len() as u64,
        StrExpr::Id | StrExpr::From | StrExpr::To => ID_BYTES_MAX as u64,
        StrExpr::Currency => 3,
        StrExpr::Reference => REFERENCE_BYTES_MAX as u64,
        StrExpr::Attribute(_) => ATTRIBUTE_VALUE_BYTES_MAX as u64,
        // A key; or an element of a list, and all elements together are not longer than the rule's text.
        StrExpr::Local(_) => ATTRIBUTE_KEY_BYTES_MAX as u64,
        StrExpr::Concat(left, right) => bytes_max(left).saturating_add(bytes_max(right)),
        StrExpr::If(_, yes, no) => bytes_max(yes).max(bytes_max(no)),
        StrExpr::OfInt(_) => 20,
    }
}
