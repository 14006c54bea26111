//! `arsenal dev`, `arsenal node`, `arsenal gateway`.

use super::{CommandError, ConfigArguments};
use crate::assembly::{self, Running};
use crate::config::{Config, PREFIX};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Debug, clap::Args)]
pub(super) struct DevArguments {
    /// Port of gRPC; 0 takes a free one.
    #[arg(long, default_value_t = 7450)]
    grpc: u16,
    /// Port of REST, /docs and /metrics; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    rest: u16,
}

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
fn load(arguments: &ConfigArguments, options: &[(&str, Option<String>)]) -> Result<Config, CommandError> {
    let mut environment: BTreeMap<String, String> = std::env::vars().collect();
    for (setting, value) in options {
        environment.extend(value.clone().map(|value| (format!("{PREFIX}{setting}"), value)));
    }
    Config::load(arguments.config.as_deref(), &environment)
        .map_err(|error| CommandError::Startup(error.to_string()))
}

/// Runs `work` on the I/O thread: one current-thread runtime, since schedulers have the cores.
fn on_io_thread<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let io = tokio::runtime::Builder::new_current_thread().enable_all().build();
    io.map_err(|error| CommandError::Startup(format!("cannot start the I/O thread: {error}")))?.block_on(work)
}

/// How a URL of the REST port begins.
fn scheme(config: &Config) -> &'static str {
    if config.tls.server_files().is_some() { "https" } else { "http" }
}

fn startup(error: impl std::fmt::Display) -> CommandError {
    CommandError::Startup(error.to_string())
}

pub(super) fn dev(arguments: &DevArguments) -> Result<(), CommandError> {
    let mut config = load(&ConfigArguments { config: None }, &[])?;
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    config.listen.grpc = SocketAddr::new(loopback, arguments.grpc);
    config.listen.rest = SocketAddr::new(loopback, arguments.rest);
    config.listen.embedded_gateway = true;
    on_io_thread(async {
        let telemetry = crate::telemetry::start(&config.telemetry).map_err(startup)?;
        let told = Told::listen()?;
        let running = assembly::serve(&config, Vec::new()).await.map_err(startup)?;
        telemetry.watch(&running.node);
        welcome(&running, scheme(&config));
        let outcome = run_until_told(running, told, config.shutdown.timeout()).await;
        telemetry.stop();
        outcome
    })
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
    println!("\nStop with Ctrl-C.");
}

pub(super) fn node(arguments: &NodeArguments) -> Result<(), CommandError> {
    let config = load(&arguments.config, &[insecure(arguments.insecure)])?;
    if arguments.check {
        return check(&arguments.config, assembly::check(&config));
    }
    on_io_thread(async {
        let telemetry = crate::telemetry::start(&config.telemetry).map_err(startup)?;
        let told = Told::listen()?;
        let running = assembly::serve(&config, Vec::new()).await.map_err(startup)?;
        telemetry.watch(&running.node);
        tracing::info!(node = %running.node.name(), grpc = %running.grpc, rest = ?running.rest, "the node serves");
        let outcome = run_until_told(running, told, config.shutdown.timeout()).await;
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
        return on_io_thread(async { check(&arguments.config, crate::standalone::check(&config)) });
    }
    on_io_thread(async {
        let telemetry = crate::telemetry::start(&config.telemetry).map_err(startup)?;
        let mut told = Told::listen()?;
        let (address, task, stop) = crate::standalone::serve_gateway(&config).await.map_err(startup)?;
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
    outcome: Result<(), assembly::StartupError>,
) -> Result<(), CommandError> {
    outcome.map_err(startup)?;
    match &arguments.config {
        Some(file) => println!("{} can be used", file.display()),
        None => println!("the defaults, with what the environment changes, can be used"),
    }
    Ok(())
}

async fn run_until_told(running: Running, mut told: Told, timeout: Duration) -> Result<(), CommandError> {
    told.wait().await;
    tracing::info!(?timeout, "stopping");
    if running.stop(timeout).await {
        Ok(())
    } else {
        Err(CommandError::Failed(format!(
            "not everything ended in order by itself; what did not was cut off, so that {timeout:?} were kept"
        )))
    }
}

/// Whoever stops the program: SIGTERM or Ctrl-C. Listened to before the program says that it is up, since whoever reads
/// that may stop it at once.
struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    fn listen() -> Result<Self, CommandError> {
        let listen = |kind| signal(kind).map_err(startup);
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
