//! Several nodes in one process, each with the services that nodes ask of each other on a port of its own, and a list of
//! nodes that the test changes.

mod moving;

use super::ClusterApi;
use super::placement::Placement;
use crate::Shared;
use crate::introspection::IntrospectionApi;
use crate::messaging::MessagingApi;
use crate::own::Serve;
use crate::registry::RegistryApi;
use crate::routes;
use crate::wire::WireLimits;
use arsenal_membership::{Membership, Node as Known, NodeError, NodeState, Nodes};
use arsenal_proto::internal::v1::placement_service_server::PlacementServiceServer;
use arsenal_proto::v1;
use arsenal_proto::v1::cluster_service_server::{ClusterService as _, ClusterServiceServer};
use arsenal_proto::v1::introspection_service_server::{
    IntrospectionService as _, IntrospectionServiceServer,
};
use arsenal_proto::v1::messaging_service_server::MessagingServiceServer;
use arsenal_proto::v1::registry_service_server::RegistryServiceServer;
use arsenal_runtime::registry::{LocalRegistry, Registry};
use arsenal_runtime::{Node, NodeConfig, Pid, StartOptions, Started, Term};
use futures_util::StreamExt as _;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// The nodes as one of them sees them; all see the same here.
struct View {
    own: u32,
    membership: watch::Receiver<Arc<Membership>>,
}

impl Nodes for View {
    fn own(&self) -> u32 {
        self.own
    }

    fn incarnation(&self) -> u32 {
        1
    }

    fn membership(&self) -> Arc<Membership> {
        Arc::clone(&self.membership.borrow())
    }

    fn watch(&self) -> watch::Receiver<Arc<Membership>> {
        self.membership.clone()
    }

    fn channel(&self, id: u32) -> Result<Channel, NodeError> {
        self.dial(id)
    }

    fn dial(&self, id: u32) -> Result<Channel, NodeError> {
        let membership = self.membership();
        let node = membership.nodes.get(&id).ok_or(NodeError::Unknown(id))?;
        if node.state == NodeState::Down {
            return Err(NodeError::Down { id, incarnation: node.incarnation });
        }
        Ok(Endpoint::from_shared(format!("http://{}", node.address)).unwrap().connect_lazy())
    }

    fn is_in_session(&self) -> bool {
        true
    }
}

struct Cluster {
    /// What answers each node's own questions.
    own: Vec<Arc<dyn Serve>>,
    membership: watch::Sender<Arc<Membership>>,
    nodes: Vec<(Node, ClusterApi)>,
    servers: Vec<JoinHandle<()>>,
    /// Keeps the address of a node that serves no more from whoever else wants a port.
    _reserved: Vec<TcpSocket>,
}

impl Cluster {
    /// Each with names of its own.
    async fn of(count: u32) -> Self {
        Self::sharing(count, |_| Arc::new(LocalRegistry::default())).await
    }

    async fn sharing(count: u32, registry: impl Fn(u32) -> Arc<dyn Registry>) -> Self {
        let (mut listeners, mut reserved) = (Vec::new(), Vec::new());
        let mut membership = Membership { index: 7, ..Membership::default() };
        for id in 1..=count {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
            let listener = TcpListener::bind(socket.local_addr().unwrap()).await.unwrap();
            reserved.push(socket);
            let address = listener.local_addr().unwrap().to_string().as_str().into();
            let state = NodeState::Up;
            let node = Known { id, incarnation: 1, address, zone: "".into(), state, voter: id <= 3 };
            membership.nodes.insert(id, node);
            listeners.push((id, listener));
        }
        let (membership, seen) = watch::channel(Arc::new(membership));
        let (mut nodes, mut servers, mut own) = (Vec::new(), Vec::new(), Vec::new());
        for (id, listener) in listeners {
            let config = NodeConfig {
                id,
                schedulers: 1,
                modules: arsenal_behaviours::modules::native_modules(),
                registry: registry(id),
                ..NodeConfig::default()
            };
            let node = Node::start(config).unwrap();
            let shared = Shared::new(node.clone(), Arc::new(View { own: id, membership: seen.clone() }));
            let api = ClusterApi::new(shared.clone());
            let (_, wire) = routes::wire(&shared, WireLimits::default(), Arc::new(|_| {})).unwrap();
            let serve: Arc<dyn Serve> = Arc::new(wire.in_process());
            shared.serve_own(&serve);
            own.push(serve);
            let placement = Placement::default();
            placement.begin(shared.clone());
            let serving = Server::builder()
                .add_service(ClusterServiceServer::new(api.clone()))
                .add_service(IntrospectionServiceServer::new(IntrospectionApi::new(shared.clone())))
                .add_service(MessagingServiceServer::new(MessagingApi::new(shared.clone())))
                .add_service(PlacementServiceServer::new(placement))
                .add_service(RegistryServiceServer::new(RegistryApi::new(shared)))
                .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
            servers.push(tokio::spawn(async move { serving.await.unwrap() }));
            nodes.push((node, api));
        }
        Self { own, membership, nodes, servers, _reserved: reserved }
    }

