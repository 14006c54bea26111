//! Nodes on loopback that get into a cluster, stay in it, and get out: real sockets, real directories.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use arsenal_membership::{
    Cluster, ClusterError, Dialer, Entered, Membership, NodeState, PeerNode, Recognition, Settings,
};
use arsenal_proto::internal::v1::membership_service_client::MembershipServiceClient;
use arsenal_proto::internal::v1::membership_service_server::{
    MembershipService as _, MembershipServiceServer,
};
use arsenal_proto::internal::v1::raft_message::Content;
use arsenal_proto::internal::v1::raft_service_client::RaftServiceClient;
use arsenal_proto::internal::v1::raft_service_server::RaftServiceServer;
use arsenal_proto::internal::v1::{DiscoverRequest, Hello, RaftMessage, RenewRequest};
use arsenal_raft::nodes::{Candidate, NodeCommand};
use arsenal_raft::{Command, Outcome};
use arsenal_runtime::registry::Command as Registry;
use arsenal_runtime::{Pid, Term};
use arsenal_tls::PeerIdentity;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request};

const LIMIT: Duration = Duration::from_secs(60);

/// Addresses and directories of nodes to be.
struct Plan {
    folder: TempDir,
    addresses: Vec<SocketAddr>,
    /// Kept until their node listens, so that nobody else gets the address.
    reserved: Vec<Option<TcpListener>>,
}

