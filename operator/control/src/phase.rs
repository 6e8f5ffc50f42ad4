//! The phase machine: a pure function from phase, wish and facts to the next phase. The operator writes the
//! answer with an epoch one higher; the processors act on it.

use kpay_crds::{DesiredPhase, DrainTimeoutAction, Phase};

/// What the next phase depends on, besides the wish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // five independent facts, each with its own source
pub struct Facts {
    /// The spec can be served.
    pub valid: bool,
    /// Every topic is as declared and every pod is ready.
    pub ready: bool,
    /// It is proven that nothing is in flight ([`crate::drain::prove`]).
    pub drained: bool,
    /// Every pod has acted on the epoch, and payments flow or there are none.
    pub flowing: bool,
    /// The drain takes longer than its timeout: what the spec wants then.
    pub late: Option<DrainTimeoutAction>,
    /// A drain that this very spec asks for was given up before.
    pub given_up: bool,
}

/// Why the phase changes; the reason of the Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A new resource.
    Created,
    /// Topics and pods are there.
    PipelineReady,
    /// The user wants it to stop.
    DrainRequested,
    /// Nothing is in flight.
    DrainProven,
    /// The drain took too long, and payments are taken in again.
    DrainGivenUp,
    /// The drain took too long, and nobody waits for the proof.
    DrainForced,
    /// The user wants it to run.
    ResumeRequested,
    /// Payments flow.
    PaymentsFlow,
    /// The spec cannot be served.
    SpecInvalid,
    /// The spec can be served now.
    SpecCorrected,
}

impl Reason {
    /// The word for Events and conditions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::PipelineReady => "PipelineReady",
            Self::DrainRequested => "DrainRequested",
            Self::DrainProven => "DrainProven",
            Self::DrainGivenUp => "DrainGivenUp",
            Self::DrainForced => "DrainForced",
            Self::ResumeRequested => "ResumeRequested",
            Self::PaymentsFlow => "PaymentsFlow",
            Self::SpecInvalid => "SpecInvalid",
            Self::SpecCorrected => "SpecCorrected",
        }
    }
}

/// A change of phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The phase to write.
    pub to: Phase,
    /// Why.
    pub reason: Reason,
}

