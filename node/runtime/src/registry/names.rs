//! Global names: who holds which, since when, with what metadata.

use super::command::RegistryError;
use super::index::Index;
use crate::pid::Pid;
use crate::term::Term;
use std::collections::BTreeMap;
use std::sync::Arc;

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

/// All global names.
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct Names {
    pub(super) entries: BTreeMap<Arc<str>, GlobalName>,
    pub(super) index: Index,
}

impl Names {
    pub(super) fn from_entries(entries: BTreeMap<Arc<str>, GlobalName>) -> Self {
        let mut index = Index::default();
        entries.iter().for_each(|(name, entry)| index.add(entry.pid, name));
        Self { entries, index }
    }

    pub(super) fn register(
        &mut self,
        name: &Arc<str>,
        entry: GlobalName,
        replace: bool,
        allow_multiple: bool,
    ) -> Result<(), RegistryError> {
        let pid = entry.pid;
        let holder = self.entries.get(name).map(|entry| entry.pid);
        if let Some(holder) = holder.filter(|_| !replace) {
            return Err(RegistryError::NameTaken { name: Arc::clone(name), holder });
        }
        let other = self.index.of(pid).find(|held| *held != name);
        if let Some(other) = other.filter(|_| !allow_multiple) {
            return Err(RegistryError::HasName { pid, name: Arc::clone(other) });
        }
        if let Some(holder) = holder {
            self.forget(name, holder);
        }
        self.entries.insert(Arc::clone(name), entry);
        self.index.add(pid, name);
        Ok(())
    }

    pub(super) fn unregister(&mut self, name: &Arc<str>, token: Option<u64>) -> Result<(), RegistryError> {
        let entry = self.entries.get(name).ok_or_else(|| RegistryError::NotRegistered(Arc::clone(name)))?;
        if token.is_some_and(|token| token != entry.token) {
            return Err(RegistryError::StaleToken { name: Arc::clone(name), token: entry.token });
        }
        let holder = entry.pid;
        self.forget(name, holder);
        Ok(())
    }

    fn forget(&mut self, name: &Arc<str>, holder: Pid) {
        self.entries.remove(name);
        self.index.remove(holder, name);
    }

    pub(super) fn set_metadata(
        &mut self,
        name: &Arc<str>,
        version: Option<u64>,
        patch: &Term,
        index: u64,
    ) -> Result<(), RegistryError> {
        let not_registered = || RegistryError::NotRegistered(Arc::clone(name));
        let entry = self.entries.get_mut(name).ok_or_else(not_registered)?;
        if version.is_some_and(|version| version != entry.version) {
            return Err(RegistryError::StaleVersion { name: Arc::clone(name), version: entry.version });
        }
        entry.metadata = entry.metadata.merge_patch(patch);
        entry.version = index;
        Ok(())
    }

    /// Gives all names of a process to another, each with a new token; gives the names.
    pub(super) fn hand_over(&mut self, from: Pid, to: Pid, index: u64) -> Vec<Arc<str>> {
        let names: Vec<Arc<str>> = self.index.take(from).into_iter().collect();
        for name in &names {
            if let Some(entry) = self.entries.get_mut(name) {
                (entry.pid, entry.token, entry.version) = (to, index, index);
                self.index.add(to, name);
            }
        }
        names
    }

    pub(super) fn process_down(&mut self, pid: Pid) {
        for name in self.index.take(pid) {
            self.entries.remove(&name);
        }
    }
}
