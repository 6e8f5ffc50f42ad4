//! A checked rule and its evaluation. Pure. One tree per type, so that nothing is asked for its type while judging.
//!
//! As in CEL, `&&` and `||` do not mind an error in one side when the other decides.

use std::{borrow::Cow, cmp::Ordering};

use compact_str::CompactString;
use regex::Regex;

use super::Payer;
use crate::payment::Payment;

/// Why an expression has no value for this payment. A rule with an error holds the payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoValue {
    /// The payment has no such attribute.
    Missing,
    /// The number is beyond 64 bits.
    Overflow,
    /// Divided by zero.
    ZeroDivisor,
    /// The text is not a whole number.
    NotANumber,
}

type Bool = Result<bool, NoValue>;
type Int = Result<i64, NoValue>;
type Str<'a> = Result<Cow<'a, str>, NoValue>;

/// What rules see.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) payment: &'a Payment,
    pub(super) payer: &'a Payer,
    pub(super) at_ms: i64,
}

/// The facts and the variables of the comprehensions around, the innermost first.
pub(super) struct Scope<'a, 's> {
    facts: Facts<'a>,
    local: Option<(Local<'a>, &'s Scope<'a, 's>)>,
}

#[derive(Clone)]
enum Local<'a> {
    Int(i64),
    Str(Cow<'a, str>),
}

impl<'a> Scope<'a, '_> {
    pub(super) const fn new(facts: Facts<'a>) -> Self {
        Self { facts, local: None }
    }

    fn local(&self, depth: usize) -> Option<&Local<'a>> {
        let mut scope = self;
        for _ in 0..depth {
            scope = scope.local.as_ref()?.1;
        }
        scope.local.as_ref().map(|(local, _)| local)
    }
}

/// Less, equal, greater: which of them make a comparison true.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compare {
    pub(super) less: bool,
    pub(super) equal: bool,
    pub(super) greater: bool,
}

impl Compare {
    const fn holds(self, ordering: Ordering) -> bool {
        match ordering {
            Ordering::Less => self.less,
            Ordering::Equal => self.equal,
            Ordering::Greater => self.greater,
        }
    }
}

/// How two texts are related.
#[derive(Debug, Clone, Copy)]
pub(super) enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

/// `exists`, `all` or `exists_one`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantifier {
    Exists,
    All,
    ExistsOne,
}

/// What a comprehension walks over.
#[derive(Debug)]
pub(super) enum Range {
    Ints(Vec<IntExpr>),
    Strs(Vec<StrExpr>),
    AttributeKeys,
}

/// True or false.
#[derive(Debug)]
pub(super) enum BoolExpr {
    Const(bool),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    If(Box<Self>, Box<Self>, Box<Self>),
    SameBool { left: Box<Self>, right: Box<Self>, same: bool },
    CompareInt(Compare, IntExpr, IntExpr),
    CompareStr(Compare, StrExpr, StrExpr),
    IntIn(IntExpr, Vec<IntExpr>),
    StrIn(StrExpr, Vec<StrExpr>),
    HasAttribute(StrExpr),
    HasReference,
    Text(TextTest, StrExpr, StrExpr),
    Matches(StrExpr, Regex),
    Over { quantifier: Quantifier, range: Range, body: Box<Self> },
}

/// A whole number of 64 bits, or a time in milliseconds since 1970 UTC.
#[derive(Debug)]
pub(super) enum IntExpr {
    Const(i64),
    Amount,
    Balance,
    OutflowToday,
    PaymentsToday,
    Now,
    Local(usize),
    Negate(Box<Self>),
    Arithmetic(Arithmetic, Box<Self>, Box<Self>),
    If(Box<BoolExpr>, Box<Self>, Box<Self>),
    Size(StrExpr),
    AttributeCount,
    Parse(StrExpr),
    Clock(ClockPart, Box<Self>),
}

/// Checked: beyond 64 bits there is no value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A part of a time, in UTC.
#[derive(Debug, Clone, Copy)]
pub(super) enum ClockPart {
    /// 0–23.
    Hours,
    /// 0–59.
    Minutes,
    /// 0 is Sunday.
    DayOfWeek,
    /// Since 1970.
    Seconds,
}

