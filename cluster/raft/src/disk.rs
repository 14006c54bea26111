//! Files as log and snapshots need them, and the machine's own.
//!
//! Names are flat: one directory, which belongs to one voter.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::future::Future;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

/// Files in one directory. Calls block; they are made from threads that may block.
pub trait Disk: Send + Sync + 'static {
    /// Names of all files.
    ///
    /// # Errors
    /// What the machine says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// All bytes of a file.
    ///
    /// # Errors
    /// What the machine says.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Writes after the end of a file, which is made if there is none.
    ///
    /// # Errors
    /// What the machine says, a full disk among it. Some of the bytes may stand there.
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Cuts a file's end off.
    ///
    /// # Errors
    /// What the machine says.
    fn truncate(&self, name: &str, length: u64) -> io::Result<()>;

    /// Returns once a file's bytes outlive a loss of power. Its name may not: see [`Disk::sync_names`].
    ///
    /// # Errors
    /// What the machine says. The bytes may be lost then even if a second try succeeds.
    fn sync(&self, name: &str) -> io::Result<()>;

    /// Returns once what was created, renamed and removed outlives a loss of power.
    ///
    /// # Errors
    /// What the machine says.
    fn sync_names(&self) -> io::Result<()>;

    /// Gives a file another name, in place of the file that has it.
    ///
    /// # Errors
    /// What the machine says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the machine says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// What a simulated medium takes to write; the machine's takes it inside [`Disk::sync`].
    fn settle(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        None
    }
}

/// A directory of the machine.
pub struct Directory {
    path: PathBuf,
    open: Mutex<HashMap<String, Arc<File>>>,
}

impl Directory {
    /// Opens a directory, which is made if there is none.
    ///
    /// # Errors
    /// What the machine says.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        fs::create_dir_all(&path)?;
        Ok(Self { path, open: Mutex::default() })
    }

    /// Files that are written to stay open: there are few, the log's segments and one snapshot.
    fn file(&self, name: &str) -> io::Result<Arc<File>> {
        let mut open = self.open.lock();
        if let Some(file) = open.get(name) {
            return Ok(Arc::clone(file));
        }
        let file = OpenOptions::new().create(true).append(true).open(self.path.join(name))?;
        let file = Arc::new(file);
        open.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn forget(&self, name: &str) {
        self.open.lock().remove(name);
    }
}

impl Disk for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path.join(name))
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.as_ref().write_all(bytes)
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        self.file(name)?.set_len(length)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.forget(from);
        self.forget(to);
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.forget(name);
        fs::remove_file(self.path.join(name))
    }
}
