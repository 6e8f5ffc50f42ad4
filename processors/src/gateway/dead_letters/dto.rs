//! The bodies of `/v1/dead-letters`. Pure.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Where the record lies that could not be read.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceView {
    /// Full name of the topic.
    #[schema(example = "default.payments.payment.incoming")]
    pub(crate) topic: String,
    /// The partition.
    pub(crate) partition: i32,
    /// The offset there; none for a command that a stage handled in the transaction that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<i64>,
}

/// A record that a stage could not read.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetterView {
    /// Where it lies in ops.dlq: `<partition>-<offset>`.
    #[schema(example = "0-17")]
    pub(crate) id: String,
    /// When it failed.
    #[schema(example = "2026-11-23T12:00:00.000Z", format = DateTime)]
    pub(crate) at: String,
    /// Why; a stable code.
    #[schema(example = "json_invalid")]
    pub(crate) code: String,
    /// Why, for people.
    pub(crate) detail: String,
    /// The stage that could not read it.
    #[schema(example = "inflight")]
    pub(crate) stage: String,
    /// Where it came from.
    pub(crate) source: SourceView,
    /// Its key.
    pub(crate) key: String,
    /// The length of its value.
    pub(crate) bytes: usize,
    /// How often the record was replayed, before this failure and after it.
    pub(crate) replays: u32,
    /// When this letter was replayed, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub(crate) replayed_at: Option<String>,
}

/// A page of dead letters, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetterList {
    /// May be fewer than asked for, and none, while `next` says that there is more to look at.
    pub(crate) dead_letters: Vec<DeadLetterView>,
    /// Send it as `after` for what comes then; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// A header of the record, as text where it is some.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeaderView {
    /// Its name.
    pub(crate) name: String,
    /// Its value as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// Its value in hexadecimal digits, when it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hex: Option<String>,
}

/// The value of the record.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ValueView {
    /// Its length.
    pub(crate) bytes: usize,
    /// How long it was, when it was too long for ops.dlq and is cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cut_from: Option<usize>,
    /// The first 4096 bytes in hexadecimal digits.
    pub(crate) hex: String,
    /// The first 4096 bytes as text, when it is some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// What it means, when it can be read as JSON or as what its topic holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) decoded: Option<Value>,
}

/// A replay: who, why, when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Replay {
    /// When.
    #[schema(format = DateTime)]
    pub(crate) at: String,
    /// Who asked for it.
    #[schema(example = "maria")]
    pub(crate) by: String,
    /// Why.
    #[schema(example = "the parser is mended")]
    pub(crate) reason: String,
}

/// A failure before this one, after which the record was replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Failure {
    /// The dead letter.
    pub(crate) letter: String,
    /// When it failed.
    #[schema(format = DateTime)]
    pub(crate) at: String,
    /// Why; a stable code.
    pub(crate) code: String,
    /// Why, for people.
    pub(crate) detail: String,
    /// The stage.
    pub(crate) stage: String,
    /// The replay that followed.
    pub(crate) replayed: Replay,
}

/// A dead letter with all that it carries.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetterDetail {
    /// As in the list.
    #[serde(flatten)]
    pub(crate) letter: DeadLetterView,
    /// The headers that the record came with.
    pub(crate) headers: Vec<HeaderView>,
    /// The value.
    pub(crate) value: ValueView,
    /// The failures before this one, the oldest first; the newest 16.
    pub(crate) history: Vec<Failure>,
    /// How this letter was replayed, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replay: Option<Replay>,
}

/// Who wants a replay, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"by": "maria", "reason": "the parser is mended"}))]
pub(crate) struct ReplayOrder {
    /// Who: at most 128 bytes.
    pub(crate) by: Option<String>,
    /// Why: at most 512 bytes.
    pub(crate) reason: Option<String>,
}

/// Which letters; a field that is left out means any.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct FilterOrder {
    /// Of this code.
    pub(crate) code: Option<String>,
    /// Of this stage.
    pub(crate) stage: Option<String>,
    /// From this topic, with the pipeline's prefix or without.
    pub(crate) topic: Option<String>,
    /// Failed before this time (RFC 3339). Without it, letters that this request makes by failing again are left to the
    /// next one; with it, the request may be repeated at any time.
    #[schema(format = DateTime)]
    pub(crate) before: Option<String>,
}

/// A replay of many.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "filter": {"code": "json_invalid", "before": "2026-11-23T12:00:00Z"}, "max": 100,
    "by": "maria", "reason": "the parser is mended"
}))]
pub(crate) struct ReplayManyOrder {
    /// Which.
    #[serde(default)]
    pub(crate) filter: FilterOrder,
    /// Only say which: nothing is replayed.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// How many at most: 1 to 1000, 100 when it is left out.
    pub(crate) max: Option<usize>,
    /// `next` of the answer before.
    pub(crate) after: Option<String>,
    /// Who: at most 128 bytes.
    pub(crate) by: Option<String>,
    /// Why: at most 512 bytes.
    pub(crate) reason: Option<String>,
}

/// What a replay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReplayStatus {
    /// The record was appended to where it came from.
    Replayed,
    /// It had been before; nothing was done now.
    AlreadyReplayed,
}

/// The answer to a replay.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayView {
    /// Of the letter.
    pub(crate) id: String,
    /// What was done.
    pub(crate) status: ReplayStatus,
    /// The one replay of this letter: of now, or of before.
    pub(crate) replay: Replay,
}

/// A letter that was left.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SkippedView {
    /// Of the letter.
    pub(crate) id: String,
    /// Why: as the code of the problem when it is replayed alone.
    pub(crate) code: String,
}

/// The answer to a replay of many.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayManyView {
    /// The letters that were replayed now, or with `dryRun` would be. Those that were before are not named.
    pub(crate) replayed: Vec<String>,
    /// The first 100 that can not be replayed.
    pub(crate) skipped: Vec<SkippedView>,
    /// Send it as `after` to go on; absent when everything was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}
