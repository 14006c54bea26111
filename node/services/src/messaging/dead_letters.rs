//! Dead letters: what was removed or refused, and sending it again.

use super::carried::Carried;
use super::envelope;
use super::queue::number;
use super::send::check_count;
use crate::caller::Caller;
use crate::listing::{self, Query, Row};
use crate::reference::{self, check_node};
use crate::status::failure;
use crate::{Shared, time};
use arsenal_observe::mailbox::{Envelope, kind_name};
use arsenal_observe::predicate::{Field, FieldType};
use arsenal_observe::process_variables::rfc3339;
use arsenal_proto::v1;
use arsenal_proto::v1::dead_letter::Reason;
use arsenal_runtime::dead_letters::{DeadLetter, DeadLetterReason};
use arsenal_runtime::request::Sent;
use arsenal_runtime::{Kind, Message, Node, OwnedId, Pid, ProcessRef, Term};
use std::collections::BTreeSet;
use tonic::{Code, Status};

/// Ids that an answer names at most.
const IDS_MAX: usize = 10_000;

/// A dead letter in a list.
struct LetterRow<'a> {
    node: &'a Node,
    letter: DeadLetter,
    envelope: Envelope,
}

impl<'a> LetterRow<'a> {
    fn all(node: &'a Node) -> Vec<Self> {
        let row = |letter: DeadLetter| {
            let envelope = Envelope::of(node, letter.to, 0, &letter.message);
            Self { node, letter, envelope }
        };
        node.dead_letters().list().into_iter().map(row).collect()
    }

    fn id(&self) -> OwnedId {
        self.node.owned(b'd', self.letter.number)
    }

    fn to(&self) -> String {
        self.letter.to.some().map(|pid| pid.to_string()).unwrap_or_default()
    }

    fn operation(&self) -> String {
        match self.letter.operation {
            0 => String::new(),
            operation => self.node.owned(b'o', operation).to_string(),
        }
    }

    fn reason(&self) -> Reason {
        match self.letter.reason {
            DeadLetterReason::Flushed => Reason::Flushed,
            DeadLetterReason::Drained => Reason::Drained,
            DeadLetterReason::Filtered => Reason::Filtered,
            DeadLetterReason::Limit => Reason::Limit,
            DeadLetterReason::DeadProcess => Reason::DeadProcess,
            DeadLetterReason::LeftBehind => Reason::LeftBehind,
            DeadLetterReason::Expired => Reason::Expired,
        }
    }

    fn encode(&self) -> v1::DeadLetter {
        v1::DeadLetter {
            dead_letter: self.id().to_string(),
            pid: self.to(),
            from: self.envelope.from.map(|pid| pid.to_string()).unwrap_or_default(),
            reason: self.reason().into(),
            time: Some(time::timestamp(self.node, self.letter.at_ns)),
            kind: envelope::kind(self.letter.message.kind).into(),
            r#type: self.envelope.tag(),
            size_bytes: self.envelope.payload.content_bytes() as u64,
            payload: Some(Carried::of_term(&self.envelope.payload)),
            operation_id: self.operation(),
            node: self.node.name().to_string(),
        }
    }
}

impl Row for LetterRow<'_> {
    const FIELDS: &'static [Field] = &[
        ("dead_letter", FieldType::Text),
        ("pid", FieldType::Text),
        ("from", FieldType::Text),
        ("reason", FieldType::Text),
        ("time", FieldType::Text),
        ("kind", FieldType::Text),
        ("type", FieldType::Text),
        ("size_bytes", FieldType::Number),
        ("message", FieldType::Any),
        ("operation_id", FieldType::Text),
        ("node", FieldType::Text),
    ];

    fn field(&self, name: &str) -> Term {
        match name {
            "dead_letter" => self.id().to_string().into(),
            "pid" => self.to().into(),
            "reason" => self.reason().as_str_name().to_owned().into(),
            "time" => rfc3339(self.node.clock().calendar(self.letter.at_ns)).into(),
            "kind" => kind_name(self.letter.message.kind).into(),
            "operation_id" => self.operation().into(),
            "node" => Term::Str(self.node.name().clone()),
            // from, type, size_bytes, message
            name => self.envelope.value(name).unwrap_or_default(),
        }
    }
}

pub(super) fn list(
    shared: &Shared,
    request: &v1::ListDeadLettersRequest,
) -> Result<v1::ListDeadLettersResponse, Status> {
    let node = &shared.node;
    check_node(node, &request.node)?;
    let query = Query {
        filter: &request.filter,
        order_by: &request.order_by,
        page_size: request.page_size,
        page_token: &request.page_token,
        of: "",
    };
    let (rows, next_page_token) = query.page(LetterRow::all(node))?;
    Ok(v1::ListDeadLettersResponse {
        dead_letters: rows.iter().map(LetterRow::encode).collect(),
        next_page_token,
        unreached: Vec::new(),
        node: node.name().to_string(),
        dropped: node.dead_letters().dropped(),
    })
}

/// Sends a dead letter's message again; whether it is out of the dead letters' hands.
fn send_again(node: &Node, to: Option<&ProcessRef>, letter: &DeadLetter, operation: u64) -> bool {
    let Some(to) = to else { return false };
    if node.has_no_room(to, &letter.message) {
        return false;
    }
    let mut message: Message = letter.message.clone().with_operation(operation);
    if message.kind == Kind::Call {
        // whoever called was told that it was removed: the answer goes to nobody
        message.from = Pid::NONE;
        message = message.with_reference(node.new_ref());
    }
    // a mailbox that became full just now makes a new dead letter of it
    node.send_to(to, message) != Sent::NoProcess
}

pub(super) fn replay(
    shared: &Shared,
    caller: &Caller,
    request: v1::ReplayDeadLettersRequest,
) -> Result<v1::ReplayDeadLettersResponse, Status> {
    let node = &shared.node;
    check_node(node, &request.node)?;
    if request.filter.trim().is_empty() {
        let message = "`filter`: the expression is empty at position 0";
        return Err(failure(Code::InvalidArgument, "BAD_FILTER", message).field("filter").into());
    }
    let to = match &*request.to {
        "" => None,
        to => Some(reference::process(node, "to", to)?),
    };
    let rows = listing::keep(LetterRow::all(node), &request.filter)?;
    check_count(request.expected_count, number(rows.len()), "dead letters")?;
    let id = |letter: &DeadLetter| node.owned(b'd', letter.number).to_string();
    let mut response = v1::ReplayDeadLettersResponse { node: node.name().to_string(), ..Default::default() };
    if request.dry_run {
        response.dead_letters = rows.iter().take(IDS_MAX).map(|row| id(&row.letter)).collect();
        return Ok(response);
    }
    let numbers: BTreeSet<u64> = rows.iter().map(|row| row.letter.number).collect();
    // taken first, so that two replays at once send none twice
    let (mut sent, mut kept) = (Vec::new(), Vec::new());
    for letter in node.dead_letters().take(&numbers) {
        let receiver = to.clone().or_else(|| node.process(letter.to));
        let again = send_again(node, receiver.as_ref(), &letter, caller.operation);
        if again { sent.push(letter) } else { kept.push(letter) }
    }
    response.dead_letters = sent.iter().take(IDS_MAX).map(&id).collect();
    response.undelivered = kept.iter().take(IDS_MAX).map(&id).collect();
    node.dead_letters().put_back(kept);
    let count = Term::Int(number(sent.len()).into());
    node.record("dead_letters.replayed", Pid::NONE, Pid::NONE, count, caller.operation);
    Ok(response)
}
