//! What the programs of the gateway's benchmark share: the messages, the services that echo them, and the servers that
//! are loaded.

pub mod alone;
pub mod bare;
pub mod echo;
mod hop;
pub mod memory;
pub mod messages;
pub mod requests;
pub mod servers;
pub mod transcoding;
