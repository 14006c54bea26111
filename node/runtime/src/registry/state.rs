//! The state machine itself.

use crate::pid::Pid;
use crate::term::Term;
use std::collections::{BTreeMap, BTreeSet};
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
    /// A process ended: its names and memberships vanish.
    ProcessDown {
        /// The process.
        pid: Pid,
    },
    /// A life of a node ended.
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
    /// Its place in the log. For a registration this is the name's fencing token.
    pub index: u64,
    /// Who held the name before, of a command about a name.
    pub holder: Option<Pid>,
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
    /// No quorum; nothing was proposed.
    #[error("the registry has no quorum: {0}")]
    Unavailable(String),
}

/// A global name.
#[derive(Clone, PartialEq, Debug)]
pub struct GlobalName {
    /// Who holds it.
    pub pid: Pid,
    /// Its fencing token: the log index of its registration.
    pub token: u64,
    /// Free data.
    pub metadata: Term,
    /// Log index of the registration or of its last change: no two states of a name have the same.
    pub version: u64,
    /// When it was registered, in milliseconds of Unix time.
    pub registered_ms: u64,
}

/// A process group.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Group {
    /// Made by `CreateGroup`: it stays when it is empty.
    pub created: bool,
    /// Free data.
    pub metadata: Term,
    /// Most memberships.
    pub members_max: Option<u32>,
    /// Log index of its last change of options.
    pub version: u64,
    /// When it was created, in milliseconds of Unix time; 0 for a plain one.
    pub created_ms: u64,
    /// How often each process is a member.
    pub members: GroupMembers,
}

/// Memberships of a group.
pub type GroupMembers = BTreeMap<Pid, u32>;

impl Group {
    /// All memberships, a process as often as it joined.
    pub fn member_count(&self) -> u32 {
        self.members.values().sum()
    }
}

/// Global names and groups.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct RegistryState {
    index: u64,
    names: BTreeMap<Arc<str>, GlobalName>,
    groups: BTreeMap<Arc<str>, Group>,
    names_of: BTreeMap<Pid, BTreeSet<Arc<str>>>,
    groups_of: BTreeMap<Pid, BTreeSet<Arc<str>>>,
}

impl RegistryState {
    /// A state from its tables, as a snapshot has them: who has which name and group follows from them.
    pub fn from_tables(
        index: u64,
        names: BTreeMap<Arc<str>, GlobalName>,
        groups: BTreeMap<Arc<str>, Group>,
    ) -> Self {
        let mut state = Self { index, names, groups, ..Self::default() };
        for (name, entry) in &state.names {
            state.names_of.entry(entry.pid).or_default().insert(Arc::clone(name));
        }
        for (group, entry) in &state.groups {
            for pid in entry.members.keys() {
                state.groups_of.entry(*pid).or_default().insert(Arc::clone(group));
            }
        }
        state
    }

    /// Log index of the last command.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Global names, sorted.
    pub fn names(&self) -> &BTreeMap<Arc<str>, GlobalName> {
        &self.names
    }

    /// Groups, sorted.
    pub fn groups(&self) -> &BTreeMap<Arc<str>, Group> {
        &self.groups
    }

    /// The global names of a process.
    pub fn names_of(&self, pid: Pid) -> impl Iterator<Item = &Arc<str>> {
        self.names_of.get(&pid).into_iter().flatten()
    }

    /// The groups of a process.
    pub fn groups_of(&self, pid: Pid) -> impl Iterator<Item = &Arc<str>> {
        self.groups_of.get(&pid).into_iter().flatten()
    }

