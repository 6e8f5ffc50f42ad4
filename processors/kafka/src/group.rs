//! The members of a consumer group: who owns which partition, read from its description, and who has gone for good.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_groups_response::DescribedGroupMember;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::{DescribeGroupsRequest, GroupId, LeaveGroupRequest};
use kafka_protocol::protocol::{Request, StrBytes};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};

use crate::cluster::{Cluster, Coordinates, Node};
use crate::config::Connection;
use crate::error::KafkaError;
use crate::transaction::TransactionErrorKind;
use crate::transaction::attempt::{Trouble, again, persist};

const LEAVE_GROUP: i16 = 4;
const DESCRIBE_GROUPS: i16 = 5;
/// The call that takes members out.
const REMOVE: &str = "remove members";

/// A group, asked of its coordinator.
struct Group {
    cluster: Cluster,
    /// Its coordinator, once it was looked up; until a call fails.
    node: Option<Node>,
    /// The `client.id` of who asks.
    client_id: String,
    id: GroupId,
    timeout: Duration,
}

impl Group {
    fn new(connection: &Connection, group: &str, timeout: Duration) -> Self {
        let cluster = Cluster::new(connection.clone(), &[]);
        let (client_id, id) =
            (connection.client_id.clone(), GroupId(StrBytes::from_string(group.to_owned())));
        Self { cluster, node: None, client_id, id, timeout }
    }

    /// Makes attempts until one has an answer.
    fn persist<T>(
        mut self,
        call: &'static str,
        mut attempt: impl FnMut(&mut Self) -> Result<T, Trouble>,
    ) -> Result<T, KafkaError> {
        let timeout = self.timeout;
        let attempt = || attempt(&mut self).inspect_err(|_| self.node = None);
        persist(call, timeout, TransactionErrorKind::Unavailable, attempt)
            .map_err(|error| KafkaError::Refused { call, detail: error.detail })
    }

    fn ask<R: Request>(
        &mut self,
        call: &'static str,
        version: i16,
        request: &R,
    ) -> Result<R::Response, Trouble> {
        let node = match self.node {
            Some(node) => node,
            None => *self.node.insert(self.cluster.coordinator(Coordinates::Group, &self.id.0)?),
        };
        self.cluster.call(node, call, version, request)
    }

    fn members(&mut self) -> Result<Vec<DescribedGroupMember>, Trouble> {
        const CALL: &str = "describe group";
        let request = DescribeGroupsRequest::default().with_groups(vec![self.id.clone()]);
        let answer = self.ask(CALL, DESCRIBE_GROUPS, &request)?;
        let group = answer.groups.into_iter().next();
        let group = group.ok_or_else(|| Trouble::Again("no group was described".into()))?;
        match ResponseError::try_from_code(group.error_code) {
            None => Ok(group.members),
            Some(error) if again(error) => Err(Trouble::again(error)),
            Some(error) => Err(Trouble::refused(CALL, error)),
        }
    }

    /// Takes these out; one that is no member, or no longer under that id, is no error.
    fn remove(&mut self, members: &[MemberIdentity]) -> Result<(), Trouble> {
        let request =
            LeaveGroupRequest::default().with_group_id(self.id.clone()).with_members(members.to_vec());
        let answer = self.ask(REMOVE, LEAVE_GROUP, &request)?;
        let codes = answer.members.iter().map(|member| member.error_code);
        let mut errors = codes.chain([answer.error_code]).filter_map(ResponseError::try_from_code);
        let gone = |error: &ResponseError| {
            matches!(error, ResponseError::UnknownMemberId | ResponseError::FencedInstanceId)
        };
        match errors.find(|error| !gone(error)) {
            None => Ok(()),
            Some(error) if again(error) => Err(Trouble::again(error)),
            Some(error) => Err(Trouble::refused(REMOVE, error)),
        }
    }
}

/// Takes static members that do not come back out of a group, so that their partitions go to the others at once and not
/// after the session's time-out. One that is no member is no error. Blocks.
pub fn remove_members(
    connection: &Connection,
    group: &str,
    instances: &[String],
    timeout: Duration,
) -> Result<(), KafkaError> {
    let instance = |name: &String| StrBytes::from_string(name.clone());
    let member = |name| MemberIdentity::default().with_group_instance_id(Some(instance(name)));
    let members: Vec<_> = instances.iter().map(member).collect();
    Group::new(connection, group, timeout).persist(REMOVE, |group| group.remove(&members))
}

/// The same for the members of this process, which have stopped, if the group has others that can take their partitions.
/// Blocks.
///
/// They go under the ids that they have at the first look: a successor that joins under the same names while we try stays.
pub fn leave(
    connection: &Connection,
    group: &str,
    instances: &[String],
    timeout: Duration,
) -> Result<(), KafkaError> {
    let mut leaving: Option<Vec<MemberIdentity>> = None;
    Group::new(connection, group, timeout).persist("leave the group", |group| {
        let members = match &mut leaving {
            Some(known) => known,
            none => none.insert(leaving_of(&group.members()?, &group.client_id, instances)),
        };
        if members.is_empty() { Ok(()) } else { group.remove(members) }
    })
}

