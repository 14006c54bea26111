//! One read on every node: `rpc:multicall`.

use super::{ask, list};
use crate::Shared;
use crate::operations::{self, Effect, Operation};
use crate::payload;
use crate::status::{bad_argument, failure};
use crate::time::duration;
use crate::{dynamic, status};
use arsenal_proto::v1;
use arsenal_proto::v1::gather_from_all_nodes_response::{Entry, entry::Outcome};
use arsenal_runtime::Term;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tonic::transport::Channel;
use tonic::{Code, Status};

pub(super) async fn gather(
    shared: &Shared,
    request: v1::GatherFromAllNodesRequest,
) -> Result<v1::GatherFromAllNodesResponse, Status> {
    let timeout = duration("timeout", request.timeout.as_ref())?.unwrap_or(ask::TIMEOUT_DEFAULT);
    let (operation, message) = read(request.call.unwrap_or_default())?;
    let nodes: Vec<u32> = shared.nodes.membership().nodes.keys().copied().collect();
    // this node is asked as the others are, so that its entry is what a client would get from it
    let answers = ask::each(shared, nodes, timeout, |_, channel| call(channel, &operation, message.clone()));
    let entry = |(id, answer): (u32, Result<Value, Status>)| {
        let outcome = match answer {
            Ok(answer) => Outcome::Response(payload::to_struct(&Term::from(&answer))),
            Err(error) => Outcome::Error(status::to_proto(&error)),
        };
        Entry { node: list::name(id), outcome: Some(outcome) }
    };
    Ok(v1::GatherFromAllNodesResponse { entries: answers.await.into_iter().map(entry).collect() })
}

/// The operation that is called, and its request on the wire.
fn read(call: v1::OperationCall) -> Result<(Operation, Vec<u8>), Status> {
    let operation = operations::find(&call.operation).ok_or_else(|| {
        bad_argument("call.operation", format!("there is no operation `{}`", call.operation))
    })?;
    if operation.effect != Effect::Read {
        let message = format!("`{}` changes something; only reads are run on all nodes", operation.name);
        return Err(failure(Code::InvalidArgument, "NOT_A_READ", message).field("call.operation").status());
    }
    if operation.method.is_server_streaming() || operation.method.is_client_streaming() {
        let message = format!("`{}` is a stream; follow it on each node", operation.name);
        return Err(bad_argument("call.operation", message));
    }
    let request = payload::struct_to_term(call.request.unwrap_or_default()).to_json();
    let message = dynamic::encode(&operation, &request).map_err(|error| {
        bad_argument("call.request", format!("the request of `{}`: {error}", operation.name))
    })?;
    Ok((operation, message))
}

async fn call(channel: Channel, operation: &Operation, message: Vec<u8>) -> Result<Value, Status> {
    let answers = dynamic::call(channel, operation, stream::iter([message]), &[]).await?;
    let mut answers = std::pin::pin!(answers);
    let none = || failure(Code::Internal, "INTERNAL", "the node answered nothing").status();
    answers.next().await.ok_or_else(none)?
}
