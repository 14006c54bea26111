//! The bytes of a signal between nodes: a tag, flags, whom it is for, and what it says.
//!
//! Version 1. A signal's operation number and arrival time stay behind: each node counts its own.

mod notes;

use super::{Address, Parcel};
use crate::codec::{DecodeError, Reader, put_bytes, read_pid, read_term, write_pid, write_term};
use crate::message::{Kind, Message, Signal};
use crate::passage::Note;
use crate::pid::Ref;

/// The kinds of messages in the order of their tags.
const KINDS: [Kind; 9] = [
    Kind::Info,
    Kind::Call,
    Kind::Cast,
    Kind::Notify,
    Kind::Reply,
    Kind::Exit,
    Kind::Down,
    Kind::Timeout,
    Kind::System,
];

mod tag {
    pub(super) const EXIT: u8 = 16;
    pub(super) const LINK_EXIT: u8 = 17;
    pub(super) const KILL: u8 = 18;
    pub(super) const LINK: u8 = 19;
    pub(super) const UNLINK: u8 = 20;
    pub(super) const MONITOR: u8 = 21;
    pub(super) const DEMONITOR: u8 = 22;
    pub(super) const DOWN: u8 = 23;
    pub(super) const MONITORING: u8 = 24;
    pub(super) const PASSING: u8 = 25;
}

/// For a name, not a pid.
const TO_NAME: u8 = 1;
/// A message with a reference, or a monitor by name.
const MORE: u8 = 2;

/// Tag, flags, receiver, sender and reference.
const HEAD_BYTES: usize = 2 + 16 + 16 + 8;

pub(super) fn size_bytes(parcel: &Parcel) -> usize {
    HEAD_BYTES + content_bytes(&parcel.signal)
}

fn content_bytes(signal: &Signal) -> usize {
    match signal {
        Signal::Message(message) => message.payload.content_bytes(),
        Signal::Exit { reason, .. }
        | Signal::LinkExit { reason, .. }
        | Signal::Kill { reason, .. }
        | Signal::Down { reason, .. } => reason.content_bytes(),
        Signal::Passing { note, .. } => match &**note {
            Note::Came(signal) => HEAD_BYTES + content_bytes(signal),
            Note::Via { links, monitors } => 16 * links.len() + 8 * monitors.len(),
            _ => 0,
        },
        _ => 0,
    }
}

pub(super) fn write(parcel: &Parcel, out: &mut Vec<u8>) {
    let (tag, more) = match &parcel.signal {
        Signal::Message(message) => (tag_of(message.kind), message.reference.is_some()),
        Signal::Exit { .. } => (tag::EXIT, false),
        Signal::LinkExit { .. } => (tag::LINK_EXIT, false),
        Signal::Kill { .. } => (tag::KILL, false),
        Signal::Link { .. } => (tag::LINK, false),
        Signal::Unlink { .. } => (tag::UNLINK, false),
        Signal::Monitor { name, .. } => (tag::MONITOR, name.is_some()),
        Signal::Monitoring { name, .. } => (tag::MONITORING, name.is_some()),
        Signal::Demonitor { .. } => (tag::DEMONITOR, false),
        Signal::Down { .. } => (tag::DOWN, false),
        Signal::Passing { .. } => (tag::PASSING, false),
    };
    let flags = if more { MORE } else { 0 };
    match &parcel.to {
        Address::Pid(pid) => {
            out.extend_from_slice(&[tag, flags]);
            write_pid(*pid, out);
        }
        Address::Name { node, name } => {
            out.extend_from_slice(&[tag, flags | TO_NAME]);
            out.extend_from_slice(&node.to_le_bytes());
            put_bytes(name.as_bytes(), out);
        }
    }
    write_pid(parcel.signal.sender(), out);
    match &parcel.signal {
        Signal::Message(message) => {
            if let Some(reference) = message.reference {
                write_ref(reference, out);
            }
            write_term(&message.payload, out);
        }
        Signal::Exit { reason, .. } | Signal::LinkExit { reason, .. } | Signal::Kill { reason, .. } => {
            write_term(reason, out);
        }
        Signal::Link { .. } | Signal::Unlink { .. } => {}
        Signal::Monitor { reference, name, .. } | Signal::Monitoring { reference, name, .. } => {
            write_ref(*reference, out);
            if let Some(name) = name {
                write_term(name, out);
            }
        }
        Signal::Demonitor { reference, .. } => write_ref(*reference, out),
        Signal::Down { reference, object, reason, .. } => {
            write_ref(*reference, out);
            write_term(object, out);
            write_term(reason, out);
        }
        Signal::Passing { note, .. } => notes::write(note, out),
    }
}

pub(super) fn read(from: &mut Reader<'_>) -> Result<Parcel, DecodeError> {
    read_within(from, true)
}

