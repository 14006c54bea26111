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
use crate::held::{Account, Held};

/// Most answers are a message and its trailers.
type Frames = SmallVec<[Frame<Bytes>; 2]>;

/// A body, what of it was read already, and the load that it is.
pub(super) struct Read {
    frames: smallvec::IntoIter<[Frame<Bytes>; 2]>,
    /// What was too large to be read before, or everything.
    rest: Option<Body>,
    /// Room for the frames, until the last of them is taken.
    held: Held,
    _load: Load,
}

/// Reads a body to its end, or until it has more than `bytes_max`, or than there is room for among all; then the rest follows
/// as it comes.
pub(super) async fn read(
    mut body: Body,
    bytes_max: usize,
    all: &Account,
    load: Load,
) -> Result<Read, axum::Error> {
    let (mut frames, mut bytes, mut held) = (Frames::new(), 0, Held::default());
    while bytes <= bytes_max && held.grow(bytes, all) {
        let Some(frame) = body.frame().await.transpose()? else {
            return Ok(Read { frames: frames.into_iter(), rest: None, held, _load: load });
        };
        bytes += frame.data_ref().map_or(0, Bytes::len);
        frames.push(frame);
    }
    Ok(Read { frames: frames.into_iter(), rest: Some(body), held, _load: load })
}

/// A body as it comes, which counts as load until it is dropped.
pub(super) fn counted(body: Body, load: Load) -> Body {
    Body::new(Read {
        frames: Frames::new().into_iter(),
        rest: Some(body),
        held: Held::default(),
        _load: load,
    })
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
            if self.frames.as_slice().is_empty() {
                self.held = Held::default();
            }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::{FutureExt as _, StreamExt as _, stream};

    use super::super::{CircuitLimits, Node};
    use crate::upstream::service;

    use super::*;

    const STEP: usize = 64 << 10;

    /// Begins to read an answer of so many bytes in each of so many frames, behind which nothing comes.
    fn begin(frames: usize, bytes: usize, all: &Account) -> impl Future<Output = Result<Read, axum::Error>> {
        let unasked = service(axum::Router::new());
        let node = Arc::new(Node::new("a".to_owned(), Arc::new(unasked), CircuitLimits::default()));
        let sent = vec![Bytes::from(vec![b'x'; bytes]); frames];
        let sent = stream::iter(sent).map(Ok::<_, axum::Error>);
        let body = Body::from_stream(sent.chain(stream::pending()));
        read(body, 4 << 20, all, Load::of(&node))
    }

    #[test]
    fn answers_are_read_ahead_while_there_is_room_for_all_of_them_and_give_it_back_when_they_are_taken() {
        let all = Account::default();
        all.allow(3 * STEP);
        let waiting = |frames, bytes| begin(frames, bytes, &all);
        let mut first = Box::pin(waiting(2, STEP));
        assert!((&mut first).now_or_never().is_none(), "it waits for the end");
        assert_eq!(all.taken(), 2 * STEP);
        let passed = waiting(4, STEP).now_or_never().expect("it does not wait for the end").unwrap();
        assert_eq!(all.taken(), 3 * STEP);
        let mut small = Box::pin(waiting(1, 1_000));
        assert!((&mut small).now_or_never().is_none(), "what is small needs no room");
        let mut body = Body::new(passed);
        for taken in [3 * STEP, 2 * STEP, 2 * STEP, 2 * STEP] {
            let frame = body.frame().now_or_never().flatten().unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap().len(), STEP);
            assert_eq!(all.taken(), taken);
        }
        drop(first);
        assert_eq!(all.taken(), 0);
    }
}
