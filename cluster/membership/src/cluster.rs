//! A node's membership put together: its directory, its voter, its session, its view, and the way out.
//!
//! All of it runs on a thread of its own: whoever votes must not be late because requests are many.

use crate::answering::{Answering, Voting};
use crate::bootstrap::{self, Bootstrap};
use crate::cuts::Cuts;
use crate::desk::{Desk, Life, Shared};
use crate::dialer::Dialer;
use crate::directory::{Directory, DirectoryError, Place};
use crate::keeping::Manner;
use crate::nodes::Nodes;
use crate::session::{Lease, Session};
use crate::settings::Settings;
use crate::steward::{self, Steward};
use crate::streams::Streams;
use crate::thread::Thread;
use crate::view::ClusterView;
use arsenal_raft::disk::Disk;
use arsenal_raft::nodes::{Candidate, NodeCommand, NodePhase};
use arsenal_raft::{Config, End, Group, OpenDisk, StartError, Voter};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// What a leader takes to hand over, and what the others take to learn that a node stops.
const PARTING_MAX: Duration = Duration::from_secs(2);

/// Why a node does not get into its cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Its directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Its voter does not start.
    #[error(transparent)]
    Voter(#[from] StartError),
    /// The machine says no.
    #[error("the cluster's thread does not start: {0}")]
    Thread(std::io::Error),
    /// It cannot be written down, or it was told to stop.
    #[error("this node is not in its cluster: {0}")]
    Place(String),
}

/// A node's membership.
pub struct Cluster {
    shared: Arc<Shared>,
    settings: Settings,
    end: End,
    thread: Thread,
    entered: Mutex<Option<Inside>>,
}

/// What runs while a node is in its cluster.
struct Inside {
    group: Group,
    lease: Arc<Lease>,
    life: Life,
    /// The session, the view, the steward.
    tasks: Vec<AbortHandle>,
}

/// A node that is in its cluster.
#[derive(Clone)]
pub struct Entered {
    /// Its number.
    pub node: u32,
    /// Which life of it this is.
    pub incarnation: u32,
    /// Its part of the replicated state.
    pub group: Group,
    /// The nodes, and the way to each.
    pub nodes: Arc<dyn Nodes>,
    opened: watch::Receiver<bool>,
}

impl Entered {
    /// Returns once this node's session is open, or after so long. Gives whether it is.
    pub async fn opened(&self, limit: Duration) -> bool {
        let mut opened = self.opened.clone();
        let waiting = timeout(limit, opened.wait_for(|opened| *opened)).await;
        waiting.is_ok_and(|opened| opened.is_ok())
    }
}

impl Cluster {
    /// Takes the directory. What the node says to others is served from now on, by [`Cluster::desk`] and
    /// [`Cluster::answering`]; it is in its cluster after [`Cluster::enter`]. `end` is called if it cannot go on; the
    /// process must not outlive that.
    ///
    /// # Errors
    /// If the directory is another's, or of another version.
    pub fn open(settings: Settings, dialer: Dialer, end: End) -> Result<Self, ClusterError> {
        let directory = Directory::open(&settings.data_dir)?;
        let own = Candidate {
            identity: directory.identity().identity,
            name: settings.name.as_str().into(),
            address: settings.address.as_str().into(),
            zone: settings.zone.as_str().into(),
        };
        let shared = Arc::new(Shared::new(directory, own, settings.clone(), dialer));
        let thread = Thread::start().map_err(ClusterError::Thread)?;
        Ok(Self { shared, settings, end, thread, entered: Mutex::default() })
    }

    /// What answers other nodes about the cluster.
    pub fn desk(&self) -> Desk {
        Desk(Arc::clone(&self.shared))
    }

    /// What this node is cut off from on purpose.
    pub fn cuts(&self) -> &Cuts {
        self.shared.dialer.cuts()
    }

    /// What answers other voters.
    pub fn answering(&self) -> Answering {
        Answering::new(self.shared.voting.subscribe(), self.thread.handle())
    }

