//! A gateway of its own: in front of one node or many, of this contract or of whatever descriptors it is told to follow.

use crate::assembly::{self, StartupError};
use crate::config::{Config, GatewaySection};
use crate::gateway;
use crate::listener::{Door, Tally};
use crate::memory;
use crate::metrics::{self, Metrics};
use crate::parting::{PartingLayer, PartingUpstream, Streams};
use crate::ports;
use crate::probes;
use crate::telemetry::context::TracedUpstream;
use arsenal_gateway::live::{self, DescriptorFile, LiveError, Reflected};
use arsenal_gateway::upstream::{
    Address, Discovery, Pool, PoolConfig, RemoteConfig, SystemResolver, Upstream,
};
use arsenal_gateway::{Gateway, Live};
use arsenal_tls::{Client, H2};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The word in `gateway.descriptors` for the upstream's own reflection.
const REFLECTION: &str = "reflection";

/// How long a gateway waits at its start for a node that tells its descriptors: those that start with it may be slower.
const REFLECTION_WAIT: Duration = Duration::from_secs(60);

/// Starts a gateway of its own.
///
/// # Errors
/// As [`StartupError`] says.
pub async fn serve_gateway(
    config: &Config,
) -> Result<(SocketAddr, JoinHandle<()>, watch::Sender<bool>), StartupError> {
    config.check()?;
    let door = Door::of(config)?;
    let upstreams = Upstreams::new(config)?;
    let listener = ports::listen(config.listen.rest).await?;
    let bound = ports::address_of(&listener)?;
    let probes = probes::Bound::bind(config).await?;
    let (stop, stopped) = watch::channel(false);
    door.follow_files(config, stopped.clone());
    let pool = upstreams.follow(config, &stopped).await;
    until(stopped.clone(), memory::give_back_when_idle());
    let streams = Streams::known();
    let parting = PartingLayer::new("gateway", stopped.clone());
    let remote = PartingUpstream::new(parting, streams.clone(), pool.clone());
    let upstream: Arc<dyn Upstream> = match assembly::is_traced(config) {
        true => Arc::new(TracedUpstream::new(remote)),
        false => Arc::new(remote),
    };
    let settings = gateway::settings(config);
    let port = Arc::<Tally>::default();
    let door = door.counted_by(Arc::clone(&port));
    let (of_gateway, of_pool, ports) = (settings.metrics.clone(), pool.clone(), [("rest", port)]);
    let metrics = Metrics::default()
        .with(move |text| of_gateway.write(text))
        .with(move |text| of_pool.write_metrics(text))
        .with(move |text| metrics::of_connections(&ports, text));
    let serving = match &*config.gateway.descriptors {
        "" => {
            let gateway = gateway::of(settings)?;
            pool.set_idempotent(idempotent(&gateway));
            ports::serve_rest(config, (listener, door), gateway.service(upstream), &metrics, stopped)
        }
        from => {
            let of_pool = pool.clone();
            let told = move |gateway: &Gateway| {
                of_pool.set_idempotent(idempotent(gateway));
                streams.follow(gateway);
            };
            let live = match from {
                REFLECTION => {
                    let source = Reflected::new(pool.clone());
                    Live::start_patiently(source, settings, upstream, told, REFLECTION_WAIT).await
                }
                file => Live::start(DescriptorFile(file.into()), settings, upstream, told).await,
            };
            let from = from.to_owned();
            let live =
                live.map_err(|error| StartupError::Descriptors { from, error, nodes: pool.failures() })?;
            let service = live.service();
            let every = Duration::from_millis(config.gateway.descriptors_ms);
            until(stopped.clone(), live.follow(every));
            ports::serve_rest(config, (listener, door), service, &metrics, stopped)
        }
    };
    answer_probes(config, probes, &metrics, stop.subscribe()).await?;
    Ok((bound, serving, stop))
}

/// Tells probes how the gateway is: not ready from the moment it is told to stop, until the program ends.
async fn answer_probes(
    config: &Config,
    probes: probes::Bound,
    metrics: &Metrics,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), StartupError> {
    let health = HealthReporter::new();
    let probes = probes.serve(config, health.clone(), metrics).await?;
    if probes.address().is_some() {
        tokio::spawn(async move {
            // the sender's drop is a stop too
            let _ = stopped.wait_for(|stopped| *stopped).await;
            health.set_service_status("", ServingStatus::NotServing).await;
            std::future::pending::<()>().await;
            drop(probes);
        });
    }
    Ok(())
}

