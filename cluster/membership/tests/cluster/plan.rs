//! Addresses, directories and nodes for the tests: each node has threads and a port of its own.

use arsenal_membership::{Cluster, ClusterError, Dialer, Entered, Membership, NodeState, Settings};
use arsenal_proto::internal::v1::membership_service_client::MembershipServiceClient;
use arsenal_proto::internal::v1::membership_service_server::MembershipServiceServer;
use arsenal_proto::internal::v1::raft_service_server::RaftServiceServer;
use arsenal_proto::internal::v1::{DiscoverRequest, Hello};
use arsenal_raft::{Command, Outcome};
use arsenal_runtime::registry::Command as Registry;
use arsenal_runtime::{Pid, Term};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};

/// Longer than anything here takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// How long a session holds: longer than a busy machine keeps a thread waiting, and not too long for a test to wait until
/// a dead node is found out.
pub(crate) const LEASE: Duration = Duration::from_secs(4);

/// Addresses and directories of nodes to be.
pub(crate) struct Plan {
    folder: TempDir,
    pub(crate) addresses: Vec<SocketAddr>,
    /// Bound to the addresses, and never listening: nobody else gets them while no node listens there.
    _reserved: Vec<TcpSocket>,
}

impl Plan {
    pub(crate) fn of(count: usize) -> Self {
        let reserve = |_| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
            socket
        };
        let reserved: Vec<TcpSocket> = (0..count).map(reserve).collect();
        let addresses = reserved.iter().map(|socket| socket.local_addr().unwrap()).collect();
        Self { folder: tempfile::tempdir().unwrap(), addresses, _reserved: reserved }
    }

    pub(crate) fn directory(&self, index: usize) -> PathBuf {
        self.folder.path().join(index.to_string())
    }

    /// Starts the node at this place, named so that the last is the first by name.
    pub(crate) fn start(&self, index: usize, expect: usize) -> Node {
        let seeds = self.addresses[..3.min(self.addresses.len())].to_vec();
        self.start_with(index, expect, &seeds, |_| {})
    }

    /// As [`Plan::start`], with these seeds and settings.
    pub(crate) fn start_with(
        &self,
        index: usize,
        expect: usize,
        seeds: &[SocketAddr],
        change: impl FnOnce(&mut Settings),
    ) -> Node {
        let listener = TcpListener::bind(self.addresses[index]).unwrap();
        let name = format!("node-{:03}", 999 - index);
        Node::start(listener, &self.directory(index), (&name, expect), seeds, change)
    }
}

/// A node with threads of its own, which die with it.
pub(crate) struct Node {
    pub(crate) io: Runtime,
    pub(crate) cluster: Arc<Cluster>,
    /// Why it would have ended its process.
    pub(crate) ends: Arc<Mutex<Vec<String>>>,
}

impl Node {
    pub(crate) fn start(
        listener: TcpListener,
        directory: &Path,
        (name, expect): (&str, usize),
        seeds: &[SocketAddr],
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut settings = Settings {
            data_dir: directory.to_owned(),
            name: name.to_owned(),
            address: listener.local_addr().unwrap().to_string(),
            zone: String::new(),
            bootstrap_expect: expect,
            seeds: seeds.iter().map(SocketAddr::to_string).collect(),
            voters: 0,
            never_votes: false,
            replace_after: Duration::from_secs(2),
            forget_after: Duration::ZERO,
            lease: LEASE,
            renew_every: Duration::from_millis(200),
            // as the lease: an election costs whoever writes, and whoever was told who leads
            heartbeat: Duration::from_millis(250),
            election_timeout: Duration::from_millis(1500),
            disk_limit: Duration::from_secs(30),
        };
        change(&mut settings);
        let ends: Arc<Mutex<Vec<String>>> = Arc::default();
        let ended = Arc::clone(&ends);
        let end = Arc::new(move |reason: String| ended.lock().unwrap().push(reason));
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
        Self { io, cluster, ends }
    }

    /// How many nodes the one at this address has heard of.
    pub(crate) fn known(&self, address: SocketAddr) -> usize {
        let hello = Hello { protocol_min: 1, protocol_max: 1, ..Hello::default() };
        let request = DiscoverRequest { hello: Some(hello), ..DiscoverRequest::default() };
        self.io.block_on(async {
            let channel = Dialer::default().channel(&address.to_string()).unwrap();
            let answer = MembershipServiceClient::new(channel).discover(request).await;
            answer.map_or(0, |answer| answer.into_inner().known.len())
        })
    }

    /// What answers at this address, asked from this node.
    pub(crate) fn client(&self, address: SocketAddr) -> MembershipServiceClient<Channel> {
        let _runtime = self.io.enter();
        MembershipServiceClient::new(Dialer::default().channel(&address.to_string()).unwrap())
    }

    pub(crate) fn enter(&self) -> Entered {
        self.io.block_on(async {
            let entered = tokio::time::timeout(LIMIT, self.cluster.enter()).await.unwrap().unwrap();
            assert!(entered.opened(LIMIT).await, "its session is open");
            entered
        })
    }

    /// As kill -9 does.
    pub(crate) fn kill(self) {
        drop(self.cluster);
        self.io.shutdown_timeout(LIMIT);
    }

    pub(crate) fn stop(self) {
        self.io.block_on(async {
            self.cluster.leave().await;
            self.cluster.stop().await;
        });
        self.kill();
    }
}

/// Waits for something to be there.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < LIMIT, "it never was so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn membership(
    entered: &Entered,
    what: &str,
    holds: impl Fn(&Membership) -> bool,
) -> Arc<Membership> {
    until(what, || Some(entered.nodes.membership()).filter(|membership| holds(membership)))
}

/// Registers a name, and asks again while there is no leader: a machine that stands still for a moment costs the voters an
/// election.
pub(crate) fn register(node: &Node, entered: &Entered, name: &str) -> u64 {
    let pid = Pid::new(entered.node, entered.incarnation, 1);
    until("the name is registered", || match try_register(node, entered, name) {
        Ok(token) => Some(token),
        // by a try whose outcome was unknown
        Err(_) => entered.group.look(|state| {
            state.registry().names().get(name).filter(|held| held.pid == pid).map(|held| held.token)
        }),
    })
}

/// Registers a name, or says why it is not.
pub(crate) fn try_register(node: &Node, entered: &Entered, name: &str) -> Result<u64, String> {
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

pub(crate) fn holds(entered: &Entered, name: &str) -> bool {
    entered.group.look(|state| state.registry().names().contains_key(name))
}

pub(crate) fn up(membership: &Membership) -> Vec<u32> {
    let up = membership.nodes.values().filter(|node| node.state == NodeState::Up);
    up.map(|node| node.id).collect()
}

/// Starts and enters all at once, until each of them has all in its view.
pub(crate) fn enter_all(plan: &Plan, count: usize) -> (Vec<Node>, Vec<Entered>) {
    let nodes: Vec<Node> = (0..count).map(|index| plan.start(index, 3)).collect();
    let entered = enter(&nodes);
    for entered in &entered {
        membership(entered, "all are up", |membership| up(membership).len() == count);
    }
    (nodes, entered)
}

/// All at once: none can enter before there are as many as are expected.
pub(crate) fn enter(nodes: &[Node]) -> Vec<Entered> {
    std::thread::scope(|scope| {
        let entering: Vec<_> = nodes.iter().map(|node| scope.spawn(|| node.enter())).collect();
        entering.into_iter().map(|entering| entering.join().unwrap()).collect()
    })
}
