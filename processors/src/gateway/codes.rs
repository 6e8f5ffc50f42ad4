//! Which problems each operation answers: the table that `/openapi.json` lists them from, and the tests ask after. Pure.
//!
//! Not in it are `internal`, which is a defect, and what a path or a method that is not served is answered with.

use std::collections::BTreeMap;

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};

use super::problem::CONTENT_TYPE;

/// Every code with its status, and when it is answered.
pub(super) const CODES: &[(&str, u16, &str)] = &[
    ("account_differs", 400, "the body names another account than the path"),
    ("amount_not_integer", 400, "an amount with a fraction, an exponent or quotes"),
    ("amount_out_of_range", 400, "an amount beyond 64 bits"),
    ("attribute_key_invalid", 400, "a key of `attributes` has no byte, or more than 64"),
    ("attributes_too_many", 400, "more than 16 `attributes`"),
    ("body_incomplete", 400, "the connection ended within the body"),
    ("currency_invalid", 400, "not three capital letters"),
    ("duration_invalid", 400, "not a number with ms, s, m, h or d"),
    ("field_missing", 400, "a field that is needed is absent or empty"),
    ("field_type", 400, "a field has another type"),
    ("field_unknown", 400, "there is no such field"),
    ("generator_invalid", 400, "the load is not to be had"),
    ("holder_invalid", 400, "not letters, digits and `-._:@/+`, or not a letter or a digit at both ends"),
    (
        "id_invalid",
        400,
        "not 1 to 64 letters, digits and `. _ : -`; of a dead letter, not `<partition>-<offset>`",
    ),
    ("json_invalid", 400, "not a JSON object, or not one of these fields"),
    ("limit_below_zero", 400, "a limit is negative"),
    ("parameter_invalid", 400, "a parameter is out of its bounds, or a cursor is of another list"),
    ("parameter_unknown", 400, "there is no such parameter"),
    ("record_empty", 400, "the body is empty"),
    ("text_too_long", 400, "a text is longer than its bound"),
    ("generator_off", 403, "the gateway was started without it"),
    ("letter_unknown", 404, "no dead letter has this id, or it is not kept any more"),
    ("payment_unknown", 404, "no payment or account command has this id"),
    ("unknown_account", 404, "no account has this id"),
    ("holders_too_many", 409, "as many hold the pipeline paused as can"),
    ("idempotency_conflict", 409, "the id was used before with another body"),
    ("letter_source_unknown", 409, "it came from no topic that a stage of this pipeline reads"),
    ("letter_too_large", 409, "it is longer than any record that a stage reads, or cut"),
    ("payment_not_held", 409, "no rule has held the payment"),
    ("payment_not_refundable", 409, "it is not confirmed, or a refund or an account command itself"),
    ("phase_fixed", 409, "this gateway runs without a cluster, and its phase was set at its start"),
    ("pipeline_paused", 409, "it is a step of a payment, and nothing may move now"),
    ("body_too_large", 413, "more than 262144 bytes"),
    ("content_type_unknown", 415, "not `application/json`, or compressed"),
    ("amount_not_positive", 422, "not above zero; of a funding to begin with, below zero"),
    ("currency_unknown", 422, "no currency of ISO 4217 that is paid with"),
    ("same_account", 422, "`from` and `to` are one account"),
    (
        "intake_closed",
        503,
        "the pipeline is not running, and keeps nothing for later: send it again when it does",
    ),
    (
        "kafka_unavailable",
        503,
        "the log did not confirm the record: send the same request, with the same id, again",
    ),
    ("letters_reading", 503, "it is not known yet which letters were replayed: send the same request again"),
    ("letters_unavailable", 503, "the log of the dead letters does not answer: send the same request again"),
    ("owner_unavailable", 503, "the pod that knows it is restoring or does not answer"),
    ("timed_out", 503, "it took too long: send the same request, with the same id, again"),
    ("too_many_listeners", 503, "as many follow the events as may: `GET /v1/pipeline` says the same once"),
    ("wish_unavailable", 503, "nobody keeps the wish now"),
];

/// Of every request: it may be too slow.
const EVERY: &[&str] = &["timed_out"];
/// Of a body of JSON.
const BODY: &[&str] = &["body_incomplete", "body_too_large", "content_type_unknown", "json_invalid"];
/// Of an intake: a payment or a command.
const INTAKE: &[&str] = &[
    "field_missing",
    "field_type",
    "field_unknown",
    "id_invalid",
    "idempotency_conflict",
    "intake_closed",
    "kafka_unavailable",
];
/// Of an intake that cannot be told by nothing.
const NOT_EMPTY: &[&str] = &["record_empty"];
const AMOUNT: &[&str] = &[
    "amount_not_integer",
    "amount_not_positive",
    "amount_out_of_range",
    "currency_invalid",
    "currency_unknown",
];
const TEXTS: &[&str] = &["attribute_key_invalid", "attributes_too_many", "text_too_long"];
const OF_ACCOUNT: &[&str] = &["account_differs"];
const OF_PAYMENT: &[&str] = &["owner_unavailable", "payment_unknown"];
const PARAMETERS: &[&str] = &["parameter_invalid", "parameter_unknown"];
const OWNER: &[&str] = &["owner_unavailable"];
const ID: &[&str] = &["id_invalid"];
const LETTERS: &[&str] = &["letters_reading", "letters_unavailable"];
const REPLAY: &[&str] = &["field_missing", "field_type", "text_too_long"];
const WISH: &[&str] =
    &["field_type", "field_unknown", "holder_invalid", "phase_fixed", "text_too_long", "wish_unavailable"];

