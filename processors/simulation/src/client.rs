//! The clients: few accounts and few ids, so that what they ask for collides. They draw everything from one generator.

use std::rc::Rc;

use kpay::names::TopicName;
use kpay_domain::{AccountLimits, HoldVerdict, StatusChange, intake::default_id};
use kpay_kafka::partition::partition_of;
use kpay_streams::sim::Rng;

use crate::check::Books;
use crate::request::{Body, Request, Sent, Wire, garbage};
use crate::topology::Topology;

/// What the clients have sent so far.
pub struct Client {
    accounts: usize,
    sent: Vec<Rc<Request>>,
    ids: u64,
    /// New requests that are still to be sent.
    pub left: usize,
}

impl Client {
    /// Clients of a few accounts.
    pub fn new(rng: &mut Rng) -> Self {
        Self { accounts: 2 + rng.below(7), sent: Vec::new(), ids: 0, left: 40 + rng.below(160) }
    }

    /// Opens most of the accounts, in any order with the rest.
    pub fn open_accounts(&mut self, rng: &mut Rng, topology: &Topology, books: &mut Books) {
        for account in 0..self.accounts {
            if rng.below(10) > 0 {
                let currency = [None, Some("USD"), Some("USD"), Some("EUR")][rng.below(4)];
                let funding = [0, 10, 100, 300][rng.below(4)];
                let body = Body::Open { account: format!("a{account}"), currency, funding };
                self.request(body, rng, topology, books);
            }
        }
    }

    /// Sends one thing, perhaps twice.
    pub fn act(&mut self, rng: &mut Rng, topology: &Topology, books: &mut Books) {
        self.left = self.left.saturating_sub(1);
        match rng.below(100) {
            0..=11 => self.again(rng, topology, books),
            12..=17 => self.conflict(rng, topology, books),
            18..=22 => {
                let (wire, code) = garbage(rng.below(6), rng.below(250) as u8);
                let key = format!("k{}", rng.below(5));
                send(&wire, Sent::Bad(code), key.as_bytes(), topology, books);
            }
            23..=32 if topology.terms.hold_above.is_some() => self.decide(rng, topology, books),
            33..=39 => self.refunds(rng, topology, books),
            _ => {
                let body = self.body(rng, books, topology.cluster.now_ms());
                self.request(body, rng, topology, books);
                // A client that did not get its answer asks again at once.
                if rng.below(12) == 0 {
                    let last = self.sent.len() - 1;
                    self.send(last, rng, topology, books);
                }
            }
        }
    }

    fn request(&mut self, body: Body, rng: &mut Rng, topology: &Topology, books: &mut Books) {
        let id = format!("p{}", self.ids);
        self.ids += 1;
        self.sent.push(Rc::new(Request { id, body }));
        self.send(self.sent.len() - 1, rng, topology, books);
    }

    /// One or more people decide a payment, mostly one that is held; some say the same twice, some not the same.
    fn decide(&mut self, rng: &mut Rng, topology: &Topology, books: &mut Books) {
        let holds = books.held_payments();
        let (payment, payer) = match rng.below(8) {
            0 => (format!("p{}", rng.below(200)), self.account(rng)),
            1 if !self.sent.is_empty() => {
                (self.sent[rng.below(self.sent.len())].id.clone(), self.account(rng))
            }
            _ if holds.is_empty() => return,
            _ => holds[rng.below(holds.len())].clone(),
        };
        for _ in 0..=rng.below(3) {
            let account = if rng.below(10) == 0 { self.account(rng) } else { payer.clone() };
            let verdict =
                [HoldVerdict::Release, HoldVerdict::Release, HoldVerdict::Refuse, HoldVerdict::Expire];
            let verdict = verdict[rng.below(4)];
            let (payment, by) = (payment.clone(), rng.below(2) as u8);
            let usual = default_id(verdict.as_str(), &payment).as_str().to_owned();
            let body = Body::Decide { account, payment, verdict, by };
            if rng.below(2) == 0 {
                self.request(body, rng, topology, books);
            } else {
                self.sent.push(Rc::new(Request { id: usual, body }));
                self.send(self.sent.len() - 1, rng, topology, books);
            }
        }
    }

    /// Several refunds of one payment, which together may be more than it was.
    fn refunds(&mut self, rng: &mut Rng, topology: &Topology, books: &mut Books) {
        if books.paid().is_empty() {
            return;
        }
        let paid = Rc::clone(&books.paid()[rng.below(books.paid().len())]);
        let Body::Payment { from, to, amount: whole, currency, .. } = &paid.body else { return };
        for _ in 0..=rng.below(4) {
            let amount = [*whole, whole / 2, whole - 1, whole + 1, 1][rng.below(5)];
            let (from, to, refund) = (to.clone(), from.clone(), Some((paid.id.clone(), *whole)));
            let body = Body::Payment { from, to, amount, currency, reference: None, refund };
            self.request(body, rng, topology, books);
        }
    }

