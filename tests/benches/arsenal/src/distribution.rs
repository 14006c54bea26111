//! Two nodes, each a process of the machine's, joined by links over loopback: messages, round trips, and round trips
//! while somebody else's messages are big. The other node is this program once more.

use crate::bodies::{description, spawn};
use crate::{Measured, per_second};
use arsenal_link::grpc::{GrpcNetwork, LinkServer};
use arsenal_link::{LinkConfig, Links};
use arsenal_membership::{Dialer, Membership, Node as Member, NodeError, NodeState, Nodes};
use arsenal_proto::internal::v1::link_service_server::LinkServiceServer;
use arsenal_runtime::{Body, Context, Event, Node, NodeConfig, Pid, Receive, StartOptions, Step, Term};
use bytes::Bytes;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};

/// How the other node is told apart from a bench's name.
pub const OTHER: &str = "other-node";

const MESSAGE_BYTES: usize = 100;
const BIG_BYTES: usize = 64 << 20;

/// The first process of the other node.
const RECEIVER: Pid = Pid::new(2, 1, 1);

/// The one other node that there is.
struct Other(SocketAddr);

impl Nodes for Other {
    fn own(&self) -> u32 {
        1
    }

    fn incarnation(&self) -> u32 {
        1
    }

    fn membership(&self) -> Arc<Membership> {
        let member = |id| {
            let (address, zone, state) = (self.0.to_string().into(), "".into(), NodeState::Up);
            (id, Member { id, incarnation: 1, address, zone, state, voter: true })
        };
        Arc::new(Membership { index: 1, nodes: [1, 2].into_iter().map(member).collect() })
    }

    fn watch(&self) -> watch::Receiver<Arc<Membership>> {
        watch::channel(Arc::default()).1
    }

    fn channel(&self, id: u32) -> Result<Channel, NodeError> {
        self.dial(id)
    }

    fn dial(&self, id: u32) -> Result<Channel, NodeError> {
        Dialer::default().channel(&self.0.to_string()).map_err(|_| NodeError::Unknown(id))
    }

    fn is_in_session(&self) -> bool {
        true
    }
}

/// A node whose links are served at this address, by a thread of their own.
fn serve(id: u32, listener: std::net::TcpListener, other: SocketAddr) -> Node {
    let node = Node::start(NodeConfig { id, ..NodeConfig::default() }).expect("the node starts");
    listener.set_nonblocking(true).expect("a listener");
    let served = node.clone();
    let (ready, started) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let known: Arc<dyn Nodes> = Arc::new(Other(other));
            let network = Arc::new(GrpcNetwork::new(Arc::clone(&known)));
            let handle = tokio::runtime::Handle::current();
            let links = Links::start(&served, LinkConfig::default(), network, handle);
            let listener = TcpListener::from_std(listener).expect("a listener");
            let server = Server::builder()
                .initial_stream_window_size(4 << 20)
                .initial_connection_window_size(16 << 20)
                .tcp_nodelay(true)
                .add_service(LinkServiceServer::new(LinkServer::new(links, known)));
            let _ = ready.send(());
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.expect("links are served");
        });
    });
    started.recv().expect("the links start");
    node
}

fn listen() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a free port")
}

/// The other node: serves until its standard input ends.
pub fn other_node(address: &str) {
    let listener = listen();
    println!("{}", listener.local_addr().expect("an address"));
    let node = serve(2, listener, address.parse().expect("an address"));
    let receiver = spawn(&node, Receiver { left: 0, asked: Pid::NONE });
    assert_eq!(receiver.pid(), RECEIVER);
    let _ = std::io::stdin().read(&mut [0]);
}

struct Pair {
    node: Node,
    other: Child,
}

impl Pair {
    fn start() -> Self {
        let listener = listen();
        let own = listener.local_addr().expect("an address").to_string();
        let program = std::env::current_exe().expect("this program");
        let mut other = Command::new(program)
            .args([OTHER, &own])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the other node starts");
        let mut address = String::new();
        let mut said = BufReader::new(other.stdout.take().expect("its output"));
        said.read_line(&mut address).expect("its address");
        Self { node: serve(1, listener, address.trim().parse().expect("an address")), other }
    }

    /// Runs a body until it has told what it measured.
    fn measure<T>(&self, body: impl FnOnce(Sender<T>) -> Box<dyn Body>) -> T {
        let (done, finished) = channel();
        self.node.spawn(description(), body(done), StartOptions::default()).expect("a process");
        finished.recv().expect("it tells")
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        drop(self.other.stdin.take());
        let _ = self.other.wait();
    }
}

