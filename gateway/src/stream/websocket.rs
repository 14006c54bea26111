//! The handshake of a WebSocket (RFC 6455, and RFC 8441 over HTTP/2): any method with a stream can be spoken to through
//! one.
//!
//! The subprotocol is [`PROTOCOL`]. Each text frame of the client is a message as JSON, and so is each of the server's;
//! an empty text frame ends the client's stream, which a WebSocket has no word of its own for. When the call fails the
//! last text frame is `{"error": ...}` as everywhere, and the close code is 4000 and the gRPC code; a call that went
//! well closes with 1000; a client that sends what is no WebSocket is closed with 1002. A client that closes first cancels
//! the call.
//!
//! A page of another origin is refused unless the configuration names it: browsers open WebSockets across origins
//! without asking.

mod conversation;
mod frames;
mod handshake;
mod wire;

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, Request, Response, StatusCode, header};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::protocol::{Role, WebSocketConfig},
};
use tracing::Instrument as _;

use crate::{
    failure::{Failure, Reason},
    gateway::Compiled,
    metadata,
    method::Method,
    request::Target,
    service::GatewayService,
    stalled,
    web::origin::Sender,
};
use conversation::Conversation;
use handshake::Handshake;
use wire::Wire;

/// The name of the subprotocol.
pub(crate) const PROTOCOL: &str = "grpc-json.v1";

/// A subprotocol that begins with this is no protocol but the client's bearer token: a browser can set no header.
const BEARER: &str = "bearer.";

/// What a message may have beside it on its way: its head, and answers to pings.
const BESIDE_BYTES: usize = 64 << 10;

/// What is read at a time. Each socket has that much for as long as it is open.
const READ_BUFFER_BYTES: usize = 16 << 10;

/// Whether the request asks for a WebSocket.
pub(crate) fn is_handshake<B>(request: &Request<B>) -> bool {
    match *request.method() {
        HttpMethod::GET => request
            .headers()
            .get(header::UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket")),
        HttpMethod::CONNECT => request
            .extensions()
            .get::<hyper::ext::Protocol>()
            .is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket")),
        _ => false,
    }
}

/// Accepts the handshake and lets the conversation run. What is wrong with target or headers is refused before, with an
/// HTTP status of its own.
pub(crate) async fn open(
    service: &GatewayService,
    method: &Method,
    verb_length: usize,
    request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    let compiled = &*service.compiled;
    // a browser opens one to any origin, and lets any page read it
    Sender::of(compiled, &request).check(compiled)?;
    let (mut parts, _) = request.into_parts();
    take_bearer(&mut parts.headers);
    let handshake = Handshake::of(&mut parts).map_err(|error| {
        let message = format!("no WebSocket handshake: {error}");
        let mut failure = compiled.failure(Reason::InvalidHandshake, message);
        failure.http = Some(error.status());
        failure.headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        if error.status() == StatusCode::UPGRADE_REQUIRED {
            failure.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        failure
    })?;
    let mut metadata = compiled.metadata(&parts)?;
    // the call to upstream is none that changes its protocol
    parts.extensions.remove::<hyper::ext::Protocol>();
    let extensions = std::mem::take(&mut parts.extensions);
    let request_id = compiled.config.request_id.then(|| metadata::request_id(&mut metadata));
    let deadline = service.deadline(method, &parts.headers)?;
    if let Some(timeout) = deadline {
        metadata::put_timeout(&mut metadata, timeout);
    }
    let path = parts.uri.path();
    let target =
        Target { path: &path[..path.len() - verb_length], query: parts.uri.query().unwrap_or_default() };
    let target = compiled.target_bytes(method, target, &parts.headers)?;
    let conversation =
        Conversation::new(service.clone(), method.index, (metadata, extensions), target, deadline);
    let version = parts.version;
    let (mut response, upgraded) = handshake.accept();
    let (compiled, stream) = (service.compiled.clone(), stalled::ending_of_stream());
    let opened = async move {
        // a client that went away meanwhile opens none
        let Ok(upgraded) = upgraded.await else { return };
        let config = config(&compiled);
        let (wire, told) = Wire::new(upgraded, version, compiled);
        let socket = WebSocketStream::from_raw_socket(wire, Role::Server, Some(config)).await;
        let closed = conversation.run(socket, told).await;
        if let Some(stream) = stream.filter(|_| !closed) {
            stream.end();
        }
    };
    tokio::spawn(opened.instrument(tracing::Span::current()));
    if let Some(id) = request_id {
        response.headers_mut().insert(metadata::REQUEST_ID, id);
    }
    Ok(response)
}

/// How its frames are taken apart and put together.
fn config(compiled: &Compiled) -> WebSocketConfig {
    let limits = compiled.config.limits;
    let message_bytes_max = limits.json_bytes_max.max(limits.response_bytes_max);
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(Some(limits.request_bytes_max))
        .max_frame_size(Some(limits.request_bytes_max))
        // each message leaves at once
        .write_buffer_size(0)
        .max_write_buffer_size(message_bytes_max.saturating_add(BESIDE_BYTES))
}

/// Makes a token that came as a subprotocol the authorization, unless there is one.
fn take_bearer(headers: &mut HeaderMap) {
    const PROTOCOLS: HeaderName = header::SEC_WEBSOCKET_PROTOCOL;
    if headers.contains_key(header::AUTHORIZATION) {
        return;
    }
    let offered = headers.get_all(PROTOCOLS).into_iter().filter_map(|value| value.to_str().ok());
    let token = offered.flat_map(|value| value.split(',')).find_map(|name| name.trim().strip_prefix(BEARER));
    let value = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
    if let Some(mut value) = value {
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
}
