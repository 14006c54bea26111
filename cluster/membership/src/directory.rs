//! A node's data directory: who the node is, for ever, and the files of its replicated log.
//!
//! Invariants: one process at a time has the directory; what it says of the node outlives a loss of power before anybody
//! is told of it; a life's number is written before that life begins. The log's folder says whose it is as well, so that
//! a folder that was copied to another node is refused: a voter under another's number could break an agreement.

use arsenal_raft::disk::Directory as LogDirectory;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Version of the layout of the directory that this build reads and writes.
const FORMAT: u32 = 1;
const NODE_FILE: &str = "node.toml";
const LOCK_FILE: &str = "lock";
const LOG_FOLDER: &str = "raft";
const OWNER_FILE: &str = "owner";
const VOTERS_FILE: &str = "voters";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The machine says no.
    #[error("data directory: `{path}`: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// Another process has it.
    #[error("data directory `{0}` is in use by another process")]
    Locked(PathBuf),
    /// Another version of Arsenal wrote it.
    #[error("data directory: `{path}` has format {found}; this build reads format {FORMAT}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The file is not what was written.
    #[error("data directory: `{path}` cannot be read: {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The log in it is another node's.
    #[error("data directory: the log in `{path}` belongs to {found}, and the directory to {expected}")]
    ForeignLog {
        /// The folder.
        path: PathBuf,
        /// Whose log it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
}

/// What a node knows of itself from life to life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    format: u32,
    /// Drawn when the directory was made.
    #[serde(with = "hex")]
    pub identity: u64,
    /// Its last life; 0 for none yet.
    pub incarnation: u32,
    /// The cluster that it belongs to, once it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Place>,
}

/// A node's place in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Number of the cluster.
    #[serde(with = "hex")]
    pub id: u64,
    /// Its own number in it, which becomes nobody else's.
    pub node: u32,
    /// It is to make the first voters, and has not seen that they are made.
    #[serde(default)]
    pub founding: bool,
    /// The first nodes of the cluster, by number from 1; empty of one that joined later.
    #[serde(default)]
    pub founders: Vec<Founder>,
}

/// One of the first nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Founder {
    /// Drawn when its directory was made.
    #[serde(with = "hex")]
    pub identity: u64,
    /// What it is called outside.
    pub name: String,
    /// Host and port where it serves.
    pub address: String,
    /// Label of its zone.
    pub zone: String,
}

/// Numbers of 64 bits as text: TOML's own are signed.
mod hex {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(number: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{number:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        u64::from_str_radix(&text, 16)
            .map_err(|_| D::Error::custom(format!("`{text}` is no hexadecimal number")))
    }
}

/// A node's data directory, held by this process.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    identity: Identity,
    _lock: File,
}

impl Directory {
    /// Takes the directory, which is made with a new identity if there is none.
    ///
    /// # Errors
    /// As [`DirectoryError`] says.
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        fs::create_dir_all(path).map_err(io_error(path))?;
        let lock_path = path.join(LOCK_FILE);
        let lock = File::create(&lock_path).map_err(io_error(&lock_path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => DirectoryError::Locked(path.to_owned()),
            TryLockError::Error(error) => io_error(&lock_path)(error),
        })?;
        let file = path.join(NODE_FILE);
        let identity = match fs::read_to_string(&file) {
            Ok(text) => Some(read(&file, &text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(io_error(&file)(error)),
        };
        let new = identity.is_none();
        let fresh = || Identity { format: FORMAT, identity: rand::random(), incarnation: 0, cluster: None };
        let directory = Self { path: path.to_owned(), identity: identity.unwrap_or_else(fresh), _lock: lock };
        if new {
            directory.write(&directory.identity)?;
        }
        Ok(directory)
    }

    /// What the node knows of itself.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Begins a life; gives its number.
    ///
    /// # Errors
    /// If it cannot be written down; the life must not begin then.
    pub fn begin_life(&mut self) -> Result<u32, DirectoryError> {
        let incarnation = self.identity.incarnation + 1;
        self.change(Identity { incarnation, ..self.identity.clone() })?;
        Ok(incarnation)
    }

    /// Puts the node into a cluster, for ever.
    ///
    /// # Errors
    /// If it cannot be written down; nobody must be told then.
    pub fn settle(&mut self, place: Place) -> Result<(), DirectoryError> {
        self.change(Identity { cluster: Some(place), ..self.identity.clone() })
    }

    /// The files of the replicated log of the node.
    ///
    /// # Errors
    /// If they belong to another node.
    pub fn log(&self, place: &Place) -> Result<LogDirectory, DirectoryError> {
        let folder = self.path.join(LOG_FOLDER);
        fs::create_dir_all(&folder).map_err(io_error(&folder))?;
        let expected = format!("n{} of cluster {:016x}", place.node, place.id);
        let file = folder.join(OWNER_FILE);
        match fs::read_to_string(&file) {
            Ok(found) if found.trim_end() == expected => {}
            Ok(found) => {
                let found = found.trim_end().to_owned();
                return Err(DirectoryError::ForeignLog { path: folder, found, expected });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                replace(&file, &format!("{expected}\n"))?
            }
            Err(error) => return Err(io_error(&file)(error)),
        }
        LogDirectory::open(&folder).map_err(io_error(&folder))
    }

    /// Whether the node has followed the log, and so begins with it.
    pub fn has_log(&self) -> bool {
        let entries = fs::read_dir(self.path.join(LOG_FOLDER)).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("log-"))
    }

