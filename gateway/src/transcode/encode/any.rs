//! `google.protobuf.Any`: the message within, with its type beside its members.

use super::{EncodeError, Encoder, merge};
use crate::{
    schema::Form,
    transcode::{
        structure, text,
        wire::{Reader, WireType},
    },
};

impl Encoder<'_> {
    pub(super) fn any(self, bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let (mut url, mut value): (&[u8], &[u8]) = (b"", b"");
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            match reader.tag()? {
                (1, WireType::Length) => url = reader.bytes()?,
                (2, WireType::Length) => value = reader.bytes()?,
                (number, wire_type) => reader.skip(number, wire_type, depth)?,
            }
        }
        let url = structure::utf8(url)?;
        if url.is_empty() && value.is_empty() {
            out.extend_from_slice(b"{}");
            return Ok(());
        }
        out.extend_from_slice(b"{\"@type\":");
        text::put_string(out, url);
        let Some((schema, id)) = self.schema.resolve_type_url(url) else {
            if !self.printing.opaque_any {
                return Err(EncodeError::UnknownType(url.to_owned()));
            }
            out.extend_from_slice(b",\"value\":");
            text::put_base64(out, value);
            out.push(b'}');
            return Ok(());
        };
        let inner = Encoder { schema, ..self };
        let start = out.len();
        if schema.message(id).form != Form::Object {
            out.extend_from_slice(b",\"value\":");
            inner.merged(id, value, depth, out)?;
            out.push(b'}');
            return Ok(());
        }
        let inside = depth.checked_sub(1).ok_or(EncodeError::TooDeep)?;
        if let Err(error) = inner.fields(id, value, inside, false, out) {
            if !error.may_be_overridden() {
                return Err(error);
            }
            out.truncate(start);
            inner.fields(id, &merge::merged(schema, id, value)?, inside, false, out)?;
        }
        out.push(b'}');
        Ok(())
    }
}
