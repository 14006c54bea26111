//! From domain errors to gRPC status: the one place that chooses codes.
//!
//! Every status carries an `ErrorInfo` whose `reason` is OTP's atom in capitals, and what else fits: an `ExitDetail`
//! with the term, `BadRequest`, `ResourceInfo`, `PreconditionFailure`, `QuotaFailure`.

use crate::payload;
use arsenal_behaviours::supervisor::{SpecError, SupervisorError};
use arsenal_membership::NodeError;
use arsenal_proto::google::rpc;
use arsenal_proto::v1;
use arsenal_runtime::control::ControlError;
use arsenal_runtime::hold::HoldError;
use arsenal_runtime::names::NameError;
use arsenal_runtime::passage::PassageError;
use arsenal_runtime::registry::RegistryError;
use arsenal_runtime::request::CallError;
use arsenal_runtime::{Node, Pid, StartError, Term};
use prost::Message as _;
use prost_types::Any;
use tonic::{Code, Status};

/// The `domain` of every `ErrorInfo`.
pub const DOMAIN: &str = "arsenal";

/// A status under construction.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    message: String,
    details: Vec<Any>,
}

/// An error with this code, OTP's atom in capitals, and words for people.
pub fn failure(code: Code, reason: &str, message: impl Into<String>) -> Failure {
    let info = rpc::ErrorInfo { reason: reason.into(), domain: DOMAIN.into(), metadata: Default::default() };
    let message = cut(message.into(), MESSAGE_BYTES_MAX);
    Failure { code, message, details: vec![any("google.rpc.ErrorInfo", &info)] }
}

/// Bytes of a message, and of what a detail names: a request may be quoted there, and all of it goes into trailers, of which
/// clients take some kilobytes.
const MESSAGE_BYTES_MAX: usize = 2 << 10;
const NAME_BYTES_MAX: usize = 1 << 10;

/// The start of a text that is too long.
fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
    text
}

fn any(name: &str, message: &impl prost::Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

impl Failure {
    /// With OTP's term for it and the process that it is about.
    #[must_use]
    pub fn exit(mut self, reason: &Term, process: Pid, error: Option<&str>) -> Self {
        let detail = v1::ExitDetail {
            reason: Some(payload::to_value(reason)),
            process: process.some().map(|pid| pid.to_string()).unwrap_or_default(),
            error: error.unwrap_or_default().to_owned(),
        };
        self.details.push(any("arsenal.v1.ExitDetail", &detail));
        self
    }

    /// With the field of the request that is wrong.
    #[must_use]
    pub fn field(mut self, field: &str) -> Self {
        let violation = rpc::bad_request::FieldViolation {
            field: field.into(),
            description: self.message.clone(),
            ..Default::default()
        };
        self.details
            .push(any("google.rpc.BadRequest", &rpc::BadRequest { field_violations: vec![violation] }));
        self
    }

    /// With the resource that it is about.
    #[must_use]
    pub fn resource(mut self, kind: &str, name: &str) -> Self {
        let info = rpc::ResourceInfo {
            resource_type: kind.into(),
            resource_name: cut(name.into(), NAME_BYTES_MAX),
            ..Default::default()
        };
        self.details.push(any("google.rpc.ResourceInfo", &info));
        self
    }

    /// With what has to be so first.
    #[must_use]
    pub fn precondition(self, kind: &str, subject: &str) -> Self {
        self.preconditions(kind, [subject])
    }

    /// With what has to be so first, of several subjects.
    #[must_use]
    pub fn preconditions<'a>(mut self, kind: &str, subjects: impl IntoIterator<Item = &'a str>) -> Self {
        let violation = |subject: &str| rpc::precondition_failure::Violation {
            r#type: kind.into(),
            subject: cut(subject.into(), NAME_BYTES_MAX),
            description: self.message.clone(),
        };
        let violations = subjects.into_iter().map(violation).collect();
        self.details.push(any("google.rpc.PreconditionFailure", &rpc::PreconditionFailure { violations }));
        self
    }

    /// With a value that whoever handles the error needs, in its `ErrorInfo`.
    #[must_use]
    pub fn metadata(mut self, key: &str, value: &str) -> Self {
        if let Some(first) = self.details.first_mut()
            && let Ok(mut info) = rpc::ErrorInfo::decode(&*first.value)
        {
            info.metadata.insert(key.to_owned(), value.to_owned());
            first.value = info.encode_to_vec();
        }
        self
    }

    /// The status.
    pub fn status(self) -> Status {
        let status =
            rpc::Status { code: self.code as i32, message: self.message.clone(), details: self.details };
        Status::with_details(self.code, self.message, status.encode_to_vec().into())
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        failure.status()
    }
}