    /// Gets into the cluster: founds it with the others, joins it, or goes on where its last life ended. Takes as long
    /// as that takes.
    ///
    /// # Errors
    /// If what it has on disk cannot be used.
    pub async fn enter(&self) -> Result<Entered, ClusterError> {
        let (shared, settings) = (Arc::clone(&self.shared), self.settings.clone());
        let (end, io) = (Arc::clone(&self.end), Handle::current());
        let entering = self.thread.run(async move { enter(shared, settings, end, io).await });
        let stopped = || ClusterError::Place("it is stopping".to_owned());
        let (entered, inside) = entering.await.ok_or_else(stopped)??;
        *self.entered.lock() = Some(inside);
        Ok(entered)
    }

    /// The number of the node that leads, as far as this one knows.
    pub fn leader(&self) -> Option<u32> {
        let leader = self.inside(|inside| inside.group.status().leader)??;
        u32::try_from(leader).ok()
    }

    /// Returns once this node was told to end because it is taken out of its cluster.
    pub async fn dismissed(&self) {
        // the sender lives as long as this
        let _ = self.shared.dismissed.subscribe().wait_for(|dismissed| *dismissed).await;
    }

    /// Whether this node was told to end because it is taken out of its cluster.
    pub fn is_dismissed(&self) -> bool {
        *self.shared.dismissed.borrow()
    }

    /// Says that this node is about to stop: nothing new comes to it, and somebody else leads.
    pub async fn leave(&self) {
        let Some((group, life)) = self.inside(|inside| (inside.group.clone(), inside.life.clone())) else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        let leaving = async move {
            let command = NodeCommand::Leave { node: life.node, incarnation: life.incarnation };
            steward::say(&group, command, PARTING_MAX).await;
            hand_over(&shared, &group).await;
        };
        self.thread.run(leaving).await;
    }

    /// Ends the session by this node's own word, and the voter.
    pub async fn stop(&self) {
        let inside = self.entered.lock().take();
        let shared = Arc::clone(&self.shared);
        if let Some(inside) = inside {
            self.thread.run(async move { part(&shared, inside).await }).await;
        }
        self.thread.stop();
    }

    fn inside<T>(&self, look: impl FnOnce(&Inside) -> T) -> Option<T> {
        self.entered.lock().as_ref().map(look)
    }
}

async fn hand_over(shared: &Shared, group: &Group) {
    let status = group.status();
    let is_up = |voter: &u64| {
        let voter = u32::try_from(*voter).ok();
        group.look(|state| {
            let record = voter.and_then(|voter| state.nodes().nodes().get(&voter));
            record.is_some_and(|record| record.phase == NodePhase::Up)
        })
    };
    // whoever is the last to stop has nobody to hand over to
    let others = status.voters.iter().any(|voter| *voter != status.id && is_up(voter));
    if status.leader == Some(status.id) && others {
        let handed = steward::hand_over(shared, group, PARTING_MAX).await;
        tracing::info!(handed, "this node led");
    }
}

async fn part(shared: &Shared, inside: Inside) {
    let Inside { group, lease, life, tasks } = inside;
    // neither renewed nor used any more before it is said to be over
    tasks.iter().for_each(AbortHandle::abort);
    lease.end();
    let down = NodeCommand::Down { node: life.node, incarnation: life.incarnation, keeper: None };
    steward::say(&group, down, PARTING_MAX).await;
    hand_over(shared, &group).await;
    shared.voting.send_replace(None);
    group.shutdown().await;
}

