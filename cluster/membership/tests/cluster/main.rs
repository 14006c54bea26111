//! Nodes on loopback that get into a cluster, stay in it, and get out: real sockets, real directories.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod admission;
mod plan;
mod scale;
mod seating;
mod speakers;
mod versions;

use arsenal_membership::{Entered, NodeState};
use arsenal_raft::Voter;
use plan::{LIMIT, Node, Plan, enter_all, holds, membership, register, try_register, until, up};
use std::net::TcpListener;
use std::time::Duration;

#[test]
fn three_nodes_that_start_at_once_are_one_cluster_numbered_by_name_and_stay_so_after_a_restart() {
    let plan = Plan::of(3);
    let (nodes, entered) = enter_all(&plan, 3);
    let numbers = |entered: &[Entered]| entered.iter().map(|entered| entered.node).collect::<Vec<_>>();
    assert_eq!(numbers(&entered), [3, 2, 1]);
    for entered in &entered {
        let membership = membership(entered, "all are up", |membership| up(membership) == [1, 2, 3]);
        assert!(membership.nodes.values().all(|node| node.voter && node.incarnation == 1));
    }
    register(&nodes[0], &entered[0], "n");
    nodes.into_iter().for_each(Node::kill);
    let (_nodes, entered) = enter_all(&plan, 3);
    assert_eq!(numbers(&entered), [3, 2, 1]);
    for entered in &entered {
        membership(entered, "all live a second time", |membership| {
            membership.nodes.values().all(|node| node.incarnation == 2 && node.state == NodeState::Up)
        });
        assert!(!holds(entered, "n"), "the name was a former life's");
    }
}

#[test]
fn one_that_is_late_is_waited_for_and_one_more_joins_with_the_next_number() {
    let plan = Plan::of(4);
    let early: Vec<Node> = (0..2).map(|index| plan.start(index, 3)).collect();
    std::thread::scope(|scope| {
        let entering: Vec<_> = early.iter().map(|node| scope.spawn(|| node.enter())).collect();
        until("the two know each other", || (early[0].known(plan.addresses[1]) == 2).then_some(()));
        assert!(entering.iter().all(|entering| !entering.is_finished()), "two are not three");
        let late = plan.start(2, 3);
        let third = late.enter();
        let entered: Vec<Entered> = entering.into_iter().map(|entering| entering.join().unwrap()).collect();
        let fourth = plan.start(3, 0);
        let joined = fourth.enter();
        assert_eq!(joined.node, 4);
        for entered in entered.iter().chain([&third, &joined]) {
            let seen = membership(entered, "all four are up", |membership| up(membership) == [1, 2, 3, 4]);
            assert!(!seen.nodes[&4].voter, "three voters are enough");
        }
        let token = register(&fourth, &joined, "of the fourth");
        assert!(token > 0);
        until("the others see its name", || holds(&third, "of the fourth").then_some(()));
        drop((late, fourth));
    });
}

#[test]
fn a_node_that_dies_without_a_word_is_down_after_its_lease_and_its_names_are_gone() {
    let plan = Plan::of(3);
    let (mut nodes, mut entered) = enter_all(&plan, 3);
    let (dying, last) = (nodes.remove(0), entered.remove(0));
    register(&dying, &last, "n");
    let number = last.node;
    drop(last);
    dying.kill();
    for entered in &entered {
        membership(entered, "it is down", |membership| membership.nodes[&number].state == NodeState::Down);
        until("its name is gone", || (!holds(entered, "n")).then_some(()));
        assert!(entered.nodes.is_in_session());
        assert!(entered.nodes.channel(number).is_err());
    }
    register(&nodes[0], &entered[0], "n");
}

#[test]
fn a_node_that_is_cut_off_fences_itself() {
    let plan = Plan::of(3);
    let (mut nodes, mut entered) = enter_all(&plan, 3);
    let (left, alone) = (nodes.remove(0), entered.remove(0));
    nodes.into_iter().for_each(Node::kill);
    until("its lease has run out", || (!alone.nodes.is_in_session()).then_some(()));
    let refused = try_register(&left, &alone, "n").unwrap_err();
    assert!(refused.contains("Unavailable"), "{refused}");
}

