//! How the body of a request is written: with the request where it is there whole, and else by a task of its own, as the server
//! has room.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::{Reason, SendStream};
use http_body::{Body as _, Frame};
use tokio::sync::oneshot;

/// What a body has at once.
pub(super) enum First {
    Data(Bytes),
    /// Nothing yet, or nothing that a call of one message has.
    Other(Next),
    End,
}

impl First {
    /// Looks at the start of a body whose length is known: it may be there whole. Any other is not asked here, where other
    /// calls wait for the connection: its first piece may be much work.
    pub(super) fn of(body: &mut Body) -> Self {
        if body.size_hint().exact().is_none() {
            return Self::Other(None);
        }
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).now_or_never() {
            Some(None) => Self::End,
            Some(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => Self::Data(data),
                Err(frame) => Self::Other(Some(Ok(frame))),
            },
            Some(Some(Err(error))) => Self::Other(Some(Err(error))),
            None => Self::Other(None),
        }
    }
}

/// Writes a body as the server has room, until it is whole, somebody resets the stream, or nobody wants the call.
pub(super) async fn write(
    mut body: Body,
    first: First,
    mut sending: SendStream<Bytes>,
    broke_off: Arc<AtomicBool>,
    mut unwanted: oneshot::Receiver<()>,
) {
    let mut next = match first {
        First::Data(data) => Some(Ok(Frame::data(data))),
        First::Other(frame) => frame,
        First::End => None,
    };
    let writing = async {
        loop {
            let frame = match next.take() {
                Some(frame) => Some(frame),
                None => match poll_fn(|context| poll_frame(&mut body, &mut sending, context)).await {
                    Ok(frame) => frame,
                    Err(Reset) => return,
                },
            };
            let sent = match frame {
                None => {
                    let _ = sending.send_data(Bytes::new(), true);
                    return;
                }
                Some(Err(_)) => {
                    // why is known to whoever made the body
                    broke_off.store(true, Ordering::Release);
                    sending.send_reset(Reason::CANCEL);
                    return;
                }
                Some(Ok(frame)) => send(&mut sending, frame).await,
            };
            if sent.is_none() {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        _ = &mut unwanted => {}
        () = writing => {}
    }
}

/// What a body has next; nothing at its end.
pub(super) type Next = Option<Result<Frame<Bytes>, axum::Error>>;

/// The server wants no more of a body.
struct Reset;

/// The next frame of a body, unless the server resets its stream first.
fn poll_frame(
    body: &mut Body,
    sending: &mut SendStream<Bytes>,
    context: &mut Context<'_>,
) -> Poll<Result<Next, Reset>> {
    if sending.poll_reset(context).is_ready() {
        return Poll::Ready(Err(Reset));
    }
    Pin::new(body).poll_frame(context).map(Ok)
}

/// Writes one frame of a body when the server has room for some of it; nothing if the server wants no more.
async fn send(sending: &mut SendStream<Bytes>, frame: Frame<Bytes>) -> Option<()> {
    let data = match frame.into_data() {
        Ok(data) => data,
        Err(frame) => {
            let _ = sending.send_trailers(frame.into_trailers().unwrap_or_default());
            return None;
        }
    };
    if !data.is_empty() {
        sending.reserve_capacity(1);
        poll_fn(|context| sending.poll_capacity(context)).await?.ok()?;
    }
    sending.send_data(data, false).ok()
}
