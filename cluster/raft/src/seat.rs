//! How a node takes part: by the log, as the voters do and whoever is to vote soon, or by a view that a voter feeds.
//!
//! A node goes from one to the other and back while it runs. Its state is one [`View`](crate::view::View) throughout, so
//! that it never goes back and nothing is told twice.
//!
//! Invariants: one of the two writes to the state at a time; the log that a view's node begins with lies behind a snapshot
//! of that view, which is on disk before the log is opened; the vote that it may have given in an earlier time outlives
//! both. A node leaves the log only once it knows that the voters agreed on it: until then they may count on what it
//! has acknowledged.

use crate::core::Core;
use crate::disk::Disk;
use crate::election;
use crate::errors::StartError;
use crate::following::{self, Following};
use crate::keeper;
use crate::log::{Journal, JournalError, Log, Reader as LogReader, Writer};
use crate::machine::Machine;
use crate::runtime::Runtime;
use crate::snapshot::Snapshots;
use crate::types::{NodeId, Types};
use crate::watchdog::{self, End, Pulse};
use openraft::Raft;
use parking_lot::RwLock;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::{Mutex, watch};

/// Opens the disk of a node's log, when it is needed first.
pub type OpenDisk = Arc<dyn Fn() -> io::Result<Arc<dyn Disk>> + Send + Sync>;

/// A node that follows the log.
pub(crate) struct Voting {
    pub(crate) raft: Raft<Types>,
    pub(crate) log: LogReader,
}

/// How a node takes part now.
#[derive(Clone)]
enum Seat {
    /// It stops, or changes.
    None,
    /// By the log.
    Log(Arc<Voting>),
    /// By a view.
    View,
}

/// Who leads, as a voter said that feeds a view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outlook {
    pub(crate) leader: Option<NodeId>,
    pub(crate) term: u64,
}

/// How a node takes part, and what it needs to change that.
pub(crate) struct Place {
    seat: RwLock<Seat>,
    pub(crate) outlook: watch::Sender<Outlook>,
    /// Log index as of which a leader said last that the log is not sent to this node.
    stood_down: AtomicU64,
    open_disk: OpenDisk,
    end: End,
    /// Held by who changes the seat; has what feeds the view meanwhile.
    changing: Mutex<Option<Following>>,
    /// Held by whoever writes the log, until the last of it is written.
    writing: Arc<Mutex<()>>,
}

impl Place {
    pub(crate) fn new(open_disk: OpenDisk, end: End) -> Self {
        Self {
            seat: RwLock::new(Seat::None),
            outlook: watch::Sender::default(),
            stood_down: AtomicU64::new(0),
            open_disk,
            end: watchdog::once(end),
            changing: Mutex::default(),
            writing: Arc::default(),
        }
    }

    /// What the node has while it follows the log.
    pub(crate) fn voting(&self) -> Option<Arc<Voting>> {
        match &*self.seat.read() {
            Seat::Log(voting) => Some(Arc::clone(voting)),
            Seat::None | Seat::View => None,
        }
    }

    /// Whether it has a view that is fed.
    pub(crate) fn is_view(&self) -> bool {
        matches!(*self.seat.read(), Seat::View)
    }

    /// Whether a frame of the log that comes to a view is meant: the voters agreed on it, after it was told the contrary
    /// last. A frame of before may come late. A view that has nothing yet cannot tell.
    pub(crate) fn is_sent_log(&self, core: &Core) -> bool {
        let (voters, learners, since) = core.view.members();
        let id = core.config.id;
        let listed = voters.contains(&id) || learners.contains(&id);
        core.view.due() == 0 || (listed && since > self.stood_down.load(Relaxed))
    }

    /// Leaves the log for a view: a leader that has applied so much says that it is not sent to this node any more.
    pub(crate) async fn stand_down(&self, core: &Arc<Core>, index: u64) {
        self.stood_down.fetch_max(index, Relaxed);
        self.take_view(core).await;
    }

