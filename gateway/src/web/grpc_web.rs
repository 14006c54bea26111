//! gRPC and grpc-web on the gateway's own port, for clients that have stubs: the messages pass through untouched. The
//! request of a method that takes one message is read whole, so that the call can be made again on another node.
//!
//! grpc-web (github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md) puts the trailers into a last frame of the body, and
//! its text form wraps the body in base64. It has no client streams: the request is read whole.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version, header, request::Parts};
use http_body::Frame;

use crate::{
    code::Code,
    failure::{Failure, Reason},
    grpc::{Deframer, FrameError, PREFIX},
    held::{Held, LeftOn},
    service::GatewayService,
    transcode,
};

/// The flag of the frame that holds trailers.
const TRAILERS_FLAG: u8 = 0x80;

/// What a request's content type says about its framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// gRPC itself.
    Grpc,
    /// grpc-web.
    Web,
    /// grpc-web in base64.
    WebText,
}

impl Dialect {
    /// The dialect, if the content type is one of gRPC's.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let rest = content_type.strip_prefix("application/grpc")?;
        let is = |name: &str| {
            rest.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
        };
        match () {
            () if is("-web-text") => Some(Dialect::WebText),
            () if is("-web") => Some(Dialect::Web),
            () if is("") => Some(Dialect::Grpc),
            () => None,
        }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Dialect::Grpc => "application/grpc",
            Dialect::Web => "application/grpc-web+proto",
            Dialect::WebText => "application/grpc-web-text+proto",
        })
    }
}

/// Passes a call on.
pub(crate) async fn pass(
    service: &GatewayService,
    dialect: Dialect,
    request: Request<Body>,
) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    service.compiled.crossing.forward(&mut parts);
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::HOST, header::CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    // one that is there whole can be sent again, to another node; it is held for as long as upstream may have it
    let (body, _held) = if dialect != Dialect::Grpc || !takes_stream(service, parts.uri.path()) {
        match request_frames(service, dialect, &parts, body).await {
            Ok((frames, held)) => (Body::from(frames), held),
            Err(failure) => return failed(dialect, &failure),
        }
    } else {
        (body, Held::default())
    };
    parts.version = Version::HTTP_2;
    parts.headers.insert(header::CONTENT_TYPE, Dialect::Grpc.content_type());
    parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let answer = service.upstream.call(Request::from_parts(parts, body)).await;
    let response = match answer {
        Ok(response) => response,
        Err(error) => {
            let message = format!("upstream cannot be reached: {error}");
            return failed(dialect, &service.compiled.failure(Reason::UpstreamUnavailable, message));
        }
    };
    if dialect == Dialect::Grpc {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // A trailers-only answer has its status in the headers: the client is to find it in the last frame, as always.
    let early: Vec<_> = ["grpc-status", "grpc-message", "grpc-status-details-bin"]
        .into_iter()
        .filter_map(|name| Some((http::HeaderName::from_static(name), parts.headers.remove(name)?)))
        .collect();
    let trailers = (!early.is_empty()).then(|| early.into_iter().collect());
    parts.headers.insert(header::CONTENT_TYPE, dialect.content_type());
    Response::from_parts(parts, Body::new(WebBody { body, dialect, trailers, ended: false }))
}

/// The request's frames. What gRPC itself says with them is between client and upstream.
async fn request_frames(
    service: &GatewayService,
    dialect: Dialect,
    parts: &Parts,
    body: Body,
) -> Result<(Bytes, Held), Failure> {
    let (max, left_on) = (service.compiled.config.limits.request_bytes_max, LeftOn::of(parts.version));
    if dialect == Dialect::Grpc {
        return service.read_body(body, max.saturating_add(PREFIX), left_on).await;
    }
    let (mut frames, held) = service.read_body(body, max, left_on).await?;
    if dialect == Dialect::WebText {
        let text = std::str::from_utf8(&frames).ok();
        let decoded = text.and_then(|text| unwrapped(text.trim_ascii()));
        let failure = || service.compiled.failure(Reason::InvalidBody, "body: no base64");
        frames = decoded.map(Bytes::from).ok_or_else(failure)?;
    }
    check_frames(service, parts, &frames)?;
    Ok((frames, held))
}

/// The bytes of text in base64. A sender may pad wherever it flushed: each piece up to its padding stands for itself.
fn unwrapped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut rest = text;
    while let Some(padding) = rest.find('=') {
        let behind = rest[padding..].trim_start_matches('=');
        let (piece, next) = rest.split_at(rest.len() - behind.len());
        bytes.extend(transcode::base64(piece)?);
        rest = next;
    }
    bytes.extend(transcode::base64(rest)?);
    Some(bytes)
}

