//! gRPC over the wire: HTTP/2 without TLS over a few connections, which are opened at need and reopened when they break.
//!
//! One HTTP/2 connection is one lock and one flow-control window; calls go round over several.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use http::{Request, Uri, Version, uri};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use super::{Answer, Unsent, Upstream};

/// How long a connection may take to be there.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How often a connection with calls under way is pinged, and how long an answer may take: a machine that is gone says
/// nothing.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_MAX: Duration = Duration::from_secs(5);

/// A gRPC server somewhere else.
#[derive(Clone, Debug)]
pub struct Remote {
    clients: Arc<[Client<HttpConnector, Body>]>,
    next: Arc<AtomicUsize>,
    authority: uri::Authority,
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Only plain HTTP is spoken; TLS stands before or in a service of one's own.
    #[error("upstream `{0}` is not of the form http://HOST:PORT")]
    Address(Uri),
}

impl Remote {
    /// Calls go to `address` (`http://HOST:PORT`) over as many connections. Nothing is connected yet.
    pub fn new(address: &Uri, connections: usize) -> Result<Self, RemoteError> {
        let plain = address.scheme() == Some(&uri::Scheme::HTTP);
        let authority = address.authority().filter(|_| plain).cloned();
        let authority = authority.ok_or_else(|| RemoteError::Address(address.clone()))?;
        let client = || {
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            connector.set_connect_timeout(Some(CONNECT_MAX));
            let mut builder = Client::builder(TokioExecutor::new());
            builder.http2_only(true).http2_adaptive_window(true).retry_canceled_requests(true);
            builder.timer(TokioTimer::new()).http2_keep_alive_interval(PING_INTERVAL);
            builder.http2_keep_alive_timeout(PING_MAX);
            builder.build(connector)
        };
        let clients = (0..connections.max(1)).map(|_| client()).collect();
        Ok(Self { clients, next: Arc::new(AtomicUsize::new(0)), authority })
    }
}

impl Upstream for Remote {
    fn call(&self, mut request: Request<Body>) -> Answer {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(uri::Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = request.uri().path_and_query().cloned();
        // The three parts are valid on their own, and any three valid parts make a URI.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        *request.version_mut() = Version::HTTP_2;
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.clients.len();
        let answer = self.clients[turn].request(request);
        Box::pin(async move {
            match answer.await {
                Ok(response) => Ok(response.map(Body::new)),
                Err(error) if error.is_connect() => Err(Unsent(error.into()).into()),
                Err(error) => Err(error.into()),
            }
        })
    }
}
