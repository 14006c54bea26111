//! What becomes of a process whose move is refused, in doubt, or overtaken by the end of the other node.

use super::{Cluster, DEADLINE};
use arsenal_membership::NodeState;
use arsenal_proto::v1;
use arsenal_proto::v1::cluster_service_server::ClusterService as _;
use arsenal_runtime::registry::{
    Command, Done, LocalRegistry, Observer, Registry, RegistryError, RegistryState,
};
use arsenal_runtime::{Pid, Term};
use parking_lot::Mutex;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tonic::{Code, Request, Response, Status};

/// What becomes of a move.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is refused for certain.
    Refused,
    /// It is committed, and nobody hears so.
    CommittedUnheard,
    /// It is lost, and nobody knows.
    Lost,
    Committed,
}

/// One registry for all nodes, in which moves have the fates that a test chose; the last one is that of all that follow.
struct Fateful {
    registry: LocalRegistry,
    fates: Mutex<Vec<Fate>>,
    /// A move was proposed.
    proposed: Notify,
}

impl Fateful {
    fn new(fates: &[Fate]) -> Arc<Self> {
        let fates = Mutex::new(fates.iter().rev().copied().collect());
        Arc::new(Self { registry: LocalRegistry::default(), fates, proposed: Notify::new() })
    }

    fn fate(&self) -> Fate {
        let mut fates = self.fates.lock();
        if fates.len() > 1 { fates.pop().unwrap() } else { fates[0] }
    }
}

impl Registry for Fateful {
    fn propose(&self, command: Command, done: Done) {
        if !matches!(command, Command::Move { .. }) {
            return self.registry.propose(command, done);
        }
        self.proposed.notify_one();
        let unknown = || RegistryError::Unknown("the leader went away".into());
        match self.fate() {
            Fate::Refused => done(Err(RegistryError::Unavailable("no quorum".into()))),
            Fate::Lost => done(Err(unknown())),
            Fate::CommittedUnheard => {
                self.registry.propose(command, Box::new(|_| {}));
                done(Err(unknown()));
            }
            Fate::Committed => self.registry.propose(command, done),
        }
    }

    fn release(&self, pid: Pid) {
        self.registry.release(pid);
    }

    fn read(&self, look: &mut dyn FnMut(&RegistryState)) {
        self.registry.read(look);
    }

    fn synchronize(&self, done: Box<dyn FnOnce(Result<(), RegistryError>) + Send>) {
        self.registry.synchronize(done);
    }

    fn observe(&self, observer: Observer) {
        self.registry.observe(observer);
    }
}

/// Runs a test on two nodes that share a registry with these fates.
fn on_two<F: Future<Output = ()>>(fates: &[Fate], test: impl FnOnce(Cluster, Arc<Fateful>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(async {
        let registry = Fateful::new(fates);
        let cluster = Cluster::sharing(2, |_| Arc::clone(&registry) as Arc<dyn Registry>).await;
        tokio::time::timeout(DEADLINE, test(cluster, registry)).await
    });
    assert!(outcome.is_ok(), "it did not end");
}

type Moved = Result<v1::MigrateProcessToNodeResponse, Status>;

/// Begins to move a process of n1 to n2.
fn migrate(cluster: &Cluster, process: Pid) -> JoinHandle<Moved> {
    let api = cluster.api(1).clone();
    let request = v1::MigrateProcessToNodeRequest {
        process: process.to_string(),
        node: "n2".into(),
        ..Default::default()
    };
    tokio::spawn(
        async move { api.migrate_process_to_node(Request::new(request)).await.map(Response::into_inner) },
    )
}

async fn counter(cluster: &Cluster) -> Pid {
    let counter = cluster.start(1, "counter", None).await;
    let add = Term::from(["add".into(), Term::Int(5)]);
    cluster.node(1).call(counter, add, None, 0).await.unwrap();
    counter
}

#[test]
fn a_move_that_is_refused_leaves_the_process_as_it_was_and_nothing_on_the_other_node() {
    on_two(&[Fate::Refused, Fate::Committed], |cluster, _| async move {
        let counter = counter(&cluster).await;
        let refused = migrate(&cluster, counter).await.unwrap().unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert_eq!(cluster.node(1).call(counter, "get".into(), None, 0).await, Ok(Term::Int(5)));
        while cluster.node(2).process_count() > 0 {
            tokio::task::yield_now().await;
        }
        let moved = migrate(&cluster, counter).await.unwrap().unwrap();
        assert!(moved.pid.starts_with("n2."), "it may move later: {moved:?}");
    });
}

#[test]
fn a_move_whose_outcome_was_lost_goes_on_whether_or_not_it_was_committed() {
    for fates in [[Fate::CommittedUnheard, Fate::Lost], [Fate::Lost, Fate::Committed]] {
        on_two(&fates, |cluster, registry| async move {
            let counter = counter(&cluster).await;
            let moved = migrate(&cluster, counter).await.unwrap().unwrap();
            let pid: Pid = moved.pid.parse().unwrap();
            assert_eq!(cluster.node(2).call(pid, "get".into(), None, 0).await, Ok(Term::Int(5)));
            let mut owned = 0;
            registry.read(&mut |state| owned = state.epoch_of(pid));
            assert_eq!(owned, moved.epoch);
            assert_eq!(cluster.node(1).moved_to(counter), Some(pid));
        });
    }
}

#[test]
fn a_move_in_doubt_is_over_when_the_other_node_is_and_the_process_goes_on() {
    on_two(&[Fate::Lost], |cluster, registry| async move {
        let counter = counter(&cluster).await;
        let moving = migrate(&cluster, counter);
        registry.proposed.notified().await;
        cluster.kill(2).await;
        cluster.declare(2, 1, NodeState::Down);
        let refused = moving.await.unwrap().unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert_eq!(cluster.node(1).call(counter, "get".into(), None, 0).await, Ok(Term::Int(5)));
    });
}

#[test]
fn a_node_that_ends_when_it_owns_the_process_takes_it_along() {
    on_two(&[Fate::Lost, Fate::Committed], |cluster, registry| async move {
        let counter = counter(&cluster).await;
        let moving = migrate(&cluster, counter);
        // it answers no more when it is given the process
        registry.proposed.notified().await;
        cluster.kill(2).await;
        registry.proposed.notified().await;
        cluster.declare(2, 1, NodeState::Down);
        let lost = moving.await.unwrap().unwrap_err();
        assert_eq!(lost.code(), Code::Aborted, "{lost:?}");
        cluster.node(1).await_exit(counter).await;
        let reason = cluster.node(1).events().exit_of(counter).unwrap().reason;
        assert_eq!(reason, Term::Atom("noconnection"));
    });
}

#[test]
fn what_was_made_for_a_process_ends_with_the_node_that_it_was_to_come_from() {
    on_two(&[Fate::Lost], |cluster, registry| async move {
        let counter = counter(&cluster).await;
        let _moving = migrate(&cluster, counter);
        registry.proposed.notified().await;
        assert_eq!(cluster.node(2).process_count(), 1);
        cluster.declare(1, 1, NodeState::Down);
        while cluster.node(2).process_count() > 0 {
            tokio::task::yield_now().await;
        }
    });
}