/// The members that are of this client and have one of these names; none where there is nobody else.
fn leaving_of(
    members: &[DescribedGroupMember],
    client_id: &str,
    instances: &[String],
) -> Vec<MemberIdentity> {
    let (ours, others): (Vec<_>, Vec<_>) =
        members.iter().partition(|member| member.client_id.as_str() == client_id);
    if others.is_empty() {
        return Vec::new();
    }
    let named = |member: &&DescribedGroupMember| {
        let instance = member.group_instance_id.as_ref();
        instance.is_some_and(|instance| instances.iter().any(|name| name == instance.as_str()))
    };
    let identity = |member: &DescribedGroupMember| {
        MemberIdentity::default()
            .with_member_id(member.member_id.clone())
            .with_group_instance_id(member.group_instance_id.clone())
    };
    ours.into_iter().filter(named).map(identity).collect()
}

/// The `client.id` of every member of a group; none where there is no such group. Blocks.
pub fn members(connection: &Connection, group: &str, timeout: Duration) -> Result<Vec<String>, KafkaError> {
    let members = Group::new(connection, group, timeout).persist("describe group", Group::members)?;
    Ok(members.iter().map(|member| member.client_id.as_str().to_owned()).collect())
}

/// Closes a consumer as its drop does, which looks whether it is closed only every 100 ms: who is to take its partitions waits
/// for that. Blocks.
pub fn close<C: ConsumerContext>(consumer: &BaseConsumer<C>) {
    // One that is closed already, or has failed for good, has nothing more to do.
    if consumer.close_queue().is_err() {
        return;
    }
    while !consumer.closed() {
        // Its events are callbacks, which are called here, and records, which nobody wants any more.
        drop(consumer.poll(Duration::from_millis(1)));
    }
}

/// The owner of each partition of `topic` in `group`: `(partition, client.id of the member)`.
///
/// The members' `client.id` is by kpay's convention the address where the pod answers. Blocks.
pub fn owners(
    client: &BaseConsumer,
    group: &str,
    topic: &str,
    timeout: Duration,
) -> Result<Vec<(i32, String)>, KafkaError> {
    let list = client.fetch_group_list(Some(group), timeout).map_err(KafkaError::call("describe group"))?;
    let mut owners = Vec::new();
    for member in list.groups().iter().flat_map(rdkafka::groups::GroupInfo::members) {
        let Some(assignment) = member.assignment() else { continue };
        for partition in partitions_of(assignment, topic) {
            owners.push((partition, member.client_id().to_owned()));
        }
    }
    Ok(owners)
}

/// Decodes a `ConsumerProtocolAssignment`: i16 version, [topic string, [i32 partition]], userdata.
/// Bytes that end early give what could be read.
fn partitions_of(bytes: &[u8], topic: &str) -> Vec<i32> {
    let mut reader = Reader(bytes);
    let mut found = Vec::new();
    let _version = reader.take::<2>();
    let topics = reader.i32().unwrap_or(0);
    for _ in 0..topics {
        let Some(name) = reader.string() else { return found };
        let Some(count) = reader.i32() else { return found };
        for _ in 0..count {
            let Some(partition) = reader.i32() else { return found };
            if name == topic.as_bytes() {
                found.push(partition);
            }
        }
    }
    found
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(i16::from_be_bytes(self.take()?)).ok()?;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_goes_under_its_present_id_and_only_where_others_stay() {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let member = |client: &str, instance: &str| {
            DescribedGroupMember::default()
                .with_client_id(text(client))
                .with_member_id(text(&format!("id of {instance}")))
                .with_group_instance_id(Some(text(instance)))
        };
        let ours = [member("a:8080", "a-0"), member("a:8080", "a-1"), member("a:8080", "a-2")];
        let names = ["a-0".to_owned(), "a-1".to_owned()];
        assert_eq!(leaving_of(&ours, "a:8080", &names), []);
        let all = [&ours[..], &[member("b:8080", "b-0")]].concat();
        let leaving = leaving_of(&all, "a:8080", &names);
        let ids: Vec<&str> = leaving.iter().map(|member| member.member_id.as_str()).collect();
        assert_eq!(ids, ["id of a-0", "id of a-1"]);
        assert!(leaving.iter().all(|member| member.group_instance_id.is_some()));
    }

    #[test]
    fn an_assignment_of_two_topics_gives_the_partitions_of_the_one_asked_for() {
        let mut bytes = vec![0, 1, 0, 0, 0, 2];
        for (name, partitions) in [("a", vec![7]), ("bc", vec![0_i32, 3])] {
            bytes.extend(i16::try_from(name.len()).unwrap().to_be_bytes());
            bytes.extend(name.as_bytes());
            bytes.extend(i32::try_from(partitions.len()).unwrap().to_be_bytes());
            bytes.extend(partitions.iter().flat_map(|p| p.to_be_bytes()));
        }
        bytes.extend([0xff; 4]);
        assert_eq!(partitions_of(&bytes, "bc"), [0, 3]);
        assert_eq!(partitions_of(&bytes, "zz"), [0_i32; 0]);
        assert_eq!(partitions_of(&bytes[..bytes.len() - 9], "bc"), [0_i32; 0]);
    }
}
