//! Payloads of this service's requests and answers: each message has a `oneof` of its own, all of one shape.

use crate::payload;
use crate::status::failure;
use arsenal_proto::v1;
use arsenal_runtime::{Node, Term};
use tonic::{Code, Status};

/// The `oneof payload` of a message.
pub(super) trait Carried: Sized {
    /// The term that it holds.
    fn into_term(self) -> Term;

    /// A term as JSON, or as bytes where it is bytes.
    fn of_term(term: &Term) -> Self;
}

/// What a request carries; null where it carries nothing.
///
/// # Errors
/// `RESOURCE_EXHAUSTED MESSAGE_TOO_LARGE`.
pub(super) fn term<P: Carried>(node: &Node, payload: Option<P>) -> Result<Term, Status> {
    let Some(payload) = payload else { return Ok(Term::Null) };
    let term = payload.into_term();
    let (bytes, max) = (term.content_bytes(), node.limits().message_bytes_max);
    if bytes > max {
        let message = format!("the message has {bytes} bytes; one may have {max}");
        return Err(failure(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message).into());
    }
    Ok(term)
}

macro_rules! carried {
    ($($payload:ty: $json:ident $bytes:ident),* $(,)?) => {$(
        impl Carried for $payload {
            fn into_term(self) -> Term {
                match self {
                    Self::$json(value) => payload::to_term(&value),
                    Self::$bytes(bytes) => payload::bytes_to_term(bytes.into()),
                }
            }

            fn of_term(term: &Term) -> Self {
                match term {
                    Term::Bytes(bytes) => Self::$bytes(bytes.to_vec().into()),
                    term => Self::$json(payload::to_value(term)),
                }
            }
        }
    )*};
}

carried! {
    v1::send_message_request::Payload: Message MessageBytes,
    v1::send_message_after_request::Payload: Message MessageBytes,
    v1::cast_message_request::Payload: Message MessageBytes,
    v1::call_process_request::Payload: Message MessageBytes,
    v1::call_process_sync_request::Payload: Message MessageBytes,
    v1::multi_call_processes_request::Payload: Message MessageBytes,
    v1::broadcast_message_request::Payload: Message MessageBytes,
    v1::selective_send_request::Payload: Message MessageBytes,
    v1::notify_event_manager_request::Payload: Message MessageBytes,
    v1::call_event_handler_request::Payload: Message MessageBytes,
    v1::add_event_handler_request::Payload: Args ArgsBytes,
    v1::swap_event_handler_request::Payload: ToArgs ToArgsBytes,
    v1::call_process_response::Payload: Reply ReplyBytes,
    v1::call_process_sync_response::Payload: Reply ReplyBytes,
    v1::multi_call_processes_response::reply::Payload: Reply ReplyBytes,
    v1::call_event_handler_response::Payload: Reply ReplyBytes,
    v1::delete_event_handler_response::Payload: Reply ReplyBytes,
    v1::mailbox_message::Payload: Message MessageBytes,
    v1::message_payload::Payload: Message MessageBytes,
    v1::timer::Payload: Message MessageBytes,
    v1::dead_letter::Payload: Message MessageBytes,
}
