//! The JSON bodies. Each field is taken as raw text first and read by its own function, so that every error names the
//! field, and a number is never seen as a float.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Kind, check_size, default_open_id};
use crate::{
    ids::{AccountId, IdError, PaymentId},
    malformed::Malformed,
    money::{Currency, Money},
    payment::{AccountCommand, Action, Attributes, Intake, Payment, Reference, StatusChange},
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
}

#[derive(Deserialize)]
struct Amount<'a> {
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    currency: Option<&'a RawValue>,
}

/// Reads a payment: `{"id", "from", "to", "amount": {"value", "currency"}, "reference"?, "attributes"?,
/// "occurredAtMs"?}`. `id` stands in where the body has none.
pub fn payment_from_json(value: &[u8], id: Option<PaymentId>) -> Result<Intake, Malformed> {
    let body = body(value)?;
    let id = payment_id("id", body.id)?.or(id).ok_or_else(|| Malformed::missing("id"))?;
    let from = required_account("from", body.from)?;
    let to = required_account("to", body.to)?;
    let (minor, currency) = amount(body.amount)?;
    let reference = match body.reference {
        Some(raw) => Reference::new(&text("reference", raw)?)?,
        None => None,
    };
    Ok(Intake::Payment(Payment {
        id,
        from,
        to,
        amount: Money::new(minor, currency.ok_or_else(|| Malformed::missing("amount.currency"))?),
        reference,
        attributes: attributes(body.attributes)?,
        occurred_at_ms: occurred_at(body.occurred_at_ms)?,
    }))
}

/// Reads the opening of an account: `{"id", "currency"?, "funding"?, "commandId"?, "occurredAtMs"?}`, where `id` is
/// the account's.
pub fn open_from_json(value: &[u8]) -> Result<Intake, Malformed> {
    let body = body(value)?;
    let account = required_account("id", body.id)?;
    let id = payment_id("commandId", body.command_id)?.unwrap_or_else(|| default_open_id(&account));
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
    if body.account.is_some() {
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

fn payment_id(field: &'static str, raw: Option<&RawValue>) -> Result<Option<PaymentId>, Malformed> {
    let text = filled(field, raw)?;
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

fn attributes(raw: Option<&RawValue>) -> Result<Attributes, Malformed> {
    let Some(raw) = raw else { return Ok(Attributes::default()) };
    let pairs: BTreeMap<Cow<'_, str>, Cow<'_, str>> = serde_json::from_str(raw.get())
        .map_err(|_| Malformed::new("field_type", "attributes", "is not an object of texts"))?;
    Attributes::new(pairs.iter().map(|(key, value)| (key.as_ref(), value.as_ref())))
}
