//! Who is in the cluster, how each node is reached, and how a node gets in and out.
//!
//! What the layers above see of it is [`Nodes`]: the list of nodes and a way to each. What the voters agree on is kept by
//! `cluster/raft`; here live the decisions about it, and the sockets. [`Cluster`] puts it together for one node.

mod admission;
mod answering;
mod bootstrap;
mod changes;
mod cluster;
mod crossing;
mod cuts;
mod desk;
mod dialer;
mod directory;
mod gathering;
mod hello;
mod keeping;
mod messages;
mod monitors;
mod nodes;
mod recognition;
mod seating;
mod seats;
mod session;
mod settings;
mod severed;
mod steward;
mod streams;
mod thread;
mod verdicts;
mod versions;
mod view;

pub use admission::{Admission, AdmissionError, Admitted};
pub use answering::{Answering, Voting};
pub use changes::{NodeChange, changes};
pub use cluster::{Cluster, ClusterError, Entered};
pub use crossing::{Crossing, Passing};
pub use cuts::{Cut, Cuts, HeldCut, TooManyCuts};
pub use desk::Desk;
pub use dialer::Dialer;
pub use directory::{Directory, DirectoryError, Founder, Identity, Place, VotersFile};
pub use hello::Introduction;
pub use monitors::{MonitorRefusal, NodeMonitors, NodeNews, Notice};
pub use nodes::{Alone, Membership, Node, NodeError, NodeState, Nodes, Standing};
pub use recognition::{PeerNode, Recognition};
pub use settings::Settings;
pub use streams::Streams;