    /// Where the voters are written down.
    pub fn voters(&self) -> VotersFile {
        VotersFile(self.path.join(VOTERS_FILE))
    }

    fn change(&mut self, identity: Identity) -> Result<(), DirectoryError> {
        self.write(&identity)?;
        self.identity = identity;
        Ok(())
    }

    fn write(&self, identity: &Identity) -> Result<(), DirectoryError> {
        let path = self.path.join(NODE_FILE);
        let text = toml::to_string(identity)
            .map_err(|error| DirectoryError::Content { path: path.clone(), reason: error.to_string() })?;
        replace(&path, &text)
    }
}

/// The voters that a node knew of last, and where each served: where one without the log gets the state from. Used without
/// the directory, which others need meanwhile.
#[derive(Clone, Debug)]
pub struct VotersFile(PathBuf);

impl VotersFile {
    /// The voters; none if nobody has written them down.
    pub fn read(&self) -> BTreeMap<u64, String> {
        // a hint, no more: what cannot be read is asked for again
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        let line = |line: &str| {
            let (node, address) = line.split_once(' ')?;
            Some((node.parse().ok()?, address.to_owned()))
        };
        text.lines().filter_map(line).collect()
    }

    /// Writes the voters down. It waits for the disk.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, voters: &BTreeMap<u64, String>) -> Result<(), DirectoryError> {
        let text: String = voters.iter().map(|(node, address)| format!("{node} {address}\n")).collect();
        replace(&self.0, &text)
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_owned();
    move |error| DirectoryError::Io { path, error }
}

fn read(path: &Path, text: &str) -> Result<Identity, DirectoryError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let content = |error: toml::de::Error| DirectoryError::Content {
        path: path.to_owned(),
        reason: error.message().to_owned(),
    };
    // the format first: what else stands there is its own
    let Format { format: found } = toml::from_str(text).map_err(content)?;
    if found != FORMAT {
        return Err(DirectoryError::Format { path: path.to_owned(), found });
    }
    toml::from_str(text).map_err(content)
}

/// Writes a file whole or not at all; once this returns it outlives a loss of power.
fn replace(path: &Path, text: &str) -> Result<(), DirectoryError> {
    let written = || {
        let unfinished = path.with_extension("unfinished");
        let mut file = File::create(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    written().map_err(io_error(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(node: u32) -> Place {
        Place { id: u64::MAX, node, founding: false, founders: Vec::new() }
    }

    #[test]
    fn a_node_stays_who_it_is_and_each_life_has_a_number_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Directory::open(folder.path()).unwrap();
        assert_eq!(first.begin_life().unwrap(), 1);
        first.settle(place(3)).unwrap();
        let identity = first.identity().clone();
        drop(first);
        let mut second = Directory::open(folder.path()).unwrap();
        assert_eq!(*second.identity(), identity);
        assert_eq!(second.begin_life().unwrap(), 2);
    }

    #[test]
    fn the_voters_that_were_written_down_are_known_to_the_next_life() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        assert!(directory.voters().read().is_empty() && !directory.has_log());
        let voters = BTreeMap::from([(1, "10.0.0.1:7450".to_owned()), (7, "[::1]:7450".to_owned())]);
        directory.voters().write(&voters).unwrap();
        drop(directory);
        assert_eq!(Directory::open(folder.path()).unwrap().voters().read(), voters);
    }

    #[test]
    fn two_processes_do_not_share_a_directory() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Directory::open(folder.path()).unwrap();
        let refused = Directory::open(folder.path()).unwrap_err();
        assert!(matches!(refused, DirectoryError::Locked(_)), "{refused}");
    }

    #[test]
    fn a_directory_of_another_format_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NODE_FILE), "format = 7\nsomething = \"new\"\n").unwrap();
        let refused = Directory::open(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("format 7") && refused.contains("reads format 1"), "{refused}");
    }

    #[test]
    fn a_log_that_was_copied_from_another_node_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        directory.log(&place(1)).unwrap();
        directory.log(&place(1)).unwrap();
        let refused = directory.log(&place(2)).err().unwrap().to_string();
        assert!(refused.contains("n1 of cluster") && refused.contains("n2 of cluster"), "{refused}");
    }
}
