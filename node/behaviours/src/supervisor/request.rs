//! What a running supervisor can be asked, and its answers: plain data, sent as a `gen_server` call.
//!
//! A typed request travels as `["supervisor", request]` and is answered typed; the bare request (`"which_children"`,
//! `["start_child", spec]`, ...) is answered in OTP's shape. How they look as terms stands in `request/term.rs`.

mod term;

use super::core::{ChildCounts, ChildState, Place};
use super::error::SupervisorError;
use super::model::SupervisorModel;
use super::spec::{
    AutoShutdown, ChildKind, ChildSpec, Instance, Restart, Shutdown, Strategy, SupervisorFlags,
};
use arsenal_runtime::hold::Holder;
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::{Reason, Term};
use std::sync::Arc;
use std::time::Duration;

pub use term::Form;
pub(super) use term::write_reply;

/// A request to a supervisor.
///
/// `child` is an id; under `simple_one_for_one` it is an instance's pid, and the template's id for its spec.
#[derive(Clone, Debug, PartialEq)]
pub enum SupervisorRequest {
    /// `supervisor:which_children/1`, a page at a time: children before this place, latest first, so many at most.
    WhichChildren {
        /// [`ChildrenPage::next`] of the page before.
        before: Option<Place>,
        /// Children in the answer at most.
        limit: Option<usize>,
    },
    /// `supervisor:count_children/1`.
    CountChildren,
    /// `supervisor:start_child/2` with a full specification.
    StartChild(Box<ChildSpec>),
    /// `supervisor:start_child/2` under `simple_one_for_one`: an instance with what it has of its own.
    AddDynamicChild(Box<Instance>),
    /// `supervisor:start_child/2` as OTP has it: extra args under `simple_one_for_one`, else a specification.
    StartChildTerm(Term),
    /// `supervisor:terminate_child/2`.
    TerminateChild(Term),
    /// Stop the child that runs, or last ran, under this pid, whatever the strategy.
    TerminateProcess(Pid),
    /// `supervisor:restart_child/2`.
    RestartChild(Term),
    /// `supervisor:delete_child/2`.
    DeleteChild(Term),
    /// `supervisor:get_childspec/2`.
    GetChildSpec(Term),
    /// Another spec in the old place.
    ReplaceChildSpec {
        /// Which child.
        child: Term,
        /// What it is started from henceforth; its id is the child's.
        spec: Box<ChildSpec>,
        /// The etag that it must have now.
        etag: Option<String>,
        /// Stop it and start it from the new spec at once.
        restart: bool,
    },
    /// Flags, whether it is paused, and how much of its intensity is used.
    GetFlags,
    /// Several flags at once, all or nothing.
    SetFlags {
        /// What changes.
        changes: FlagChanges,
        /// The etag that the flags must have now.
        etag: Option<String>,
    },
    /// Another strategy, children converted where that takes it.
    Convert(Strategy),
    /// No restarts as long as it is held ([`HoldKind::PauseSupervision`](arsenal_runtime::hold::HoldKind)): whoever has
    /// taken a hold tells it so, and the answer says that it knows.
    Pause,
    /// End this holder's hold; after the last one, restart what is owed and go on as usual.
    Resume {
        /// Whose.
        holder: Holder,
    },
    /// Stop the whole tree and start it again.
    Restart {
        /// Whether restarts and failures so far stay known.
        keep_history: bool,
        /// Whether `simple_one_for_one` instances are started again too.
        instances: bool,
        /// Only say which children it would be.
        dry_run: bool,
    },
    /// Stop all children in order, then end with this reason.
    Stop(Reason),
    /// All that decides what happens next: for [`simulate`](super::simulate) and [`optimize`](super::optimize).
    GetModel,
}

/// Flags to change; absent ones stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlagChanges {
    /// One of the three that need no conversion.
    pub strategy: Option<Strategy>,
    /// Restarts allowed.
    pub intensity: Option<u32>,
    /// The window in which they count.
    pub period: Option<Duration>,
    /// What the end of significant children does.
    pub auto_shutdown: Option<AutoShutdown>,
    /// Children at most; `Some(None)` lifts the bound.
    pub children_max: Option<Option<usize>>,
}

