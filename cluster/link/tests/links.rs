//! Nodes with threads of their own, joined by links over a network in memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use arsenal_link::memory::MemoryNetwork;
use arsenal_link::network::{DialError, Dialing, Knowing, Network};
use arsenal_link::{LinkConfig, Links};
use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event, Kind, Message, Node, NodeConfig, Pid, Receive,
    StartOptions, Step, Term,
};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// With links that take nobody for dead because the machine stood still for a moment.
fn calm() -> LinkConfig {
    let (dial_timeout, silence_max) = (Duration::from_secs(10), PATIENCE);
    LinkConfig { dial_timeout, silence_max, resume_timeout: PATIENCE, ..LinkConfig::default() }
}

/// Two nodes.
struct Pair {
    nodes: [Node; 2],
    network: MemoryNetwork,
    links: [Links; 2],
}

impl Pair {
    fn new(config: &LinkConfig) -> Self {
        let network = MemoryNetwork::default();
        let nodes =
            [1, 2].map(|id| Node::start(NodeConfig { id, schedulers: 1, ..NodeConfig::default() }).unwrap());
        let links = nodes.each_ref().map(|node| {
            let links = Links::start(node, config.clone(), network.of(node.id()), Handle::current());
            network.join(node.id(), links.clone());
            links
        });
        Self { nodes, network, links }
    }

    /// A process that tells all it receives, and answers calls.
    fn teller(&self, at: usize) -> (Pid, mpsc::UnboundedReceiver<Message>) {
        let (told, heard) = mpsc::unbounded_channel();
        (self.teller_to(at, told), heard)
    }

    fn teller_to(&self, at: usize, told: mpsc::UnboundedSender<Message>) -> Pid {
        let options = StartOptions { trap_exit: true, ..StartOptions::default() };
        self.spawn(at, Teller(told), options)
    }

    fn spawn(&self, at: usize, body: impl Body, options: StartOptions) -> Pid {
        let description = Arc::new(Description::native("teller", Behaviour::Plain));
        self.nodes[at].spawn(&description, Box::new(body), options).unwrap().pid()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
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
            // the test may have seen enough
            let _ = self.0.send(message);
        }
        Step::Wait(Receive::any())
    }
}

/// Sends so many numbered messages, as many a turn as it may.
struct Flood {
    to: Pid,
    next: i64,
    end: i64,
    padding: Term,
}

impl Body for Flood {
    fn step(&mut self, _event: Event, context: &mut Context<'_>) -> Step {
        while self.next < self.end {
            context.send(self.to, [Term::Int(self.next), self.padding.clone()].into());
            self.next += 1;
            if context.should_yield() {
                return Step::Yield;
            }
        }
        Step::Wait(Receive::any())
    }
}

fn bytes(count: usize) -> Term {
    Term::Bytes(Bytes::from(vec![1; count]).into())
}

async fn next(heard: &mut mpsc::UnboundedReceiver<Message>) -> Message {
    tokio::time::timeout(PATIENCE, heard.recv()).await.expect("something is received").unwrap()
}

async fn expect_numbers(heard: &mut mpsc::UnboundedReceiver<Message>, end: i64) {
    for number in 0..end {
        let message = next(heard).await;
        assert_eq!(message.payload.as_list().unwrap()[0], Term::Int(number));
    }
}

#[tokio::test]
async fn a_call_is_answered_over_a_link_that_opens_when_it_is_needed() {
    let pair = Pair::new(&calm());
    let (there, _heard) = pair.teller(1);
    let answer = pair.nodes[0].call(there, Term::Int(5), Some(PATIENCE), 0).await;
    assert_eq!(answer, Ok(Term::Int(5)));
}

#[tokio::test]
async fn a_flood_arrives_in_order_and_what_waits_for_it_to_leave_is_bounded() {
    let config = LinkConfig { crowded_bytes: 64 << 10, ..calm() };
    let pair = Pair::new(&config);
    let (there, mut heard) = pair.teller(1);
    let end = 20_000;
    let flood = Flood { to: there, next: 0, end, padding: bytes(100) };
    pair.spawn(0, flood, StartOptions::default());
    expect_numbers(&mut heard, end).await;
    // one turn may add no more than a message to what makes its process wait
    let most = pair.links[0].most_queued_bytes(2);
    assert!((1..config.crowded_bytes + 200).contains(&most), "{most}");
}

#[tokio::test]
async fn a_cut_that_is_mended_in_time_loses_nothing() {
    let pair = Pair::new(&calm());
    let (there, mut heard) = pair.teller(1);
    let end = 50_000;
    pair.spawn(0, Flood { to: there, next: 0, end, padding: bytes(100) }, StartOptions::default());
    for number in 0..end {
        assert_eq!(next(&mut heard).await.payload.as_list().unwrap()[0], Term::Int(number));
        if number % 10_000 == 5_000 {
            pair.network.cut(2);
            pair.network.mend(2);
        }
    }
}

