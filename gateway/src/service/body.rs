//! Reading the body of a request that is needed whole: within its bounds of bytes and time, and without its coding.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use super::GatewayService;
use crate::{
    coding::{self, Coding, DecodeError},
    failure::{Failure, Reason},
};

impl GatewayService {
    /// Reads a body whole, and stops as soon as it is too large.
    pub(crate) async fn read_body(&self, mut body: Body) -> Result<Bytes, Failure> {
        let max = self.compiled.config.limits.request_bytes_max;
        let too_large =
            || self.compiled.failure(Reason::BodyTooLarge, format!("a body of more than {max} bytes"));
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        if body.size_hint().lower() > max as u64 {
            return Err(too_large());
        }
        let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
        let idle_max = self.compiled.config.limits.body_idle_max;
        while let Some(frame) = tokio::time::timeout(idle_max, body.frame()).await.map_err(|_| {
            self.compiled
                .failure(Reason::BodyTooSlow, format!("nothing more of the body within {idle_max:?}"))
        })? {
            let frame = frame.map_err(|error| {
                self.compiled.failure(Reason::BodyIncomplete, format!("the body broke off: {error}"))
            })?;
            let Ok(data) = frame.into_data() else { continue };
            if first.len() + rest.len() + data.len() > max {
                return Err(too_large());
            }
            if first.is_empty() {
                first = data;
            } else {
                rest.extend_from_slice(&data);
            }
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok([&first[..], &rest[..]].concat().into())
    }

    /// A body without its coding, within the same bound.
    pub(super) fn plain(&self, coding: Option<Coding>, body: Bytes) -> Result<Bytes, Failure> {
        let Some(coding) = coding else { return Ok(body) };
        coding::decode(coding, body, self.compiled.config.limits.request_bytes_max).map_err(|error| {
            let reason = match error {
                DecodeError::TooLarge(_) => Reason::BodyTooLarge,
                _ => Reason::InvalidBody,
            };
            self.compiled.failure(reason, format!("body: {error}"))
        })
    }
}
