//! Modules: the code that processes are started from, under a name.

use crate::body::Body;
use crate::term::Term;
use std::sync::Arc;

/// A module: what `start_process` and `spawn_process` name. One in Rust implements this (or a behaviour's own trait,
/// which is less work) and is handed to the node's configuration.
pub trait Module: Send + Sync + 'static {
    /// Name, behaviour and hooks. Called once, when the module is added.
    fn describe(&self) -> Description;

    /// The body of a new process. Its first event is [`Event::Start`](crate::body::Event::Start), in which it must
    /// answer the starter with [`Context::started`](crate::context::Context::started),
    /// [`ignore`](crate::context::Context::ignore) or [`Step::Exit`](crate::body::Step::Exit).
    fn start(&self, args: &Term) -> Box<dyn Body>;

    /// The body that runs the exported function `name` to its end, if there is one: no handshake, the process exits
    /// `normal` when it returns.
    fn function(&self, _name: &str, _args: &Term) -> Option<Box<dyn Body>> {
        None
    }

    /// A body with the state of a [`Body::snapshot`]; it goes on waiting for messages.
    fn restore(&self, _snapshot: &Term) -> Option<Box<dyn Body>> {
        None
    }
}

/// What a module says of itself; shared by all its processes.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Its name.
    pub name: Arc<str>,
    /// Which behaviour its processes have.
    pub behaviour: Behaviour,
    /// Where its processes' code lives.
    pub kind: ProcessKind,
    /// What its processes can be asked for.
    pub hooks: Hooks,
    /// Names of the functions that [`Module::function`] knows.
    pub functions: Vec<Arc<str>>,
}

impl Description {
    /// A native module of this behaviour without hooks.
    pub fn native(name: &str, behaviour: Behaviour) -> Self {
        Self {
            name: name.into(),
            behaviour,
            kind: ProcessKind::Native,
            hooks: Hooks::default(),
            functions: Vec::new(),
        }
    }
}

/// Which of OTP's behaviours a process has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Behaviour {
    /// None: it receives for itself.
    #[default]
    Plain,
    /// `gen_server`.
    GenServer,
    /// `gen_statem`.
    GenStatem,
    /// `gen_event`.
    GenEvent,
    /// `supervisor`.
    Supervisor,
}

impl Behaviour {
    /// OTP's name of it; `plain` for none.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::GenServer => "gen_server",
            Self::GenStatem => "gen_statem",
            Self::GenEvent => "gen_event",
            Self::Supervisor => "supervisor",
        }
    }
}

/// Where a process's code lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ProcessKind {
    /// In the node, in Rust.
    #[default]
    Native,
    /// In a WebAssembly guest.
    Guest,
    /// In a program on a stream.
    External,
    /// A client's session.
    Session,
}

/// What a process can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hooks {
    /// Its state can be read.
    pub inspect: bool,
    /// Its state can be replaced.
    pub replace: bool,
    /// It can be snapshotted and restored.
    pub snapshot: bool,
}