impl FlagChanges {
    /// The flags with these changes.
    pub fn apply(self, flags: SupervisorFlags) -> SupervisorFlags {
        SupervisorFlags {
            strategy: self.strategy.unwrap_or(flags.strategy),
            intensity: self.intensity.unwrap_or(flags.intensity),
            period: self.period.unwrap_or(flags.period),
            auto_shutdown: self.auto_shutdown.unwrap_or(flags.auto_shutdown),
            children_max: self.children_max.unwrap_or(flags.children_max),
        }
    }
}

/// What a supervisor answers.
#[derive(Clone, Debug, PartialEq)]
pub enum SupervisorReply {
    /// Done: to terminate, delete, pause, stop.
    Done,
    /// To every start of one child.
    Started {
        /// Its pid; none if its init answered `ignore`.
        pid: Option<Pid>,
        /// Its id; `undefined` for an instance.
        id: Term,
    },
    /// To [`SupervisorRequest::WhichChildren`].
    Children(ChildrenPage),
    /// To [`SupervisorRequest::CountChildren`].
    Counts(ChildCounts),
    /// To [`SupervisorRequest::GetChildSpec`].
    ChildSpec(Box<ChildSpec>),
    /// To [`SupervisorRequest::GetFlags`].
    Flags(FlagsReport),
    /// To changes of flags and conversions.
    Changed {
        /// Whether anything is other than before.
        changed: bool,
        /// The flags now.
        flags: FlagsReport,
    },
    /// To [`SupervisorRequest::Resume`].
    Resumed {
        /// Whether this holder had a pause.
        resumed: bool,
        /// The children that were owed, as they are now; none while another holder pauses it.
        restarted: Vec<ChildInfo>,
    },
    /// To [`SupervisorRequest::ReplaceChildSpec`].
    Replaced {
        /// The new spec's etag.
        etag: String,
        /// The child's pid now.
        pid: Option<Pid>,
    },
    /// To [`SupervisorRequest::Restart`]: the children as they are now or, in a dry run, those that it would be.
    Restarted(Vec<ChildInfo>),
    /// To [`SupervisorRequest::GetModel`].
    Model(Box<SupervisorModel>),
}

/// Part of the list of children.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ChildrenPage {
    /// The children, latest started first.
    pub children: Vec<ChildInfo>,
    /// Where the next page begins; nothing after the last.
    pub next: Option<Place>,
    /// Two pages with the same number saw the same children in the same states.
    pub as_of: u64,
}

/// One child as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildInfo {
    /// Its id; `undefined` for an instance.
    pub id: Term,
    /// What it does.
    pub state: ChildState,
    /// Whether it is a supervisor.
    pub kind: ChildKind,
    /// Its module.
    pub module: Arc<str>,
    /// As [`ChildSpec::modules`].
    pub modules: Option<Vec<Arc<str>>>,
    /// When it is started again.
    pub restart: Restart,
    /// How it is told to end.
    pub shutdown: Shutdown,
    /// Whether its end counts for `auto_shutdown`.
    pub significant: bool,
    /// How often it has started.
    pub incarnation: u32,
}

/// The flags, and how they stand.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagsReport {
    /// The flags.
    pub flags: SupervisorFlags,
    /// To be presented with a change.
    pub etag: String,
    /// Whether restarts wait.
    pub paused: bool,
    /// Restarts within the present period.
    pub restarts_used: usize,
    /// Restarts since it was started.
    pub restarts_total: u64,
    /// Children that a resume restarts: ids, or the pids that instances had.
    pub owed: Vec<Term>,
    /// What instances are started from, under `simple_one_for_one`.
    pub template: Option<Box<ChildSpec>>,
}

/// What a request comes to.
pub type Outcome = Result<SupervisorReply, SupervisorError>;
