//! Which route a request takes, and what is said of one that takes none.

use std::{collections::BTreeSet, fmt::Write as _};

use axum::body::Body;
use http::{HeaderValue, Method as HttpMethod, Response, StatusCode, header};

use super::GatewayService;
use crate::{
    failure::{Failure, Reason},
    method::Method,
    route::{Match, Miss},
    transcode::nearest,
    web,
};

impl GatewayService {
    /// The route of a WebSocket handshake, which is a GET whatever method the rule has. Without a stream there, the
    /// request is taken as if it had not asked for one.
    pub(super) fn stream_route(&self, path: &str) -> Option<(&Method, usize)> {
        let find = |method: &str| self.find(method, path);
        let found = match find("GET") {
            Err(Miss::MethodNotAllowed(allowed)) => allowed.iter().find_map(|method| find(method).ok()),
            found => found.ok(),
        }?;
        let streams = found.route.client_streaming || found.route.server_streaming;
        streams.then_some((found.route, found.verb_length))
    }

    /// The route of a method and a path; the gateway's own pages are for GET alone.
    fn find(&self, method: &str, path: &str) -> Result<Match<'_, Method>, Miss> {
        let found = self.compiled.routes.find(method, path, self.compiled.config.strict_verbs);
        match found {
            Err(Miss::NotFound) if web::is_page(self, path) => {
                Err(Miss::MethodNotAllowed(BTreeSet::from([HttpMethod::GET.to_string()])))
            }
            found => found,
        }
    }

    pub(super) fn route(&self, http_method: &HttpMethod, path: &str) -> Result<(&Method, usize), Failure> {
        let mut found = self.find(http_method.as_str(), path);
        if http_method == HttpMethod::HEAD && found.is_err() {
            found = self.find("GET", path).or(found);
        }
        match found {
            Ok(found) => Ok((found.route, found.verb_length)),
            Err(Miss::NotFound) => Err(self
                .compiled
                .failure(Reason::RouteNotFound, format!("no route for {http_method} {path}"))),
            Err(Miss::MethodNotAllowed(_)) if self.compiled.routes.unknown_verb(path).is_some() => {
                Err(self.unknown_verb(http_method, path))
            }
            Err(Miss::MethodNotAllowed(allowed)) => {
                let list = allow(allowed);
                let message = format!("{http_method} is not allowed here, only {list}");
                let mut failure = self.compiled.failure(Reason::MethodNotAllowed, message);
                if let Ok(value) = HeaderValue::from_str(&list) {
                    failure.headers.insert(header::ALLOW, value);
                }
                Err(failure)
            }
        }
    }

    /// The path is known without its verb, as which it was meant: no method would make it right.
    fn unknown_verb(&self, http_method: &HttpMethod, path: &str) -> Failure {
        let mut message = format!("no route for {http_method} {path}");
        if let Some((verb, known)) = self.compiled.routes.unknown_verb(path) {
            let near = nearest(verb, known.iter().copied()).map(|near| format!("; `:{near}` is near"));
            let hint = near.unwrap_or_default();
            let _ = write!(message, ": there is no verb `:{verb}`{hint}");
        }
        self.compiled.failure(Reason::RouteNotFound, message)
    }

    /// What is allowed on a path, unless a rule of the service's own takes OPTIONS there.
    pub(super) fn options(&self, path: &str) -> Option<Response<Body>> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        if path == "*" {
            // of no resource: it asks whether there is a server (RFC 9110, 9.3.7)
            return Some(response);
        }
        let Err(Miss::MethodNotAllowed(allowed)) = self.find("OPTIONS", path) else { return None };
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_str(&allow(allowed)).ok()?);
        Some(response)
    }
}

/// The methods of an `Allow` header; what GET can, HEAD can.
fn allow(mut methods: BTreeSet<String>) -> String {
    if methods.contains("GET") {
        methods.insert("HEAD".to_owned());
    }
    methods.insert("OPTIONS".to_owned());
    methods.into_iter().collect::<Vec<_>>().join(", ")
}
