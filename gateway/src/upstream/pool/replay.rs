//! Answers that are read before they are passed on, so that one which breaks off can be asked for again.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::BodyExt as _;
use smallvec::SmallVec;

use super::Load;

/// Most answers are a message and its trailers.
type Frames = SmallVec<[Frame<Bytes>; 2]>;

/// A body, what of it was read already, and the load that it is.
pub(super) struct Read {
    frames: smallvec::IntoIter<[Frame<Bytes>; 2]>,
    /// What was too large to be read before, or everything.
    rest: Option<Body>,
    _load: Load,
}

/// Reads a body to its end, or until it has more than `bytes_max`; then the rest follows as it comes.
pub(super) async fn read(mut body: Body, bytes_max: usize, load: Load) -> Result<Read, axum::Error> {
    let (mut frames, mut bytes) = (Frames::new(), 0);
    while bytes <= bytes_max {
        let Some(frame) = body.frame().await.transpose()? else {
            return Ok(Read { frames: frames.into_iter(), rest: None, _load: load });
        };
        bytes += frame.data_ref().map_or(0, Bytes::len);
        frames.push(frame);
    }
    Ok(Read { frames: frames.into_iter(), rest: Some(body), _load: load })
}

/// A body as it comes, which counts as load until it is dropped.
pub(super) fn counted(body: Body, load: Load) -> Body {
    Body::new(Read { frames: Frames::new().into_iter(), rest: Some(body), _load: load })
}

impl Read {
    /// The trailers, if nothing but them was read.
    pub(super) fn trailers(&self) -> Option<&HeaderMap> {
        match self.frames.as_slice() {
            [frame] => frame.trailers_ref(),
            _ => None,
        }
    }
}

impl http_body::Body for Read {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(frame) = self.frames.next() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.as_slice().is_empty() && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }
}
