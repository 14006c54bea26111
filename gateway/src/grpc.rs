//! gRPC's framing: five bytes (a flag and a length) before each message, and trailers that tell how the call ended.
//!
//! Messages stay bytes. A message that arrives in one chunk is a slice of it; no copy is made.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, header};
use http_body::Body as _;

use crate::{
    code::Code,
    coding::{self, Coding, DecodeError},
    failure::{Failure, GRPC_STATUS, Reason},
    gateway::Compiled,
    held::Held,
};

/// The bytes before a message.
pub const PREFIX: usize = 5;

/// Sets the prefix of a message for which [`PREFIX`] bytes were kept at the start.
pub fn seal(frame: &mut [u8]) {
    let length = u32::try_from(frame.len().saturating_sub(PREFIX)).unwrap_or(u32::MAX);
    if let Some(prefix) = frame.first_chunk_mut::<PREFIX>() {
        let [a, b, c, d] = length.to_be_bytes();
        *prefix = [0, a, b, c, d];
    }
}

/// Takes messages out of chunks.
#[derive(Debug, Default)]
pub struct Deframer {
    /// What the sender may have compressed its messages with.
    coding: Option<Coding>,
    chunk: Bytes,
    /// What did not make a whole message yet.
    partial: BytesMut,
}

/// Why frames cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The prefix announces more than the limit.
    #[error("a message of {length} bytes on the wire, more than the limit of {max}")]
    TooLarge {
        /// The length announced.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// It is short enough on the wire, and too long inflated.
    #[error("a compressed message that is inflated more than the limit of {max} bytes")]
    Inflated {
        /// The limit.
        max: usize,
    },
    /// The flag is neither 0 nor 1.
    #[error("the unknown frame flag {0}")]
    Flag(u8),
    /// In no coding that is known.
    #[error("a compressed message, and not in gzip by its header grpc-encoding")]
    Compressed,
    /// It cannot be decompressed.
    #[error("a compressed message that is {0}")]
    Corrupt(String),
    /// The stream ended within a frame.
    #[error("the stream ended within a message")]
    Truncated,
}

impl Deframer {
    /// Of an answer with these headers. Some servers compress with gzip though nobody asked for it.
    pub fn of_answer(headers: &HeaderMap) -> Self {
        let coding = headers.get("grpc-encoding").filter(|coding| *coding == "gzip").map(|_| Coding::Gzip);
        Self { coding, ..Self::default() }
    }

    /// Adds a chunk. Call [`Deframer::next`] until it has nothing before adding another.
    pub fn push(&mut self, chunk: Bytes) {
        if self.partial.is_empty() && self.chunk.is_empty() {
            self.chunk = chunk;
            return;
        }
        let before = std::mem::take(&mut self.chunk);
        self.partial.extend_from_slice(&before);
        self.partial.extend_from_slice(&chunk);
    }

    fn available(&self) -> &[u8] {
        if self.partial.is_empty() { &self.chunk } else { &self.partial }
    }

    /// The length of the next message, once its prefix is there.
    pub fn announced(&self, max: usize) -> Result<Option<usize>, FrameError> {
        let Some(&[flag, a, b, c, d]) = self.available().first_chunk::<PREFIX>() else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        match flag {
            0 | 1 if length > max => Err(FrameError::TooLarge { length, max }),
            0 => Ok(Some(length)),
            1 if self.coding.is_some() => Ok(Some(length)),
            1 => Err(FrameError::Compressed),
            other => Err(FrameError::Flag(other)),
        }
    }

