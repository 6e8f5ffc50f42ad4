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

struct Empty;

impl Reader for Empty {
    fn read(
        &mut self,
        _topic: TopicIndex,
        _partition: i32,
        _from: Start,
        _until: Until,
        _each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), LogError> {
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        NOW_MS
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
        stage.restore(0, 0, "", &mut Empty).unwrap();
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
