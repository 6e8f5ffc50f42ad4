//! CEL's syntax tree → typed trees. Pure. What is not known here, is not there: an unknown variable, field or function,
//! a wrong type and what would cost too much are told when the rule is compiled.

use std::fmt;

use cel::common::ast::{CallExpr, Expr, IdedExpr, ListExpr, LiteralValue, SelectExpr, operators};
use compact_str::CompactString;

use super::expr::{Arithmetic, BoolExpr, Compare, IntExpr, StrExpr};
use super::source::{find_word, parse};
use super::{Fault, comprehension, functions};

/// The most elements of a list in an expression.
const LIST_MAX: usize = 256;
/// How deep the tree may nest.
const DEPTH_MAX: usize = 64;

/// A checked part.
#[derive(Debug)]
pub(super) enum Typed {
    Bool(BoolExpr),
    Int(IntExpr),
    Time(IntExpr),
    Str(StrExpr),
    Ints(Vec<IntExpr>),
    Strs(Vec<StrExpr>),
    Attributes,
}

impl fmt::Display for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Time(_) => "timestamp",
            Self::Str(_) => "string",
            Self::Ints(_) => "list of ints",
            Self::Strs(_) => "list of strings",
            Self::Attributes => "map of strings",
        })
    }
}

/// The type of a comprehension's variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LocalType {
    Int,
    Str,
}

/// The text, for positions, and the variables of the comprehensions around.
pub(super) struct Check<'a> {
    text: &'a str,
    pub(super) locals: Vec<(String, LocalType)>,
    depth: usize,
}

/// Reads and checks a condition: an expression that is true or false.
pub(super) fn condition(text: &str) -> Result<BoolExpr, Fault> {
    let tree = parse(text)?;
    let mut check = Check { text, locals: Vec::new(), depth: 0 };
    match check.any(&tree)? {
        Typed::Bool(BoolExpr::Const(value)) => {
            Err(Fault::new(format!("it is always {value}; a rule depends on the payment")))
        }
        Typed::Bool(condition) => Ok(condition),
        other => Err(Fault::new(format!("it must be true or false, but is a {other}"))),
    }
}

