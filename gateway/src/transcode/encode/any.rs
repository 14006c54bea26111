//! `google.protobuf.Any`: the message within, with its type beside its members.

use super::{EncodeError, Encoder};
use crate::{
    schema::{Form, MessageId},
    transcode::{
        structure,
        wire::{Reader, WireType},
    },
};

/// The type URL and the value of an Any; of several the last counts.
pub(super) fn parts(bytes: &[u8], depth: usize) -> Result<(&str, &[u8]), EncodeError> {
    let (mut url, mut value): (&str, &[u8]) = ("", b"");
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        match reader.tag()? {
            (1, WireType::Length) => url = structure::utf8(reader.bytes()?)?,
            (2, WireType::Length) => value = reader.bytes()?,
            (number, wire_type) => reader.skip(number, wire_type, depth)?,
        }
    }
    Ok((url, value))
}

impl Encoder<'_> {
    pub(super) fn any(&self, bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let (url, value) = parts(bytes, depth)?;
        if url.is_empty() && value.is_empty() {
            out.extend_from_slice(b"{}");
            return Ok(());
        }
        out.extend_from_slice(b"{\"@type\":");
        self.text(url, out)?;
        match self.schema.resolve_type_url(url) {
            Some((schema, id)) => {
                let inner = Encoder { schema, ..*self };
                inner.any_members(id, value, depth, out).map_err(|error| self.unless_overridden(error))?;
            }
            None if self.printing.opaque_any => {
                out.extend_from_slice(b",\"value\":");
                self.base64(value, out)?;
            }
            None => return Err(EncodeError::UnknownType(url.to_owned())),
        }
        out.push(b'}');
        Ok(())
    }

    fn any_members(
        &self,
        id: MessageId,
        value: &[u8],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if self.schema.message(id).form != Form::Object {
            out.extend_from_slice(b",\"value\":");
            return self.message(id, value, depth, out);
        }
        let inside = depth.checked_sub(1).ok_or(EncodeError::TooDeep)?;
        self.fields(id, value, inside, false, out)
    }

    /// To protobuf the value of an Any is bytes. As long as a later Any may take its place, nobody minds what is in them.
    fn unless_overridden(&self, error: EncodeError) -> EncodeError {
        match error {
            EncodeError::Malformed(_) | EncodeError::TooDeep if !self.merged => EncodeError::Scattered,
            error => error,
        }
    }
}