/// Reads a signal, which may be a note only where `notes` says so: one in another is none that a node writes, and bytes
/// could nest them without end.
fn read_within(from: &mut Reader<'_>, notes: bool) -> Result<Parcel, DecodeError> {
    let [tag, flags] = from.word()?;
    let more = flags & MORE != 0;
    let to = if flags & TO_NAME == 0 {
        Address::Pid(read_pid(from)?)
    } else {
        let node = u32::from_le_bytes(from.word()?);
        Address::Name { node, name: from.text()? }
    };
    let sender = read_pid(from)?;
    let signal = match tag {
        tag::EXIT => Signal::Exit { from: sender, reason: read_term(from)? },
        tag::LINK_EXIT => Signal::LinkExit { from: sender, reason: read_term(from)? },
        tag::KILL => Signal::Kill { from: sender, reason: read_term(from)? },
        tag::LINK => Signal::Link { from: sender },
        tag::UNLINK => Signal::Unlink { from: sender },
        tag::MONITOR => {
            let reference = read_ref(from)?;
            let name = more.then(|| read_term(from).map(Box::new)).transpose()?;
            Signal::Monitor { watcher: sender, reference, name }
        }
        tag::MONITORING => {
            let reference = read_ref(from)?;
            let name = more.then(|| read_term(from).map(Box::new)).transpose()?;
            Signal::Monitoring { from: sender, reference, name }
        }
        tag::DEMONITOR => Signal::Demonitor { watcher: sender, reference: read_ref(from)? },
        tag::DOWN => {
            let reference = read_ref(from)?;
            Signal::Down { reference, from: sender, object: read_term(from)?, reason: read_term(from)? }
        }
        tag::PASSING if notes => Signal::Passing { from: sender, note: Box::new(notes::read(from)?) },
        tag => {
            let kind = KINDS.get(usize::from(tag)).copied();
            let kind = kind.ok_or(DecodeError::Tag { what: "signal", tag })?;
            let reference = more.then(|| read_ref(from)).transpose()?;
            let mut message = Message::of(kind, sender, read_term(from)?);
            message.reference = reference;
            Signal::Message(message)
        }
    };
    Ok(Parcel::new(to, signal))
}

const fn tag_of(kind: Kind) -> u8 {
    match kind {
        Kind::Info => 0,
        Kind::Call => 1,
        Kind::Cast => 2,
        Kind::Notify => 3,
        Kind::Reply => 4,
        Kind::Exit => 5,
        Kind::Down => 6,
        Kind::Timeout => 7,
        Kind::System => 8,
    }
}

pub(super) fn write_ref(reference: Ref, out: &mut Vec<u8>) {
    out.extend_from_slice(&reference.number().to_le_bytes());
}

pub(super) fn read_ref(from: &mut Reader<'_>) -> Result<Ref, DecodeError> {
    let number = u64::from_le_bytes(from.word()?);
    Ref::from_number(number).ok_or(DecodeError::Tag { what: "reference", tag: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pid::Pid;
    use crate::term::Term;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    fn signals() -> Vec<Signal> {
        let (from, reference) = (Pid::new(2, 3, 4), Ref::from_number(9).unwrap());
        let reason = Term::tagged("shutdown", Term::Int(1));
        let mut signals: Vec<Signal> =
            KINDS.into_iter().map(|kind| Signal::Message(Message::of(kind, from, reason.clone()))).collect();
        signals.extend([
            Signal::Message(Message::of(Kind::Call, from, Term::Null).with_reference(reference)),
            Signal::Exit { from, reason: reason.clone() },
            Signal::LinkExit { from, reason: reason.clone() },
            Signal::Kill { from, reason: reason.clone() },
            Signal::Link { from },
            Signal::Unlink { from },
            Signal::Monitor { watcher: from, reference, name: None },
            Signal::Monitor { watcher: from, reference, name: Some(Box::new(Term::str("name"))) },
            Signal::Demonitor { watcher: from, reference },
            Signal::Monitoring { from, reference, name: None },
            Signal::Monitoring { from, reference, name: Some(Box::new(Term::str("name"))) },
            Signal::Down { reference, from, object: Term::Pid(from), reason: reason.clone() },
        ]);
        let notes = [
            Note::Came(Signal::LinkExit { from, reason }),
            Note::Unlink { of: from },
            Note::Demonitor { of: from, reference },
            Note::Fence { reference, watch: false },
            Note::Fence { reference, watch: true },
            Note::Via { links: vec![from, from], monitors: vec![reference] },
            Note::Moved,
        ];
        signals.extend(notes.map(|note| Signal::Passing { from, note: Box::new(note) }));
        signals
    }

    #[test]
    fn every_signal_reads_back_as_it_was_written() {
        let to = [Address::Pid(Pid::new(1, 7, 42)), Address::Name { node: 1, name: "registered".into() }];
        for (signal, to) in signals().into_iter().flat_map(|signal| to.clone().map(|to| (signal.clone(), to)))
        {
            let parcel = Parcel::new(to, signal);
            let mut bytes = Vec::new();
            parcel.encode(&mut bytes);
            let mut from = Reader::new(&bytes);
            let read = Parcel::decode(&mut from).unwrap();
            from.finish().unwrap();
            let shown = |parcel: &Parcel| {
                let mut text = String::new();
                write!(text, "{parcel:?}").unwrap();
                text
            };
            assert_eq!(shown(&read), shown(&parcel));
        }
    }

    proptest! {
        #[test]
        fn bytes_that_are_no_signal_are_refused_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..96),
        ) {
            let _ = Parcel::decode(&mut Reader::new(&bytes));
        }
    }
}
