//! The last events of a run, for a person. Nothing is formatted while none is kept.

use std::collections::VecDeque;

use kpay::names::TopicName;
use kpay_streams::sim::Decided;

use crate::topology::Topology;

/// The virtual time at which a simulation begins.
const BEGIN_MS: i64 = 1_700_000_000_000;

/// The last lines.
#[derive(Debug, Default)]
pub struct Trace {
    most: usize,
    lines: VecDeque<String>,
}

impl Trace {
    /// Keeps so many lines; none for 0.
    pub fn new(most: usize) -> Self {
        Self { most, lines: VecDeque::new() }
    }

    /// What is kept.
    pub fn lines(&self) -> impl Iterator<Item = &String> {
        self.lines.iter()
    }

    /// Notes one event.
    pub fn note(&mut self, now_ms: i64, line: impl FnOnce() -> String) {
        if self.most == 0 {
            return;
        }
        if self.lines.len() == self.most {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>8} ms  {}", now_ms - BEGIN_MS, line()));
    }

    /// Notes one transaction with its records.
    pub fn decided(&mut self, topology: &Topology, decided: &Decided) {
        if self.most == 0 {
            return;
        }
        let offsets: Vec<String> =
            decided.offsets.iter().map(|(g, o)| format!("{g} {}→{}", o.partition, o.next)).collect();
        self.note(decided.at_ms, || format!("commit of {}", offsets.join(", ")));
        for (number, record) in &decided.records {
            let name = TopicName::ALL
                .into_iter()
                .find(|topic| topology.cluster.topic_number(&topology.name(*topic)) == Some(*number));
            let (name, key) = (name.map_or("?", TopicName::as_str), String::from_utf8_lossy(&record.key));
            let at = format!("{name} {}@{}", record.partition, record.offset);
            self.note(decided.at_ms, || format!("    {at:<26} {key}"));
        }
    }
}
