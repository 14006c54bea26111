//! Local names: one name a process, one process a name, as `register/2` has it.

use crate::pid::Pid;
use crate::term::Term;
use crossbeam_utils::CachePadded;
use foldhash::fast::RandomState;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const SHARDS: usize = 16;
const RESERVED: [&str; 3] = ["undefined", "global", "key"];

/// What is known of a registered name.
#[derive(Clone, Debug, PartialEq)]
pub struct NameEntry {
    /// Who holds it.
    pub pid: Pid,
    /// Free data: a map.
    pub metadata: Term,
    /// Other than any that the name had before, whoever held it.
    pub version: u64,
    /// When it was registered, in nanoseconds of the node's clock.
    pub registered_ns: u64,
}

type Shard = HashMap<Arc<str>, NameEntry, RandomState>;

#[derive(Default)]
pub(crate) struct Names {
    shards: [CachePadded<RwLock<Shard>>; SHARDS],
    hasher: RandomState,
    /// The last version given to any name.
    version: AtomicU64,
}

/// Why a name cannot be had.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum NameError {
    /// Another process, or the same, holds it.
    #[error("name `{name}` is held by {holder}")]
    Taken {
        /// The name.
        name: String,
        /// The holder.
        holder: Pid,
    },
    /// The process has a local name already.
    #[error("{pid} is already registered as `{name}`")]
    HasName {
        /// The process.
        pid: Pid,
        /// The name it has.
        name: String,
    },
    /// The process is not alive.
    #[error("process {0} is not alive")]
    NoProcess(Pid),
    /// Nobody holds the name.
    #[error("no process is registered as `{0}`")]
    NotRegistered(String),
    /// No name at all.
    #[error("`{name}` cannot be a name: {why}")]
    Invalid {
        /// What was given.
        name: String,
        /// Which rule it breaks.
        why: &'static str,
    },
    /// The metadata were changed meanwhile.
    #[error("the metadata of `{name}` are at version {version}")]
    Stale {
        /// The name.
        name: String,
        /// The version they are at.
        version: u64,
    },
    /// A fencing token that is no longer the name's.
    #[error("name `{name}` has token {token}")]
    StaleToken {
        /// The name.
        name: String,
        /// Its token.
        token: u64,
    },
}

/// Checks a name: 1 to 255 bytes, no control character, none of `/ : @ ? # %`, no pid, not reserved.
///
/// # Errors
/// [`NameError::Invalid`] with the rule that it breaks.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let why = if name.is_empty() || name.len() > 255 {
        "a name has 1 to 255 bytes"
    } else if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !RESERVED.contains(&name)
    {
        // most names, and none that any other rule is about
        return Ok(());
    } else if name.chars().any(char::is_control) {
        "it has a control character"
    } else if name.contains(['/', ':', '@', '?', '#', '%']) {
        "it has one of / : @ ? # %"
    } else if name.parse::<Pid>().is_ok() {
        "it is shaped like a pid"
    } else if RESERVED.contains(&name) {
        "it is reserved"
    } else {
        return Ok(());
    };
    Err(NameError::Invalid { name: name.to_owned(), why })
}

impl Names {
    fn shard(&self, name: &str) -> &RwLock<Shard> {
        // not the bits by which a shard finds the place of a name
        &self.shards[(self.hasher.hash_one(name) >> 32) as usize % SHARDS]
    }

    fn next_version(&self) -> u64 {
        self.version.fetch_add(1, Relaxed) + 1
    }

