//! Voters over real sockets on loopback: they agree, and who asks is told apart what was not sent and what was lost.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use arsenal_membership::{Answering, Dialer, Introduction, Streams, Voting};
use arsenal_proto::internal::v1::raft_message::Content;
use arsenal_proto::internal::v1::raft_service_server::{RaftService, RaftServiceServer};
use arsenal_proto::internal::v1::{Hello, RaftMessage};
use arsenal_raft::disk::Directory;
use arsenal_raft::transport::{CallError, Transport as _};
use arsenal_raft::{Command, Config, Group, Voter};
use arsenal_runtime::registry::Command as Registry;
use arsenal_runtime::{Pid, Term};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

const CLUSTER: u64 = 0xA5;
/// Longer than anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn serve(listener: TcpListener, service: impl RaftService) -> JoinHandle<()> {
    let served = Server::builder()
        .add_service(RaftServiceServer::new(service))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(async move { served.await.unwrap() })
}

async fn listen(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address at which nobody listens, and what keeps it from whoever else wants one.
fn reserve() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

struct Running {
    group: Group,
    voting: watch::Sender<Option<Voting>>,
    server: JoinHandle<()>,
}

impl Running {
    async fn start(id: u64, listener: TcpListener, directory: &Path) -> Self {
        let introduction = Introduction::new(CLUSTER, id);
        let own = introduction.clone();
        let transport = Arc::new(Streams::new(Dialer::default(), move || own.clone()));
        let disk = Arc::new(Directory::open(directory).unwrap());
        let end = Arc::new(|reason: String| panic!("{reason}"));
        let mut config = Config::new(id, CLUSTER);
        // a test machine may be busy with other tests
        (config.heartbeat, config.election_timeout) =
            (Duration::from_millis(150), Duration::from_millis(600));
        config.lease = Duration::from_secs(5);
        let group = Group::start(config, disk, transport, end).await.unwrap();
        let voting = Voting { group: group.clone(), introduction };
        let voting = watch::Sender::new(Some(voting));
        let server = serve(listener, Answering::new(voting.subscribe(), Handle::current()));
        Self { group, voting, server }
    }

    async fn stop(self) {
        self.server.abort();
        self.voting.send_replace(None);
        self.group.shutdown().await;
        let _ = self.server.await;
    }

    async fn register(&self, name: &str, serial: u64) {
        let command = Command::Registry(Registry::Register {
            name: name.into(),
            pid: Pid::new(1, 1, serial),
            replace: false,
            allow_multiple: true,
            metadata: Term::Null,
            at_ms: 0,
        });
        let proposed = async {
            loop {
                // an election may be going on
                if self.group.propose(command.clone()).await.is_ok() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, proposed).await.unwrap();
    }

    async fn holder(&self, name: &str) -> Option<u64> {
        let synchronized = async {
            while self.group.synchronize().await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, synchronized).await.unwrap();
        self.group.look(|state| state.registry().names().get(name).map(|entry| entry.pid.serial))
    }
}

#[tokio::test]
async fn three_voters_on_sockets_agree_and_one_that_comes_back_catches_up() {
    let directory = tempfile::tempdir().unwrap();
    let (mut reserved, mut voters) = (Vec::new(), BTreeMap::new());
    for id in 1..=3 {
        let (socket, address) = reserve();
        reserved.push(socket);
        voters.insert(id, Voter { address: address.to_string() });
    }
    let path = |id: u64| directory.path().join(id.to_string());
    let mut running = Vec::new();
    for id in 1..=3 {
        let (listener, _) = listen(&voters[&id].address).await;
        running.push(Running::start(id, listener, &path(id)).await);
    }
    running[0].group.initialize(voters.clone()).await.unwrap();
    for (voter, serial) in running.iter().zip(1..) {
        voter.register("n", serial).await;
        assert_eq!(voter.holder("n").await, Some(1), "by voter {serial}");
    }
    running.remove(1).stop().await;
    running[0].register("while it was away", 2).await;
    let (listener, _) = listen(&voters[&2].address).await;
    let back = Running::start(2, listener, &path(2)).await;
    assert_eq!(back.holder("while it was away").await, Some(2));
    assert_eq!(back.holder("n").await, Some(1));
}

async fn call(to: u64, address: &str) -> CallError {
    let streams = Streams::new(Dialer::default(), || Introduction::new(CLUSTER, 1));
    let voter = Voter { address: address.to_owned() };
    streams.call(to, &voter, Bytes::from_static(b"frame"), LIMIT).await.unwrap_err()
}

#[tokio::test]
async fn what_was_never_sent_is_called_unreachable() {
    let (_nobody, address) = reserve();
    let error = call(2, &address.to_string()).await;
    assert!(matches!(error, CallError::Unreachable { to: 2, .. }), "{error}");
}

#[tokio::test]
async fn a_node_without_a_voter_refuses_and_says_so() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let (_voting, none) = watch::channel(None);
    serve(listener, Answering::new(none, Handle::current()));
    let error = call(2, &address.to_string()).await;
    assert!(matches!(error, CallError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("no voter yet"), "{error}");
}

/// A frame that asks n1 for a log index in the name of this node, as nodes write it.
fn read_index(from: u64) -> Bytes {
    let mut frame = vec![1, 5];
    [CLUSTER, from, 1].iter().for_each(|number| frame.extend_from_slice(&number.to_le_bytes()));
    frame.push(0);
    frame.into()
}

#[tokio::test]
async fn a_frame_in_the_name_of_another_node_than_said_hello_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (listener, address) = listen("127.0.0.1:0").await;
    let voter = Voter { address: address.to_string() };
    let answering = Running::start(1, listener, directory.path()).await;
    let streams = Streams::new(Dialer::default(), || Introduction::new(CLUSTER, 2));
    let said = async |from: u64| {
        let answer = streams.call(1, &voter, read_index(from), LIMIT).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let (own, stolen) = (said(2).await, said(3).await);
    assert!(own.contains("does not lead"), "it is looked at: {own}");
    assert!(stolen.contains("a frame of node 3 was sent by node 2"), "{stolen}");
    answering.stop().await;
}

/// Says hello as it was told to, takes one frame, and leaves.
struct Other(Hello);

#[tonic::async_trait]
impl RaftService for Other {
    type ExchangeStream = ReceiverStream<Result<RaftMessage, Status>>;

    async fn exchange(
        &self,
        request: Request<Streaming<RaftMessage>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let (answers, stream) = mpsc::channel(1);
        let hello = self.0.clone();
        tokio::spawn(async move {
            let mut incoming = request.into_inner();
            answers.send(Ok(RaftMessage { content: Some(Content::Hello(hello)) })).await.unwrap();
            while let Ok(Some(message)) = incoming.message().await {
                if matches!(message.content, Some(Content::Request(_))) {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

fn hello() -> Hello {
    Hello { protocol_min: 1, protocol_max: 1, version: "0.1.0".into(), cluster: CLUSTER, node: 2 }
}

#[tokio::test]
async fn a_frame_that_was_taken_and_not_answered_is_called_lost() {
    let (listener, address) = listen("127.0.0.1:0").await;
    serve(listener, Other(hello()));
    let error = call(2, &address.to_string()).await;
    assert!(matches!(error, CallError::Lost { to: 2, .. }), "{error}");
}

#[tokio::test]
async fn a_node_of_a_version_that_cannot_be_spoken_is_refused_with_both_versions() {
    let (listener, address) = listen("127.0.0.1:0").await;
    serve(listener, Other(Hello { protocol_min: 7, protocol_max: 9, version: "9.1.0".into(), ..hello() }));
    let error = call(2, &address.to_string()).await.to_string();
    assert!(error.contains("9.1.0") && error.contains("7 to 9") && error.contains("1 to 3"), "{error}");
}

#[tokio::test]
async fn a_frame_is_not_sent_to_another_node_that_has_the_address_now() {
    let (listener, address) = listen("127.0.0.1:0").await;
    serve(listener, Other(hello()));
    let error = call(3, &address.to_string()).await;
    assert!(matches!(error, CallError::Unreachable { to: 3, .. }), "{error}");
}
