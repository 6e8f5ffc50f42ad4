//! The newest letters first, page by page. No I/O but through the seam.
//!
//! Each partition is read backwards in windows, and the newest of what was read is taken until the page is full or enough
//! was read. The cursor says how far down each partition is told.

use std::ops::Range;

use super::letter::Letter;
use super::log::{LetterLog, LettersError, Part};

/// Offsets that one request looks at, at most.
const OFFSETS_MAX: i64 = 5_000;
/// A window of one partition, in offsets.
const WINDOW_MAX: i64 = 250;
const WINDOW_MIN: i64 = 4;

/// How far each partition was told: an offset each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor(pub(super) Vec<i64>);

impl Cursor {
    /// Reads what [`Cursor::text`] wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let offsets = text.split('.').map(|offset| offset.parse().ok().filter(|offset| *offset >= 0));
        offsets.collect::<Option<Vec<i64>>>().map(Self)
    }

    /// For the caller, who sends it back.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(i64::to_string).collect::<Vec<_>>().join(".")
    }

    /// Of a partition; a partition that it does not know was made later.
    pub(super) fn of(&self, partition: usize) -> Option<i64> {
        self.0.get(partition).copied()
    }
}

/// Which letters are meant; an empty field means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) code: Option<String>,
    pub(super) stage: Option<String>,
    /// With the pipeline's prefix or without.
    pub(super) topic: Option<String>,
    /// Failed before this time, in milliseconds since 1970.
    pub(super) before_ms: Option<i64>,
}

impl Filter {
    /// Whether a letter is meant.
    pub(super) fn takes(&self, letter: &Letter, prefix: &str) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        let topic = letter.topic.strip_prefix(prefix).unwrap_or(&letter.topic);
        same(&self.code, &letter.code)
            && same(&self.stage, &letter.stage)
            && (same(&self.topic, &letter.topic) || same(&self.topic, topic))
            && self.before_ms.is_none_or(|before_ms| letter.at_ms < before_ms)
    }
}

/// A part of the list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) letters: Vec<Letter>,
    /// Where the next page begins; `None` behind the last letter.
    pub(super) next: Option<Cursor>,
}

/// One partition on the way down.
struct Lane {
    partition: i32,
    first: i64,
    /// Everything from here on was read.
    low: i64,
    /// Read and not told yet, in order.
    found: Vec<Letter>,
}

impl Lane {
    fn exhausted(&self) -> bool {
        self.found.is_empty() && self.low <= self.first
    }

    /// Everything from here on was told, or is not meant.
    fn told(&self) -> i64 {
        self.found.last().map_or(self.low, |letter| letter.id.offset.saturating_add(1))
    }
}

/// The page that begins at `after`, or with the newest letter.
pub(super) fn page(
    log: &dyn LetterLog,
    ends: &[Range<i64>],
    after: Option<&Cursor>,
    limit: usize,
    takes: &dyn Fn(&Letter) -> bool,
) -> Result<Page, LettersError> {
    let lane = |(partition, end): (usize, &Range<i64>)| {
        let from = after.map_or(end.end, |cursor| cursor.of(partition).unwrap_or(end.start));
        let partition = i32::try_from(partition).unwrap_or(i32::MAX);
        Lane { partition, first: end.start, low: from.clamp(end.start, end.end), found: Vec::new() }
    };
    let mut lanes: Vec<Lane> = ends.iter().enumerate().map(lane).collect();
    let partitions = i64::try_from(lanes.len().max(1)).unwrap_or(i64::MAX);
    let window = (OFFSETS_MAX / partitions).clamp(WINDOW_MIN, WINDOW_MAX);
    let (mut letters, mut looked_at) = (Vec::new(), 0);
    loop {
        let missing = lanes.iter().any(|lane| lane.found.is_empty() && lane.low > lane.first);
        if missing && looked_at >= OFFSETS_MAX {
            break;
        }
        if missing {
            looked_at += read_window(log, &mut lanes, window, takes)?;
            continue;
        }
        let newest = lanes.iter_mut().max_by_key(|lane| lane.found.last().map(|letter| letter.at_ms));
        match newest.and_then(|lane| lane.found.pop()) {
            Some(letter) => letters.push(letter),
            None => break,
        }
        if letters.len() >= limit {
            break;
        }
    }
    let next = (!lanes.iter().all(Lane::exhausted)).then(|| Cursor(lanes.iter().map(Lane::told).collect()));
    Ok(Page { letters, next })
}

/// Reads the next window of every partition of which nothing is left to tell. Says how many offsets that were.
fn read_window(
    log: &dyn LetterLog,
    lanes: &mut [Lane],
    window: i64,
    takes: &dyn Fn(&Letter) -> bool,
) -> Result<i64, LettersError> {
    let empty = lanes.iter().filter(|lane| lane.found.is_empty() && lane.low > lane.first);
    let parts: Vec<Part> = empty
        .map(|lane| Part {
            partition: lane.partition,
            offsets: lane.first.max(lane.low.saturating_sub(window))..lane.low,
        })
        .collect();
    log.read(&parts, &mut |record| {
        let lane = usize::try_from(record.partition).ok().and_then(|at| lanes.get_mut(at));
        if let (Some(lane), Some(letter)) = (lane, Letter::of(record))
            && takes(&letter)
        {
            lane.found.push(letter);
        }
    })?;
    for part in &parts {
        if let Some(lane) = usize::try_from(part.partition).ok().and_then(|at| lanes.get_mut(at)) {
            lane.low = part.offsets.start;
        }
    }
    Ok(parts.iter().map(|part| part.offsets.end - part.offsets.start).sum())
}
