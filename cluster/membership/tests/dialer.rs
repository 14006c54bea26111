//! Connections between nodes: whose certificate is believed where they are encrypted, and what one stream may take of what
//! others share.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "../../../tls/tests/support/authority.rs"]
mod authority;

use arsenal_membership::Dialer;
use arsenal_proto::internal::v1::raft_message::Content;
use arsenal_proto::internal::v1::raft_service_client::RaftServiceClient;
use arsenal_proto::internal::v1::raft_service_server::{RaftService, RaftServiceServer};
use arsenal_proto::internal::v1::{RaftFrame, RaftMessage};
use arsenal_proto::v1::GetSystemInfoRequest;
use arsenal_proto::v1::introspection_service_client::IntrospectionServiceClient;
use arsenal_tls::{Client, ClientFiles, H2, Server, ServerFiles};
use authority::Authority;
use bytes::Bytes;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::Server as GrpcServer;
use tonic::{Request, Response, Status, Streaming};

/// Whether hands are shaken with a node whose certificate has `issued`, by who expects `name`.
async fn shake_hands(issued: &str, name: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("nodes");
    let ca = authority.write(&folder.path().join("ca.crt"));
    let node = authority.issue_to(folder.path(), "node", &[issued]);
    let identity = arsenal_tls::IdentityFiles { certificate: node.certificate, key: node.key };
    let server =
        Server::load(ServerFiles { identity: identity.clone(), clients: Some(ca.clone()) }, &[H2]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // hands are shaken, and then the connection is dropped: that is told apart from hands that are not
    let shaken = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        server.accept(socket).await.is_ok()
    });
    let client = Client::load(ClientFiles { servers: Some(ca), identity: Some(identity) }, &[H2]).unwrap();
    let channel = Dialer::new(Some(client)).expecting(name).channel(&address).unwrap();
    let mut node = IntrospectionServiceClient::new(channel);
    let called = node.get_system_info(GetSystemInfoRequest::default());
    // nobody answers, whether hands were shaken or not
    tokio::time::timeout(Duration::from_secs(30), called).await.unwrap().unwrap_err();
    shaken.await.unwrap()
}

#[tokio::test]
async fn a_node_is_believed_by_the_name_in_its_address_or_by_the_one_that_all_have() {
    assert!(shake_hands("127.0.0.1", "").await);
    assert!(!shake_hands("nodes.example", "").await, "its address is no name of its certificate");
    assert!(shake_hands("nodes.example", "nodes.example").await);
    assert!(!shake_hands("127.0.0.1", "nodes.example").await, "another name is expected");
}

const LIMIT: Duration = Duration::from_secs(60);
const FRAME_BYTES: usize = 64 << 10;

/// Answers every stream with frames without end.
struct Flood;

#[tonic::async_trait]
impl RaftService for Flood {
    type ExchangeStream = Pin<Box<dyn Stream<Item = Result<RaftMessage, Status>> + Send>>;

    async fn exchange(
        &self,
        _request: Request<Streaming<RaftMessage>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let frame = RaftFrame { correlation: 1, frame: Bytes::from(vec![0; FRAME_BYTES]) };
        let message = RaftMessage { content: Some(Content::Answer(frame)) };
        let frames = tokio_stream::iter(std::iter::repeat_with(move || Ok(message.clone())));
        Ok(Response::new(Box::pin(frames)))
    }
}

#[tokio::test]
async fn streams_that_nobody_reads_hold_up_no_other_one_of_their_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let flood = GrpcServer::builder().add_service(RaftServiceServer::new(Flood));
    tokio::spawn(flood.serve_with_incoming(TcpListenerStream::new(listener)));
    let mut client = RaftServiceClient::new(Dialer::default().channel(&address).unwrap());
    let mut unread = Vec::new();
    for _ in 0..32 {
        let mut stalled = client.exchange(tokio_stream::pending()).await.unwrap().into_inner();
        // it has begun
        stalled.message().await.unwrap().unwrap();
        unread.push(stalled);
    }
    let read = client.exchange(tokio_stream::pending()).await.unwrap().into_inner();
    let reading = async {
        let mut frames = read.take((32 << 20) / FRAME_BYTES);
        let mut count = 0;
        while let Some(frame) = frames.next().await {
            frame.unwrap();
            count += 1;
        }
        count
    };
    let count = tokio::time::timeout(LIMIT, reading).await.expect("the others stand in its way");
    assert_eq!(count, (32 << 20) / FRAME_BYTES);
    drop(unread);
}