impl Plan {
    fn of(count: usize) -> Self {
        let listeners: Vec<TcpListener> =
            (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let reserved = listeners.into_iter().map(Some).collect();
        Self { folder: tempfile::tempdir().unwrap(), addresses, reserved }
    }

    fn directory(&self, index: usize) -> PathBuf {
        self.folder.path().join(index.to_string())
    }

    /// Starts the node at this place, named so that the last is the first by name.
    fn start(&mut self, index: usize, expect: usize) -> Node {
        let listener = self.reserved[index].take();
        let listener = listener.unwrap_or_else(|| TcpListener::bind(self.addresses[index]).unwrap());
        let name = format!("node-{}", 9 - index);
        Node::start(
            listener,
            &self.directory(index),
            &name,
            expect,
            &self.addresses[..3.min(self.addresses.len())],
        )
    }
}

/// A node with threads of its own, which die with it.
struct Node {
    io: Runtime,
    cluster: Arc<Cluster>,
}

impl Node {
    fn start(
        listener: TcpListener,
        directory: &Path,
        name: &str,
        expect: usize,
        seeds: &[SocketAddr],
    ) -> Self {
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let settings = Settings {
            data_dir: directory.to_owned(),
            name: name.to_owned(),
            address: listener.local_addr().unwrap().to_string(),
            zone: String::new(),
            bootstrap_expect: expect,
            seeds: seeds.iter().map(SocketAddr::to_string).collect(),
            voters: 0,
            replace_after: Duration::from_secs(2),
            lease: Duration::from_secs(2),
            renew_every: Duration::from_millis(200),
            // a test machine may be busy with other tests
            heartbeat: Duration::from_millis(150),
            election_timeout: Duration::from_millis(600),
            disk_limit: Duration::from_secs(30),
        };
        let end = Arc::new(|reason: String| eprintln!("a node would end: {reason}"));
        let opened = || Cluster::open(settings.clone(), Dialer::default(), end.clone());
        // a node that was killed a moment ago may not have let go of its directory yet
        let cluster = until("the directory is free", || match opened() {
            Err(ClusterError::Directory(_)) => None,
            opened => Some(Arc::new(opened.unwrap())),
        });
        listener.set_nonblocking(true).unwrap();
        let (desk, answering) = (cluster.desk(), cluster.answering());
        io.spawn(async move {
            let incoming = TcpListenerStream::new(tokio::net::TcpListener::from_std(listener).unwrap());
            let server = Server::builder()
                .add_service(MembershipServiceServer::new(desk))
                .add_service(RaftServiceServer::new(answering));
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self { io, cluster }
    }

    /// How many nodes the one at this address has heard of.
    fn known(&self, address: SocketAddr) -> usize {
        let hello = Hello { protocol_min: 1, protocol_max: 1, ..Hello::default() };
        let request = DiscoverRequest { hello: Some(hello), ..DiscoverRequest::default() };
        self.io.block_on(async {
            let channel = Dialer::default().channel(&address.to_string()).unwrap();
            let answer = MembershipServiceClient::new(channel).discover(request).await;
            answer.map_or(0, |answer| answer.into_inner().known.len())
        })
    }

    fn enter(&self) -> Entered {
        self.io.block_on(async {
            let entered = tokio::time::timeout(LIMIT, self.cluster.enter()).await.unwrap().unwrap();
            assert!(entered.opened(LIMIT).await, "its session is open");
            entered
        })
    }

    /// As kill -9 does.
    fn kill(self) {
        drop(self.cluster);
        self.io.shutdown_timeout(LIMIT);
    }

    fn stop(self) {
        self.io.block_on(async {
            self.cluster.leave().await;
            self.cluster.stop().await;
        });
        self.kill();
    }
}

/// Waits for something to be there.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < LIMIT, "it never was so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn membership(entered: &Entered, what: &str, holds: impl Fn(&Membership) -> bool) -> Arc<Membership> {
    until(what, || Some(entered.nodes.membership()).filter(|membership| holds(membership)))
}

fn register(node: &Node, entered: &Entered, name: &str) -> Result<u64, String> {
    let pid = Pid::new(entered.node, entered.incarnation, 1);
    let command = Command::Registry(Registry::Register {
        name: name.into(),
        pid,
        replace: false,
        allow_multiple: true,
        metadata: Term::Null,
        at_ms: 0,
    });
    match node.io.block_on(entered.group.propose(command)) {
        Ok(Outcome::Registry(outcome)) => {
            outcome.map(|applied| applied.index).map_err(|error| error.to_string())
        }
        other => Err(format!("{other:?}")),
    }
}

fn holds(entered: &Entered, name: &str) -> bool {
    entered.group.look(|state| state.registry().names().contains_key(name))
}

fn up(membership: &Membership) -> Vec<u32> {
    let up = membership.nodes.values().filter(|node| node.state == NodeState::Up);
    up.map(|node| node.id).collect()
}

/// Starts and enters all at once.
fn enter_all(plan: &mut Plan, count: usize) -> (Vec<Node>, Vec<Entered>) {
    let nodes: Vec<Node> = (0..count).map(|index| plan.start(index, 3)).collect();
    let entered = std::thread::scope(|scope| {
        let entering: Vec<_> = nodes.iter().map(|node| scope.spawn(|| node.enter())).collect();
        entering.into_iter().map(|entering| entering.join().unwrap()).collect()
    });
    (nodes, entered)
}

#[test]
fn three_nodes_that_start_at_once_are_one_cluster_numbered_by_name_and_stay_so_after_a_restart() {
    let mut plan = Plan::of(3);
    let (nodes, entered) = enter_all(&mut plan, 3);
    let numbers = |entered: &[Entered]| entered.iter().map(|entered| entered.node).collect::<Vec<_>>();
    assert_eq!(numbers(&entered), [3, 2, 1]);
    for entered in &entered {
        let membership = membership(entered, "all are up", |membership| up(membership) == [1, 2, 3]);
        assert!(membership.nodes.values().all(|node| node.voter && node.incarnation == 1));
    }
    register(&nodes[0], &entered[0], "n").unwrap();
    nodes.into_iter().for_each(Node::kill);
    let (_nodes, entered) = enter_all(&mut plan, 3);
    assert_eq!(numbers(&entered), [3, 2, 1]);
    for entered in &entered {
        membership(entered, "all live a second time", |membership| {
            membership.nodes.values().all(|node| node.incarnation == 2 && node.state == NodeState::Up)
        });
        assert!(!holds(entered, "n"), "the name was a former life's");
    }
}

#[test]
fn one_that_is_late_is_waited_for_and_one_more_joins_with_the_next_number() {
    let mut plan = Plan::of(4);
    let early: Vec<Node> = (0..2).map(|index| plan.start(index, 3)).collect();
    std::thread::scope(|scope| {
        let entering: Vec<_> = early.iter().map(|node| scope.spawn(|| node.enter())).collect();
        until("the two know each other", || (early[0].known(plan.addresses[1]) == 2).then_some(()));
        assert!(entering.iter().all(|entering| !entering.is_finished()), "two are not three");
        let late = plan.start(2, 3);
        let third = late.enter();
        let entered: Vec<Entered> = entering.into_iter().map(|entering| entering.join().unwrap()).collect();
        let fourth = plan.start(3, 0);
        let joined = fourth.enter();
        assert_eq!(joined.node, 4);
        for entered in entered.iter().chain([&third, &joined]) {
            let seen = membership(entered, "all four are up", |membership| up(membership) == [1, 2, 3, 4]);
            assert!(!seen.nodes[&4].voter, "three voters are enough");
        }
        let token = register(&fourth, &joined, "of the fourth").unwrap();
        assert!(token > 0);
        until("the others see its name", || holds(&third, "of the fourth").then_some(()));
        drop((late, fourth));
    });
}

#[test]
fn a_node_that_dies_without_a_word_is_down_after_its_lease_and_its_names_are_gone() {
    let mut plan = Plan::of(3);
    let (mut nodes, mut entered) = enter_all(&mut plan, 3);
    let (dying, last) = (nodes.remove(0), entered.remove(0));
    register(&dying, &last, "n").unwrap();
    let number = last.node;
    drop(last);
    dying.kill();
    for entered in &entered {
        membership(entered, "it is down", |membership| membership.nodes[&number].state == NodeState::Down);
        until("its name is gone", || (!holds(entered, "n")).then_some(()));
        assert!(entered.nodes.is_in_session());
        assert!(entered.nodes.channel(number).is_err());
    }
    register(&nodes[0], &entered[0], "n").unwrap();
}

#[test]
fn a_node_that_is_cut_off_fences_itself() {
    let mut plan = Plan::of(3);
    let (mut nodes, mut entered) = enter_all(&mut plan, 3);
    let (left, alone) = (nodes.remove(0), entered.remove(0));
    nodes.into_iter().for_each(Node::kill);
    until("its lease has run out", || (!alone.nodes.is_in_session()).then_some(()));
    let refused = register(&left, &alone, "n").unwrap_err();
    assert!(refused.contains("Unavailable"), "{refused}");
}

#[test]
fn a_node_that_stops_says_so_and_a_leader_hands_over_first() {
    let mut plan = Plan::of(3);
    let (mut nodes, mut entered) = enter_all(&mut plan, 3);
    let leader = until("somebody leads", || entered[0].group.status().leader);
    let index = entered.iter().position(|entered| u64::from(entered.node) == leader).unwrap();
    let (stopping, last) = (nodes.remove(index), entered.remove(index));
    register(&stopping, &last, "n").unwrap();
    let term = last.group.status().term;
    drop(last);
    stopping.stop();
    for entered in &entered {
        let number = u32::try_from(leader).unwrap();
        membership(entered, "it is down", |membership| membership.nodes[&number].state == NodeState::Down);
        assert!(!holds(entered, "n"));
        let status = entered.group.status();
        assert!(status.leader.is_some_and(|next| next != leader) && status.term > term, "{status:?}");
    }
    register(&nodes[0], &entered[0], "n").unwrap();
}

#[test]
fn a_voter_that_stays_away_is_replaced_by_a_node_that_has_no_vote_and_may_come_back() {
    let mut plan = Plan::of(4);
    let (mut nodes, mut entered) = enter_all(&mut plan, 3);
    let fourth = plan.start(3, 0);
    let joined = fourth.enter();
    membership(&joined, "all four are up", |membership| up(membership) == [1, 2, 3, 4]);
    let number = entered.remove(0).node;
    nodes.remove(0).kill();
    for entered in &entered {
        membership(entered, "the fourth votes instead", |membership| {
            membership.nodes[&4].voter && !membership.nodes[&number].voter
        });
    }
    // it comes back to a cluster whose log nobody sends it any more, and is let in again without a vote
    let back = plan.start(0, 3);
    let again = back.enter();
    assert_eq!((again.node, again.incarnation), (number, 2));
    for entered in entered.iter().chain([&again]) {
        membership(entered, "all four are up again", |membership| up(membership) == [1, 2, 3, 4]);
    }
    let name = register(&back, &again, "of the one that came back");
    assert!(name.is_ok(), "{name:?}");
    drop(nodes);
}

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
    Hello { protocol_min: 1, protocol_max: 1, node, ..Hello::default() }
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
    let mut plan = Plan::of(3);
    let (nodes, entered) = enter_all(&mut plan, 3);
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
    let mut plan = Plan::of(3);
    let (nodes, entered) = enter_all(&mut plan, 3);
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
