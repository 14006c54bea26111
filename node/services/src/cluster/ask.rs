//! Asking other nodes: many at a time and no more than that, each for no longer than it may take.

use crate::Shared;
use crate::own::Own;
use crate::status::{failure, of_node};
use futures_util::{StreamExt as _, stream};
use std::future::Future;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Nodes that are asked at a time.
const AT_ONCE: usize = 64;

/// How long a node may take where nothing else is said.
pub(crate) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// What each of the nodes said, in the order of `nodes`.
pub(crate) async fn each<T, F>(
    shared: &Shared,
    nodes: Vec<u32>,
    timeout: Duration,
    ask: impl Fn(u32, Channel) -> F,
) -> Vec<(u32, Result<T, Status>)>
where
    F: Future<Output = Result<T, Status>>,
{
    let ask = &ask;
    let asked = nodes.into_iter().map(|node| {
        let answer = one(shared, node, timeout, move |channel| ask(node, channel));
        async move { (node, answer.await) }
    });
    stream::iter(asked).buffered(AT_ONCE).collect().await
}

/// What one node says.
pub(crate) async fn one<T, F>(
    shared: &Shared,
    node: u32,
    timeout: Duration,
    ask: impl FnOnce(Channel) -> F,
) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    let channel = shared.nodes.channel(node).map_err(|error| of_node(&error))?;
    within(node, timeout, ask(channel)).await.map_err(|status| unreached(node, status))
}

/// What this node says when it is asked as the others are.
pub(super) async fn own<T, F>(
    shared: &Shared,
    timeout: Duration,
    ask: impl FnOnce(Own) -> F,
) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    within(shared.nodes.own(), timeout, ask(shared.own.clone())).await
}

async fn within<T>(
    node: u32,
    timeout: Duration,
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let late = |_| {
        let message = format!("node n{node} did not answer within {timeout:?}");
        failure(Code::DeadlineExceeded, "TIMEOUT", message).status()
    };
    tokio::time::timeout(timeout, answer).await.map_err(late)?
}

/// A connection that could not be made, or broke, says so in words of the transport: these are ours.
fn unreached(node: u32, status: Status) -> Status {
    if !status.details().is_empty() || status.code() != Code::Unavailable {
        return status;
    }
    let message = format!("node n{node} cannot be reached: {}", status.message());
    failure(Code::Unavailable, "NOCONNECTION", message).resource("node", &format!("n{node}")).status()
}

/// Whether a node that fails so was not there to be asked.
pub(super) fn is_unreached(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded)
}
