//! `arsenal node`, `arsenal gateway`, and how a program that serves is started and told to stop.

use super::{CommandError, ConfigArguments, connect, say};
use crate::assembly::{self, Running};
use crate::config::{Config, PREFIX};
use futures_util::future::{join_all, select_all};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The name of a gateway's threads.
const IO_THREAD: &str = "arsenal-io";

#[derive(Debug, clap::Args)]
pub(super) struct NodeArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Say whether the configuration can be used, and what is wrong with it if not; start nothing.
    #[arg(long)]
    check: bool,
    /// Listen beyond loopback although not everything is encrypted and every client known.
    #[arg(long)]
    insecure: bool,
    /// Directory where a node of a cluster keeps who it is; `node.data_dir`.
    #[arg(long, value_name = "PATH")]
    data_dir: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct GatewayArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Say whether the configuration can be used, and what is wrong with it if not; start nothing.
    #[arg(long)]
    check: bool,
    /// The nodes to call, `http://127.0.0.1:7450`, with commas between.
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Address to listen on, `127.0.0.1:8080`.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Listen beyond loopback although not everything is encrypted and every client known.
    #[arg(long)]
    insecure: bool,
}

/// The setting that the flag sets.
fn insecure(flag: bool) -> (&'static str, Option<String>) {
    ("LISTEN_INSECURE", flag.then(|| "true".to_owned()))
}

/// The configuration, and what the command line says beside it: as variables, which it goes before.
pub(super) fn load(
    arguments: &ConfigArguments,
    options: &[(&str, Option<String>)],
) -> Result<Config, CommandError> {
    let mut environment: BTreeMap<String, String> =
        std::env::vars().filter(|(name, _)| name != connect::NODE_VARIABLE).collect();
    for (setting, value) in options {
        environment.extend(value.clone().map(|value| (format!("{PREFIX}{setting}"), value)));
    }
    Config::load(arguments.config.as_deref(), &environment)
        .map_err(|error| CommandError::Startup(error.to_string()))
}

/// Runs `work` on the I/O thread: one current-thread runtime, since schedulers have the cores.
pub(super) fn on_io_thread<T>(
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let io = tokio::runtime::Builder::new_current_thread().enable_all().build();
    io.map_err(|error| CommandError::Startup(format!("cannot start the I/O thread: {error}")))?.block_on(work)
}

/// Runs `work` on so many threads, 0 for one a core: nothing beside it needs them.
fn on_io_threads<T>(
    threads: usize,
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name(IO_THREAD);
    if threads > 0 {
        builder.worker_threads(threads);
    }
    let io = builder.build();
    io.map_err(|error| CommandError::Startup(format!("cannot start the I/O threads: {error}")))?
        .block_on(work)
}

/// How a URL of the REST port begins.
pub(super) fn scheme(config: &Config) -> &'static str {
    if config.tls.server_files().is_some() { "https" } else { "http" }
}

pub(super) fn startup(error: impl std::fmt::Display) -> CommandError {
    CommandError::Startup(error.to_string())
}

pub(super) fn node(arguments: &NodeArguments) -> Result<(), CommandError> {
    let data_dir = ("NODE_DATA_DIR", arguments.data_dir.clone());
    let config = load(&arguments.config, &[insecure(arguments.insecure), data_dir])?;
    if arguments.check {
        return check(&arguments.config, &config, assembly::check(&config));
    }
    on_io_thread(async {
        let telemetry = crate::telemetry::start(&config.telemetry).map_err(startup)?;
        let mut told = Told::listen()?;
        let serving = assembly::serve(&config, Vec::new());
        // a node of a cluster may wait long for the others
        let Some(running) = told.or(serving).await else { return Ok(()) };
        let running = running.map_err(startup)?;
        telemetry.watch(&running.node);
        tracing::info!(node = %running.node.name(), grpc = %running.grpc, rest = running.rest.map(tracing::field::display), "the node serves");
        let outcome = run_until_told([running], told, config.shutdown.timeout()).await;
        telemetry.stop();
        outcome
    })
}

pub(super) fn gateway(arguments: &GatewayArguments) -> Result<(), CommandError> {
    let options = [
        ("GATEWAY_UPSTREAM", arguments.upstream.clone()),
        ("LISTEN_REST", arguments.listen.map(|address| address.to_string())),
        insecure(arguments.insecure),
    ];
    let config = load(&arguments.config, &options)?;
    if arguments.check {
        return on_io_thread(async { check(&arguments.config, &config, crate::standalone::check(&config)) });
    }
    on_io_threads(config.gateway.threads, async {
        let telemetry = crate::telemetry::start(&config.telemetry).map_err(startup)?;
        let mut told = Told::listen()?;
        let started = tokio::select! {
            started = crate::standalone::serve_gateway(&config) => started.map_err(startup)?,
            // it may be waiting for a node to come up
            () = told.wait() => {
                telemetry.stop();
                return Ok(());
            }
        };
        let (address, task, stop) = started;
        println!("arsenal gateway: {}://{address} for {}", scheme(&config), config.gateway.upstream);
        told.wait().await;
        let _ = stop.send(true);
        // streams that do not end by themselves are cut
        let _ = tokio::time::timeout(config.shutdown.timeout(), task).await;
        telemetry.stop();
        Ok(())
    })
}

/// Says what a start would have said of the configuration, and nothing of the machine.
fn check(
    arguments: &ConfigArguments,
    config: &Config,
    outcome: Result<(), assembly::StartupError>,
) -> Result<(), CommandError> {
    crate::telemetry::check(&config.telemetry).map_err(startup)?;
    outcome.map_err(startup)?;
    match &arguments.config {
        Some(file) => say(&format!("{} can be used", file.display())),
        None => say("the defaults, with what the environment changes, can be used"),
    }
}

pub(super) async fn run_until_told(
    running: impl IntoIterator<Item = Running>,
    mut told: Told,
    timeout: Duration,
) -> Result<(), CommandError> {
    let mut running: Vec<Running> = running.into_iter().collect();
    let mut in_order = true;
    // a node that is taken out of its cluster stops alone, and the program with the last one
    while !running.is_empty() {
        let dismissed = running.iter().map(|running| Box::pin(running.dismissed()));
        let place = tokio::select! {
            () = told.wait() => break,
            ((), place, _) = select_all(dismissed) => place,
        };
        let leaving = running.remove(place);
        tracing::info!(node = %leaving.node.name(), ?timeout, "stopping: it is taken out of its cluster");
        in_order &= leaving.stop(timeout).await;
    }
    tracing::info!(?timeout, "stopping");
    let stopping = running.into_iter().map(|running| running.stop(timeout));
    if join_all(stopping).await.into_iter().fold(in_order, |all, one| all & one) {
        Ok(())
    } else {
        Err(CommandError::Failed(format!(
            "not everything ended in order by itself; what did not was cut off, so that {timeout:?} were kept"
        )))
    }
}

/// Whoever stops the program: SIGTERM or Ctrl-C. Listened to before the program says that it is up, since whoever reads
/// that may stop it at once.
pub(super) struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    pub(super) fn listen() -> Result<Self, CommandError> {
        let listen = |kind| signal(kind).map_err(startup);
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// What `work` gives, or nothing if the program is told to stop before it is done.
    pub(super) async fn or<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            output = work => Some(output),
            () = self.wait() => None,
        }
    }

    pub(super) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
