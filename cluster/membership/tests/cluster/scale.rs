//! Three voters and many nodes with views on loopback, all in this process. What is told are numbers; what is asserted are
//! outcomes. `ARSENAL_SCALE=full` has fifty views:
//!
//! `ARSENAL_SCALE=full cargo test -p arsenal-membership --test cluster scale -- --nocapture`

use crate::plan::{LEASE, Node, Plan, enter_all, holds, membership, register, until, up};
use arsenal_membership::Entered;
use std::time::{Duration, Instant};

const NAMES: usize = 20;

/// Seconds of processor that this process has used, all its nodes together.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |place: usize| fields[place].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

#[test]
fn many_nodes_join_with_a_view_each_and_all_see_what_one_of_them_registers() {
    let count = if std::env::var("ARSENAL_SCALE").is_ok_and(|scale| scale == "full") { 50 } else { 8 };
    let plan = Plan::of(3 + count);
    let (voters, founded) = enter_all(&plan, 3);
    let seeds = plan.addresses[..3].to_vec();
    let began = Instant::now();
    let start = |index| plan.start_with(index, 0, &seeds, |settings| settings.never_votes = true);
    let members: Vec<Node> = (3..3 + count).map(start).collect();
    let entered: Vec<Entered> = std::thread::scope(|scope| {
        let entering: Vec<_> = members.iter().map(|member| scope.spawn(|| member.enter())).collect();
        entering.into_iter().map(|entering| entering.join().unwrap()).collect()
    });
    for entered in entered.iter().chain(&founded) {
        membership(entered, "all are up", |membership| up(membership).len() == 3 + count);
    }
    println!("{count} nodes are up in everybody's view after {:?}", began.elapsed());

    let mut lags: Vec<Duration> = Vec::new();
    for number in 0..NAMES {
        let name = format!("name-{number}");
        register(&members[number % count], &entered[number % count], &name);
        let registered = Instant::now();
        for entered in &entered {
            until("it is seen", || holds(entered, &name).then_some(()));
            lags.push(registered.elapsed());
        }
    }
    lags.sort_unstable();
    let (median, most) = (lags[lags.len() / 2], lags[lags.len() - 1]);
    println!("seen elsewhere after its registrar had its answer: median {median:?}, most {most:?}");
    let (began, before) = (Instant::now(), processor_seconds());
    until("a lease has passed", || (began.elapsed() > LEASE).then_some(()));
    let used = (processor_seconds() - before) / began.elapsed().as_secs_f64();
    println!("at rest all {} nodes together use {:.1} % of a core", 3 + count, used * 100.0);

    assert!(entered.iter().all(|entered| entered.group.is_view()));
    for entered in &founded {
        let seen = entered.nodes.membership();
        let voting: Vec<u32> = seen.nodes.values().filter(|node| node.voter).map(|node| node.id).collect();
        assert_eq!(voting, [1, 2, 3], "who never votes is given no vote");
        assert!(entered.group.status().learners.is_empty(), "the log is sent to voters alone");
    }
    drop((voters, members));
}
