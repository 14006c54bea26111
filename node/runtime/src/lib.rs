//! Erlang-style processes in Rust: everything is a signal.
//!
//! A [`Node`](node::Node) hosts processes, each a [`Body`](body::Body) with a mailbox, run by schedulers of one thread a
//! core. Whatever is done to a process (message, exit, link, monitor, hold, surgery) is applied to its signal state in
//! arrival order between two of its turns, so that an answer is never torn.
//!
//! The runtime knows neither gRPC nor a cluster: names and groups live behind [`registry::Registry`], any operation
//! behind [`dispatch::Dispatch`]. With [`Node::deterministic`](node::Node::deterministic) it runs single-threaded under
//! virtual time.

pub mod alias;
mod blocking;
pub mod body;
pub mod clock;
pub mod codec;
pub mod compact;
pub mod context;
pub mod control;
mod core;
mod crash;
mod crowd;
pub mod dead_letters;
mod death;
pub mod dispatch;
pub mod events;
mod extras;
pub mod family;
pub mod glimpse;
mod handshake;
pub mod hold;
mod inbound;
pub mod info;
mod keys;
pub mod limits;
mod lineage;
mod lock;
pub mod log;
mod mailbox_bytes;
pub mod message;
pub mod module;
pub mod names;
mod names_api;
pub mod node;
mod outbox;
pub mod passage;
pub mod pid;
pub mod priority;
pub mod process;
mod queue;
mod recent;
pub mod registry;
pub mod remote;
pub mod request;
mod scheduler;
mod schedulers;
mod shards;
mod slice;
mod small_map;
mod spawn;
pub mod start;
pub mod stop;
pub mod surgery;
mod system;
mod table;
pub mod term;
pub mod timer;
pub mod traffic;
mod turn;
pub mod turn_observer;
pub mod wakes;
mod watch;

pub use body::{Body, Event, Filter, Receive, Step};
pub use context::Context;
pub use log::LogLevel;
pub use message::{Kind, Message, ReplyTo};
pub use module::{Behaviour, Description, Hooks, Module, ProcessKind};
pub use node::{Node, NodeConfig};
pub use pid::{OwnedId, Pid, Ref};
pub use priority::Priority;
pub use process::ProcessRef;
pub use start::{ProcessName, StartError, StartOptions, Started};
pub use term::{Reason, Term};
