//! A call over an open WebSocket, from its first frame to the close.
//!
//! Two loops in one task: one takes frames and hands them to upstream, one takes upstream's messages and writes them.
//! Neither holds more than one message. The socket is read only when upstream has room for a message, and upstream is
//! read only when the last message has left, so that whoever is slow holds back the other end and no buffer grows.

mod call;

use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use http::{Extensions, HeaderMap};
use tokio::{
    io::AsyncWriteExt as _,
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::ProtocolError,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::wire::{Told, Wire};
use crate::{
    failure::{Failure, Reason},
    held::Held,
    method::{self, Method},
    service::{self, GatewayService},
    transcode::text::length_guess,
};
use call::{Answers, Requests};

/// How long a client may take to read the last frames and to answer the close.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// A client that answers none of so many pings in a row is gone.
const PINGS_MAX: u32 = 3;

/// The bytes of a close reason (RFC 6455, 5.5).
const REASON_BYTES_MAX: usize = 123;

/// Close codes from here on carry a gRPC code; 4000-4999 are the applications' own (RFC 6455, 7.4.2).
const CLOSE_CODES: u16 = 4000;

/// See the module.
pub(super) struct Conversation {
    service: GatewayService,
    method: usize,
    metadata: HeaderMap,
    /// What is known of the client beside what it says.
    extensions: Extensions,
    /// What query and path set, in every message.
    target: Vec<u8>,
    deadline: Option<Duration>,
}

type Socket = WebSocketStream<Wire>;

/// How a conversation ended.
enum End {
    /// Upstream said so, or the gateway had to.
    Told(Result<(), Failure>),
    /// The client sent what is no WebSocket.
    Violated(ProtocolError),
    /// The client closed.
    Closed,
    /// The client is gone: nobody is left to be told.
    Gone,
}

/// What the two loops know of each other.
#[derive(Default)]
struct Pulse {
    told: Arc<Told>,
    /// The socket is not being read, since upstream has no room: an answer to a ping could not be seen.
    held: AtomicBool,
}

/// A message for upstream; `None` is the end of the client's stream. A channel that closes without it is a break.
type Outgoing = mpsc::Sender<Option<Bytes>>;

impl Conversation {
    pub(super) fn new(
        service: GatewayService,
        method: usize,
        (metadata, extensions): (HeaderMap, Extensions),
        target: Vec<u8>,
        deadline: Option<Duration>,
    ) -> Self {
        Self { service, method, metadata, extensions, target, deadline }
    }

    /// Runs to the end, and closes the socket. Gives whether the client saw that end.
    pub(super) async fn run(mut self, socket: Socket, told: Arc<Told>) -> bool {
        let (mut sink, mut source) = socket.split();
        let pulse = Pulse { told, held: AtomicBool::default() };
        let end = self.talk(&mut sink, &mut source, &pulse).await;
        // a client that does not read its end in time is cut off
        let closing = tokio::time::timeout(CLOSE_MAX, self.close(end, sink, source)).await;
        matches!(closing, Ok(Ok(())))
    }

    async fn close(
        &self,
        end: End,
        mut sink: SplitSink<Socket, Message>,
        mut source: SplitStream<Socket>,
    ) -> Result<(), Error> {
        let code = match &end {
            End::Gone => return Err(Error::ConnectionClosed),
            End::Closed => None,
            End::Told(Ok(())) => Some(CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() }),
            End::Told(Err(failure)) => {
                sink.send(self.error_frame(failure)).await?;
                Some(close_frame(failure))
            }
            End::Violated(error) => {
                Some(CloseFrame { code: CloseCode::Protocol, reason: reason(error.to_string()) })
            }
        };
        let mut answered = code.is_none();
        match code {
            Some(code) => sink.send(Message::Close(Some(code))).await?,
            // the answer to its close
            None => sink.flush().await?,
        }
        while !answered && let Some(Ok(frame)) = source.next().await {
            answered = matches!(frame, Message::Close(_));
        }
        let Ok(socket) = sink.reunite(source) else { return Ok(()) };
        let mut wire = socket.into_inner();
        wire.shutdown().await?;
        if !answered {
            // what is unread would make the kernel throw our last frames away
            wire.drain().await;
        }
        Ok(())
    }

    async fn talk(
        &mut self,
        sink: &mut SplitSink<Socket, Message>,
        source: &mut SplitStream<Socket>,
        pulse: &Pulse,
    ) -> End {
        let service = self.service.clone();
        let Some(method) = service.compiled.routes.route(self.method) else { return End::Gone };
        let (outgoing, requests) = mpsc::channel(1);
        let request = service::grpc_request(
            method,
            std::mem::take(&mut self.metadata),
            std::mem::take(&mut self.extensions),
            Body::new(Requests::new(requests)),
        );
        let answers = Answers::Opening(Box::pin(call::open(&service, request)));
        let reading = self.read(method, source, outgoing, pulse);
        let writing = self.write(method, sink, answers, pulse);
        let deadline = async {
            match self.deadline {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            end = writing => end,
            end = reading => end,
            () = deadline => {
                let message = "the deadline passed in mid stream";
                End::Told(Err(service.compiled.failure(Reason::DeadlineExceeded, message)))
            }
        }
    }

    /// Hands what the client sends to upstream, until the client is gone or wrong.
    async fn read(
        &self,
        method: &Method,
        source: &mut SplitStream<Socket>,
        outgoing: Outgoing,
        pulse: &Pulse,
    ) -> End {
        let mut outgoing = Some(outgoing);
        if !method.client_streaming && method.body == method::Body::None {
            // everything is said in the target
            if let Err(failure) = self.hand_over(method, b"", &mut outgoing, pulse).await {
                return End::Told(Err(failure));
            }
            hand(&mut outgoing, None, pulse).await;
            outgoing = None;
        }
        loop {
            let frame = match source.next().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return self.broken(error, &pulse.told),
                None => return End::Gone,
            };
            // what a message takes is held until upstream has it; a ping may stand before the end of one
            let is_message = matches!(frame, Message::Text(_) | Message::Binary(_));
            let _held = is_message.then(|| pulse.told.held_by_message());
            let taken = match frame {
                Message::Text(text) => self.take(method, &text, &mut outgoing, pulse).await,
                Message::Binary(piece) if method.body.is_raw() && method.client_streaming => {
                    self.take_piece(method, &piece, &mut outgoing, pulse).await
                }
                Message::Binary(_) => {
                    Err(self.refusal(Reason::InvalidBody, "a binary frame, where JSON text is expected"))
                }
                // a frame alone is never read
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
                Message::Close(_) => return End::Closed,
            };
            if let Err(failure) = taken {
                return End::Told(Err(failure));
            }
        }
    }

    async fn take(
        &self,
        method: &Method,
        text: &str,
        outgoing: &mut Option<Outgoing>,
        pulse: &Pulse,
    ) -> Result<(), Failure> {
        if outgoing.is_none() {
            return Err(self.refusal(Reason::InvalidBody, "a message behind the last one"));
        }
        if !text.is_empty() {
            self.hand_over(method, text.as_bytes(), outgoing, pulse).await?;
        }
        if text.is_empty() || !method.client_streaming {
            hand(outgoing, None, pulse).await;
            *outgoing = None;
        }
        Ok(())
    }

    /// A binary frame of an upload is a piece of the body.
    async fn take_piece(
        &self,
        method: &Method,
        piece: &[u8],
        outgoing: &mut Option<Outgoing>,
        pulse: &Pulse,
    ) -> Result<(), Failure> {
        if outgoing.is_none() {
            return Err(self.refusal(Reason::InvalidBody, "a message behind the last one"));
        }
        let no_type = http::HeaderMap::new();
        let frame = self.service.compiled.piece_frame(method, &no_type, piece, &self.target)?;
        hand(outgoing, Some(frame), pulse).await;
        Ok(())
    }

    async fn hand_over(
        &self,
        method: &Method,
        json: &[u8],
        outgoing: &mut Option<Outgoing>,
        pulse: &Pulse,
    ) -> Result<(), Failure> {
        let frame = self.service.compiled.element_frame(method, json, &self.target)?;
        hand(outgoing, Some(frame), pulse).await;
        Ok(())
    }

    /// Writes what upstream sends, and pings a client that is quiet.
    async fn write(
        &self,
        method: &Method,
        sink: &mut SplitSink<Socket, Message>,
        mut answers: Answers<'_>,
        pulse: &Pulse,
    ) -> End {
        let period = self.service.compiled.config.heartbeat.max(Duration::from_millis(1));
        let mut heartbeat = tokio::time::interval_at(Instant::now() + period, period);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unanswered = 0;
        loop {
            // what is held is held until the frame was sent
            let (frame, _held) = tokio::select! {
                answer = answers.next() => match answer {
                    None => return End::Told(Ok(())),
                    Some(answer) => match answer.and_then(|message| self.frame(method, &message, answers.held())) {
                        Ok(framed) => framed,
                        Err(failure) => return End::Told(Err(failure)),
                    },
                },
                _ = heartbeat.tick() => {
                    unanswered = if pulse.told.heard() || pulse.held.load(Ordering::Relaxed) { 0 } else { unanswered + 1 };
                    if unanswered > PINGS_MAX {
                        return End::Gone;
                    }
                    (Message::Ping(Bytes::new()), Held::default())
                }
            };
            // Sending ends when the client has room again: until then nothing is taken from upstream.
            if sink.send(frame).await.is_err() {
                return End::Gone;
            }
            heartbeat.reset();
        }
    }

    fn frame(&self, method: &Method, message: &Bytes, mut held: Held) -> Result<(Message, Held), Failure> {
        let compiled = &self.service.compiled;
        if method.raw_response {
            // a part of the message, for which as much is held
            return Ok((Message::Binary(compiled.raw_body(method, message)?.1), held));
        }
        let mut json = Vec::with_capacity(length_guess(message.len()));
        compiled.put_response(method, (message, method.partial.applies(&[])), &mut held, &mut json)?;
        held.grow_answer(json.len(), compiled)?;
        Ok((text(json), held))
    }

    fn error_frame(&self, failure: &Failure) -> Message {
        let compiled = &self.service.compiled;
        let mut json = Vec::new();
        failure.put_last_item(&compiled.schema, &compiled.config, &mut json);
        text(json)
    }

    fn refusal(&self, reason: Reason, message: &str) -> Failure {
        self.service.compiled.failure(reason, message)
    }

    fn broken(&self, error: Error, told: &Told) -> End {
        let refused = |reason, message: &str| End::Told(Err(self.refusal(reason, message)));
        match error {
            Error::Capacity(error) => refused(Reason::BodyTooLarge, &error.to_string()),
            Error::Utf8(_) => refused(Reason::InvalidBody, "a text frame that is not UTF-8"),
            // it went without a word
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Gone,
            Error::Protocol(error) => End::Violated(error),
            _ => told.refusal().map_or(End::Gone, |failure| End::Told(Err(failure))),
        }
    }
}

/// Gives upstream a message, or the end, once it has room. One that takes no more has answered or will fail; either is
/// told by its answer.
async fn hand(outgoing: &mut Option<Outgoing>, message: Option<Bytes>, pulse: &Pulse) {
    let Some(sender) = outgoing else { return };
    pulse.held.store(true, Ordering::Relaxed);
    let _ = sender.send(message).await;
    pulse.held.store(false, Ordering::Relaxed);
}

/// Printed JSON is UTF-8; a gateway that printed anything else sends nothing of it.
fn text(json: Vec<u8>) -> Message {
    Message::Text(Utf8Bytes::try_from(Bytes::from(json)).unwrap_or_default())
}

fn close_frame(failure: &Failure) -> CloseFrame {
    let code = CLOSE_CODES + u16::from(failure.code as u8);
    CloseFrame { code: code.into(), reason: reason(format!("{}: {}", failure.code.name(), failure.message)) }
}

/// As much of a reason as a close has room for.
fn reason(mut text: String) -> Utf8Bytes {
    while text.len() > REASON_BYTES_MAX {
        text.pop();
    }
    text.into()
}
