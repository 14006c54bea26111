//! What nodes say of themselves, by grpc.health.v1: one that stops is no longer asked, and one that is back is found
//! without a client's call.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tower::BoxError;

use super::{Node, Shared};
use crate::upstream::{
    Unsent, Upstream,
    health::{self, Health, SERVING},
};

/// Asks those that are there, and those that come later.
pub(super) async fn watch(shared: &Arc<Shared>) {
    let mut changes = shared.state.subscribe();
    let mut watching = FuturesUnordered::new();
    loop {
        let nodes = changes.borrow_and_update().nodes.clone();
        let fresh = nodes.iter().filter(|node| !node.watched.swap(true, Ordering::Relaxed));
        for node in fresh {
            watching.push(watch_node(shared, node.clone()));
        }
        tokio::select! {
            // the pool has the sender
            _ = changes.changed() => {}
            Some(()) = watching.next() => {}
        }
    }
}

/// Ends once the node is no longer one of the pool's.
async fn watch_node(shared: &Shared, node: Arc<Node>) {
    while shared.state.borrow().nodes.iter().any(|there| Arc::ptr_eq(there, &node)) {
        let answers = node.answers();
        let told = tokio::time::timeout(shared.config.health_timeout, check(&*node.upstream)).await;
        let late = told.is_err();
        match told.unwrap_or_else(|late| Err(late.into())) {
            Ok(serving) => {
                node.serving.store(serving, Ordering::Relaxed);
                node.succeed();
            }
            // it is there, with as many calls as it takes
            Err(error) if error.downcast_ref().is_some_and(Unsent::is_busy) => {}
            Err(error) => {
                // back once it says so, and not at the cost of a client's call that tries
                node.serving.store(false, Ordering::Relaxed);
                shared.fail(&node, &*error);
                if late && node.answers() == answers {
                    // frozen or cut off: its connections may stand for long, and the calls on them with it
                    node.silent.notify_waiters();
                }
            }
        }
        tokio::time::sleep(spread(shared.config.health_interval, shared.dice.fraction())).await;
    }
}

/// Gateways that started together do not ask together.
fn spread(interval: Duration, chance: f64) -> Duration {
    interval.mul_f64(0.8 + 0.4 * chance)
}

/// Whether a node serves. One that has no health service does.
async fn check(upstream: &dyn Upstream) -> Result<bool, BoxError> {
    Ok(matches!(health::ask(upstream, "").await?, Health::Told(SERVING) | Health::Unknown))
}
