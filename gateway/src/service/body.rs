//! Reading the body of a request that is needed whole: within its bounds of bytes and time, and without its coding.

use std::{future::poll_fn, task::Poll};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::GatewayService;
use crate::{
    coding::{self, Coding, DecodeError},
    failure::{Failure, Reason},
    held::{Held, LeftOn},
    pace::{AHEAD_MAX, Account},
};

impl GatewayService {
    /// Reads a body whole, and stops as soon as it is larger than `max`. One that comes in one piece is not copied. What it
    /// takes of memory is to be held for as long as it is there.
    pub(crate) async fn read_body(
        &self,
        mut body: Body,
        max: usize,
        left_on: LeftOn,
    ) -> Result<(Bytes, Held), Failure> {
        let limits = &self.compiled.config.limits;
        let too_large =
            || self.compiled.failure(Reason::BodyTooLarge, format!("a body of more than {max} bytes"));
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > max {
            return Err(too_large());
        }
        let (mut first, mut all) = (Bytes::new(), BytesMut::new());
        let (mut account, mut held) = (Account::new(limits), Held::default());
        // the end of a body of a known length shows by itself
        while !body.is_end_stream()
            && let Some(data) = self.next_piece(&mut body, &mut account, &mut held).await?
        {
            account.receive(data.len(), limits);
            let bytes = first.len() + all.len() + data.len();
            if bytes > max {
                return Err(too_large());
            }
            if held.exceeds(0) {
                held.grow_body(bytes, &self.compiled)?;
            } else {
                // room for all of it at once: many bodies would else fill the memory with their beginnings
                let ahead = if account.waited() < AHEAD_MAX { announced } else { 0 };
                held.wait_for_body(bytes.max(ahead), left_on, &self.compiled).await?;
            }
            if first.is_empty() && all.is_empty() {
                first = data;
                continue;
            }
            if all.is_empty() {
                all.reserve(announced.max(bytes));
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
        Ok((if all.is_empty() { first } else { all.freeze() }, held))
    }

    /// The next piece of a body. A timer costs more than reading what is there, so only what is not is waited for with
    /// one.
    async fn next_piece(
        &self,
        body: &mut Body,
        account: &mut Account,
        held: &mut Held,
    ) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = match early(&mut body.frame()).await {
                Some(frame) => frame,
                None => {
                    let (mut patience, why) = account.patience(&self.compiled.config.limits);
                    let ahead = held.exceeds(account.received());
                    if ahead {
                        patience = patience.min(AHEAD_MAX.saturating_sub(account.waited()));
                    }
                    let since = Instant::now();
                    let frame = tokio::time::timeout(patience, body.frame()).await;
                    account.wait(since.elapsed());
                    match frame {
                        Ok(frame) => frame,
                        Err(_) if ahead => {
                            held.shrink(account.received());
                            continue;
                        }
                        Err(_) => return Err(self.compiled.failure(Reason::BodyTooSlow, why.to_string())),
                    }
                }
            };
            let frame = frame.transpose().map_err(|error| {
                self.compiled.failure(Reason::BodyIncomplete, format!("the body broke off: {error}"))
            })?;
            // trailers say nothing here
            match frame.map(Frame::into_data) {
                Some(Ok(data)) => return Ok(Some(data)),
                Some(Err(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// A body without its coding, within the same bound.
    pub(super) fn plain(
        &self,
        coding: Option<Coding>,
        (body, mut held): (Bytes, Held),
    ) -> Result<(Bytes, Held), Failure> {
        let Some(coding) = coding else { return Ok((body, held)) };
        let plain = coding::decode(coding, body, self.compiled.config.limits.request_bytes_max);
        let plain = plain.map_err(|error| {
            let reason = match error {
                DecodeError::TooLarge(_) => Reason::BodyTooLarge,
                _ => Reason::InvalidBody,
            };
            self.compiled.failure(reason, format!("body: {error}"))
        })?;
        held.grow_body(plain.len(), &self.compiled)?;
        Ok((plain, held))
    }
}

/// What a future gives when it is polled, or polled once more: a server hands over what it has read of a body when it has
/// seen that somebody asks for it.
async fn early<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut again = true;
    poll_fn(|context| match future.poll_unpin(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if std::mem::take(&mut again) => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
