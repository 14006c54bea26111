//! Who is in the cluster, how each node is reached, and how a node gets in and out.
//!
//! What the layers above see of it is [`Nodes`]: the list of nodes and a way to each. What the voters agree on is kept by
//! `cluster/raft`; here live the decisions about it, and the sockets.

mod answering;
mod changes;
mod dialer;
mod directory;
mod hello;
mod monitors;
mod nodes;
mod streams;

pub use answering::{Answering, Voting};
pub use changes::{NodeChange, changes};
pub use dialer::Dialer;
pub use directory::{Directory, DirectoryError, Founder, Identity, Place};
pub use hello::Introduction;
pub use monitors::{MonitorRefusal, NodeMonitors, NodeNews, Notice};
pub use nodes::{Alone, Membership, Node, NodeError, NodeState, Nodes};
pub use streams::Streams;
