//! Connections as they come in: bounded in number, in all and of one client, encrypted where that is configured, closed if
//! they never say anything or read nothing, served by HTTP/1 or HTTP/2 until the listener is told to stop, the last request
//! has its answer, and the last WebSocket is closed.
//!
//! Beyond the bound of all a connection waits in the kernel's backlog: it costs the node nothing, and is served when another
//! ends. Beyond that of one client it is closed: waiting it would hold up the others. What fails in accepting one connection (none left to open, a client that was gone already, a handshake) ends no
//! listener.

mod addresses;
mod bare;
mod caller;
mod connection;
mod places;
mod tally;

pub(crate) use tally::Tally;

use crate::config::{Config, ListenSection};
use addresses::Addresses;
use arsenal_gateway::{Peer, StreamTasks};
use arsenal_membership::Recognition;
use arsenal_tls::{H2, HTTP_1_1, PeerIdentity, Server, Stream, TlsError};
use axum::body::Body;
use bare::{Answering, Asked, Dressed};
use caller::Caller;
use connection::{Connection, Held, Patience};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use ipnet::IpNet;
use places::Places;
use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::Service;

/// How long accepting rests when the machine has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a client gets that speaks HTTP where TLS is spoken, as other servers have it.
const NOT_ENCRYPTED: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n\
                               this port speaks TLS: use https\n";

/// HTTP/1 and HTTP/2 with their settings.
pub(crate) type Protocols = auto::Builder<StreamTasks>;

/// What connections have to be and to bring before their first request.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    connections_max: usize,
    connections_per_address_max: usize,
    /// Addresses that stand for many clients.
    proxies: Arc<[IpNet]>,
    patience: Patience,
    tls: Option<Server>,
    /// Requests tell whom they come from.
    tells_peers: bool,
    /// Which of them come from nodes of the cluster.
    recognition: Recognition,
    /// In whose name hyper's own answers tell of errors; nothing where they stay as they are.
    error_domain: Option<Arc<str>>,
    tally: Arc<Tally>,
}

impl Door {
    /// As is configured for the ports of nodes and gateways.
    pub(crate) fn of(config: &Config) -> Result<Self, TlsError> {
        let tls = config.tls.server_files().map(|files| Server::load(files, &[H2, HTTP_1_1])).transpose()?;
        let recognition = config.tls.recognition();
        let listen = &config.listen;
        let connections_per_address_max = listen.connections_per_address_max;
        // what is no network was refused with the configuration
        let proxies = config.gateway.proxies().unwrap_or_default().into();
        let plain = Self::plain(listen, listen.connections_max);
        Ok(Self { tls, recognition, connections_per_address_max, proxies, ..plain })
    }

    /// For what is never encrypted, and not for the public.
    pub(crate) fn plain(settings: &ListenSection, connections_max: usize) -> Self {
        let patience = Patience {
            first_byte: Duration::from_millis(settings.first_byte_ms),
            write_idle: Duration::from_millis(settings.write_idle_ms),
        };
        Self {
            connections_max,
            connections_per_address_max: 0,
            proxies: Arc::default(),
            patience,
            tls: None,
            tells_peers: false,
            recognition: Recognition::default(),
            error_domain: None,
            tally: Arc::default(),
        }
    }

