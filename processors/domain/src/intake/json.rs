//! The JSON bodies. Each field is taken as raw text first and read by its own function, so that every error names the
//! field, and a number is never seen as a float.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Kind, check_size, default_id};
use crate::{
    account::AccountLimits,
    hold::{DecideHold, HoldVerdict},
    ids::{AccountId, IdError, PaymentId},
    malformed::Malformed,
    money::{Currency, Money},
    payment::{AccountCommand, Action, Attributes, Intake, Payment, Reference, Refund, StatusChange},
};

/// Every field of every body.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    from: Option<&'a RawValue>,
    #[serde(borrow)]
    to: Option<&'a RawValue>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
    #[serde(borrow)]
    reference: Option<&'a RawValue>,
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
    #[serde(borrow)]
    occurred_at_ms: Option<&'a RawValue>,
    #[serde(borrow)]
    account: Option<&'a RawValue>,
    #[serde(borrow)]
    currency: Option<&'a RawValue>,
    #[serde(borrow)]
    funding: Option<&'a RawValue>,
    #[serde(borrow)]
    command_id: Option<&'a RawValue>,
    #[serde(borrow)]
    refund: Option<&'a RawValue>,
    #[serde(borrow)]
    limits: Option<&'a RawValue>,
    #[serde(borrow)]
    payment: Option<&'a RawValue>,
    #[serde(borrow)]
    by: Option<&'a RawValue>,
    #[serde(borrow)]
    why: Option<&'a RawValue>,
}

/// What a refund gives back.
#[derive(Deserialize)]
struct RefundBody<'a> {
    #[serde(borrow)]
    of: Option<&'a RawValue>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
}

/// An account's own limits.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LimitsBody<'a> {
    #[serde(borrow)]
    overdraft: Option<&'a RawValue>,
    #[serde(borrow)]
    daily_outflow: Option<&'a RawValue>,
    #[serde(borrow)]
    daily_count: Option<&'a RawValue>,
    #[serde(borrow)]
    lowest_balance: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Amount<'a> {
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    currency: Option<&'a RawValue>,
}

/// Reads a payment: `{"id", "from", "to", "amount": {"value", "currency"}, "reference"?, "attributes"?,
/// "occurredAtMs"?, "refund"?: {"of", "amount"}}`, where a refund says which payment it gives back and what that moved, in
/// minor units. `id` stands in where the body has none.
pub fn payment_from_json(value: &[u8], id: Option<PaymentId>) -> Result<Intake, Malformed> {
    let body = body(value)?;
    let id = payment_id("id", body.id)?.or(id).ok_or_else(|| Malformed::missing("id"))?;
    let from = required_account("from", body.from)?;
    let to = required_account("to", body.to)?;
    let (minor, currency) = amount(body.amount)?;
    Ok(Intake::Payment(Payment {
        id,
        from,
        to,
        amount: Money::new(minor, currency.ok_or_else(|| Malformed::missing("amount.currency"))?),
        reference: reference(body.reference)?,
        attributes: attributes(body.attributes)?,
        occurred_at_ms: occurred_at(body.occurred_at_ms)?,
        refund: body.refund.map(refund).transpose()?,
    }))
}

/// Reads the opening of an account: `{"id", "currency"?, "funding"?, "commandId"?, "occurredAtMs"?}`, where `id` is
/// the account's.
pub fn open_from_json(value: &[u8]) -> Result<Intake, Malformed> {
    let body = body(value)?;
    let account = required_account("id", body.id)?;
    let id =
        payment_id("commandId", body.command_id)?.unwrap_or_else(|| default_id("open", account.as_str()));
    let currency = currency("currency", body.currency)?;
    let funding_minor = body.funding.map_or(Ok(0), |raw| minor_units("funding", raw))?;
    let occurred_at_ms = occurred_at(body.occurred_at_ms)?;
    Ok(Intake::Account(AccountCommand {
        id,
        account,
        action: Action::Open { currency, funding_minor },
        occurred_at_ms,
    }))
}

/// Reads the funding of an account: `{"id", "account", "amount": {"value", "currency"?}, "occurredAtMs"?}`. `account`
/// and `id` stand in where the body has none.
pub fn fund_from_json(
    value: &[u8],
    account: Option<AccountId>,
    id: Option<PaymentId>,
) -> Result<Intake, Malformed> {
    let body = body(value)?;
    command(&body, account, id, || {
        let (amount_minor, currency) = amount(body.amount)?;
        Ok(Action::Fund { amount_minor, currency })
    })
}

/// Reads a change of an account's status: `{"id", "account", "occurredAtMs"?}`. `account` and `id` stand in where the
/// body has none; what is to change is said elsewhere.
pub fn change_from_json(
    value: &[u8],
    change: StatusChange,
    account: Option<AccountId>,
    id: Option<PaymentId>,
) -> Result<Intake, Malformed> {
    command(&body(value)?, account, id, || Ok(Action::Change(change)))
}

