//! Logs and spans. Logs go to standard error; spans are exported over OTLP when an endpoint is set.
//!
//! A trace is the caller's `traceparent` ([`context`]), the gateway's span of the REST request, the span of the RPC
//! (a layer of the services), and a span for each turn that the call causes ([`turns`]). The crates below know only
//! `tracing` or, in the runtime, an observer of turns: OpenTelemetry is known here alone. Without an endpoint no span is
//! made at all.

pub mod context;
mod turns;

use crate::config::TelemetrySection;
use arsenal_runtime::Node;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use turns::Turns;

/// How long a stop waits for the last spans to leave.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// Keeps exporting until it is stopped.
#[derive(Debug, Default)]
pub struct Telemetry {
    export: Option<Export>,
}

#[derive(Debug)]
struct Export {
    provider: SdkTracerProvider,
    turns: Arc<Turns>,
    /// Ends the exporter's I/O thread when dropped.
    _io: oneshot::Sender<()>,
}

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter is none.
    #[error("telemetry.log is `{filter}`: {error}")]
    Filter {
        /// The setting.
        filter: String,
        /// What is wrong.
        error: tracing_subscriber::filter::ParseError,
    },
    /// The endpoint is none.
    #[error("telemetry.otlp_endpoint is `{endpoint}`: {error}")]
    Endpoint {
        /// The setting.
        endpoint: String,
        /// What is wrong.
        error: ExporterBuildError,
    },
    /// The machine refuses a thread.
    #[error("cannot start the exporter's thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Starts logging and, if an endpoint is set, exporting, for the whole program.
///
/// # Errors
/// As [`TelemetryError`] says.
pub fn start(settings: &TelemetrySection) -> Result<Telemetry, TelemetryError> {
    let (subscriber, telemetry) = prepare(settings)?;
    // a second start in one process keeps the first subscriber
    let _ = subscriber.try_init();
    Ok(telemetry)
}

/// What is logged.
fn filter(settings: &TelemetrySection) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(&settings.log)
        .map_err(|error| TelemetryError::Filter { filter: settings.log.clone(), error })
}

/// Whether a start could use these settings, as far as they alone tell.
///
/// # Errors
/// As [`TelemetryError`] says.
pub fn check(settings: &TelemetrySection) -> Result<(), TelemetryError> {
    filter(settings).map(drop)
}

/// As [`start`], with the subscriber left to the caller: a test sets it for its own thread.
///
/// # Errors
/// As [`TelemetryError`] says.
pub fn prepare(
    settings: &TelemetrySection,
) -> Result<(impl tracing::Subscriber + Send + Sync, Telemetry), TelemetryError> {
    let filter = filter(settings)?;
    // spans are for the export alone: formatted into logs, they would cost every call
    let logs = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_filter(filter.and(filter_fn(|metadata| metadata.is_event())));
    let export = if settings.otlp_endpoint.is_empty() { None } else { Some(export(settings)?) };
    // a list, since an `Option` that is `None` wants every span to be made
    let mut layers = vec![logs.boxed()];
    if let Some(export) = &export {
        let spans = tracing_opentelemetry::layer()
            .with_tracer(export.provider.tracer("arsenal"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            // ours alone, or the exporter would trace its own calls
            .with_filter(filter_fn(|metadata| metadata.target().starts_with("arsenal")));
        layers.push(spans.boxed());
    }
    Ok((tracing_subscriber::registry().with(layers), Telemetry { export }))
}

/// The exporter works on a thread of its own: neither a busy node nor one that stops holds it up.
fn export(settings: &TelemetrySection) -> Result<Export, TelemetryError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let exporter = {
        let _in_runtime = runtime.enter();
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(&settings.otlp_endpoint).build();
        exporter
            .map_err(|error| TelemetryError::Endpoint { endpoint: settings.otlp_endpoint.clone(), error })?
    };
    let (io, stopped) = oneshot::channel::<()>();
    std::thread::Builder::new().name("arsenal-otlp".into()).spawn(move || {
        // an error is the sender's drop: the end
        let _ = runtime.block_on(stopped);
    })?;
    let resource = Resource::builder()
        .with_service_name(settings.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let ratio = Sampler::TraceIdRatioBased(settings.sample_ratio);
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(ratio)))
        .with_resource(resource)
        .build();
    let turns = Arc::new(Turns::new(provider.tracer("arsenal")));
    Ok(Export { provider, turns, _io: io })
}

impl Telemetry {
    /// Traces the turns of this node that traced calls cause.
    pub fn watch(&self, node: &Node) {
        if let Some(export) = &self.export {
            // a node is watched by the first who asks
            let _ = node.turn_observer().set(Arc::clone(&export.turns) as _);
        }
    }

    /// Exports what is pending.
    pub fn flush(&self) {
        if let Some(Err(error)) = self.export.as_ref().map(|export| export.provider.force_flush()) {
            tracing::warn!(%error, "spans could not be exported");
        }
    }

    /// Exports what is pending and ends.
    pub fn stop(self) {
        if let Some(Err(error)) = self.export.map(|export| export.provider.shutdown_with_timeout(FLUSH_MAX)) {
            tracing::warn!(%error, "the last spans could not be exported");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_endpoint_no_span_is_made_and_events_are_logged() {
        let (subscriber, _telemetry) = prepare(&crate::config::Config::default().telemetry).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            assert!(tracing::info_span!("rpc").is_disabled());
            assert!(tracing::event_enabled!(tracing::Level::WARN));
        });
    }
}