/// A text.
#[derive(Debug)]
pub(super) enum StrExpr {
    Const(CompactString),
    Id,
    From,
    To,
    Currency,
    Reference,
    Attribute(Box<Self>),
    Local(usize),
    Concat(Box<Self>, Box<Self>),
    If(Box<BoolExpr>, Box<Self>, Box<Self>),
    OfInt(Box<IntExpr>),
}

fn attribute<'a>(payment: &'a Payment, key: &str) -> Option<&'a str> {
    payment.attributes.get(key)
}

impl BoolExpr {
    pub(super) fn eval<'a>(&'a self, scope: &Scope<'a, '_>) -> Bool {
        match self {
            Self::Const(value) => Ok(*value),
            Self::Not(inner) => inner.eval(scope).map(|value| !value),
            Self::And(left, right) => decided_by(false, left.eval(scope), || right.eval(scope)),
            Self::Or(left, right) => decided_by(true, left.eval(scope), || right.eval(scope)),
            Self::If(when, yes, no) => {
                if when.eval(scope)? {
                    yes.eval(scope)
                } else {
                    no.eval(scope)
                }
            }
            Self::SameBool { left, right, same } => Ok((left.eval(scope)? == right.eval(scope)?) == *same),
            Self::CompareInt(compare, left, right) => {
                Ok(compare.holds(left.eval(scope)?.cmp(&right.eval(scope)?)))
            }
            Self::CompareStr(compare, left, right) => {
                Ok(compare.holds(left.eval(scope)?.as_ref().cmp(right.eval(scope)?.as_ref())))
            }
            Self::IntIn(needle, list) => {
                let needle = needle.eval(scope)?;
                any(list, |item| Ok(item.eval(scope)? == needle))
            }
            Self::StrIn(needle, list) => {
                let needle = needle.eval(scope)?;
                any(list, |item| Ok(item.eval(scope)? == needle))
            }
            Self::HasAttribute(key) => Ok(attribute(scope.facts.payment, &key.eval(scope)?).is_some()),
            Self::HasReference => Ok(scope.facts.payment.reference.is_some()),
            Self::Text(relation, text, part) => {
                let (text, part) = (text.eval(scope)?, part.eval(scope)?);
                Ok(match relation {
                    TextTest::StartsWith => text.starts_with(part.as_ref()),
                    TextTest::EndsWith => text.ends_with(part.as_ref()),
                    TextTest::Contains => text.contains(part.as_ref()),
                })
            }
            Self::Matches(text, regex) => Ok(regex.is_match(&text.eval(scope)?)),
            Self::Over { quantifier, range, body } => range.over(*quantifier, body, scope),
        }
    }
}

/// `value` on one side decides, even against an error on the other.
fn decided_by(value: bool, left: Bool, right: impl FnOnce() -> Bool) -> Bool {
    if left == Ok(value) {
        return left;
    }
    let right = right();
    if right == Ok(value) { right } else { left.and(right) }
}

fn any<T>(items: &[T], mut test: impl FnMut(&T) -> Bool) -> Bool {
    items.iter().try_fold(false, |found, item| Ok(found || test(item)?))
}

impl Range {
    fn over<'a>(&'a self, quantifier: Quantifier, body: &'a BoolExpr, scope: &Scope<'a, '_>) -> Bool {
        let facts = scope.facts;
        let test = |local| body.eval(&Scope { facts, local: Some((local, scope)) });
        match self {
            Self::Ints(items) => {
                quantifier.fold(items.iter().map(|item| test(Local::Int(item.eval(scope)?))))
            }
            Self::Strs(items) => {
                quantifier.fold(items.iter().map(|item| test(Local::Str(item.eval(scope)?))))
            }
            Self::AttributeKeys => {
                let keys = facts.payment.attributes.iter();
                quantifier.fold(keys.map(|(key, _)| test(Local::Str(Cow::Borrowed(key)))))
            }
        }
    }
}

impl Quantifier {
    fn fold(self, results: impl Iterator<Item = Bool>) -> Bool {
        match self {
            Self::Exists | Self::All => {
                let decisive = self == Self::Exists;
                let mut whole = Ok(!decisive);
                for result in results {
                    if result == Ok(decisive) {
                        return result;
                    }
                    whole = whole.and(result);
                }
                whole
            }
            Self::ExistsOne => {
                let mut found = 0_u32;
                for result in results {
                    found = found.saturating_add(u32::from(result?));
                }
                Ok(found == 1)
            }
        }
    }
}