/// `INVALID_ARGUMENT BADARG`: a value of the request cannot be.
pub fn bad_argument(field: &str, message: impl Into<String>) -> Status {
    failure(Code::InvalidArgument, "BADARG", message).field(field).status()
}

/// `NOT_FOUND NOPROC`, with how the process ended if that is still known.
pub fn no_process(node: &Node, pid: Pid) -> Status {
    let message = format!("process {pid} is not alive");
    let failure = failure(Code::NotFound, "NOPROC", message).resource("process", &pid.to_string());
    match node.events().exit_of(pid) {
        Some(record) => failure.exit(&record.reason, pid, record.error.as_deref()).status(),
        None => failure.exit(&Term::NOPROC, pid, None).status(),
    }
}

/// `NOT_FOUND NOPROC`: nobody has this name.
pub fn no_name(name: &str) -> Status {
    failure(Code::NotFound, "NOPROC", format!("no process is registered as `{name}`"))
        .resource("name", name)
        .status()
}

/// `FAILED_PRECONDITION NO_HOOK`: the process lacks a hook.
pub fn no_hook(process: Pid, hook: &str) -> Status {
    failure(Code::FailedPrecondition, "NO_HOOK", format!("process {process} has no `{hook}` hook"))
        .precondition("HOOK", hook)
        .status()
}

/// A node that is not reached: nothing was sent.
pub fn of_node(error: &NodeError) -> Status {
    let (code, reason, id) = match error {
        NodeError::Unknown(id) => (Code::NotFound, "UNKNOWN_NODE", id),
        NodeError::Down { id, .. } | NodeError::Address { id, .. } => (Code::Unavailable, "NOCONNECTION", id),
    };
    failure(code, reason, error.to_string()).resource("node", &format!("n{id}")).status()
}

/// A status as a message of the contract has it.
pub fn to_proto(status: &Status) -> rpc::Status {
    let bare = || rpc::Status {
        code: status.code() as i32,
        message: status.message().to_owned(),
        ..Default::default()
    };
    // the details of a status are that very message, encoded
    rpc::Status::decode(status.details()).ok().filter(|_| !status.details().is_empty()).unwrap_or_else(bare)
}

/// A failed start.
pub fn of_start(node: &Node, error: &StartError) -> Status {
    let message = error.to_string();
    match error {
        StartError::UnknownModule(module) => {
            failure(Code::NotFound, "UNDEF", message).resource("module", module).status()
        }
        StartError::UnknownFunction { function, .. } => {
            failure(Code::NotFound, "UNDEF", message).resource("function", function).status()
        }
        StartError::NameTaken { holder, .. } => failure(Code::AlreadyExists, "ALREADY_STARTED", message)
            .exit(&error.to_term(), *holder, None)
            .status(),
        StartError::NoProcess(pid) => no_process(node, *pid),
        StartError::TooManyProcesses(_) => failure(Code::ResourceExhausted, "SYSTEM_LIMIT", message).status(),
        StartError::Init(reason) => {
            failure(Code::FailedPrecondition, "INIT_FAILED", message).exit(reason, Pid::NONE, None).status()
        }
        StartError::Timeout(_) => {
            failure(Code::DeadlineExceeded, "TIMEOUT", message).exit(&Term::TIMEOUT, Pid::NONE, None).status()
        }
        StartError::ParentDied { .. } => {
            failure(Code::Aborted, "CALLER_DIED", message).exit(&error.to_term(), Pid::NONE, None).status()
        }
        StartError::Stopping => failure(Code::Unavailable, "STOPPING", message).status(),
    }
}