    /// The next whole message. The length is checked before memory is taken for it.
    pub fn next(&mut self, max: usize) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.announced(max)? else { return Ok(None) };
        if self.available().len() < PREFIX + length {
            self.expect(PREFIX + length);
            return Ok(None);
        }
        let mut frame = if self.partial.is_empty() {
            self.chunk.split_to(PREFIX + length)
        } else {
            self.partial.split_to(PREFIX + length).freeze()
        };
        let message = frame.split_off(PREFIX);
        match self.coding {
            Some(coding) if frame.first() == Some(&1) => {
                coding::decode(coding, message, max).map(Some).map_err(|error| match error {
                    DecodeError::TooLarge(_) => FrameError::Inflated { max },
                    error => FrameError::Corrupt(error.to_string()),
                })
            }
            _ => Ok(Some(message)),
        }
    }

    /// Takes room for a frame of which the rest is still to come, once: grown piece by piece it would be copied again and
    /// again.
    fn expect(&mut self, frame: usize) {
        if self.partial.is_empty() {
            self.partial.reserve(frame);
            self.partial.extend_from_slice(&std::mem::take(&mut self.chunk));
        } else {
            self.partial.reserve(frame - self.partial.len());
        }
    }

    /// To be called at the end: nothing may be left.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.chunk.is_empty() && self.partial.is_empty() { Ok(()) } else { Err(FrameError::Truncated) }
    }
}

/// The messages of an answer, and then its status.
pub(crate) struct Messages {
    body: axum::body::Body,
    deframer: Deframer,
    compiled: Arc<Compiled>,
    room: Room,
    /// The status, once it came; a trailers-only answer has it from the start.
    pub(crate) trailers: Option<HeaderMap>,
    ended: bool,
    /// A failure was given: nothing comes behind it.
    failed: bool,
}

impl Messages {
    /// Takes an answer from upstream apart. An answer that is no gRPC, or a status that came at once, is a failure.
    pub(crate) fn open(
        response: Response<axum::body::Body>,
        compiled: &Arc<Compiled>,
    ) -> Result<(HeaderMap, Self), Failure> {
        let (parts, body) = response.into_parts();
        let grpc = parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        let has_status = parts.headers.contains_key(GRPC_STATUS);
        if !has_status && (!parts.status.is_success() || !grpc) {
            let code = Code::from_http_status(parts.status);
            let message = format!("upstream answered HTTP {} and no gRPC", parts.status.as_u16());
            return Err(Failure { code, ..compiled.failure(Reason::UpstreamBroken, message) });
        }
        if has_status && let Some(failure) = Failure::from_trailers(&parts.headers) {
            return Err(failure);
        }
        let messages = Self {
            body,
            deframer: Deframer::of_answer(&parts.headers),
            compiled: compiled.clone(),
            room: Room::None,
            trailers: has_status.then(|| parts.headers.clone()),
            ended: false,
            failed: false,
        };
        Ok((parts.headers, messages))
    }

    /// The next message; `None` after a status of success.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Failure>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`Messages::next`].
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let max = self.compiled.config.limits.response_bytes_max;
        loop {
            if let Ok(Some(length)) = self.deframer.announced(max)
                && let Err(failure) = ready!(self.room.poll(length, &self.compiled, context))
            {
                self.stop();
                return Poll::Ready(Some(Err(failure)));
            }
            match self.deframer.next(max) {
                Ok(Some(message)) => {
                    let inflated = self.room.inflated(message.len(), &self.compiled);
                    if inflated.is_err() {
                        self.stop();
                    }
                    return Poll::Ready(Some(inflated.map(|()| message)));
                }
                Ok(None) if self.ended => return Poll::Ready(self.finish().map(Err)),
                Ok(None) => {}
                Err(error) => {
                    self.stop();
                    return Poll::Ready(Some(Err(self.broken(error))));
                }
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.deframer.push(data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Some(Err(error)) => {
                    self.stop();
                    let message = format!("the connection to upstream broke: {error}");
                    return Poll::Ready(Some(Err(self
                        .compiled
                        .failure(Reason::UpstreamUnavailable, message))));
                }
                None => self.ended = true,
            }
        }
    }

    /// What the last message and its JSON take of the memory that answers may have together. Whoever takes a message takes
    /// this too.
    pub(crate) fn held(&mut self) -> Held {
        match std::mem::take(&mut self.room) {
            Room::Taken(held) => held,
            Room::None | Room::Awaited(_) => Held::default(),
        }
    }

    /// Nothing more is read: what fails here is told once.
    fn stop(&mut self) {
        (self.ended, self.failed) = (true, true);
        (self.deframer, self.room) = (Deframer::default(), Room::None);
    }

