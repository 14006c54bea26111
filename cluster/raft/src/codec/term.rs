//! Terms and pids. A term is written as what it stands for: encoded payloads are read first, atoms become text.

use super::{DecodeError, Encode, Reader, TERM_DEPTH_MAX, put_bytes, put_count};
use arsenal_runtime::{OwnedId, Pid, Term};
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

impl Encode for Pid {
    fn encode(&self, out: &mut Vec<u8>) {
        self.node.encode(out);
        self.incarnation.encode(out);
        self.serial.encode(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self::new(u32::decode(from)?, u32::decode(from)?, u64::decode(from)?))
    }
}

impl Encode for Term {
    fn encode(&self, out: &mut Vec<u8>) {
        match self.view() {
            Self::Null | Self::Encoded(_) => out.push(tag::NULL),
            Self::Bool(value) => out.push(if *value { tag::TRUE } else { tag::FALSE }),
            Self::Int(value) => {
                out.push(tag::INT);
                value.encode(out);
            }
            Self::Float(value) => {
                out.push(tag::FLOAT);
                value.encode(out);
            }
            Self::Atom(text) => tagged_bytes(tag::TEXT, text.as_bytes(), out),
            Self::Str(text) => tagged_bytes(tag::TEXT, text.as_bytes(), out),
            Self::Bytes(bytes) => tagged_bytes(tag::BYTES, bytes, out),
            Self::List(terms) => {
                out.push(tag::LIST);
                put_count(terms.len(), out);
                terms.iter().for_each(|term| term.encode(out));
            }
            Self::Map(members) => {
                out.push(tag::MAP);
                put_count(members.len(), out);
                for (key, value) in members.iter() {
                    key.encode(out);
                    value.encode(out);
                }
            }
            Self::Pid(pid) => {
                out.push(tag::PID);
                pid.encode(out);
            }
            Self::Id(id) => {
                out.extend_from_slice(&[tag::ID, id.kind()]);
                id.node.encode(out);
                id.incarnation.encode(out);
                id.number().encode(out);
            }
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        decode_within(from, TERM_DEPTH_MAX)
    }
}

fn tagged_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    put_bytes(bytes, out);
}

fn decode_within(from: &mut Reader<'_>, levels: u32) -> Result<Term, DecodeError> {
    let inside = levels.checked_sub(1).ok_or(DecodeError::Depth)?;
    Ok(match u8::decode(from)? {
        tag::NULL => Term::Null,
        tag::FALSE => Term::Bool(false),
        tag::TRUE => Term::Bool(true),
        tag::INT => Term::Int(i64::decode(from)?),
        tag::FLOAT => Term::Float(f64::decode(from)?),
        tag::TEXT => Term::Str(Arc::decode(from)?),
        tag::BYTES => Term::Bytes(Bytes::decode(from)?.into()),
        tag::LIST => {
            let terms = (0..u32::decode(from)?).map(|_| decode_within(from, inside));
            Term::List(terms.collect::<Result<_, _>>()?)
        }
        tag::MAP => {
            let members =
                (0..u32::decode(from)?).map(|_| Ok((Arc::decode(from)?, decode_within(from, inside)?)));
            Term::Map(members.collect::<Result<_, _>>()?)
        }
        tag::PID => Term::Pid(Pid::decode(from)?),
        tag::ID => {
            let kind = u8::decode(from)?;
            Term::Id(OwnedId::new(u32::decode(from)?, u32::decode(from)?, kind, u64::decode(from)?))
        }
        tag => return Err(DecodeError::Tag { what: "term", tag }),
    })
}
