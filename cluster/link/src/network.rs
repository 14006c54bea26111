//! How frames get to another node: the trait that a transport implements, of which gRPC is one and memory another.

use crate::frame::Frame;
use futures_util::Stream;
use std::future::Future;
use std::pin::Pin;
use tokio::sync::mpsc;

/// Frames that a line may hold on their way out; what waits beyond waits in its lane, where it is made into batches.
pub const LINE_FRAMES: usize = 4;

/// Frames as they come, in order; it ends when the line breaks.
pub type Frames = Pin<Box<dyn Stream<Item = Frame> + Send>>;

/// One line: an ordered stream of frames each way. Dropping it closes it.
pub struct Connection {
    /// To the other side. It breaks when the other side is gone.
    pub sender: mpsc::Sender<Frame>,
    /// From the other side.
    pub frames: Frames,
}

/// Both lines of a link, control first.
pub type Dialing = Pin<Box<dyn Future<Output = Result<[Connection; 2], DialError>> + Send>>;

/// Ends once a node is known.
pub type Knowing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A link could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node n{node} cannot be reached: {reason}")]
pub struct DialError {
    /// The node.
    pub node: u32,
    /// What the network says.
    pub reason: String,
}

/// Opens lines to other nodes.
pub trait Network: Send + Sync + 'static {
    /// Opens the two lines of a link to a node, each on a connection of its own. It may take as long as it likes: who
    /// dials has a timeout.
    fn dial(&self, node: u32) -> Dialing;

    /// Whether there is such a node, as far as is known here. To one that there is not nothing is dialled.
    fn knows(&self, node: u32) -> bool;

    /// Waits until there is such a node, as far as is known here; it may wait for ever.
    fn until_known(&self, node: u32) -> Knowing;
}
