//! The comprehensions that a rule may have: `exists`, `all` and `exists_one`. Pure. CEL's parser writes them as loops
//! with an accumulator; here they are known again by how they begin and step.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};

use super::Fault;
use super::check::{Check, LocalType, Typed};
use super::expr::{BoolExpr, Quantifier, Range};

/// How deep they may nest.
const DEPTH_MAX: usize = 3;

pub(super) fn check(check: &mut Check<'_>, part: &ComprehensionExpr) -> Result<BoolExpr, Fault> {
    let Some((quantifier, body)) = recognize(part) else {
        return Err(Fault::new("map and filter are not supported; use exists, all or exists_one"));
    };
    let (range, kind) = match check.any(&part.iter_range)? {
        Typed::Ints(items) => (Range::Ints(items), LocalType::Int),
        Typed::Strs(items) => (Range::Strs(items), LocalType::Str),
        Typed::Attributes => (Range::AttributeKeys, LocalType::Str),
        other => {
            return Err(Fault::new(format!(
                "exists, all and exists_one walk a list or a map, not a {other}"
            )));
        }
    };
    if check.locals.len() >= DEPTH_MAX {
        return Err(check.at(&part.iter_var, format!("they nest at most {DEPTH_MAX} deep")));
    }
    check.locals.push((part.iter_var.clone(), kind));
    let body = check.bool(body, "exists, all or exists_one");
    check.locals.pop();
    Ok(BoolExpr::Over { quantifier, range, body: Box::new(body?) })
}

fn recognize(part: &ComprehensionExpr) -> Option<(Quantifier, &IdedExpr)> {
    let Expr::Call(CallExpr { func_name, args, .. }) = &part.loop_step.expr else { return None };
    match (&part.accu_init.expr, func_name.as_str(), args.as_slice()) {
        (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_OR, [_, body]) => {
            Some((Quantifier::Exists, body))
        }
        (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_AND, [_, body]) => {
            Some((Quantifier::All, body))
        }
        (Expr::Literal(LiteralValue::Int(_)), operators::CONDITIONAL, [body, _, _]) => {
            Some((Quantifier::ExistsOne, body))
        }
        _ => None,
    }
}
