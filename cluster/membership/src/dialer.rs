//! Connections to other nodes: the settings that hold between nodes, and their TLS.
//!
//! A connection whose other end is gone without a word is found by pings, long before the machine would: a voter that
//! came back behind a healed partition must not wait for it. And every connection stands still while it is cut on purpose
//! ([`Cuts`]), and says of each request which node sends it, so that the other end can hold its own cuts ([`crossing`]).

use crate::crossing;
use crate::cuts::{Cuts, Other, Way};
use crate::severed::Severed;
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Pings on a connection, and how long one may go unanswered.
const PING_INTERVAL: Duration = Duration::from_millis(500);
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes under way, by stream and by connection.
#[derive(Clone, Copy)]
struct Windows {
    stream: u32,
    connection: u32,
}

/// Of a connection that has one stream: a part of a snapshot fits.
const OF_ONE: Windows = Windows { stream: 4 << 20, connection: 4 << 20 };
/// Of one that many share. What a stream has under way and nobody reads is taken from all of them: so the connection has room
/// for as many that stand still as a node lets in.
const OF_MANY: Windows = Windows { stream: 256 << 10, connection: STREAMS_MAX * (256 << 10) };
/// Streams that a node lets in on a connection where nothing else is set, and some to spare.
const STREAMS_MAX: u32 = 1_280;

/// Opens connections to other nodes.
#[derive(Clone, Debug, Default)]
pub struct Dialer {
    tls: Option<arsenal_tls::Client>,
    /// The name that every node's certificate has; nothing where each has the one in its address.
    name: Option<Arc<str>>,
    cuts: Cuts,
}

impl Dialer {
    /// Connections with TLS, or without.
    pub fn new(tls: Option<arsenal_tls::Client>) -> Self {
        Self { tls, ..Self::default() }
    }

    /// What its connections are cut off from.
    pub fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    /// With this name in every node's certificate, where their addresses are no names that one could have; empty for
    /// none.
    #[must_use]
    pub fn expecting(mut self, name: &str) -> Self {
        self.name = (!name.is_empty()).then(|| name.into());
        self
    }

    /// A connection to `HOST:PORT` for any number of requests, which connects when it is first used and again when it broke.
    /// Streams on it that nobody reads hold up no others.
    ///
    /// # Errors
    /// If the address is none.
    pub fn channel(&self, address: &str) -> Result<Channel, String> {
        self.open(address, OF_MANY)
    }

    /// As [`Dialer::channel`], for one stream that may have more under way.
    ///
    /// # Errors
    /// If the address is none.
    pub fn line(&self, address: &str) -> Result<Channel, String> {
        self.open(address, OF_ONE)
    }

    fn open(&self, address: &str, windows: Windows) -> Result<Channel, String> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| error.to_string())?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(windows.stream)
            .initial_connection_window_size(windows.connection);
        let endpoint = match self.cuts.own() {
            0 => endpoint,
            own => endpoint.user_agent(crossing::name(own)).map_err(|error| error.to_string())?,
        };
        let address: Arc<str> = address.into();
        match self.tls.clone() {
            None => {
                let cuts = self.cuts.clone();
                let plain = move |uri| plain(cuts.clone(), Arc::clone(&address), uri);
                Ok(endpoint.connect_with_connector_lazy(service_fn(plain)))
            }
            Some(tls) => {
                let (name, cuts) = (self.name.clone(), self.cuts.clone());
                let encrypted = move |uri| {
                    let socket = open(cuts.clone(), Arc::clone(&address), uri);
                    encrypt(tls.clone(), name.clone(), socket)
                };
                Ok(endpoint.connect_with_connector_lazy(service_fn(encrypted)))
            }
        }
    }
}

/// A connection, and the host that it is to. Hands can be shaken only where both ways are open.
async fn open(cuts: Cuts, address: Arc<str>, uri: Uri) -> io::Result<(Severed<TcpStream>, String)> {
    let missing = || io::Error::other(format!("`{uri}` names no host and port"));
    let (host, port) = (uri.host().ok_or_else(missing)?, uri.port_u16().ok_or_else(missing)?);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    cuts.clone().healed(Other::At(Arc::clone(&address)), &[Way::Out, Way::In]).await;
    let socket = TcpStream::connect((bare, port)).await?;
    socket.set_nodelay(true)?;
    Ok((Severed::new(socket, cuts, address), host.to_owned()))
}

async fn plain(cuts: Cuts, address: Arc<str>, uri: Uri) -> io::Result<TokioIo<Severed<TcpStream>>> {
    Ok(TokioIo::new(open(cuts, address, uri).await?.0))
}

async fn encrypt(
    tls: arsenal_tls::Client,
    name: Option<Arc<str>>,
    opening: impl Future<Output = io::Result<(Severed<TcpStream>, String)>>,
) -> io::Result<TokioIo<arsenal_tls::ClientStream<Severed<TcpStream>>>> {
    let (socket, host) = opening.await?;
    let name =
        arsenal_tls::Client::server_name(name.as_deref().unwrap_or(&host)).map_err(io::Error::other)?;
    Ok(TokioIo::new(tls.connect(name, socket).await?))
}
