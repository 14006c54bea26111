//! What processes of other nodes ask of this one about themselves.

use super::*;

#[test]
fn a_process_of_another_node_links_and_unlinks_itself_by_a_request_to_this_one() {
    let pair = Pair::new();
    let ((afar, log), (here, other)) = (pair.trapping(0), pair.trapping(1));
    pair.nodes[1].link(afar, here).unwrap();
    pair.settle();
    pair.nodes[1].unlink(afar, here).unwrap();
    pair.settle();
    pair.nodes[1].link(afar, here).unwrap();
    pair.settle();
    pair.nodes[1].kill(here, Term::KILLED);
    pair.settle();
    assert_eq!((read(&log), read(&other)), (vec![exit(here, "killed")], vec![]));
    pair.nodes[1].link(afar, here).unwrap();
    pair.settle();
    assert_eq!(read(&log)[1..], [exit(here, "noproc")]);
    assert!(pair.nodes[0].info(afar).unwrap().links.is_empty());
}

#[test]
fn a_process_of_another_node_monitors_by_a_request_to_this_one() {
    let pair = Pair::new();
    let name = Some(ProcessName { name: "here".into(), global: false });
    let (afar, log) = pair.trapping(0);
    let (here, _) = pair.spawn(1, StartOptions { name, ..StartOptions::default() });
    let undone = pair.nodes[1].monitor(afar, Some(here), None).unwrap();
    pair.nodes[1].monitor(afar, Some(here), Some("here")).unwrap();
    pair.nodes[1].monitor(afar, None, Some("nobody")).unwrap();
    pair.settle();
    assert_eq!((undone.node, undone.incarnation), (1, 1), "it is the watcher's");
    let object = |name: &str| Term::map([("name", Term::str(name)), ("node", "n2".into())]);
    assert_eq!(downs(&log), [(object("nobody"), Term::NOPROC)]);
    assert!(pair.nodes[0].demonitor(afar, undone, true).unwrap());
    pair.settle();
    pair.nodes[1].kill(here, Term::KILLED);
    pair.settle();
    assert_eq!(downs(&log)[1..], [(object("here"), Term::KILLED)]);

    let (here, _) = pair.trapping(1);
    pair.nodes[1].monitor(afar, Some(here), None).unwrap();
    pair.settle();
    pair.cut();
    assert_eq!(downs(&log)[2..], [(Term::Pid(here), "noconnection".into())]);
}

#[test]
fn a_process_that_starts_is_monitored_by_one_of_another_node_from_the_first_moment() {
    let pair = Pair::new();
    let (watcher, log) = pair.trapping(0);
    let reference = pair.nodes[1].new_ref_of(watcher);
    let options = StartOptions { monitor: Some((watcher, reference)), ..StartOptions::default() };
    let (started, _) = pair.spawn(1, options);
    pair.nodes[1].kill(started, Term::SHUTDOWN);
    pair.settle();
    assert_eq!(downs(&log), [(Term::Pid(started), Term::SHUTDOWN)]);
}

#[test]
fn of_two_processes_that_are_both_elsewhere_none_can_be_bound_here() {
    let pair = Pair::new();
    let ((first, _), (second, _)) = (pair.trapping(1), pair.trapping(1));
    assert_eq!(pair.nodes[0].link(first, second), Err(ControlError::NoProcess(first)));
    assert_eq!(pair.nodes[0].monitor(first, Some(second), None), Err(ControlError::NoProcess(first)));
}
