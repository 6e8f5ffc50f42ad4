//! Rules that refuse a payment or hold it for a person. Pure: payment, payer and time come as arguments.
//!
//! A rule is an expression in the Common Expression Language (CEL) that says when it applies. It sees
//!
//! | variable | type | |
//! |---|---|---|
//! | `payment.id`, `.from`, `.to`, `.currency` | string | |
//! | `payment.amount` | int | minor units |
//! | `payment.reference` | string | empty when there is none; `has(payment.reference)` tells |
//! | `payment.attributes` | map of strings | `payment.attributes.k`, `["k"]`, `has()`, `in`, `size()` |
//! | `payer.balance`, `payer.outflowToday` | int | minor units, before this payment |
//! | `payer.paymentsToday` | int | before this payment |
//! | `now` | timestamp | of the debit; `getHours()`, `getMinutes()`, `getDayOfWeek()` in UTC |
//!
//! Rules are judged in order and **the first that applies decides**. A rule that cannot be evaluated (an attribute
//! is missing, a number overflows) **holds** the payment, whatever its action: passing it would let through what
//! somebody meant to look at, and refusing it would punish the customer for a mistake in the rule. `has()` guards.
//!
//! The `cel` crate reads the text; `check` then gives each part a type and bounds what the rule may
//! cost, so that everything that can be wrong with a rule by itself is told when it is compiled, and judging allocates
//! nothing for the usual rule.

use std::{fmt, sync::Arc};

use compact_str::CompactString;

use crate::payment::Payment;

mod check;
mod comprehension;
mod cost;
mod expr;
mod functions;
mod source;

use expr::{BoolExpr, Facts, Scope};

/// The most rules of a pipeline.
pub const RULES_MAX: usize = 32;
/// The longest expression, in bytes.
pub const WHEN_BYTES_MAX: usize = 2_048;
/// The longest message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 256;
/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 63;
/// The most that one rule may cost: a step is about what a comparison of two numbers takes.
pub const COST_MAX: u64 = 2_000;

/// A rule as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSource {
    /// What outcomes and figures call it; see [`RuleName`].
    pub name: String,
    /// When it applies: a CEL expression that is true or false.
    pub when: String,
    /// What it does then.
    pub action: RuleAction,
    /// What the payer is told.
    pub message: Option<String>,
}

/// What a rule does with a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAction {
    /// Refuses it.
    Reject,
    /// Keeps it until a person decides.
    Hold,
}

/// The name of a rule: lower-case letters, digits and `-` between them, at most [`NAME_BYTES_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleName(CompactString);

/// What is wrong with a rule's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 63 lower-case letters, digits and '-', and begins and ends with a letter or digit")]
pub struct RuleNameError;

impl RuleName {
    /// Checks the text and copies it.
    pub fn new(text: &str) -> Result<Self, RuleNameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends = [text.bytes().next(), text.bytes().next_back()];
        let fits = text.len() <= NAME_BYTES_MAX
            && text.bytes().all(|byte| plain(byte) || byte == b'-')
            && ends.into_iter().all(|byte| byte.is_some_and(plain));
        if fits { Ok(Self(CompactString::new(text))) } else { Err(RuleNameError) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where in an expression: both count from 1, and the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The character in it.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a rule does not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule {rule:?}{}: {message}", At(.position.as_ref()))]
pub struct RuleError {
    /// Which of the list, from 0; [`RULES_MAX`] when the list itself is too long.
    pub index: usize,
    /// Its name as written.
    pub rule: String,
    /// Where, if it is known.
    pub position: Option<Position>,
    /// What is wrong, and what would be right.
    pub message: String,
}

struct At<'a>(Option<&'a Position>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |position| write!(f, " at {position}"))
    }
}

/// The payer before this payment, as its account has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payer {
    /// In minor units.
    pub balance_minor: i64,
    /// What it paid today, in minor units.
    pub outflow_today_minor: i64,
    /// How many payments it made today.
    pub payments_today: u32,
}

