//! The port of probes and scrapers: gRPC health and `/metrics`, never encrypted, and nothing else.
//!
//! Kubernetes' gRPC probe speaks no TLS, and a scraper need not have a node's certificate to count processes. The port
//! outlives the others in a stop: who asks then is told that the node is alive and not ready.

use crate::assembly::StartupError;
use crate::config::Config;
use crate::listener::{self, Door};
use crate::metrics::Metrics;
use crate::ports;
use axum::Router;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// The health service that serves as long as the program answers at all. The one without a name is whether to send it
/// work.
const LIVENESS: &str = "liveness";

/// Connections to this port; more wait.
const CONNECTIONS_MAX: usize = 64;

/// The port, bound and not yet served; of nothing where none is configured.
#[derive(Debug)]
pub(crate) struct Bound(Option<TcpListener>);

/// The port while it is served. It closes when this is dropped.
#[derive(Debug)]
pub(crate) struct Probes {
    address: Option<SocketAddr>,
    _stop: watch::Sender<bool>,
}

impl Bound {
    /// Binds what `listen.probes` says.
    pub(crate) async fn bind(config: &Config) -> Result<Self, StartupError> {
        match config.listen.probes.0 {
            None => Ok(Self(None)),
            Some(address) => ports::listen(address).await.map(|listener| Self(Some(listener))),
        }
    }

    /// Serves what `health` is told, and `metrics` beside it.
    pub(crate) async fn serve(
        self,
        config: &Config,
        health: HealthReporter,
        metrics: &Metrics,
    ) -> Result<Probes, StartupError> {
        health.set_service_status(LIVENESS, ServingStatus::Serving).await;
        let (stop, stopped) = watch::channel(false);
        let address = self.0.as_ref().map(ports::address_of).transpose()?;
        if let Some(listener) = self.0 {
            let health = HealthServer::new(HealthService::from_health_reporter(health));
            let port = Router::new().route_service("/grpc.health.v1.Health/{method}", health);
            let port = port.merge(metrics.router());
            let door = Door::plain(&config.listen, CONNECTIONS_MAX);
            let protocols = ports::protocols(config, config.grpc.streams_per_connection_max);
            listener::serve(listener, door, protocols, port, stopped);
        }
        Ok(Probes { address, _stop: stop })
    }
}

impl Probes {
    /// Where it is served, if it is.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }
}
