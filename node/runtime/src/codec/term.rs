//! Terms and pids. A term is written as what it stands for: encoded payloads are read first, atoms become text.

use super::{DecodeError, Reader, TERM_DEPTH_MAX, put_bytes, put_count};
use crate::pid::{OwnedId, Pid};
use crate::term::Term;

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

/// Writes a pid, in 16 bytes.
pub fn write_pid(pid: Pid, out: &mut Vec<u8>) {
    write_owner(pid.node, pid.incarnation, pid.serial, out);
}

/// Reads a pid.
///
/// # Errors
/// If bytes are missing.
pub fn read_pid(from: &mut Reader<'_>) -> Result<Pid, DecodeError> {
    let (node, incarnation, serial) = read_owner(from)?;
    Ok(Pid::new(node, incarnation, serial))
}

fn write_owner(node: u32, incarnation: u32, number: u64, out: &mut Vec<u8>) {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&node.to_le_bytes());
    bytes[4..8].copy_from_slice(&incarnation.to_le_bytes());
    bytes[8..].copy_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&bytes);
}

fn read_owner(from: &mut Reader<'_>) -> Result<(u32, u32, u64), DecodeError> {
    let node = u32::from_le_bytes(from.word()?);
    let incarnation = u32::from_le_bytes(from.word()?);
    Ok((node, incarnation, u64::from_le_bytes(from.word()?)))
}

/// Writes a term.
pub fn write_term(term: &Term, out: &mut Vec<u8>) {
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
        Term::Atom(text) => tagged_bytes(tag::TEXT, text.as_bytes(), out),
        Term::Str(text) => tagged_bytes(tag::TEXT, text.as_bytes(), out),
        Term::Bytes(bytes) => tagged_bytes(tag::BYTES, bytes, out),
        Term::List(terms) => {
            out.push(tag::LIST);
            put_count(terms.len(), out);
            terms.iter().for_each(|term| write_term(term, out));
        }
        Term::Map(members) => {
            out.push(tag::MAP);
            put_count(members.len(), out);
            for (key, value) in members.iter() {
                put_bytes(key.as_bytes(), out);
                write_term(value, out);
            }
        }
        Term::Pid(pid) => {
            out.push(tag::PID);
            write_pid(*pid, out);
        }
        Term::Id(id) => {
            out.extend_from_slice(&[tag::ID, id.kind()]);
            write_owner(id.node, id.incarnation, id.number(), out);
        }
    }
}

fn tagged_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    put_bytes(bytes, out);
}

/// Reads a term that may come from anywhere.
///
/// # Errors
/// Bytes that are no term, or one nested too deeply.
pub fn read_term(from: &mut Reader<'_>) -> Result<Term, DecodeError> {
    read_term_within(from, TERM_DEPTH_MAX)
}

/// Reads a term nested at most so many levels deep.
///
/// # Errors
/// Bytes that are no term, or one nested too deeply.
pub fn read_term_within(from: &mut Reader<'_>, levels: u32) -> Result<Term, DecodeError> {
    let inside = levels.checked_sub(1).ok_or(DecodeError::Depth)?;
    let [tag] = from.word()?;
    Ok(match tag {
        tag::NULL => Term::Null,
        tag::FALSE => Term::Bool(false),
        tag::TRUE => Term::Bool(true),
        tag::INT => Term::Int(i64::from_le_bytes(from.word()?)),
        tag::FLOAT => Term::Float(f64::from_le_bytes(from.word()?)),
        tag::TEXT => Term::Str(from.text()?),
        tag::BYTES => Term::Bytes(from.kept_bytes()?.into()),
        // collected piece by piece: a damaged count must not ask for more than its bytes can hold
        tag::LIST => {
            let terms = (0..u32::from_le_bytes(from.word()?)).map(|_| read_term_within(from, inside));
            Term::List(terms.collect::<Result<_, _>>()?)
        }
        tag::MAP => {
            let members = (0..u32::from_le_bytes(from.word()?))
                .map(|_| Ok((from.text()?, read_term_within(from, inside)?)));
            Term::Map(members.collect::<Result<_, _>>()?)
        }
        tag::PID => Term::Pid(read_pid(from)?),
        tag::ID => {
            let [kind] = from.word()?;
            let (node, incarnation, number) = read_owner(from)?;
            Term::Id(OwnedId::new(node, incarnation, kind, number))
        }
        tag => return Err(DecodeError::Tag { what: "term", tag }),
    })
}
