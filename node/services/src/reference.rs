//! Process references, wherever a process is named: a pid, `NAME`, `NAME@NODE`, `NAME@global`, `KEY@key`.

use crate::status::{bad_argument, failure, no_name, no_process};
use arsenal_runtime::{Node, Pid, ProcessRef};
use tonic::{Code, Status};

/// A reference that was read but not looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A pid.
    Pid(Pid),
    /// A bare name: the local one of the node asked, else the global one.
    Name(String),
    /// A local name on a node.
    NameOn(String, String),
    /// A global name.
    Global(String),
    /// The process with this key.
    Key(String),
}

impl Reference {
    /// Reads a reference.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming `field` if it is empty.
    pub fn parse(field: &str, text: &str) -> Result<Self, Status> {
        if text.is_empty() {
            return Err(bad_argument(field, format!("`{field}` is empty; it names a process")));
        }
        if let Ok(pid) = text.parse() {
            return Ok(Self::Pid(pid));
        }
        Ok(match text.rsplit_once('@') {
            Some(("", _) | (_, "")) => {
                return Err(bad_argument(field, format!("`{text}` is no process reference")));
            }
            Some((name, "global")) => Self::Global(name.to_owned()),
            Some((key, "key")) => Self::Key(key.to_owned()),
            Some((name, node)) => Self::NameOn(name.to_owned(), node.to_owned()),
            None => Self::Name(text.to_owned()),
        })
    }

    /// Who it means, dead or alive for a pid; nothing for a name that nobody has.
    ///
    /// # Errors
    /// An ambiguous name; a node that is not this one.
    pub fn lookup(&self, node: &Node) -> Result<Option<Pid>, Status> {
        match self {
            Self::Pid(pid) => Ok(Some(*pid)),
            Self::Global(name) => Ok(node.global_whereis(name)),
            Self::Key(key) => Ok(node.holder_of_key(key)),
            Self::NameOn(name, on) if **on == **node.name() => Ok(node.whereis(name)),
            Self::NameOn(_, on) => Err(unknown_node(on)),
            Self::Name(name) => match (node.whereis(name), node.global_whereis(name)) {
                (Some(local), Some(global)) if local != global => {
                    let message = format!(
                        "`{name}` is {local} on {} and {global} globally; say `{name}@{}` or `{name}@global`",
                        node.name(),
                        node.name()
                    );
                    Err(failure(Code::FailedPrecondition, "AMBIGUOUS_NAME", message).status())
                }
                (local, global) => Ok(local.or(global)),
            },
        }
    }
}

/// `NOT_FOUND UNKNOWN_NODE`.
pub fn unknown_node(name: &str) -> Status {
    failure(Code::NotFound, "UNKNOWN_NODE", format!("no node is called `{name}`"))
        .resource("node", name)
        .status()
}

/// Checks that `name` (empty, `-` or a node's name) places the request on this node.
///
/// # Errors
/// `NOT_FOUND UNKNOWN_NODE`.
pub fn check_node(node: &Node, name: &str) -> Result<(), Status> {
    if name.is_empty() || name == "-" || name == &**node.name() { Ok(()) } else { Err(unknown_node(name)) }
}

/// The pid that a reference in `field` means, dead or alive.
///
/// # Errors
/// `NOT_FOUND NOPROC` for a name that nobody has.
pub fn pid(node: &Node, field: &str, text: &str) -> Result<Pid, Status> {
    let pid = Reference::parse(field, text)?.lookup(node)?.ok_or_else(|| no_name(text))?;
    Ok(present(node, pid))
}

/// The pid of this node that a process has now; the same for one that has not moved, or is on another node.
pub(crate) fn present(node: &Node, mut pid: Pid) -> Pid {
    while let Some(now) = node.moved_to(pid).filter(|now| node.is_local(*now)) {
        pid = now;
    }
    pid
}

/// The live process that a reference in `field` means.
///
/// # Errors
/// `NOT_FOUND NOPROC`, with the exit reason if it is known.
pub fn process(node: &Node, field: &str, text: &str) -> Result<ProcessRef, Status> {
    let pid = pid(node, field, text)?;
    node.process(pid).ok_or_else(|| no_process(node, pid))
}