/// The codes of each operation, by its id.
const OPERATIONS: &[(&str, &[&[&str]])] = &[
    ("create_payment", &[BODY, INTAKE, NOT_EMPTY, AMOUNT, TEXTS, &["same_account"]]),
    ("get_payment", &[ID, OF_PAYMENT]),
    ("list_holds", &[PARAMETERS, OWNER]),
    ("release_payment", &[BODY, INTAKE, NOT_EMPTY, OF_PAYMENT, &["payment_not_held", "text_too_long"]]),
    ("refuse_payment", &[BODY, INTAKE, NOT_EMPTY, OF_PAYMENT, &["payment_not_held", "text_too_long"]]),
    ("refund_payment", &[BODY, INTAKE, NOT_EMPTY, OF_PAYMENT, AMOUNT, TEXTS, &["payment_not_refundable"]]),
    ("open_account", &[BODY, INTAKE, NOT_EMPTY, AMOUNT]),
    ("list_accounts", &[PARAMETERS, OWNER]),
    ("list_ledger", &[ID, PARAMETERS, OWNER, &["unknown_account"]]),
    ("get_account", &[ID, OWNER, &["unknown_account"]]),
    ("fund_account", &[BODY, INTAKE, NOT_EMPTY, OF_ACCOUNT, AMOUNT]),
    ("freeze_account", &[BODY, INTAKE, OF_ACCOUNT]),
    ("unfreeze_account", &[BODY, INTAKE, OF_ACCOUNT]),
    ("close_account", &[BODY, INTAKE, OF_ACCOUNT]),
    (
        "limit_account",
        &[
            BODY,
            INTAKE,
            NOT_EMPTY,
            OF_ACCOUNT,
            &["amount_not_integer", "amount_out_of_range", "limit_below_zero"],
        ],
    ),
    ("get_throughput", &[PARAMETERS, OWNER]),
    ("get_totals", &[]),
    ("get_pipeline", &[]),
    ("pause_pipeline", &[BODY, WISH, &["duration_invalid", "field_missing", "holders_too_many"]]),
    ("resume_pipeline", &[BODY, WISH]),
    ("list_dead_letters", &[LETTERS, &["parameter_invalid"]]),
    ("get_dead_letter", &[ID, LETTERS, &["letter_unknown"]]),
    (
        "replay_dead_letter",
        &[
            BODY,
            ID,
            LETTERS,
            REPLAY,
            &["letter_source_unknown", "letter_too_large", "letter_unknown", "pipeline_paused"],
        ],
    ),
    ("replay_dead_letters", &[BODY, LETTERS, REPLAY, &["parameter_invalid"]]),
    ("start_generator", &[BODY, &["generator_invalid", "generator_off"]]),
    ("get_generator", &[&["generator_off"]]),
    ("stop_generator", &[&["generator_off"]]),
    ("follow_pipeline", &[&["too_many_listeners"]]),
];

/// The codes of an operation.
pub(super) fn of(operation: &str) -> impl Iterator<Item = &'static str> + use<> {
    let own = OPERATIONS.iter().find(|(id, _)| *id == operation).map_or(&[] as &[_], |(_, groups)| *groups);
    own.iter().copied().chain([EVERY]).flatten().copied()
}

/// Adds the problems of every operation.
pub(super) fn describe(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten() {
            add(operation);
        }
    }
}

fn add(operation: &mut Operation) {
    let mut by_status: BTreeMap<u16, Vec<(&str, &str)>> = BTreeMap::new();
    let codes: Vec<&str> = of(operation.operation_id.as_deref().unwrap_or_default()).collect();
    for (code, status, when) in CODES.iter().filter(|(code, ..)| codes.contains(code)) {
        by_status.entry(*status).or_default().push((*code, *when));
    }
    for (status, codes) in by_status {
        operation.responses.responses.insert(status.to_string(), RefOr::T(response(status, &codes)));
    }
}

/// A problem with one of these codes.
fn response(status: u16, codes: &[(&str, &str)]) -> Response {
    let lines: Vec<String> = codes.iter().map(|(code, when)| format!("- `{code}`: {when}")).collect();
    let code =
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes.iter().map(|(code, _)| *code)));
    let problem = AllOfBuilder::new()
        .item(Ref::from_schema_name("Problem"))
        .item(ObjectBuilder::new().schema_type(Type::Object).property("code", code));
    let content = ContentBuilder::new().schema(Some(problem)).build();
    let described = ResponseBuilder::new().description(lines.join("\n")).content(CONTENT_TYPE, content);
    if status == 503 { described.header("retry-after", seconds()).build() } else { described.build() }
}

fn seconds() -> Header {
    HeaderBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::Integer))).build()
}