/// Counts what it was told to expect and says when all has come; answers what else it is sent.
struct Receiver {
    left: i64,
    asked: Pid,
}

impl Body for Receiver {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        if let Event::Message(message) = event {
            match message.payload.as_int() {
                Some(0) => context.send(message.from, Term::Int(0)),
                Some(count) => (self.left, self.asked) = (count, message.from),
                None => {
                    self.left -= 1;
                    if self.left == 0 {
                        context.send(self.asked, Term::OK);
                    }
                }
            }
        }
        Step::Wait(Receive::any())
    }
}

/// Sends so many messages and waits until the receiver has all of them.
struct Stream {
    to: Pid,
    left: i64,
    payload: Term,
    begun: bool,
    done: Sender<()>,
}

impl Body for Stream {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        if let Event::Message(message) = &event
            && message.payload.is("ok")
        {
            let _ = self.done.send(());
            return Step::Exit(Term::NORMAL);
        }
        if !std::mem::replace(&mut self.begun, true) {
            context.send(self.to, Term::Int(self.left));
        }
        while self.left > 0 {
            context.send(self.to, self.payload.clone());
            self.left -= 1;
            if context.should_yield() {
                return Step::Yield;
            }
            context.burn(1);
        }
        Step::Wait(Receive::any())
    }
}

/// Sends and waits for the answer, so many times; tells how long each took.
struct Pinger {
    to: Pid,
    left: usize,
    sent: Instant,
    took: Vec<Duration>,
    done: Sender<Vec<Duration>>,
}

impl Body for Pinger {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        if let Event::Message(_) = event {
            self.took.push(self.sent.elapsed());
            self.left -= 1;
            if self.left == 0 {
                let _ = self.done.send(std::mem::take(&mut self.took));
                return Step::Exit(Term::NORMAL);
            }
        }
        self.sent = Instant::now();
        context.send(self.to, Term::Int(0));
        Step::Wait(Receive::any())
    }
}

fn bytes(count: usize) -> Term {
    Term::Bytes(Bytes::from(vec![b'x'; count]).into())
}

fn stream(pair: &Pair, count: i64, payload: Term) {
    pair.measure(|done| Box::new(Stream { to: RECEIVER, left: count, payload, begun: false, done }));
}

fn round_trips(pair: &Pair, count: usize) -> Vec<Duration> {
    let pinger = |done| {
        Box::new(Pinger { to: RECEIVER, left: count, sent: Instant::now(), took: Vec::new(), done }) as _
    };
    let mut took = pair.measure(pinger);
    took.sort_unstable();
    took
}

fn quantile(took: &[Duration], part: f64) -> Measured {
    let at = ((took.len() as f64 * part) as usize).min(took.len() - 1);
    Measured { value: took[at].as_secs_f64() * 1e6, unit: "us" }
}

/// Messages of 100 bytes from one process to one of the other node.
pub fn node_send() -> Measured {
    const COUNT: i64 = 2_000_000;
    let pair = Pair::start();
    stream(&pair, 10_000, bytes(MESSAGE_BYTES));
    let begin = Instant::now();
    stream(&pair, COUNT, bytes(MESSAGE_BYTES));
    per_second(COUNT as usize, begin.elapsed().as_secs_f64(), "messages/s")
}

/// Round trips between two processes of two nodes, one after the other.
pub fn node_round_trip(part: f64) -> Measured {
    let pair = Pair::start();
    round_trips(&pair, 1_000);
    quantile(&round_trips(&pair, 20_000), part)
}

/// The same while another process sends 64 MB messages all the time.
pub fn node_round_trip_beside_big(part: f64) -> Measured {
    let pair = Pair::start();
    round_trips(&pair, 1_000);
    let (done, finished) = channel();
    let count = 12;
    let big = Stream { to: RECEIVER, left: count, payload: bytes(BIG_BYTES), begun: false, done };
    spawn(&pair.node, big);
    let mut took = Vec::new();
    while finished.try_recv().is_err() {
        took.extend(round_trips(&pair, 20));
    }
    took.sort_unstable();
    quantile(&took, part)
}

/// Bytes a second of 64 MB messages.
pub fn node_send_big() -> Measured {
    const COUNT: i64 = 12;
    let pair = Pair::start();
    stream(&pair, 1, bytes(BIG_BYTES));
    let begin = Instant::now();
    stream(&pair, COUNT, bytes(BIG_BYTES));
    let megabytes = COUNT as usize * (BIG_BYTES >> 20);
    per_second(megabytes, begin.elapsed().as_secs_f64(), "MB/s")
}
