use super::{RECORD_BYTES_MAX, default_id, fund_from_json, parse, payment_from_json};
use crate::{AccountId, Action, Currency, Intake, PaymentId};

fn open_id(account: &AccountId) -> PaymentId {
    default_id("open", account.as_str())
}

const JSON: Option<&str> = Some("application/json");

fn payment(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut body = serde_json::json!({
        "id": "p-1", "from": "alice", "to": "bob", "amount": {"value": 1234, "currency": "USD"}, "reference": "invoice 7",
    });
    change(&mut body);
    body.to_string()
}

fn amount(value: &str) -> String {
    format!(r#"{{"id":"p-1","from":"a","to":"b","amount":{{"value":{value},"currency":"USD"}}}}"#)
}

/// Code and field of what is wrong.
fn wrong(body: &str, kind: Option<&str>) -> (&'static str, &'static str) {
    let malformed = parse(body.as_bytes(), JSON, kind).expect_err(body);
    assert!(!malformed.detail.is_empty());
    (malformed.code, malformed.field)
}

#[test]
fn amounts_that_can_be_read_are_left_to_the_rules() {
    for (value, minor) in [
        ("1", 1),
        ("0", 0),
        ("-0", 0),
        ("-5", -5),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808", i64::MIN),
    ] {
        let Ok(Intake::Payment(payment)) = parse(amount(value).as_bytes(), JSON, None) else {
            panic!("{value} is an integer")
        };
        assert_eq!(payment.amount.minor, minor);
    }
}

#[test]
fn amounts_that_cannot_be_read_say_why() {
    for (value, code) in [
        ("9223372036854775808", "amount_out_of_range"),
        ("-9223372036854775809", "amount_out_of_range"),
        ("99999999999999999999999999999999", "amount_out_of_range"),
        ("1.5", "amount_not_integer"),
        ("1.0", "amount_not_integer"),
        ("1e3", "amount_not_integer"),
        ("\"5\"", "amount_not_integer"),
        ("true", "amount_not_integer"),
        ("{}", "amount_not_integer"),
        ("null", "field_missing"),
    ] {
        assert_eq!(wrong(&amount(value), None), (code, "amount.value"), "{value}");
    }
    let opening = |funding: &str| format!(r#"{{"id":"alice","funding":{funding}}}"#);
    assert_eq!(wrong(&opening("1.5"), None), ("amount_not_integer", "funding"));
    assert_eq!(wrong(&opening("9223372036854775808"), None), ("amount_out_of_range", "funding"));
}

#[test]
fn every_error_of_a_payment_names_its_field() {
    let set = |field: &'static str, value: serde_json::Value| payment(|body| body[field] = value);
    let many: serde_json::Map<_, _> = (0..17).map(|at| (at.to_string(), "".into())).collect();
    let table = [
        (set("id", "a b".into()), "id_invalid", "id"),
        (set("id", 5.into()), "field_type", "id"),
        (set("id", "".into()), "id_invalid", "id"),
        (set("id", serde_json::Value::Null), "field_missing", "id"),
        (set("from", "".into()), "field_missing", "from"),
        (set("from", serde_json::Value::Null), "field_missing", "from"),
        (set("from", "é".into()), "id_invalid", "from"),
        (set("to", "x".repeat(65).into()), "id_invalid", "to"),
        (set("to", serde_json::json!({})), "field_type", "to"),
        (set("amount", 5.into()), "field_type", "amount"),
        (set("amount", serde_json::json!([5, "USD"])), "field_type", "amount"),
        (set("amount", serde_json::Value::Null), "field_missing", "amount"),
        (set("amount", serde_json::json!({"value": 5})), "field_missing", "amount.currency"),
        (
            set("amount", serde_json::json!({"value": 5, "currency": "usd"})),
            "currency_invalid",
            "amount.currency",
        ),
        (set("amount", serde_json::json!({"value": 5, "currency": 840})), "field_type", "amount.currency"),
        (set("amount", serde_json::json!({"currency": "USD"})), "field_missing", "amount.value"),
        (set("reference", "x".repeat(257).into()), "text_too_long", "reference"),
        (set("reference", 7.into()), "field_type", "reference"),
        (set("attributes", "x".into()), "field_type", "attributes"),
        (set("attributes", serde_json::json!({"a": 1})), "field_type", "attributes"),
        (set("attributes", many.into()), "attributes_too_many", "attributes"),
        (set("attributes", serde_json::json!({"": "x"})), "attribute_key_invalid", "attributes"),
        (set("attributes", serde_json::json!({"a": "x".repeat(257)})), "text_too_long", "attributes"),
        (set("occurredAtMs", "now".into()), "field_type", "occurredAtMs"),
    ];
    for (body, code, field) in table {
        assert_eq!(wrong(&body, Some("payment")), (code, field), "{body}");
    }
}

#[test]
fn what_is_no_json_object_is_refused() {
    let twice = r#"{"id":"p-1","id":"p-2","from":"a"}"#;
    for body in ["{", "[]", "5", "null", "\"x\"", "{\"from\":\"a\"", "{\"from\":\"\u{1}\"}", "{} {}", twice] {
        assert_eq!(wrong(body, None), ("json_invalid", "body"), "{body}");
    }
    assert_eq!(parse(b"{\"from\":\"\xff\"}", JSON, None).unwrap_err().code, "json_invalid");
}

#[test]
fn the_size_is_bounded() {
    let body = payment(|body| body["note"] = "x".repeat(RECORD_BYTES_MAX).into());
    assert_eq!(wrong(&body, None), ("record_too_large", "body"));
    assert_eq!(payment_from_json(body.as_bytes(), None).unwrap_err().code, "record_too_large");
    assert_eq!(parse(&vec![0; RECORD_BYTES_MAX + 1], None, None).unwrap_err().code, "record_too_large");
    assert_eq!(parse(b"", None, None).unwrap_err().code, "record_empty");
    let largest = payment(|body| body["note"] = "x".repeat(RECORD_BYTES_MAX - 200).into());
    assert!(parse(largest.as_bytes(), JSON, None).is_ok());
}

#[test]
fn the_kind_is_by_the_header_or_by_the_fields() {
    let opening = r#"{"id":"alice","currency":"USD","funding":5}"#;
    let funding = r#"{"id":"f-1","account":"alice","amount":{"value":5}}"#;
    let is = |body: &str, kind| parse(body.as_bytes(), JSON, kind);
    for (body, kind) in [(opening, "account.open"), (funding, "account.fund"), (&payment(|_| ()), "payment")]
    {
        assert_eq!(is(body, None), is(body, Some(kind)), "{body}");
        assert!(is(body, None).is_ok(), "{body}");
    }
    assert!(is(r#"{"id":"alice"}"#, Some("account.open")).is_ok(), "the header suffices");
    assert_eq!(wrong(r#"{"id":"alice"}"#, None), ("kind_unknown", "body"));
    assert_eq!(wrong(opening, Some("account.burn")), ("kind_unknown", "kpay-kind"));
    assert_eq!(wrong(opening, Some("account.close")), ("field_missing", "account"));
    assert_eq!(wrong(opening, Some("payment")), ("field_missing", "from"));
    assert_eq!(wrong(opening, Some("account.fund")), ("field_missing", "account"));
}

#[test]
fn the_content_type_decides_the_format() {
    let body = payment(|_| ());
    let json = parse(body.as_bytes(), JSON, None).unwrap();
    let mut record = Vec::new();
    json.encode(&mut record);
    for content_type in [
        None,
        Some("application/x-protobuf"),
        Some("application/protobuf"),
        Some("Application/X-Protobuf; v=1"),
    ] {
        assert_eq!(parse(&record, content_type, None).as_ref(), Ok(&json), "{content_type:?}");
    }
    assert_eq!(parse(body.as_bytes(), Some("application/json; charset=utf-8"), None), Ok(json));
    let unknown = parse(&record, Some("text/plain"), None).unwrap_err();
    assert_eq!((unknown.code, unknown.field), ("content_type_unknown", "content-type"));
    assert_eq!(parse(body.as_bytes(), None, None).unwrap_err().code, "protobuf_invalid");
}

#[test]
fn an_opening_has_an_id_of_its_own() {
    let account = |text: &str| AccountId::new(text).unwrap();
    assert_eq!(open_id(&account("alice")).as_str(), "open:alice");
    assert_eq!(open_id(&account(&"x".repeat(59))).as_str().len(), 64);
    let (one, other) = (open_id(&account(&"x".repeat(60))), open_id(&account(&"x".repeat(61))));
    assert_eq!(one.as_str().len(), 29);
    assert_ne!(one, other);
    let opened =
        |body: &str| parse(body.as_bytes(), JSON, Some("account.open")).unwrap().id().as_str().to_owned();
    assert_eq!(opened(r#"{"id":"alice"}"#), "open:alice");
    assert_eq!(opened(r#"{"id":"alice","commandId":"c-9"}"#), "c-9");
    let empty = wrong(r#"{"id":"alice","commandId":""}"#, Some("account.open"));
    assert_eq!(empty, ("id_invalid", "commandId"));
}

#[test]
fn the_gateway_fills_in_what_the_path_says() {
    let id = PaymentId::new("made").unwrap();
    let without = payment(|body| body["id"] = serde_json::Value::Null);
    assert_eq!(payment_from_json(without.as_bytes(), Some(id.clone())).unwrap().id(), &id);
    assert_eq!(payment_from_json(payment(|_| ()).as_bytes(), Some(id.clone())).unwrap().id().as_str(), "p-1");
    let empty = payment(|body| body["id"] = "".into());
    let empty = payment_from_json(empty.as_bytes(), Some(id.clone())).unwrap_err();
    assert_eq!((empty.code, empty.field), ("id_invalid", "id"), "no other id stands in for it");
    let alice = AccountId::new("alice").unwrap();
    let funding =
        fund_from_json(br#"{"amount":{"value":5,"currency":"USD"}}"#, Some(alice.clone()), Some(id.clone()));
    let Ok(Intake::Account(command)) = funding else { panic!("a funding") };
    assert_eq!((&command.id, &command.account), (&id, &alice));
    let usd = Currency::new("USD").unwrap();
    assert_eq!(command.action, Action::Fund { amount_minor: 5, currency: Some(usd) });
}

#[test]
fn an_unknown_field_and_escapes_are_fine() {
    let body = payment(|body| {
        body["later"] = serde_json::json!({"x": [1.5]});
        body["reference"] = "a \"quoted\" \u{1F4B0} \\ text".into();
    });
    let Ok(Intake::Payment(payment)) = parse(body.as_bytes(), JSON, None) else { panic!("a payment") };
    assert_eq!(payment.reference.unwrap().as_str(), "a \"quoted\" \u{1F4B0} \\ text");
}
