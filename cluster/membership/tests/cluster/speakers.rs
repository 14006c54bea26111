//! Who speaks in whose name: a node's certificate is held against what it says of itself.

use crate::plan::{Node, Plan, enter_all, until};
use arsenal_membership::{Dialer, Entered, PeerNode, Recognition};
use arsenal_proto::internal::v1::membership_service_server::MembershipService as _;
use arsenal_proto::internal::v1::raft_message::Content;
use arsenal_proto::internal::v1::raft_service_client::RaftServiceClient;
use arsenal_proto::internal::v1::raft_service_server::RaftServiceServer;
use arsenal_proto::internal::v1::{DiscoverRequest, Hello, RaftMessage, RenewRequest};
use arsenal_raft::nodes::{Candidate, NodeCommand};
use arsenal_raft::{Command, Outcome};
use arsenal_tls::PeerIdentity;
use std::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request};

/// A node whose certificate is for this address.
fn shown(address: [u8; 4]) -> PeerNode {
    let identity = PeerIdentity {
        dns: vec!["nodes.test".to_owned()],
        addresses: vec![address.into()],
        ..PeerIdentity::default()
    };
    Recognition::Named("nodes.test".into()).recognize(Some(&identity)).unwrap()
}

fn hello(node: u64) -> Hello {
    Hello { protocol_min: 1, protocol_max: 3, node, ..Hello::default() }
}

/// Where n4 serves, in a cluster whose first three nodes are on loopback.
const ELSEWHERE: [u8; 4] = [10, 0, 0, 4];

fn join_elsewhere(node: &Node, entered: &Entered) {
    let candidate =
        Candidate { identity: 4, name: "elsewhere".into(), address: "10.0.0.4:7450".into(), zone: "".into() };
    let joined = || {
        let command = Command::Node(NodeCommand::Join(candidate.clone()));
        match node.io.block_on(entered.group.propose(command)) {
            Ok(Outcome::Node(Ok((number, _)))) => Some(number),
            _ => None,
        }
    };
    assert_eq!(until("it has joined", joined), 4);
    until("this node knows", || {
        entered.group.look(|state| state.nodes().nodes().contains_key(&4)).then_some(())
    });
}

#[test]
fn a_node_asks_in_no_other_ones_name() {
    let plan = Plan::of(3);
    let (nodes, entered) = enter_all(&plan, 3);
    join_elsewhere(&nodes[0], &entered[0]);
    let desk = nodes[0].cluster.desk();
    let code = |status: Option<tonic::Status>| status.map_or(Code::Ok, |status| status.code());
    let discover = |peer: [u8; 4], node: u64| {
        let mut request = Request::new(DiscoverRequest { hello: Some(hello(node)), ..Default::default() });
        request.extensions_mut().insert(shown(peer));
        code(nodes[0].io.block_on(desk.discover(request)).err())
    };
    let renew = |peer: [u8; 4], node: u32| {
        let request = RenewRequest { hello: Some(hello(0)), node, incarnation: 1, ..Default::default() };
        let mut request = Request::new(request);
        request.extensions_mut().insert(shown(peer));
        code(nodes[0].io.block_on(desk.renew(request)).err())
    };
    let here = [127, 0, 0, 1];
    for node in 1..=3 {
        assert_eq!((discover(here, node), discover(ELSEWHERE, node)), (Code::Ok, Code::PermissionDenied));
        assert_eq!(renew(ELSEWHERE, u32::try_from(node).unwrap()), Code::PermissionDenied, "n{node}");
    }
    assert_eq!((discover(ELSEWHERE, 4), discover(here, 4)), (Code::Ok, Code::PermissionDenied));
    assert_eq!(renew(here, 4), Code::PermissionDenied);
    assert_ne!(renew(ELSEWHERE, 4), Code::PermissionDenied);
    assert_eq!(discover(here, 0), Code::Ok, "one that has no number yet");
    assert_eq!(discover([10, 0, 0, 9], 2), Code::Ok, "a certificate that names no node may be any node's");
}

#[test]
fn a_voter_answers_no_node_that_says_it_is_another() {
    let plan = Plan::of(3);
    let (nodes, entered) = enter_all(&plan, 3);
    join_elsewhere(&nodes[0], &entered[0]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let answering = nodes[0].cluster.answering();
    nodes[0].io.spawn(async move {
        let incoming = TcpListenerStream::new(tokio::net::TcpListener::from_std(listener).unwrap());
        let show = |mut request: Request<()>| {
            request.extensions_mut().insert(shown(ELSEWHERE));
            Ok(request)
        };
        let server = Server::builder().add_service(RaftServiceServer::with_interceptor(answering, show));
        server.serve_with_incoming(incoming).await.unwrap();
    });
    let said = |node: u64| {
        nodes[0].io.block_on(async {
            let channel = Dialer::default().channel(&address.to_string()).unwrap();
            let hello = RaftMessage { content: Some(Content::Hello(hello(node))) };
            // it goes on until it is dropped
            let saying = tokio_stream::StreamExt::chain(tokio_stream::once(hello), tokio_stream::pending());
            let mut answers = RaftServiceClient::new(channel).exchange(saying).await.unwrap().into_inner();
            answers.message().await.unwrap().and_then(|message| message.content)
        })
    };
    assert!(matches!(said(4), Some(Content::Hello(_))));
    for node in 1..=3 {
        let refused = said(node);
        let Some(Content::Refusal(refusal)) = &refused else { panic!("n{node}: {refused:?}") };
        assert!(refusal.reason.contains(&format!("is not that of n{node}")), "{}", refusal.reason);
    }
}
