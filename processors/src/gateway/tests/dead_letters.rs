//! `/v1/dead-letters`, over a twin of ops.dlq.

mod replay;
mod shelf;

use kpay_domain::{AccountId, Attributes, Command, Currency, Money, Payment, PaymentId};

use super::*;
pub(super) use shelf::Shelf;
use shelf::{PARTITIONS, Stored};

const ORDER: &str = r#"{"by": "maria", "reason": "mended"}"#;

fn header(name: &str, value: &str) -> (String, Vec<u8>) {
    (name.to_owned(), value.as_bytes().to_vec())
}

impl Gateway {
    /// Puts a letter where a stage would, and says its id.
    fn letter(&self, at_ms: i64, code: &str, stage: StageName, value: &[u8]) -> String {
        let topic = format!("t.{}", stage.input().as_str());
        let headers = vec![
            header("content-type", "application/json"),
            header("kpay-dlq-code", code),
            header("kpay-dlq-detail", "as it is"),
            header("kpay-dlq-stage", stage.as_str()),
            header("kpay-dlq-topic", &topic),
            header("kpay-dlq-partition", "5"),
            header("kpay-dlq-offset", "77"),
        ];
        self.stored(Stored { at_ms, key: b"k-1".to_vec(), value: value.to_vec(), headers })
    }

    fn stored(&self, stored: Stored) -> String {
        let partition = usize::try_from(stored.at_ms).unwrap() % PARTITIONS;
        let records = &mut self.shelf.lock().dlq[partition];
        // As a transaction's marker in Kafka.
        records.push(None);
        records.push(Some(stored));
        format!("{partition}-{}", records.len() - 1)
    }

    /// The ids of every page.
    async fn pages(&self, query: &str) -> Vec<Vec<String>> {
        let mut pages = Vec::new();
        let mut after = String::new();
        loop {
            let got = self.get(&format!("/v1/dead-letters?{query}{after}")).await;
            assert_eq!(got.status, StatusCode::OK, "{}", got.text);
            let page = got.json();
            let letters = page["deadLetters"].as_array().unwrap();
            pages.push(letters.iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return pages,
            }
        }
    }

    /// Replays one, and says how that went.
    async fn replay(&self, id: &str) -> Got {
        self.post(&format!("/v1/dead-letters/{id}/replay"), ORDER).await
    }

    /// How many records were appended to where their letters came from.
    fn count(&self) -> usize {
        self.shelf.lock().replayed.len()
    }
}

fn debit() -> Vec<u8> {
    let payment = Payment {
        id: PaymentId::new("p-1").unwrap(),
        from: AccountId::new("alice").unwrap(),
        to: AccountId::new("bob").unwrap(),
        amount: Money::new(5, Currency::new("USD").unwrap()),
        reference: None,
        attributes: Attributes::default(),
        occurred_at_ms: None,
        refund: None,
    };
    let mut bytes = Vec::new();
    Command::Debit { payment, accepted_at_ms: 1 }.encode(&mut bytes);
    bytes
}

#[tokio::test]
async fn the_newest_letters_come_first_and_every_page_goes_on_where_the_last_one_ended() {
    let gateway = gateway();
    assert_eq!(gateway.pages("").await, [Vec::<String>::new()]);
    let mut ids: Vec<String> =
        (1..=50).map(|at_ms| gateway.letter(at_ms, "json_invalid", StageName::Inflight, b"{")).collect();
    ids.reverse();
    let pages = gateway.pages("limit=7").await;
    assert_eq!(pages.iter().map(Vec::len).max(), Some(7));
    assert_eq!(pages.concat(), ids);
    assert_eq!(gateway.pages("limit=100").await, [ids.clone()]);
    // What comes in between two pages does not shift the second one.
    let first = gateway.get("/v1/dead-letters?limit=10").await.json();
    gateway.letter(60, "json_invalid", StageName::Inflight, b"{");
    let next = first["next"].as_str().unwrap();
    let second = gateway.get(&format!("/v1/dead-letters?limit=1&after={next}")).await.json();
    assert_eq!(second["deadLetters"][0]["id"], ids[10]);
}

#[tokio::test]
async fn a_filter_that_takes_few_looks_at_a_bounded_part_and_finds_them_in_the_end() {
    let gateway = gateway();
    let wanted = gateway.letter(1, "id_invalid", StageName::Account, b"x");
    for at_ms in 2..20_000 {
        gateway.letter(at_ms, "json_invalid", StageName::Inflight, b"{");
    }
    // Once to learn what was replayed.
    gateway.get("/v1/dead-letters").await;
    for query in ["code=id_invalid", "stage=account", "topic=payment.inflight", "topic=t.payment.inflight"] {
        gateway.shelf.lock().looked_at = 0;
        let first = gateway.get(&format!("/v1/dead-letters?{query}")).await.json();
        assert_eq!(first["deadLetters"], json!([]));
        assert!(gateway.shelf.lock().looked_at < 6_000, "{}", gateway.shelf.lock().looked_at);
        let pages = gateway.pages(query).await;
        assert!(pages.len() > 3, "{}", pages.len());
        assert_eq!(pages.concat(), [wanted.as_str()], "{query}");
    }
}

#[tokio::test]
async fn a_letter_is_shown_with_its_headers_its_bytes_and_what_they_mean() {
    let gateway = gateway();
    let id = gateway.letter(1_000, "amount_not_integer", StageName::Inflight, br#"{"id": "x"}"#);
    let shown = gateway.get(&format!("/v1/dead-letters/{id}")).await.json();
    assert_eq!((&shown["code"], &shown["replays"]), (&json!("amount_not_integer"), &json!(0)));
    assert_eq!(shown["at"], "1970-01-01T00:00:01.000Z");
    assert_eq!(shown["source"], json!({"topic": "t.payment.incoming", "partition": 5, "offset": 77}));
    assert_eq!(shown["headers"], json!([{"name": "content-type", "text": "application/json"}]));
    let value = json!({
        "bytes": 11, "hex": "7b226964223a202278227d", "text": r#"{"id": "x"}"#, "decoded": {"id": "x"},
    });
    assert_eq!((&shown["value"], &shown["history"]), (&value, &json!([])));
    let id = gateway.letter(1_001, "enum_unknown", StageName::Account, &debit());
    let shown = gateway.get(&format!("/v1/dead-letters/{id}")).await.json();
    let of = json!({"id": "p-1", "from": "alice", "to": "bob", "amount": {"value": 5, "currency": "USD"}});
    assert_eq!(shown["value"]["decoded"], json!({"step": "debit", "account": "alice", "of": of}));
    assert_eq!(shown["value"]["text"], Value::Null);
    for unknown in ["0-0", "0-999", "7-1"] {
        gateway.get(&format!("/v1/dead-letters/{unknown}")).await.assert_problem(
            404,
            "letter_unknown",
            Some("id"),
        );
    }
    for bad in ["x", "0", "-1-2", "0--2", "00-1", "0-01", "0-+1", "0-99999999999999999999"] {
        gateway.get(&format!("/v1/dead-letters/{bad}")).await.assert_problem(400, "id_invalid", Some("id"));
    }
}
