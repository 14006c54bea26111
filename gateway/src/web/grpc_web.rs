//! gRPC and grpc-web on the gateway's own port, for clients that have stubs: the messages pass through untouched. The
//! request of a method that takes one message is read whole, so that the call can be made again on another node.
//!
//! grpc-web (github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md) puts the trailers into a last frame of the body, and
//! its text form wraps the body in base64. It has no client streams: the request is read whole.
//!
//! What passes is what the descriptors have, unless the configuration says otherwise: whoever puts a gateway before a server
//! takes them for the list of what is public.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version, header, request::Parts};
use http_body::Frame;

use prost_reflect::MethodDescriptor;

use crate::{
    code::Code,
    config::GrpcCalls,
    failure::{self, Failure, Reason},
    grpc::{Deframer, FrameError, PREFIX},
    held::{Held, LeftOn},
    metadata,
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
) -> Result<Response<Body>, Failure> {
    let (mut parts, body) = request.into_parts();
    let compiled = &service.compiled;
    if dialect == Dialect::Grpc && parts.version < Version::HTTP_2 {
        // it has its status in trailers, which hardly a client of HTTP/1 takes
        let message = format!("gRPC over {:?}, where HTTP/2 is needed; gRPC-Web takes either", parts.version);
        return Err(compiled.failure(Reason::VersionNotSupported, message));
    }
    // first: what a client says of its connection must not take away what is told of it
    metadata::leave_connection(&mut parts.headers);
    compiled.crossing.forward(&mut parts);
    for name in [header::HOST, header::CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    let request_id = compiled.config.request_id.then(|| metadata::request_id(&mut parts.headers));
    let mut response = match call(service, dialect, parts, body).await {
        Ok(response) if dialect == Dialect::Grpc => response,
        Ok(response) => dressed(dialect, response),
        Err(failure) => failed(dialect, &failure),
    };
    if let Some(id) = request_id {
        response.headers_mut().entry(metadata::REQUEST_ID).or_insert(id);
    }
    Ok(response)
}

/// Makes the call, as gRPC.
async fn call(
    service: &GatewayService,
    dialect: Dialect,
    mut parts: Parts,
    body: Body,
) -> Result<Response<Body>, Failure> {
    let called = described(service, parts.uri.path());
    if called.is_none() && !may_be_undescribed(service, parts.uri.path()) {
        let message = format!("the gateway serves no method `{}`", parts.uri.path());
        let failure = service.compiled.failure(Reason::RouteNotFound, message);
        return Err(Failure { code: Code::Unimplemented, ..failure });
    }
    let takes_stream = called.is_none_or(|method| method.is_client_streaming());
    // one that is there whole can be sent again, to another node; it is held for as long as upstream may have it
    let (body, _held) = if dialect != Dialect::Grpc || !takes_stream {
        let (frames, held) = request_frames(service, dialect, &parts, takes_stream, body).await?;
        (Body::from(frames), held)
    } else {
        (body, Held::default())
    };
    parts.version = Version::HTTP_2;
    parts.headers.insert(header::CONTENT_TYPE, Dialect::Grpc.content_type());
    parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let answer = service.upstream.call(Request::from_parts(parts, body)).await;
    answer.map_err(|error| {
        let message = format!("upstream cannot be reached: {error}");
        service.compiled.failure(Reason::UpstreamUnavailable, message)
    })
}

/// An answer in gRPC-Web.
fn dressed(dialect: Dialect, response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    // A trailers-only answer has its status in the headers: the client is to find it in the last frame, as always.
    let early: Vec<_> = ["grpc-status", "grpc-message", "grpc-status-details-bin"]
        .into_iter()
        .filter_map(|name| Some((http::HeaderName::from_static(name), parts.headers.remove(name)?)))
        .collect();
    let trailers = (!early.is_empty()).then(|| early.into_iter().collect());
    parts.headers.insert(header::CONTENT_TYPE, dialect.content_type());
    // it is that of the body without the last frame: servers know that an answer without a message is empty
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::new(WebBody { body, dialect, trailers, ended: false }))
}

/// The request's frames. What gRPC itself says with them is between client and upstream.
async fn request_frames(
    service: &GatewayService,
    dialect: Dialect,
    parts: &Parts,
    takes_stream: bool,
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
    check_frames(service, parts, takes_stream, &frames)?;
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
fn check_frames(
    service: &GatewayService,
    parts: &Parts,
    takes_stream: bool,
    frames: &Bytes,
) -> Result<(), Failure> {
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
    if messages == 0 && !takes_stream {
        return Err(refused(Code::Unimplemented, "a call without a message".to_owned()));
    }
    if messages > 1 && !takes_stream {
        return Err(refused(Code::Unimplemented, format!("{messages} messages for a method that takes one")));
    }
    Ok(())
}

/// The method of a path, if the descriptors have it.
fn described(service: &GatewayService, path: &str) -> Option<MethodDescriptor> {
    let (service_name, name) = path.strip_prefix('/')?.split_once('/')?;
    let found = service.compiled.schema.pool().get_service_by_name(service_name)?;
    found.methods().find(|method| method.name() == name)
}

/// Whether a method that the descriptors do not have may be called. Whoever lets all ask for upstream's health over REST
/// lets them ask in gRPC too.
fn may_be_undescribed(service: &GatewayService, path: &str) -> bool {
    let config = &service.compiled.config;
    config.grpc == GrpcCalls::All
        || (config.health_path.is_some() && path.starts_with("/grpc.health.v1.Health/"))
}

fn failed(dialect: Dialect, failure: &Failure) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, dialect.content_type());
    headers.insert("grpc-status", HeaderValue::from(failure.code.number()));
    headers.insert("grpc-message", failure::percent_encoded(&failure.message));
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
