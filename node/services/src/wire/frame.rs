//! Messages behind gRPC's prefix: a flag and a length, five bytes (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
//!
//! Nothing is compressed. Invariants: the length that a prefix announces is checked before its message is waited for; a
//! message that came in one piece is not copied.

use super::ahead::{self, Ahead};
use crate::status::failure;
use axum::body::Body;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tonic::{Code, Status};

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// The bytes before a message.
pub(super) const PREFIX: usize = 5;

/// Refuses a request whose messages are compressed: no encoding was offered.
///
/// # Errors
/// `UNIMPLEMENTED UNSUPPORTED_COMPRESSION`, with what is accepted instead.
pub(super) fn check_encoding(headers: &HeaderMap) -> Result<(), Status> {
    let Some(encoding) = headers.get(&GRPC_ENCODING).filter(|encoding| *encoding != "identity") else {
        return Ok(());
    };
    let encoding = String::from_utf8_lossy(encoding.as_bytes());
    let message = format!("messages compressed with `{encoding}` are not taken, only plain ones");
    let mut status = failure(Code::Unimplemented, "UNSUPPORTED_COMPRESSION", message).status();
    let accepted = tonic::metadata::MetadataValue::from_static("identity");
    status.metadata_mut().insert("grpc-accept-encoding", accepted);
    Err(status)
}

/// The length that a prefix announces.
///
/// # Errors
/// `RESOURCE_EXHAUSTED MESSAGE_TOO_LARGE` beyond `max`; `INTERNAL UNEXPECTED_COMPRESSION`, as gRPC has it for the flag
/// without an encoding; `INVALID_ARGUMENT MALFORMED_MESSAGE` for any other flag.
pub(super) fn length_of(prefix: [u8; PREFIX], max: usize) -> Result<usize, Status> {
    let [flag, length @ ..] = prefix;
    match flag {
        0 => {}
        1 => {
            let message = "the message is compressed, but the request has no `grpc-encoding`";
            return Err(failure(Code::Internal, "UNEXPECTED_COMPRESSION", message).status());
        }
        other => return Err(malformed(format!("the flag before the message is {other}, neither 0 nor 1"))),
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > max {
        let message = format!("the message has {length} bytes; one may have {max}");
        return Err(failure(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message).status());
    }
    Ok(length)
}

/// `INVALID_ARGUMENT MALFORMED_MESSAGE`.
pub(super) fn malformed(message: impl Into<String>) -> Status {
    failure(Code::InvalidArgument, "MALFORMED_MESSAGE", message).status()
}

/// `UNIMPLEMENTED MESSAGE_COUNT`, as gRPC has it for a request that is not one message where one is expected.
fn miscounted(message: &str) -> Status {
    failure(Code::Unimplemented, "MESSAGE_COUNT", message).status()
}

/// Reads a request that is one message.
///
/// # Errors
/// As [`read_bytes`]; `INVALID_ARGUMENT MALFORMED_MESSAGE` for bytes that are no such message.
pub(super) async fn read_one<M: prost::Message + Default>(
    body: Body,
    ahead: Ahead,
    max: usize,
) -> Result<M, Status> {
    let message = read_bytes(body, ahead, max).await?;
    M::decode(message).map_err(|error| malformed(format!("the message is not valid: {error}")))
}

/// The bytes of a request that is one message.
///
/// # Errors
/// As [`length_of`]; `UNIMPLEMENTED MESSAGE_COUNT` for no message or several; `INVALID_ARGUMENT MALFORMED_MESSAGE` for a
/// part of one.
pub(super) async fn read_bytes(mut body: Body, ahead: Ahead, max: usize) -> Result<Bytes, Status> {
    let mut received = Received { first: ahead.head, joined: BytesMut::new() };
    received.check(max)?;
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|error| Status::from_error(error.into()))?;
        // trailers of a request say nothing to anybody
        if let Ok(data) = frame.into_data() {
            received.add(data);
            received.check(max)?;
        }
    }
    let message = received.message(max)?;
    Ok(match ahead.meant {
        None => message,
        Some(pid) => ahead::with_process(&message, pid),
    })
}