async fn enter(
    shared: Arc<Shared>,
    settings: Settings,
    end: End,
    io: Handle,
) -> Result<(Entered, Inside), ClusterError> {
    let refused = |status: tonic::Status| ClusterError::Place(status.message().to_owned());
    let place = Bootstrap::new(&shared, &settings.seeds).place().await.map_err(refused)?;
    shared.dialer.cuts().belong_to(place.node);
    let incarnation = shared.directory.lock().begin_life()?;
    tracing::info!(
        cluster = format!("{:016x}", place.id),
        node = format!("n{}", place.node),
        incarnation,
        "this node belongs to a cluster"
    );
    let group = start_group(&shared, &settings, &place, Arc::clone(&end)).await?;
    if place.founding {
        bootstrap::found(&shared, &group, &place).await.map_err(refused)?;
    }
    let lease = Arc::<Lease>::default();
    let life = Life {
        node: place.node,
        incarnation,
        drawn: rand::random(),
        address: settings.address.as_str().into(),
        zone: settings.zone.as_str().into(),
        manner: Manner { abstains: settings.never_votes, ..Manner::default() },
    };
    let view = Arc::new(ClusterView::new(&life, Arc::clone(&lease), group.clone(), &shared, io));
    let opened = shared.opened.subscribe();
    let session = Session {
        shared: Arc::clone(&shared),
        group: group.clone(),
        life: life.clone(),
        lease: Arc::clone(&lease),
        every: settings.renew_every,
    };
    let finding = (Arc::clone(&shared), group.clone(), Arc::clone(&lease));
    let steward = Steward::new(shared, group.clone());
    let naming = group.clone();
    let tasks = vec![
        tokio::spawn(Arc::clone(&view).follow()).abort_handle(),
        tokio::spawn(async move {
            bootstrap::name_founders(&naming, &place).await;
            session.keep(end).await;
        })
        .abort_handle(),
        tokio::spawn(steward.run()).abort_handle(),
        tokio::spawn(async move {
            bootstrap::find_voters(&finding.0, &finding.1, &finding.2, &settings.seeds).await;
        })
        .abort_handle(),
    ];
    let entered = Entered { node: life.node, incarnation, group: group.clone(), nodes: view, opened };
    Ok((entered, Inside { group, lease, life, tasks }))
}

/// Starts the node's part in the replicated state: by the log if it founds or has followed one before, else by a view.
async fn start_group(
    shared: &Arc<Shared>,
    settings: &Settings,
    place: &Place,
    end: End,
) -> Result<Group, ClusterError> {
    let introduction = shared.introduction();
    let mut config = Config::new(u64::from(place.node), place.id);
    config.heartbeat = settings.heartbeat;
    config.election_timeout = settings.election_timeout;
    // an election takes up to twice its timeout, and may have to be held again
    config.lease = (settings.election_timeout * 6).max(Duration::from_secs(1));
    config.disk_limit = settings.disk_limit;
    let (speaker, unsettled) = (Arc::downgrade(shared), introduction.clone());
    let introduce =
        move || speaker.upgrade().map_or_else(|| unsettled.clone(), |shared| shared.introduction());
    let transport = Arc::new(Streams::new(shared.dialer.clone(), introduce));
    let has_log = !place.founders.is_empty() || shared.directory.lock().has_log();
    let open_disk = disk_opener(shared, place, settings.never_votes && !has_log);
    let group = if has_log {
        // here, where what is wrong with it can be told
        shared.directory.lock().log(place)?;
        Group::start_on(config, open_disk, transport, end).await?
    } else {
        let contacts = shared.contacts.lock().clone().into_iter();
        let contacts = contacts.map(|(id, address)| (id, Voter { address })).collect();
        Group::start_view(config, contacts, open_disk, transport, end).await
    };
    shared.voting.send_replace(Some(Voting { group: group.clone(), introduction }));
    Ok(group)
}

/// What opens the node's log when it is needed. Whoever holds it does not hold the directory.
fn disk_opener(shared: &Arc<Shared>, place: &Place, never_votes: bool) -> OpenDisk {
    let (shared, place) = (Arc::downgrade(shared), place.clone());
    Arc::new(move || {
        if never_votes {
            return Err(io::Error::other("this node is set never to vote, and keeps no log"));
        }
        let shared = shared.upgrade().ok_or_else(|| io::Error::other("this node stops"))?;
        let log = shared.directory.lock().log(&place).map_err(io::Error::other)?;
        Ok(Arc::new(log) as Arc<dyn Disk>)
    })
}
