//! Calls of librdkafka that rust-rdkafka does not offer. Only I/O.
//!
//! Every `unsafe` here passes pointers that this function owns or borrows for the length of the call,
//! and frees what librdkafka hands over.

use std::ffi::{CStr, CString};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;

use crate::error::KafkaError;

/// Why a transactional call failed, and so what the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {code}: {detail} ({kind:?})")]
pub struct TransactionError {
    /// The call that failed.
    pub call: &'static str,
    /// What to do about it.
    pub kind: TransactionErrorKind,
    /// librdkafka's code.
    pub code: RDKafkaErrorCode,
    /// librdkafka's words.
    pub detail: String,
}

/// What a failed transactional call asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionErrorKind {
    /// The producer is fenced or broken for good: leave.
    Fatal,
    /// Abort the transaction and go back to the committed offsets.
    Abort,
    /// The outcome is unknown or the call may be repeated; after a time-out the producer must be replaced.
    Retriable,
}

fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

/// Commits the open transaction without rust-rdkafka's flush, which waits in steps of 100 ms.
///
/// librdkafka flushes by itself inside of the call; it needs `delivery.report.only.error=true`, because the
/// delivery reports of the binding's event queue would otherwise have to be polled for the flush to end.
pub fn commit_transaction<C: ProducerContext>(
    producer: &BaseProducer<C>,
    timeout: Duration,
) -> Result<(), TransactionError> {
    // SAFETY: the native handle lives as long as `producer`, which is borrowed over the call.
    let error = unsafe { sys::rd_kafka_commit_transaction(producer.client().native_ptr(), millis(timeout)) };
    take_error("commit_transaction", error)
}

/// Turns an owned `rd_kafka_error_t` (or null) into a result and frees it.
fn take_error(call: &'static str, error: *mut sys::rd_kafka_error_t) -> Result<(), TransactionError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, made by librdkafka for this call and owned by us until the destroy below.
    unsafe {
        let kind = if sys::rd_kafka_error_is_fatal(error) != 0 {
            TransactionErrorKind::Fatal
        } else if sys::rd_kafka_error_txn_requires_abort(error) != 0 {
            TransactionErrorKind::Abort
        } else if sys::rd_kafka_error_is_retriable(error) != 0 {
            TransactionErrorKind::Retriable
        } else {
            TransactionErrorKind::Fatal
        };
        let failure = TransactionError {
            call,
            kind,
            code: sys::rd_kafka_error_code(error).into(),
            detail: CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned(),
        };
        sys::rd_kafka_error_destroy(error);
        Err(failure)
    }
}

/// The same classification for the transactional calls that go through the binding.
pub fn classify(call: &'static str, error: &rdkafka::error::KafkaError) -> TransactionError {
    let (kind, code) = match error {
        rdkafka::error::KafkaError::Transaction(e) => {
            let kind = if e.is_fatal() {
                TransactionErrorKind::Fatal
            } else if e.txn_requires_abort() {
                TransactionErrorKind::Abort
            } else if e.is_retriable() {
                TransactionErrorKind::Retriable
            } else {
                TransactionErrorKind::Fatal
            };
            (kind, e.code())
        }
        other => {
            (TransactionErrorKind::Abort, other.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown))
        }
    };
    TransactionError { call, kind, code, detail: error.to_string() }
}

/// Sets some dynamic settings of one topic and leaves all others as they are (KIP-339).
///
/// `AdminClient::alter_configs` replaces the whole set, so that a setting left out would be reset.
pub fn alter_topic_config<C: ClientContext>(
    client: &rdkafka::client::Client<C>,
    topic: &str,
    settings: &[(&str, &str)],
    timeout: Duration,
) -> Result<(), KafkaError> {
    const CALL: &str = "alter settings";
    let nul = |text: &str| KafkaError::Nul(text.to_owned());
    let name = CString::new(topic).map_err(|_| nul(topic))?;
    let mut pairs = Vec::with_capacity(settings.len());
    for (key, value) in settings {
        pairs
            .push((CString::new(*key).map_err(|_| nul(key))?, CString::new(*value).map_err(|_| nul(value))?));
    }
    // SAFETY: all strings outlive the calls, librdkafka copies them; resource, queue and event are freed on
    // every way out below.
    unsafe {
        let mut resource = sys::rd_kafka_ConfigResource_new(
            sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
            name.as_ptr(),
        );
        for (key, value) in &pairs {
            let refused = take_error(
                CALL,
                sys::rd_kafka_ConfigResource_add_incremental_config(
                    resource,
                    key.as_ptr(),
                    sys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET,
                    value.as_ptr(),
                ),
            );
            if let Err(error) = refused {
                sys::rd_kafka_ConfigResource_destroy(resource);
                return Err(KafkaError::Topic {
                    call: CALL,
                    topic: topic.to_owned(),
                    code: error.code,
                    detail: error.detail,
                });
            }
        }
        let queue = sys::rd_kafka_queue_new(client.native_ptr());
        sys::rd_kafka_IncrementalAlterConfigs(
            client.native_ptr(),
            &raw mut resource,
            1,
            std::ptr::null(),
            queue,
        );
        let event = sys::rd_kafka_queue_poll(queue, millis(timeout));
        let answer = if event.is_null() {
            Err(KafkaError::TimedOut { call: CALL, timeout_ms: timeout.as_millis() })
        } else {
            alter_result(event, topic)
        };
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_ConfigResource_destroy(resource);
        answer
    }
}

/// Reads the answer of an incremental alter of one topic.
///
/// # Safety
/// `event` must be a live event of an `IncrementalAlterConfigs` call.
unsafe fn alter_result(event: *mut sys::rd_kafka_event_t, topic: &str) -> Result<(), KafkaError> {
    let refused = |code: sys::rd_kafka_resp_err_t, words: *const std::os::raw::c_char| {
        let detail = if words.is_null() {
            String::new()
        } else {
            // SAFETY: a NUL-terminated string that lives as long as the event.
            unsafe { CStr::from_ptr(words) }.to_string_lossy().into_owned()
        };
        Err(KafkaError::Topic { call: "alter settings", topic: topic.to_owned(), code: code.into(), detail })
    };
    // SAFETY: by the contract of this function; results are borrowed from the event.
    unsafe {
        let code = sys::rd_kafka_event_error(event);
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return refused(code, sys::rd_kafka_event_error_string(event));
        }
        let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(event);
        if result.is_null() {
            return refused(sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__FAIL, std::ptr::null());
        }
        let mut count = 0_usize;
        let resources = sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &raw mut count);
        for index in 0..count {
            let resource = *resources.add(index);
            let code = sys::rd_kafka_ConfigResource_error(resource);
            if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return refused(code, sys::rd_kafka_ConfigResource_error_string(resource));
            }
        }
    }
    Ok(())
}
