//! Votes that are given and taken, and changes of them that whoever began left in the middle.

use crate::plan::{Node, Plan, enter, enter_all, membership, register, until};
use arsenal_proto::internal::v1::{Hello, RetireRequest};
use std::collections::BTreeSet;
use std::future::Future as _;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use tonic::Code;

#[test]
fn a_change_of_the_voters_whose_caller_is_gone_in_the_middle_is_finished_by_the_leader() {
    let plan = Plan::of(3);
    // two are enough: the steward gives the third its vote back neither before nor after
    let nodes: Vec<Node> = (0..3)
        .map(|index| {
            let seeds = plan.addresses.clone();
            plan.start_with(index, 3, &seeds, |settings| settings.voters = 2)
        })
        .collect();
    let entered = enter(&nodes);
    let all = BTreeSet::from([1, 2, 3]);
    let (leading, next) = until("the change is begun and finished", || {
        let leader = entered[0].group.status().leader?;
        let leading = entered.iter().position(|entered| u64::from(entered.node) == leader)?;
        let (group, next) = (&entered[leading].group, BTreeSet::from([leader, leader % 3 + 1]));
        let status = group.status();
        if status.next_voters.is_none() && status.voters == all {
            let _runtime = nodes[leading].io.enter();
            // its first step is taken, and nobody is there for the second
            let mut change = pin!(group.change_voters(next));
            assert!(change.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            return None;
        }
        (status.next_voters.is_none() && status.voters == next).then_some((leading, next))
    });
    register(&nodes[0], &entered[0], "n");
    membership(&entered[leading], "it is known who votes", |seen| {
        let voters = seen.nodes.iter().filter(|(_, node)| node.voter).map(|(node, _)| u64::from(*node));
        voters.eq(next.iter().copied())
    });
}

#[test]
fn a_leader_takes_no_vote_from_a_node_that_was_to_be_down_and_is_up() {
    let plan = Plan::of(3);
    let (nodes, entered) = enter_all(&plan, 3);
    let leader = until("somebody leads", || entered[0].group.status().leader);
    let leading = entered.iter().position(|entered| u64::from(entered.node) == leader).unwrap();
    let victim = entered.iter().map(|entered| entered.node).find(|node| u64::from(*node) != leader).unwrap();
    let mut client = nodes[0].client(plan.addresses[leading]);
    let hello = Hello { protocol_min: 1, protocol_max: 2, ..Hello::default() };
    let request = RetireRequest { hello: Some(hello), node: victim, dry_run: false, expect_down: true };
    let refused = nodes[0].io.block_on(client.retire(request)).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(entered[leading].nodes.membership().nodes[&victim].voter);
    register(&nodes[0], &entered[0], "n");
}

#[test]
fn a_node_that_is_given_a_vote_follows_the_log_on_the_thread_of_its_membership() {
    let plan = Plan::of(4);
    let (nodes, entered) = enter_all(&plan, 3);
    let fourth = plan.start(3, 0);
    let joined = fourth.enter();
    assert!(joined.group.is_view());
    let address = plan.addresses[3].to_string();
    nodes[0].io.block_on(entered[0].nodes.admission().unwrap().connect(&address, true)).unwrap();
    assert!(!joined.group.is_view());
    let threads: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let seen = Arc::clone(&threads);
    joined.group.observe(Arc::new(move |_| {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        seen.lock().unwrap().insert(name);
    }));
    register(&fourth, &joined, "n");
    let seen = threads.lock().unwrap().clone();
    assert_eq!(seen, BTreeSet::from(["arsenal-cluster".to_owned()]));
}
