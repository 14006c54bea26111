//! The black-box suite: one binary, a file a service.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and so do the functions that its file shares"
)]

mod bad_input;
mod cluster;
mod configuration;
mod coverage;
mod gateway;
mod identity;
mod introspection;
mod layout;
mod limits;
mod membership;
mod messaging;
mod metrics;
mod oracle;
mod probes;
mod process;
mod recovery;
mod registry;
mod routing;
mod scale;
mod session;
mod shutdown;
mod supervisor;
mod telemetry;
mod tls;
