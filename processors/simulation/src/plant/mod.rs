//! Mistakes that are planted, to prove that the checks find them. They sit at the seams, between the worker and the log
//! and between the worker and the stage: the product has no switch for them.

mod log;
mod stage;

use kpay::names::StageName;

pub use log::PlantedLog;
pub use stage::PlantedStage;

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Of the log's side.
    Log(LogPlant),
    /// Of one stage.
    Stage(StageName, StagePlant),
    /// Of the operator.
    Control(ControlPlant),
}

/// A mistake of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlPlant {
    /// Paused is written without a proof.
    DrainAssumed,
    /// Every pod is taken to have acted on the epoch.
    EpochAssumed,
}

/// A mistake of the worker with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogPlant {
    /// Offsets are committed after the transaction.
    OffsetsAfter,
    /// Offsets are committed before the transaction.
    OffsetsBefore,
    /// An offset too far.
    OffsetsSkip,
    /// The commit carries what the one before carried.
    MetadataStale,
    /// One append in fifty is left out.
    AppendLost,
    /// One append in fifty is made twice.
    AppendTwice,
    /// One append in fifty goes to the partition beside.
    AppendElsewhere,
    /// An abort is not sent: what was appended is committed with what comes next.
    AbortForgotten,
    /// After an abort the log goes on where it was.
    NoRewind,
    /// A restore ends at the last stable offset of the moment.
    RestoreWithoutWaiting,
    /// A commit without an answer is taken for applied.
    UnknownTakenAsApplied,
    /// A commit without an answer is taken for refused, and nobody asks.
    UnknownTakenAsAborted,
    /// A partition is given up while the transaction that read it is open.
    RevokeWithoutCommit,
    /// A closed gate stops nothing.
    PauseIgnored,
    /// Of the partitions that are to be read again, the first is forgotten.
    ResumeForgotten,
    /// After a commit without an answer the committed offsets are read from a coordinator that is behind.
    TruthStale,
}

/// A mistake of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StagePlant {
    /// The state changes while a record is processed.
    FoldBeforeCommit,
    /// A commit leaves the state as it was.
    FoldSkipped,
    /// The overlay of an aborted transaction is kept.
    OverlayKept,
    /// A restore reads less than was committed.
    RestoreShort,
    /// A restore begins with no counts.
    RestoreMetadataLost,
    /// A restore finds its topics empty.
    RestoreNothing,
    /// A restore reads the checkpoints and not the ledger.
    RestoreLedgerSkipped,
    /// A marker of a checkpoint claims what comes in the next minute as well.
    MarkerEarly,
    /// The snapshot of a checkpoint is a cent off.
    SnapshotWrong,
    /// One record in twenty is handled twice.
    RecordTwice,
    /// One record in twenty is passed over.
    RecordSkipped,
    /// A balance is a cent off.
    BalanceWrong,
    /// A version is counted twice.
    VersionWrong,
    /// A ledger entry is left out.
    EntryLost,
    /// Every credit is booked twice.
    CreditTwice,
    /// A debit is not stopped by what is in the account.
    FundsUnchecked,
    /// A reversal is never sent.
    ReverseLost,
    /// A credit is never sent.
    CreditLost,
    /// A command goes to the payer's partition, whoever it is for.
    CommandElsewhere,
    /// An outcome is left out.
    OutcomeLost,
    /// An outcome is written twice.
    OutcomeTwice,
    /// A rejection is told as a success.
    OutcomeUntrue,
    /// A dead letter is left out.
    LetterLost,
    /// A dead letter is written twice.
    LetterTwice,
    /// A record that is sent to its right partition loses its headers.
    RekeyBare,
    /// A record that should be sent to its right partition is dropped.
    RekeyLost,
    /// The published JSON has another status.
    JsonWrong,
    /// That a payment is held is not noted.
    HoldUnnoted,
    /// That a payment is not held any more is not noted.
    HoldEndUnnoted,
    /// What was given back is not noted.
    RefundUnnoted,
    /// What was paid today is not told by the ledger.
    OutflowLost,
    /// Nobody tells the payer that a serial debit is settled.
    SettledLost,
    /// That a serial debit is in flight is not noted.
    LaneUnnoted,
    /// That a debit waits is not noted.
    WaitingUnnoted,
    /// The outcome of a payment that was held does not say so.
    HoldUntold,
}

impl Plant {
    /// Every planted mistake.
    pub fn all() -> Vec<Self> {
        use LogPlant as L;
        use StageName::{Account, Confirmed, Inflight};
        use StagePlant as S;
        let of_log = [
            L::OffsetsAfter,
            L::OffsetsBefore,
            L::OffsetsSkip,
            L::MetadataStale,
            L::AppendLost,
            L::AppendTwice,
            L::AppendElsewhere,
            L::AbortForgotten,
            L::NoRewind,
            L::RestoreWithoutWaiting,
            L::UnknownTakenAsApplied,
            L::UnknownTakenAsAborted,
            L::RevokeWithoutCommit,
            L::PauseIgnored,
            L::ResumeForgotten,
            L::TruthStale,
        ];
        let of_every = [
            S::FoldBeforeCommit,
            S::FoldSkipped,
            S::OverlayKept,
            S::RestoreNothing,
            S::RecordTwice,
            S::RecordSkipped,
        ];
        let of_inflight = [
            S::RestoreShort,
            S::RestoreMetadataLost,
            S::CommandElsewhere,
            S::OutcomeLost,
            S::OutcomeUntrue,
            S::LetterLost,
            S::LetterTwice,
            S::RekeyBare,
            S::RekeyLost,
        ];
        let of_account = [
            S::RestoreLedgerSkipped,
            S::MarkerEarly,
            S::SnapshotWrong,
            S::BalanceWrong,
            S::VersionWrong,
            S::EntryLost,
            S::CreditTwice,
            S::FundsUnchecked,
            S::ReverseLost,
            S::CreditLost,
            S::CommandElsewhere,
            S::OutcomeLost,
            S::OutcomeTwice,
            S::OutcomeUntrue,
            S::HoldUnnoted,
            S::HoldEndUnnoted,
            S::HoldUntold,
            S::RefundUnnoted,
            S::OutflowLost,
            S::SettledLost,
            S::LaneUnnoted,
            S::WaitingUnnoted,
        ];
        let of_confirmed = [S::RestoreShort, S::RestoreMetadataLost, S::OutcomeTwice, S::JsonWrong];
        let mut all: Vec<Self> = of_log.into_iter().map(Self::Log).collect();
        for stage in StageName::ALL {
            all.extend(of_every.into_iter().map(|plant| Self::Stage(stage, plant)));
        }
        all.extend(of_inflight.into_iter().map(|plant| Self::Stage(Inflight, plant)));
        all.extend(of_account.into_iter().map(|plant| Self::Stage(Account, plant)));
        all.extend(of_confirmed.into_iter().map(|plant| Self::Stage(Confirmed, plant)));
        let of_control = [ControlPlant::DrainAssumed, ControlPlant::EpochAssumed];
        all.extend(of_control.into_iter().map(Self::Control));
        all
    }

    /// A name for tables and the command line.
    pub fn name(self) -> String {
        match self {
            Self::Log(plant) => format!("log.{plant:?}"),
            Self::Stage(stage, plant) => format!("{}.{plant:?}", stage.as_str()),
            Self::Control(plant) => format!("control.{plant:?}"),
        }
    }

    /// The plant of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|plant| plant.name() == name)
    }
}