    /// Takes the name for `pid`, or tells who holds it.
    pub(crate) fn insert(&self, name: &Arc<str>, pid: Pid, metadata: Term, now_ns: u64) -> Result<(), Pid> {
        match self.shard(name).write().entry(Arc::clone(name)) {
            Entry::Occupied(held) => Err(held.get().pid),
            Entry::Vacant(place) => {
                let version = self.next_version();
                place.insert(NameEntry { pid, metadata, version, registered_ns: now_ns });
                Ok(())
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<NameEntry> {
        self.shard(name).read().get(name).cloned()
    }

    pub(crate) fn whereis(&self, name: &str) -> Option<Pid> {
        self.shard(name).read().get(name).map(|entry| entry.pid)
    }

    /// Frees the name if `holder` has it and it is at `version` still.
    pub(crate) fn remove_at(
        &self,
        name: &Arc<str>,
        holder: Pid,
        version: Option<u64>,
    ) -> Result<(), NameError> {
        match self.shard(name).write().entry(Arc::clone(name)) {
            Entry::Occupied(held) if held.get().pid == holder => {
                let at = held.get().version;
                if version.is_some_and(|version| version != at) {
                    return Err(NameError::Stale { name: name.to_string(), version: at });
                }
                held.remove();
                Ok(())
            }
            _ => Err(NameError::NotRegistered(name.to_string())),
        }
    }

    /// The name as it is kept, and who holds it.
    pub(crate) fn held(&self, name: &str) -> Option<(Arc<str>, Pid)> {
        let shard = self.shard(name).read();
        shard.get_key_value(name).map(|(name, entry)| (Arc::clone(name), entry.pid))
    }

    /// Frees the name if `pid` holds it.
    pub(crate) fn remove(&self, name: &str, pid: Pid) -> bool {
        let mut shard = self.shard(name).write();
        shard.get(name).is_some_and(|entry| entry.pid == pid) && shard.remove(name).is_some()
    }

    /// Changes the metadata if they are at `version` still, and gives the new entry.
    pub(crate) fn update(
        &self,
        name: &str,
        version: Option<u64>,
        change: impl FnOnce(&Term) -> Term,
    ) -> Result<NameEntry, NameError> {
        let mut shard = self.shard(name).write();
        let entry = shard.get_mut(name).ok_or_else(|| NameError::NotRegistered(name.to_owned()))?;
        if version.is_some_and(|version| version != entry.version) {
            return Err(NameError::Stale { name: name.to_owned(), version: entry.version });
        }
        entry.metadata = change(&entry.metadata);
        entry.version = self.next_version();
        Ok(entry.clone())
    }

    /// All names, sorted.
    pub(crate) fn list(&self) -> Vec<(Arc<str>, NameEntry)> {
        let mut names: Vec<_> = Vec::new();
        for shard in &self.shards {
            names.extend(shard.read().iter().map(|(name, entry)| (Arc::clone(name), entry.clone())));
        }
        names.sort_by(|a, b| a.0.cmp(&b.0));
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_be_read_as_something_else_is_refused() {
        for name in
            ["", "a/b", "a:b", "a@b", "a?b", "a#b", "a%b", "n1.1.1", "undefined", "global", "key", "a\nb"]
        {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert!(check_name(&"x".repeat(256)).is_err());
        for name in ["worker", "ünïcode name", "n1", &"x".repeat(255)] {
            assert_eq!(check_name(name), Ok(()));
        }
    }

    #[test]
    fn a_stale_version_changes_nothing() {
        let names = Names::default();
        let name = Arc::from("w");
        names.insert(&name, Pid::new(1, 1, 1), Term::Null, 0).unwrap();
        assert!(names.update("w", Some(7), |_| Term::Int(1)).is_err());
        assert_eq!(names.get("w").unwrap().metadata, Term::Null);
        assert_eq!(names.update("w", Some(1), |_| Term::Int(1)).unwrap().version, 2);
        assert!(names.remove_at(&name, Pid::new(1, 1, 1), Some(1)).is_err());
        assert!(names.remove_at(&name, Pid::new(1, 1, 2), Some(2)).is_err());
        assert_eq!(names.remove_at(&name, Pid::new(1, 1, 1), Some(2)), Ok(()));
        names.insert(&name, Pid::new(1, 1, 1), Term::Null, 0).unwrap();
        assert_eq!(names.get("w").unwrap().version, 3, "no version comes again with the name");
    }
}
