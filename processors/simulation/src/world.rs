//! One history: a storm in which everything goes wrong, a calm in which everything has to be finished, and a restart after
//! which everything has to be as it was.

use std::sync::Arc;

use kpay::names::{StageName, TopicName};
use kpay::stage::figures::Figures;
use kpay_crds::{DesiredPhase, Phase};
use kpay_streams::sim::{Faults, Rng};

use crate::check::{Books, Checked, Violation, wrong};
use crate::client::Client;
use crate::control::Control;
use crate::plant::Plant;
use crate::slot::Slot;
use crate::topology::{self, SESSION_MS, Topology};
use crate::trace::Trace;

const CALM_ROUNDS: u64 = 20_000;

/// What happened in one history.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Turns of a worker.
    pub steps: u64,
    /// Transactions that were decided.
    pub transactions: u64,
    /// Records of these.
    pub records: u64,
    /// Requests that were accepted.
    pub accepted: u64,
    /// Transactions that were aborted.
    pub aborts: u64,
    /// Times that a process ended with an error or was killed.
    pub ends: u64,
    /// Times that the phase became Paused.
    pub pauses: u64,
    /// Virtual time, in milliseconds.
    pub simulated_ms: u64,
}

/// The pipeline, its clients and its operator.
pub struct World {
    topology: Topology,
    rng: Rng,
    plant: Option<Plant>,
    slots: Vec<Slot>,
    control: Control,
    client: Client,
    books: Books,
    faults: Faults,
    /// Until when no call of the brokers is answered.
    outage_until_ms: i64,
    calm: bool,
    /// How long the clients send nothing.
    rest_rounds: usize,
    figures: Arc<Figures>,
    stats: Stats,
    trace: Trace,
}

impl World {
    /// What the seed draws.
    pub fn new(seed: u64, plant: Option<Plant>, figures: Arc<Figures>, trace: Trace) -> Self {
        let mut rng = Rng::new(!seed);
        let topology = Topology::draw(seed, &mut rng);
        let faults = topology::faults(&mut rng);
        topology.cluster.set_faults(faults.clone());
        let mut slots = Vec::new();
        for (stage, most) in [(StageName::Inflight, 2), (StageName::Account, 3), (StageName::Confirmed, 2)] {
            for number in 0..=rng.below(most) {
                slots.push(Slot::new(&topology, stage, number));
            }
        }
        let (client, books) = (Client::new(&mut rng), Books::new(&topology));
        Self {
            topology,
            rng,
            plant,
            slots,
            control: Control::new(plant),
            client,
            books,
            faults,
            outage_until_ms: 0,
            calm: false,
            rest_rounds: 0,
            figures,
            stats: Stats::default(),
            trace,
        }
    }

    /// Runs the history to its end.
    pub fn run(&mut self) -> Result<Stats, Violation> {
        let began_ms = self.topology.cluster.now_ms();
        self.storm()?;
        self.calm()?;
        let now_ms = self.topology.cluster.now_ms();
        self.stats.simulated_ms = u64::try_from(now_ms - began_ms).unwrap();
        self.stats.transactions = self.books.transactions;
        self.stats.records = self.books.written;
        self.stats.accepted = u64::try_from(self.books.accepted()).unwrap();
        Ok(self.stats)
    }

