//! Node links: how the signals of processes get to another node and back.
//!
//! The runtime hands signals to [`Links`], its carrier. To each node that is written to there is one link, opened when it
//! is first needed: two lines, control and data, each on a connection of its own. What a link promises is the runtime's
//! contract: signals of one sender to one receiver arrive in order, each once, across cuts of up to
//! `resume_timeout`; after a longer one whoever has to do with the other node hears `noconnection`, once. What waits is
//! bounded, and so is what is on its way: credits, per lane, in bytes.
//!
//! [`peer`] decides, without I/O and without a clock; [`links`] and [`task`] move frames; [`network`] is the door to a
//! transport. What does not belong here: who is in the cluster, what a signal does.

mod config;
mod flow;
mod frame;
pub mod grpc;
mod links;
pub mod memory;
pub mod network;
mod outgoing;
mod peer;
#[cfg(test)]
mod simulation;
mod task;

pub use config::LinkConfig;
pub use frame::{Frame, LANES, PROTOCOL_MAX, PROTOCOL_MIN};
pub use links::Links;
