//! The services: each handler decodes, makes one domain call and encodes. Logic lives further down.
//!
//! prost types stop here: none travels into the runtime, no domain type travels out. [`status`] alone turns domain
//! errors into codes and details; what every RPC needs (operation ids, idempotency, spans) is a tower layer in
//! [`layer`].

pub mod caller;
pub mod cluster;
pub mod dynamic;
pub mod introspection;
pub mod layer;
pub mod listing;
pub mod messaging;
pub mod operations;
pub mod own;
pub mod page;
pub mod payload;
pub mod process;
pub mod recovery;
pub mod reference;
mod reflection;
pub mod registry;
pub mod routes;
pub mod session;
pub mod shared;
pub mod status;
pub mod supervisor;
pub mod time;
mod walk;
pub mod wire;

pub use shared::Shared;
