//! The black-box suite: one binary, a file a service.

mod coverage;
mod introspection;
mod messaging;
mod oracle;
mod process;
mod registry;
mod session;
mod supervisor;
