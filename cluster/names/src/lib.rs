//! Global names and process groups of a cluster: the runtime's [`Registry`](arsenal_runtime::registry::Registry) over the
//! replicated state.
//!
//! What a name or a group is, and who wins, is the runtime's pure state machine; what the commands' order is, the voters'
//! business. Here lives what is between: proposals made from threads that must not wait, releases that are tried until
//! they are done, and what has become of a command in the runtime's words.

mod registry;
mod releases;
mod replica;

pub use registry::{ReplicatedRegistry, Spawn};
pub use replica::Replica;