    fn limits(&self, rng: &mut Rng) -> Body {
        let limits = AccountLimits {
            overdraft_minor: [None, None, Some(0), Some(7)][rng.below(4)],
            daily_outflow_minor: [None, None, Some(30), Some(200)][rng.below(4)],
            daily_count: [None, None, Some(0), Some(5)][rng.below(4)],
            lowest_balance_minor: [None, None, Some(0), Some(3)][rng.below(4)],
        };
        Body::Limits { account: self.account(rng), limits }
    }

    fn again(&mut self, rng: &mut Rng, topology: &Topology, books: &mut Books) {
        if !self.sent.is_empty() {
            let near = rng.below(2) == 0;
            let back = rng.below(if near { self.sent.len().min(4) } else { self.sent.len() });
            self.send(self.sent.len() - 1 - back, rng, topology, books);
        }
    }

    /// A known id, with another body. It may even come first, since the first one may be on its way by another partition.
    fn conflict(&mut self, rng: &mut Rng, topology: &Topology, books: &mut Books) {
        if !self.sent.is_empty() {
            let id = self.sent[rng.below(self.sent.len())].id.clone();
            let body = self.body(rng, books, topology.cluster.now_ms());
            self.sent.push(Rc::new(Request { id, body }));
            self.send(self.sent.len() - 1, rng, topology, books);
        }
    }

    fn send(&mut self, index: usize, rng: &mut Rng, topology: &Topology, books: &mut Books) {
        let request = Rc::clone(&self.sent[index]);
        let wire = match rng.below(3) {
            0 => request.json(rng.below(2) == 0),
            _ => request.protobuf(),
        };
        // One in eight uses a key of its own making.
        let key = if rng.below(8) == 0 { format!("k{}", rng.below(5)) } else { request.id.clone() };
        send(&wire, Sent::Good(request), key.as_bytes(), topology, books);
    }

    fn account(&self, rng: &mut Rng) -> String {
        // One beyond the last: it was never opened.
        let beyond = usize::from(rng.below(8) == 0);
        format!("a{}", rng.below(self.accounts + beyond))
    }

    fn body(&self, rng: &mut Rng, books: &Books, now_ms: i64) -> Body {
        match rng.below(100) {
            0..=6 => Body::Fund {
                account: self.account(rng),
                amount: [0, 1, 50, 100][rng.below(4)],
                currency: [None, Some("USD"), Some("EUR"), Some("ZZZ")][rng.below(4).min(rng.below(4))],
            },
            7..=11 => Body::Open {
                account: self.account(rng),
                currency: [None, Some("USD"), Some("ZZZ")][rng.below(3)],
                funding: [0, 20, -1][rng.below(3)],
            },
            12..=15 => self.change(rng, StatusChange::Freeze),
            16..=20 => self.change(rng, StatusChange::Unfreeze),
            21..=28 => self.change(rng, StatusChange::Close),
            29..=33 => self.limits(rng),
            _ => self.payment(rng, books, now_ms),
        }
    }

    fn change(&self, rng: &mut Rng, change: StatusChange) -> Body {
        Body::Change { account: self.account(rng), change }
    }

    fn payment(&self, rng: &mut Rng, books: &Books, now_ms: i64) -> Body {
        let (from, to) = (self.account(rng), self.account(rng));
        let (held, of) = books.held(&from).unwrap_or((10, "USD"));
        let room = books.room(&from, now_ms);
        // Often just what is there, or one more.
        let amount = match rng.below(10) {
            0 | 1 => held,
            2 => held + 1,
            // Just what may be paid today, or one more.
            4 | 5 if room.is_some() => room.unwrap() + rng.up_to_ms(1),
            3 => [0, -5, i64::MAX][rng.below(3)],
            _ => [1, 5, 10, 50][rng.below(4)],
        };
        let currency = match rng.below(20) {
            0 => "ZZZ",
            1 => "EUR",
            _ => of,
        };
        let reference = (rng.below(4) == 0).then(|| rng.below(2) as u8);
        Body::Payment { from, to, amount, currency, reference, refund: None }
    }
}

/// Appends, as an acknowledged client does; what it means is told to the books.
fn send(wire: &Wire, sent: Sent, key: &[u8], topology: &Topology, books: &mut Books) {
    let partition = partition_of(key, topology.incoming);
    let name = topology.name(TopicName::Incoming);
    let offset =
        topology.cluster.produce_with_headers(&name, partition, key, &wire.value, wire.headers.clone());
    books.sent(partition, offset.expect("the topic is there"), wire, sent);
}
