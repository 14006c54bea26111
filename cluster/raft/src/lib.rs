//! The replicated state of a cluster: one group of voters that agrees, by Raft, on a sequence of commands, and nodes beside
//! them whose views of the state they feed.

mod codec;
mod command;
mod config;
mod core;
pub mod disk;
mod election;
mod errors;
mod feed;
mod following;
mod gate;
mod group;
mod keeper;
mod log;
mod machine;
mod network;
pub mod nodes;
mod proposer;
mod reader;
mod receiver;
mod runtime;
mod seat;
pub mod simulation;
mod snapshot;
mod state;
pub mod transport;
mod types;
mod versions;
mod view;
mod watchdog;

pub use codec::{DecodeError, TERM_DEPTH_MAX};
pub use command::{Command, NodeOutcome, Outcome};
pub use config::Config;
pub use errors::{MembershipError, ProposeError, ReadError, StartError};
pub use group::{Group, Status};
pub use log::JournalError;
pub use runtime::sleep;
pub use seat::OpenDisk;
pub use snapshot::SnapshotError;
pub use state::State;
pub use types::{NodeId, Voter};
pub use versions::{PROTOCOL_FIRST, PROTOCOL_NEWEST, PROTOCOL_OF_AGREEMENT};
pub use view::{Committed, Observer, Picture};
pub use watchdog::End;
