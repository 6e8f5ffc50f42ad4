//! Making a call until it is answered: what may be tried again, and what a refusal means. Sleeps, but talks to nobody.

use std::thread::sleep;
use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;

use super::{TransactionError, TransactionErrorKind};
use crate::wire::WireError;

const BACKOFF_MIN: Duration = Duration::from_millis(1);
const BACKOFF_MAX: Duration = Duration::from_millis(100);

/// Why one attempt failed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It may be made again.
    Again(String),
    /// It makes no sense to.
    Failed(TransactionError),
}

impl Trouble {
    pub(crate) fn again(error: ResponseError) -> Self {
        Self::Again(format!("{error:?}"))
    }

    pub(crate) fn refused(call: &'static str, error: ResponseError) -> Self {
        let kind = match error {
            // Whether somebody else has our id, or only our transaction was too old, says the abort.
            ResponseError::ProducerFenced
            | ResponseError::InvalidProducerEpoch
            | ResponseError::InvalidTxnState
            | ResponseError::InvalidProducerIdMapping
            | ResponseError::UnknownProducerId
            | ResponseError::OutOfOrderSequenceNumber
            | ResponseError::TransactionAbortable
            | ResponseError::IllegalGeneration
            | ResponseError::UnknownMemberId
            | ResponseError::RebalanceInProgress
            | ResponseError::FencedInstanceId
            | ResponseError::StaleMemberEpoch
            | ResponseError::UnknownServerError => TransactionErrorKind::Abort,
            _ => TransactionErrorKind::Unavailable,
        };
        Self::Failed(TransactionError { call, kind, detail: format!("{error:?}") })
    }

    pub(crate) fn fenced(call: &'static str, error: ResponseError) -> Self {
        let kind = TransactionErrorKind::Fenced;
        Self::Failed(TransactionError { call, kind, detail: format!("{error:?}") })
    }

    pub(crate) fn unsupported(detail: String) -> Self {
        let kind = TransactionErrorKind::Unavailable;
        Self::Failed(TransactionError { call: "ask for versions", kind, detail })
    }
}

/// Makes attempts until one has an answer; when `time` is up the failure is of this `kind`.
pub(crate) fn persist<T>(
    call: &'static str,
    time: Duration,
    kind: TransactionErrorKind,
    mut attempt: impl FnMut() -> Result<T, Trouble>,
) -> Result<T, TransactionError> {
    let deadline = Instant::now() + time;
    let mut backoff = BACKOFF_MIN;
    loop {
        let detail = match attempt() {
            Ok(done) => return Ok(done),
            Err(Trouble::Failed(error)) => return Err(error),
            Err(Trouble::Again(detail)) => detail,
        };
        tracing::debug!(call, detail, "again");
        if Instant::now() + backoff > deadline {
            return Err(TransactionError { call, kind, detail });
        }
        sleep(backoff);
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

impl From<WireError> for Trouble {
    fn from(error: WireError) -> Self {
        Self::Again(error.to_string())
    }
}

/// Whether the protocol lets a call be made again after this error. A batch that arrived damaged would be sent with the same
/// damage.
pub(crate) fn again(error: ResponseError) -> bool {
    match error {
        ResponseError::CorruptMessage => false,
        ResponseError::ConcurrentTransactions => true,
        other => other.is_retriable(),
    }
}

/// Whether somebody else runs under our id.
pub(crate) fn fenced(error: ResponseError) -> bool {
    matches!(error, ResponseError::ProducerFenced | ResponseError::InvalidProducerEpoch)
}
