use super::*;
use crate::caller::session_id;
use arsenal_runtime::{Behaviour, Body, Context, Description, Event, NodeConfig, StartOptions, Step};
use futures_util::poll;

/// Reads nothing.
struct Deaf;

impl Body for Deaf {
    fn step(&mut self, _: Event, context: &mut Context<'_>) -> Step {
        context.started();
        Step::Wait(Receive::none())
    }
}

/// A session with that many messages `1`, `2`, ... in its mailbox.
fn session(messages: usize) -> (Node, Pid) {
    let node = Node::deterministic(NodeConfig::default());
    let description = Arc::new(Description::native("deaf", Behaviour::Plain));
    let pid = node.spawn(&description, Box::new(Deaf), StartOptions::default()).unwrap().pid();
    node.open_mailbox(pid);
    for number in 1..=messages {
        node.send(pid, Message::info(Pid::NONE, Term::Int(number as i64)));
    }
    node.run_until_idle();
    (node, pid)
}

fn watching(node: &Node, pid: Pid, wanted: &str) -> Watch {
    let request = v1::WatchSessionMessagesRequest {
        session: session_id(pid).to_string(),
        r#match: wanted.to_owned(),
        ..Default::default()
    };
    watch_of(node, &Caller::default(), &request).unwrap()
}

#[tokio::test]
async fn a_watch_that_wants_none_of_many_messages_lets_others_have_the_thread_between_them() {
    let (node, pid) = session(3 * LOOK_MAX);
    let mut watch = watching(&node, pid, "kind == 'CAST'");
    assert!(poll!(std::pin::pin!(watch.next())).is_pending());
    assert_eq!(watch.seen as usize, LOOK_MAX);
}

#[tokio::test]
async fn a_watch_tells_each_message_once_in_order_however_many_it_copies_at_a_time() {
    let (node, pid) = session(COPIED_MAX + 10);
    let mut watch = watching(&node, pid, "");
    for number in 1..=COPIED_MAX + 10 {
        assert_eq!(watch.next().await.unwrap().unwrap().sequence, number as u64);
    }
    assert!(poll!(std::pin::pin!(watch.next())).is_pending());
}

#[test]
fn what_a_watch_copies_is_bounded_in_bytes_but_never_nothing() {
    let (node, pid) = session(10);
    let process = node.process(pid).unwrap();
    assert_eq!(node.mailbox_after(&process, 3, 100, 1).len(), 1);
    assert_eq!(node.mailbox_after(&process, 3, 5, usize::MAX).len(), 5);
    assert_eq!(node.mailbox_after(&process, 3, 100, usize::MAX).len(), 7);
    assert!(node.mailbox_after(&process, 10, 100, usize::MAX).is_empty());
}
