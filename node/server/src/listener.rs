//! Connections as they come in: bounded in number, closed if they never say anything, served by HTTP/1 or HTTP/2 until
//! the listener is told to stop, the last request has its answer, and the last WebSocket is closed.
//!
//! Beyond the bound a connection waits in the kernel's backlog: it costs the node nothing, and is served when another
//! ends. What fails in accepting one connection (none left to open, a client that was gone already) ends no listener.

use crate::config::ListenSection;
use axum::body::Body;
use futures_util::future::FutureExt as _;
use futures_util::{Stream, StreamExt as _};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Sleep;
use tower::Service;

/// How long accepting rests when the machine has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// HTTP/1 and HTTP/2 with their settings.
pub(crate) type Protocols = auto::Builder<TokioExecutor>;

/// An accepted connection, which holds its place until it is dropped.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Until when the first byte must have come; nothing once it has.
    first_byte: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

/// Serves `app` until it is told to stop, the last request has its answer, and the last WebSocket is closed.
pub(crate) fn serve<S, F>(
    listener: TcpListener,
    settings: &ListenSection,
    protocols: Protocols,
    app: S,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<()>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future = F>,
    S: Clone + Send + 'static,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let places = Places::new(settings);
    let mut connections = Box::pin(connections(listener, settings, places.clone()));
    tokio::spawn(async move {
        let requests = GracefulShutdown::new();
        loop {
            let connection = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                connection = connections.next() => connection,
            };
            let Some(Ok(connection)) = connection else { continue };
            let service = OnConnection(RefCell::new(app.clone()));
            let serving =
                protocols.serve_connection_with_upgrades(TokioIo::new(connection), service).into_owned();
            let serving = requests.watch(serving);
            tokio::spawn(async move {
                if let Err(error) = serving.await {
                    tracing::debug!(%error, "a connection broke off");
                }
            });
        }
        drop(connections);
        requests.shutdown().await;
        // a WebSocket left its connection's task when it was opened
        places.all_free().await;
    })
}

/// The service of one connection, whose requests are begun one by one: none needs a clone of its own.
struct OnConnection<S>(RefCell<S>);

impl<S: Service<Request<Incoming>>> hyper::service::Service<Request<Incoming>> for OnConnection<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    /// Services of ours are always ready.
    fn call(&self, request: Request<Incoming>) -> S::Future {
        self.0.borrow_mut().call(request)
    }
}

/// The places that the connections of a listener take.
#[derive(Clone, Debug)]
struct Places {
    free: Arc<Semaphore>,
    all: u32,
}

impl Places {
    /// As many as are configured.
    fn new(settings: &ListenSection) -> Self {
        let all = u32::try_from(settings.connections_max).unwrap_or(u32::MAX);
        let all = all.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Self { free: Arc::new(Semaphore::new(all as usize)), all }
    }

    /// Waits until no connection is left.
    async fn all_free(&self) {
        let _ = self.free.acquire_many(self.all).await;
    }
}

/// The connections of a listener, endless.
fn connections(
    listener: TcpListener,
    settings: &ListenSection,
    places: Places,
) -> impl Stream<Item = io::Result<Connection>> + Send + use<> {
    let places = places.free;
    let first_byte = Duration::from_millis(settings.first_byte_ms);
    futures_util::stream::unfold((listener, places), move |(listener, places)| async move {
        let place = Arc::clone(&places).acquire_owned().await.ok()?;
        let stream = accept(&listener).await;
        let first_byte = Some(Box::pin(tokio::time::sleep(first_byte)));
        Some((Ok(Connection { stream, first_byte, _place: place }), (listener, places)))
    })
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // a connection that does not take the option is only slower
                let _ = stream.set_nodelay(true);
                return stream;
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

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(deadline) = &mut self.first_byte else { return read };
        if read.is_pending() {
            ready!(deadline.poll_unpin(context));
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "nothing came on a new connection",
            )));
        }
        self.first_byte = None;
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
