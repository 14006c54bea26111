//! HTTP/1 and HTTP/2 for the gateway, and WebSockets over both, with bounds on what a client may leave open, and an end
//! that lets requests finish.

use crate::config::Config;
use crate::listener;
use futures_util::StreamExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Serves `app` until it is told to stop, the last request has its answer, and the last WebSocket is closed.
pub(crate) fn serve(
    config: &Config,
    listener: TcpListener,
    app: axum::Router,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let protocols = protocols(config);
    let places = listener::Places::new(&config.listen);
    let mut connections = Box::pin(listener::connections(listener, &config.listen, places.clone()));
    tokio::spawn(async move {
        let requests = GracefulShutdown::new();
        loop {
            let connection = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                connection = connections.next() => connection,
            };
            let Some(Ok(connection)) = connection else { continue };
            let service = TowerToHyperService::new(app.clone());
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

fn protocols(config: &Config) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(config.gateway.header_read_ms))
        .http2()
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_concurrent_streams(config.gateway.streams_per_connection_max)
        .keep_alive_interval(
            (config.grpc.keepalive_ms > 0).then(|| Duration::from_millis(config.grpc.keepalive_ms)),
        )
        .keep_alive_timeout(Duration::from_millis(config.grpc.keepalive_timeout_ms));
    builder
}
