//! A peer that speaks a broker's half of the protocol and answers as it is told: it loses answers and refuses calls at
//! the moment that a test names, which a real broker does not.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::FinalizedFeatureKey;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, BrokerId, EndTxnRequest, EndTxnResponse, FindCoordinatorRequest,
    FindCoordinatorResponse, InitProducerIdRequest, InitProducerIdResponse, MetadataRequest,
    MetadataResponse, ProduceRequest, ProduceResponse, ProducerId, ResponseHeader, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, StrBytes, decode_request_header_from_buffer,
};
use kafka_protocol::records::RecordBatchDecoder;

pub(crate) const PARTITIONS: i32 = 4;

/// What the peer does instead of answering well.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// It does what was asked and hangs up without a word.
    LoseAnswer,
    /// It refuses.
    Refuse(ResponseError),
    /// It answers for none of the partitions.
    AnswerNothing,
    /// It refuses one partition and takes the others.
    RefusePartition(i32, ResponseError),
}

/// What the peer was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Init {
        id: String,
        epoch: i16,
    },
    /// Partition, epoch and first sequence of each batch.
    Produce(Vec<(i32, i16, i32)>),
    Offsets {
        epoch: i16,
    },
    End {
        epoch: i16,
        committed: bool,
    },
    Metadata,
}

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    faults: VecDeque<(ApiKey, Fault)>,
    epoch: i16,
    transaction_version: i16,
}

/// A running peer.
pub(crate) struct Peer {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

impl Peer {
    pub(crate) fn start(transaction_version: i16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State { transaction_version, ..State::default() }));
        let (port, shared) = (listener.local_addr().unwrap().port(), Arc::clone(&state));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, port, &shared));
            }
        });
        Self { address, state }
    }

    /// The next call of this kind goes wrong; several are taken in order.
    pub(crate) fn fault(&self, at: ApiKey, fault: Fault) {
        self.state().faults.push_back((at, fault));
    }

    /// What was asked since the last look.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().asked)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(mut stream: TcpStream, port: u16, state: &Mutex<State>) {
    loop {
        let mut length = [0; 4];
        if stream.read_exact(&mut length).is_err() {
            return;
        }
        let mut request = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
        stream.read_exact(&mut request).unwrap();
        let answer = answer(request.into(), port, &mut state.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(answer) = answer else { return };
        let length = i32::try_from(answer.len()).unwrap().to_be_bytes();
        stream.write_all(&[length.as_slice(), &answer].concat()).unwrap();
    }
}

fn answer(mut request: Bytes, port: u16, state: &mut State) -> Option<BytesMut> {
    let header = decode_request_header_from_buffer(&mut request).unwrap();
    let key = ApiKey::try_from(header.request_api_key).unwrap();
    let version = header.request_api_version;
    let planned = state.faults.front().is_some_and(|(at, _)| *at == key);
    let fault = planned.then(|| state.faults.pop_front()).flatten().map(|(_, fault)| fault);
    let code = match fault {
        Some(Fault::Refuse(error)) => error.code(),
        _ => 0,
    };
    let partition_code = |partition: i32| match fault {
        Some(Fault::RefusePartition(refused, error)) if refused == partition => error.code(),
        _ => code,
    };
    let mut out = BytesMut::new();
    let mut reply = Reply { out: &mut out, correlation: header.correlation_id, version };
    match key {
        ApiKey::ApiVersions => reply.with(&versions(state.transaction_version)),
        ApiKey::FindCoordinator => {
            let asked = FindCoordinatorRequest::decode(&mut request, version).unwrap();
            reply.with(&coordinator(&asked, port));
        }
        ApiKey::Metadata => {
            state.asked.push(Asked::Metadata);
            reply.with(&metadata(&MetadataRequest::decode(&mut request, version).unwrap(), port));
        }
        ApiKey::InitProducerId => {
            let asked = InitProducerIdRequest::decode(&mut request, version).unwrap();
            let id = asked.transactional_id.unwrap().0.to_string();
            state.asked.push(Asked::Init { id, epoch: asked.producer_epoch });
            state.epoch += 1;
            let id = InitProducerIdResponse::default().with_producer_id(ProducerId(7));
            reply.with(&id.with_producer_epoch(state.epoch).with_error_code(code));
        }
        ApiKey::Produce => {
            let asked = ProduceRequest::decode(&mut request, version).unwrap();
            reply.with(&produced(&asked, state, &partition_code));
        }
        ApiKey::TxnOffsetCommit => {
            let asked = TxnOffsetCommitRequest::decode(&mut request, version).unwrap();
            state.asked.push(Asked::Offsets { epoch: asked.producer_epoch });
            let answer = offsets(&asked, &partition_code);
            let nothing = matches!(fault, Some(Fault::AnswerNothing));
            reply.with(&if nothing { TxnOffsetCommitResponse::default() } else { answer });
        }
        ApiKey::EndTxn => {
            let asked = EndTxnRequest::decode(&mut request, version).unwrap();
            state.asked.push(Asked::End { epoch: asked.producer_epoch, committed: asked.committed });
            let ended = EndTxnResponse::default().with_error_code(code).with_producer_id(ProducerId(7));
            reply.with(&ended.with_producer_epoch(asked.producer_epoch + 1));
        }
        other => panic!("nobody should ask for {other:?}"),
    }
    (!matches!(fault, Some(Fault::LoseAnswer))).then_some(out)
}