    /// The last events, when a trace is kept.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    fn storm(&mut self) -> Checked {
        self.client.open_accounts(&mut self.rng, &self.topology, &mut self.books);
        while self.client.left > 0 {
            if self.rest_rounds == 0 {
                for _ in 0..self.rng.below(3) {
                    self.client.act(&mut self.rng, &self.topology, &mut self.books);
                }
            }
            self.rest_rounds = self.rest_rounds.saturating_sub(1);
            self.episode();
            self.round()?;
        }
        for _ in 0..100 {
            self.round()?;
        }
        Ok(())
    }

    /// What goes wrong once in a while, for a while.
    fn episode(&mut self) {
        let now_ms = self.topology.cluster.now_ms();
        match self.rng.below(600) {
            0..=5 => {
                self.control.desired =
                    if self.rng.below(2) == 0 { DesiredPhase::Paused } else { DesiredPhase::Running };
                // The clients rest for a while, so that a drain may end before they go on.
                self.rest_rounds = self.rng.below(120);
            }
            6 => {
                // The power fails: every process is gone.
                self.trace.note(now_ms, || "every process dies".to_owned());
                for index in 0..self.slots.len() {
                    self.end(index);
                }
            }
            7 => {
                let lasts = self.rng.up_to_ms(3 * SESSION_MS);
                self.outage_until_ms = now_ms + lasts;
                self.trace.note(now_ms, || format!("no broker answers for {lasts} ms"));
                self.topology.cluster.set_faults(Faults { unavailable: 0.9, ..self.faults.clone() });
            }
            8 | 9 => {
                // Long enough for a checkpoint's marker to count.
                let quiet = 20_000 + self.rng.up_to_ms(40_000);
                self.trace.note(now_ms, || format!("nothing happens for {quiet} ms"));
                self.topology.cluster.advance(quiet);
            }
            10..=13 => {
                let index = self.rng.below(self.slots.len());
                self.slots[index].news_ms = self.rng.up_to_ms(2_000);
            }
            14..=20 => {
                for partition in 0..self.topology.inflight {
                    self.topology.cluster.compact(&self.topology.name(TopicName::Checkpoints), partition);
                }
            }
            21..=25 => {
                let index = self.rng.below(self.slots.len());
                self.end(index);
            }
            _ => {}
        }
    }

    /// Nothing goes wrong any more: everything has to be done within a bound.
    fn calm(&mut self) -> Checked {
        self.calm = true;
        self.topology.cluster.set_faults(Faults::default());
        self.control.desired = DesiredPhase::Running;
        self.slots.iter_mut().for_each(|slot| slot.news_ms = 0);
        self.until("finished", Self::is_done)?;
        self.books.close(&self.topology)?;
        if self.rng.below(3) == 0 {
            self.control.desired = DesiredPhase::Paused;
            self.until("paused", |world| world.control.phase() == Some(Phase::Paused))?;
            // What comes now has to wait.
            for _ in 0..20 {
                self.client.act(&mut self.rng, &self.topology, &mut self.books);
                self.round()?;
            }
            self.control.desired = DesiredPhase::Running;
            self.until("finished after the pause", Self::is_done)?;
        }
        // Whatever was kept in memory alone is gone now.
        for index in 0..self.slots.len() {
            self.end(index);
            self.slots[index].down_until_ms = 0;
        }
        self.until("restored", |world| {
            world.slots.iter().all(|slot| slot.report().is_ok_and(|report| report.ready)) && world.is_done()
        })?;
        self.books.close(&self.topology)
    }

    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Checked {
        for round in 0..CALM_ROUNDS {
            self.round()?;
            if round % 16 == 0 && done(self) {
                return Ok(());
            }
        }
        let (backlog, phase) = (self.books.backlog(), self.control.phase());
        wrong("liveness", format!("not {what} in the calm: {backlog}; {phase:?}"))
    }

    fn is_done(&self) -> bool {
        self.topology.cluster.is_settled()
            && self.books.in_flight() == 0
            && self.books.backlog().is_empty()
            && self.control.phase() == Some(Phase::Running)
    }

    fn round(&mut self) -> Checked {
        let longest = if self.rng.below(50) == 0 { 200 } else { 4 };
        let pause = self.rng.up_to_ms(longest);
        self.topology.cluster.advance(pause);
        self.follow()?;
        let now_ms = self.topology.cluster.now_ms();
        if self.outage_until_ms != 0 && self.outage_until_ms <= now_ms {
            self.outage_until_ms = 0;
            let faults = if self.calm { Faults::default() } else { self.faults.clone() };
            self.topology.cluster.set_faults(faults);
        }
        if self.rng.below(3) == 0 {
            self.look()?;
        }
        let index = self.rng.below(self.slots.len());
        self.step(index)
    }

    fn look(&mut self) -> Checked {
        let before = self.control.phase();
        self.control.look(&self.topology, &self.slots);
        let phase = self.control.phase();
        if phase == before {
            return Ok(());
        }
        let now_ms = self.topology.cluster.now_ms();
        self.trace.note(now_ms, || format!("the phase is {phase:?}"));
        self.books.paused = phase == Some(Phase::Paused);
        if self.books.paused {
            self.stats.pauses += 1;
            let in_flight = self.books.in_flight();
            if in_flight > 0 {
                return wrong("paused", format!("{in_flight} in flight"));
            }
        }
        Ok(())
    }

    fn step(&mut self, index: usize) -> Checked {
        self.stats.steps += 1;
        let now_ms = self.topology.cluster.now_ms();
        let slot = &mut self.slots[index];
        if !slot.is_up() && slot.down_until_ms <= now_ms {
            slot.start(&self.topology, &self.figures, self.plant);
        }
        slot.hear(&self.control.phases, now_ms);
        let (closed, (commits, aborts)) = (slot.has_closed(), slot.counts());
        let result = slot.step();
        self.stats.aborts += slot.counts().1.saturating_sub(aborts);
        if closed && slot.counts().0 > commits {
            return wrong("gate", format!("{} commits behind a gate that it says is closed", slot.pod));
        }
        let pod = &slot.pod;
        match &result {
            Ok(()) => {}
            Err(error) => self.trace.note(now_ms, || format!("{pod} ends: {error}")),
        }
        if result.is_err() {
            self.end(index);
        }
        self.follow()?;
        self.slots[index].check(&self.topology, &self.books)
    }

    fn end(&mut self, index: usize) {
        let now_ms = self.topology.cluster.now_ms();
        self.stats.ends += 1;
        self.slots[index].kill();
        // Some come back at once, some only after their session expired.
        self.slots[index].down_until_ms = now_ms + self.rng.up_to_ms(2 * SESSION_MS);
    }

    /// Follows what was decided since.
    fn follow(&mut self) -> Checked {
        for decided in self.topology.cluster.take_journal() {
            self.trace.decided(&self.topology, &decided);
            self.books.follow(&decided)?;
        }
        Ok(())
    }
}
