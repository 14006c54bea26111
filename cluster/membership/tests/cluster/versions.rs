//! Nodes of several versions: which one the cluster agrees on, and who is refused for it.

use crate::plan::{Plan, enter_all, until};
use arsenal_proto::internal::v1::membership_service_server::MembershipService as _;
use arsenal_proto::internal::v1::{Candidate, Hello, JoinRequest};
use arsenal_raft::PROTOCOL_NEWEST;
use tonic::{Code, Request};

#[test]
fn nodes_of_one_build_agree_on_its_version_and_one_of_an_older_build_is_refused_with_both_from_then_on() {
    let plan = Plan::of(3);
    let (nodes, entered) = enter_all(&plan, 3);
    for entered in &entered {
        let agreed = || entered.group.look(|state| state.nodes().protocol()) == PROTOCOL_NEWEST;
        until("the version is agreed on", || agreed().then_some(()));
    }
    let hello = Hello { protocol_min: 1, protocol_max: 2, version: "0.0.9".to_owned(), ..Hello::default() };
    let candidate = Candidate { identity: 9, name: "old".to_owned(), ..Candidate::default() };
    for node in &nodes {
        let request = JoinRequest { hello: Some(hello.clone()), candidate: Some(candidate.clone()) };
        let refused = node.io.block_on(node.cluster.desk().join(Request::new(request))).unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        let (message, newest) = (refused.message(), format!("{PROTOCOL_NEWEST} to {PROTOCOL_NEWEST}"));
        assert!(message.contains("0.0.9 versions 1 to 2") && message.contains(&newest), "{message}");
    }
}