    /// Begins to follow the log with what the disk holds, which is written behind what the view has.
    pub(crate) async fn take_log(&self, core: &Arc<Core>) -> Result<(), StartError> {
        let mut following = self.changing.lock().await;
        if self.voting().is_some() {
            return Ok(());
        }
        let open_disk = Arc::clone(&self.open_disk);
        // first: without a disk there is no log, and the view goes on
        let disk = Runtime::blocking(move || open_disk()).await.and_then(|disk| disk)?;
        let changes = match following.take() {
            Some(following) => {
                *self.seat.write() = Seat::None;
                following.stop().await;
                true
            }
            None => false,
        };
        match self.open_log(core, disk).await {
            Ok(voting) => {
                let voting = Arc::new(voting);
                *self.seat.write() = Seat::Log(Arc::clone(&voting));
                Runtime::detach(election::run(Arc::clone(core), Arc::clone(&voting)));
                Runtime::detach(keeper::run(Arc::clone(core), voting, Arc::clone(&self.end)));
                Ok(())
            }
            Err(error) => {
                if changes {
                    // it has neither by now, and nobody waits for it who could say so
                    (self.end)(format!("this node cannot follow the log: {error}"));
                }
                Err(error)
            }
        }
    }

    async fn open_log(&self, core: &Arc<Core>, disk: Arc<dyn Disk>) -> Result<Voting, StartError> {
        let config = &core.config;
        // whoever wrote the log before has to be done
        let writing = Arc::clone(&self.writing).lock_owned().await;
        let pulse = Pulse::new("a write to the disk of the replicated log");
        watchdog::watch(&pulse, config.disk_limit, Arc::clone(&self.end))?;
        let snapshot_pulse = Pulse::new("a write of a snapshot");
        watchdog::watch(&snapshot_pulse, config.disk_limit, Arc::clone(&self.end))?;
        let snapshots = Snapshots::new(Arc::clone(&disk), snapshot_pulse);
        let kept = snapshots.kept();
        let (machine, start) = Machine::open(Arc::clone(&core.view), snapshots).await?;
        let (id, segment_bytes_max) = (config.id, config.segment_bytes_max);
        // elsewhere: the log may be long, and others go on on this thread
        let opened = Runtime::blocking(move || {
            let (mut journal, mut recovered) = Journal::open(disk, segment_bytes_max)?;
            recovered.resign(id);
            if let Some(start) = start.filter(|start| !recovered.leads_up_to(*start)) {
                journal.begin_after(start)?;
                recovered.begin_after(start);
            }
            Ok::<_, JournalError>((journal, recovered))
        });
        let (journal, recovered) = opened.await??;
        let log = Log::new(recovered, Writer::start(journal, pulse, writing)?, kept);
        let reader = log.reader();
        let openraft = Arc::new(config.openraft());
        let raft = Raft::new(config.id, openraft, core.network.clone(), log, machine).await;
        let raft = raft.map_err(|fatal| StartError::Raft { id: config.id, reason: fatal.to_string() })?;
        Ok(Voting { raft, log: reader })
    }

    /// Begins to have the view fed by a voter.
    pub(crate) async fn take_view(&self, core: &Arc<Core>) {
        let mut following = self.changing.lock().await;
        let seat = std::mem::replace(&mut *self.seat.write(), Seat::View);
        match seat {
            Seat::View => {}
            Seat::None => *following = Some(following::start(core, &self.end)),
            Seat::Log(voting) => {
                // until then it may apply what was committed; a task that panicked has ended the process by now
                let _ = voting.raft.shutdown().await;
                *following = Some(following::start(core, &self.end));
            }
        }
    }

    /// Stops in order. The log stays as it is.
    pub(crate) async fn stop(&self) {
        let mut following = self.changing.lock().await;
        let seat = std::mem::replace(&mut *self.seat.write(), Seat::None);
        if let Seat::Log(voting) = seat {
            // a task that panicked has ended the process by now
            let _ = voting.raft.shutdown().await;
        }
        if let Some(following) = following.take() {
            following.stop().await;
        }
    }
}