    /// Applies one command.
    ///
    /// # Errors
    /// Where it changes nothing. It takes its place in the log all the same.
    pub fn apply(&mut self, command: &Command) -> Result<Applied, RegistryError> {
        self.index += 1;
        let mut changes = Vec::new();
        let holder = match command {
            Command::Register { name, .. }
            | Command::Unregister { name, .. }
            | Command::SetMetadata { name, .. } => self.names.get(name).map(|entry| entry.pid),
            _ => None,
        };
        match command {
            Command::Register { name, pid, replace, allow_multiple, metadata, at_ms } => {
                let entry = GlobalName {
                    pid: *pid,
                    token: self.index,
                    metadata: metadata.clone(),
                    version: self.index,
                    registered_ms: *at_ms,
                };
                self.register(name, entry, *replace, *allow_multiple)?;
            }
            Command::Unregister { name, token } => self.unregister(name, *token)?,
            Command::SetMetadata { name, version, patch } => self.set_metadata(name, *version, patch)?,
            Command::CreateGroup { group, metadata, members_max, at_ms } => {
                self.create_group(group, metadata, *members_max, *at_ms)?;
            }
            Command::DeleteGroup { group, version, expected_count } => {
                changes.extend(self.delete_group(group, *version, *expected_count)?);
            }
            Command::Join { group, pids } => changes.extend(self.join(group, pids)?),
            Command::Leave { group, pids } => changes.extend(self.leave(group, pids)?),
            Command::ProcessDown { pid } => self.process_down(*pid, &mut changes),
            Command::NodeDown { node, incarnation } => {
                let gone: BTreeSet<Pid> =
                    self.names_of.keys().chain(self.groups_of.keys()).copied().collect();
                for pid in gone.into_iter().filter(|pid| pid.node == *node && pid.incarnation <= *incarnation)
                {
                    self.process_down(pid, &mut changes);
                }
            }
        }
        Ok(Applied { index: self.index, holder, changes })
    }

    fn register(
        &mut self,
        name: &Arc<str>,
        entry: GlobalName,
        replace: bool,
        allow_multiple: bool,
    ) -> Result<(), RegistryError> {
        let pid = entry.pid;
        let holder = self.names.get(name).map(|entry| entry.pid);
        if let Some(holder) = holder.filter(|_| !replace) {
            return Err(RegistryError::NameTaken { name: Arc::clone(name), holder });
        }
        let other = self.names_of(pid).find(|held| *held != name);
        if let Some(other) = other.filter(|_| !allow_multiple) {
            return Err(RegistryError::HasName { pid, name: Arc::clone(other) });
        }
        if let Some(holder) = holder {
            self.forget_name(name, holder);
        }
        self.names.insert(Arc::clone(name), entry);
        self.names_of.entry(pid).or_default().insert(Arc::clone(name));
        Ok(())
    }

    fn unregister(&mut self, name: &Arc<str>, token: Option<u64>) -> Result<(), RegistryError> {
        let entry = self.names.get(name).ok_or_else(|| RegistryError::NotRegistered(Arc::clone(name)))?;
        if token.is_some_and(|token| token != entry.token) {
            return Err(RegistryError::StaleToken { name: Arc::clone(name), token: entry.token });
        }
        let holder = entry.pid;
        self.forget_name(name, holder);
        Ok(())
    }

    fn forget_name(&mut self, name: &Arc<str>, holder: Pid) {
        self.names.remove(name);
        remove_from(&mut self.names_of, holder, name);
    }

    fn set_metadata(
        &mut self,
        name: &Arc<str>,
        version: Option<u64>,
        patch: &Term,
    ) -> Result<(), RegistryError> {
        let index = self.index;
        let entry = self.names.get_mut(name).ok_or_else(|| RegistryError::NotRegistered(Arc::clone(name)))?;
        if version.is_some_and(|version| version != entry.version) {
            return Err(RegistryError::StaleVersion { name: Arc::clone(name), version: entry.version });
        }
        entry.metadata = entry.metadata.merge_patch(patch);
        entry.version = index;
        Ok(())
    }

    fn create_group(
        &mut self,
        group: &Arc<str>,
        metadata: &Term,
        members_max: Option<u32>,
        created_ms: u64,
    ) -> Result<(), RegistryError> {
        let version = self.index;
        if let Some(entry) = self.groups.get(group) {
            if entry.created {
                return Err(RegistryError::GroupExists(Arc::clone(group)));
            }
            let members = entry.member_count();
            if let Some(members_max) = members_max.filter(|max| *max < members) {
                return Err(RegistryError::BoundTooLow { group: Arc::clone(group), members_max, members });
            }
        }
        let entry = self.groups.entry(Arc::clone(group)).or_default();
        *entry = Group {
            created: true,
            metadata: metadata.clone(),
            members_max,
            version,
            created_ms,
            members: std::mem::take(&mut entry.members),
        };
        Ok(())
    }