#[tokio::test]
async fn a_cut_that_is_not_mended_is_noconnection_to_links_monitors_and_callers() {
    let config = LinkConfig { resume_timeout: Duration::from_millis(100), ..calm() };
    let pair = Pair::new(&config);
    let ((here, mut heard), (there, mut other)) = (pair.teller(0), pair.teller(1));
    pair.nodes[0].link(here, there).unwrap();
    pair.nodes[0].monitor(here, Some(there), None).unwrap();
    pair.nodes[0].send(there, Message::info(here, Term::OK));
    assert_eq!(next(&mut other).await.payload, Term::OK);
    pair.network.cut(2);
    let mut kinds = [next(&mut heard).await, next(&mut heard).await].map(|message| {
        let reason = message.down().map_or(&message.payload, |(_, reason)| reason);
        assert!(reason.is("noconnection"), "{reason}");
        message.kind as u64
    });
    kinds.sort_unstable();
    assert_eq!(kinds, [Kind::Exit as u64, Kind::Down as u64]);
    assert_eq!(next(&mut other).await.kind, Kind::Exit);
}

#[tokio::test]
async fn a_link_opens_anew_though_calls_come_faster_than_it_is_dialled() {
    let config = LinkConfig { resume_timeout: Duration::from_millis(100), ..calm() };
    let pair = Pair::new(&config);
    let (there, mut other) = pair.teller(1);
    let call = |limit| pair.nodes[0].call(there, Term::Int(5), Some(limit), 0);
    call(PATIENCE).await.unwrap();
    pair.network.cut(2);
    assert!(call(PATIENCE).await.is_err());
    pair.network.mend(2);
    let answered = async {
        while call(Duration::from_secs(3)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("a new link opens");
    assert_eq!(next(&mut other).await.kind, Kind::Call);
}

#[tokio::test]
async fn a_small_message_overtakes_a_big_one_of_another_sender_and_waits_behind_one_of_its_own() {
    let pair = Pair::new(&calm());
    // both tell the same, and run in the order in which they are sent something
    let (told, mut heard) = mpsc::unbounded_channel();
    let [big, small] = [told.clone(), told].map(|told| pair.teller_to(1, told));
    let [one, two] = [pair.teller(0).0, pair.teller(0).0];
    let payload = bytes(64 << 20);
    pair.nodes[0].send(big, Message::info(one, payload.clone()));
    pair.nodes[0].send(big, Message::info(one, Term::Int(1)));
    pair.nodes[0].send(small, Message::info(two, Term::Int(2)));
    for expected in [Term::Int(2), payload, Term::Int(1)] {
        assert_eq!(next(&mut heard).await.payload, expected);
    }
}

#[tokio::test]
async fn a_node_that_the_cluster_calls_down_is_lost_at_once() {
    let pair = Pair::new(&calm());
    let ((here, mut heard), (there, mut other)) = (pair.teller(0), pair.teller(1));
    pair.nodes[0].link(here, there).unwrap();
    pair.nodes[0].send(there, Message::info(here, Term::OK));
    next(&mut other).await;
    pair.network.cut(2);
    pair.links[0].node_down(2, pair.nodes[1].incarnation()).await;
    assert_eq!(next(&mut heard).await.payload, Term::from("noconnection"));
}

#[tokio::test]
async fn both_ends_may_open_the_link_at_once() {
    let pair = Pair::new(&calm());
    let ((here, _a), (there, _b)) = (pair.teller(0), pair.teller(1));
    for number in 0..20 {
        let calls = tokio::join!(
            pair.nodes[0].call(there, Term::Int(number), Some(PATIENCE), 0),
            pair.nodes[1].call(here, Term::Int(number), Some(PATIENCE), 0),
        );
        assert_eq!(calls, (Ok(Term::Int(number)), Ok(Term::Int(number))));
    }
}

/// A network in which nobody is reached; tells when the last who has it lets go.
struct Nowhere {
    _gone: oneshot::Sender<()>,
}

impl Network for Nowhere {
    fn dial(&self, node: u32) -> Dialing {
        Box::pin(async move { Err(DialError { node, reason: "there is no way".into() }) })
    }

    fn knows(&self, _node: u32) -> bool {
        true
    }

    fn until_known(&self, _node: u32) -> Knowing {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn a_link_that_sleeps_ends_with_its_node() {
    let (gone, is_gone) = oneshot::channel();
    let node = Node::start(NodeConfig { id: 1, schedulers: 1, ..NodeConfig::default() }).unwrap();
    let network = Arc::new(Nowhere { _gone: gone });
    let links = Links::start(&node, LinkConfig::default(), network, Handle::current());
    assert!(node.call(Pid::new(2, 1, 1), Term::OK, Some(PATIENCE), 0).await.is_err());
    node.close();
    drop((node, links));
    let gone = tokio::time::timeout(PATIENCE, is_gone).await.expect("nothing has the network any more");
    assert!(gone.is_err(), "nothing is ever said");
}
