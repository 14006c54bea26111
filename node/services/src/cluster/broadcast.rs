//! One message to whoever holds a name on each node.

use super::{ask, list};
use crate::Shared;
use crate::caller::Caller;
use crate::payload;
use crate::status::{bad_argument, failure};
use arsenal_proto::v1;
use arsenal_proto::v1::broadcast_to_all_nodes_request::Payload;
use arsenal_proto::v1::broadcast_to_all_nodes_response::{Delivery, delivery::Outcome};
use arsenal_proto::v1::messaging_service_client::MessagingServiceClient;
use arsenal_proto::v1::send_message_request::Payload as Sent;
use arsenal_runtime::names::check_name;
use arsenal_runtime::request::Sent as Delivered;
use arsenal_runtime::{Message, Pid, Term};
use tonic::{Code, Status};

pub(super) async fn broadcast(
    shared: &Shared,
    caller: &Caller,
    request: v1::BroadcastToAllNodesRequest,
) -> Result<v1::BroadcastToAllNodesResponse, Status> {
    let v1::BroadcastToAllNodesRequest { name, payload } = request;
    check_name(&name).map_err(|error| bad_argument("name", error.to_string()))?;
    let message = match &payload {
        Some(Payload::Message(value)) => payload::to_term(value),
        Some(Payload::MessageBytes(bytes)) => payload::bytes_to_term(bytes.clone()),
        None => Term::Null,
    };
    let (bytes, max) = (message.content_bytes(), shared.node.limits().message_bytes_max);
    if bytes > max {
        let message = format!("the message has {bytes} bytes; one may have {max}");
        return Err(failure(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message).field("message").status());
    }
    let carried = payload.map(|payload| match payload {
        Payload::Message(value) => Sent::Message(value),
        Payload::MessageBytes(bytes) => Sent::MessageBytes(bytes),
    });
    let own = shared.nodes.own();
    let others = shared.nodes.membership().nodes.keys().copied().filter(|id| *id != own).collect();
    let here = deliver(shared, caller, &name, message);
    let told = ask::each(shared, others, ask::TIMEOUT_DEFAULT, |id, channel| {
        let process = format!("{name}@n{id}");
        let request = v1::SendMessageRequest { process, payload: carried.clone(), ..Default::default() };
        let request = caller.asking(request);
        async move {
            MessagingServiceClient::new(channel).send_message(request).await.map(tonic::Response::into_inner)
        }
    });
    let mut deliveries: Vec<(u32, Delivery)> =
        told.await.into_iter().map(|(id, told)| (id, of_answer(id, told))).collect();
    deliveries.push((own, here));
    deliveries.sort_by_key(|(id, _)| *id);
    Ok(v1::BroadcastToAllNodesResponse {
        deliveries: deliveries.into_iter().map(|(_, delivery)| delivery).collect(),
    })
}

/// To this node's own holder.
fn deliver(shared: &Shared, caller: &Caller, name: &str, message: Term) -> Delivery {
    let node = list::name(shared.nodes.own());
    let Some(holder) = shared.node.whereis(name) else { return no_such_name(node, name) };
    let message = Message::info(Pid::NONE, message).with_operation(caller.operation);
    match shared.node.send(holder, message) {
        Delivered::Delivered => Delivery {
            node,
            outcome: Outcome::Delivered.into(),
            pid: holder.to_string(),
            error: String::new(),
        },
        Delivered::NoProcess => no_such_name(node, name),
        _ => Delivery {
            node,
            outcome: Outcome::Refused.into(),
            pid: String::new(),
            error: format!("the mailbox of {holder} is full"),
        },
    }
}

fn no_such_name(node: String, name: &str) -> Delivery {
    let error = format!("no process is registered as `{name}` there");
    Delivery { node, outcome: Outcome::NoSuchName.into(), pid: String::new(), error }
}

fn of_answer(id: u32, told: Result<v1::SendMessageResponse, Status>) -> Delivery {
    let node = list::name(id);
    let failed = |outcome: Outcome, error: String| Delivery {
        node: node.clone(),
        outcome: outcome.into(),
        pid: String::new(),
        error,
    };
    match told {
        // it ended between the look and the delivery
        Ok(sent) if sent.delivered == Some(false) => {
            failed(Outcome::NoSuchName, format!("{} has ended", sent.pid))
        }
        Ok(sent) => Delivery {
            node: node.clone(),
            outcome: Outcome::Delivered.into(),
            pid: sent.pid,
            error: String::new(),
        },
        Err(status) if status.code() == Code::NotFound => {
            failed(Outcome::NoSuchName, status.message().to_owned())
        }
        Err(status) if ask::is_unreached(&status) => failed(Outcome::Unreached, status.message().to_owned()),
        Err(status) => failed(Outcome::Refused, status.message().to_owned()),
    }
}
