//! Links over real sockets on loopback.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use arsenal_link::grpc::{GrpcNetwork, LinkServer};
use arsenal_link::{LinkConfig, Links};
use arsenal_membership::{
    Dialer, Membership, Node as Member, NodeError, NodeState, Nodes, PeerNode, Recognition,
};
use arsenal_proto::internal::v1::link_service_server::LinkServiceServer;
use arsenal_runtime::request::Sent;
use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event, Kind, Message, Node, NodeConfig, Pid, Receive,
    StartOptions, Step, Term,
};
use arsenal_tls::PeerIdentity;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Request;
use tonic::transport::{Channel, Server};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// With links that take nobody for dead because the machine stood still for a moment.
fn calm() -> LinkConfig {
    let (dial_timeout, silence_max) = (Duration::from_secs(10), Duration::from_secs(8));
    LinkConfig { dial_timeout, silence_max, resume_timeout: PATIENCE, ..LinkConfig::default() }
}

/// Nodes whose addresses are known from the start.
struct Addresses(BTreeMap<u32, SocketAddr>);

impl Nodes for Addresses {
    fn own(&self) -> u32 {
        0
    }

    fn incarnation(&self) -> u32 {
        1
    }

    fn membership(&self) -> Arc<Membership> {
        let member = |(id, address): (&u32, &SocketAddr)| {
            let address = address.to_string().into();
            let (zone, state) = ("".into(), NodeState::Up);
            (*id, Member { id: *id, incarnation: 1, address, zone, state, voter: true })
        };
        Arc::new(Membership { index: 1, nodes: self.0.iter().map(member).collect() })
    }

    fn watch(&self) -> watch::Receiver<Arc<Membership>> {
        watch::channel(Arc::default()).1
    }

    fn channel(&self, id: u32) -> Result<Channel, NodeError> {
        self.dial(id)
    }

    fn dial(&self, id: u32) -> Result<Channel, NodeError> {
        let address = self.0.get(&id).ok_or(NodeError::Unknown(id))?;
        Ok(Dialer::default().channel(&address.to_string()).unwrap())
    }

    fn is_in_session(&self) -> bool {
        true
    }
}

struct Pair {
    nodes: [Node; 2],
    servers: Vec<JoinHandle<()>>,
}

impl Pair {
    async fn start(config: &LinkConfig) -> Self {
        Self::start_as(config, None).await
    }

    /// Whoever opens a line to one of the two has shown this certificate.
    async fn start_as(config: &LinkConfig, shown: Option<PeerNode>) -> Self {
        let listeners = [
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        ];
        let mut addresses: BTreeMap<u32, SocketAddr> =
            listeners.iter().zip([1, 2]).map(|(listener, id)| (id, listener.local_addr().unwrap())).collect();
        addresses.insert(7, SocketAddr::from(([10, 0, 0, 7], 7450)));
        let nodes =
            [1, 2].map(|id| Node::start(NodeConfig { id, schedulers: 1, ..NodeConfig::default() }).unwrap());
        let mut servers = Vec::new();
        for (node, listener) in nodes.iter().zip(listeners) {
            let known: Arc<dyn Nodes> = Arc::new(Addresses(addresses.clone()));
            let network = Arc::new(GrpcNetwork::new(Arc::clone(&known)));
            let links = Links::start(node, config.clone(), network, Handle::current());
            let shown = shown.clone();
            let show = move |mut request: Request<()>| {
                shown.clone().map(|peer| request.extensions_mut().insert(peer));
                Ok(request)
            };
            let server = LinkServiceServer::with_interceptor(LinkServer::new(links, known), show);
            let served =
                Server::builder().add_service(server).serve_with_incoming(TcpListenerStream::new(listener));
            servers.push(tokio::spawn(async move { served.await.unwrap() }));
        }
        Self { nodes, servers }
    }

    fn teller(&self, at: usize) -> (Pid, mpsc::UnboundedReceiver<Message>) {
        let (told, heard) = mpsc::unbounded_channel();
        let options = StartOptions { trap_exit: true, ..StartOptions::default() };
        let description = Arc::new(Description::native("teller", Behaviour::Plain));
        (self.nodes[at].spawn(&description, Box::new(Teller(told)), options).unwrap().pid(), heard)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
        self.nodes.iter().for_each(Node::close);
    }
}

