//! A message in a session's mailbox, as its client sees it.

use crate::listing::Row;
use crate::{payload, time};
use arsenal_observe::predicate::{Field, FieldType};
use arsenal_proto::v1;
use arsenal_proto::v1::delivery::{Kind as Sort, Payload};
use arsenal_runtime::{Kind, Message, Node, OwnedId, Pid, Reason, Term};

/// A message that came to process `me`.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub(super) node: &'a Node,
    pub(super) me: Pid,
    pub(super) message: &'a Message,
}

impl Arrival<'_> {
    fn sort(&self) -> Sort {
        match self.message.kind {
            Kind::Call => Sort::Call,
            Kind::Cast => Sort::Cast,
            Kind::Exit => Sort::Exit,
            Kind::Down => Sort::Down,
            Kind::Timeout => Sort::Timeout,
            _ => sort_of_info(self.message),
        }
    }

    fn from(&self) -> String {
        let from = self.message.from;
        // neither a waiting request nor the stand-in for a name that nobody holds is a process
        if from.is_none() || from.is_alias() || from.serial == 0 { String::new() } else { from.to_string() }
    }

    /// The id of the given kind that the message's reference is.
    fn id(&self, letter: u8, wanted: bool) -> String {
        let reference = self.message.reference.filter(|_| wanted);
        let id = |number| OwnedId::new(self.me.node, self.me.incarnation, letter, number);
        reference.map(|reference| id(reference.number()).to_string()).unwrap_or_default()
    }

    fn monitor(&self) -> String {
        match self.sort() {
            Sort::Group => self.message.payload.as_list().map(|terms| text(&terms[0])).unwrap_or_default(),
            sort => self.id(b'm', sort == Sort::Down),
        }
    }

    fn reason(&self) -> Option<Reason> {
        match self.sort() {
            Sort::Exit => Some(self.message.payload.clone()),
            Sort::Down => self.message.down().map(|(_, reason)| reason.clone()),
            Sort::HandlerExit => self.message.payload.as_list().map(|terms| terms[2].clone()),
            _ => None,
        }
    }

    /// What was sent; of what the runtime tells, OTP's tuple.
    fn content(&self) -> Term {
        match self.message.kind {
            Kind::Info | Kind::Call | Kind::Cast => self.message.payload.clone(),
            _ => self.message.to_term(self.me),
        }
    }

    pub(super) fn encode(&self) -> v1::Delivery {
        let content = self.content();
        let payload = match content.view() {
            Term::Bytes(bytes) => Payload::MessageBytes((**bytes).clone()),
            _ => Payload::Message(payload::to_value(&content)),
        };
        let sort = self.sort();
        v1::Delivery {
            sequence: self.message.number.into(),
            kind: sort as i32,
            from: self.from(),
            reference: self.id(b'm', sort == Sort::Call),
            payload: Some(payload),
            reason: self.reason().as_ref().map(payload::to_value),
            monitor: self.monitor(),
            timer: self.id(b't', sort == Sort::Timeout),
            time: Some(time::timestamp_ms(self.node, self.message.arrived_ms)),
            count: 0,
        }
    }
}

fn text(term: &Term) -> String {
    match term.view() {
        Term::Id(id) => id.to_string(),
        term => term.as_str().unwrap_or_default().to_owned(),
    }
}

/// What the runtime tells by a plain message: from nobody, and in a shape of its own.
fn sort_of_info(message: &Message) -> Sort {
    let Some(terms) = message.payload.as_list() else { return Sort::Info };
    let told = message.from.is_none();
    match terms {
        [Term::Id(_), verb, _, _] if told && (verb.is("join") || verb.is("leave")) => Sort::Group,
        [tag, _] if told && (tag.is("nodeup") || tag.is("nodedown")) => Sort::Node,
        [tag, _, _] if told && tag.is("global_name_conflict") => Sort::NameConflict,
        [tag, _, _] if tag.is("gen_event_EXIT") => Sort::HandlerExit,
        _ => Sort::Info,
    }
}

impl Row for Arrival<'_> {
    const FIELDS: &'static [Field] = &[
        ("sequence", FieldType::Number),
        ("kind", FieldType::Text),
        ("from", FieldType::Text),
        ("reference", FieldType::Text),
        ("message", FieldType::Any),
        ("reason", FieldType::Any),
        ("monitor", FieldType::Text),
        ("timer", FieldType::Text),
        ("time", FieldType::Text),
    ];

    fn field(&self, name: &str) -> Term {
        let sort = self.sort();
        match name {
            "sequence" => Term::Int(self.message.number.into()),
            "kind" => Term::str(sort.as_str_name()),
            "from" => self.from().into(),
            "reference" => self.id(b'm', sort == Sort::Call).into(),
            "message" => self.content(),
            "reason" => self.reason().unwrap_or_default(),
            "monitor" => self.monitor().into(),
            "timer" => self.id(b't', sort == Sort::Timeout).into(),
            _ => time::timestamp_ms(self.node, self.message.arrived_ms).to_string().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arsenal_runtime::NodeConfig;

    fn sort(message: &Message) -> Sort {
        let node = Node::deterministic(NodeConfig::default());
        Arrival { node: &node, me: Pid::new(1, 1, 7), message }.sort()
    }

    #[test]
    fn what_a_process_sends_is_never_taken_for_what_the_runtime_tells() {
        let id = Term::Id(OwnedId::new(1, 1, b'm', 3));
        let join = Term::list([id, "join".into(), "g".into(), Term::Null]);
        assert_eq!(sort(&Message::info(Pid::NONE, join.clone())), Sort::Group);
        assert_eq!(sort(&Message::info(Pid::new(1, 1, 2), join)), Sort::Info);
        let nodedown = Term::tagged("nodedown", "n2".into());
        assert_eq!(sort(&Message::info(Pid::new(1, 1, 2), nodedown)), Sort::Info);
    }

    #[test]
    fn a_call_from_outside_names_no_sender_and_keeps_its_reference() {
        let node = Node::deterministic(NodeConfig::default());
        let me = Pid::new(1, 1, 7);
        let reference = node.new_ref();
        let message =
            Message::of(Kind::Call, "n1.1.a9".parse().unwrap(), Term::Int(1)).with_reference(reference);
        let delivery = Arrival { node: &node, me, message: &message }.encode();
        assert_eq!((delivery.from.as_str(), delivery.kind()), ("", Sort::Call));
        assert_eq!(delivery.reference, node.owned(b'm', reference.number()).to_string());
    }
}
