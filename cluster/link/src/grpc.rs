//! Lines over gRPC: each is a stream of the internal service, on a connection of its own.

use crate::frame::Frame;
use crate::links::Links;
use crate::network::{Connection, DialError, Dialing, Frames, Knowing, LINE_FRAMES, Network};
use arsenal_membership::{Nodes, PeerNode};
use arsenal_proto::internal::v1::LinkFrame;
use arsenal_proto::internal::v1::link_service_client::LinkServiceClient;
use arsenal_proto::internal::v1::link_service_server::LinkService;
use futures_util::{Stream, StreamExt as _, stream};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

/// Bytes of a frame at most: a batch closes, and a fragment ends, long before.
const FRAME_BYTES_MAX: usize = 16 << 20;

/// Opens lines to the nodes of the cluster.
pub struct GrpcNetwork(Arc<dyn Nodes>);

impl GrpcNetwork {
    /// To the nodes that these know.
    pub fn new(nodes: Arc<dyn Nodes>) -> Self {
        Self(nodes)
    }
}

impl Network for GrpcNetwork {
    fn knows(&self, node: u32) -> bool {
        self.0.membership().nodes.contains_key(&node)
    }

    fn until_known(&self, node: u32) -> Knowing {
        let (known, mut membership) = (self.knows(node), self.0.watch());
        Box::pin(async move {
            let known = known || membership.wait_for(|seen| seen.nodes.contains_key(&node)).await.is_ok();
            if !known {
                // nobody tells of nodes any more
                std::future::pending::<()>().await;
            }
        })
    }

    fn dial(&self, node: u32) -> Dialing {
        let channels = [self.0.dial(node), self.0.dial(node)];
        Box::pin(async move {
            let failed = |reason: String| DialError { node, reason };
            let [control, data] = channels;
            let control = open(control.map_err(|error| failed(error.to_string()))?).await;
            let data = open(data.map_err(|error| failed(error.to_string()))?).await;
            let told = |status: Status| failed(status.to_string());
            Ok([control.map_err(told)?, data.map_err(told)?])
        })
    }
}

async fn open(channel: Channel) -> Result<Connection, Status> {
    let mut client = LinkServiceClient::new(channel)
        .max_decoding_message_size(FRAME_BYTES_MAX)
        .max_encoding_message_size(FRAME_BYTES_MAX);
    let (sender, queue) = mpsc::channel(LINE_FRAMES);
    let answers = client.carry(messages(queue)).await?;
    Ok(Connection { sender, frames: frames(answers.into_inner()) })
}

fn messages(queue: mpsc::Receiver<Frame>) -> impl Stream<Item = LinkFrame> + Send + 'static {
    stream::unfold(queue, |mut queue| async move {
        let Frame { head, body } = queue.recv().await?;
        Some((LinkFrame { head, body }, queue))
    })
}

/// Ends with the stream, however that ends: a link does not ask why.
fn frames(stream: Streaming<LinkFrame>) -> Frames {
    Box::pin(stream::unfold(stream, |mut stream| async move {
        let LinkFrame { head, body } = stream.next().await?.ok()?;
        Some((Frame { head, body }, stream))
    }))
}

/// Takes the lines that other nodes open.
#[derive(Clone)]
pub struct LinkServer {
    links: Links,
    nodes: Arc<dyn Nodes>,
}

impl LinkServer {
    /// For these links, to the nodes that these know.
    pub fn new(links: Links, nodes: Arc<dyn Nodes>) -> Self {
        Self { links, nodes }
    }

    /// The links that it takes lines for.
    pub fn links(&self) -> &Links {
        &self.links
    }
}

#[tonic::async_trait]
impl LinkService for LinkServer {
    type CarryStream = Pin<Box<dyn Stream<Item = Result<LinkFrame, Status>> + Send>>;

    async fn carry(
        &self,
        request: Request<Streaming<LinkFrame>>,
    ) -> Result<Response<Self::CarryStream>, Status> {
        let (sender, queue) = mpsc::channel(LINE_FRAMES);
        let peer = PeerNode::of(request.extensions()).cloned();
        let nodes = Arc::clone(&self.nodes);
        // who had to show that it is a node and did not was refused before
        let may_be =
            move |node| peer.as_ref().is_none_or(|peer| peer.may_be(node, nodes.membership().addresses()));
        let connection = Connection { sender, frames: frames(request.into_inner()) };
        self.links.accept_of(connection, may_be);
        Ok(Response::new(Box::pin(messages(queue).map(Ok))))
    }
}
