//! Pages of other origins: what they may read (CORS, as the Fetch standard has it), and that they change nothing unless
//! they are named.
//!
//! CORS alone keeps a foreign page from reading answers, not from sending what a form could send. A service that asks no
//! one who he is, such as one on loopback, is open to whatever page its user looks at; so a request that may change
//! something is refused if a page sent it that is neither the gateway's own nor named in the configuration.

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};

use crate::{
    failure::{Failure, Reason},
    gateway::Compiled,
    hosts,
    metadata::Peer,
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How long a browser may keep the answer to a preflight, in seconds.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("600");

/// Who sent a request, as far as a browser tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// The gateway's own page, or no page at all.
    Own,
    /// A page of an origin that is named.
    Named(HeaderValue),
    /// A page when all are let in.
    Any,
    /// Another page.
    Foreign(HeaderValue),
}

/// Whether an origin that is the same to a browser is the gateway's own for certain. Whoever owns a domain can have it mean
/// this machine (DNS rebinding), and a page from there then comes from the same origin; not where the connection is
/// encrypted, since nobody here has a certificate of that domain.
fn is_certain(scheme: &str, host: &str) -> bool {
    scheme == "https" || hosts::is_local(hosts::name_of(host))
}

impl Sender {
    /// Reads what the browser says of the page.
    pub(crate) fn of<B>(compiled: &Compiled, request: &Request<B>) -> Self {
        let headers = request.headers();
        let Some(origin) = headers.get(header::ORIGIN) else { return Sender::Own };
        let text = origin.to_str().unwrap_or_default();
        if compiled.config.origins.iter().any(|known| known.eq_ignore_ascii_case(text)) {
            return Sender::Named(origin.clone());
        }
        if compiled.config.origins.iter().any(|known| known == "*") {
            return Sender::Any;
        }
        let host = hosts::told(headers, request.uri()).unwrap_or_default();
        let (scheme, of_origin) = text.split_once("://").unwrap_or_default();
        let same = match headers.get(SEC_FETCH_SITE) {
            Some(site) => site == "same-origin" || site == "none",
            // a browser that is older, or has a plain connection
            None => !of_origin.is_empty() && of_origin.eq_ignore_ascii_case(host),
        };
        if same && is_certain(scheme, of_origin) { Sender::Own } else { Sender::Foreign(origin.clone()) }
    }

    /// Refuses a foreign page what it could do harm with.
    pub(crate) fn check(&self, compiled: &Compiled) -> Result<(), Failure> {
        let Sender::Foreign(origin) = self else { return Ok(()) };
        let message = format!("origin `{}` is not allowed", String::from_utf8_lossy(origin.as_bytes()));
        Err(compiled.failure(Reason::OriginNotAllowed, message))
    }

    /// Adds to an answer what lets the page read it.
    pub(crate) fn let_read(&self, compiled: &Compiled, headers: &mut HeaderMap) {
        if !compiled.config.origins.is_empty() && *self != Sender::Any {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        match self {
            Sender::Named(origin) => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
            Sender::Any => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Sender::Own | Sender::Foreign(_) => return,
        }
        let crossing = compiled.crossing.announced();
        let names = crossing.as_ref().and_then(|names| names.to_str().ok()).unwrap_or_default();
        let separator = if names.is_empty() { "" } else { ", " };
        // a grpc-web client reads the status of a call without a message from its headers
        let exposed = format!("{names}{separator}grpc-status, grpc-message, grpc-status-details-bin");
        if let Ok(exposed) = HeaderValue::from_str(&exposed) {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}

/// Refuses a request that names a host which is not the gateway's, or not one.
pub(crate) fn check_host<B>(compiled: &Compiled, request: &Request<B>) -> Result<(), Failure> {
    if !hosts::is_clear(request, || Peer::is_known(request.extensions())) {
        return Err(compiled.failure(Reason::InvalidHeader, "header `host`: one is expected"));
    }
    if compiled.config.hosts.admit(request) {
        return Ok(());
    }
    let host = hosts::told(request.headers(), request.uri()).unwrap_or_default();
    let message = format!(
        "host `{host}` is none of this gateway, which listens for its own machine alone: call it by an address or as localhost, or \
         name the host in its setting gateway.hosts"
    );
    Err(compiled.failure(Reason::HostNotAllowed, message))
}

/// Whether a request may change something, by its method.
pub(crate) fn may_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::CONNECT)
}

/// Whether a browser asks what it may ask.
pub(crate) fn is_preflight<B>(request: &Request<B>) -> bool {
    *request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight. What the request itself will be told is not decided here.
pub(crate) fn preflight<B>(request: &Request<B>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let asked = request.headers();
    let headers = response.headers_mut();
    for (ask, allow) in [
        (header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_ALLOW_METHODS),
        (header::ACCESS_CONTROL_REQUEST_HEADERS, header::ACCESS_CONTROL_ALLOW_HEADERS),
    ] {
        if let Some(value) = asked.get(&ask) {
            headers.insert(allow, value.clone());
        }
        headers.append(header::VARY, HeaderValue::from(ask));
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
    response
}
