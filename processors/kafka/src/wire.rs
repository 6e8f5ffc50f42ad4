//! One connection to one broker: a request out, its answer in. Only I/O; every call blocks.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

/// A broker closes a connection that was silent for its `connections.max.idle.ms` (ten minutes by default); one that
/// was silent for this long is made anew instead.
const IDLE_MAX: Duration = Duration::from_mins(3);
/// No answer of the calls made here comes near this size, in bytes.
const ANSWER_MAX: usize = 64 << 20;

/// What went wrong between us and a broker. The connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// Not reached, or cut off.
    #[error("{call} at {address}: {source}")]
    Io {
        /// The call that was made.
        call: &'static str,
        /// `host:port`.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are not what the protocol says.
    #[error("{call} at {address}: {detail}")]
    Malformed {
        /// The call that was made.
        call: &'static str,
        /// `host:port`.
        address: String,
        /// What is wrong with them.
        detail: String,
    },
}

/// A connection.
pub(crate) struct Wire {
    address: String,
    client_id: StrBytes,
    stream: TcpStream,
    correlation: i32,
    used: Instant,
    buffer: BytesMut,
}

impl Wire {
    /// Connects to `host:port`. `timeout` bounds the connecting and each wait for the broker after it.
    pub(crate) fn open(address: &str, client_id: &str, timeout: Duration) -> Result<Self, WireError> {
        let failed = |source| WireError::Io { call: "connect", address: address.to_owned(), source };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for place in address.to_socket_addrs().map_err(failed)? {
            match TcpStream::connect_timeout(&place, timeout) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(failed)?;
                    stream.set_write_timeout(Some(timeout)).map_err(failed)?;
                    stream.set_read_timeout(Some(timeout)).map_err(failed)?;
                    return Ok(Self {
                        address: address.to_owned(),
                        client_id: StrBytes::from_string(client_id.to_owned()),
                        stream,
                        correlation: 0,
                        used: Instant::now(),
                        buffer: BytesMut::new(),
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    /// Whether the broker may have closed it for being silent.
    pub(crate) fn is_stale(&self) -> bool {
        self.used.elapsed() > IDLE_MAX
    }

    /// Sends `request` and waits for its answer.
    pub(crate) fn call<R: Request>(
        &mut self,
        call: &'static str,
        version: i16,
        request: &R,
    ) -> Result<R::Response, WireError> {
        self.used = Instant::now();
        self.correlation = self.correlation.wrapping_add(1);
        self.encode(version, request).map_err(|detail| self.malformed(call, &detail))?;
        let io = |source| WireError::Io { call, address: self.address.clone(), source };
        self.stream.write_all(&self.buffer).map_err(io)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).map_err(io)?;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > ANSWER_MAX {
            return Err(self.malformed(call, "an answer of impossible length"));
        }
        self.buffer.resize(length, 0);
        self.stream.read_exact(&mut self.buffer).map_err(io)?;
        self.decode::<R>(version).map_err(|detail| self.malformed(call, &detail))
    }

    fn encode<R: Request>(&mut self, version: i16, request: &R) -> Result<(), String> {
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(self.client_id.clone()));
        self.buffer.clear();
        self.buffer.put_i32(0);
        header.encode(&mut self.buffer, R::header_version(version)).map_err(|e| e.to_string())?;
        request.encode(&mut self.buffer, version).map_err(|e| e.to_string())?;
        let length = i32::try_from(self.buffer.len() - 4).map_err(|e| e.to_string())?;
        if let Some(place) = self.buffer.first_chunk_mut::<4>() {
            *place = length.to_be_bytes();
        }
        Ok(())
    }

    fn decode<R: Request>(&mut self, version: i16) -> Result<R::Response, String> {
        let mut bytes = self.buffer.split().freeze();
        let header = ResponseHeader::decode(&mut bytes, R::Response::header_version(version))
            .map_err(|e| e.to_string())?;
        if header.correlation_id != self.correlation {
            return Err(format!("answer {} to request {}", header.correlation_id, self.correlation));
        }
        R::Response::decode(&mut bytes, version).map_err(|e| e.to_string())
    }

    fn malformed(&self, call: &'static str, detail: &str) -> WireError {
        WireError::Malformed { call, address: self.address.clone(), detail: detail.to_owned() }
    }
}
