//! What can be asked of the registry, and what comes of it.

use crate::pid::Pid;
use crate::term::Term;
use std::sync::Arc;

/// A change of the registry, as it stands in the log.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Takes a global name.
    Register {
        /// The name.
        name: Arc<str>,
        /// Who is to hold it.
        pid: Pid,
        /// Take it from whoever holds it (`global:re_register_name`).
        replace: bool,
        /// Although the process has another global name.
        allow_multiple: bool,
        /// Free data: a map or null.
        metadata: Term,
        /// When it was asked for, in milliseconds of Unix time: a replayed log has no clock.
        at_ms: u64,
    },
    /// Frees a global name.
    Unregister {
        /// The name.
        name: Arc<str>,
        /// Only if this is its fencing token.
        token: Option<u64>,
    },
    /// Changes the metadata of a global name.
    SetMetadata {
        /// The name.
        name: Arc<str>,
        /// Only at this version.
        version: Option<u64>,
        /// A merge patch (RFC 7396).
        patch: Term,
    },
    /// Makes a group that stays when it is empty.
    CreateGroup {
        /// Its name.
        group: Arc<str>,
        /// Free data.
        metadata: Term,
        /// Most memberships.
        members_max: Option<u32>,
        /// When it was asked for, in milliseconds of Unix time.
        at_ms: u64,
    },
    /// Removes a group and all memberships.
    DeleteGroup {
        /// Its name.
        group: Arc<str>,
        /// Only at this version.
        version: Option<u64>,
        /// Only if it has this many memberships.
        expected_count: Option<u32>,
    },
    /// Joins each process once more.
    Join {
        /// The group; made if there is none.
        group: Arc<str>,
        /// Who joins, with repeats.
        pids: Vec<Pid>,
    },
    /// Ends one membership of each process.
    Leave {
        /// The group.
        group: Arc<str>,
        /// Who leaves, with repeats.
        pids: Vec<Pid>,
    },
    /// A process goes on under another pid, on another node: all that it has becomes that one's, in one step.
    Move {
        /// Its pid so far.
        from: Pid,
        /// Its pid from now on.
        to: Pid,
        /// Only if this is the epoch in which the former owns it: 0 of a process that never moved.
        epoch: u64,
    },
    /// Processes ended: their names and memberships vanish.
    ProcessesDown {
        /// The processes.
        pids: Vec<Pid>,
    },
    /// A life of a node ended, and with it those before it: the names and memberships of its processes vanish.
    NodeDown {
        /// Its number.
        node: u32,
        /// Its incarnation.
        incarnation: u32,
    },
}

/// A committed command's outcome.
#[derive(Clone, PartialEq, Debug)]
pub struct Applied {
    /// Its place in the log. For a registration this is the name's fencing token, for a move the epoch that it began.
    pub index: u64,
    /// Who held the name before, of a command about a name.
    pub holder: Option<Pid>,
    /// The names that went from one process to another.
    pub moved: Vec<Arc<str>>,
    /// Memberships that changed, for who watches the groups.
    pub changes: Vec<Change>,
}

/// Memberships that began or ended in one group.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// The group.
    pub group: Arc<str>,
    /// Began, else ended.
    pub joined: bool,
    /// Whose, with repeats.
    pub pids: Vec<Pid>,
}

/// Why a command changed nothing.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum RegistryError {
    /// Another process holds the name.
    #[error("global name `{name}` is held by {holder}")]
    NameTaken {
        /// The name.
        name: Arc<str>,
        /// The holder.
        holder: Pid,
    },
    /// The process has another global name.
    #[error("{pid} already has the global name `{name}`")]
    HasName {
        /// The process.
        pid: Pid,
        /// Its name.
        name: Arc<str>,
    },
    /// Nobody holds the name.
    #[error("no process is registered globally as `{0}`")]
    NotRegistered(Arc<str>),
    /// The token is not the name's.
    #[error("global name `{name}` has token {token}")]
    StaleToken {
        /// The name.
        name: Arc<str>,
        /// Its token.
        token: u64,
    },
    /// The process is owned in another epoch.
    #[error("process {process} is owned in epoch {epoch}")]
    StaleEpoch {
        /// The process.
        process: Pid,
        /// The epoch.
        epoch: u64,
    },
    /// The metadata changed meanwhile.
    #[error("the metadata of `{name}` are at version {version}")]
    StaleVersion {
        /// The name.
        name: Arc<str>,
        /// Their version.
        version: u64,
    },
    /// The group was created already.
    #[error("group `{0}` exists already")]
    GroupExists(Arc<str>),
    /// There is no such group.
    #[error("no group is called `{0}`")]
    NoGroup(Arc<str>),
    /// None of the processes is a member.
    #[error("none of the processes is a member of group `{0}`")]
    NotJoined(Arc<str>),
    /// The group is full.
    #[error("group `{group}` has room for {members_max} members and {members} are in it")]
    GroupFull {
        /// The group.
        group: Arc<str>,
        /// Its bound.
        members_max: u32,
        /// Its memberships.
        members: u32,
    },
    /// The group has more memberships than it would be allowed.
    #[error("group `{group}` has {members} members; a bound of {members_max} is below that")]
    BoundTooLow {
        /// The group.
        group: Arc<str>,
        /// The bound asked for.
        members_max: u32,
        /// Its memberships.
        members: u32,
    },
    /// The group's options changed meanwhile.
    #[error("the options of group `{group}` are at version {version}")]
    StaleGroup {
        /// The group.
        group: Arc<str>,
        /// Their version.
        version: u64,
    },
    /// The group has another number of memberships than expected.
    #[error("group `{group}` has {members} members")]
    UnexpectedCount {
        /// The group.
        group: Arc<str>,
        /// Its memberships.
        members: u32,
    },
    /// Some node of the cluster could not read it; nothing was proposed.
    #[error("the nodes of the cluster are of several versions: {0}")]
    MixedVersions(String),
    /// No quorum; nothing was proposed.
    #[error("the registry has no quorum: {0}")]
    Unavailable(String),
    /// Too much waits already, or the command is too large; nothing was proposed.
    #[error("the registry takes no more: {0}")]
    Exhausted(String),
    /// It was proposed, and may or may not have been committed, or will be.
    #[error("whether the registry has changed is not known: {0}")]
    Unknown(String),
}
