//! Who hears of nodes' lives: the decision is [`NodeMonitors`]'; here the news come in and the messages go out.
//!
//! The task that follows the nodes begins with the first monitor and ends with the node.

use super::list;
use crate::Shared;
use crate::caller::Caller;
use crate::status::failure;
use arsenal_membership::{Membership, NodeMonitors, NodeNews, Notice};
use arsenal_proto::v1;
use arsenal_runtime::{Message, Node, Pid, Term};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::sync::watch;
use tonic::{Code, Status};

/// Monitors at most.
const MONITORS_MAX: usize = 100_000;

/// The monitors that processes of this node have.
#[derive(Debug)]
pub(super) struct Monitors {
    core: Arc<Mutex<NodeMonitors<Pid>>>,
    follows: AtomicBool,
}

impl Monitors {
    pub(super) fn new(shared: &Shared) -> Self {
        let core = NodeMonitors::new(shared.nodes.membership(), MONITORS_MAX);
        Self { core: Arc::new(Mutex::new(core)), follows: AtomicBool::new(false) }
    }

    pub(super) fn add(
        &self,
        shared: &Shared,
        caller: &Caller,
        request: &v1::MonitorNodeRequest,
    ) -> Result<v1::MonitorNodeResponse, Status> {
        let watcher = watcher(&shared.node, caller, &request.watcher)?;
        let (monitored, _) = list::known(shared, "node", &request.node)?;
        self.follow(shared);
        let mut core = self.core.lock();
        // what happened since the last look is news for those before this one
        let notices = core.step(&shared.nodes.membership());
        let added = core.add(monitored.id, watcher).or_else(|_| {
            core.forget(|watcher| !shared.node.is_alive(watcher));
            core.add(monitored.id, watcher)
        });
        let added = added.map_err(|error| {
            failure(Code::ResourceExhausted, "TOO_MANY_MONITORS", error.to_string()).status()
        });
        // told under the lock, so that nobody is told of two changes in the wrong order
        tell(&shared.node, notices);
        let (count, at_once) = added?;
        let down = at_once.is_some();
        tell(&shared.node, at_once);
        drop(core);
        let state = if down { v1::cluster_node::State::Down } else { list::state(monitored.state) };
        Ok(v1::MonitorNodeResponse { watcher: watcher.to_string(), count, state: state.into() })
    }

    pub(super) fn remove(
        &self,
        shared: &Shared,
        caller: &Caller,
        request: &v1::DemonitorNodeRequest,
    ) -> Result<v1::DemonitorNodeResponse, Status> {
        let watcher = watcher(&shared.node, caller, &request.watcher)?;
        let left = Node::node_number(&request.node).and_then(|id| self.core.lock().remove(id, watcher));
        let count = left.ok_or_else(|| {
            let message = format!("process {watcher} has no monitor on `{}`", request.node);
            failure(Code::NotFound, "NO_MONITOR", message).resource("node", &request.node).status()
        })?;
        Ok(v1::DemonitorNodeResponse { watcher: watcher.to_string(), count })
    }

    fn follow(&self, shared: &Shared) {
        if !self.follows.swap(true, Relaxed) {
            tokio::spawn(follow(shared.node.downgrade(), Arc::clone(&self.core), shared.nodes.watch()));
        }
    }
}

/// Tells each change until the node or its cluster is gone.
async fn follow(
    node: arsenal_runtime::node::WeakNode,
    core: Arc<Mutex<NodeMonitors<Pid>>>,
    mut nodes: watch::Receiver<Arc<Membership>>,
) {
    while nodes.changed().await.is_ok() {
        let Some(node) = node.upgrade() else { return };
        let now = Arc::clone(&nodes.borrow_and_update());
        let mut core = core.lock();
        let notices = core.step(&now);
        tell(&node, notices);
    }
}

fn tell(node: &Node, notices: impl IntoIterator<Item = Notice<Pid>>) {
    for Notice { watcher, node: of, news } in notices {
        let what = match news {
            NodeNews::Up => "nodeup",
            NodeNews::Down => "nodedown",
        };
        // to one that ended in the meantime it is no news
        node.send(watcher, Message::info(Pid::NONE, [what.into(), Term::from(list::name(of))].into()));
    }
}

/// The process that is told.
fn watcher(node: &Node, caller: &Caller, text: &str) -> Result<Pid, Status> {
    if text.is_empty() {
        return caller.session().ok_or_else(|| {
            let message = "`watcher` names no process and the request has no `arsenal-session` header";
            failure(Code::InvalidArgument, "NO_WATCHER", message).field("watcher").status()
        });
    }
    caller.for_whom(node, crate::reference::process(node, "watcher", text)?.pid())
}
