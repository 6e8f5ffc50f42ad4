//! The stage alone: what it makes of what a sender says of time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kpay_domain::{Currency, Policy, intake};
use kpay_streams::log::{LogError, Reader, Start, Until};
use kpay_streams::out::{Out, Topic, TopicIndex};
use kpay_streams::record::{NoHeaders, Record};
use kpay_streams::stage::Stage;

use super::InflightStage;
use crate::live::Live;
use crate::names::{Names, StageName, TopicName};
use crate::stage::counters::Counters;

const DAY_MS: i64 = 86_400_000;
const NOW_MS: i64 = 1_785_000_000_000;

/// The payments that payment.incoming has, by offset and id.
struct Has(&'static [(i64, &'static str)]);

fn body(id: &str) -> Vec<u8> {
    let body = format!(r#"{{"id":"{id}","from":"a","to":"b","amount":{{"value":1,"currency":"USD"}}}}"#);
    let mut value = Vec::new();
    intake::payment_from_json(body.as_bytes(), None).unwrap().encode(&mut value);
    value
}

fn record(offset: i64, value: &[u8]) -> Record<'_> {
    Record { partition: 0, offset, timestamp_ms: NOW_MS, key: b"", value, headers: &NoHeaders }
}

impl Reader for Has {
    fn read(
        &mut self,
        _topic: TopicIndex,
        _partition: i32,
        _from: Start,
        _until: Until,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), LogError> {
        for (offset, id) in self.0 {
            each(&record(*offset, &body(id)));
        }
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        NOW_MS
    }
}

#[test]
fn an_id_from_before_the_start_is_free_and_a_restart_keeps_the_start() {
    let topic = |topic: &TopicName| Topic { name: topic.as_str().to_owned(), partitions: 1 };
    let topics: Vec<Topic> = StageName::Inflight.topics().iter().map(topic).collect();
    for (committed, metadata, accepted, kept) in [
        // Just begun: neither is known.
        (6, "v1;0@6", 2, "v1;2;USD=2@6"),
        // The first was passed over, the second is known.
        (6, "v1;1;USD=1@5", 1, "v1;2;USD=2@5"),
        // From the beginning: both are known.
        (6, "v1;2;USD=2", 0, "v1;2;USD=2"),
        (6, "", 0, "v1;0"),
    ] {
        let (counters, mut out) = (Arc::<Counters>::default(), Out::new(&topics));
        let policy = Live::fixed(Policy::new(Currency::new("USD").unwrap()));
        let names = Names { prefix: String::new() };
        let mut stage = InflightStage::new(&names, 1, policy, Arc::default(), DAY_MS, Arc::clone(&counters));
        stage.restore(0, committed, metadata, &mut Has(&[(4, "p-4"), (5, "p-5")])).unwrap();
        for (offset, id) in [(6, "p-4"), (7, "p-5")] {
            stage.process(&record(offset, &body(id)), NOW_MS, &mut out);
        }
        stage.commit();
        assert_eq!(counters.accepted.load(Ordering::Relaxed), accepted, "{metadata}");
        assert_eq!(stage.metadata(0), kept);
    }
}

#[test]
fn a_copy_is_known_whatever_its_sender_says_of_the_time() {
    for stamp in [NOW_MS, NOW_MS - 28 * DAY_MS / 24, NOW_MS + 400 * DAY_MS, 0] {
        let topic = |topic: &TopicName| Topic { name: topic.as_str().to_owned(), partitions: 1 };
        let topics: Vec<Topic> = StageName::Inflight.topics().iter().map(topic).collect();
        let (counters, mut out) = (Arc::<Counters>::default(), Out::new(&topics));
        let policy = Live::fixed(Policy::new(Currency::new("USD").unwrap()));
        let names = Names { prefix: String::new() };
        let mut stage = InflightStage::new(&names, 1, policy, Arc::default(), DAY_MS, Arc::clone(&counters));
        stage.restore(0, 0, "", &mut Has(&[])).unwrap();
        let mut value = Vec::new();
        let body = br#"{"id":"p-1","from":"a","to":"b","amount":{"value":1,"currency":"USD"}}"#;
        intake::payment_from_json(body, None).unwrap().encode(&mut value);
        for offset in 0..3 {
            let record = Record {
                partition: 0,
                offset,
                timestamp_ms: stamp,
                key: b"p-1",
                value: &value,
                headers: &NoHeaders,
            };
            stage.process(&record, NOW_MS + offset, &mut out);
            stage.commit();
        }
        let counted =
            (counters.accepted.load(Ordering::Relaxed), counters.duplicates.load(Ordering::Relaxed));
        assert_eq!(counted, (1, 2), "stamped {stamp}");
    }
}
