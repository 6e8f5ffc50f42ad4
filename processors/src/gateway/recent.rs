//! What this gateway accepted lately, so that a caller reads its own write and a copy gets the first answer. Pure: the
//! time is an argument. Bounded by count; the oldest goes first.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use kpay_domain::intake::default_id;
use kpay_domain::{AccountId, Action, Intake, PaymentId, fingerprint};

/// The most that is remembered; an entry has about half a kilobyte.
const ENTRIES_MAX: usize = 32_768;
/// For so long an id is answered from here; later the inflight stage is asked, which knows the window. Shorter than any
/// sensible window.
const AGE_MAX: Duration = Duration::from_mins(15);

/// Recently accepted, by id.
#[derive(Debug)]
pub(super) struct Recent {
    entries: HashMap<PaymentId, Entry>,
    /// Commands that open an account, but for those with the id that the account's own tells.
    openings: HashMap<AccountId, PaymentId>,
    order: VecDeque<(u64, PaymentId)>,
    next: u64,
    entries_max: usize,
}

#[derive(Debug)]
struct Entry {
    intake: Intake,
    fingerprint: u64,
    number: u64,
    claimed_at: Instant,
    acknowledged: bool,
}

/// What is known of an id that somebody wants to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nothing, or nothing that was acknowledged: append.
    Append,
    /// The log has it: answer as the first time.
    Accepted,
    /// It belongs to another request.
    Conflict,
}

impl Default for Recent {
    fn default() -> Self {
        Self::with_capacity(ENTRIES_MAX)
    }
}

impl Recent {
    fn with_capacity(entries_max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            openings: HashMap::new(),
            order: VecDeque::new(),
            next: 0,
            entries_max,
        }
    }

    /// What is known of the id.
    pub(super) fn check(&self, intake: &Intake, now: Instant) -> Option<Claim> {
        let entry = self.entries.get(intake.id()).filter(|entry| now - entry.claimed_at <= AGE_MAX)?;
        Some(if entry.fingerprint != fingerprint::fingerprint(intake) {
            Claim::Conflict
        } else if entry.acknowledged {
            Claim::Accepted
        } else {
            // A copy of one that is on its way, or whose fate nobody knows: the pipeline tells copies apart.
            Claim::Append
        })
    }

    /// Takes the id for this request, unless it is taken.
    pub(super) fn claim(&mut self, intake: &Intake, now: Instant) -> Claim {
        if let Some(claim) = self.check(intake, now) {
            return claim;
        }
        let number = self.next;
        self.next += 1;
        let entry = Entry {
            intake: intake.clone(),
            fingerprint: fingerprint::fingerprint(intake),
            number,
            claimed_at: now,
            acknowledged: false,
        };
        self.entries.insert(intake.id().clone(), entry);
        self.order.push_back((number, intake.id().clone()));
        while self.order.len() > self.entries_max {
            self.evict();
        }
        Claim::Append
    }

    fn evict(&mut self) {
        if let Some((number, id)) = self.order.pop_front()
            && self.entries.get(&id).is_some_and(|entry| entry.number == number)
        {
            self.forget(&id);
        }
    }

    fn forget(&mut self, id: &PaymentId) {
        let entry = self.entries.remove(id);
        if let Some(account) = entry.as_ref().and_then(|entry| opened(&entry.intake))
            && self.openings.get(account) == Some(id)
        {
            self.openings.remove(account);
        }
    }

    /// The log has it.
    pub(super) fn acknowledge(&mut self, intake: &Intake, now: Instant) {
        // It may have been evicted or released by a copy that failed.
        if self.claim(intake, now) == Claim::Append
            && let Some(entry) = self.entries.get_mut(intake.id())
        {
            entry.acknowledged = true;
            if let Some(account) = opened(intake) {
                self.openings.insert(account.clone(), intake.id().clone());
            }
        }
    }

    /// The log does not have it, or did not say. The next request is appended again.
    pub(super) fn release(&mut self, id: &PaymentId) {
        if self.entries.get(id).is_some_and(|entry| !entry.acknowledged) {
            self.forget(id);
        }
    }

    /// The command that opens the account, if one was acknowledged.
    pub(super) fn opening_of(&self, account: &AccountId) -> Option<PaymentId> {
        self.openings.get(account).cloned()
    }

    /// An acknowledged intake.
    pub(super) fn get(&self, id: &PaymentId) -> Option<&Intake> {
        self.entries.get(id).filter(|entry| entry.acknowledged).map(|entry| &entry.intake)
    }
}

/// The account that a command opens by an id of the caller's.
fn opened(intake: &Intake) -> Option<&AccountId> {
    match intake {
        Intake::Account(command) => match &command.action {
            Action::Open { .. } if command.id != default_id("open", command.account.as_str()) => {
                Some(&command.account)
            }
            _ => None,
        },
        Intake::Payment(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use kpay_domain::intake::open_from_json;

    use super::*;

    fn open(id: &str, funding: i64) -> Intake {
        open_from_json(format!(r#"{{"id":"{id}","funding":{funding}}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn a_copy_is_appended_until_the_log_has_it_and_then_answered() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        let intake = open("a", 1);
        assert_eq!(recent.claim(&intake, now), Claim::Append);
        assert_eq!(recent.claim(&intake, now), Claim::Append);
        assert_eq!(recent.get(intake.id()), None);
        recent.acknowledge(&intake, now);
        assert_eq!(recent.claim(&intake, now), Claim::Accepted);
        assert_eq!(recent.claim(&open("a", 2), now), Claim::Conflict);
        assert_eq!(recent.get(intake.id()), Some(&intake));
    }

    #[test]
    fn what_the_log_did_not_take_may_be_sent_again_with_another_body() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        recent.claim(&open("a", 1), now);
        assert_eq!(recent.claim(&open("a", 2), now), Claim::Conflict);
        recent.release(open("a", 1).id());
        assert_eq!(recent.claim(&open("a", 2), now), Claim::Append);
    }

    #[test]
    fn a_copy_that_failed_takes_nothing_from_one_that_was_acknowledged() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        let intake = open("a", 1);
        recent.claim(&intake, now);
        recent.release(intake.id());
        recent.acknowledge(&intake, now);
        recent.release(intake.id());
        assert_eq!(recent.claim(&intake, now), Claim::Accepted);
    }

    #[test]
    fn the_oldest_goes_first_and_the_number_is_bounded() {
        let (mut recent, now) = (Recent::with_capacity(2), Instant::now());
        for id in ["a", "b", "c"] {
            recent.acknowledge(&open(id, 1), now);
        }
        assert_eq!(recent.get(open("a", 1).id()), None);
        assert!(recent.get(open("b", 1).id()).is_some() && recent.get(open("c", 1).id()).is_some());
        assert_eq!((recent.entries.len(), recent.order.len()), (2, 2));
    }

    #[test]
    fn an_old_id_is_for_the_inflight_stage_to_judge_but_still_readable() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        recent.acknowledge(&open("a", 1), now);
        let later = now + AGE_MAX + Duration::from_secs(1);
        assert_eq!(recent.check(&open("a", 2), later), None);
        assert!(recent.get(open("a", 1).id()).is_some());
    }
}
