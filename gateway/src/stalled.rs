//! Answers whose clients take nothing of them: each is given up after a while, with the call to upstream and the bytes that
//! it holds.
//!
//! A server asks a body for more once its client has room. Over HTTP/2 each stream has room of its own, so a client that
//! reads its connection may leave one stream standing for ever. The body cannot tell, for it is not polled meanwhile; a
//! task beside it can: something was given, and nobody came for more. Then all that the body holds is dropped, and whoever
//! comes later finds an error. That the stream itself ends at once is up to its server: see [`StreamTasks`].
//!
//! What was given comes in small pieces, so that a client that takes little is not taken for one that takes nothing. An
//! answer that is one small piece passes untouched, as the last piece of each does: the server has it, and nobody is asked
//! again. So does over HTTP/1 whatever is whole: there a client that takes nothing has a connection of its own to lose.

mod tasks;

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Response, Version};
use http_body::{Body as _, Frame, SizeHint};
use tokio::{task::AbortHandle, time::Instant};

pub use tasks::StreamTasks;
pub(crate) use tasks::{Ending, ending_of_stream};

/// The pieces in which answers are given to HTTP/2: as large as its frames mostly are, and as what a body has for nothing.
const HTTP2_PIECE_BYTES: usize = 16 << 10;

/// HTTP/1 has one client to a connection, and writes a head before each piece.
const HTTP1_PIECE_BYTES: usize = 64 << 10;

/// The answer, given up if its client takes nothing of it for `idle_max`.
pub(crate) fn watch(response: Response<Body>, version: Version, idle_max: Duration) -> Response<Body> {
    let http2 = version == Version::HTTP_2;
    let size = response.body().size_hint().exact();
    if size.is_some_and(|size| !http2 || size <= HTTP2_PIECE_BYTES as u64) {
        return response;
    }
    response.map(|body| Body::new(Watched::new(body, http2, idle_max)))
}

/// The client took nothing of its answer for so long.
#[derive(Debug, thiserror::Error)]
#[error("the client took nothing of its answer for {0:?}")]
struct GivenUp(Duration);

/// See the module.
struct Watched {
    shared: Arc<Shared>,
    idle_max: Duration,
    watcher: AbortHandle,
}

/// What the body and the task beside it have together.
struct Shared {
    holding: Mutex<Holding>,
    ending: Option<Arc<Ending>>,
}

enum Holding {
    Open(Cut),
    Ended,
    GivenUp,
}

/// A body in pieces.
struct Cut {
    body: Body,
    /// What the body gave and was not passed on.
    rest: Bytes,
    piece_max: usize,
    /// Nobody can take back what the server has been given: a piece must not keep all that it was cut from.
    copies: bool,
    /// Since when something is given and nobody came for more.
    given: Option<Instant>,
}

impl Watched {
    fn new(body: Body, http2: bool, idle_max: Duration) -> Self {
        let ending = if http2 { ending_of_stream() } else { None };
        let piece_max = if http2 { HTTP2_PIECE_BYTES } else { HTTP1_PIECE_BYTES };
        let copies = http2 && ending.is_none();
        let cut = Cut { body, rest: Bytes::new(), piece_max, copies, given: None };
        let shared = Arc::new(Shared { holding: Mutex::new(Holding::Open(cut)), ending });
        let watcher = tokio::spawn(look_after(Arc::downgrade(&shared), idle_max)).abort_handle();
        Self { shared, idle_max, watcher }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl Shared {
    fn holding(&self) -> MutexGuard<'_, Holding> {
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the answer up if it is time, or tells when it may be.
    fn give_up(&self, idle_max: Duration) -> Option<Duration> {
        let dropped = {
            let mut holding = self.holding();
            let Holding::Open(cut) = &*holding else { return None };
            let idle = cut.given.map_or(Duration::ZERO, |given| given.elapsed());
            if idle < idle_max {
                return Some(idle_max - idle);
            }
            std::mem::replace(&mut *holding, Holding::GivenUp)
        };
        drop(dropped);
        tracing::debug!(?idle_max, "a client took nothing of its answer, which was given up");
        if let Some(ending) = &self.ending {
            ending.end();
        }
        None
    }
}

/// Looks now and then, no more than twice while a client may take nothing.
async fn look_after(shared: Weak<Shared>, idle_max: Duration) {
    let mut wait = idle_max;
    loop {
        tokio::time::sleep(wait).await;
        let Some(shared) = shared.upgrade() else { return };
        match shared.give_up(idle_max) {
            Some(again) => wait = again,
            None => return,
        }
    }
}

impl Cut {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)).transpose()?.map(Frame::into_data) {
                Some(Ok(data)) if data.len() > self.piece_max => self.rest = data,
                Some(Ok(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Err(frame)) => return Poll::Ready(Some(Ok(frame))),
                None => return Poll::Ready(None),
            }
        }
        let mut piece = self.rest.split_to(self.rest.len().min(self.piece_max));
        // the last one outlives this body in the server
        if self.copies || self.rest.is_empty() {
            piece = Bytes::copy_from_slice(&piece);
            if self.rest.is_empty() {
                self.rest = Bytes::new();
            }
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut holding = self.shared.holding();
        let cut = match &mut *holding {
            Holding::Open(cut) => cut,
            Holding::Ended => return Poll::Ready(None),
            Holding::GivenUp => {
                return Poll::Ready(Some(Err(axum::Error::new(GivenUp(self.idle_max)))));
            }
        };
        cut.given = None;
        let frame = ready!(cut.poll_piece(context));
        match &frame {
            Some(Ok(_)) => cut.given = Some(Instant::now()),
            Some(Err(_)) | None => *holding = Holding::Ended,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &*self.shared.holding() {
            Holding::Open(cut) => cut.rest.is_empty() && cut.body.is_end_stream(),
            Holding::Ended => true,
            Holding::GivenUp => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let holding = self.shared.holding();
        let Holding::Open(cut) = &*holding else { return SizeHint::default() };
        let (inner, rest) = (cut.body.size_hint(), cut.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    fn watched(body: impl Into<Body>) -> Body {
        watch(Response::new(body.into()), Version::HTTP_2, IDLE).into_body()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_piece_now_and_then_gets_all_and_one_that_takes_none_an_error() {
        let whole: Vec<u8> = (0..10 * HTTP2_PIECE_BYTES + 1).map(|at| at as u8).collect();
        let (mut slow, mut got) = (watched(whole.clone()), Vec::new());
        assert_eq!(slow.size_hint().exact(), Some(whole.len() as u64));
        while !slow.is_end_stream() {
            let piece = slow.frame().await.unwrap().unwrap().into_data().unwrap();
            assert!(piece.len() <= HTTP2_PIECE_BYTES);
            got.extend_from_slice(&piece);
            tokio::time::sleep(IDLE - Duration::from_millis(1)).await;
        }
        assert!(got == whole);
        let mut deaf = watched(whole);
        deaf.frame().await.unwrap().unwrap();
        // it is looked at twice while it may be idle
        tokio::time::sleep(2 * IDLE + Duration::from_millis(1)).await;
        let error = deaf.frame().await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the client took nothing of its answer for 60s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_has_nothing_to_give_is_waited_for() {
        let frames = futures_util::stream::unfold(0, |count| async move {
            tokio::time::sleep(10 * IDLE).await;
            let frame = Frame::data(Bytes::from_static(b"item"));
            (count < 3).then_some((Ok::<_, std::convert::Infallible>(frame), count + 1))
        });
        let body = watched(Body::new(StreamBody::new(Box::pin(frames))));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "item".repeat(3));
    }
}