    fn finish(&mut self) -> Option<Failure> {
        if self.failed {
            return None;
        }
        if let Err(error) = self.deframer.finish() {
            self.stop();
            return Some(self.broken(error));
        }
        let failure = match self.trailers.as_ref().filter(|trailers| trailers.contains_key(GRPC_STATUS)) {
            Some(trailers) => Failure::from_trailers(trailers)?,
            // trailers that say nothing are no status either
            None => {
                let message = "upstream ended the call without a status";
                Failure { code: Code::Unknown, ..self.compiled.failure(Reason::UpstreamBroken, message) }
            }
        };
        self.stop();
        Some(failure)
    }

    fn broken(&self, error: FrameError) -> Failure {
        let reason = match error {
            FrameError::TooLarge { .. } | FrameError::Inflated { .. } => Reason::ResponseTooLarge,
            _ => Reason::UpstreamBroken,
        };
        self.compiled.failure(reason, format!("upstream sent {error}"))
    }
}

/// The memory for one message.
#[derive(Default)]
enum Room {
    #[default]
    None,
    Awaited(Pin<Box<dyn Future<Output = Result<Held, Failure>> + Send>>),
    Taken(Held),
}

impl Room {
    /// Takes room for a message of so many bytes, unless it was taken before.
    fn poll(
        &mut self,
        message: usize,
        compiled: &Arc<Compiled>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        let held = match self {
            Room::Taken(_) => return Poll::Ready(Ok(())),
            Room::Awaited(waiting) => ready!(waiting.as_mut().poll(context))?,
            Room::None => match Held::for_answer(message, compiled) {
                Some(held) => held,
                None => {
                    let mut waiting = Box::pin(Held::wait_for_answer(message, Arc::clone(compiled)));
                    let held = waiting.as_mut().poll(context);
                    if held.is_pending() {
                        *self = Room::Awaited(waiting);
                    }
                    ready!(held)?
                }
            },
        };
        *self = Room::Taken(held);
        Poll::Ready(Ok(()))
    }

    /// Has room for a message that is there, which may be larger than it was on the wire.
    fn inflated(&mut self, message: usize, compiled: &Compiled) -> Result<(), Failure> {
        match self {
            Room::Taken(held) => held.grow_for_answer(message, compiled),
            Room::None | Room::Awaited(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_in_gzip_is_read_where_the_headers_say_so_within_the_limit() {
        use std::io::Write as _;
        let text = vec![b'x'; 500];
        let mut gzip = flate2::write::GzEncoder::new(vec![0; PREFIX], flate2::Compression::default());
        gzip.write_all(&text).unwrap();
        let mut frame = gzip.finish().unwrap();
        seal(&mut frame);
        frame[0] = 1;
        let read = |coding: Option<&'static str>, max| {
            let coding = coding
                .map(|coding| (HeaderName::from_static("grpc-encoding"), HeaderValue::from_static(coding)));
            let mut deframer = Deframer::of_answer(&coding.into_iter().collect());
            deframer.push(Bytes::from(frame.clone()));
            deframer.next(max)
        };
        assert_eq!(read(Some("gzip"), 500), Ok(Some(Bytes::from(text.clone()))));
        assert_eq!(read(Some("gzip"), 499), Err(FrameError::Inflated { max: 499 }));
        for coding in [None, Some("identity"), Some("deflate")] {
            assert_eq!(read(coding, 500), Err(FrameError::Compressed), "{coding:?}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_the_message_comes() {
        let mut deframer = Deframer::default();
        deframer.push(Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]));
        assert_eq!(deframer.next(1024), Err(FrameError::TooLarge { length: 0xffff_ffff, max: 1024 }));
    }

    proptest! {
        #[test]
        fn messages_come_out_whole_however_they_are_cut(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6),
            cut in 1usize..20,
        ) {
            let mut wire = Vec::new();
            for message in &messages {
                let mut frame = [&[0; PREFIX], message.as_slice()].concat();
                seal(&mut frame);
                wire.extend(frame);
            }
            let mut deframer = Deframer::default();
            let mut out = Vec::new();
            for chunk in wire.chunks(cut) {
                deframer.push(Bytes::copy_from_slice(chunk));
                while let Some(message) = deframer.next(1024).unwrap() {
                    out.push(message.to_vec());
                }
            }
            prop_assert_eq!(deframer.finish(), Ok(()));
            prop_assert_eq!(out, messages);
        }
    }
}