/// A failed request to a process.
pub fn of_call(node: &Node, error: &CallError) -> Status {
    let message = error.to_string();
    match error {
        CallError::NoProcess(pid) => no_process(node, *pid),
        CallError::Died { process, reason } if reason.is("flushed") => {
            failure(Code::Aborted, "FLUSHED", message).exit(reason, *process, None).status()
        }
        CallError::Died { process, reason } if reason.is("noconnection") => {
            failure(Code::Aborted, "NOCONNECTION", message).exit(reason, *process, None).status()
        }
        CallError::NoConnection(pid) => {
            failure(Code::Unavailable, "NOCONNECTION", message).resource("process", &pid.to_string()).status()
        }
        CallError::Died { process, reason } => {
            let words = node.events().exit_of(*process).and_then(|record| record.error);
            failure(Code::Aborted, "EXITED", message).exit(reason, *process, words.as_deref()).status()
        }
        CallError::Timeout { process, .. } => {
            failure(Code::DeadlineExceeded, "TIMEOUT", message).exit(&Term::TIMEOUT, *process, None).status()
        }
        CallError::MailboxFull(pid) => failure(Code::ResourceExhausted, "QUEUE_FULL", message)
            .resource("process", &pid.to_string())
            .status(),
        CallError::TooBig(_) => failure(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message).status(),
        CallError::TooManyRequests(_) => failure(Code::ResourceExhausted, "SYSTEM_LIMIT", message).status(),
        CallError::NoHook { process, hook } => no_hook(*process, hook),
        CallError::Registry(error) => of_registry(error),
    }
}

/// A failed control of a process.
pub fn of_control(node: &Node, error: &ControlError) -> Status {
    let message = error.to_string();
    match error {
        ControlError::NoProcess(pid) => no_process(node, *pid),
        ControlError::NoScheduler { .. } => {
            failure(Code::OutOfRange, "BADARG", message).field("scheduler").status()
        }
        ControlError::Pinned { scheduler, .. } => failure(Code::FailedPrecondition, "PINNED", message)
            .precondition("PINNED", &scheduler.to_string())
            .status(),
        ControlError::TooManyTimers(_) => {
            failure(Code::ResourceExhausted, "TOO_MANY_TIMERS", message).status()
        }
    }
}

/// A process that does not move.
pub fn of_passage(node: &Node, error: &PassageError) -> Status {
    let message = error.to_string();
    match error {
        PassageError::NoProcess(pid) => no_process(node, *pid),
        PassageError::NoHook(pid) => no_hook(*pid, "snapshot"),
        PassageError::Fixed { process, .. } => failure(Code::FailedPrecondition, "NOT_MOVABLE", message)
            .precondition("MOVABLE", &process.to_string())
            .status(),
        PassageError::Underway(pid) => {
            failure(Code::Aborted, "MOVING", message).resource("process", &pid.to_string()).status()
        }
        PassageError::Timeout { process, .. } => {
            failure(Code::DeadlineExceeded, "TIMEOUT", message).exit(&Term::TIMEOUT, *process, None).status()
        }
        PassageError::StaleEpoch { process, epoch, .. } => stale_epoch(message, *process, *epoch),
        PassageError::NotComing(pid) => failure(Code::FailedPrecondition, "NOT_COMING", message)
            .precondition("COMING", &pid.to_string())
            .status(),
    }
}

fn stale_epoch(message: String, process: Pid, epoch: u64) -> Status {
    failure(Code::Aborted, "STALE_EPOCH", message)
        .metadata("epoch", &epoch.to_string())
        .resource("process", &process.to_string())
        .status()
}