    fn delete_group(
        &mut self,
        group: &Arc<str>,
        version: Option<u64>,
        expected_count: Option<u32>,
    ) -> Result<Option<Change>, RegistryError> {
        let entry = self.groups.get(group).ok_or_else(|| RegistryError::NoGroup(Arc::clone(group)))?;
        if version.is_some_and(|version| version != entry.version) {
            return Err(RegistryError::StaleGroup { group: Arc::clone(group), version: entry.version });
        }
        let members = entry.member_count();
        if expected_count.is_some_and(|expected| expected != members) {
            return Err(RegistryError::UnexpectedCount { group: Arc::clone(group), members });
        }
        let entry = self.groups.remove(group).unwrap_or_default();
        for pid in entry.members.keys() {
            remove_from(&mut self.groups_of, *pid, group);
        }
        let pids: Vec<Pid> = entry.members.iter().flat_map(|(pid, n)| vec![*pid; *n as usize]).collect();
        Ok((!pids.is_empty()).then(|| Change { group: Arc::clone(group), joined: false, pids }))
    }

    fn join(&mut self, group: &Arc<str>, pids: &[Pid]) -> Result<Option<Change>, RegistryError> {
        if let Some(entry) = self.groups.get(group)
            && let Some(members_max) = entry.members_max
        {
            let members = entry.member_count();
            if members as usize + pids.len() > members_max as usize {
                return Err(RegistryError::GroupFull { group: Arc::clone(group), members_max, members });
            }
        }
        if pids.is_empty() {
            return Ok(None);
        }
        let entry = self.groups.entry(Arc::clone(group)).or_default();
        for pid in pids {
            *entry.members.entry(*pid).or_default() += 1;
            self.groups_of.entry(*pid).or_default().insert(Arc::clone(group));
        }
        Ok(Some(Change { group: Arc::clone(group), joined: true, pids: pids.to_vec() }))
    }

    fn leave(&mut self, group: &Arc<str>, pids: &[Pid]) -> Result<Option<Change>, RegistryError> {
        let not_joined = || RegistryError::NotJoined(Arc::clone(group));
        let entry = self.groups.get_mut(group).ok_or_else(not_joined)?;
        let mut left = Vec::new();
        for pid in pids {
            let Some(count) = entry.members.get_mut(pid) else { continue };
            left.push(*pid);
            *count -= 1;
            if *count == 0 {
                entry.members.remove(pid);
                remove_from(&mut self.groups_of, *pid, group);
            }
        }
        self.drop_if_done(group);
        if left.is_empty() {
            return Err(not_joined());
        }
        Ok(Some(Change { group: Arc::clone(group), joined: false, pids: left }))
    }

    /// A plain group ends with its last member.
    fn drop_if_done(&mut self, group: &Arc<str>) {
        if self.groups.get(group).is_some_and(|entry| !entry.created && entry.members.is_empty()) {
            self.groups.remove(group);
        }
    }

    fn process_down(&mut self, pid: Pid, changes: &mut Vec<Change>) {
        for name in self.names_of.remove(&pid).into_iter().flatten() {
            self.names.remove(&name);
        }
        for group in self.groups_of.remove(&pid).into_iter().flatten() {
            let count = self.groups.get_mut(&group).and_then(|entry| entry.members.remove(&pid));
            self.drop_if_done(&group);
            // as pg tells it: each membership that a death ends is a leave of its own
            let left = || Change { group: Arc::clone(&group), joined: false, pids: vec![pid] };
            changes.extend((0..count.unwrap_or_default()).map(|_| left()));
        }
    }
}