/// Takes the first message with its prefix off what has come of a stream, if it has come whole.
pub(super) fn whole_message(come: &mut BytesMut) -> Option<Bytes> {
    let [_, length @ ..] = *come.first_chunk::<PREFIX>()?;
    let end = PREFIX + u32::from_be_bytes(length) as usize;
    (come.len() >= end).then(|| come.split_to(end).freeze())
}

/// What has come of a request.
#[derive(Default)]
struct Received {
    /// All of it, while it is one piece.
    first: Bytes,
    joined: BytesMut,
}

impl Received {
    fn add(&mut self, data: Bytes) {
        if self.joined.is_empty() && self.first.is_empty() {
            self.first = data;
            return;
        }
        self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        self.joined.extend_from_slice(&data);
    }

    fn bytes(&self) -> &[u8] {
        if self.joined.is_empty() { &self.first } else { &self.joined }
    }

    /// Whether it can still become one message.
    fn check(&self, max: usize) -> Result<(), Status> {
        let Some(prefix) = self.bytes().first_chunk() else { return Ok(()) };
        if self.bytes().len() > PREFIX + length_of(*prefix, max)? {
            return Err(miscounted("the request is more than one message"));
        }
        Ok(())
    }

    /// The message, now that nothing more comes.
    fn message(self, max: usize) -> Result<Bytes, Status> {
        let Some(prefix) = self.bytes().first_chunk() else {
            return Err(match self.bytes().is_empty() {
                true => miscounted("the request has no message"),
                false => malformed("the request ends within the prefix of its message"),
            });
        };
        let (length, came) = (length_of(*prefix, max)?, self.bytes().len() - PREFIX);
        if came < length {
            return Err(malformed(format!(
                "the request ends after {came} of the {length} bytes of its message"
            )));
        }
        let mut all = if self.joined.is_empty() { self.first } else { self.joined.freeze() };
        Ok(all.split_off(PREFIX))
    }
}

/// Appends a message behind its prefix.
///
/// # Errors
/// `RESOURCE_EXHAUSTED RESPONSE_TOO_LARGE` beyond `max`.
pub(super) fn put(message: &impl prost::Message, max: usize, to: &mut BytesMut) -> Result<(), Status> {
    let bytes = message.encoded_len();
    let length = match u32::try_from(bytes) {
        Ok(length) if bytes <= max => length,
        _ => {
            let message = format!("the answer has {bytes} bytes; one may have {max}");
            return Err(failure(Code::ResourceExhausted, "RESPONSE_TOO_LARGE", message).status());
        }
    };
    to.reserve(PREFIX + bytes);
    to.put_u8(0);
    to.put_u32(length);
    message.encode_raw(to);
    Ok(())
}

/// Follows a stream of messages as it comes, to refuse one by its prefix.
#[derive(Debug, Default)]
pub(super) struct Follower {
    prefix: [u8; PREFIX],
    /// Bytes of the present prefix that have come.
    have: usize,
    /// Bytes of the present message.
    length: usize,
    /// Those of them that are still to come.
    left: usize,
}

impl Follower {
    /// Looks at the next chunk.
    ///
    /// # Errors
    /// As [`length_of`].
    pub(super) fn see(&mut self, mut chunk: &[u8], max: usize) -> Result<(), Status> {
        loop {
            let passed = self.left.min(chunk.len());
            self.left -= passed;
            chunk = &chunk[passed..];
            let Some((byte, rest)) = chunk.split_first() else { return Ok(()) };
            self.prefix[self.have] = *byte;
            self.have += 1;
            chunk = rest;
            if self.have == PREFIX {
                self.have = 0;
                self.length = length_of(self.prefix, max)?;
                self.left = self.length;
            }
        }
    }

    /// How many bytes have come of a message that is not whole.
    pub(super) fn pending(&self) -> usize {
        if self.left > 0 { PREFIX + self.length - self.left } else { self.have }
    }

    /// Whether the stream may end here: between two messages.
    pub(super) fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }
}

#[cfg(test)]
mod tests;