/// What the rules say to a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No rule applies.
    Pass,
    /// The rule refuses it.
    Reject(RuleName),
    /// The rule keeps it for a person.
    Hold(RuleName),
}

/// Compiled rules. A clone is a pointer; none are not even that.
#[derive(Clone, Default)]
pub struct Rules(Option<Arc<Compiled>>);

struct Compiled {
    sources: Vec<RuleSource>,
    rules: Vec<Rule>,
}

struct Rule {
    name: RuleName,
    action: RuleAction,
    when: BoolExpr,
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.sources() == other.sources()
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rules").field(&self.sources()).finish()
    }
}

impl Rules {
    /// Reads, checks and bounds every rule. All that is wrong is told at once; no rule is taken when one is wrong.
    pub fn compile(sources: &[RuleSource]) -> Result<Self, Vec<RuleError>> {
        if sources.is_empty() {
            return Ok(Self::default());
        }
        let mut errors = Vec::new();
        let mut rules: Vec<Rule> = Vec::with_capacity(sources.len().min(RULES_MAX));
        for (index, source) in sources.iter().take(RULES_MAX).enumerate() {
            match compile_one(source) {
                Ok(rule) if rules.iter().any(|known| known.name == rule.name) => {
                    errors.push(Fault::new("another rule has this name").of(index, source));
                }
                Ok(rule) => rules.push(rule),
                Err(fault) => errors.push(fault.of(index, source)),
            }
        }
        if let Some(source) = sources.get(RULES_MAX) {
            errors.push(Fault::new(format!("at most {RULES_MAX} rules")).of(RULES_MAX, source));
        }
        if errors.is_empty() {
            Ok(Self(Some(Arc::new(Compiled { sources: sources.to_vec(), rules }))))
        } else {
            Err(errors)
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The rules as they were written.
    pub fn sources(&self) -> &[RuleSource] {
        self.0.as_deref().map_or(&[], |compiled| compiled.sources.as_slice())
    }

    /// The rule of this name.
    pub fn source(&self, name: &RuleName) -> Option<&RuleSource> {
        self.sources().iter().find(|source| source.name == name.as_str())
    }

    /// What the first rule that applies says. `at_ms` is the time of the debit, in milliseconds since 1970 UTC.
    pub fn judge(&self, payment: &Payment, payer: &Payer, at_ms: i64) -> Verdict {
        let Some(compiled) = self.0.as_deref() else { return Verdict::Pass };
        let scope = Scope::new(Facts { payment, payer, at_ms });
        for rule in &compiled.rules {
            match (rule.when.eval(&scope), rule.action) {
                (Ok(false), _) => {}
                (Ok(true), RuleAction::Reject) => return Verdict::Reject(rule.name.clone()),
                (Ok(true), RuleAction::Hold) | (Err(_), _) => return Verdict::Hold(rule.name.clone()),
            }
        }
        Verdict::Pass
    }
}

fn compile_one(source: &RuleSource) -> Result<Rule, Fault> {
    let name = RuleName::new(&source.name).map_err(|error| Fault::new(error.to_string()))?;
    if source.message.as_ref().is_some_and(|text| text.len() > MESSAGE_BYTES_MAX) {
        return Err(Fault::new(format!("the message has more than {MESSAGE_BYTES_MAX} bytes")));
    }
    let when = check::condition(&source.when)?;
    let cost = cost::of_bool(&when);
    if cost > COST_MAX {
        let why = "shorten its lists, or nest fewer of exists, all and exists_one";
        return Err(Fault::new(format!("it may cost {cost} steps, more than {COST_MAX}; {why}")));
    }
    Ok(Rule { name, action: source.action, when })
}

/// What is wrong with an expression, before it is known which rule it is of.
#[derive(Debug)]
struct Fault {
    position: Option<Position>,
    message: String,
}

impl Fault {
    fn new(message: impl Into<String>) -> Self {
        Self { position: None, message: message.into() }
    }

    fn of(self, index: usize, source: &RuleSource) -> RuleError {
        RuleError { index, rule: source.name.clone(), position: self.position, message: self.message }
    }
}

#[cfg(test)]
mod tests;
