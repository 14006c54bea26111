//! A term as compressed bytes: how the state of a hibernated process is kept.
//!
//! The form lives and dies with the process: it never leaves the node and has no version.

use super::Term;
use crate::pid::{OwnedId, Pid};
use bytes::Bytes;
use std::sync::Arc;

mod tag {
    pub(super) const NULL: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    pub(super) const INT: u8 = 3;
    pub(super) const FLOAT: u8 = 4;
    pub(super) const TEXT: u8 = 5;
    pub(super) const LIST: u8 = 6;
    pub(super) const MAP: u8 = 7;
    pub(super) const BYTES: u8 = 8;
    pub(super) const PID: u8 = 9;
    pub(super) const ID: u8 = 10;
}

/// A packed term.
pub(crate) struct Packed(Box<[u8]>);

impl Packed {
    pub(crate) fn new(term: &Term) -> Self {
        let mut plain = Vec::new();
        write(term, &mut plain);
        Self(lz4_flex::compress_prepend_size(&plain).into())
    }

    /// The term; nothing if the bytes are not what was packed.
    pub(crate) fn unpack(&self) -> Option<Term> {
        let plain = lz4_flex::decompress_size_prepended(&self.0).ok()?;
        let mut rest = plain.as_slice();
        read(&mut rest).filter(|_| rest.is_empty())
    }

    pub(crate) fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.0.len()
    }
}

fn write(term: &Term, out: &mut Vec<u8>) {
    match term.view() {
        Term::Null | Term::Encoded(_) => out.push(tag::NULL),
        Term::Bool(value) => out.push(if *value { tag::TRUE } else { tag::FALSE }),
        Term::Int(value) => {
            out.push(tag::INT);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Term::Float(value) => {
            out.push(tag::FLOAT);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Term::Atom(text) => write_bytes(tag::TEXT, text.as_bytes(), out),
        Term::Str(text) => write_bytes(tag::TEXT, text.as_bytes(), out),
        Term::Bytes(bytes) => write_bytes(tag::BYTES, bytes, out),
        Term::List(terms) => {
            write_count(tag::LIST, terms.len(), out);
            terms.iter().for_each(|term| write(term, out));
        }
        Term::Map(members) => {
            write_count(tag::MAP, members.len(), out);
            for (key, value) in members.iter() {
                write_bytes(tag::TEXT, key.as_bytes(), out);
                write(value, out);
            }
        }
        Term::Pid(pid) => {
            out.push(tag::PID);
            write_owner(pid.node, pid.incarnation, pid.serial, out);
        }
        Term::Id(id) => {
            out.extend_from_slice(&[tag::ID, id.kind()]);
            write_owner(id.node, id.incarnation, id.number(), out);
        }
    }
}

fn write_count(tag: u8, count: usize, out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&(count as u64).to_le_bytes());
}

fn write_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    write_count(tag, bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn write_owner(node: u32, incarnation: u32, number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&node.to_le_bytes());
    out.extend_from_slice(&incarnation.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

fn word<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    take(rest, N)?.try_into().ok()
}

fn count(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(word(rest)?)).ok()
}

fn bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = count(rest)?;
    take(rest, length)
}

fn owner(rest: &mut &[u8]) -> Option<(u32, u32, u64)> {
    let node = u32::from_le_bytes(word(rest)?);
    let incarnation = u32::from_le_bytes(word(rest)?);
    Some((node, incarnation, u64::from_le_bytes(word(rest)?)))
}

fn text(rest: &mut &[u8]) -> Option<Arc<str>> {
    Some(std::str::from_utf8(bytes(rest)?).ok()?.into())
}

fn read(rest: &mut &[u8]) -> Option<Term> {
    Some(match word::<1>(rest)?[0] {
        tag::NULL => Term::Null,
        tag::FALSE => Term::Bool(false),
        tag::TRUE => Term::Bool(true),
        tag::INT => Term::Int(i64::from_le_bytes(word(rest)?)),
        tag::FLOAT => Term::Float(f64::from_le_bytes(word(rest)?)),
        tag::TEXT => Term::Str(text(rest)?),
        tag::BYTES => Term::Bytes(Bytes::copy_from_slice(bytes(rest)?).into()),
        tag::LIST => {
            let terms = (0..count(rest)?).map(|_| read(rest));
            Term::List(terms.collect::<Option<_>>()?)
        }
        tag::MAP => {
            let members = (0..count(rest)?).map(|_| {
                word::<1>(rest).filter(|[read]| *read == tag::TEXT)?;
                Some((text(rest)?, read(rest)?))
            });
            Term::Map(members.collect::<Option<_>>()?)
        }
        tag::PID => {
            let (node, incarnation, serial) = owner(rest)?;
            Term::Pid(Pid::new(node, incarnation, serial))
        }
        tag::ID => {
            let [kind] = word(rest)?;
            let (node, incarnation, number) = owner(rest)?;
            Term::Id(OwnedId::new(node, incarnation, kind, number))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn term() -> impl Strategy<Value = Term> {
        let leaf = prop_oneof![
            Just(Term::Null),
            any::<bool>().prop_map(Term::Bool),
            any::<i64>().prop_map(Term::Int),
            (-1e9..1e9).prop_map(Term::Float),
            ".{0,8}".prop_map(Term::from),
            prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| Term::Bytes(Bytes::from(bytes).into())),
            (1u32..9, 1u32..9, any::<u64>())
                .prop_map(|(node, life, serial)| Term::Pid(Pid::new(node, life, serial))),
            (1u32..9, 1u32..9, 0u64..1 << 56)
                .prop_map(|(node, life, number)| Term::Id(OwnedId::new(node, life, b't', number))),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Term::from),
                prop::collection::btree_map(".{0,4}", inner, 0..6).prop_map(Term::map)
            ]
        })
    }

    proptest! {
        #[test]
        fn a_packed_term_comes_back_whole(term in term()) {
            prop_assert_eq!(Packed::new(&term).unpack(), Some(term));
        }

        #[test]
        fn bytes_that_were_never_packed_give_nothing_or_a_term_but_never_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut rest = bytes.as_slice();
            let _ = read(&mut rest);
        }
    }

    #[test]
    fn a_state_that_repeats_itself_weighs_far_less_packed() {
        let members =
            (0..200).map(|n| (format!("key-{n:04}"), Term::from("the same value again".to_owned())));
        let state = Term::map(members);
        assert!(Packed::new(&state).size_bytes() * 4 < state.size_bytes());
    }
}
