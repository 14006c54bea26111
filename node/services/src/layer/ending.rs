//! Whoever wants to know how a call ended: with the status in the headers of its answer, in the trailers behind its last item,
//! or with none, where it broke off.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Who waits for the end of a call. Dropped before that, the call was given up.
pub(super) trait Ending: Send + Unpin + 'static {
    /// Looks for the status among these headers or trailers; whether it is there.
    fn tell(&mut self, headers: &HeaderMap) -> bool;

    /// The answer ended without one.
    fn break_off(&mut self) {}

    /// Asks for the next of the answer.
    fn ask<R>(&mut self, next: impl FnOnce() -> R) -> R {
        next()
    }
}

/// An answer whose end `ending` is told of.
pub(super) fn follow(response: Response<Body>, mut ending: impl Ending) -> Response<Body> {
    if ending.tell(response.headers()) {
        return response;
    }
    response.map(|inner| Body::new(Followed { inner, ending }))
}

/// The body of an answer whose status is still to come.
struct Followed<E> {
    inner: Body,
    ending: E,
}

impl<E: Ending> http_body::Body for Followed<E> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { inner, ending } = &mut *self;
        let frame = ready!(ending.ask(|| Pin::new(inner).poll_frame(context)));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    ending.tell(trailers);
                }
            }
            Some(Err(_)) | None => ending.break_off(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