struct Teller(mpsc::UnboundedSender<Message>);

impl Body for Teller {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        if let Event::Message(message) = event {
            if let (Kind::Call, Some(call)) = (message.kind, message.reply_to()) {
                context.reply(call, message.payload.clone());
            }
            let _ = self.0.send(message);
        }
        Step::Wait(Receive::any())
    }
}

async fn next(heard: &mut mpsc::UnboundedReceiver<Message>) -> Message {
    tokio::time::timeout(PATIENCE, heard.recv()).await.expect("something is received").unwrap()
}

#[tokio::test]
async fn calls_floods_and_big_messages_cross_sockets_in_order() {
    let pair = Pair::start(&calm()).await;
    let (there, mut heard) = pair.teller(1);
    assert_eq!(pair.nodes[0].call(there, Term::Int(5), Some(PATIENCE), 0).await, Ok(Term::Int(5)));
    next(&mut heard).await;
    let (sender, _) = pair.teller(0);
    let big = Term::Bytes(Bytes::from(vec![3; 5 << 20]).into());
    for number in 0..10_000 {
        let payload = if number == 5_000 { big.clone() } else { Term::Int(number) };
        pair.nodes[0].send(there, Message::info(sender, payload));
    }
    for number in 0..10_000 {
        let expected = if number == 5_000 { big.clone() } else { Term::Int(number) };
        assert_eq!(next(&mut heard).await.payload, expected);
    }
}

#[tokio::test]
async fn what_waits_behind_a_big_message_crosses_sockets_though_no_frame_could_hold_it() {
    let pair = Pair::start(&calm()).await;
    let ((there, mut heard), (sender, _)) = (pair.teller(1), pair.teller(0));
    let bytes = |count| Term::Bytes(Bytes::from(vec![3; count]).into());
    // the link's task runs where this does: nothing leaves before all is put in
    pair.nodes[0].send(there, Message::info(sender, bytes(1 << 20)));
    for number in 0..2_000 {
        let payload = [Term::Int(number), bytes(10_000)].into();
        assert_eq!(pair.nodes[0].send(there, Message::info(sender, payload)), Sent::Delivered);
    }
    assert_eq!(next(&mut heard).await.payload, bytes(1 << 20));
    for number in 0..2_000 {
        assert_eq!(next(&mut heard).await.payload.as_list().unwrap()[0], Term::Int(number));
    }
}

#[tokio::test]
async fn a_line_is_taken_only_of_a_node_that_its_certificate_may_be() {
    let config = LinkConfig { resume_timeout: Duration::from_millis(200), ..calm() };
    for (host, is_taken) in [([127, 0, 0, 1], true), ([10, 0, 0, 7], false), ([10, 0, 0, 8], true)] {
        let identity = PeerIdentity {
            dns: vec!["nodes.test".to_owned()],
            addresses: vec![host.into()],
            ..PeerIdentity::default()
        };
        let shown = Recognition::Named("nodes.test".into()).recognize(Some(&identity)).unwrap();
        let pair = Pair::start_as(&config, Some(shown)).await;
        let (there, _heard) = pair.teller(1);
        let answered = pair.nodes[0].call(there, Term::Int(5), Some(PATIENCE), 0).await;
        assert_eq!(answered.is_ok(), is_taken, "with a certificate of {host:?}: {answered:?}");
    }
}

#[tokio::test]
async fn a_node_that_ends_is_noconnection_and_one_that_is_unknown_too() {
    let config = LinkConfig { resume_timeout: Duration::from_millis(200), ..calm() };
    let mut pair = Pair::start(&config).await;
    let ((here, mut heard), (there, mut other)) = (pair.teller(0), pair.teller(1));
    pair.nodes[0].link(here, there).unwrap();
    pair.nodes[0].send(there, Message::info(here, Term::OK));
    next(&mut other).await;
    pair.servers.pop().unwrap().abort();
    pair.nodes[1].close();
    assert_eq!(next(&mut heard).await.payload, Term::from("noconnection"));
    pair.nodes[0].monitor(here, Some(Pid::new(9, 1, 1)), None).unwrap();
    let down = next(&mut heard).await;
    assert_eq!(down.down().unwrap().1, &Term::from("noconnection"));
}
