//! `WatchNodes`: a picture of the nodes, then what changes.
//!
//! A reader that is slow loses nothing that lasts: what it did not see in between, it sees as one change from what it saw
//! to what is, so nothing waits for it.

use super::list;
use crate::Shared;
use crate::time::timestamp;
use arsenal_membership::{Membership, Node, NodeChange, changes};
use arsenal_proto::v1;
use arsenal_proto::v1::watch_nodes_response::Kind;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic::Status;

struct Watch {
    node: arsenal_runtime::Node,
    nodes: watch::Receiver<Arc<Membership>>,
    seen: Arc<Membership>,
    items: VecDeque<v1::WatchNodesResponse>,
    sequence: u64,
    _place: OwnedSemaphorePermit,
}

pub(super) fn watch(
    shared: &Shared,
    place: OwnedSemaphorePermit,
) -> BoxStream<'static, Result<v1::WatchNodesResponse, Status>> {
    let mut nodes = shared.nodes.watch();
    let seen = Arc::clone(&nodes.borrow_and_update());
    let node = shared.node.clone();
    let mut watch =
        Watch { node, nodes, seen: Arc::clone(&seen), items: VecDeque::new(), sequence: 0, _place: place };
    for node in seen.nodes.values() {
        watch.push(Kind::Snapshot, Some(node));
    }
    watch.push(Kind::SnapshotEnd, None);
    stream::unfold(watch, |mut watch| async move { Some((Ok(watch.next().await?), watch)) }).boxed()
}

impl Watch {
    async fn next(&mut self) -> Option<v1::WatchNodesResponse> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Some(item);
            }
            self.nodes.changed().await.ok()?;
            let now = Arc::clone(&self.nodes.borrow_and_update());
            let before = std::mem::replace(&mut self.seen, now);
            for change in changes(&before, &self.seen) {
                let kind = match change {
                    NodeChange::Up(_) => Kind::Nodeup,
                    NodeChange::Down(_) => Kind::Nodedown,
                    NodeChange::Changed(_) => Kind::Changed,
                    NodeChange::Removed(_) => Kind::Removed,
                };
                self.push(kind, Some(change.node()));
            }
        }
    }

    fn push(&mut self, kind: Kind, node: Option<&Node>) {
        self.sequence += 1;
        self.items.push_back(v1::WatchNodesResponse {
            sequence: self.sequence,
            kind: kind.into(),
            node: node.map(list::encode),
            index: self.seen.index,
            time: Some(timestamp(&self.node, self.node.now_ns())),
        });
    }
}
