//! Links that are there once their node is: until then whoever opens one is told to come again.

use arsenal_link::Links;
use arsenal_link::grpc::LinkServer;
use arsenal_membership::Nodes;
use arsenal_proto::internal::v1::LinkFrame;
use arsenal_proto::internal::v1::link_service_server::LinkService;
use std::sync::{Arc, OnceLock};
use tonic::{Request, Response, Status, Streaming};

/// Answers who opens a link, once there is a node.
#[derive(Clone, Default)]
pub(super) struct LateLinks(Arc<OnceLock<LinkServer>>);

impl LateLinks {
    /// From now on these answer.
    pub(super) fn set(&self, links: Links, nodes: Arc<dyn Nodes>) {
        // a node is started once
        let _ = self.0.set(LinkServer::new(links, nodes));
    }

    /// No signal leaves the node any more.
    pub(super) fn part(&self) {
        if let Some(server) = self.0.get() {
            server.links().part();
        }
    }
}

#[tonic::async_trait]
impl LinkService for LateLinks {
    type CarryStream = <LinkServer as LinkService>::CarryStream;

    async fn carry(
        &self,
        request: Request<Streaming<LinkFrame>>,
    ) -> Result<Response<Self::CarryStream>, Status> {
        let links = self.0.get().ok_or_else(|| Status::unavailable("this node is starting"))?;
        links.carry(request).await
    }
}