#[test]
fn a_node_that_stops_says_so_and_a_leader_hands_over_first() {
    let plan = Plan::of(3);
    let (mut nodes, mut entered) = enter_all(&plan, 3);
    let leader = until("somebody leads", || entered[0].group.status().leader);
    let index = entered.iter().position(|entered| u64::from(entered.node) == leader).unwrap();
    let (stopping, last) = (nodes.remove(index), entered.remove(index));
    register(&stopping, &last, "n");
    let term = last.group.status().term;
    drop(last);
    stopping.stop();
    for entered in &entered {
        let number = u32::try_from(leader).unwrap();
        membership(entered, "it is down", |membership| membership.nodes[&number].state == NodeState::Down);
        assert!(!holds(entered, "n"));
        until("another one leads", || {
            let status = entered.group.status();
            (status.leader.is_some_and(|next| next != leader) && status.term > term).then_some(())
        });
    }
    register(&nodes[0], &entered[0], "n");
}

#[test]
fn a_voter_that_stays_away_is_replaced_by_a_node_that_has_no_vote_and_may_come_back() {
    let plan = Plan::of(4);
    let (mut nodes, mut entered) = enter_all(&plan, 3);
    let fourth = plan.start(3, 0);
    let joined = fourth.enter();
    membership(&joined, "all four are up", |membership| up(membership) == [1, 2, 3, 4]);
    let number = entered.remove(0).node;
    nodes.remove(0).kill();
    for entered in &entered {
        membership(entered, "the fourth votes instead", |membership| {
            membership.nodes[&4].voter && !membership.nodes[&number].voter
        });
    }
    // it comes back to a cluster whose log nobody sends it any more, and is let in again without a vote
    let back = plan.start(0, 3);
    let again = back.enter();
    assert_eq!((again.node, again.incarnation), (number, 2));
    for entered in entered.iter().chain([&again]) {
        membership(entered, "all four are up again", |membership| up(membership) == [1, 2, 3, 4]);
    }
    register(&back, &again, "of the one that came back");
    drop(nodes);
}

#[test]
fn a_node_that_the_log_left_while_it_was_away_finds_the_leader_though_the_one_that_it_heard_last_leads_no_more()
 {
    let plan = Plan::of(4);
    let (nodes, entered) = enter_all(&plan, 3);
    let seeds = plan.addresses[..3].to_vec();
    // it is gone before it is told that the log is not sent to it any more
    let fourth = plan.start_with(3, 0, &seeds, |settings| settings.renew_every = Duration::from_secs(2));
    let joined = fourth.enter();
    let at = |number| entered.iter().position(|entered| u64::from(entered.node) == number).unwrap();
    let leading = until("the log is sent to it", || {
        let leader = entered[0].group.status().leader?;
        let leading = &entered[at(leader)].group;
        if !leading.status().learners.contains(&4) {
            let (group, address) = (leading.clone(), plan.addresses[3].to_string());
            // the steward forgets it soon, whether it has caught up or not
            nodes[0].io.spawn(async move { group.add_learner(4, Voter { address }).await });
        }
        (!joined.group.is_view() && joined.group.status().leader == Some(leader)).then_some(leading)
    });
    drop(joined);
    fourth.kill();
    until("it is forgotten", || leading.status().learners.is_empty().then_some(()));
    // whom it heard last stays, and follows another
    let stand = |id| {
        let group = entered[at(id)].group.clone();
        async move {
            group.campaign().await;
            true
        }
    };
    assert!(nodes[0].io.block_on(leading.hand_over(LIMIT, |_| true, stand)), "another one leads");
    let back = plan.start(3, 0);
    let again = back.enter();
    assert_eq!((again.node, again.incarnation), (4, 2));
    register(&back, &again, "of the one that came back");
}

#[test]
fn a_node_of_another_cluster_at_the_address_of_a_voter_ends_nobody() {
    let plan = Plan::of(3);
    let (nodes, entered) = enter_all(&plan, 3);
    drop(entered);
    nodes.into_iter().for_each(Node::kill);
    let address = plan.addresses[0];
    let listener = TcpListener::bind(address).unwrap();
    let foreign = Node::start(listener, &plan.directory(9), ("foreign", 1), &[address], |_| {});
    foreign.enter();
    let nodes: Vec<Node> = (1..3).map(|index| plan.start(index, 3)).collect();
    std::thread::scope(|scope| {
        let entering: Vec<_> = nodes.iter().map(|node| scope.spawn(|| node.enter())).collect();
        entering.into_iter().for_each(|entering| drop(entering.join().unwrap()));
    });
    for node in &nodes {
        assert_eq!(*node.ends.lock().unwrap(), [""; 0]);
    }
}
