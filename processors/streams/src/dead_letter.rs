//! The headers of a dead letter. Pure.

/// Before the name of every header that tells of a dead letter.
pub const PREFIX: &str = "kpay-dlq-";
/// Why it could not be read: stable, `snake_case`.
pub const CODE: &str = "kpay-dlq-code";
/// As [`CODE`], for people.
pub const DETAIL: &str = "kpay-dlq-detail";
/// The stage that refused it.
pub const STAGE: &str = "kpay-dlq-stage";
/// Full name of the topic where it lies.
pub const TOPIC: &str = "kpay-dlq-topic";
/// The partition where it lies.
pub const PARTITION: &str = "kpay-dlq-partition";
/// Its offset there.
pub const OFFSET: &str = "kpay-dlq-offset";
/// How long the value was before it was cut, in bytes.
pub const CUT_FROM: &str = "kpay-dlq-cut-from";

/// How often the record was replayed so far. This header and the two below go with a record that is replayed, so that
/// it still has them when it fails again.
pub const REPLAYS: &str = "kpay-dlq-replays";
/// The dead letter that it was replayed from.
pub const REPLAY_OF: &str = "kpay-dlq-replay-of";
/// One header for each earlier failure, the oldest first, as JSON.
pub const HISTORY: &str = "kpay-dlq-history";

/// Only on the record that says that a dead letter of the same partition was replayed: that letter.
pub const REPLAYED: &str = "kpay-dlq-replayed";

/// Whether a header is of this failure alone, and not of the record that failed.
pub fn of_one_failure(name: &str) -> bool {
    [CODE, DETAIL, STAGE, TOPIC, PARTITION, OFFSET, CUT_FROM, REPLAYED].contains(&name)
}
