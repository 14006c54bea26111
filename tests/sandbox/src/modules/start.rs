//! What the args common to all say of a start (`trap_exit`, `init_sleep`, how each attempt ends) and of an end.

use super::{Chronicle, ID};
use arsenal_behaviours::gen_event::Init;
use arsenal_behaviours::gen_server::Termination;
use arsenal_behaviours::pause::Pause;
use arsenal_runtime::context::Context;
use arsenal_runtime::term::{Reason, Term};
use std::sync::Arc;
use std::time::Duration;

/// How one attempt to start ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    Ok,
    Ignore,
    Stop(Reason),
    Crash(Reason),
    Exit(Reason),
}

/// One attempt to start.
#[derive(Clone)]
pub(super) struct Attempt {
    pub(super) id: Arc<str>,
    /// How long it takes.
    pub(super) pause: Duration,
    pub(super) verdict: Verdict,
}

impl Attempt {
    /// Enters the init of the process with these args.
    pub(super) fn begin(args: &Term, chronicle: &Chronicle, cx: &mut Context<'_>) -> Self {
        let id: Arc<str> = args.get(ID).and_then(Term::as_str).unwrap_or("?").into();
        let number = chronicle.attempt(&id, cx);
        if args.get("trap_exit").and_then(Term::as_bool) == Some(true) {
            cx.trap_exit(true);
        }
        let (slept, verdict) = read(args.get("init"), number);
        let pause = args.get("init_sleep").map_or(Duration::ZERO, milliseconds) + slept;
        Self { id, pause, verdict }
    }
}

/// What the outcome in the scenario's words is; a list has one for each attempt, the last for all after it.
pub(super) fn read(outcome: Option<&Term>, number: usize) -> (Duration, Verdict) {
    let outcome = match outcome.and_then(Term::as_list) {
        Some(outcomes) => outcomes.get(number).or(outcomes.last()),
        None => outcome,
    };
    let Some(outcome) = outcome else { return (Duration::ZERO, Verdict::Ok) };
    let reason = |key| outcome.get(key).cloned();
    let verdict = if outcome.is("ignore") {
        Verdict::Ignore
    } else if let Some(reason) = reason("stop").or_else(|| reason("error")) {
        Verdict::Stop(reason)
    } else if let Some(reason) = reason("crash") {
        Verdict::Crash(reason)
    } else if let Some(reason) = reason("exit") {
        Verdict::Exit(reason)
    } else {
        Verdict::Ok
    };
    (outcome.get("sleep").map_or(Duration::ZERO, milliseconds), verdict)
}

/// A number of milliseconds; none for what is no such number.
pub(super) fn milliseconds(term: &Term) -> Duration {
    Duration::from_millis(term.as_int().and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0))
}

/// The init of whatever `run` makes if the attempt goes well.
pub(super) fn init<T: 'static>(
    args: &Term,
    chronicle: &Arc<Chronicle>,
    cx: &mut Context<'_>,
    run: impl FnOnce() -> Init<T> + Send + 'static,
) -> Init<T> {
    let Attempt { id, pause, verdict } = Attempt::begin(args, chronicle, cx);
    let chronicle = Arc::clone(chronicle);
    let end = move |cx: &mut Context<'_>| match verdict {
        Verdict::Ok => {
            chronicle.started(&id, cx);
            run()
        }
        Verdict::Ignore => Init::Ignore,
        Verdict::Stop(reason) => Init::Stop(reason),
        Verdict::Crash(reason) => Init::Crash(reason),
        Verdict::Exit(reason) => Init::Exit(reason),
    };
    if pause.is_zero() { end(cx) } else { Pause::sleep(pause, move |(), cx| end(cx)).into() }
}

/// What the args common to all say of an end: `terminate_sleep`, then `terminate_crash` or `terminate_exit`.
#[derive(Default)]
pub(super) struct Ending {
    pause: Duration,
    crash: Option<Reason>,
    exit: Option<Reason>,
}

impl Ending {
    /// Reads the args.
    pub(super) fn of(args: &Term) -> Self {
        Self {
            pause: args.get("terminate_sleep").map_or(Duration::ZERO, milliseconds),
            crash: args.get("terminate_crash").cloned(),
            exit: args.get("terminate_exit").cloned(),
        }
    }

    /// The result of the terminate callback.
    pub(super) fn termination<S: 'static>(&mut self) -> Termination<S> {
        let Self { pause, crash, exit } = std::mem::take(self);
        let end = move || match (crash, exit) {
            (Some(reason), _) => Termination::Crash(reason),
            (None, Some(reason)) => Termination::Exit(reason),
            (None, None) => Termination::Done,
        };
        if pause.is_zero() { end() } else { Pause::sleep(pause, move |_: &mut S, _| end()).into() }
    }
}
