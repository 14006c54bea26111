//! Connections between nodes that are encrypted: whose certificate is believed.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "../../../tls/tests/support/authority.rs"]
mod authority;

use arsenal_membership::Dialer;
use arsenal_proto::v1::GetSystemInfoRequest;
use arsenal_proto::v1::introspection_service_client::IntrospectionServiceClient;
use arsenal_tls::{Client, ClientFiles, H2, Server, ServerFiles};
use authority::Authority;
use std::time::Duration;
use tokio::net::TcpListener;

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
