//! Calls of librdkafka that rust-rdkafka does not offer. Only I/O.
//!
//! Every `unsafe` here passes pointers that this function owns or borrows for the length of the call,
//! and frees what librdkafka hands over.

use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;

use crate::error::KafkaError;

/// A consumer as its group knows it: what a transaction's offsets are checked by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupMember {
    /// The group.
    pub group: String,
    /// Grows with each rebalance; −1 before the first.
    pub generation: i32,
    /// Given by the coordinator.
    pub member: String,
    /// `group.instance.id`, for a static member.
    pub instance: Option<String>,
}

fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

/// What the group knows of `client`, a consumer; `None` when it has no group.
pub fn group_member<C: ClientContext>(client: &Client<C>) -> Option<GroupMember> {
    // SAFETY: the native handle lives as long as `client`. The metadata is ours until the destroy below, and its strings
    // live as long as it.
    unsafe {
        let metadata = sys::rd_kafka_consumer_group_metadata(client.native_ptr());
        if metadata.is_null() {
            return None;
        }
        let member = GroupMember {
            group: text(sys::rd_kafka_consumer_group_metadata_group_id(metadata)).unwrap_or_default(),
            generation: sys::rd_kafka_consumer_group_metadata_generation_id(metadata),
            member: text(sys::rd_kafka_consumer_group_metadata_member_id(metadata)).unwrap_or_default(),
            instance: text(sys::rd_kafka_consumer_group_metadata_group_instance_id(metadata)),
        };
        sys::rd_kafka_consumer_group_metadata_destroy(metadata);
        Some(member)
    }
}

/// A copy of a C string; `None` for null.
///
/// # Safety
/// `words` must be null or NUL-terminated.
unsafe fn text(words: *const c_char) -> Option<String> {
    // SAFETY: not null here, and NUL-terminated by the contract of this function.
    (!words.is_null()).then(|| unsafe { CStr::from_ptr(words) }.to_string_lossy().into_owned())
}

/// An `rd_kafka_error_t` (or null) as a code and words; frees it.
fn take_error(error: *mut sys::rd_kafka_error_t) -> Result<(), (RDKafkaErrorCode, String)> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, made by librdkafka for this call and owned by us until the destroy below.
    unsafe {
        let code = sys::rd_kafka_error_code(error).into();
        let detail = text(sys::rd_kafka_error_string(error)).unwrap_or_default();
        sys::rd_kafka_error_destroy(error);
        Err((code, detail))
    }
}

/// Sets some dynamic settings of one topic and leaves all others as they are (KIP-339).
///
/// `AdminClient::alter_configs` replaces the whole set, so that a setting left out would be reset.
pub fn alter_topic_config<C: ClientContext>(
    client: &Client<C>,
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
            let refused = take_error(sys::rd_kafka_ConfigResource_add_incremental_config(
                resource,
                key.as_ptr(),
                sys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET,
                value.as_ptr(),
            ));
            if let Err((code, detail)) = refused {
                sys::rd_kafka_ConfigResource_destroy(resource);
                return Err(KafkaError::Topic { call: CALL, topic: topic.to_owned(), code, detail });
            }
        }
        let answer = answer(client, CALL, timeout, |queue| {
            sys::rd_kafka_IncrementalAlterConfigs(
                client.native_ptr(),
                &raw mut resource,
                1,
                std::ptr::null(),
                queue,
            );
        });
        sys::rd_kafka_ConfigResource_destroy(resource);
        alter_result(answer?.0, topic)
    }
}

/// The answer of an administrator's call; freed when dropped.
struct Answer(*mut sys::rd_kafka_event_t);

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: ours since the queue gave it, and not null.
        unsafe { sys::rd_kafka_event_destroy(self.0) }
    }
}

