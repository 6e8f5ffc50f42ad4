//! Where the first start begins in `payment.incoming`. Pure: reads the field, turns it into offsets once the ends of the
//! topic are known, and tells what waits for them.

use std::collections::BTreeMap;
use std::num::ParseIntError;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::jiff::Timestamp;
use kpay_crds::Phase;
use kpay_domain::Accepted;
use kube::ResourceExt;

use crate::build::DesiredObjects;
use crate::names::{Component, workload};
use crate::validate::ValidatedPipeline;

const FIELD: &str = "spec.topics.incoming.startFrom";

/// Where the first start begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// With the first record that is still there.
    #[default]
    Earliest,
    /// Behind everything that is there.
    Latest,
    /// With the first record at or after this time, in milliseconds since 1970.
    Time(i64),
    /// With an offset for each partition.
    Offsets(BTreeMap<i32, i64>),
}

/// A text that says no start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Neither word, time nor offsets.
    #[error(
        "`{0}` is no start; write Earliest, Latest, a time such as 2026-07-25T12:00:00Z, or an offset for each partition such as 0:120,1:97"
    )]
    Unreadable(String),
    /// A partition is named twice.
    #[error("partition {0} has two offsets")]
    Twice(i32),
    /// A partition that there is not.
    #[error("partition {partition}: there are {partitions}, from 0")]
    Unknown {
        /// Which.
        partition: i32,
        /// How many there are.
        partitions: i32,
    },
    /// A partition without an offset.
    #[error("partition {0} has no offset; name every partition")]
    Missing(i32),
}

impl StartFrom {
    /// Reads the field for a topic of so many partitions.
    ///
    /// # Errors
    /// A text that cannot be read, or offsets that are not one for each partition.
    pub fn parse(text: &str, partitions: i32) -> Result<Self, StartError> {
        match text {
            "Earliest" => return Ok(Self::Earliest),
            "Latest" => return Ok(Self::Latest),
            _ => {}
        }
        let unreadable = || StartError::Unreadable(text.to_owned());
        if text.contains('T') {
            let at: Timestamp = text.parse().map_err(|_| unreadable())?;
            return Ok(Self::Time(at.as_millisecond()));
        }
        let mut offsets = BTreeMap::new();
        for one in text.split(',') {
            let (partition, offset) = one.split_once(':').ok_or_else(unreadable)?;
            let of = |_: ParseIntError| unreadable();
            let (partition, offset): (u16, i64) =
                (partition.parse().map_err(of)?, offset.parse().map_err(of)?);
            let partition = i32::from(partition);
            if offset < 0 {
                return Err(unreadable());
            }
            if partition >= partitions {
                return Err(StartError::Unknown { partition, partitions });
            }
            if offsets.insert(partition, offset).is_some() {
                return Err(StartError::Twice(partition));
            }
        }
        match (0..partitions).find(|partition| !offsets.contains_key(partition)) {
            Some(missing) => Err(StartError::Missing(missing)),
            None => Ok(Self::Offsets(offsets)),
        }
    }

    /// The time that the broker is to look up, in milliseconds since 1970.
    pub fn time_ms(&self) -> Option<i64> {
        match self {
            Self::Time(at_ms) => Some(*at_ms),
            Self::Earliest | Self::Latest | Self::Offsets(_) => None,
        }
    }
}

/// The ends of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The first offset that is still there.
    pub low: i64,
    /// The one after the last.
    pub high: i64,
    /// The first at or after the time that was asked for; none when nothing is that new, or no time was asked for.
    pub at: Option<i64>,
}

/// A start that the topic does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{FIELD}: offset {offset} of partition {partition} lies beyond the end, which is {end}")]
pub struct StartRefusal {
    /// Which.
    pub partition: i32,
    /// What is asked for.
    pub offset: i64,
    /// What there is.
    pub end: i64,
}

/// The offset at which each partition begins, by its ends. One that is gone already becomes the first that is there.
///
/// # Errors
/// An offset beyond the end: nobody can tell what was meant, and the records up to it are still to come.
pub fn resolve(start: &StartFrom, ends: &BTreeMap<i32, Ends>) -> Result<BTreeMap<i32, i64>, StartRefusal> {
    let offset = |(partition, ends): (&i32, &Ends)| {
        let offset = match start {
            StartFrom::Earliest => ends.low,
            StartFrom::Latest => ends.high,
            StartFrom::Time(_) => ends.at.unwrap_or(ends.high),
            StartFrom::Offsets(offsets) => offsets.get(partition).copied().unwrap_or(ends.low),
        };
        if offset > ends.high {
            return Err(StartRefusal { partition: *partition, offset, end: ends.high });
        }
        Ok((*partition, offset.max(ends.low)))
    };
    ends.iter().map(offset).collect()
}

/// What is committed with the offset: the intake keeps where it began, so that a restart knows no id from before.
pub fn metadata(start: i64) -> String {
    Accepted { start, ..Accepted::default() }.to_text()
}