impl Check<'_> {
    /// A fault at the first place of `word`.
    pub(super) fn at(&self, word: &str, message: impl Into<String>) -> Fault {
        Fault { position: find_word(self.text, word), message: message.into() }
    }

    pub(super) fn any(&mut self, tree: &IdedExpr) -> Result<Typed, Fault> {
        // A chain such as 1 + 1 + 1 nests in the tree though not in the text; the stack bounds both.
        if self.depth >= DEPTH_MAX {
            return Err(Fault::new(format!(
                "it nests deeper than {DEPTH_MAX}, or adds more than that in one chain"
            )));
        }
        self.depth = self.depth.saturating_add(1);
        let typed = self.part(tree);
        self.depth = self.depth.saturating_sub(1);
        typed
    }

    fn part(&mut self, tree: &IdedExpr) -> Result<Typed, Fault> {
        match &tree.expr {
            Expr::Literal(literal) => constant(literal),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => self.list(list),
            Expr::Comprehension(part) => comprehension::check(self, part).map(Typed::Bool),
            Expr::Map(_) | Expr::Struct(_) => {
                Err(Fault::new("maps and messages cannot be written in a rule"))
            }
            Expr::Unspecified => Err(Fault::new("it cannot be read")),
        }
    }

    pub(super) fn bool(&mut self, tree: &IdedExpr, of: &str) -> Result<BoolExpr, Fault> {
        match self.any(tree)? {
            Typed::Bool(value) => Ok(value),
            other => Err(Fault::new(format!("{of} takes a bool, not a {other}"))),
        }
    }

    pub(super) fn int(&mut self, tree: &IdedExpr, of: &str) -> Result<IntExpr, Fault> {
        match self.any(tree)? {
            Typed::Int(value) => Ok(value),
            other => Err(Fault::new(format!("{of} takes an int, not a {other}"))),
        }
    }

    pub(super) fn str(&mut self, tree: &IdedExpr, of: &str) -> Result<StrExpr, Fault> {
        match self.any(tree)? {
            Typed::Str(value) => Ok(value),
            other => Err(Fault::new(format!("{of} takes a string, not a {other}"))),
        }
    }

    fn variable(&self, name: &str) -> Result<Typed, Fault> {
        if let Some(depth) = self.locals.iter().rev().position(|(local, _)| local == name) {
            return match self.locals.iter().rev().nth(depth).map(|(_, kind)| *kind) {
                Some(LocalType::Int) => Ok(Typed::Int(IntExpr::Local(depth))),
                _ => Ok(Typed::Str(StrExpr::Local(depth))),
            };
        }
        match name {
            "now" => Ok(Typed::Time(IntExpr::Now)),
            "payment" | "payer" => {
                Err(self.at(name, format!("{name} has no value by itself; name one of its fields")))
            }
            _ => Err(self.at(name, format!("unknown variable {name:?}; there are payment, payer and now"))),
        }
    }

    fn select(&mut self, select: &SelectExpr) -> Result<Typed, Fault> {
        let field = select.field.trim_matches('`');
        if let Expr::Ident(name) = &select.operand.expr
            && !self.locals.iter().any(|(local, _)| local == name)
        {
            return match (name.as_str(), select.test, field) {
                ("payment", true, "reference") => Ok(Typed::Bool(BoolExpr::HasReference)),
                ("payment" | "payer", test, _) => {
                    let value = self.field(name, field)?;
                    if test { Ok(Typed::Bool(BoolExpr::Const(true))) } else { Ok(value) }
                }
                _ => self
                    .variable(name)
                    .and_then(|typed| Err(self.at(field, format!("a {typed} has no fields")))),
            };
        }
        match self.any(&select.operand)? {
            Typed::Attributes => {
                let key = StrExpr::Const(CompactString::new(field));
                Ok(if select.test {
                    Typed::Bool(BoolExpr::HasAttribute(key))
                } else {
                    Typed::Str(StrExpr::Attribute(Box::new(key)))
                })
            }
            other => Err(self.at(field, format!("a {other} has no fields"))),
        }
    }

    fn field(&self, object: &str, field: &str) -> Result<Typed, Fault> {
        Ok(match (object, field) {
            ("payment", "id") => Typed::Str(StrExpr::Id),
            ("payment", "from") => Typed::Str(StrExpr::From),
            ("payment", "to") => Typed::Str(StrExpr::To),
            ("payment", "amount") => Typed::Int(IntExpr::Amount),
            ("payment", "currency") => Typed::Str(StrExpr::Currency),
            ("payment", "reference") => Typed::Str(StrExpr::Reference),
            ("payment", "attributes") => Typed::Attributes,
            ("payer", "balance") => Typed::Int(IntExpr::Balance),
            ("payer", "outflowToday") => Typed::Int(IntExpr::OutflowToday),
            ("payer", "paymentsToday") => Typed::Int(IntExpr::PaymentsToday),
            _ => {
                let fields = if object == "payment" {
                    "id, from, to, amount, currency, reference and attributes"
                } else {
                    "balance, outflowToday and paymentsToday"
                };
                return Err(self.at(field, format!("{object} has no field {field:?}; there are {fields}")));
            }
        })
    }

    fn list(&mut self, list: &ListExpr) -> Result<Typed, Fault> {
        if list.elements.len() > LIST_MAX {
            return Err(Fault::new(format!("a list has at most {LIST_MAX} elements")));
        }
        let (mut ints, mut strs) = (Vec::new(), Vec::new());
        for element in &list.elements {
            match self.any(element)? {
                Typed::Int(value) => ints.push(value),
                Typed::Str(value) => strs.push(value),
                other => return Err(Fault::new(format!("a list holds ints or strings, not a {other}"))),
            }
        }
        match (ints.is_empty(), strs.is_empty()) {
            (false, true) => Ok(Typed::Ints(ints)),
            (true, false) => Ok(Typed::Strs(strs)),
            (true, true) => Err(Fault::new("an empty list has nothing to compare with")),
            (false, false) => Err(Fault::new("a list holds either ints or strings, not both")),
        }
    }

    fn call(&mut self, call: &CallExpr) -> Result<Typed, Fault> {
        let name = call.func_name.as_str();
        match (name, call.target.as_deref(), call.args.as_slice()) {
            (operators::LOGICAL_AND, None, [left, right]) => Ok(Typed::Bool(BoolExpr::And(
                Box::new(self.bool(left, "&&")?),
                Box::new(self.bool(right, "&&")?),
            ))),
            (operators::LOGICAL_OR, None, [left, right]) => Ok(Typed::Bool(BoolExpr::Or(
                Box::new(self.bool(left, "||")?),
                Box::new(self.bool(right, "||")?),
            ))),
            (operators::LOGICAL_NOT, None, [inner]) => {
                Ok(Typed::Bool(BoolExpr::Not(Box::new(self.bool(inner, "!")?))))
            }
            (operators::NEGATE, None, [inner]) => {
                Ok(Typed::Int(IntExpr::Negate(Box::new(self.int(inner, "-")?))))
            }
            (operators::CONDITIONAL, None, [when, yes, no]) => self.conditional(when, yes, no),
            (operators::IN, None, [needle, list]) => self.contained(needle, list).map(Typed::Bool),
            (operators::INDEX, None, [map, key]) => match self.any(map)? {
                Typed::Attributes => Ok(Typed::Str(StrExpr::Attribute(Box::new(self.str(key, "[]")?)))),
                other => Err(Fault::new(format!("[] works on payment.attributes, not on a {other}"))),
            },
            (_, None, [left, right]) if name.starts_with('_') => self.binary(name, left, right),
            (_, target, args) => functions::check(self, name, target, args),
        }
    }

    fn binary(&mut self, name: &str, left: &IdedExpr, right: &IdedExpr) -> Result<Typed, Fault> {
        let symbol = name.trim_matches('_');
        let (left, right) = (self.any(left)?, self.any(right)?);
        if let Some(compare) = comparison(name) {
            return compared(symbol, compare, left, right).map(Typed::Bool);
        }
        let arithmetic = match name {
            operators::ADD => Arithmetic::Add,
            operators::SUBSTRACT => Arithmetic::Subtract,
            operators::MULTIPLY => Arithmetic::Multiply,
            operators::DIVIDE => Arithmetic::Divide,
            operators::MODULO => Arithmetic::Remainder,
            _ => return Err(Fault::new(format!("unknown operator {symbol:?}"))),
        };
        match (arithmetic, left, right) {
            (Arithmetic::Divide | Arithmetic::Remainder, _, Typed::Int(IntExpr::Const(0))) => {
                Err(Fault::new(format!("{symbol} by zero")))
            }
            (_, Typed::Int(left), Typed::Int(right)) => {
                Ok(Typed::Int(IntExpr::Arithmetic(arithmetic, Box::new(left), Box::new(right))))
            }
            (Arithmetic::Add, Typed::Str(left), Typed::Str(right)) => {
                Ok(Typed::Str(StrExpr::Concat(Box::new(left), Box::new(right))))
            }
            (_, left, right) => Err(mismatch(symbol, &left, &right)),
        }
    }

    fn conditional(&mut self, when: &IdedExpr, yes: &IdedExpr, no: &IdedExpr) -> Result<Typed, Fault> {
        let when = Box::new(self.bool(when, "?")?);
        match (self.any(yes)?, self.any(no)?) {
            (Typed::Bool(yes), Typed::Bool(no)) => {
                Ok(Typed::Bool(BoolExpr::If(when, Box::new(yes), Box::new(no))))
            }
            (Typed::Int(yes), Typed::Int(no)) => {
                Ok(Typed::Int(IntExpr::If(when, Box::new(yes), Box::new(no))))
            }
            (Typed::Time(yes), Typed::Time(no)) => {
                Ok(Typed::Time(IntExpr::If(when, Box::new(yes), Box::new(no))))
            }
            (Typed::Str(yes), Typed::Str(no)) => {
                Ok(Typed::Str(StrExpr::If(when, Box::new(yes), Box::new(no))))
            }
            (yes, no) => Err(mismatch(":", &yes, &no)),
        }
    }

    fn contained(&mut self, needle: &IdedExpr, list: &IdedExpr) -> Result<BoolExpr, Fault> {
        match (self.any(needle)?, self.any(list)?) {
            (Typed::Int(needle), Typed::Ints(list)) => Ok(BoolExpr::IntIn(needle, list)),
            (Typed::Str(needle), Typed::Strs(list)) => Ok(BoolExpr::StrIn(needle, list)),
            (Typed::Str(key), Typed::Attributes) => Ok(BoolExpr::HasAttribute(key)),
            (needle, list) => Err(mismatch("in", &needle, &list)),
        }
    }
}

