//! What is asked and answered before a connection, or a stream of HTTP/2, becomes a WebSocket (RFC 6455, 4.2; RFC 8441, 5).

use axum::body::Body;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header, request::Parts,
};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::PROTOCOL;
use crate::{negotiate, transcode};

/// The bytes of a key, which a client draws at random.
const KEY_BYTES: usize = 16;

/// A handshake that can be accepted.
pub(super) struct Handshake {
    /// What an answer over HTTP/1 proves that it has understood.
    key: Option<HeaderValue>,
    /// The client speaks [`PROTOCOL`].
    protocol: bool,
    on_upgrade: OnUpgrade,
}

/// Why one cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("`connection` does not say `upgrade`")]
    NoUpgrade,
    #[error("`sec-websocket-version` is not 13")]
    Version,
    #[error("`sec-websocket-key` is not 16 bytes in base64")]
    Key,
    #[error("this connection cannot become another")]
    NotUpgradable,
}

impl HandshakeError {
    pub(super) fn status(self) -> StatusCode {
        match self {
            HandshakeError::NoUpgrade | HandshakeError::Key => StatusCode::BAD_REQUEST,
            HandshakeError::Version | HandshakeError::NotUpgradable => StatusCode::UPGRADE_REQUIRED,
        }
    }
}

impl Handshake {
    /// Takes from a request what makes it one.
    pub(super) fn of(parts: &mut Parts) -> Result<Self, HandshakeError> {
        let headers = &parts.headers;
        let http1 = parts.method != Method::CONNECT;
        if http1 && !words(headers, &header::CONNECTION).any(|word| word.eq_ignore_ascii_case("upgrade")) {
            return Err(HandshakeError::NoUpgrade);
        }
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err(HandshakeError::Version);
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| http1);
        let drawn = key.and_then(|key| transcode::base64(key.to_str().ok()?.trim()));
        if http1 && drawn.is_none_or(|key| key.len() != KEY_BYTES) {
            return Err(HandshakeError::Key);
        }
        let protocol = words(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|name| name == PROTOCOL);
        let key = key.cloned();
        let on_upgrade = parts.extensions.remove::<OnUpgrade>().ok_or(HandshakeError::NotUpgradable)?;
        Ok(Self { key, protocol, on_upgrade })
    }

    /// The answer, and what comes of the connection once it has gone out.
    pub(super) fn accept(self) -> (Response<Body>, OnUpgrade) {
        let mut response = Response::new(Body::empty());
        if let Some(key) = self.key {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            *response.version_mut() = Version::HTTP_11;
            let headers = response.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            let accepted = derive_accept_key(key.as_bytes().trim_ascii());
            // base64 is a header's text
            headers.extend(
                HeaderValue::try_from(accepted).ok().map(|accepted| (header::SEC_WEBSOCKET_ACCEPT, accepted)),
            );
        }
        if self.protocol {
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
        }
        (response, self.on_upgrade)
    }
}

/// The words that a header lists.
fn words<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> + use<'h> {
    negotiate::listed(headers, name).map(|(word, _)| word)
}
