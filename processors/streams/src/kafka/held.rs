//! Under which member id a worker was given what it has. Pure.

use std::collections::BTreeSet;

use kpay_kafka::ffi::GroupMember;

/// What a worker was given and has not given up.
///
/// A member that the group took for gone while it was joining comes back under another id, and librdkafka lets it keep what
/// it had, without a word: somebody else may have had that meanwhile.
#[derive(Debug, Default)]
pub(super) struct Held {
    partitions: BTreeSet<i32>,
    /// Under which the first of them was given.
    member: String,
}

impl Held {
    pub(super) fn give(&mut self, partitions: impl Iterator<Item = i32>, member: String) {
        if self.partitions.is_empty() {
            self.member = member;
        }
        self.partitions.extend(partitions);
    }

    pub(super) fn take(&mut self, partitions: &[i32]) {
        self.partitions.retain(|held| !partitions.contains(held));
    }

    /// Whether what is held was given to another member than this one; one that is none at the moment is no other.
    pub(super) fn is_of_another(&self, now: &GroupMember) -> bool {
        !self.partitions.is_empty() && !now.member.is_empty() && now.member != self.member
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str) -> GroupMember {
        GroupMember { member: id.to_owned(), ..GroupMember::default() }
    }

    #[test]
    fn what_is_held_is_of_who_was_given_the_first_of_it_until_the_last_is_taken() {
        let mut held = Held::default();
        assert!(!held.is_of_another(&member("b")), "nothing is held");
        held.give([0, 1].into_iter(), "a".to_owned());
        assert!(!held.is_of_another(&member("a")));
        assert!(!held.is_of_another(&member("")), "not a member now, perhaps soon again");
        held.take(&[0]);
        held.give([2].into_iter(), "b".to_owned());
        assert!(held.is_of_another(&member("b")), "1 was given to a");
        held.take(&[1, 2]);
        held.give([1].into_iter(), "b".to_owned());
        assert!(!held.is_of_another(&member("b")));
    }
}
