//! Process groups with multiplicity, as `pg` has them.

use super::command::{Change, RegistryError};
use super::index::Index;
use crate::pid::Pid;
use crate::term::Term;
use std::collections::BTreeMap;
use std::sync::Arc;

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

/// Each process as often as it is a member.
pub(super) fn repeated(members: &GroupMembers) -> impl Iterator<Item = Pid> {
    members.iter().flat_map(|(pid, count)| std::iter::repeat_n(*pid, *count as usize))
}

/// All process groups.
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct Groups {
    pub(super) entries: BTreeMap<Arc<str>, Group>,
    pub(super) index: Index,
}

impl Groups {
    pub(super) fn from_entries(entries: BTreeMap<Arc<str>, Group>) -> Self {
        let mut index = Index::default();
        for (group, entry) in &entries {
            entry.members.keys().for_each(|pid| index.add(*pid, group));
        }
        Self { entries, index }
    }

    pub(super) fn create(
        &mut self,
        group: &Arc<str>,
        metadata: &Term,
        members_max: Option<u32>,
        created_ms: u64,
        version: u64,
    ) -> Result<(), RegistryError> {
        if let Some(entry) = self.entries.get(group) {
            if entry.created {
                return Err(RegistryError::GroupExists(Arc::clone(group)));
            }
            let members = entry.member_count();
            if let Some(members_max) = members_max.filter(|max| *max < members) {
                return Err(RegistryError::BoundTooLow { group: Arc::clone(group), members_max, members });
            }
        }
        let entry = self.entries.entry(Arc::clone(group)).or_default();
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

    pub(super) fn delete(
        &mut self,
        group: &Arc<str>,
        version: Option<u64>,
        expected_count: Option<u32>,
    ) -> Result<Option<Change>, RegistryError> {
        let entry = self.entries.get(group).ok_or_else(|| RegistryError::NoGroup(Arc::clone(group)))?;
        if version.is_some_and(|version| version != entry.version) {
            return Err(RegistryError::StaleGroup { group: Arc::clone(group), version: entry.version });
        }
        let members = entry.member_count();
        if expected_count.is_some_and(|expected| expected != members) {
            return Err(RegistryError::UnexpectedCount { group: Arc::clone(group), members });
        }
        let entry = self.entries.remove(group).unwrap_or_default();
        entry.members.keys().for_each(|pid| self.index.remove(*pid, group));
        let pids: Vec<Pid> = repeated(&entry.members).collect();
        Ok((!pids.is_empty()).then(|| Change { group: Arc::clone(group), joined: false, pids }))
    }

    pub(super) fn join(&mut self, group: &Arc<str>, pids: &[Pid]) -> Result<Option<Change>, RegistryError> {
        if let Some(entry) = self.entries.get(group)
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
        let entry = self.entries.entry(Arc::clone(group)).or_default();
        for pid in pids {
            *entry.members.entry(*pid).or_default() += 1;
            self.index.add(*pid, group);
        }
        Ok(Some(Change { group: Arc::clone(group), joined: true, pids: pids.to_vec() }))
    }

    pub(super) fn leave(&mut self, group: &Arc<str>, pids: &[Pid]) -> Result<Option<Change>, RegistryError> {
        let not_joined = || RegistryError::NotJoined(Arc::clone(group));
        let entry = self.entries.get_mut(group).ok_or_else(not_joined)?;
        let mut left = Vec::new();
        for pid in pids {
            let Some(count) = entry.members.get_mut(pid) else { continue };
            left.push(*pid);
            *count -= 1;
            if *count == 0 {
                entry.members.remove(pid);
                self.index.remove(*pid, group);
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
        if self.entries.get(group).is_some_and(|entry| !entry.created && entry.members.is_empty()) {
            self.entries.remove(group);
        }
    }

    /// Makes another process a member wherever this one is, as often; it is there before this one is gone.
    pub(super) fn hand_over(&mut self, from: Pid, to: Pid, changes: &mut Vec<Change>) {
        for group in self.index.take(from) {
            let Some(entry) = self.entries.get_mut(&group) else { continue };
            let count = entry.members.remove(&from).unwrap_or_default();
            *entry.members.entry(to).or_default() += count;
            self.index.add(to, &group);
            let change = |joined, pid| {
                let pids = std::iter::repeat_n(pid, count as usize).collect();
                Change { group: Arc::clone(&group), joined, pids }
            };
            changes.extend([change(true, to), change(false, from)]);
        }
    }

    pub(super) fn process_down(&mut self, pid: Pid, changes: &mut Vec<Change>) {
        for group in self.index.take(pid) {
            let count = self.entries.get_mut(&group).and_then(|entry| entry.members.remove(&pid));
            self.drop_if_done(&group);
            // as pg tells it: each membership that a death ends is a leave of its own
            let left = || Change { group: Arc::clone(&group), joined: false, pids: vec![pid] };
            changes.extend((0..count.unwrap_or_default()).map(|_| left()));
        }
    }
}
