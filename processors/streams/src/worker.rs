//! The worker loop: poll → process → commit → fold. One OS thread drives one worker.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::warn;

use crate::control::{Gate, GateState, Report};
use crate::log::{Assigned, Log, LogError, Polled};
use crate::out::{Out, Taken, Topic, TopicIndex};
use crate::record::{NOT_WRITTEN, NoHeaders, Record};
use crate::stage::Stage;

mod assignment;
mod pace;
mod recovery;
mod slow_start;
mod transaction;

use pace::Pace;
use slow_start::SlowStart;
use transaction::Transaction;

/// When a worker commits, and how long it waits.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Commit when this many records were processed in the open transaction.
    pub commit_records_max: usize,
    /// Commit when the open transaction is this old, in milliseconds. With nothing more waiting it commits at
    /// once, so this bounds the latency only while busy.
    pub commit_interval_ms: i64,
    /// With nothing more waiting, how long an open transaction waits for company before it is committed, in
    /// milliseconds: fewer and larger transactions for a little latency.
    pub commit_linger_ms: i64,
    /// Records taken from the log between two looks at the clock.
    pub poll_records_max: usize,
    /// How long an idle worker waits for a record; also the longest time to notice a new epoch.
    pub idle_wait_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            commit_records_max: 10_000,
            commit_interval_ms: 20,
            commit_linger_ms: 0,
            poll_records_max: 256,
            idle_wait_ms: 25,
        }
    }
}

/// What one step did; the simulation and the thread's loop look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Something was done.
    Progressed,
    /// Nothing came.
    Idle,
}

#[derive(Debug)]
struct Owned {
    /// The last committed offset: where an abort goes back to.
    committed: i64,
    /// The next offset to be processed.
    next: i64,
    /// Whether the log delivers it.
    reading: bool,
}

/// The first of a worker's topics is what it reads.
const INPUT: TopicIndex = TopicIndex(0);
/// A wait for the rate from which on the partitions are paused: without that the log is not asked for records, and so
/// cannot tell of a rebalance; but to pause costs a fetch.
const REST_MIN: Duration = Duration::from_millis(500);
/// How far ahead of ours another machine's clock may be, in milliseconds.
const SKEW_MAX_MS: i64 = 10_000;

/// The time of a step: never before its cause, since the clock was read before the wait and the writer's may be ahead;
/// but no sender can move it into the future with a timestamp of its own.
fn moment(now_ms: i64, written_ms: i64) -> i64 {
    if written_ms.saturating_sub(now_ms) <= SKEW_MAX_MS { now_ms.max(written_ms) } else { now_ms }
}

/// Handles what the stage sent to its own input since `made`, and what comes of that, where the partition is `ours`.
/// Says how many records that were.
fn handle_own(
    stage: &mut impl Stage,
    made: usize,
    now_ms: i64,
    ours: impl Fn(i32) -> bool,
    out: &mut Out,
    taken: &mut Taken,
) -> usize {
    let (mut number, mut handled) = (made, 0);
    while number < out.len() {
        if out.take(number, INPUT, &ours, taken) {
            let record = Record {
                partition: taken.partition,
                offset: NOT_WRITTEN,
                timestamp_ms: now_ms,
                key: &taken.key,
                value: &taken.value,
                headers: &NoHeaders,
            };
            stage.process(&record, now_ms, out);
            handled += 1;
        }
        number += 1;
    }
    handled
}

/// A log, a stage and the loop that binds them.
pub struct Worker<L, S> {
    log: L,
    stage: S,
    settings: Settings,
    gate: Arc<Gate>,
    /// Whether the input is the pipeline's intake, which a closed gate stops.
    intake: bool,
    pace: Pace,
    /// The intake is on its way back to its full rate.
    slow_start: Option<SlowStart>,
    /// The rate allows nothing for so long that the partitions are paused.
    resting: bool,
    report: Arc<Report>,
    /// Ours, and not restored yet.
    restoring: VecDeque<Assigned>,
    owned: BTreeMap<i32, Owned>,
    transaction: Option<Transaction>,
    acked: Option<GateState>,
    out: Out,
    taken: Taken,
}

impl<L: Log, S: Stage> Worker<L, S> {
    /// A worker over `topics` (the first is the input). It reads nothing before `gate` has learned an epoch, and
    /// acknowledges each.
    pub fn new(
        log: L,
        stage: S,
        topics: &[Topic],
        settings: Settings,
        gate: Arc<Gate>,
        report: Arc<Report>,
    ) -> Self {
        Self {
            log,
            stage,
            settings,
            gate,
            intake: false,
            pace: Pace::new(topics.first().map_or(1, |topic| topic.partitions)),
            slow_start: None,
            resting: false,
            report,
            restoring: VecDeque::new(),
            owned: BTreeMap::new(),
            transaction: None,
            acked: None,
            out: Out::new(topics),
            taken: Taken::default(),
        }
    }

    /// Marks the input as the pipeline's intake: it is read only while the gate is open, and as fast as it says, slowly at
    /// first when it opens again.
    #[must_use]
    pub fn intake(mut self) -> Self {
        self.intake = true;
        self
    }