struct Reply<'a> {
    out: &'a mut BytesMut,
    correlation: i32,
    version: i16,
}

impl Reply<'_> {
    fn with<M: Encodable + HeaderVersion>(&mut self, message: &M) {
        let header = ResponseHeader::default().with_correlation_id(self.correlation);
        header.encode(self.out, M::header_version(self.version)).unwrap();
        message.encode(self.out, self.version).unwrap();
    }
}

fn versions(transaction_version: i16) -> ApiVersionsResponse {
    let feature = FinalizedFeatureKey::default()
        .with_name(StrBytes::from_static_str("transaction.version"))
        .with_max_version_level(transaction_version);
    ApiVersionsResponse::default().with_finalized_features(vec![feature])
}

fn host() -> StrBytes {
    StrBytes::from_static_str("127.0.0.1")
}

fn coordinator(asked: &FindCoordinatorRequest, port: u16) -> FindCoordinatorResponse {
    let named = |key: &StrBytes| {
        Coordinator::default()
            .with_key(key.clone())
            .with_node_id(BrokerId(1))
            .with_host(host())
            .with_port(i32::from(port))
    };
    FindCoordinatorResponse::default().with_coordinators(asked.coordinator_keys.iter().map(named).collect())
}

fn metadata(asked: &MetadataRequest, port: u16) -> MetadataResponse {
    let broker =
        MetadataResponseBroker::default().with_node_id(BrokerId(1)).with_host(host()).with_port(port.into());
    let partition =
        |index| MetadataResponsePartition::default().with_partition_index(index).with_leader_id(BrokerId(1));
    let topics = asked.topics.iter().flatten().map(|topic| {
        MetadataResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions((0..PARTITIONS).map(partition).collect())
    });
    MetadataResponse::default().with_brokers(vec![broker]).with_topics(topics.collect())
}

fn produced(asked: &ProduceRequest, state: &mut State, code: &dyn Fn(i32) -> i16) -> ProduceResponse {
    let mut batches = Vec::new();
    let mut topics = Vec::new();
    for topic in &asked.topic_data {
        let mut partitions = Vec::new();
        for data in &topic.partition_data {
            let mut bytes = data.records.clone().unwrap();
            let info = RecordBatchDecoder::decode_batch_info(&mut bytes).unwrap().remove(0);
            batches.push((data.index, info.producer_epoch, info.base_sequence));
            let taken = PartitionProduceResponse::default().with_index(data.index);
            partitions.push(taken.with_error_code(code(data.index)));
        }
        let topic = TopicProduceResponse::default().with_name(topic.name.clone());
        topics.push(topic.with_partition_responses(partitions));
    }
    state.asked.push(Asked::Produce(batches));
    ProduceResponse::default().with_responses(topics)
}

fn offsets(asked: &TxnOffsetCommitRequest, code: &dyn Fn(i32) -> i16) -> TxnOffsetCommitResponse {
    let topic = |topic: &kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic| {
        let partition = |index: i32| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code(index))
        };
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(topic.partitions.iter().map(|p| partition(p.partition_index)).collect())
    };
    TxnOffsetCommitResponse::default().with_topics(asked.topics.iter().map(topic).collect())
}
