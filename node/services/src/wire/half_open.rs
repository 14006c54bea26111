//! Calls whose client sends headers and then nothing.
//!
//! A request of one message is short: its bytes follow its headers. One whose bytes stop coming holds a stream and a
//! handler for nothing, for as long as its client answers pings. It ends with DEADLINE_EXCEEDED.

use crate::status::failure;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;
use tonic::{Code, Status};
use tower::BoxError;

/// A body whose bytes may stop coming for a while only.
pub(super) struct Bounded<B> {
    inner: B,
    idle_max: Duration,
    /// Runs while nothing is there.
    idle: Option<Pin<Box<Sleep>>>,
}

impl<B> Bounded<B> {
    pub(super) fn new(inner: B, idle_max: Duration) -> Self {
        Self { inner, idle_max, idle: None }
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
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            self.idle = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let idle_max = self.idle_max;
        let idle = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle_max)));
        idle.as_mut().poll(context).map(|()| Some(Err(too_slow(idle_max).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn too_slow(idle_max: Duration) -> Status {
    let message = format!("nothing more of the request came within {idle_max:?}");
    failure(Code::DeadlineExceeded, "REQUEST_TOO_SLOW", message).status()
}
