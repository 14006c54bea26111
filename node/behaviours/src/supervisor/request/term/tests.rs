use super::*;
use crate::supervisor::core::{ChildCounts, ChildState};
use crate::supervisor::history::Failure;
use crate::supervisor::model::{ModelChild, SupervisorModel};
use crate::supervisor::request::{ChildInfo, ChildrenPage, FlagsReport, SupervisorReply};
use crate::supervisor::spec::{ChildKind, Restart, Shutdown, SupervisorFlags};
use arsenal_runtime::pid::Pid;
use std::time::Duration;

fn spec() -> ChildSpec {
    ChildSpec::worker("a", "counter", Term::Null)
}

#[test]
fn a_request_reads_back_as_it_was_written() {
    let changes = FlagChanges {
        strategy: Some(Strategy::RestForOne),
        intensity: Some(3),
        period: Some(Duration::from_secs(1)),
        auto_shutdown: Some(AutoShutdown::AnySignificant),
        children_max: Some(None),
    };
    let requests = [
        SupervisorRequest::WhichChildren { before: None, limit: None },
        SupervisorRequest::WhichChildren { before: Some(Place(4)), limit: Some(2) },
        SupervisorRequest::CountChildren,
        SupervisorRequest::StartChild(Box::new(spec())),
        SupervisorRequest::AddDynamicChild(Box::new(Instance::with_args(Term::list([Term::Int(1)])))),
        SupervisorRequest::AddDynamicChild(Box::new(Instance {
            args: Term::Null,
            name: Some(arsenal_runtime::start::ProcessName { name: "foo".into(), global: true }),
            key: Some("k".into()),
            labels: [("tier".into(), "front".into())].into(),
        })),
        SupervisorRequest::StartChildTerm(spec().to_term()),
        SupervisorRequest::TerminateChild("a".into()),
        SupervisorRequest::TerminateProcess(Pid::new(1, 1, 2)),
        SupervisorRequest::RestartChild("a".into()),
        SupervisorRequest::DeleteChild("a".into()),
        SupervisorRequest::GetChildSpec("a".into()),
        SupervisorRequest::ReplaceChildSpec {
            child: "a".into(),
            spec: Box::new(spec()),
            etag: Some("1".into()),
            restart: true,
        },
        SupervisorRequest::GetFlags,
        SupervisorRequest::SetFlags { changes, etag: None },
        SupervisorRequest::Convert(Strategy::SimpleOneForOne),
        SupervisorRequest::Pause,
        SupervisorRequest::Resume { holder: Holder::Principal("me".into()) },
        SupervisorRequest::Resume { holder: Holder::Process(Pid::new(1, 1, 2)) },
        SupervisorRequest::Restart { keep_history: true, instances: false, dry_run: true },
        SupervisorRequest::Stop(Term::SHUTDOWN),
        SupervisorRequest::GetModel,
    ];
    for request in requests {
        assert_eq!(SupervisorRequest::from_term(&request.to_term()), (Form::Typed, Ok(request)));
    }
}

fn replies() -> Vec<Outcome> {
    let pid = Pid::new(1, 1, 9);
    let info = |state| ChildInfo {
        id: "a".into(),
        state,
        kind: ChildKind::Worker,
        module: "counter".into(),
        modules: None,
        restart: Restart::Transient,
        shutdown: Shutdown::BrutalKill,
        significant: true,
        incarnation: 2,
    };
    let report = FlagsReport {
        flags: SupervisorFlags::default(),
        etag: "1".into(),
        paused: true,
        restarts_used: 1,
        restarts_total: 7,
        owed: vec!["a".into()],
        template: Some(Box::new(spec())),
    };
    let model = SupervisorModel {
        flags: SupervisorFlags::default(),
        template: Some(spec()),
        children: vec![ModelChild { spec: spec(), state: ChildState::Running(pid), incarnation: 1 }],
        paused: false,
        restarts: vec![Duration::from_millis(5)],
        history: [Failure { at: Duration::from_millis(5), child: "a".into(), reason: Term::KILLED }]
            .into_iter()
            .collect(),
        now: Duration::from_millis(7),
    };
    vec![
        Ok(SupervisorReply::Done),
        Ok(SupervisorReply::Started { pid: None, id: "a".into() }),
        Ok(SupervisorReply::Started { pid: Some(pid), id: "a".into() }),
        Ok(SupervisorReply::Children(ChildrenPage {
            children: vec![info(ChildState::Running(pid)), info(ChildState::Owed(Some(pid)))],
            next: Some(Place(3)),
            as_of: 8,
        })),
        Ok(SupervisorReply::Counts(ChildCounts { specs: 1, active: 2, supervisors: 3, workers: 4 })),
        Ok(SupervisorReply::ChildSpec(Box::new(spec()))),
        Ok(SupervisorReply::Flags(report.clone())),
        Ok(SupervisorReply::Changed { changed: true, flags: report }),
        Ok(SupervisorReply::Resumed { resumed: true, restarted: vec![info(ChildState::Running(pid))] }),
        Ok(SupervisorReply::Replaced { etag: "1".into(), pid: Some(pid) }),
        Ok(SupervisorReply::Restarted(vec![info(ChildState::Restarting(None)), info(ChildState::Stopped)])),
        Ok(SupervisorReply::Model(Box::new(model))),
        Err(SupervisorError::Restarting),
    ]
}

#[test]
fn an_answer_reads_back_as_it_was_written() {
    for outcome in replies() {
        let term = write_reply(&outcome, Form::Typed);
        assert_eq!(SupervisorRequest::read_reply(&term), Some(outcome));
    }
}

#[test]
fn a_bare_request_is_answered_in_otps_shape() {
    let otp = |outcome: &Outcome| write_reply(outcome, Form::Otp).to_json().to_string();
    let replies = replies();
    assert_eq!(SupervisorRequest::from_term(&"which_children".into()).0, Form::Otp);
    assert_eq!(otp(&replies[0]), r#""ok""#);
    assert_eq!(otp(&replies[1]), r#"["ok","undefined"]"#);
    let children = r#"[["a","n1.1.9","worker",["counter"]],["a","undefined","worker",["counter"]]]"#;
    assert_eq!(otp(&replies[3]), children);
    assert_eq!(otp(&replies[4]), r#"[["specs",1],["active",2],["supervisors",3],["workers",4]]"#);
    assert_eq!(otp(&Err(SupervisorError::NotFound("x".into()))), r#"["error","not_found"]"#);
}

#[test]
fn what_is_no_request_is_refused_and_what_holds_no_spec_too() {
    for term in [Term::Int(1), "jump".into(), Term::tagged("jump", Term::Null), "terminate_child".into()] {
        let error = SupervisorRequest::from_term(&term).1.unwrap_err();
        assert_eq!(error, SupervisorError::UnknownRequest(term));
    }
    let bad = Term::tagged("start_child_spec", Term::map([("id", Term::Atom("a"))]));
    assert_eq!(SupervisorRequest::from_term(&bad).1.unwrap_err().atom(), "invalid_spec");
}
