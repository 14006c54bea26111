//! Behaviours and shipped modules as processes of a deterministic node, in virtual time.

mod gen_event;
mod gen_server;
mod gen_statem;
mod modules;

use arsenal_behaviours::modules::native_modules;
use arsenal_runtime::request::CallError;
use arsenal_runtime::{Kind, Message, Node, NodeConfig, Pid, StartError, StartOptions, Started, Term};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A node and a client of it.
pub(crate) struct Ground {
    pub(crate) node: Node,
}

impl Ground {
    pub(crate) fn new() -> Self {
        Self { node: Node::deterministic(NodeConfig { modules: native_modules(), ..NodeConfig::default() }) }
    }

    /// Runs the node until `future` is ready, and time with it.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..10_000 {
            if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
                return result;
            }
            if self.node.run_until_idle() == 0 {
                self.pass(1);
            }
        }
        panic!("nothing came of it in ten seconds of the node's time");
    }

    /// Lets this many milliseconds pass.
    pub(crate) fn pass(&self, ms: u64) {
        self.node.advance(Duration::from_millis(ms));
    }

    pub(crate) fn try_start(
        &self,
        module: &str,
        args: Term,
        options: StartOptions,
    ) -> Result<Started, StartError> {
        self.wait(self.node.start_process(module, &args, options, None))
    }

    pub(crate) fn start(&self, module: &str, args: Term) -> Pid {
        self.start_with(module, args, StartOptions::default())
    }

    pub(crate) fn start_with(&self, module: &str, args: Term, options: StartOptions) -> Pid {
        match self.try_start(module, args, options) {
            Ok(Started::Running(pid)) => pid,
            other => panic!("{module} did not start: {other:?}"),
        }
    }

    pub(crate) fn try_call(&self, to: Pid, request: impl Into<Term>) -> Result<Term, CallError> {
        self.wait(self.node.call(to, request.into(), None, 0))
    }

    pub(crate) fn call(&self, to: Pid, request: impl Into<Term>) -> Term {
        self.try_call(to, request).expect("an answer")
    }

    /// The reason with which a call's server ended.
    pub(crate) fn call_exit(&self, to: Pid, request: impl Into<Term>) -> Term {
        match self.try_call(to, request) {
            Err(CallError::Died { reason, .. }) => reason,
            other => panic!("the server did not end: {other:?}"),
        }
    }

    pub(crate) fn send(&self, to: Pid, kind: Kind, payload: impl Into<Term>) {
        self.node.send(to, Message::of(kind, Pid::NONE, payload.into()));
        self.node.run_until_idle();
    }

    pub(crate) fn cast(&self, to: Pid, request: impl Into<Term>) {
        self.send(to, Kind::Cast, request);
    }

    /// A system request.
    pub(crate) fn system(&self, to: Pid, request: impl Into<Term>) -> Result<Term, CallError> {
        self.wait(self.node.system_request(to, request.into(), None))
    }

    /// The state as `sys:get_state` gives it.
    pub(crate) fn state(&self, of: Pid) -> Term {
        let answer = self.system(of, "get_state").expect("a state");
        answer.get("state").cloned().expect("the state itself")
    }

    /// `sys:terminate/2`.
    pub(crate) fn stop(&self, to: Pid, reason: impl Into<Term>) {
        self.send(to, Kind::System, Term::tagged("terminate", reason.into()));
    }

    /// Why it ended.
    pub(crate) fn exit_of(&self, pid: Pid) -> Term {
        self.node.run_until_idle();
        assert!(!self.node.is_alive(pid), "{pid} lives");
        self.node.events().exit_of(pid).expect("a record of its exit").reason.clone()
    }

    /// A recorder, and what it has received.
    pub(crate) fn recorder(&self) -> Pid {
        self.start("recorder", Term::Null)
    }

    pub(crate) fn received(&self, recorder: Pid) -> Vec<Term> {
        self.state(recorder).get("messages").and_then(Term::as_list).expect("a list").to_vec()
    }
}

/// What callbacks saw, in order; its clones are the same log.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Term>>>);

impl Log {
    pub(crate) fn push(&self, entry: Term) {
        self.0.lock().expect("no callback panics with the log in hand").push(entry);
    }

    /// What it holds; it is empty afterwards.
    pub(crate) fn take(&self) -> Vec<Term> {
        std::mem::take(&mut *self.0.lock().expect("no callback panics with the log in hand"))
    }
}

/// `[terms...]`.
pub(crate) fn list<const N: usize>(terms: [Term; N]) -> Term {
    terms.into()
}
