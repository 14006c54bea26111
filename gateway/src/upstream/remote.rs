//! gRPC over the wire: HTTP/2 over a few connections, which are opened at need and reopened when they break.
//!
//! One HTTP/2 connection is one lock and one flow-control window; calls go round over several, and over more while the
//! server takes no more on these.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arsenal_tls::{Client as Tls, ClientFiles, H2, ServerName, TlsError};
use axum::body::Body;
use http::{Request, Uri, Version, uri};

use super::{
    Answer, Unsent, Upstream,
    dial::Dial,
    line::{Answered, Line},
};

/// A gRPC server somewhere else.
#[derive(Clone, Debug)]
pub struct Remote {
    lines: Arc<[Arc<Line>]>,
    /// How many of them are used while the server takes more calls on these.
    connections: usize,
    next: Arc<AtomicUsize>,
    scheme: uri::Scheme,
    authority: uri::Authority,
}

/// How servers are reached.
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    /// Connections to each, which are used in turn.
    pub connections: usize,
    /// Connections to each while the server takes no more calls on these: each stream that is followed keeps one of the
    /// calls that a connection may have at a time.
    pub connections_max: usize,
    /// Whom `https` believes, and whom it shows; nothing believes what the system believes, and shows nobody.
    pub tls: Option<Tls>,
    /// The name that a server's certificate must have; nothing takes the one in its URL.
    pub server_name: Option<String>,
    /// How long a connection may take to be there, and how long to shake hands then.
    pub connect_max: Duration,
    /// After how long a silence a connection with calls under way is pinged. gRPC servers hang up on clients who ping them
    /// more often than each five minutes while they say nothing; seconds are for servers that are known to bear them.
    pub ping_interval: Duration,
    /// How long an answer to that may take. One that does not come ends the connection and the calls on it: a server that
    /// is frozen, or whose machine is gone, says nothing. Whoever is held up for longer himself finds all answers late.
    pub ping_max: Duration,
}

impl Default for RemoteConfig {
    fn default() -> Self {
        Self {
            connections: 4,
            connections_max: 16,
            tls: None,
            server_name: None,
            connect_max: Duration::from_secs(3),
            ping_interval: Duration::from_secs(300),
            ping_max: Duration::from_secs(3),
        }
    }
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// It is no URL of a server.
    #[error("upstream `{0}` is not of the form http://HOST:PORT or https://HOST:PORT")]
    Address(Uri),
    /// `https` cannot be spoken.
    #[error("upstream `{address}`: {error}")]
    Tls {
        /// The address.
        address: Uri,
        /// Why.
        error: TlsError,
    },
}

/// The URL of servers, and how they are reached.
#[derive(Clone, Debug)]
pub struct Address {
    scheme: uri::Scheme,
    authority: uri::Authority,
    config: RemoteConfig,
    tls: Option<(Tls, ServerName<'static>)>,
}

impl Address {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub fn new(url: &Uri, config: &RemoteConfig) -> Result<Self, RemoteError> {
        let (Some(scheme), Some(authority)) = (url.scheme(), url.authority()) else {
            return Err(RemoteError::Address(url.clone()));
        };
        let tls = match scheme.as_str() {
            "http" => None,
            "https" => Some(encryption(authority, config).map_err(|error| {
                let address = url.clone();
                RemoteError::Tls { address, error }
            })?),
            _ => return Err(RemoteError::Address(url.clone())),
        };
        let (scheme, authority) = (scheme.clone(), authority.clone());
        Ok(Self { scheme, authority, config: config.clone(), tls })
    }

    /// Its host, without brackets.
    pub fn host(&self) -> &str {
        let host = self.authority.host();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// As it was given.
    pub(super) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    fn server(&self) -> Uri {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(uri::PathAndQuery::from_static("/"));
        // three parts that are valid make a URI
        Uri::from_parts(parts).unwrap_or_default()
    }

    /// The server there, or the one of those there that has this address. Nothing is connected yet.
    pub fn remote(&self, at: Option<IpAddr>) -> Remote {
        let line = || {
            let dial = Dial::new(at, self.tls.clone(), self.config.connect_max);
            Line::new(dial, self.server(), self.config.clone())
        };
        let connections = self.config.connections.max(1);
        let lines = (0..connections.max(self.config.connections_max)).map(|_| line()).collect();
        let (scheme, authority) = (self.scheme.clone(), self.authority.clone());
        Remote { lines, connections, next: Arc::new(AtomicUsize::new(0)), scheme, authority }
    }
}

/// Whom a server there has to be.
fn encryption(
    authority: &uri::Authority,
    config: &RemoteConfig,
) -> Result<(Tls, ServerName<'static>), TlsError> {
    let name = Tls::server_name(config.server_name.as_deref().unwrap_or(authority.host()))?;
    let tls = match &config.tls {
        Some(tls) => tls.clone(),
        None => Tls::load(ClientFiles::default(), &[H2])?,
    };
    Ok((tls, name))
}

impl Remote {
    /// Calls go to `address` (`http://HOST:PORT`, or `https` with what the system believes) over as many connections.
    /// Nothing is connected yet.
    pub fn new(address: &Uri, connections: usize) -> Result<Self, RemoteError> {
        Self::with(address, &RemoteConfig { connections, ..RemoteConfig::default() })
    }

    /// Calls go to `address`. Nothing is connected yet.
    pub fn with(address: &Uri, config: &RemoteConfig) -> Result<Self, RemoteError> {
        Ok(Address::new(address, config)?.remote(None))
    }
}

impl Upstream for Remote {
    fn call(&self, mut request: Request<Body>) -> Answer {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = request.uri().path_and_query().cloned();
        // The three parts are valid on their own, and any three valid parts make a URI.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        *request.version_mut() = Version::HTTP_2;
        // what is known of the client here means nothing over there
        request.extensions_mut().clear();
        let (lines, turn) = (Arc::clone(&self.lines), self.next.fetch_add(1, Ordering::Relaxed));
        let usual = self.connections;
        Box::pin(async move {
            let of_usual = (0..usual).map(|step| (turn % usual + step) % usual);
            let mut request = request;
            for at in of_usual.chain(usual..lines.len()) {
                match lines[at].call(request).await {
                    Answered::Call(answer) => return answer,
                    Answered::Full(refused) => request = refused,
                }
            }
            let why = format!("all {} connections have as many calls as the server takes", lines.len());
            Err(Unsent::with(why, request).by_busy().into())
        })
    }

    fn takes_extensions(&self) -> bool {
        false
    }
}
