//! Map entries as members of an object: a key in quotes, a value, either of which may be missing on the wire.

use super::{EncodeError, Encoder, fits, put_default};
use crate::{
    schema::{Field, Kind},
    transcode::wire::{Malformed, Reader, WireType},
};

impl Encoder<'_> {
    /// Prints one map entry and gives the bytes of its key.
    pub(super) fn entry<'b>(
        &self,
        field: &Field,
        bytes: &'b [u8],
        depth: usize,
        comma: bool,
        out: &mut Vec<u8>,
    ) -> Result<&'b [u8], EncodeError> {
        let entry = field.kind.message().map(|id| self.schema.message(id));
        let Some([key_field, value_field]) = entry.map(|entry| &*entry.fields) else {
            return Err(EncodeError::Malformed(Malformed("not a map entry")));
        };
        let mut reader = Reader::new(bytes);
        let (mut key, mut value): (Option<&'b [u8]>, Option<Reader<'b>>) = (None, None);
        while !reader.is_empty() {
            let (number, wire_type) = reader.tag()?;
            let start = reader.rest();
            let slot_reader = reader;
            reader.skip(number, wire_type, depth)?;
            if number == 1 && fits(key_field, wire_type) {
                if key.replace(&start[..start.len() - reader.rest().len()]).is_some() {
                    return Err(EncodeError::Scattered);
                }
            } else if number == 2 && fits(value_field, wire_type) && value.replace(slot_reader).is_some() {
                return Err(EncodeError::Scattered);
            }
        }
        if comma {
            out.push(b',');
        }
        self.map_key(key_field, key, out)?;
        out.push(b':');
        match value {
            Some(mut value) => self.value(value_field, &mut value, depth, out)?,
            None => self.missing_map_value(value_field, depth, out)?,
        }
        Ok(key.unwrap_or_default())
    }

    fn map_key(&self, field: &Field, key: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let Some(key) = key else {
            let literal: &[u8] = match field.kind {
                Kind::String => b"\"\"",
                Kind::Bool => b"\"false\"",
                _ => b"\"0\"",
            };
            out.extend_from_slice(literal);
            return Ok(());
        };
        let mut reader = Reader::new(key);
        let quoted = matches!(field.kind.wire_type(), WireType::Length)
            || matches!(
                field.kind,
                Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64
            );
        if quoted {
            return self.value(field, &mut reader, 1, out);
        }
        out.push(b'"');
        self.value(field, &mut reader, 1, out)?;
        out.push(b'"');
        Ok(())
    }

    fn missing_map_value(&self, field: &Field, depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match field.kind {
            Kind::Message(id) => self.message(id, &[], depth, out),
            _ => {
                put_default(self.schema, field, self.printing.options, out);
                Ok(())
            }
        }
    }
}
