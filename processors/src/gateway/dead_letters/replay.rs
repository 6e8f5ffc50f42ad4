//! Replays letters, each at most once. No I/O but through the seam.
//!
//! A record of payment.incoming may come twice, since its id tells copies apart for as long as the window is; a command or
//! an outcome inside the pipeline must not: a debit that comes twice is taken twice. So a letter of any topic is replayed
//! at most once: the record and a mark in ops.dlq are appended in one transaction by the only replayer there is, which
//! has read all marks since it became the only one. What fails again is a letter of its own, which can be replayed.

use std::ops::Range;
use std::time::{Duration, Instant};

use kpay_kafka::partition::partition_of;
use parking_lot::Mutex;

use super::dto::Replay;
use super::letter::{Full, Letter, LetterId, Mark};
use super::list::{Cursor, Filter, Page, page};
use super::log::{LetterLog, LettersError, Part, Replayer};
use super::replayed::{Marked, Replayed};
use crate::names::{Names, StageName};

/// A record beyond this is not replayed: with its history, a topic might not take it, and no stage reads one that is
/// longer than 256 KiB.
const RECORD_BYTES_MAX: usize = 900_000;
/// Offsets that one request to replay many looks at, at most.
const OFFSETS_MAX: i64 = 20_000;
/// Looked at between two looks at the time, in offsets.
const STEP: i64 = 200;
/// A request to replay many begins nothing new after this.
const REPLAY_TIME: Duration = Duration::from_secs(20);
/// Letters that are named as skipped, at most.
const SKIPPED_MAX: usize = 100;

/// Why a letter is not replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The record is too long, or cut.
    TooLarge,
    /// It came from no topic of this pipeline that a stage reads.
    SourceUnknown,
    /// It would move money while nothing may.
    Paused,
}

impl Refusal {
    /// Stable code.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "letter_too_large",
            Self::SourceUnknown => "letter_source_unknown",
            Self::Paused => "pipeline_paused",
        }
    }
}

/// What became of a request for one letter.
#[derive(Debug)]
pub(super) enum Replaying<T> {
    Done(T),
    /// No such letter.
    Unknown,
    /// It is not known yet which letters were replayed; the next request reads on.
    Reading,
}

/// A page, and the mark of each of its letters.
pub(super) struct Listed {
    pub(super) page: Page,
    pub(super) marks: Vec<Option<Marked>>,
}

/// One letter.
pub(super) struct Shown {
    pub(super) full: Full,
    /// The stage that reads the topic where it came from.
    pub(super) source: Option<StageName>,
    pub(super) marked: Option<Marked>,
    pub(super) replay: Option<Replay>,
}

/// What a replay of one letter did.
#[derive(Debug)]
pub(super) enum One {
    Replayed(Replay),
    Already(Replay),
    Refused(Refusal),
}

/// What a replay of many did.
#[derive(Debug, Default)]
pub(super) struct Many {
    pub(super) replayed: Vec<LetterId>,
    pub(super) skipped: Vec<(LetterId, Refusal)>,
    pub(super) next: Option<Cursor>,
}

/// A replay of many, as it was asked for.
pub(super) struct Order {
    pub(super) filter: Filter,
    pub(super) max: usize,
    pub(super) after: Option<Cursor>,
    pub(super) replay: Replay,
    /// Whether commands inside the pipeline may be carried out.
    pub(super) inside: bool,
    /// Only say which.
    pub(super) dry_run: bool,
}

/// Reads and replays the letters; every call blocks.
pub(super) struct Desk {
    log: Box<dyn LetterLog>,
    names: Names,
    replayed: Mutex<Replayed>,
}

impl Desk {
    pub(super) fn new(log: Box<dyn LetterLog>, names: Names) -> Self {
        Self { log, names, replayed: Mutex::default() }
    }