/// Reads the refund of `paid`, a payment that was confirmed: `{"id"?, "amount"?: {"value", "currency"?}, "reference"?,
/// "attributes"?, "occurredAtMs"?}`. Without an amount it is all of it; `id` stands in where the body has none.
pub fn refund_from_json(value: &[u8], paid: &Payment, id: PaymentId) -> Result<Intake, Malformed> {
    let body = body(value)?;
    let (minor, currency) = match body.amount {
        Some(raw) => amount(Some(raw))?,
        None => (paid.amount.minor, None),
    };
    Ok(Intake::Payment(Payment {
        id: payment_id("id", body.id)?.unwrap_or(id),
        from: paid.to.clone(),
        to: paid.from.clone(),
        amount: Money::new(minor, currency.unwrap_or(paid.amount.currency)),
        reference: reference(body.reference)?,
        attributes: attributes(body.attributes)?,
        occurred_at_ms: occurred_at(body.occurred_at_ms)?,
        refund: Some(Box::new(Refund { of: paid.id.clone(), amount_minor: paid.amount.minor })),
    }))
}

/// Reads an account's own limits: `{"id", "account", "limits": {"overdraft"?, "dailyOutflow"?, "dailyCount"?,
/// "lowestBalance"?}, "occurredAtMs"?}`, in minor units; what is absent is the pipeline's again. `account` and `id` stand in
/// where the body has none.
pub fn limits_from_json(
    value: &[u8],
    account: Option<AccountId>,
    id: Option<PaymentId>,
) -> Result<Intake, Malformed> {
    let body = body(value)?;
    command(&body, account, id, || {
        let raw = body.limits.ok_or_else(|| Malformed::missing("limits"))?;
        Ok(Action::Limits(Box::new(limits(raw)?)))
    })
}

/// Reads what becomes of a held payment: `{"id"?, "account", "payment", "by", "why", "occurredAtMs"?}`, where `account` is
/// the payer's. `account` and `payment` stand in where the body has none. The id is that of the verdict and the payment, so
/// that the same verdict twice is one, unless the body has its own.
pub fn decide_from_json(
    value: &[u8],
    verdict: HoldVerdict,
    account: Option<AccountId>,
    payment: Option<PaymentId>,
) -> Result<Intake, Malformed> {
    let body = body(value)?;
    let payment = payment_id("payment", body.payment)?.or(payment);
    let payment = payment.ok_or_else(|| Malformed::missing("payment"))?;
    let id = default_id(verdict.as_str(), payment.as_str());
    command(&body, account, Some(id), || {
        let (by, why) = (words("by", body.by)?, words("why", body.why)?);
        Ok(Action::Decide(Box::new(DecideHold { payment, verdict, by, why })))
    })
}

fn command(
    body: &Body<'_>,
    account: Option<AccountId>,
    id: Option<PaymentId>,
    action: impl FnOnce() -> Result<Action, Malformed>,
) -> Result<Intake, Malformed> {
    let id = payment_id("id", body.id)?.or(id).ok_or_else(|| Malformed::missing("id"))?;
    let account = match body.account {
        Some(_) => required_account("account", body.account)?,
        None => account.ok_or_else(|| Malformed::missing("account"))?,
    };
    let action = action()?;
    let occurred_at_ms = occurred_at(body.occurred_at_ms)?;
    Ok(Intake::Account(AccountCommand { id, account, action, occurred_at_ms }))
}

/// Tells the kind by the fields: `account` is taken for a funding's (a change of status has to say its kind), `from`, `to` and `amount` are a payment's.
pub(super) fn infer(value: &[u8]) -> Result<Kind, Malformed> {
    let body = body(value)?;
    if body.limits.is_some() {
        Ok(Kind::AccountLimits)
    } else if body.account.is_some() && body.payment.is_none() {
        Ok(Kind::AccountFund)
    } else if body.from.is_some() || body.to.is_some() || body.amount.is_some() {
        Ok(Kind::Payment)
    } else if body.currency.is_some() || body.funding.is_some() || body.command_id.is_some() {
        Ok(Kind::AccountOpen)
    } else {
        let detail = "no field tells the kind; say it in the header kpay-kind";
        Err(Malformed::new("kind_unknown", "body", detail))
    }
}

fn body(value: &[u8]) -> Result<Body<'_>, Malformed> {
    check_size(value)?;
    // A struct may be read from an array too; the contract is the object.
    if value.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Malformed::new("json_invalid", "body", "is not a JSON object"));
    }
    serde_json::from_slice(value).map_err(|error| Malformed::new("json_invalid", "body", error.to_string()))
}

fn text<'a>(field: &'static str, raw: &'a RawValue) -> Result<Cow<'a, str>, Malformed> {
    // Most texts have no escape and are borrowed as they are.
    let plain = raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    if let Some(plain) = plain.filter(|plain| !plain.contains('\\')) {
        return Ok(Cow::Borrowed(plain));
    }
    serde_json::from_str::<String>(raw.get())
        .map(Cow::Owned)
        .map_err(|_| Malformed::new("field_type", field, "is not a text"))
}

/// Absent and empty are both `None`, as in protobuf.
fn filled<'a>(field: &'static str, raw: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, Malformed> {
    let text = raw.map(|raw| text(field, raw)).transpose()?;
    Ok(text.filter(|text| !text.is_empty()))
}