    /// One turn of the loop. Waiting is not an error; an abort is handled within. An `Err` ends the worker.
    pub fn step(&mut self) -> Result<Step, LogError> {
        self.report.alive_ms.store(self.log.now_ms(), Ordering::Relaxed);
        match self.turn() {
            Err(LogError::Abort(reason)) => {
                warn!(reason, "transaction aborted, going back to the committed offsets");
                self.rewind()?;
                Ok(Step::Progressed)
            }
            Err(LogError::Unknown(reason)) => {
                warn!(reason, "outcome of a commit is unknown, asking the broker");
                self.find_out()?;
                Ok(Step::Progressed)
            }
            other => other,
        }
    }

    /// Commits what is open, so that a graceful stop leaves nothing for the time-out.
    pub fn finish(&mut self) -> Result<(), LogError> {
        self.settle()
    }

    fn turn(&mut self) -> Result<Step, LogError> {
        self.follow_gate()?;
        let (wait, max) = self.pace()?;
        let progressed = match self.poll(wait, max)? {
            Polled::Records(_) => {
                self.append()?;
                if self.commit_is_due() {
                    self.commit()?;
                }
                true
            }
            // Nothing more is waiting: whoever waits for these outputs gets them now.
            Polled::Nothing if self.transaction.is_some() => {
                self.commit()?;
                true
            }
            Polled::Nothing => false,
            // What is to be given up is not restored first.
            Polled::Assigned(partitions) => {
                self.assign(partitions);
                return Ok(Step::Progressed);
            }
            Polled::Revoked { partitions, lost } => {
                self.revoke(&partitions, lost)?;
                return Ok(Step::Progressed);
            }
        };
        let restored = self.restore_next()?;
        Ok(if progressed || restored { Step::Progressed } else { Step::Idle })
    }

    /// How long to wait for how many records. None while the rate of the intake allows none; they stay in the log.
    fn pace(&mut self) -> Result<(Duration, usize), LogError> {
        let (wait, max) = (self.wait(), self.settings.poll_records_max);
        if !self.intake || self.owned.is_empty() || !self.acked.is_some_and(|gate| gate.open) {
            return Ok((wait, max));
        }
        let owned = self.owned.len();
        let now_ms = self.log.now_ms();
        self.slow_start = self.slow_start.filter(|slow| !slow.is_over(now_ms));
        let full = self.gate.rate();
        let rate = self.slow_start.map_or(full, |slow| slow.rate(full, now_ms));
        let allowed = self.pace.allowed(rate, owned, now_ms);
        let due = self.pace.due(owned);
        let resting = allowed == Some(0) && (self.resting || due >= REST_MIN);
        if resting != self.resting {
            self.resting = resting;
            self.open_or_close()?;
        }
        Ok(match allowed {
            None => (wait, max),
            // A paused partition delivers nothing, and the log can tell of everything else.
            Some(0) if resting => (wait.min(due), max),
            Some(0) => (wait.min(due), 0),
            Some(allowed) => (wait, max.min(allowed)),
        })
    }

    fn wait(&self) -> Duration {
        if !self.restoring.is_empty() {
            return Duration::ZERO;
        }
        let Some(transaction) = &self.transaction else {
            return Duration::from_millis(self.settings.idle_wait_ms);
        };
        let linger_ms = self.settings.commit_linger_ms;
        let left_ms = linger_ms.saturating_sub(transaction.age_ms(self.log.now_ms())).min(linger_ms);
        Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))
    }

    fn poll(&mut self, wait: Duration, max: usize) -> Result<Polled, LogError> {
        let Self { log, stage, owned, out, taken, .. } = self;
        let now_ms = log.now_ms();
        let (mut processed, mut read) = (0, 0);
        let polled = log.poll(wait, max, &mut |record| {
            // A record that was seen already (or is not ours) may come again around a seek.
            let ours = owned.get_mut(&record.partition);
            if let Some(partition) = ours.filter(|p| record.offset >= p.next) {
                partition.next = record.offset + 1;
                let now_ms = moment(now_ms, record.timestamp_ms);
                let made = out.len();
                stage.process(record, now_ms, out);
                (processed, read) = (processed + 1, read + 1);
                if stage.handles_own() {
                    processed += handle_own(stage, made, now_ms, |p| owned.contains_key(&p), out, taken);
                }
            }
        })?;
        self.pace.spend(read);
        // Without a new record there is no offset to commit, and nothing that the group would check us by.
        if processed > 0 {
            self.transaction.get_or_insert_default().records += processed;
        }
        Ok(polled)
    }
}

#[cfg(test)]
mod tests {
    use super::{SKEW_MAX_MS, moment};

    #[test]
    fn a_step_is_not_before_its_cause_and_not_in_a_senders_future() {
        assert_eq!(moment(100, 90), 100);
        assert_eq!(moment(100, 130), 130);
        assert_eq!(moment(100, 101 + SKEW_MAX_MS), 100);
        assert_eq!(moment(100, i64::MAX), 100);
    }
}