/// Whether `config` is one that a gateway of its own can be started with, as far as that can be told without the nodes.
///
/// # Errors
/// As [`StartupError`] says.
pub fn check(config: &Config) -> Result<(), StartupError> {
    config.check()?;
    Door::of(config)?;
    Upstreams::new(config)?;
    let from = &*config.gateway.descriptors;
    if from.is_empty() || from == REFLECTION {
        return gateway::built(config).map(drop);
    }
    let unusable = |error| StartupError::Descriptors { from: from.to_owned(), error, nodes: Vec::new() };
    let descriptors = std::fs::read(from).map_err(|error| unusable(LiveError::Fetch(error.into())))?;
    live::build(descriptors.into(), &gateway::settings(config)).map(drop).map_err(unusable)
}

/// Runs `work` beside the listener until that stops.
fn until(mut stopped: watch::Receiver<bool>, work: impl Future + Send + 'static) {
    tokio::spawn(async move {
        tokio::select! {
            _ = work => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    });
}

/// What Arsenal's nodes bear: one that is frozen is found soon.
const PING_OURS: Duration = Duration::from_secs(1);

fn ping_interval(settings: &GatewaySection) -> Duration {
    match settings.ping_ms {
        0 if settings.descriptors.is_empty() => PING_OURS,
        0 => RemoteConfig::default().ping_interval,
        set => Duration::from_millis(set),
    }
}

/// The nodes that are called, as they will be found, and what they are called through.
struct Upstreams {
    pool: Pool,
    discovery: Discovery,
    tls: Option<Client>,
}

impl Upstreams {
    /// As is configured. Nobody is looked up yet.
    fn new(config: &Config) -> Result<Self, StartupError> {
        let settings = &config.gateway;
        let encrypted = settings.upstream.contains("https://");
        let tls = encrypted.then(|| Client::load(settings.upstream_files(), &[H2])).transpose()?;
        let name = Some(settings.upstream_server_name.clone()).filter(|name| !name.is_empty());
        let milliseconds = Duration::from_millis;
        let how = RemoteConfig {
            connections: settings.connections,
            connections_max: settings.connections.saturating_mul(4),
            tls: tls.clone(),
            server_name: name,
            connect_max: milliseconds(settings.connect_ms),
            ping_interval: ping_interval(settings),
            ping_max: milliseconds(settings.ping_timeout_ms),
        };
        let address = |text: &str| match text.parse() {
            Ok(url) => Address::new(&url, &how).map_err(StartupError::Upstream),
            Err(_) => Err(StartupError::UpstreamUrl(text.to_owned())),
        };
        let addresses: Result<Vec<_>, _> = settings.upstream.split(',').map(str::trim).map(address).collect();
        let discovery = Discovery::new(addresses?, SystemResolver);
        let pool = PoolConfig {
            health_interval: milliseconds(settings.health_ms),
            health_timeout: milliseconds(settings.health_timeout_ms),
            ..PoolConfig::default()
        };
        Ok(Self { pool: Pool::new(Vec::new(), HashSet::new(), pool), discovery, tls })
    }

    /// Finds the nodes, and has that and whatever else changes followed until the gateway stops.
    async fn follow(mut self, config: &Config, stopped: &watch::Receiver<bool>) -> Pool {
        let pool = self.pool;
        // bounded by itself
        self.discovery.look(&pool).await;
        let every = Duration::from_millis(config.gateway.resolve_ms);
        until(stopped.clone(), self.discovery.follow(pool.clone(), every));
        until(stopped.clone(), pool.clone().watch());
        if let Some(tls) = self.tls {
            until(stopped.clone(), tls.follow(Duration::from_millis(config.tls.reload_ms)));
        }
        pool
    }
}

/// The calls that may be made again: by what the descriptors say as any service's do, or by our contract's own option.
fn idempotent(gateway: &Gateway) -> HashSet<String> {
    let operations = arsenal_services::operations::all().into_iter();
    let ours: HashSet<String> =
        operations.filter(|operation| operation.idempotent).map(|operation| operation.path()).collect();
    gateway.idempotent(|method| {
        ours.contains(&format!("/{}/{}", method.parent_service().full_name(), method.name()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_arsenals_own_nodes_are_pinged_each_second_unless_it_is_said() {
        let interval = |descriptors: &str, ping_ms| {
            let descriptors = descriptors.to_owned();
            ping_interval(&GatewaySection { descriptors, ping_ms, ..GatewaySection::default() })
        };
        assert_eq!(interval("", GatewaySection::default().ping_ms), Duration::from_secs(1));
        for foreign in [REFLECTION, "/etc/shop.bin"] {
            // what gRPC's servers bear by default, github.com/grpc/grpc/blob/master/doc/keepalive.md
            assert!(interval(foreign, GatewaySection::default().ping_ms) >= Duration::from_secs(300));
            assert_eq!(interval(foreign, 1_500), Duration::from_millis(1_500));
        }
    }
}
