//! The same group outside of a simulated world: threads, directories, a clock that nobody holds.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use arsenal_raft::disk::Directory;
use arsenal_raft::transport::{CallError, Reply, Transport};
use arsenal_raft::{Command, Config, Group, Voter};
use arsenal_runtime::registry::Command as Registry;
use arsenal_runtime::{Pid, Term};
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Longer than anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Hands frames over from voter to voter within the process.
#[derive(Clone, Default)]
struct Direct(Arc<RwLock<BTreeMap<u64, Group>>>);

impl Transport for Direct {
    fn call(&self, to: u64, _voter: &Voter, frame: Bytes, timeout: Duration) -> Reply {
        let group = self.0.read().get(&to).cloned();
        Box::pin(async move {
            let gone = || CallError::Unreachable { to, reason: "it is down".to_owned() };
            let group = group.ok_or_else(gone)?;
            let lost = |_| CallError::Lost { to, reason: "the time is over".to_owned() };
            tokio::time::timeout(timeout, group.receive(frame)).await.map_err(lost)
        })
    }
}

fn register(serial: u64) -> Command {
    Command::Registry(Registry::Register {
        name: format!("name-{serial}").into(),
        pid: Pid::new(1, 1, serial),
        replace: false,
        allow_multiple: true,
        metadata: Term::Null,
        at_ms: 0,
    })
}

async fn start(directory: &std::path::Path, id: u64, network: &Direct) {
    let disk = Arc::new(Directory::open(directory.join(id.to_string())).unwrap());
    let end = Arc::new(|reason: String| panic!("{reason}"));
    let group = Group::start(Config::new(id, 7), disk, Arc::new(network.clone()), end).await.unwrap();
    network.0.write().insert(id, group);
}

/// Asks until it is answered: a machine that stands still for a moment costs the voters an election.
async fn answered<T, E>(mut ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    let answered = async {
        loop {
            if let Ok(answer) = ask().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, answered).await.unwrap()
}

#[tokio::test]
async fn three_voters_on_real_directories_agree_and_find_it_again_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let network = Direct::default();
    for id in 1..=3 {
        start(directory.path(), id, &network).await;
    }
    let group = |id| network.0.read()[&id].clone();
    let voters = (1..=3).map(|id| (id, Voter { address: String::new() })).collect();
    group(1).initialize(voters).await.unwrap();
    let proposals = (1..=200).map(|serial| {
        let group = group(1 + serial % 3);
        answered(async move || group.propose(register(serial)).await)
    });
    futures_util::future::join_all(proposals).await;
    for id in 1..=3 {
        answered(async || group(id).synchronize().await).await;
        assert_eq!(group(id).look(|state| state.registry().names().len()), 200);
    }
    for id in 1..=3 {
        group(id).shutdown().await;
    }
    network.0.write().clear();
    for id in 1..=3 {
        start(directory.path(), id, &network).await;
    }
    answered(async || group(2).propose(register(201)).await).await;
    assert_eq!(group(2).look(|state| state.registry().names().len()), 201);
}