fn mismatch(symbol: &str, left: &Typed, right: &Typed) -> Fault {
    Fault::new(format!("{symbol:?} does not work on a {left} and a {right}"))
}

fn constant(literal: &LiteralValue) -> Result<Typed, Fault> {
    Ok(match literal {
        LiteralValue::Boolean(value) => Typed::Bool(BoolExpr::Const(*value.inner())),
        LiteralValue::Int(value) => Typed::Int(IntExpr::Const(*value.inner())),
        LiteralValue::String(value) => Typed::Str(StrExpr::Const(CompactString::new(value.inner()))),
        LiteralValue::Double(_) => {
            return Err(Fault::new("amounts are whole minor units; write a number without a point"));
        }
        LiteralValue::UInt(_) => return Err(Fault::new("write the number without the u")),
        LiteralValue::Bytes(_) => return Err(Fault::new("write the text without the b")),
        LiteralValue::Null => return Err(Fault::new("nothing is null; has() tells what is there")),
    })
}

fn comparison(name: &str) -> Option<Compare> {
    let (less, equal, greater) = match name {
        operators::LESS => (true, false, false),
        operators::LESS_EQUALS => (true, true, false),
        operators::EQUALS => (false, true, false),
        operators::NOT_EQUALS => (true, false, true),
        operators::GREATER_EQUALS => (false, true, true),
        operators::GREATER => (false, false, true),
        _ => return None,
    };
    Some(Compare { less, equal, greater })
}

fn compared(symbol: &str, compare: Compare, left: Typed, right: Typed) -> Result<BoolExpr, Fault> {
    match (left, right) {
        (Typed::Int(left), Typed::Int(right)) | (Typed::Time(left), Typed::Time(right)) => {
            Ok(BoolExpr::CompareInt(compare, left, right))
        }
        (Typed::Str(left), Typed::Str(right)) => Ok(BoolExpr::CompareStr(compare, left, right)),
        (Typed::Bool(left), Typed::Bool(right)) if compare.less == compare.greater => {
            Ok(BoolExpr::SameBool { left: Box::new(left), right: Box::new(right), same: compare.equal })
        }
        (left, right) => Err(mismatch(symbol, &left, &right)),
    }
}
