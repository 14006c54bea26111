//! One read on every node: `rpc:multicall`.

use super::{ask, list};
use crate::Shared;
use crate::caller::Caller;
use crate::operations::{self, Effect, Operation};
use crate::payload;
use crate::status::{bad_argument, failure};
use crate::time::duration;
use crate::{dynamic, status};
use arsenal_proto::v1;
use arsenal_proto::v1::gather_from_all_nodes_response::{Entry, entry::Outcome};
use arsenal_runtime::Term;
use futures_util::future::join;
use futures_util::stream::{self, StreamExt as _};
use serde_json::Value;
use tonic::client::GrpcService;
use tonic::codegen::{Body, StdError};
use tonic::{Code, Request, Status};

/// A stream of one message.
type Once = stream::Iter<std::array::IntoIter<Vec<u8>, 1>>;

pub(super) async fn gather(
    shared: &Shared,
    caller: &Caller,
    request: v1::GatherFromAllNodesRequest,
) -> Result<v1::GatherFromAllNodesResponse, Status> {
    let timeout = duration("timeout", request.timeout.as_ref())?.unwrap_or(ask::TIMEOUT_DEFAULT);
    let (operation, message) = read(request.call.unwrap_or_default())?;
    let own_id = shared.nodes.own();
    let others = shared.nodes.membership().nodes.keys().copied().filter(|id| *id != own_id).collect();
    let question = || caller.asking(stream::iter([message.clone()]));
    // this node is asked as the others are, so that its entry is what a client would get from it
    let own = ask::own(shared, timeout, |own| call(own, &operation, question()));
    let told = ask::each(shared, others, timeout, |_, channel| call(channel, &operation, question()));
    let (own, mut answers) = join(own, told).await;
    answers.push((own_id, own));
    answers.sort_by_key(|(id, _)| *id);
    let entry = |(id, answer): (u32, Result<Value, Status>)| {
        let outcome = match answer {
            Ok(answer) => Outcome::Response(payload::to_struct(&Term::from(&answer))),
            Err(error) => Outcome::Error(status::to_proto(&error)),
        };
        Entry { node: list::name(id), outcome: Some(outcome) }
    };
    Ok(v1::GatherFromAllNodesResponse { entries: answers.into_iter().map(entry).collect() })
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

async fn call<C>(service: C, operation: &Operation, question: Request<Once>) -> Result<Value, Status>
where
    C: GrpcService<tonic::body::Body>,
    C::ResponseBody: Body + Send + 'static,
    <C::ResponseBody as Body>::Error: Into<StdError>,
{
    let answers = dynamic::send(service, operation, question).await?;
    let mut answers = std::pin::pin!(answers);
    let none = || failure(Code::Internal, "INTERNAL", "the node answered nothing").status();
    answers.next().await.ok_or_else(none)?
}
