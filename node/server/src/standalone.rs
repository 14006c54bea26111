//! A gateway of its own: in front of one node or many, of this contract or of whatever descriptors it is told to follow.

use crate::assembly::{self, StartupError};
use crate::config::Config;
use crate::listener::Door;
use crate::memory;
use crate::parting::{PartingLayer, PartingUpstream};
use crate::probes;
use crate::telemetry::context::TracedUpstream;
use arsenal_gateway::Live;
use arsenal_gateway::live::{DescriptorFile, Reflected, Source};
use arsenal_gateway::upstream::{Pool, PoolConfig, Remote, Upstream};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The word in `gateway.descriptors` for the upstream's own reflection.
const REFLECTION: &str = "reflection";

/// Starts a gateway of its own.
///
/// # Errors
/// As [`StartupError`] says.
pub async fn serve_gateway(
    config: &Config,
) -> Result<(SocketAddr, JoinHandle<()>, watch::Sender<bool>), StartupError> {
    config.check()?;
    let door = Door::of(config)?;
    let pool = upstreams(config)?;
    let listener = assembly::listen(config.listen.rest).await?;
    let bound = assembly::address_of(&listener)?;
    let probes = probes::Bound::bind(config).await?;
    let (stop, stopped) = watch::channel(false);
    door.follow_files(config, stopped.clone());
    until(stopped.clone(), pool.clone().watch());
    until(stopped.clone(), memory::give_back_when_idle());
    let remote = PartingUpstream::new(PartingLayer::new("gateway", stopped.clone()), pool.clone());
    let upstream: Arc<dyn Upstream> = match assembly::is_traced(config) {
        true => Arc::new(TracedUpstream::new(remote)),
        false => Arc::new(remote),
    };
    let serving = match &*config.gateway.descriptors {
        "" => {
            let gateway = assembly::gateway(config)?.service(upstream);
            assembly::serve_rest(config, (listener, door), gateway, None, stopped)
        }
        from => {
            let live = match from {
                REFLECTION => live(config, Reflected::new(pool), upstream).await?,
                file => live(config, DescriptorFile(file.into()), upstream).await?,
            };
            let service = live.service();
            let every = Duration::from_millis(config.gateway.descriptors_ms);
            until(stopped.clone(), live.follow(every));
            assembly::serve_rest(config, (listener, door), service, None, stopped)
        }
    };
    answer_probes(config, probes, stop.subscribe()).await?;
    Ok((bound, serving, stop))
}

/// Tells probes how the gateway is: not ready from the moment it is told to stop, until the program ends.
async fn answer_probes(
    config: &Config,
    probes: probes::Bound,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), StartupError> {
    let health = HealthReporter::new();
    let probes = probes.serve(config, health.clone(), None).await?;
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
    upstreams(config)?;
    assembly::gateway(config).map(drop)
}

async fn live(
    config: &Config,
    source: impl Source,
    upstream: Arc<dyn Upstream>,
) -> Result<Live, StartupError> {
    let live = Live::start(source, assembly::gateway_settings(config), upstream).await;
    live.map_err(|error| StartupError::Descriptors { from: config.gateway.descriptors.clone(), error })
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

/// The nodes that are called.
fn upstreams(config: &Config) -> Result<Pool, StartupError> {
    let mut nodes: Vec<Arc<dyn Upstream>> = Vec::new();
    for address in config.gateway.upstream.split(',').map(str::trim) {
        let wrong = || StartupError::Upstream(address.to_owned());
        let uri = address.parse().map_err(|_| wrong())?;
        nodes.push(Arc::new(Remote::new(&uri, config.gateway.connections).map_err(|_| wrong())?));
    }
    let idempotent = arsenal_services::operations::all().into_iter().filter(|operation| operation.idempotent);
    let unary = idempotent.filter(|operation| {
        !operation.method.is_server_streaming() && !operation.method.is_client_streaming()
    });
    let idempotent = unary.map(|operation| operation.path()).collect();
    Ok(Pool::new(nodes, idempotent, PoolConfig::default()))
}
