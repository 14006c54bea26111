//! When a link's task sleeps, what wakes it, and whose turn it is.

use super::*;
use crate::links::Links;
use crate::network::Knowing;
use arsenal_runtime::{Message, Node, NodeConfig, Pid, Term};
use futures_util::stream;
use std::collections::BTreeSet;
use tokio::runtime::Handle;

/// A network in which a dial takes for ever.
struct Nowhere;

impl Network for Nowhere {
    fn dial(&self, _node: u32) -> Dialing {
        Box::pin(std::future::pending())
    }

    fn knows(&self, _node: u32) -> bool {
        true
    }

    fn until_known(&self, _node: u32) -> Knowing {
        Box::pin(std::future::ready(()))
    }
}

/// A task that nobody has run yet, with what has to live as long as it.
struct Idle {
    task: Task,
    _node: Node,
    _commands: mpsc::Sender<Command>,
}

impl Idle {
    fn new() -> Self {
        let config = LinkConfig::default();
        let node = Node::deterministic(NodeConfig { id: 1, ..NodeConfig::default() });
        let network = Arc::new(Nowhere);
        let links = Links::start(&node, config.clone(), Arc::clone(&network) as _, Handle::current());
        let peering = Arc::new(Peering::new(&config));
        let (commands, incoming) = mpsc::channel(1);
        let (own, runtime) = (Life { node: 1, incarnation: 1 }, node.downgrade());
        let task = Task::new(own, links.place(2), runtime, config, network, peering, incoming);
        Self { task, _node: node, _commands: commands }
    }

    fn line(&mut self, frames: Frames) -> (Line, mpsc::Receiver<Frame>) {
        let (sender, sent) = mpsc::channel(1);
        (self.task.open(Connection { sender, frames }), sent)
    }
}

fn message() -> Parcel {
    Parcel::message(Pid::new(2, 1, 1), Message::info(Pid::new(1, 1, 1), Term::OK))
}

#[tokio::test]
async fn what_comes_between_the_last_look_and_sleep_is_looked_at_though_there_is_no_session() {
    let Idle { mut task, _node, _commands } = Idle::new();
    task.look();
    // the task is awake still: nobody is notified
    task.peering.carry(&message());
    assert!(matches!(task.woken().now_or_never(), Some(Woken::More)));
    assert!(task.dialing.is_none());
    task.look();
    assert!(task.dialing.is_some(), "a session is begun for it");
    assert!(task.woken().now_or_never().is_none(), "there is nothing to do until the dial ends");
}

#[tokio::test]
async fn a_line_in_a_flood_does_not_keep_another_from_being_heard() {
    let mut idle = Idle::new();
    let (flooded, _of_flooded) = idle.line(Box::pin(stream::repeat(Frame::default())));
    let (quiet, _of_quiet) = idle.line(Box::pin(stream::repeat(Frame::default())));
    let mut heard = BTreeSet::new();
    for _ in 0..2 {
        let Some(Woken::Event(Event::Frame { line, .. })) = idle.task.woken().now_or_never() else {
            panic!("a line that always has a frame gives one");
        };
        heard.insert(line);
    }
    assert_eq!(heard, BTreeSet::from([flooded, quiet]));
}

#[tokio::test]
async fn a_line_that_is_given_up_holds_nothing_back() {
    let mut idle = Idle::new();
    let [(stuck, _of_stuck), (other, _of_other)] = [(); 2].map(|()| idle.line(Box::pin(stream::pending())));
    idle.task.room = Some(Room { line: stuck, came: Box::pin(std::future::pending()) });
    idle.task.close(other);
    assert!(idle.task.room.is_some());
    idle.task.perform(Action::Close { line: stuck });
    assert!(idle.task.room.is_none());
}
