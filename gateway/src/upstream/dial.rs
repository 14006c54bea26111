//! How a node's connections are opened: to the address that was found for it, or to whichever its name has, and
//! encrypted where its URL says so.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use arsenal_tls::{Client, ServerName, Stream};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection, HttpConnector, dns::Name},
    rt::TokioIo,
};
use tower::{BoxError, Service};

/// Opens connections.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    tcp: HttpConnector<Found>,
    tls: Option<(Client, ServerName<'static>)>,
    /// How long a connection may take to be there, and how long to shake hands then.
    connect_max: Duration,
}

impl Dial {
    pub(super) fn new(
        at: Option<IpAddr>,
        tls: Option<(Client, ServerName<'static>)>,
        connect_max: Duration,
    ) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Found(at));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_max));
        Self { tcp, tls, connect_max }
    }
}

impl Service<Uri> for Dial {
    type Response = Opened;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Opened, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let (opening, tls, connect_max) = (self.tcp.call(address), self.tls.clone(), self.connect_max);
        Box::pin(async move {
            let stream = opening.await?.into_inner();
            let stream = match tls {
                None => Stream::Plain(stream),
                Some((client, name)) => {
                    let shaken = tokio::time::timeout(connect_max, client.connect(name, stream)).await;
                    Stream::encrypted(shaken.map_err(|_| "no handshake of TLS in time")??)
                }
            };
            Ok(Opened(TokioIo::new(stream)))
        })
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Opened(TokioIo<Stream>);

impl Connection for Opened {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for Opened {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }
}

/// The one address that was found already, if it was.
#[derive(Clone, Copy, Debug)]
struct Found(Option<IpAddr>);

impl Service<Name> for Found {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let found = self.0;
        Box::pin(async move {
            // whoever asks puts the port in
            let addresses = match found {
                Some(address) => vec![SocketAddr::new(address, 0)],
                None => tokio::net::lookup_host((name.as_str(), 0)).await?.collect(),
            };
            Ok(addresses.into_iter())
        })
    }
}