/// Makes a call that answers by a queue, and waits for the answer.
fn answer<C: ClientContext>(
    client: &Client<C>,
    call: &'static str,
    timeout: Duration,
    ask: impl FnOnce(*mut sys::rd_kafka_queue_t),
) -> Result<Answer, KafkaError> {
    // SAFETY: the native handle lives as long as `client`; the queue is ours until the destroy below.
    let event = unsafe {
        let queue = sys::rd_kafka_queue_new(client.native_ptr());
        ask(queue);
        let event = sys::rd_kafka_queue_poll(queue, millis(timeout));
        sys::rd_kafka_queue_destroy(queue);
        event
    };
    if event.is_null() {
        return Err(KafkaError::TimedOut { call, timeout_ms: timeout.as_millis() });
    }
    Ok(Answer(event))
}

/// What a cluster says of a topic: partitions, and copies of the first one.
pub type TopicFound = Result<(i32, i32), RDKafkaErrorCode>;

/// What the cluster says of these topics; of each that is not there, an error of its own.
pub fn describe_topics<C: ClientContext>(
    client: &Client<C>,
    names: &[String],
    timeout: Duration,
) -> Result<Vec<(String, TopicFound)>, KafkaError> {
    const CALL: &str = "describe topics";
    let nul = |name: &String| CString::new(name.as_str()).map_err(|_| KafkaError::Nul(name.clone()));
    let names: Vec<CString> = names.iter().map(nul).collect::<Result<_, _>>()?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: librdkafka copies the names; the collection is ours until the destroy below.
    let answer = unsafe {
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let answer = answer(client, CALL, timeout, |queue| {
            sys::rd_kafka_DescribeTopics(client.native_ptr(), topics, std::ptr::null(), queue);
        });
        sys::rd_kafka_TopicCollection_destroy(topics);
        answer?
    };
    // SAFETY: all that is read is borrowed from the event, which lives until the end of this function.
    unsafe {
        let code = sys::rd_kafka_event_error(answer.0);
        let result = sys::rd_kafka_event_DescribeTopics_result(answer.0);
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || result.is_null() {
            let detail = text(sys::rd_kafka_event_error_string(answer.0)).unwrap_or_default();
            return Err(KafkaError::Refused { call: CALL, detail });
        }
        let mut count = 0_usize;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        Ok((0..count).map(|index| topic_found(*topics.add(index))).collect())
    }
}

/// One topic of an answer.
///
/// # Safety
/// `topic` must be a topic of an answer that lives.
unsafe fn topic_found(topic: *const sys::rd_kafka_TopicDescription_t) -> (String, TopicFound) {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    // SAFETY: by the contract of this function; a topic without an error has its partitions.
    unsafe {
        let name = text(sys::rd_kafka_TopicDescription_name(topic)).unwrap_or_default();
        let error = sys::rd_kafka_TopicDescription_error(topic);
        let code: RDKafkaErrorCode = sys::rd_kafka_error_code(error).into();
        if code != RDKafkaErrorCode::NoError {
            return (name, Err(code));
        }
        let (mut partitions, mut copies) = (0_usize, 0_usize);
        let found = sys::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        if partitions > 0 {
            sys::rd_kafka_TopicPartitionInfo_replicas(*found, &raw mut copies);
        }
        (name, Ok((count(partitions), count(copies))))
    }
}

/// Reads the answer of an incremental alter of one topic.
///
/// # Safety
/// `event` must be a live event of an `IncrementalAlterConfigs` call.
unsafe fn alter_result(event: *mut sys::rd_kafka_event_t, topic: &str) -> Result<(), KafkaError> {
    let refused = |code: sys::rd_kafka_resp_err_t, words: *const c_char| {
        // SAFETY: null, or a NUL-terminated string that lives as long as the event.
        let detail = unsafe { text(words) }.unwrap_or_default();
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

/// Gives memory that was freed back to the machine, also from the middle of the heap: clients that come and go leave it in
/// holes. Of glibc; elsewhere the allocator is left alone.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        // SAFETY: it takes no pointer, and may be called from any thread at any time.
        let _ = unsafe { malloc_trim(0) }; // whether there was any
    }
}
