//! The shipped supervisor with an init that writes the chronicle, and that can be told how to end.

use super::start::{self, Verdict};
use super::{Chronicle, ID, INIT};
use arsenal_behaviours::supervisor::spec::SUPERVISOR_MODULE;
use arsenal_behaviours::supervisor::{Init, SupervisorModule, SupervisorSpec};
use arsenal_runtime::context::Context;
use arsenal_runtime::term::Term;
use std::sync::Arc;

pub(super) fn module(chronicle: &Arc<Chronicle>) -> SupervisorModule {
    let chronicle = Arc::clone(chronicle);
    SupervisorModule::new(SUPERVISOR_MODULE, move |args: &Term, cx: &mut Context<'_>| {
        init(args, &chronicle, cx)
    })
}

fn init(args: &Term, chronicle: &Chronicle, cx: &mut Context<'_>) -> Init {
    let text = |term: &Term| term.as_str().map(str::to_owned);
    let id = args.get(ID).and_then(text).or_else(|| cx.child_id().as_ref().and_then(text));
    let id = id.or_else(|| chronicle.take_supervisor()).unwrap_or_else(|| "?".to_owned());
    let number = chronicle.attempt(&id, cx);
    match start::read(args.get(INIT), number).1 {
        Verdict::Ok => {}
        Verdict::Ignore => return Init::Ignore,
        Verdict::Stop(reason) | Verdict::Exit(reason) => return Init::Stop(reason),
        Verdict::Crash(reason) => return Init::Stop(Term::crash(reason)),
    }
    match SupervisorSpec::from_term(args) {
        Ok(spec) => {
            chronicle.started(&id, cx);
            Init::Supervise(spec)
        }
        Err(error) => Init::Stop(error.to_start_reason()),
    }
}