    fn node(&self, id: usize) -> &Node {
        &self.nodes[id - 1].0
    }

    fn api(&self, id: usize) -> &ClusterApi {
        &self.nodes[id - 1].1
    }

    /// Nobody answers there any more, and nobody knows yet.
    async fn kill(&self, id: usize) {
        self.servers[id - 1].abort();
        let address = self.membership.borrow().nodes[&u32::try_from(id).unwrap()].address.to_string();
        while tokio::net::TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// The voters find that its life ended, or that one began.
    fn declare(&self, id: u32, incarnation: u32, state: NodeState) {
        self.membership.send_modify(|membership| {
            let mut changed = Membership::clone(membership);
            changed.index += 1;
            changed.nodes.entry(id).and_modify(|node| (node.incarnation, node.state) = (incarnation, state));
            *membership = Arc::new(changed);
        });
    }

    async fn start(&self, on: usize, module: &str, name: Option<&str>) -> Pid {
        let options = StartOptions {
            name: name.map(|name| arsenal_runtime::ProcessName { name: name.into(), global: false }),
            ..StartOptions::default()
        };
        match self.node(on).start_process(module, &Term::Null, options, None).await.unwrap() {
            Started::Running(pid) => pid,
            Started::Ignored => panic!("{module} was ignored"),
        }
    }

    /// What a recorder has, once it has as much as is waited for.
    async fn recorded(&self, on: usize, recorder: Pid, count: usize) -> Vec<Term> {
        loop {
            let request = v1::GetProcessStateRequest { process: recorder.to_string(), timeout: None };
            let own = &self.api(on).own;
            let state = own.get_process_state(Request::new(request)).await.unwrap().into_inner().payload;
            let Some(v1::get_process_state_response::Payload::State(state)) = state else {
                panic!("{state:?}")
            };
            let state = crate::payload::to_term(&state);
            let messages = state.get("messages").unwrap().as_list().unwrap().to_vec();
            if messages.len() >= count {
                return messages;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Runs a test on a cluster of three voters.
fn on_three<F: Future<Output = ()>>(test: impl FnOnce(Cluster) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime
        .block_on(async { tokio::time::timeout(DEADLINE, async { test(Cluster::of(3).await).await }).await });
    assert!(outcome.is_ok(), "it did not end");
}

#[test]
fn every_node_lists_the_same_nodes_and_one_that_is_gone_is_unreached_and_then_down() {
    on_three(|cluster| async move {
        let list = |on: usize| {
            let api = cluster.api(on).clone();
            async move {
                let request = Request::new(v1::ListConnectedNodesRequest::default());
                api.list_connected_nodes(request).await.unwrap().into_inner()
            }
        };
        let bare = |list: v1::ListConnectedNodesResponse| {
            let nodes = list.nodes.into_iter().map(|node| v1::ClusterNode { load: None, ..node });
            (list.index, nodes.collect::<Vec<_>>())
        };
        let (first, second) = (list(1).await, list(2).await);
        assert!(first.nodes.iter().all(|node| node.load.is_some()), "{first:?}");
        assert_eq!(bare(first), bare(second));
        cluster.kill(3).await;
        assert_eq!(list(1).await.unreached, ["n3"]);
        cluster.declare(3, 1, NodeState::Down);
        let down = list(1).await;
        assert_eq!((down.nodes[2].state(), down.index), (v1::cluster_node::State::Down, 8));
        assert!(down.unreached.is_empty(), "nobody asks it");
    });
}

#[test]
fn a_node_that_nobody_reaches_is_a_pang_for_as_long_as_it_is_not_known_to_be_down_and_after() {
    on_three(|cluster| async move {
        let ping = |node: &'static str| {
            let api = cluster.api(1).clone();
            async move {
                let request = Request::new(v1::PingNodeRequest { node: node.into(), timeout: None });
                let answer = api.ping_node(request).await.unwrap().into_inner();
                (answer.result(), answer.reason, answer.round_trip.is_some())
            }
        };
        use v1::ping_node_response::Result::{Pang, Pong};
        assert_eq!(ping("n2").await, (Pong, String::new(), true));
        cluster.kill(2).await;
        assert_eq!(ping("n2").await, (Pang, "NOCONNECTION".into(), false));
        cluster.declare(2, 1, NodeState::Down);
        assert_eq!(ping("n2").await, (Pang, "NODE_DOWN".into(), false));
    });
}

fn monitor(cluster: &Cluster, watcher: Pid, node: &str) -> impl Future<Output = u32> + use<> {
    let api = cluster.api(1).clone();
    let request = v1::MonitorNodeRequest { watcher: watcher.to_string(), node: node.into() };
    async move { api.monitor_node(Request::new(request)).await.unwrap().into_inner().count }
}

#[test]
fn two_monitors_hear_of_a_death_twice_and_of_its_next_life_and_one_undone_does_not() {
    on_three(|cluster| async move {
        let (twice, undone) =
            (cluster.start(1, "recorder", None).await, cluster.start(1, "recorder", None).await);
        assert_eq!(monitor(&cluster, twice, "n2").await, 1);
        assert_eq!(monitor(&cluster, twice, "n2").await, 2);
        monitor(&cluster, undone, "n2").await;
        let request = v1::DemonitorNodeRequest { watcher: undone.to_string(), node: "n2".into() };
        cluster.api(1).demonitor_node(Request::new(request)).await.unwrap();
        cluster.declare(3, 1, NodeState::Down);
        cluster.declare(2, 1, NodeState::Down);
        let down = Term::from(["nodedown".into(), Term::from("n2".to_owned())]);
        assert_eq!(cluster.recorded(1, twice, 2).await, [down.clone(), down.clone()]);
        cluster.declare(2, 2, NodeState::Up);
        let up = Term::from(["nodeup".into(), Term::from("n2".to_owned())]);
        assert_eq!(cluster.recorded(1, twice, 4).await, [down.clone(), down, up.clone(), up]);
        assert_eq!(cluster.recorded(1, undone, 0).await, []);
    });
}

#[test]
fn a_monitor_on_a_node_that_is_down_tells_so_at_once() {
    on_three(|cluster| async move {
        cluster.declare(2, 1, NodeState::Down);
        let watcher = cluster.start(1, "recorder", None).await;
        monitor(&cluster, watcher, "n2").await;
        assert_eq!(cluster.recorded(1, watcher, 1).await.len(), 1);
    });
}

#[test]
fn a_broadcast_tells_of_each_node_what_became_of_it() {
    on_three(|cluster| async move {
        let first = cluster.start(1, "recorder", Some("listener")).await;
        let second = cluster.start(2, "recorder", Some("listener")).await;
        let broadcast = |name: &'static str| {
            let api = cluster.api(1).clone();
            async move {
                let request = v1::BroadcastToAllNodesRequest { name: name.into(), ..Default::default() };
                let sent = api.broadcast_to_all_nodes(Request::new(request)).await.unwrap().into_inner();
                sent.deliveries.into_iter().map(|each| (each.outcome(), each.pid)).collect::<Vec<_>>()
            }
        };
        use v1::broadcast_to_all_nodes_response::delivery::Outcome::{Delivered, NoSuchName, Unreached};
        let delivered = |pid: Pid| (Delivered, pid.to_string());
        let nobody = || (NoSuchName, String::new());
        assert_eq!(broadcast("listener").await, [delivered(first), delivered(second), nobody()]);
        assert_eq!(cluster.recorded(1, first, 1).await, [Term::Null]);
        assert_eq!(cluster.recorded(2, second, 1).await, [Term::Null]);
        cluster.kill(3).await;
        assert_eq!(broadcast("listener").await[2], (Unreached, String::new()));
    });
}

#[test]
fn a_process_is_found_on_the_nodes_asked_and_what_is_not_reached_is_named() {
    on_three(|cluster| async move {
        let first = cluster.start(1, "recorder", Some("a")).await;
        let second = cluster.start(2, "recorder", Some("a")).await;
        let find = |nodes: &'static [&'static str]| {
            let api = cluster.api(1).clone();
            async move {
                let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
                let request = v1::FindProcessOnNodesRequest { nodes, name: "a".into(), ..Default::default() };
                let found = api.find_process_on_nodes(Request::new(request)).await.unwrap().into_inner();
                let pids = found.processes.into_iter().map(|process| process.pid);
                (pids.collect::<Vec<_>>(), found.unreached)
            }
        };
        let none = Vec::<String>::new();
        assert_eq!(find(&[]).await, (vec![first.to_string(), second.to_string()], none.clone()));
        assert_eq!(find(&["n2", "n3"]).await, (vec![second.to_string()], none));
        cluster.kill(3).await;
        assert_eq!(find(&["n1", "n3"]).await, (vec![first.to_string()], vec!["n3".to_owned()]));
    });
}

#[test]
fn a_gather_has_an_entry_a_node_and_the_dead_ones_is_unavailable() {
    on_three(|cluster| async move {
        cluster.start(2, "recorder", Some("a")).await;
        cluster.kill(3).await;
        let call = v1::OperationCall { operation: "registered_names/0".into(), request: None };
        let request = v1::GatherFromAllNodesRequest { call: Some(call), timeout: None };
        let gathered = cluster.api(1).gather_from_all_nodes(Request::new(request)).await;
        let entries = gathered.map(Response::into_inner).unwrap().entries;
        use v1::gather_from_all_nodes_response::entry::Outcome;
        let told: Vec<String> = entries
            .into_iter()
            .map(|entry| match entry.outcome.unwrap() {
                Outcome::Response(answer) => {
                    let names = crate::payload::struct_to_term(answer).to_json()["names"].clone();
                    format!("{} {}", entry.node, names.as_array().unwrap().len())
                }
                Outcome::Error(error) => format!("{} code {}", entry.node, error.code),
            })
            .collect();
        assert_eq!(told, ["n1 0", "n2 1", "n3 code 14"]);
    });
}

#[test]
fn a_node_that_nobody_serves_any_more_has_no_entry_of_its_own_and_keeps_nobody_alive() {
    on_three(|mut cluster| async move {
        let call = v1::OperationCall { operation: "registered_names/0".into(), request: None };
        let request = v1::GatherFromAllNodesRequest { call: Some(call), timeout: None };
        let serve = Arc::downgrade(&cluster.own.remove(0));
        assert!(serve.upgrade().is_none(), "its services hold what they are behind");
        let gathered = cluster.api(1).gather_from_all_nodes(Request::new(request)).await;
        let entries = gathered.map(Response::into_inner).unwrap().entries;
        use v1::gather_from_all_nodes_response::entry::Outcome;
        let failed = |entry: &v1::gather_from_all_nodes_response::Entry| match entry.outcome.as_ref().unwrap()
        {
            Outcome::Response(_) => None,
            Outcome::Error(error) => Some(error.code),
        };
        assert_eq!(entries.iter().map(failed).collect::<Vec<_>>(), [Some(14), None, None]);
    });
}

#[test]
fn a_process_is_started_by_the_node_that_is_named() {
    on_three(|cluster| async move {
        let spawn = |request: v1::SpawnProcessOnNodeRequest| {
            let api = cluster.api(1).clone();
            async move { api.spawn_process_on_node(Request::new(request)).await.map(Response::into_inner) }
        };
        let on_second = || v1::SpawnProcessOnNodeRequest {
            node: "n2".into(),
            module: "counter".into(),
            ..Default::default()
        };
        let started = spawn(on_second()).await.unwrap();
        assert_eq!(started.node, "n2");
        assert!(cluster.node(2).is_alive(started.pid.parse().unwrap()), "{started:?}");
        cluster.kill(2).await;
        let parent = cluster.start(1, "recorder", None).await;
        let request = v1::SpawnProcessOnNodeRequest {
            link: true,
            parent: parent.to_string(),
            monitor: true,
            watcher: parent.to_string(),
            ..on_second()
        };
        let refused = spawn(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unavailable);
        let told = cluster.recorded(1, parent, 2).await;
        let reasons: Vec<Term> =
            told.iter().map(|message| message.as_list().unwrap().last().unwrap().clone()).collect();
        assert_eq!(reasons, [Term::Atom("noconnection"), Term::Atom("noconnection")]);
    });
}

#[test]
fn copies_have_the_state_of_their_moment_and_go_on_by_themselves() {
    on_three(|cluster| async move {
        let original = cluster.start(1, "counter", None).await;
        let add = Term::from(["add".into(), Term::Int(5)]);
        cluster.node(1).call(original, add.clone(), None, 0).await.unwrap();
        let replicate = |nodes: &'static [&'static str]| {
            let api = cluster.api(1).clone();
            async move {
                let request = v1::ReplicateProcessToNodesRequest {
                    process: original.to_string(),
                    nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
                    group: String::new(),
                };
                api.replicate_process_to_nodes(Request::new(request)).await.map(Response::into_inner)
            }
        };
        let replicated = replicate(&["n3", "n1", "n2"]).await.unwrap();
        let places: Vec<&str> = replicated.copies.iter().map(|copy| &*copy.node).collect();
        assert_eq!(places, ["n3", "n1", "n2"]);
        let copies: Vec<Pid> = replicated.copies.iter().map(|copy| copy.pid.parse().unwrap()).collect();
        cluster.node(1).call(original, add, None, 0).await.unwrap();
        for copy in &copies {
            let on = cluster.node(usize::try_from(copy.node).unwrap());
            assert_eq!(on.call(*copy, "get".into(), None, 0).await.unwrap(), Term::Int(5), "{copy}");
        }
        let twice = replicate(&["n2", "n2"]).await.unwrap_err();
        assert_eq!(twice.code(), tonic::Code::InvalidArgument);
        cluster.kill(2).await;
        let partly = replicate(&["n2", "n3"]).await.unwrap();
        let errors: Vec<bool> = partly.copies.iter().map(|copy| copy.error.is_some()).collect();
        assert_eq!(errors, [true, false]);
    });
}

#[test]
fn a_watch_tells_of_changes_after_its_picture() {
    on_three(|cluster| async move {
        let watch = cluster.api(1).watch_nodes(Request::new(v1::WatchNodesRequest {})).await.unwrap();
        let mut items = watch.into_inner();
        let mut next = async || {
            let item = items.next().await.unwrap().unwrap();
            (item.kind(), item.node.map(|node| node.node).unwrap_or_default(), item.index)
        };
        use v1::watch_nodes_response::Kind::{Nodedown, Nodeup, Snapshot, SnapshotEnd};
        for id in 1..=3 {
            assert_eq!(next().await, (Snapshot, format!("n{id}"), 7));
        }
        assert_eq!(next().await, (SnapshotEnd, String::new(), 7));
        cluster.declare(2, 1, NodeState::Down);
        assert_eq!(next().await, (Nodedown, "n2".to_owned(), 8));
        cluster.declare(2, 2, NodeState::Up);
        assert_eq!(next().await, (Nodeup, "n2".to_owned(), 9));
    });
}

#[test]
fn a_voter_is_spared_once_the_other_two_are_up() {
    on_three(|cluster| async move {
        cluster.declare(2, 1, NodeState::Down);
        let ask = |timeout_ms: u32| {
            let timeout = crate::time::to_proto(Duration::from_millis(timeout_ms.into()));
            let request = v1::DrainNodeRequest { node: "n1".into(), timeout: Some(timeout) };
            let api = cluster.api(1).clone();
            async move { api.drain_node(Request::new(request)).await.map(Response::into_inner) }
        };
        assert_eq!(ask(1).await.unwrap_err().code(), tonic::Code::DeadlineExceeded);
        let waiting = tokio::spawn(ask(30_000));
        tokio::task::yield_now().await;
        cluster.declare(2, 2, NodeState::Up);
        assert_eq!(waiting.await.unwrap().unwrap().other_voters, ["n2", "n3"]);
    });
}