impl IntExpr {
    fn eval<'a>(&'a self, scope: &Scope<'a, '_>) -> Int {
        let Facts { payment, payer, at_ms } = scope.facts;
        match self {
            Self::Const(value) => Ok(*value),
            Self::Amount => Ok(payment.amount.minor),
            Self::Balance => Ok(payer.balance_minor),
            Self::OutflowToday => Ok(payer.outflow_today_minor),
            Self::PaymentsToday => Ok(i64::from(payer.payments_today)),
            Self::Now => Ok(at_ms),
            Self::Local(depth) => match scope.local(*depth) {
                Some(Local::Int(value)) => Ok(*value),
                _ => Err(NoValue::NotANumber), // the check gave the variable its type
            },
            Self::Negate(inner) => inner.eval(scope)?.checked_neg().ok_or(NoValue::Overflow),
            Self::Arithmetic(operator, left, right) => operator.apply(left.eval(scope)?, right.eval(scope)?),
            Self::If(when, yes, no) => {
                if when.eval(scope)? {
                    yes.eval(scope)
                } else {
                    no.eval(scope)
                }
            }
            Self::Size(text) => {
                i64::try_from(text.eval(scope)?.chars().count()).map_err(|_| NoValue::Overflow)
            }
            Self::AttributeCount => i64::try_from(payment.attributes.len()).map_err(|_| NoValue::Overflow),
            Self::Parse(text) => text.eval(scope)?.parse().map_err(|_| NoValue::NotANumber),
            Self::Clock(part, time) => Ok(part.of(time.eval(scope)?)),
        }
    }
}

impl Arithmetic {
    fn apply(self, left: i64, right: i64) -> Int {
        if right == 0 && matches!(self, Self::Divide | Self::Remainder) {
            return Err(NoValue::ZeroDivisor);
        }
        match self {
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
            Self::Multiply => left.checked_mul(right),
            Self::Divide => left.checked_div(right),
            Self::Remainder => left.checked_rem(right),
        }
        .ok_or(NoValue::Overflow)
    }
}

impl ClockPart {
    const fn of(self, at_ms: i64) -> i64 {
        let seconds = at_ms.div_euclid(1_000);
        match self {
            Self::Seconds => seconds,
            Self::Minutes => seconds.div_euclid(60).rem_euclid(60),
            Self::Hours => seconds.div_euclid(3_600).rem_euclid(24),
            // 1970 began with a Thursday.
            Self::DayOfWeek => seconds.div_euclid(86_400).saturating_add(4).rem_euclid(7),
        }
    }
}

impl StrExpr {
    fn eval<'a>(&'a self, scope: &Scope<'a, '_>) -> Str<'a> {
        let payment = scope.facts.payment;
        Ok(match self {
            Self::Const(text) => Cow::Borrowed(text.as_str()),
            Self::Id => Cow::Borrowed(payment.id.as_str()),
            Self::From => Cow::Borrowed(payment.from.as_str()),
            Self::To => Cow::Borrowed(payment.to.as_str()),
            Self::Currency => Cow::Borrowed(payment.amount.currency.as_str()),
            Self::Reference => Cow::Borrowed(payment.reference.as_ref().map_or("", |text| text.as_str())),
            Self::Attribute(key) => {
                Cow::Borrowed(attribute(payment, &key.eval(scope)?).ok_or(NoValue::Missing)?)
            }
            Self::Local(depth) => match scope.local(*depth) {
                Some(Local::Str(text)) => text.clone(),
                _ => return Err(NoValue::Missing), // the check gave the variable its type
            },
            Self::Concat(left, right) => {
                let mut text = left.eval(scope)?.into_owned();
                text.push_str(&right.eval(scope)?);
                Cow::Owned(text)
            }
            Self::If(when, yes, no) => {
                return if when.eval(scope)? { yes.eval(scope) } else { no.eval(scope) };
            }
            Self::OfInt(number) => Cow::Owned(number.eval(scope)?.to_string()),
        })
    }
}