/// A failed hold.
pub fn of_hold(node: &Node, error: &HoldError) -> Status {
    let message = error.to_string();
    match error {
        HoldError::NoProcess(pid) => no_process(node, *pid),
        HoldError::NotHeld { .. } => failure(Code::FailedPrecondition, "BADARG", message).status(),
        HoldError::Unknown(id) => {
            failure(Code::NotFound, "NO_HOLD", message).resource("hold", &id.to_string()).status()
        }
    }
}

/// A failed operation on a local name.
pub fn of_name(node: &Node, error: &NameError) -> Status {
    let message = error.to_string();
    match error {
        NameError::Taken { name, holder } => name_taken(message, name, *holder),
        NameError::HasName { pid, .. } => has_name(message, *pid),
        // registering a dead process is badarg by state, not a missing resource
        NameError::NoProcess(pid) => {
            let record = node.events().exit_of(*pid);
            let reason = record.map_or(Term::NOPROC, |record| record.reason);
            failure(Code::FailedPrecondition, "NOPROC", message).exit(&reason, *pid, None).status()
        }
        NameError::NotRegistered(name) => {
            failure(Code::NotFound, "NO_NAME", message).resource("name", name).status()
        }
        NameError::Invalid { .. } => bad_argument("name", message),
        NameError::Stale { .. } => failure(Code::Aborted, "ETAG_MISMATCH", message).status(),
        NameError::StaleToken { .. } => failure(Code::Aborted, "STALE_TOKEN", message).status(),
    }
}

fn name_taken(message: String, name: &str, holder: Pid) -> Status {
    let term = Term::tagged("already_registered", holder.into());
    failure(Code::AlreadyExists, "NAME_TAKEN", message)
        .exit(&term, holder, None)
        .resource("name", name)
        .status()
}

fn has_name(message: String, pid: Pid) -> Status {
    failure(Code::FailedPrecondition, "ALREADY_REGISTERED", message)
        .exit(&"badarg".into(), pid, None)
        .status()
}

/// A failed operation on the replicated registry.
pub fn of_registry(error: &RegistryError) -> Status {
    let message = error.to_string();
    match error {
        RegistryError::NameTaken { name, holder } => name_taken(message, name, *holder),
        RegistryError::HasName { pid, .. } => has_name(message, *pid),
        RegistryError::NotRegistered(name) => {
            failure(Code::NotFound, "NO_NAME", message).resource("name", name).status()
        }
        RegistryError::StaleToken { .. } => failure(Code::Aborted, "STALE_TOKEN", message).status(),
        RegistryError::StaleEpoch { process, epoch } => stale_epoch(message, *process, *epoch),
        RegistryError::StaleVersion { .. } | RegistryError::StaleGroup { .. } => {
            failure(Code::Aborted, "ETAG_MISMATCH", message).status()
        }
        RegistryError::GroupExists(group) => {
            failure(Code::AlreadyExists, "GROUP_EXISTS", message).resource("group", group).status()
        }
        RegistryError::NoGroup(group) => {
            failure(Code::NotFound, "NO_GROUP", message).resource("group", group).status()
        }
        RegistryError::NotJoined(group) => failure(Code::NotFound, "NOT_JOINED", message)
            .exit(&"not_joined".into(), Pid::NONE, None)
            .resource("group", group)
            .status(),
        RegistryError::GroupFull { .. } => failure(Code::ResourceExhausted, "MAX_MEMBERS", message).status(),
        RegistryError::BoundTooLow { .. } => bad_argument("max_members", message),
        RegistryError::UnexpectedCount { .. } => failure(Code::Aborted, "COUNT_MISMATCH", message).status(),
        RegistryError::MixedVersions(_) => failure(Code::FailedPrecondition, "MIXED_VERSIONS", message)
            .precondition("VERSION", "cluster")
            .status(),
        RegistryError::Unavailable(_) => failure(Code::Unavailable, "NO_QUORUM", message).status(),
        RegistryError::Exhausted(_) => failure(Code::ResourceExhausted, "REGISTRY_BUSY", message).status(),
        RegistryError::Unknown(_) => failure(Code::Aborted, "OUTCOME_UNKNOWN", message).status(),
    }
}