    /// The newest letters that the filter takes, with their marks.
    pub(super) fn list(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Replaying<Listed>, LettersError> {
        let ends = self.log.ends()?;
        let mut known = self.replayed.lock();
        if !known.catch_up(&*self.log, &ends)? {
            return Ok(Replaying::Reading);
        }
        let takes = |letter: &Letter| filter.takes(letter, &self.names.prefix);
        let page = page(&*self.log, &ends, after, limit, &takes)?;
        let marks = page.letters.iter().map(|letter| known.get(letter.id)).collect();
        Ok(Replaying::Done(Listed { page, marks }))
    }

    /// One letter, and how it was replayed.
    pub(super) fn show(&self, id: LetterId) -> Result<Replaying<Shown>, LettersError> {
        let ends = self.log.ends()?;
        let Some(full) = self.letter(&ends, id)? else { return Ok(Replaying::Unknown) };
        let mut known = self.replayed.lock();
        if !known.catch_up(&*self.log, &ends)? {
            return Ok(Replaying::Reading);
        }
        let marked = known.get(id);
        let replay = marked.map(|marked| self.replay_at(id, marked)).transpose()?;
        let source = full.letter.source(&self.names);
        Ok(Replaying::Done(Shown { full, source, marked, replay }))
    }

    /// Replays one letter, unless it was.
    pub(super) fn replay(
        &self,
        id: LetterId,
        replay: Replay,
        inside: bool,
    ) -> Result<Replaying<One>, LettersError> {
        let Some(full) = self.letter(&self.log.ends()?, id)? else { return Ok(Replaying::Unknown) };
        let mut known = self.replayed.lock();
        let mut replayer = self.log.replayer()?;
        // Read after there was no other replayer any more: what is not marked by now never was replayed.
        if !known.catch_up(&*self.log, &self.log.ends()?)? {
            return Ok(Replaying::Reading);
        }
        if let Some(marked) = known.get(id) {
            return Ok(Replaying::Done(One::Already(self.replay_at(id, marked)?)));
        }
        Ok(Replaying::Done(match self.append(&mut *replayer, &full, &replay, inside)? {
            Ok(()) => One::Replayed(replay),
            Err(refusal) => One::Refused(refusal),
        }))
    }

    /// Replays the letters that the filter takes and that were not yet, the oldest of each partition first.
    pub(super) fn replay_many(&self, order: &Order) -> Result<Replaying<Many>, LettersError> {
        let began = Instant::now();
        let mut known = self.replayed.lock();
        let mut replayer = if order.dry_run { None } else { Some(self.log.replayer()?) };
        let ends = self.log.ends()?;
        if !known.catch_up(&*self.log, &ends)? {
            return Ok(Replaying::Reading);
        }
        let mut many = Many::default();
        let from = |(at, end): (usize, &Range<i64>)| {
            let after = order.after.as_ref().and_then(|cursor| cursor.of(at));
            after.unwrap_or(end.start).clamp(end.start, end.end)
        };
        let mut next: Vec<i64> = ends.iter().enumerate().map(from).collect();
        let mut looked_at = 0;
        for (partition, (next, end)) in (0..).zip(next.iter_mut().zip(&ends)) {
            let enough = |many: &Many| many.replayed.len() >= order.max || began.elapsed() > REPLAY_TIME;
            while *next < end.end && looked_at < OFFSETS_MAX && !enough(&many) {
                let offsets = *next..end.end.min(next.saturating_add(STEP));
                looked_at += offsets.end - offsets.start;
                *next = offsets.end;
                for letter in self.some(&known, Part { partition, offsets }, order)? {
                    if enough(&many) {
                        *next = letter.id.offset;
                        break;
                    }
                    let replayer = replayer.as_deref_mut().map(|replayer| replayer as &mut dyn Replayer);
                    self.replay_next(replayer, letter.id, order, &mut many)?;
                }
            }
        }
        let left = next.iter().zip(&ends).any(|(next, end)| *next < end.end);
        many.next = left.then_some(Cursor(next));
        Ok(Replaying::Done(many))
    }

    fn some(&self, known: &Replayed, part: Part, order: &Order) -> Result<Vec<Letter>, LettersError> {
        let mut letters = Vec::new();
        self.log.read(&[part], &mut |record| {
            letters.extend(Letter::of(record).filter(|letter| {
                order.filter.takes(letter, &self.names.prefix) && known.get(letter.id).is_none()
            }));
        })?;
        Ok(letters)
    }

    fn replay_next(
        &self,
        replayer: Option<&mut dyn Replayer>,
        id: LetterId,
        order: &Order,
        many: &mut Many,
    ) -> Result<(), LettersError> {
        // Gone meanwhile: too old.
        let Some(full) = self.fetch(id)? else { return Ok(()) };
        let done = match replayer {
            Some(replayer) => self.append(replayer, &full, &order.replay, order.inside)?,
            None => replayable(&full, &self.names, order.inside).map(drop),
        };
        match done {
            Ok(()) => many.replayed.push(id),
            Err(refusal) if many.skipped.len() < SKIPPED_MAX => many.skipped.push((id, refusal)),
            Err(_) => {}
        }
        Ok(())
    }

    /// Appends the record and the mark, unless the letter is not to be replayed.
    fn append(
        &self,
        replayer: &mut dyn Replayer,
        full: &Full,
        replay: &Replay,
        inside: bool,
    ) -> Result<Result<(), Refusal>, LettersError> {
        let stage = match replayable(full, &self.names, inside) {
            Ok(stage) => stage,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let topic = stage.input();
        let partitions = self.log.partitions(topic)?;
        // Where it was, if it has no key that would say so.
        let was = full.letter.partition;
        let partition = if full.key.is_empty() && (0..partitions).contains(&was) {
            was
        } else {
            partition_of(&full.key, partitions)
        };
        let record = full.replayed(topic, partition, replay);
        replayer.append(vec![record, Mark::record(&full.letter, replay)])?;
        Ok(Ok(()))
    }

    fn letter(&self, ends: &[Range<i64>], id: LetterId) -> Result<Option<Full>, LettersError> {
        let end = usize::try_from(id.partition).ok().and_then(|at| ends.get(at));
        if end.is_some_and(|end| end.contains(&id.offset)) { self.fetch(id) } else { Ok(None) }
    }

    fn fetch(&self, id: LetterId) -> Result<Option<Full>, LettersError> {
        let mut full = None;
        let offsets = id.offset..id.offset.saturating_add(1);
        self.log.read(&[Part { partition: id.partition, offsets }], &mut |record| full = Full::of(record))?;
        Ok(full)
    }

    /// What a mark says.
    fn replay_at(&self, id: LetterId, marked: Marked) -> Result<Replay, LettersError> {
        let mut replay = None;
        let offsets = marked.offset..marked.offset.saturating_add(1);
        let part = Part { partition: id.partition, offsets };
        self.log.read(&[part], &mut |record| replay = Mark::replay(record))?;
        // A mark of a newer release still says when.
        let unknown =
            || Replay { at: super::letter::rfc3339(marked.at_ms), by: String::new(), reason: String::new() };
        Ok(replay.unwrap_or_else(unknown))
    }
}

/// The stage that a letter is for, or why it is not replayed.
fn replayable(full: &Full, names: &Names, inside: bool) -> Result<StageName, Refusal> {
    let stage = full.letter.source(names).ok_or(Refusal::SourceUnknown)?;
    let headers = full.headers.iter().map(|(name, value)| name.len().saturating_add(value.len()));
    let lengths = [full.key.len(), full.value.len()].into_iter().chain(headers);
    if full.letter.cut_from.is_some() || lengths.fold(0, usize::saturating_add) > RECORD_BYTES_MAX {
        return Err(Refusal::TooLarge);
    }
    match stage {
        // Its gate keeps it while the pipeline is paused.
        StageName::Inflight => Ok(stage),
        StageName::Account | StageName::Confirmed if inside => Ok(stage),
        StageName::Account | StageName::Confirmed => Err(Refusal::Paused),
    }
}