fn bad_id(field: &'static str, error: IdError) -> Malformed {
    Malformed::new("id_invalid", field, error.to_string())
}

/// `None` only when it is absent. An empty one is a mistake of the sender's: with another id in its place, the same bytes
/// sent again would be another payment.
fn payment_id(field: &'static str, raw: Option<&RawValue>) -> Result<Option<PaymentId>, Malformed> {
    let text = raw.map(|raw| text(field, raw)).transpose()?;
    text.map(|text| PaymentId::new(&text).map_err(|error| bad_id(field, error))).transpose()
}

fn required_account(field: &'static str, raw: Option<&RawValue>) -> Result<AccountId, Malformed> {
    let text = filled(field, raw)?.ok_or_else(|| Malformed::missing(field))?;
    AccountId::new(&text).map_err(|error| bad_id(field, error))
}

fn currency(field: &'static str, raw: Option<&RawValue>) -> Result<Option<Currency>, Malformed> {
    let text = filled(field, raw)?;
    text.map(|text| Currency::new(&text))
        .transpose()
        .map_err(|error| Malformed::new("currency_invalid", field, error.to_string()))
}

fn amount(raw: Option<&RawValue>) -> Result<(i64, Option<Currency>), Malformed> {
    let raw = raw.ok_or_else(|| Malformed::missing("amount"))?;
    let malformed = || Malformed::new("field_type", "amount", "is not an object of value and currency");
    if !raw.get().starts_with('{') {
        return Err(malformed());
    }
    let amount: Amount<'_> = serde_json::from_str(raw.get()).map_err(|_| malformed())?;
    let value = amount.value.ok_or_else(|| Malformed::missing("amount.value"))?;
    Ok((minor_units("amount.value", value)?, currency("amount.currency", amount.currency)?))
}

/// An integer of minor units, by its digits.
fn minor_units(field: &'static str, raw: &RawValue) -> Result<i64, Malformed> {
    let text = raw.get();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let detail = "is an integer of minor units (cents, for USD): no fraction, no exponent, no quotes";
        return Err(Malformed::new("amount_not_integer", field, detail));
    }
    text.parse().map_err(|_| Malformed::new("amount_out_of_range", field, "is beyond 64 bits"))
}

fn occurred_at(raw: Option<&RawValue>) -> Result<Option<i64>, Malformed> {
    let Some(raw) = raw else { return Ok(None) };
    let detail = "is an integer of milliseconds since 1970";
    let ms: i64 = raw.get().parse().map_err(|_| Malformed::new("field_type", "occurredAtMs", detail))?;
    Ok((ms != 0).then_some(ms))
}

fn reference(raw: Option<&RawValue>) -> Result<Option<Reference>, Malformed> {
    raw.map_or(Ok(None), |raw| Reference::new(&text("reference", raw)?))
}

fn refund(raw: &RawValue) -> Result<Box<Refund>, Malformed> {
    let body: RefundBody<'_> = serde_json::from_str(raw.get())
        .map_err(|_| Malformed::new("field_type", "refund", "is not an object of of and amount"))?;
    let of = payment_id("refund.of", body.of)?.ok_or_else(|| Malformed::missing("refund.of"))?;
    let amount = body.amount.ok_or_else(|| Malformed::missing("refund.amount"))?;
    Ok(Box::new(Refund { of, amount_minor: minor_units("refund.amount", amount)? }))
}

fn limits(raw: &RawValue) -> Result<AccountLimits, Malformed> {
    let body: LimitsBody<'_> = serde_json::from_str(raw.get())
        .map_err(|_| Malformed::new("field_type", "limits", "is not an object of limits"))?;
    let minor = |field, raw: Option<&RawValue>| raw.map(|raw| minor_units(field, raw)).transpose();
    let daily_count = minor("limits.dailyCount", body.daily_count)?.map(u32::try_from).transpose();
    let limits = AccountLimits {
        overdraft_minor: minor("limits.overdraft", body.overdraft)?,
        daily_outflow_minor: minor("limits.dailyOutflow", body.daily_outflow)?,
        daily_count: daily_count.map_err(|_| {
            Malformed::new("amount_out_of_range", "limits.dailyCount", "is from 0 to 4294967295")
        })?,
        lowest_balance_minor: minor("limits.lowestBalance", body.lowest_balance)?,
    };
    limits.check()?;
    Ok(limits)
}

fn words(field: &'static str, raw: Option<&RawValue>) -> Result<Reference, Malformed> {
    let text = filled(field, raw)?.ok_or_else(|| Malformed::missing(field))?;
    Reference::of_field(field, &text)?.ok_or_else(|| Malformed::missing(field))
}

fn attributes(raw: Option<&RawValue>) -> Result<Attributes, Malformed> {
    let Some(raw) = raw else { return Ok(Attributes::default()) };
    let pairs: BTreeMap<Cow<'_, str>, Cow<'_, str>> = serde_json::from_str(raw.get())
        .map_err(|_| Malformed::new("field_type", "attributes", "is not an object of texts"))?;
    Attributes::new(pairs.iter().map(|(key, value)| (key.as_ref(), value.as_ref())))
}
