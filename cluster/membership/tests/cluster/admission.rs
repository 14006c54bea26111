//! Nodes that are let in by their address, and nodes that are put out.

use crate::plan::{LIMIT, Node, Plan, enter_all, holds, membership, register, until, up};
use arsenal_membership::{Admission, AdmissionError, Admitted, Entered, NodeState};
use std::thread::ScopedJoinHandle;

fn admission(entered: &Entered) -> Admission {
    entered.nodes.admission().unwrap()
}

fn connect(on: &Node, entered: &Entered, address: &str, voter: bool) -> Result<Admitted, AdmissionError> {
    on.io.block_on(admission(entered).connect(address, voter))
}

/// Ends the node once it is told to, as its program does.
fn obey<'scope>(scope: &'scope std::thread::Scope<'scope, '_>, node: Node) -> ScopedJoinHandle<'scope, ()> {
    scope.spawn(move || {
        node.io.block_on(async { tokio::time::timeout(LIMIT, node.cluster.dismissed()).await.unwrap() });
        node.stop();
    })
}

#[test]
fn a_node_that_waits_is_let_in_by_its_address_and_every_node_lists_it_when_the_answer_comes() {
    let plan = Plan::of(5);
    let (nodes, entered) = enter_all(&plan, 3);
    let (member, voter) = (plan.start_with(3, 0, &[], |_| {}), plan.start_with(4, 0, &[], |_| {}));
    let addresses = [plan.addresses[3].to_string(), plan.addresses[4].to_string()];
    std::thread::scope(|scope| {
        let entering = [scope.spawn(|| member.enter()), scope.spawn(|| voter.enter())];
        until("they serve", || (member.known(plan.addresses[4]) == 1).then_some(()));
        assert_eq!(up(&entered[0].nodes.membership()), [1, 2, 3], "nobody came who was not asked");
        let admitted = connect(&nodes[1], &entered[1], &addresses[0], false).unwrap();
        assert_eq!((admitted.node.id, admitted.node.state, admitted.already), (4, NodeState::Up, false));
        for entered in &entered {
            assert_eq!(up(&entered.nodes.membership()), [1, 2, 3, 4], "it is listed from everywhere");
        }
        let again = connect(&nodes[0], &entered[0], &addresses[0], false).unwrap();
        assert_eq!((again.node.id, again.already), (4, true));
        let voting = connect(&nodes[0], &entered[0], &addresses[1], true).unwrap();
        assert!(voting.node.voter && !voting.already, "{voting:?}");
        let [joined, _] = entering.map(|entering| entering.join().unwrap());
        register(&member, &joined, "of the fourth");
        until("the others see its name", || holds(&entered[2], "of the fourth").then_some(()));
        let seen = joined.nodes.membership();
        assert!(!seen.nodes[&4].voter && seen.nodes[&5].voter, "{seen:?}");
    });
}

#[test]
fn an_address_where_nobody_answers_joins_nothing_and_a_node_of_another_cluster_is_named() {
    let plan = Plan::of(3);
    let (node, entered) = {
        let node = plan.start_with(0, 1, &[], |_| {});
        let entered = node.enter();
        (node, entered)
    };
    let other = plan.start_with(1, 1, &[], |_| {});
    let elsewhere = other.enter();
    let nobody = connect(&node, &entered, &plan.addresses[2].to_string(), false).unwrap_err();
    assert!(matches!(nobody, AdmissionError::Unreachable { .. }), "{nobody}");
    let foreign = connect(&node, &entered, &plan.addresses[1].to_string(), false).unwrap_err();
    assert!(matches!(foreign, AdmissionError::OtherCluster { .. }), "{foreign}");
    for entered in [&entered, &elsewhere] {
        assert_eq!(up(&entered.nodes.membership()), [1], "nothing half joined");
    }
}

#[test]
fn a_node_that_is_taken_out_is_gone_everywhere_and_is_refused_under_its_number() {
    let plan = Plan::of(4);
    let (nodes, entered) = enter_all(&plan, 3);
    let fourth = plan.start(3, 0);
    let joined = fourth.enter();
    register(&fourth, &joined, "of the fourth");
    drop(joined);
    std::thread::scope(|scope| {
        let obeying = obey(scope, fourth);
        nodes[0].io.block_on(admission(&entered[0]).disconnect(4, false, LIMIT)).unwrap();
        for entered in &entered {
            assert!(!entered.nodes.membership().nodes.contains_key(&4));
            assert!(!holds(entered, "of the fourth"));
        }
        obeying.join().unwrap();
    });
    let unknown = nodes[0].io.block_on(admission(&entered[0]).disconnect(4, false, LIMIT));
    assert_eq!(unknown, Err(AdmissionError::Unknown(4)));
    // its directory says who it was
    let back = plan.start(3, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| back.io.block_on(async { back.cluster.enter().await.map(drop) }));
        let reason = until("it is refused", || back.ends.lock().unwrap().first().cloned());
        assert!(reason.contains("no node is called n4"), "{reason}");
    });
    assert_eq!(up(&entered[0].nodes.membership()), [1, 2, 3]);
}

#[test]
fn a_leader_that_is_taken_out_is_followed_and_the_last_voters_are_not_taken_out() {
    let plan = Plan::of(3);
    let (mut nodes, mut entered) = enter_all(&plan, 3);
    let leader = until("somebody leads", || entered[0].group.status().leader);
    let place = entered.iter().position(|entered| u64::from(entered.node) == leader).unwrap();
    let (leading, _) = (nodes.remove(place), entered.remove(place));
    let number = u32::try_from(leader).unwrap();
    std::thread::scope(|scope| {
        let obeying = obey(scope, leading);
        nodes[0].io.block_on(admission(&entered[0]).disconnect(number, false, LIMIT)).unwrap();
        obeying.join().unwrap();
    });
    for entered in &entered {
        membership(entered, "two are left", |membership| membership.nodes.len() == 2);
    }
    register(&nodes[0], &entered[0], "n");
    // one of two dies: the other is no majority and decides nothing
    let dead = entered.remove(1).node;
    nodes.remove(1).kill();
    let forced = nodes[0].io.block_on(admission(&entered[0]).disconnect(dead, true, LIMIT)).unwrap_err();
    assert!(matches!(forced, AdmissionError::Alive(_) | AdmissionError::NoQuorum(_)), "{forced}");
}

#[test]
fn a_dead_voter_is_taken_out_by_force_and_one_without_whom_there_is_no_majority_is_not() {
    let plan = Plan::of(3);
    let (mut nodes, mut entered) = enter_all(&plan, 3);
    let alive = nodes[0].io.block_on(admission(&entered[0]).disconnect(2, true, LIMIT));
    assert_eq!(alive, Err(AdmissionError::Alive(2)));
    let dead = entered.remove(2).node;
    nodes.remove(2).kill();
    membership(&entered[0], "it is down", |seen| seen.nodes[&dead].state == NodeState::Down);
    let disconnect =
        |node, force| nodes[0].io.block_on(admission(&entered[0]).disconnect(node, force, LIMIT));
    let second = entered[1].node;
    assert_eq!(disconnect(second, false), Err(AdmissionError::Quorum(second)));
    assert!(matches!(disconnect(dead, false), Err(AdmissionError::Unreachable { .. })));
    disconnect(dead, true).unwrap();
    let seen = membership(&entered[1], "it is gone", |seen| !seen.nodes.contains_key(&dead));
    assert_eq!(seen.nodes.values().filter(|node| node.voter).count(), 2);
    register(&nodes[0], &entered[0], "n");
}
