//! The public REST API as a caller sees it. Only I/O.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use kpay_domain::Intake;
use reqwest::blocking::Client;
use serde_json::{Value, json};

/// A caller.
pub struct Rest {
    base: String,
    client: Client,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// Null when it is no JSON.
    pub body: Value,
}

impl Answer {
    /// A text of the body; empty when there is none.
    pub fn text(&self, field: &str) -> &str {
        self.body.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Rest {
    /// `base` is `http://host:port`.
    pub fn new(base: &str) -> anyhow::Result<Self> {
        let client = Client::builder().timeout(Duration::from_mins(1)).build()?;
        Ok(Self { base: base.to_owned(), client })
    }

    /// Posts a body as it is. `wait_s` is how long to wait for the outcome.
    pub fn post_bytes(&self, path: &str, body: Vec<u8>, wait_s: Option<u32>) -> anyhow::Result<Answer> {
        let mut request = self.client.post(format!("{}{path}", self.base));
        request = request.header("content-type", "application/json").body(body);
        if let Some(wait_s) = wait_s {
            request = request.header("prefer", format!("wait={wait_s}"));
        }
        answer(request.send()?)
    }

    /// Posts JSON.
    pub fn post(&self, path: &str, body: &Value, wait_s: Option<u32>) -> anyhow::Result<Answer> {
        self.post_bytes(path, serde_json::to_vec(body)?, wait_s)
    }

    /// Gets.
    pub fn get(&self, path: &str) -> anyhow::Result<Answer> {
        answer(self.client.get(format!("{}{path}", self.base)).send()?)
    }

    /// Posts until the answer is another than "not now", for at most a minute: an intake may be sent again.
    pub fn post_patiently(&self, path: &str, body: &Value, wait_s: Option<u32>) -> anyhow::Result<Answer> {
        patiently(|| self.post(path, body, wait_s))
    }

    /// Gets until the answer is another than "not now", for at most a minute.
    pub fn get_patiently(&self, path: &str) -> anyhow::Result<Answer> {
        patiently(|| self.get(path))
    }

    /// The dead letters, the newest first, once there are `count`.
    pub fn dead_letters(&self, count: usize) -> anyhow::Result<Vec<Value>> {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let answer = self.get_patiently("/v1/dead-letters?limit=100")?;
            let letters = answer.body.get("deadLetters").and_then(Value::as_array);
            let letters = letters.with_context(|| format!("{answer:?}"))?;
            if letters.len() >= count {
                return Ok(letters.clone());
            }
            anyhow::ensure!(Instant::now() < deadline, "there are not {count} dead letters: {answer:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Replays a dead letter, and says what was done: `replayed` or `already_replayed`.
    pub fn replay(&self, letter: &str) -> anyhow::Result<String> {
        let body = json!({"by": "tester", "reason": "a test"});
        let answer = self.post_patiently(&format!("/v1/dead-letters/{letter}/replay"), &body, None)?;
        anyhow::ensure!(answer.status == 200, "replay {letter}: {answer:?}");
        Ok(answer.text("status").to_owned())
    }

    /// Opens an account and waits until it is there.
    pub fn open(&self, id: &str, funding: i64) -> anyhow::Result<()> {
        let body = json!({"id": id, "currency": "USD", "funding": funding});
        let answer = self.post_patiently("/v1/accounts", &body, Some(30))?;
        anyhow::ensure!(
            answer.status == 200 && answer.text("status") == "confirmed",
            "open {id}: {answer:?}"
        );
        Ok(())
    }

    /// The balances of accounts.
    pub fn balances<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a String>,
    ) -> anyhow::Result<BTreeMap<String, i64>> {
        let mut balances = BTreeMap::new();
        for id in ids {
            let answer = self.get_patiently(&format!("/v1/accounts/{id}"))?;
            let balance = answer.body.get("balance").and_then(Value::as_i64);
            balances.insert(id.clone(), balance.with_context(|| format!("{id}: {answer:?}"))?);
        }
        Ok(balances)
    }
}

fn answer(response: reqwest::blocking::Response) -> anyhow::Result<Answer> {
    let status = response.status().as_u16();
    let body = response.bytes()?;
    Ok(Answer { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
}

fn patiently(mut ask: impl FnMut() -> anyhow::Result<Answer>) -> anyhow::Result<Answer> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        match ask() {
            Ok(answer) if answer.status != 503 => return Ok(answer),
            not_now if Instant::now() > deadline => bail!("still not after a minute: {not_now:?}"),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// The JSON of a payment in US dollars.
pub fn payment(id: &str, from: &str, to: &str, minor: i64) -> Value {
    json!({"id": id, "from": from, "to": to, "amount": {"value": minor, "currency": "USD"}})
}

/// The JSON of an intake that is a payment in US dollars.
pub fn as_json(intake: &Intake) -> anyhow::Result<Value> {
    let Intake::Payment(paid) = intake else { bail!("{intake:?} is no payment") };
    Ok(payment(paid.id.as_str(), paid.from.as_str(), paid.to.as_str(), paid.amount.minor))
}