/// `INVALID_ARGUMENT BAD_SPEC`: a flag or a child's specification has no valid value.
pub fn bad_spec(error: &SpecError) -> Status {
    of_supervisor(&error.clone().into())
}

/// As [`bad_spec`], of a supervisor that is to be started: OTP says there which of flags and children is wrong.
pub fn bad_start_spec(error: &SpecError) -> Status {
    let (field, message, reason) = (error.field().into(), error.to_string(), error.to_start_reason());
    of_supervisor(&SupervisorError::InvalidSpec { field, reason, message })
}

/// What a supervisor refuses, with OTP's term for it.
pub fn of_supervisor(error: &SupervisorError) -> Status {
    use SupervisorError as Error;
    let (message, term) = (error.to_string(), error.to_otp());
    let refused = |code, reason, process| failure(code, reason, message.clone()).exit(&term, process, None);
    let precondition = |reason| refused(Code::FailedPrecondition, reason, Pid::NONE);
    match error {
        Error::NotFound(child) => {
            refused(Code::NotFound, "NOT_FOUND", Pid::NONE).resource("child", &child.to_string()).status()
        }
        Error::Running(pid) => refused(Code::FailedPrecondition, "RUNNING", *pid).status(),
        Error::Restarting => precondition("RESTARTING").status(),
        Error::AlreadyPresent(_) => refused(Code::AlreadyExists, "ALREADY_PRESENT", Pid::NONE).status(),
        Error::AlreadyStarted(pid) => refused(Code::AlreadyExists, "ALREADY_STARTED", *pid).status(),
        Error::SimpleOneForOne | Error::NeedsConversion { .. } => precondition("SIMPLE_ONE_FOR_ONE").status(),
        Error::NotSimpleOneForOne(_) => precondition("NOT_DYNAMIC").status(),
        Error::MaxChildren(_) => refused(Code::ResourceExhausted, "MAX_CHILDREN", Pid::NONE).status(),
        Error::InvalidSpec { field, .. } => {
            refused(Code::InvalidArgument, "BAD_SPEC", Pid::NONE).field(field).status()
        }
        Error::StaleEtag { .. } => refused(Code::Aborted, "ETAG_MISMATCH", Pid::NONE).status(),
        // the name that it registers is taken
        Error::StartFailed { reason, .. } => match reason.as_list() {
            Some([tag, holder]) if tag.is("already_started") => {
                refused(Code::AlreadyExists, "ALREADY_STARTED", holder.as_pid().unwrap_or_default()).status()
            }
            _ => precondition("START_FAILED").status(),
        },
        Error::MixedChildren(odd) => {
            let odd: Vec<String> = odd.iter().map(Term::to_string).collect();
            precondition("MIXED_CHILDREN").preconditions("CHILD", odd.iter().map(String::as_str)).status()
        }
        Error::NoTemplate => precondition("NO_CHILDREN").status(),
        Error::UnknownRequest(_) => refused(Code::Internal, "UNKNOWN_REQUEST", Pid::NONE).status(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_quotes_is_cut_to_what_trailers_hold() {
        let long = "ß".repeat(100_000);
        let status = failure(Code::NotFound, "NOPROC", format!("no process `{long}`"))
            .resource("process", &long)
            .status();
        assert!(status.message().len() <= MESSAGE_BYTES_MAX + '…'.len_utf8());
        assert!(status.message().starts_with("no process `ßß") && status.message().ends_with('…'));
        assert!(status.details().len() < 4 << 10, "{}", status.details().len());
    }
}
