//! The black-box suite: one binary, a file a service.

mod bad_input;
mod configuration;
mod coverage;
mod introspection;
mod limits;
mod messaging;
mod oracle;
mod process;
mod registry;
mod scale;
mod session;
mod shutdown;
mod supervisor;
mod telemetry;