/// Whether no record can have been taken in yet. `owner` is the resource's uid: what an earlier one of the same name has
/// left may still be there.
pub fn never_started(
    pipeline: &ValidatedPipeline,
    phase: Option<Phase>,
    owner: &str,
    live: &DesiredObjects,
) -> bool {
    let closed = match phase {
        None | Some(Phase::Pending | Phase::Failed) => true,
        Some(Phase::Running | Phase::Draining | Phase::Paused | Phase::Resuming) => false,
    };
    let intake = workload(&pipeline.name, Component::Inflight);
    let ours = |set: &&StatefulSet| set.owner_references().iter().any(|reference| reference.uid == owner);
    closed && !live.stateful_sets.iter().filter(ours).any(|set| set.name_any() == intake)
}

/// Leaves out what must not be made before it is settled where the intake begins: its own pods, which as members of the
/// group would begin by themselves, and the gateway, since what that has taken must not be passed over.
pub fn hold_back(desired: &mut DesiredObjects, pipeline: &str, live: &DesiredObjects) {
    let (intake, gateway) = (workload(pipeline, Component::Inflight), workload(pipeline, Component::Gateway));
    let there = live.deployments.iter().any(|found| found.name_any() == gateway);
    desired.stateful_sets.retain(|set| set.name_any() != intake);
    desired.deployments.retain(|deployment| there || deployment.name_any() != gateway);
}

/// Leaves out every pod that is not there already: it would join groups and write to topics that are not the pipeline's.
pub fn hold_all_back(desired: &mut DesiredObjects, live: &DesiredObjects) {
    let there = |name: &str| live.stateful_sets.iter().any(|found| found.name_any() == name);
    desired.stateful_sets.retain(|set| there(&set.name_any()));
    let there = |name: &str| live.deployments.iter().any(|found| found.name_any() == name);
    desired.deployments.retain(|deployment| there(&deployment.name_any()));
    let there = |name: &str| live.jobs.iter().any(|found| found.name_any() == name);
    desired.jobs.retain(|job| there(&job.name_any()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(pairs: &[(i32, i64)]) -> BTreeMap<i32, i64> {
        pairs.iter().copied().collect()
    }

    #[test]
    fn a_start_is_read_as_written() {
        let unreadable = |text: &str| Err(StartError::Unreadable(text.to_owned()));
        for (text, expected) in [
            ("Earliest", Ok(StartFrom::Earliest)),
            ("Latest", Ok(StartFrom::Latest)),
            ("1970-01-01T00:00:01Z", Ok(StartFrom::Time(1_000))),
            ("1970-01-01T01:00:01.5+01:00", Ok(StartFrom::Time(1_500))),
            ("0:0,1:97", Ok(StartFrom::Offsets(offsets(&[(0, 0), (1, 97)])))),
            ("1:97,0:120", Ok(StartFrom::Offsets(offsets(&[(0, 120), (1, 97)])))),
            ("0:1", Err(StartError::Missing(1))),
            ("0:1,1:1,1:2", Err(StartError::Twice(1))),
            ("0:1,1:1,2:1", Err(StartError::Unknown { partition: 2, partitions: 2 })),
            ("0:-1,1:1", unreadable("0:-1,1:1")),
            ("2026-13-01T00:00:00Z", unreadable("2026-13-01T00:00:00Z")),
            ("2026-07-25T12:00:00", unreadable("2026-07-25T12:00:00")),
            ("latest", unreadable("latest")),
            ("", unreadable("")),
        ] {
            assert_eq!(StartFrom::parse(text, 2), expected, "{text}");
        }
    }

    #[test]
    fn a_start_becomes_an_offset_for_each_partition() {
        let ends = BTreeMap::from([
            (0, Ends { low: 10, high: 20, at: Some(15) }),
            (1, Ends { low: 0, high: 5, at: None }),
        ]);
        let of = |pairs| StartFrom::Offsets(offsets(pairs));
        for (start, expected) in [
            (StartFrom::Earliest, Ok(offsets(&[(0, 10), (1, 0)]))),
            (StartFrom::Latest, Ok(offsets(&[(0, 20), (1, 5)]))),
            // Nothing of partition 1 is that new.
            (StartFrom::Time(1), Ok(offsets(&[(0, 15), (1, 5)]))),
            (of(&[(0, 12), (1, 5)]), Ok(offsets(&[(0, 12), (1, 5)]))),
            // What was deleted cannot be read again.
            (of(&[(0, 3), (1, 0)]), Ok(offsets(&[(0, 10), (1, 0)]))),
            (of(&[(0, 12), (1, 6)]), Err(StartRefusal { partition: 1, offset: 6, end: 5 })),
        ] {
            assert_eq!(resolve(&start, &ends), expected, "{start:?}");
        }
        let refused = StartRefusal { partition: 1, offset: 6, end: 5 }.to_string();
        assert!(refused.starts_with(FIELD), "{refused}");
    }

    #[test]
    fn the_intake_reads_what_is_committed_with_its_start() {
        assert_eq!(Accepted::from_text(&metadata(57)).map(|accepted| accepted.start), Ok(57));
        assert_eq!(Accepted::from_text(&metadata(0)), Ok(Accepted::default()));
    }
}