/// The next phase, or `None` to stay. A resource without a phase becomes Pending.
///
/// A spec that becomes invalid under a working pipeline changes nothing here: the data plane goes on with what
/// it has, and the Degraded condition tells.
pub fn next(phase: Option<Phase>, desired: DesiredPhase, facts: Facts) -> Option<Transition> {
    use DesiredPhase as D;
    let to = |to, reason| Some(Transition { to, reason });
    let Some(phase) = phase else { return to(Phase::Pending, Reason::Created) };
    match (phase, desired) {
        (Phase::Pending, D::Running | D::Draining | D::Paused) if !facts.valid => {
            to(Phase::Failed, Reason::SpecInvalid)
        }
        (Phase::Pending, D::Running) if facts.ready => to(Phase::Running, Reason::PipelineReady),
        (Phase::Pending, D::Draining | D::Paused) if facts.ready => {
            to(Phase::Draining, Reason::DrainRequested)
        }
        (Phase::Failed, D::Running | D::Draining | D::Paused) if facts.valid => {
            to(Phase::Pending, Reason::SpecCorrected)
        }
        (Phase::Running | Phase::Resuming, D::Draining | D::Paused) if !facts.given_up => {
            to(Phase::Draining, Reason::DrainRequested)
        }
        (Phase::Draining | Phase::Paused, D::Running) => to(Phase::Resuming, Reason::ResumeRequested),
        (Phase::Draining, D::Paused) if facts.drained => to(Phase::Paused, Reason::DrainProven),
        (Phase::Draining, D::Draining | D::Paused) if !facts.drained => match (facts.late, desired) {
            (Some(DrainTimeoutAction::Resume), _) => to(Phase::Resuming, Reason::DrainGivenUp),
            (Some(DrainTimeoutAction::Force), D::Paused) => to(Phase::Paused, Reason::DrainForced),
            (Some(DrainTimeoutAction::Force | DrainTimeoutAction::Hold) | None, _) => None,
        },
        (Phase::Resuming, D::Running | D::Draining | D::Paused) if facts.flowing => {
            to(Phase::Running, Reason::PaymentsFlow)
        }
        (
            Phase::Pending
            | Phase::Failed
            | Phase::Running
            | Phase::Draining
            | Phase::Paused
            | Phase::Resuming,
            D::Running | D::Draining | D::Paused,
        ) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter a phase; `-` stays.
    fn row(phase: Phase, desired: DesiredPhase) -> String {
        let facts =
            |valid, ready, drained, flowing| Facts { valid, ready, drained, flowing, ..Facts::default() };
        [
            facts(true, false, false, false),
            facts(true, true, false, false),
            facts(true, false, true, false),
            facts(true, false, false, true),
            facts(true, true, true, true),
            facts(false, true, true, true),
        ]
        .into_iter()
        .map(|facts| match next(Some(phase), desired, facts).map(|transition| transition.to) {
            None => '-',
            Some(Phase::Pending) => 'p',
            Some(Phase::Running) => 'R',
            Some(Phase::Draining) => 'D',
            Some(Phase::Paused) => 'P',
            Some(Phase::Resuming) => 'r',
            Some(Phase::Failed) => 'F',
        })
        .collect()
    }

    #[test]
    fn every_pair_of_phase_and_wish_has_its_answer() {
        use DesiredPhase as D;
        // Columns: nothing, ready, drained, flowing, all of them, all but a valid spec.
        let table = [
            (Phase::Pending, D::Running, "-R--RF"),
            (Phase::Pending, D::Draining, "-D--DF"),
            (Phase::Pending, D::Paused, "-D--DF"),
            (Phase::Running, D::Running, "------"),
            (Phase::Running, D::Draining, "DDDDDD"),
            (Phase::Running, D::Paused, "DDDDDD"),
            (Phase::Draining, D::Running, "rrrrrr"),
            (Phase::Draining, D::Draining, "------"),
            (Phase::Draining, D::Paused, "--P-PP"),
            (Phase::Paused, D::Running, "rrrrrr"),
            (Phase::Paused, D::Draining, "------"),
            (Phase::Paused, D::Paused, "------"),
            (Phase::Resuming, D::Running, "---RRR"),
            (Phase::Resuming, D::Draining, "DDDDDD"),
            (Phase::Resuming, D::Paused, "DDDDDD"),
            (Phase::Failed, D::Running, "ppppp-"),
            (Phase::Failed, D::Draining, "ppppp-"),
            (Phase::Failed, D::Paused, "ppppp-"),
        ];
        assert_eq!(table.len(), Phase::ALL.len() * 3);
        for (phase, desired, expected) in table {
            assert_eq!(row(phase, desired), expected, "{phase} wanted {desired:?}");
        }
    }

    #[test]
    fn late_drain_does_what_the_spec_wants() {
        use DesiredPhase as D;
        use DrainTimeoutAction as A;
        let table = [
            (A::Hold, D::Draining, None),
            (A::Hold, D::Paused, None),
            (A::Resume, D::Draining, Some((Phase::Resuming, Reason::DrainGivenUp))),
            (A::Resume, D::Paused, Some((Phase::Resuming, Reason::DrainGivenUp))),
            (A::Force, D::Draining, None),
            (A::Force, D::Paused, Some((Phase::Paused, Reason::DrainForced))),
        ];
        for (action, desired, expected) in table {
            let facts = Facts { valid: true, late: Some(action), ..Facts::default() };
            let became = next(Some(Phase::Draining), desired, facts).map(|t| (t.to, t.reason));
            assert_eq!(became, expected, "{action:?} {desired:?}");
            let proven = next(Some(Phase::Draining), desired, Facts { drained: true, ..facts });
            let proof = (desired == D::Paused).then_some(Reason::DrainProven);
            assert_eq!(proven.map(|t| t.reason), proof, "the proof comes first: {action:?} {desired:?}");
        }
    }

    #[test]
    fn drain_that_was_given_up_is_not_tried_again() {
        let facts = Facts { valid: true, given_up: true, ..Facts::default() };
        assert_eq!(next(Some(Phase::Resuming), DesiredPhase::Paused, facts), None);
        let flowing = next(Some(Phase::Resuming), DesiredPhase::Paused, Facts { flowing: true, ..facts });
        assert_eq!(flowing.map(|t| t.to), Some(Phase::Running));
        assert_eq!(next(Some(Phase::Running), DesiredPhase::Paused, facts), None);
    }

    #[test]
    fn new_resource_becomes_pending() {
        let transition = next(None, DesiredPhase::Paused, Facts::default());
        assert_eq!(transition.map(|t| t.to), Some(Phase::Pending));
    }

    #[test]
    fn paused_is_reached_only_by_a_proof() {
        for phase in Phase::ALL {
            for desired in [DesiredPhase::Running, DesiredPhase::Draining, DesiredPhase::Paused] {
                let facts = Facts { valid: true, ready: true, flowing: true, ..Facts::default() };
                let to = next(Some(phase), desired, facts).map(|transition| transition.to);
                assert_ne!(to, Some(Phase::Paused), "{phase} wanted {desired:?}");
            }
        }
    }
}
