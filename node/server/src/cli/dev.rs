//! `arsenal dev`: one node that is alone, or several that are one cluster of real voters, in one process on loopback.

use super::serve::{Told, load, on_io_thread, run_until_told, scheme, startup};
use super::{CommandError, ConfigArguments};
use crate::assembly::{self, Bound, Running, StartupError};
use crate::config::Config;
use futures_util::future::try_join_all;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

#[derive(Debug, clap::Args)]
pub(super) struct DevArguments {
    /// Port of gRPC, 7450 by default; 0 takes a free one. Each further node has the next.
    #[arg(long)]
    grpc: Option<u16>,
    /// Port of REST, /docs and /metrics, 8080 by default; 0 takes a free one. Each further node has the next.
    #[arg(long)]
    rest: Option<u16>,
    /// Nodes, at most 9. More than one are a cluster, and all of them vote.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// Directory in which the nodes of a cluster keep theirs; without it they forget everything when they stop.
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,
}

pub(super) fn dev(arguments: &DevArguments) -> Result<(), CommandError> {
    let config = load(&ConfigArguments { config: None }, &[])?;
    let configs: Vec<Config> = (0..arguments.nodes).map(|index| of_node(&config, arguments, index)).collect();
    on_io_thread(async {
        let telemetry = crate::telemetry::start(&config.telemetry).map_err(startup)?;
        let mut told = Told::listen()?;
        // gone with the nodes; one that is alone has nothing to keep
        let forgets = arguments.nodes > 1 && arguments.data_dir.is_none();
        let folder = || tempfile::Builder::new().prefix("arsenal-dev-").tempdir().map_err(startup);
        let folder = if forgets { Some(folder()?) } else { None };
        let data_dir = arguments.data_dir.as_deref().or(folder.as_ref().map(TempDir::path));
        let Some(running) = told.or(start(configs, data_dir.unwrap_or(Path::new("")))).await else {
            return Ok(());
        };
        let running = running.map_err(startup)?;
        running.iter().for_each(|running| telemetry.watch(&running.node));
        match &running[..] {
            [running] => welcome(running, scheme(&config)),
            running => welcome_cluster(running, scheme(&config)),
        }
        println!("\nStop with Ctrl-C.");
        let outcome = run_until_told(running, told, config.shutdown.timeout()).await;
        telemetry.stop();
        outcome
    })
}

/// The settings of one of the nodes.
fn of_node(config: &Config, arguments: &DevArguments, index: u16) -> Config {
    let mut config = config.clone();
    let place = |address: &mut SocketAddr, asked: Option<u16>| {
        let first = asked.unwrap_or(address.port());
        address.set_port(if first == 0 { 0 } else { first.saturating_add(index) });
    };
    place(&mut config.listen.grpc, arguments.grpc);
    place(&mut config.listen.rest, arguments.rest);
    config.listen.embedded_gateway = true;
    config.chaos.allowed = true;
    config
}

/// Starts the nodes, which find each other by the addresses that they got.
async fn start(mut configs: Vec<Config>, data_dir: &Path) -> Result<Vec<Running>, StartupError> {
    if let [config] = &configs[..] {
        return Ok(vec![assembly::serve(config, Vec::new()).await?]);
    }
    let bound = try_join_all(configs.iter().map(Bound::bind)).await?;
    let seeds: Vec<String> = bound.iter().map(|bound| bound.grpc().to_string()).collect();
    for (config, number) in configs.iter_mut().zip(1..) {
        config.node.data_dir = data_dir.join(format!("dev-{number}")).to_string_lossy().into_owned();
        config.cluster.name = format!("dev-{number}");
        config.cluster.bootstrap_expect = seeds.len();
        config.cluster.seeds.clone_from(&seeds);
    }
    let serving = bound.into_iter().zip(&configs);
    let serving = serving.map(|(bound, config)| {
        assembly::serve_on(bound, config, Vec::new(), Arc::new(assembly::end_process))
    });
    try_join_all(serving).await
}

fn welcome(running: &Running, scheme: &str) {
    let (grpc, rest) = (running.grpc, running.rest);
    println!("arsenal {} is up as {}", env!("CARGO_PKG_VERSION"), running.node.name());
    println!("  gRPC  {grpc} (reflection and health included)");
    if let Some(rest) = rest {
        println!("  REST  {scheme}://{rest}   pages: /docs /openapi.json /metrics");
        println!("\nTry this:\n");
        println!(
            "  curl -s {scheme}://{rest}/v1/processes -H 'content-type: application/json' -d '{{\"module\": \"counter\", \
             \"name\": \"c\"}}'"
        );
        println!(
            "  curl -s {scheme}://{rest}/v1/processes/c:call -H 'content-type: application/json' -d '{{\"message\": \
             [\"add\", 41]}}'"
        );
    }
}

fn welcome_cluster(running: &[Running], scheme: &str) {
    let leader = running.iter().find_map(Running::leader).map(|leader| format!(", n{leader} leads"));
    println!(
        "arsenal {} is up as a cluster of {} voters{}",
        env!("CARGO_PKG_VERSION"),
        running.len(),
        leader.unwrap_or_default()
    );
    let rest = |running: &Running| running.rest.map(|rest| format!("{scheme}://{rest}")).unwrap_or_default();
    for running in running {
        println!("  {}  gRPC {}  REST {}", running.node.name(), running.grpc, rest(running));
    }
    if let [first, .., last] = running {
        println!(
            "\nTry this: a name that is registered on {} is found from {}\n",
            first.node.name(),
            last.node.name()
        );
        let json = "-H 'content-type: application/json'";
        println!(
            "  curl -s {}/v1/processes {json} -d '{{\"module\": \"counter\", \"name\": \"c\"}}'",
            rest(first)
        );
        println!(
            "  curl -s -X PUT {}/v1/registry/global/cart {json} -d '{{\"process\": \"c\"}}'",
            rest(first)
        );
        println!("  curl -s {}/v1/registry/global/cart", rest(last));
    }
}