    /// Has the files of its certificates looked at again and again, until the listeners stop.
    pub(crate) fn follow_files(&self, config: &Config, mut stopped: watch::Receiver<bool>) {
        let Some(tls) = self.tls.clone() else { return };
        let every = Duration::from_millis(config.tls.reload_ms);
        tokio::spawn(async move {
            tokio::select! {
                () = tls.follow(every) => {}
                // the sender's drop is a stop too
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        });
    }

    /// For services that want to know the [`Peer`] of a request.
    pub(crate) fn telling_peers(mut self) -> Self {
        self.tells_peers = true;
        self
    }

    /// For clients that expect a body in the gateway's form from each error, also of what hyper refuses by itself.
    pub(crate) fn telling_errors(mut self, domain: &str) -> Self {
        self.error_domain = Some(domain.into());
        self
    }

    /// Counts what becomes of the connections there.
    pub(crate) fn counted_by(mut self, tally: Arc<Tally>) -> Self {
        self.tally = tally;
        self
    }

    fn caller(&self, address: SocketAddr, identity: Option<&PeerIdentity>) -> Caller {
        let peer = self.tells_peers.then(|| Peer::new(address, self.tls.is_some()));
        Caller::new(peer, identity, &self.recognition)
    }

    /// Lets a connection in.
    async fn open(&self, mut stream: TcpStream, address: SocketAddr) -> io::Result<(Stream, Caller)> {
        let Some(tls) = &self.tls else {
            return Ok((Stream::Plain(stream), self.caller(address, None)));
        };
        let shaken = timeout(self.patience.first_byte, async {
            if is_plain(&stream).await? {
                stream.write_all(NOT_ENCRYPTED).await?;
                linger(stream).await;
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it speaks HTTP where TLS is spoken"));
            }
            match tls.accept_or_return(stream).await {
                Ok(stream) => Ok(stream),
                Err((error, stream)) => {
                    linger(stream).await;
                    Err(error)
                }
            }
        });
        let stream = shaken.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let identity = PeerIdentity::of(stream.get_ref().1);
        Ok((Stream::encrypted(stream), self.caller(address, identity.as_ref())))
    }
}

/// Serves `app` until it is told to stop, the last request has its answer, and the last WebSocket is closed.
pub(crate) fn serve<S, F>(
    listener: TcpListener,
    door: Door,
    protocols: Protocols,
    app: S,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<()>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future = F>,
    S: Clone + Send + 'static,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let places = Places::new(door.connections_max);
    let addresses = Addresses::new(door.connections_per_address_max, Arc::clone(&door.proxies));
    let shared = Arc::new((door, protocols));
    tokio::spawn(async move {
        let requests = GracefulShutdown::new();
        loop {
            let next = async {
                let place = places.take().await;
                (accept(&listener).await, place)
            };
            let ((stream, address), place) = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                next = next => next,
            };
            let Some(admitted) = addresses.admit(address.ip()) else {
                shared.0.tally.crowd();
                tracing::debug!(%address, "a connection was closed: its address has as many as it may have");
                continue;
            };
            let held = Held::new(place, admitted, shared.0.tally.admit());
            let (app, shared, watcher, mut stopped) =
                (app.clone(), shared.clone(), requests.watcher(), stopped.clone());
            tokio::spawn(async move {
                let (door, protocols) = &*shared;
                let opened = tokio::select! {
                    _ = stopped.wait_for(|stopped| *stopped) => return,
                    opened = door.open(stream, address) => opened,
                };
                let (stream, caller) = match opened {
                    Ok(opened) => opened,
                    Err(error) => {
                        door.tally.fail();
                        return tracing::debug!(%error, %address, "a connection was not let in");
                    }
                };
                let connection = Connection::new(stream, door.patience, held);
                let asked = door.error_domain.clone().map(Asked::new);
                let connection = Dressed::new(connection, asked.clone());
                let service = OnConnection { app: RefCell::new(app), caller, asked };
                let serving = protocols.serve_connection_with_upgrades(TokioIo::new(connection), service);
                if let Err(error) = watcher.watch(serving).await {
                    tracing::debug!(%error, %address, "a connection broke off");
                }
            });
        }
        drop(listener);
        requests.shutdown().await;
        // a WebSocket left its connection's task when it was opened
        places.all_free().await;
    })
}

/// The service of one connection, whose requests are begun one by one: none needs a clone of its own.
struct OnConnection<S> {
    app: RefCell<S>,
    caller: Caller,
    asked: Option<Asked>,
}

impl<S> hyper::service::Service<Request<Incoming>> for OnConnection<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    /// Services of ours are always ready.
    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let asked = self.asked.as_ref().filter(|_| request.version() < Version::HTTP_2);
        let under_way = asked.map(Asked::ask);
        self.caller.introduce(request.extensions_mut());
        Answering::new(self.app.borrow_mut().call(request), under_way)
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // a connection that does not take the option is only slower
                let _ = stream.set_nodelay(true);
                return (stream, address);
            }
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections just now");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether the error is the client's, who went away before it was accepted.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Whether a client begins with a word, as no handshake of TLS does.
async fn is_plain(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    Ok(first[0].is_ascii_uppercase())
}

/// Ends a connection without a reset, which would take from the client what it has not read yet: says that nothing more
/// comes, and waits until the client has closed too. It may not take longer than its handshake.
async fn linger(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let mut unread = [0; 4096];
    while matches!(stream.read(&mut unread).await, Ok(bytes) if bytes > 0) {}
}
