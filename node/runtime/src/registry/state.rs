//! The state machine itself: a command goes to the names or to the groups, an end to both.

use super::command::{Applied, Change, Command, RegistryError};
use super::groups::{Group, GroupMembers, Groups};
use super::names::{GlobalName, Names};
use crate::pid::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Global names and groups.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct RegistryState {
    index: u64,
    pub(super) names: Names,
    pub(super) groups: Groups,
    /// The processes that have come from elsewhere, each with the epoch in which it is what it was.
    owners: BTreeMap<Pid, u64>,
}

impl RegistryState {
    /// A state from its tables, as a snapshot has them: who has which name and group follows from them.
    pub fn from_tables(
        index: u64,
        names: BTreeMap<Arc<str>, GlobalName>,
        groups: BTreeMap<Arc<str>, Group>,
    ) -> Self {
        let (names, groups) = (Names::from_entries(names), Groups::from_entries(groups));
        Self { index, names, groups, owners: BTreeMap::new() }
    }

    /// The same, with the processes that have moved and their epochs.
    #[must_use]
    pub fn with_owners(mut self, owners: BTreeMap<Pid, u64>) -> Self {
        self.owners = owners;
        self
    }

    /// Log index of the last command.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Global names, sorted.
    pub fn names(&self) -> &BTreeMap<Arc<str>, GlobalName> {
        &self.names.entries
    }

    /// Groups, sorted.
    pub fn groups(&self) -> &BTreeMap<Arc<str>, Group> {
        &self.groups.entries
    }

    /// The processes that have moved, each under the pid that it has now, and the epoch in which it has it.
    pub fn owners(&self) -> &BTreeMap<Pid, u64> {
        &self.owners
    }

    /// The epoch in which this pid is the process's own: 0 for one that never moved, and for one that has gone on.
    pub fn epoch_of(&self, pid: Pid) -> u64 {
        self.owners.get(&pid).copied().unwrap_or_default()
    }

    /// The global names of a process.
    pub fn names_of(&self, pid: Pid) -> impl Iterator<Item = &Arc<str>> {
        self.names.index.of(pid)
    }

    /// The groups of a process.
    pub fn groups_of(&self, pid: Pid) -> impl Iterator<Item = &Arc<str>> {
        self.groups.index.of(pid)
    }

    /// Applies one command.
    ///
    /// # Errors
    /// Where it changes nothing. It takes its place in the log all the same.
    pub fn apply(&mut self, command: &Command) -> Result<Applied, RegistryError> {
        self.index += 1;
        let index = self.index;
        let (mut changes, mut moved) = (Vec::new(), Vec::new());
        let holder = match command {
            Command::Register { name, .. }
            | Command::Unregister { name, .. }
            | Command::SetMetadata { name, .. } => self.names.entries.get(name).map(|entry| entry.pid),
            _ => None,
        };
        match command {
            Command::Register { name, pid, replace, allow_multiple, metadata, at_ms } => {
                let entry = GlobalName {
                    pid: *pid,
                    token: index,
                    metadata: metadata.clone(),
                    version: index,
                    registered_ms: *at_ms,
                };
                self.names.register(name, entry, *replace, *allow_multiple)?;
            }
            Command::Unregister { name, token } => self.names.unregister(name, *token)?,
            Command::SetMetadata { name, version, patch } => {
                self.names.set_metadata(name, *version, patch, index)?;
            }
            Command::CreateGroup { group, metadata, members_max, at_ms } => {
                self.groups.create(group, metadata, *members_max, *at_ms, index)?;
            }
            Command::DeleteGroup { group, version, expected_count } => {
                changes.extend(self.groups.delete(group, *version, *expected_count)?);
            }
            Command::Join { group, pids } => changes.extend(self.groups.join(group, pids)?),
            Command::Leave { group, pids } => changes.extend(self.groups.leave(group, pids)?),
            Command::Move { from, to, epoch } => {
                moved = self.hand_over(*from, *to, *epoch, &mut changes)?;
            }
            Command::ProcessesDown { pids } => {
                pids.iter().for_each(|pid| self.process_down(*pid, &mut changes));
            }
            Command::NodeDown { node, incarnation } => {
                let named = self.names.index.of_node(*node, *incarnation);
                let gone: BTreeSet<Pid> =
                    named.chain(self.groups.index.of_node(*node, *incarnation)).collect();
                gone.into_iter().for_each(|pid| self.process_down(pid, &mut changes));
                self.owners.retain(|pid, _| pid.node != *node || pid.incarnation > *incarnation);
            }
        }
        Ok(Applied { index, holder, moved, changes })
    }

    /// Makes `to` what `from` was, if that is so in this epoch; gives the names. Whoever moves a process asks for it again
    /// where the first answer was lost: the second time there is nothing left to move, and no harm in it.
    fn hand_over(
        &mut self,
        from: Pid,
        to: Pid,
        epoch: u64,
        changes: &mut Vec<Change>,
    ) -> Result<Vec<Arc<str>>, RegistryError> {
        let current = self.epoch_of(from);
        if current != epoch {
            return Err(RegistryError::StaleEpoch { process: from, epoch: current });
        }
        self.owners.remove(&from);
        self.owners.insert(to, self.index);
        self.groups.hand_over(from, to, changes);
        Ok(self.names.hand_over(from, to, self.index))
    }

    fn process_down(&mut self, pid: Pid, changes: &mut Vec<Change>) {
        self.owners.remove(&pid);
        self.names.process_down(pid);
        self.groups.process_down(pid, changes);
    }

    /// The memberships that ended and began on the way from this state to `later`, for who watches the groups and has
    /// missed the commands between.
    pub fn changes_to(&self, later: &Self) -> Vec<Change> {
        let (before, after) = (self.groups(), later.groups());
        let mut changes = Vec::new();
        for group in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let (before, after) = (members(before, group), members(after, group));
            let more = |of: &GroupMembers, than: &GroupMembers| -> Vec<Pid> {
                let surplus = |(pid, count): (&Pid, &u32)| {
                    let count = count.saturating_sub(than.get(pid).copied().unwrap_or_default());
                    std::iter::repeat_n(*pid, count as usize)
                };
                of.iter().flat_map(surplus).collect()
            };
            for (joined, pids) in [(false, more(before, after)), (true, more(after, before))] {
                if !pids.is_empty() {
                    changes.push(Change { group: Arc::clone(group), joined, pids });
                }
            }
        }
        changes
    }
}

/// The members of a group; none where there is no such group.
fn members<'a>(groups: &'a BTreeMap<Arc<str>, Group>, group: &Arc<str>) -> &'a GroupMembers {
    static NONE: GroupMembers = GroupMembers::new();
    groups.get(group).map_or(&NONE, |group| &group.members)
}
