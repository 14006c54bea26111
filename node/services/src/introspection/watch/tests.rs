use super::*;
use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event, NodeConfig, ProcessName, Receive, StartOptions, Step,
};
use futures_util::StreamExt as _;

fn node() -> Node {
    Node::deterministic(NodeConfig::default())
}

#[test]
fn a_watch_takes_a_place_until_it_is_dropped() {
    let (node, watches) = (node(), Arc::new(AtomicUsize::new(WATCHES_MAX - 1)));
    let request = v1::WatchProcessesRequest::default();
    let last = watch(&node, &watches, &request).ok();
    assert!(last.is_some());
    let refused = watch(&node, &watches, &request).err();
    assert_eq!(refused.map(|status| status.code()), Some(Code::ResourceExhausted));
    drop(last);
    assert_eq!(watches.load(Relaxed), WATCHES_MAX - 1);
}

#[tokio::test]
async fn a_filter_that_is_true_of_nothing_lets_others_have_the_thread_after_each_batch() {
    let node = node();
    let description = Arc::new(Description::native("idle", Behaviour::Plain));
    for _ in 0..=BATCH {
        node.spawn(&description, Box::new(Idle), StartOptions::default()).unwrap();
    }
    let filter = "registered_name == 'nobody'".to_owned();
    for after in [0, node.events().last_sequence()] {
        let request = v1::WatchProcessesRequest { filter: filter.clone(), after, ..Default::default() };
        let mut items = watch(&node, &Arc::default(), &request).ok().unwrap();
        assert!(futures_util::poll!(items.next()).is_pending());
        if after == 0 {
            assert_eq!(items.next().await.unwrap().unwrap().kind(), Kind::SnapshotEnd);
        }
    }
}

#[tokio::test]
async fn what_the_log_has_is_told_at_once_though_much_before_it_is_for_others() {
    let node = node();
    let request =
        v1::WatchProcessesRequest { filter: "registered_name == 'wanted'".to_owned(), ..Default::default() };
    let mut items = watch(&node, &Arc::default(), &request).ok().unwrap();
    assert_eq!(items.next().await.unwrap().unwrap().kind(), Kind::SnapshotEnd);
    assert!(futures_util::poll!(items.next()).is_pending());
    for _ in 0..10 * BATCH {
        node.record("process.labelled", Pid::NONE, Pid::NONE, Term::Null, 0);
    }
    let name = ProcessName { name: "wanted".into(), global: false };
    let options = StartOptions { name: Some(name), ..StartOptions::default() };
    let description = Arc::new(Description::native("idle", Behaviour::Plain));
    node.spawn(&description, Box::new(Idle), options).unwrap();
    // as a stop of the node asks for it, which looks once
    assert!(futures_util::poll!(items.next()).is_ready());
}

/// Does nothing, for as long as it lives.
struct Idle;

impl Body for Idle {
    fn step(&mut self, _: Event, context: &mut Context<'_>) -> Step {
        context.started();
        Step::Wait(Receive::any())
    }
}

#[tokio::test]
async fn a_process_that_ends_before_the_reader_looks_is_told_if_it_matched() {
    let node = node();
    let request =
        v1::WatchProcessesRequest { filter: "registered_name == 'brief'".to_owned(), ..Default::default() };
    let mut items = watch(&node, &Arc::default(), &request).ok().unwrap();
    assert_eq!(items.next().await.unwrap().unwrap().kind(), Kind::SnapshotEnd);
    let description = Arc::new(Description::native("idle", Behaviour::Plain));
    let pids = ["other", "brief"].map(|name| {
        let name = ProcessName { name: name.into(), global: false };
        let options = StartOptions { name: Some(name), ..StartOptions::default() };
        let process = node.spawn(&description, Box::new(Idle), options).unwrap();
        node.run_until_idle();
        node.exit(Pid::NONE, process.pid(), "kill".into());
        node.run_until_idle();
        process.pid().to_string()
    });
    for kind in [Kind::Started, Kind::Exited] {
        let item = items.next().await.unwrap().unwrap();
        assert_eq!((item.kind(), item.process.unwrap().pid.as_str()), (kind, pids[1].as_str()));
    }
}

#[tokio::test]
async fn a_reader_of_what_the_log_has_lost_learns_how_much_and_gets_a_snapshot() {
    let mut config = NodeConfig::default();
    config.limits.events_per_scheduler_max = 4;
    let node = Node::deterministic(config);
    for _ in 0..10 {
        node.record("process.labelled", Pid::NONE, Pid::NONE, Term::Null, 0);
    }
    let request = v1::WatchProcessesRequest { after: 2, ..Default::default() };
    let mut items = watch(&node, &Arc::default(), &request).ok().unwrap();
    let dropped = items.next().await.unwrap().unwrap();
    assert_eq!((dropped.kind(), dropped.dropped, dropped.sequence), (Kind::Dropped, 4, 10));
    assert_eq!(items.next().await.unwrap().unwrap().kind(), Kind::SnapshotEnd);
}
