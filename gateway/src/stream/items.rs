//! The body of a streamed answer: pulls messages from upstream and frames them, one at a time.

use std::{
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep};

use super::{elements::Refusal, framing::Framing};
use crate::{
    failure::{Failure, Reason},
    gateway::Compiled,
    grpc::Messages,
    method::Method,
    transcode::text::length_guess,
};

/// The stream broke off; seeing this, the server resets the connection, so that the body cannot look complete.
#[derive(Debug, thiserror::Error)]
#[error("the stream broke off: {0}")]
pub(crate) struct BrokenOff(String);

/// See the module.
pub(super) struct Items {
    compiled: Arc<Compiled>,
    shape: Shape,
    framing: Framing,
    source: Source,
    heartbeat: Interval,
    deadline: Option<Pin<Box<Sleep>>>,
    /// What came with the status, once it did, for a client that takes trailers.
    trailers: Option<HeaderMap>,
    state: State,
    /// Told when what was written before has had time to leave.
    broken: Option<BrokenOff>,
}

/// Where items come from.
pub(super) struct Source {
    pub(super) messages: Messages,
    /// What came while the headers were held; an inner `None` is the end.
    pub(super) first: Option<Option<Bytes>>,
    /// Why the client's own stream broke off, if it did: upstream knows only that.
    pub(super) refusal: Refusal,
}

impl Source {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let next = match self.first.take() {
            Some(first) => first.map(Ok),
            None => ready!(self.messages.poll_next(context)),
        };
        let refused = || self.refusal.lock().ok()?.take();
        Poll::Ready(match next {
            Some(Ok(message)) => Some(Ok(message)),
            other => refused().map(Err).or(other),
        })
    }
}

/// Where the method of the items is found: the body outlives the borrow of the route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape(usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was written.
    Fresh,
    /// The preamble of SSE was written if there is one, no item yet.
    Greeted,
    /// Items were written.
    Flowing,
    /// Everything was written.
    Done,
}

impl Shape {
    /// Remembers a method.
    pub(super) fn of(method: &Method) -> Self {
        Self(method.index)
    }
}

impl Items {
    pub(super) fn new(
        compiled: Arc<Compiled>,
        shape: Shape,
        framing: Framing,
        source: Source,
        deadline: Option<Instant>,
        trailers: bool,
    ) -> Self {
        let period = compiled.config.heartbeat.max(std::time::Duration::from_millis(1));
        let mut heartbeat = tokio::time::interval_at(Instant::now() + period, period);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let trailers = trailers.then(HeaderMap::new);
        let deadline = deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)));
        Self {
            compiled,
            shape,
            framing,
            source,
            heartbeat,
            deadline,
            trailers,
            state: State::Fresh,
            broken: None,
        }
    }

    fn item(&mut self, message: &Bytes) -> Result<Bytes, Failure> {
        let (compiled, mut held) = (self.compiled.clone(), self.source.messages.held());
        let Some(method) = compiled.routes.route(self.shape.0) else { return Ok(Bytes::new()) };
        if self.framing == Framing::Raw {
            return held.until_sent(compiled.raw_body(method, message)?.1, &compiled);
        }
        let mut out = Vec::with_capacity(length_guess(message.len()));
        let id = method.resume.id.as_ref().filter(|_| self.framing == Framing::Sse);
        let id = id.and_then(|id| id.of(message));
        self.framing.open(self.state != State::Flowing, id.as_deref(), &mut out);
        compiled.put_response(method, (message, method.partial.applies(&[])), &mut held, &mut out)?;
        self.framing.close(&mut out);
        held.until_sent(out.into(), &compiled)
    }

    /// The last frame of a stream that failed.
    fn failed(&mut self, failure: &Failure) -> Result<Bytes, BrokenOff> {
        self.state = State::Done;
        self.keep_trailers(&failure.metadata);
        let mut json = Vec::new();
        let (schema, config) = (&self.compiled.schema, &self.compiled.config);
        match self.framing {
            Framing::Ndjson | Framing::GatewayResult => failure.put_last_item(schema, config, &mut json),
            _ => failure.put_json(schema, config, &mut json),
        }
        let mut out = Vec::new();
        if self.framing.error(&json, &mut out) {
            Ok(out.into())
        } else {
            Err(BrokenOff(failure.message.clone()))
        }
    }

    fn keep_trailers(&mut self, told: &HeaderMap) {
        if let Some(trailers) = &mut self.trailers {
            self.compiled.crossing.stream_end(told, trailers);
        }
    }

    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        if self.state == State::Done {
            return Poll::Ready(None);
        }
        if self.state == State::Fresh {
            self.state = State::Greeted;
            if let Some(retry) = self.compiled.config.sse_retry.filter(|_| self.framing == Framing::Sse) {
                return Poll::Ready(Some(Ok(format!("retry: {}\n\n", retry.as_millis()).into())));
            }
        }
        // first, and by the clock: while there is one more item each time, nobody comes to run timers
        if self.deadline.as_mut().is_some_and(|deadline| {
            deadline.deadline() <= Instant::now() || deadline.as_mut().poll(context).is_ready()
        }) {
            let failure =
                self.compiled.failure(Reason::DeadlineExceeded, "the deadline passed in mid stream");
            return Poll::Ready(Some(self.failed(&failure)));
        }
        if let Poll::Ready(message) = self.source.poll_next(context) {
            self.heartbeat.reset();
            let item = match message {
                None => {
                    let told = self.source.messages.trailers.take().unwrap_or_default();
                    self.keep_trailers(&told);
                    let mut out = Vec::new();
                    let empty = self.state != State::Flowing;
                    self.framing.end(empty, self.compiled.config.sse_end, &mut out);
                    self.state = State::Done;
                    return Poll::Ready(if out.is_empty() { None } else { Some(Ok(out.into())) });
                }
                Some(message) => message.and_then(|message| self.item(&message)),
            };
            return Poll::Ready(Some(match item {
                Ok(item) => {
                    self.state = State::Flowing;
                    Ok(item)
                }
                Err(failure) => self.failed(&failure),
            }));
        }
        if let Some(beat) = self.framing.heartbeat(self.compiled.config.heartbeat_lines)
            && self.heartbeat.poll_tick(context).is_ready()
        {
            return Poll::Ready(Some(Ok(Bytes::from_static(beat))));
        }
        Poll::Pending
    }
}

impl http_body::Body for Items {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let items = self.get_mut();
        if let Some(broken) = items.broken.take() {
            return Poll::Ready(Some(Err(broken)));
        }
        let mut bytes = ready!(items.poll_bytes(context));
        if let Some(Err(broken)) = bytes.take_if(|bytes| bytes.is_err()) {
            // a server throws away what it has not written when a body breaks off; it writes when there is nothing more
            items.broken = Some(broken);
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = bytes.map(|bytes| bytes.map(Frame::data));
        if frame.is_some() {
            return Poll::Ready(frame);
        }
        let trailers = items.trailers.take().filter(|trailers| !trailers.is_empty());
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}