/// Refuses frames that no server could take: none, several where the method takes one, pressed by no coding that is told.
fn check_frames(service: &GatewayService, parts: &Parts, frames: &Bytes) -> Result<(), Failure> {
    let compiled = &service.compiled;
    let refused = |code, message: String| Failure { code, ..compiled.failure(Reason::InvalidBody, message) };
    let encoding = parts.headers.get("grpc-encoding").and_then(|value| value.to_str().ok());
    let pressed = encoding.is_some_and(|encoding| encoding != "identity");
    let mut deframer = Deframer::default();
    deframer.push(frames.clone());
    let mut messages = 0;
    loop {
        match deframer.next(compiled.config.limits.request_bytes_max) {
            Ok(Some(_)) => messages += 1,
            Ok(None) => break,
            // Compressed messages pass through as well.
            Err(FrameError::Compressed) if pressed => return Ok(()),
            Err(error @ FrameError::Compressed) => {
                return Err(refused(Code::Internal, format!("body: {error}")));
            }
            Err(error) => return Err(refused(Code::InvalidArgument, format!("body: {error}"))),
        }
    }
    if deframer.finish().is_err() {
        return Err(refused(Code::InvalidArgument, "body: it ends within a message".to_owned()));
    }
    if messages == 0 && !takes_stream(service, parts.uri.path()) {
        return Err(refused(Code::Unimplemented, "a call without a message".to_owned()));
    }
    if messages > 1 && !takes_stream(service, parts.uri.path()) {
        return Err(refused(Code::Unimplemented, format!("{messages} messages for a method that takes one")));
    }
    Ok(())
}

/// Whether a method, or one that the descriptors do not know, takes a stream.
fn takes_stream(service: &GatewayService, path: &str) -> bool {
    let method =
        path.strip_prefix('/').and_then(|path| path.split_once('/')).and_then(|(service_name, name)| {
            let found = service.compiled.schema.pool().get_service_by_name(service_name)?;
            found.methods().find(|method| method.name() == name)
        });
    method.is_none_or(|method| method.is_client_streaming())
}

fn failed(dialect: Dialect, failure: &Failure) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, dialect.content_type());
    headers.insert("grpc-status", HeaderValue::from(failure.code.number()));
    let printable: String =
        failure.message.chars().filter(|c| (' '..='~').contains(c) && *c != '%').collect();
    if let Ok(message) = HeaderValue::from_str(&printable) {
        headers.insert("grpc-message", message);
    }
    response
}

/// An answer's body with the trailers as its last frame.
struct WebBody {
    body: Body,
    dialect: Dialect,
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl WebBody {
    fn dressed(&self, bytes: Bytes) -> Frame<Bytes> {
        // Each chunk is padded on its own, as the protocol allows.
        Frame::data(if self.dialect == Dialect::WebText { STANDARD.encode(&bytes).into() } else { bytes })
    }

    fn last_frame(&self) -> Bytes {
        let mut frame = vec![0; PREFIX];
        for (name, value) in self.trailers.iter().flatten() {
            for part in [name.as_str().as_bytes(), b":", value.as_bytes(), b"\r\n"] {
                frame.extend_from_slice(part);
            }
        }
        crate::grpc::seal(&mut frame);
        frame[0] = TRAILERS_FLAG;
        frame.into()
    }
}

impl http_body::Body for WebBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Poll::Ready(Some(Ok(self.dressed(data)))),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.ended = true;
                    return Poll::Ready(Some(Ok(self.dressed(self.last_frame()))));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_may_be_padded_in_its_middle() {
        assert_eq!(unwrapped("AAAAAAM=EgF4").as_deref(), Some(&b"\0\0\0\0\x03\x12\x01x"[..]));
        assert_eq!(unwrapped("AA==AA==").as_deref(), Some(&[0, 0][..]));
        assert_eq!(unwrapped("").as_deref(), Some(&[][..]));
        for text in ["A=", "AA===", "=", "AA=A", "A=A="] {
            assert_eq!(unwrapped(text), None, "{text}");
        }
    }

    #[test]
    fn a_content_type_that_only_begins_like_grpc_is_another() {
        let dialect = |text: &'static str| {
            Dialect::of(&HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(text))]))
        };
        assert_eq!(dialect("application/grpc"), Some(Dialect::Grpc));
        assert_eq!(dialect("application/grpc+proto"), Some(Dialect::Grpc));
        assert_eq!(dialect("application/grpc-web-text"), Some(Dialect::WebText));
        assert_eq!(dialect("application/grpc-web+proto"), Some(Dialect::Web));
        assert_eq!(dialect("application/grpcish"), None);
    }
}
