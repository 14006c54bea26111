//! Requests that do not come.
//!
//! A request of one message is short: its bytes follow its headers. One whose bytes stop coming, or drip, holds a stream, a
//! handler and what has come of it for nothing, for as long as its client answers pings: it ends with DEADLINE_EXCEEDED.
//! What has come of all that are not whole is bounded together: beyond that a request ends with RESOURCE_EXHAUSTED.
//!
//! What a client streams may pause as long as it likes between two messages, and is held to the same within one.
//! Invariants: only time in which more was waited for counts; a request that is there at once costs neither a timer nor a
//! look at what others have.

use super::budget::{Budget, Share};
use super::frame::Follower;
use crate::status::failure;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use tonic::{Code, Status};
use tower::BoxError;

/// What requests are held to while they come.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    pub(super) pace: Pace,
    /// For what has come of requests that are not whole.
    pub(super) budget: Budget,
}

/// How slowly a message may come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long more may be waited for. What comes gives time back at the rate, up to this.
    pub(super) idle_max: Duration,
    /// Bytes that must come in a second of waiting for them, on the whole; 0 for any.
    pub(super) bytes_per_second_min: u32,
}

/// A body that is held to its bounds.
pub(super) struct Bounded<B> {
    inner: B,
    pace: Pace,
    share: Share,
    /// What is left of the time for which more may be waited for.
    left: Duration,
    /// Since when more is waited for, and until when.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Where in its messages a stream is; nothing for a request of one message.
    place: Option<Follower>,
}

impl<B> Bounded<B> {
    pub(super) fn new(inner: B, bounds: &Bounds, streams: bool) -> Self {
        Self {
            inner,
            pace: bounds.pace,
            share: bounds.budget.share(),
            left: bounds.pace.idle_max,
            waiting: None,
            place: streams.then(Follower::default),
        }
    }

    /// How many bytes of what has come wait for more, now that a piece has come.
    fn pending(&mut self, piece: &[u8], is_last: bool) -> usize {
        match &mut self.place {
            // what is no message ends the stream, which its reader says
            Some(place) => place.see(piece, usize::MAX).map_or(0, |()| place.pending()),
            None if is_last => 0,
            None => self.share.bytes() + piece.len(),
        }
    }

    /// A piece has come.
    fn receive(&mut self, piece: &[u8], is_last: bool) -> Result<(), Status> {
        let Pace { idle_max, bytes_per_second_min } = self.pace;
        let gained = match bytes_per_second_min {
            0 => idle_max,
            rate => Duration::try_from_secs_f64(piece.len() as f64 / f64::from(rate)).unwrap_or(idle_max),
        };
        self.left = self.left.saturating_add(gained).min(idle_max);
        let pending = self.pending(piece, is_last);
        if self.share.resize(pending) { Ok(()) } else { Err(too_many_bytes(self.share.max())) }
    }

    /// Whether nothing is held up by what does not come.
    fn may_pause(&self) -> bool {
        self.place.as_ref().is_some_and(Follower::is_between)
    }

    /// Waits until it is too late for more.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        let left = self.left;
        let (_, late) =
            self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
        ready!(late.as_mut().poll(context));
        Poll::Ready(too_slow(self.pace))
    }
}

impl<B> Body for Bounded<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) else {
            if self.may_pause() {
                self.left = self.pace.idle_max;
                return Poll::Pending;
            }
            return self.poll_late(context).map(|late| Some(Err(late.into())));
        };
        if let Some((since, _)) = self.waiting.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
        let is_last = self.inner.is_end_stream();
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(Into::into)?;
            if let Some(piece) = frame.data_ref() {
                self.receive(piece, is_last)?;
            }
            Ok(frame)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// `DEADLINE_EXCEEDED REQUEST_TOO_SLOW`.
fn too_slow(Pace { idle_max, bytes_per_second_min }: Pace) -> Status {
    let message = format!(
        "nothing more of the request came in time: it may be waited for {idle_max:?} longer than at \
         {bytes_per_second_min} bytes a second"
    );
    failure(Code::DeadlineExceeded, "REQUEST_TOO_SLOW", message).status()
}

/// `RESOURCE_EXHAUSTED SYSTEM_LIMIT`: nothing was done.
fn too_many_bytes(max: usize) -> Status {
    let message = format!("the requests that are still coming have {max} bytes together, the maximum");
    failure(Code::ResourceExhausted, "SYSTEM_LIMIT", message).status()
}

#[cfg(test)]
mod tests;
