//! Processes that were made here and have not come yet: each ends if the node that it is to come from does, or says nothing
//! of it for too long.
//!
//! Invariant: one that the voters have given its names is only given up with the node that it comes from, which tries for
//! as long as it lives.

use crate::Shared;
use arsenal_membership::NodeState;
use arsenal_runtime::Pid;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a process waits to be given its names: longer than whoever made it tries.
const LEASE: Duration = Duration::from_secs(60);

/// Those that are watched over, each until this drops its half.
#[derive(Clone, Debug, Default)]
pub(super) struct Coming(Arc<Mutex<BTreeMap<Pid, oneshot::Sender<()>>>>);

impl Coming {
    /// Watches over a process that is to come from `former`.
    pub(super) fn attend(&self, shared: &Shared, pid: Pid, former: Pid) {
        let (settle, settled) = oneshot::channel();
        self.0.lock().insert(pid, settle);
        let (coming, shared) = (self.clone(), shared.clone());
        tokio::spawn(async move {
            tokio::select! {
                _ = settled => return,
                () = given_up(&shared, pid, former) => shared.node.turn_away(pid, former),
            }
            coming.is_settled(pid);
        });
    }

    /// Nobody has to watch over this process any more.
    pub(super) fn is_settled(&self, pid: Pid) {
        self.0.lock().remove(&pid);
    }
}

/// Waits until nothing will come for the process any more.
async fn given_up(shared: &Shared, pid: Pid, former: Pid) {
    let mut membership = shared.nodes.watch();
    loop {
        let ended = membership
            .borrow_and_update()
            .nodes
            .get(&former.node)
            .is_none_or(|node| node.incarnation != former.incarnation || node.state == NodeState::Down);
        if ended {
            return;
        }
        match tokio::time::timeout(LEASE, membership.changed()).await {
            Ok(Ok(())) => {}
            // the node is stopping
            Ok(Err(_)) => return,
            Err(_) if shared.node.read_registry(|state| state.epoch_of(pid)) == 0 => return,
            Err(_) => {}
        }
    }
}