fn remove_from(index: &mut BTreeMap<Pid, BTreeSet<Arc<str>>>, pid: Pid, entry: &Arc<str>) {
    if let Some(entries) = index.get_mut(&pid) {
        entries.remove(entry);
        if entries.is_empty() {
            index.remove(&pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pid(serial: u64) -> Pid {
        Pid::new(1 + (serial % 2) as u32, 1, serial + 1)
    }

    fn command() -> impl Strategy<Value = Command> {
        let name = || (0u8..3).prop_map(|n| Arc::from(format!("name{n}")));
        let who = || (0u64..4).prop_map(pid);
        prop_oneof![
            (name(), who(), any::<bool>(), any::<bool>()).prop_map(|(name, pid, replace, allow_multiple)| {
                Command::Register { name, pid, replace, allow_multiple, metadata: Term::Null, at_ms: 0 }
            }),
            name().prop_map(|name| Command::Unregister { name, token: None }),
            (name(), prop::option::of(0u32..4)).prop_map(|(group, members_max)| Command::CreateGroup {
                group,
                metadata: Term::Null,
                members_max,
                at_ms: 0
            }),
            name().prop_map(|group| Command::DeleteGroup { group, version: None, expected_count: None }),
            (name(), prop::collection::vec(who(), 0..3))
                .prop_map(|(group, pids)| Command::Join { group, pids }),
            (name(), prop::collection::vec(who(), 0..3))
                .prop_map(|(group, pids)| Command::Leave { group, pids }),
            who().prop_map(|pid| Command::ProcessDown { pid }),
            Just(Command::NodeDown { node: 2, incarnation: 1 }),
        ]
    }

    proptest! {
        #[test]
        fn the_indexes_always_agree_with_the_tables(commands in prop::collection::vec(command(), 0..60)) {
            let mut state = RegistryState::default();
            for command in &commands {
                let before = state.clone();
                if state.apply(command).is_err() {
                    prop_assert_eq!(&state.names, &before.names);
                    prop_assert_eq!(&state.groups, &before.groups);
                }
                let names: BTreeSet<_> = state.names.iter().map(|(n, e)| (e.pid, Arc::clone(n))).collect();
                let indexed: BTreeSet<_> = state.names_of.iter()
                    .flat_map(|(pid, names)| names.iter().map(|n| (*pid, Arc::clone(n)))).collect();
                prop_assert_eq!(names, indexed);
                let members: BTreeSet<_> = state.groups.iter()
                    .flat_map(|(g, e)| e.members.keys().map(|pid| (*pid, Arc::clone(g)))).collect();
                let indexed: BTreeSet<_> = state.groups_of.iter()
                    .flat_map(|(pid, groups)| groups.iter().map(|g| (*pid, Arc::clone(g)))).collect();
                prop_assert_eq!(members, indexed);
                for group in state.groups.values() {
                    prop_assert!(group.created || !group.members.is_empty());
                }
                let tables = (state.index, state.names.clone(), state.groups.clone());
                prop_assert_eq!(&RegistryState::from_tables(tables.0, tables.1, tables.2), &state);
            }
        }
    }

    #[test]
    fn the_second_registration_fails_and_the_first_holder_keeps_the_name() {
        let mut state = RegistryState::default();
        let register = |pid| Command::Register {
            name: "n".into(),
            pid,
            replace: false,
            allow_multiple: false,
            metadata: Term::Null,
            at_ms: 0,
        };
        assert_eq!(state.apply(&register(pid(0))).unwrap().index, 1);
        assert!(
            matches!(state.apply(&register(pid(1))), Err(RegistryError::NameTaken { holder, .. }) if holder == pid(0))
        );
        assert_eq!(state.names()["n"].token, 1);
    }

    #[test]
    fn a_name_that_is_taken_again_has_another_version_than_it_ever_had() {
        let mut state = RegistryState::default();
        let register = Command::Register {
            name: "n".into(),
            pid: pid(0),
            replace: false,
            allow_multiple: false,
            metadata: Term::Null,
            at_ms: 0,
        };
        state.apply(&register).unwrap();
        let first = state.names()["n"].version;
        assert_eq!(
            state.apply(&Command::Unregister { name: "n".into(), token: None }).unwrap().holder,
            Some(pid(0))
        );
        state.apply(&register).unwrap();
        assert_ne!(state.names()["n"].version, first);
    }

    #[test]
    fn a_group_is_created_with_no_bound_below_what_it_holds_and_deleted_at_its_version_alone() {
        let mut state = RegistryState::default();
        state.apply(&Command::Join { group: "g".into(), pids: vec![pid(0), pid(0)] }).unwrap();
        let create = |members_max| Command::CreateGroup {
            group: "g".into(),
            metadata: Term::Null,
            members_max,
            at_ms: 7,
        };
        assert!(matches!(state.apply(&create(Some(1))), Err(RegistryError::BoundTooLow { members: 2, .. })));
        state.apply(&create(Some(2))).unwrap();
        assert_eq!(state.groups()["g"].created_ms, 7);
        let delete = |version| Command::DeleteGroup { group: "g".into(), version, expected_count: None };
        assert!(matches!(state.apply(&delete(Some(1))), Err(RegistryError::StaleGroup { .. })));
        let version = state.groups()["g"].version;
        assert_eq!(state.apply(&delete(Some(version))).unwrap().changes.len(), 1);
    }
}
