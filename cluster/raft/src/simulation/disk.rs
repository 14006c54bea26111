//! A disk in memory that outlives its node, and forgets at a crash what was not synced.
//!
//! At a crash, bytes after the last sync survive up to a random place and may be garbage at its end; names that were
//! created, renamed or removed since the last sync of names go back or not. A disk can also fail, be full, be slow, hang,
//! and lie: say that it synced and not have done so.

use super::world::World;
use crate::disk::Disk;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A disk in memory. Clones are the same disk.
#[derive(Clone)]
pub struct MemoryDisk {
    world: World,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    files: BTreeMap<u64, Bytes>,
    files_ever: u64,
    names: BTreeMap<String, u64>,
    names_synced: BTreeMap<String, u64>,
    faults: Faults,
}

#[derive(Default)]
struct Bytes {
    now: Vec<u8>,
    synced: Vec<u8>,
}

/// What is wrong with a disk.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The longest that a sync takes; zero for no time at all, which works outside of a running world too.
    pub slowest: Duration,
    /// A sync never ends.
    pub hangs: bool,
    /// A sync fails.
    pub fails: bool,
    /// Nothing more can be written.
    pub full: bool,
    /// A sync does nothing and says that it did.
    pub lies: bool,
}

impl MemoryDisk {
    /// An empty disk of a world.
    pub fn new(world: &World) -> Self {
        let inner = Inner {
            faults: Faults { slowest: Duration::from_millis(2), ..Faults::default() },
            ..Inner::default()
        };
        Self { world: world.clone(), inner: Arc::new(Mutex::new(inner)) }
    }

    /// Changes what is wrong with it.
    pub fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.inner.lock().faults);
    }

    /// Loses power: what was not synced is gone, in part or wholly. What was wrong with it is right again, lies excepted.
    pub fn crash(&self) {
        let mut inner = self.inner.lock();
        inner.faults =
            Faults { lies: inner.faults.lies, slowest: Duration::from_millis(2), ..Faults::default() };
        if self.world.chance(500) {
            inner.names = inner.names_synced.clone();
        }
        let kept: Vec<u64> = inner.names.values().copied().collect();
        inner.files.retain(|id, _| kept.contains(id));
        for file in inner.files.values_mut() {
            file.now = self.survivors(file);
            file.synced.clone_from(&file.now);
        }
        inner.names_synced = inner.names.clone();
    }

    fn survivors(&self, file: &Bytes) -> Vec<u8> {
        let Some(unsynced) = file.now.strip_prefix(file.synced.as_slice()) else {
            // it was truncated: that has reached the medium or not
            return if self.world.chance(500) { file.synced.clone() } else { file.now.clone() };
        };
        let count = self.world.below(unsynced.len() as u64 + 1) as usize;
        let mut survivors = file.synced.clone();
        survivors.extend_from_slice(&unsynced[..count]);
        if count > 0 && self.world.chance(300) {
            // a page that was allocated and never written
            let zeroes = self.world.below(count as u64 + 1) as usize;
            let length = survivors.len();
            survivors[length - zeroes..].fill(0);
        }
        survivors
    }

    /// Changes one byte of a file, as a failing medium would.
    pub fn flip(&self, name: &str, at: usize) {
        let mut inner = self.inner.lock();
        let Some(file) = inner.names.get(name).copied().and_then(|id| inner.files.get_mut(&id)) else {
            return;
        };
        for bytes in [&mut file.now, &mut file.synced] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 0x55;
            }
        }
    }

    fn with_file<T>(&self, name: &str, work: impl FnOnce(&mut Bytes) -> T) -> io::Result<T> {
        let mut inner = self.inner.lock();
        let id = inner.names.get(name).copied();
        let id = id.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no file `{name}`")))?;
        Ok(work(inner.files.entry(id).or_default()))
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.inner.lock().names.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.with_file(name, |file| file.now.clone())
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        {
            let mut inner = self.inner.lock();
            if inner.faults.full {
                return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"));
            }
            if !inner.names.contains_key(name) {
                inner.files_ever += 1;
                let id = inner.files_ever;
                inner.names.insert(name.to_owned(), id);
            }
        }
        self.with_file(name, |file| file.now.extend_from_slice(bytes))
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        self.with_file(name, |file| file.now.truncate(usize::try_from(length).unwrap_or(usize::MAX)))
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let faults = self.inner.lock().faults.clone();
        if faults.fails {
            return Err(io::Error::other("input/output error"));
        }
        if faults.lies {
            return Ok(());
        }
        self.with_file(name, |file| file.synced.clone_from(&file.now))
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.names_synced = inner.names.clone();
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let id = inner.names.remove(from);
        let id = id.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no file `{from}`")))?;
        inner.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.lock().names.remove(name);
        Ok(())
    }

    fn settle(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let faults = self.inner.lock().faults.clone();
        if faults.hangs {
            return Some(Box::pin(std::future::pending()));
        }
        if faults.slowest.is_zero() {
            return None;
        }
        let slowest = u64::try_from(faults.slowest.as_nanos()).unwrap_or(u64::MAX);
        Some(Box::pin(self.world.sleep(Duration::from_nanos(self.world.below(slowest.saturating_add(1))))))
    }
}
