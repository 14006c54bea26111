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
use hyper_util::client::legacy::connect::{HttpConnector, dns::Name};
use tower::{BoxError, Service, ServiceExt as _};

/// A machine that is gone, or cut off, is found by TCP itself, whatever its servers think of pings: its kernel is asked on
/// a connection that rests for so long,
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// again each such while,
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// and so often before the connection ends, and the calls on it.
const KEEPALIVE_RETRIES: u32 = 3;
/// How long bytes may stay without its word that they came.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(20);

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
        tcp.set_keepalive(Some(KEEPALIVE_IDLE));
        tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
        tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
        Self { tcp, tls, connect_max }
    }

    /// Opens one.
    pub(super) async fn open(&self, address: Uri) -> Result<Stream, BoxError> {
        let stream = self.tcp.clone().oneshot(address).await?.into_inner();
        let Some((client, name)) = &self.tls else { return Ok(Stream::Plain(stream)) };
        let shaken = tokio::time::timeout(self.connect_max, client.connect(name.clone(), stream)).await;
        Ok(Stream::encrypted(shaken.map_err(|_| "no handshake of TLS in time")??))
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
