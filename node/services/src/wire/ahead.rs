//! What a layer has found out about a request's body before its handler reads it, and hands on so that nobody reads twice.

use super::frame::PREFIX;
use arsenal_runtime::Pid;
use axum::body::Body;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::Request;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Tag of field 1 where it is text.
const FIELD_1: u8 = 0x0a;

/// What is known of a request's body.
#[derive(Clone, Debug, Default)]
pub struct Ahead {
    /// Bytes that were read already: they come before what the body gives.
    pub head: Bytes,
    /// The process that field 1 means, as the node that was asked resolved it.
    pub meant: Option<Pid>,
}

impl Ahead {
    /// The request as if nothing had been read of it.
    pub fn put_back(self, request: Request<Body>) -> Request<Body> {
        if self.head.is_empty() {
            return request;
        }
        request.map(|rest| Body::new(Whole { head: self.head, rest }))
    }
}

/// A body whose first bytes were read already.
struct Whole {
    head: Bytes,
    rest: Body,
}

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.head.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.head)))));
        }
        Pin::new(&mut self.rest).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.head.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (head, mut hint) = (self.head.len() as u64, self.rest.size_hint());
        match hint.upper() {
            // the exact size is both bounds
            Some(upper) => {
                hint.set_upper(upper + head);
                hint.set_lower(hint.lower() + head);
            }
            None => hint.set_lower(hint.lower() + head),
        }
        hint
    }
}

/// The message with field 1 naming this process: of a field that stands twice, the later one counts.
pub(super) fn with_process(message: &[u8], pid: Pid) -> Bytes {
    let text = pid.to_string();
    let mut out = BytesMut::with_capacity(message.len() + 2 + text.len());
    out.put_slice(message);
    out.put_u8(FIELD_1);
    // a pid's text is shorter than 128 bytes, so that its length is one byte
    out.put_u8(text.len() as u8);
    out.put_slice(text.as_bytes());
    out.freeze()
}

/// What the first message says in field 1, as far as it has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FieldOne<'a> {
    /// This text; empty where the field is absent.
    Text(&'a str),
    /// More has to come.
    Unknown,
    /// What has come is no message, or field 1 no text: its handler will say so.
    None,
}

/// Looks for field 1 of the first message in what has come of a request.
pub(crate) fn field_one(come: &[u8], message_bytes_max: usize) -> FieldOne<'_> {
    Search::default().look(come, message_bytes_max)
}

/// A look for field 1 of the first message, again and again as a request comes. Encoders write it first, so that this ends
/// at once; whoever does not has all fields before it skipped, each once.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// Bytes of the message that are fields before it.
    skipped: usize,
}

impl Search {
    /// Looks at all that has come, of which what the last look saw is the beginning.
    pub(crate) fn look<'a>(&mut self, come: &'a [u8], message_bytes_max: usize) -> FieldOne<'a> {
        let Some((prefix, rest)) = come.split_at_checked(PREFIX) else { return FieldOne::Unknown };
        let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        if prefix[0] != 0 || length > message_bytes_max {
            return FieldOne::None;
        }
        let complete = rest.len() >= length;
        let come = &rest[..rest.len().min(length)];
        let mut fields = Fields { rest: &come[self.skipped..], left: length - self.skipped };
        loop {
            match fields.next() {
                Step::End => return FieldOne::Text(""),
                Step::Found(text) => return std::str::from_utf8(text).map_or(FieldOne::None, FieldOne::Text),
                Step::Skipped => self.skipped = length - fields.left,
                Step::Short if complete => return FieldOne::None,
                Step::Short => return FieldOne::Unknown,
                Step::Malformed => return FieldOne::None,
            }
        }
    }
}

/// The fields of a message that may not have come whole.
struct Fields<'a> {
    /// What has come and was not looked at.
    rest: &'a [u8],
    /// Bytes of the message that were not looked at.
    left: usize,
}

enum Step<'a> {
    End,
    Found(&'a [u8]),
    Skipped,
    Short,
    Malformed,
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Step<'a> {
        if self.left == 0 {
            return Step::End;
        }
        let Some(tag) = self.varint() else { return Step::Short };
        let length = match tag & 7 {
            0 => return self.varint().map_or(Step::Short, |_| Step::Skipped),
            1 => 8,
            2 => match self.varint().map(usize::try_from) {
                Some(Ok(length)) => length,
                Some(Err(_)) => return Step::Malformed,
                None => return Step::Short,
            },
            5 => 4,
            // groups, which no message of the contract has
            _ => return Step::Malformed,
        };
        match (self.take(length), tag) {
            (None, _) => Step::Short,
            (Some(text), 0x0a) => Step::Found(text),
            (Some(_), tag) if tag >> 3 == 1 => Step::Malformed,
            (Some(_), _) => Step::Skipped,
        }
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        self.left -= count;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)? else { return None };
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
