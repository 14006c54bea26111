//! One value of a field, whatever its kind.

use super::{EncodeError, Encoder, fits, put_default};
use crate::{
    schema::{Field, Kind, MessageId},
    transcode::{
        structure::utf8,
        text,
        wire::{self, Malformed, Reader, WireType},
    },
};

impl Encoder<'_> {
    /// Elements of a list: one, or as many as a packed run has.
    pub(super) fn elements(
        &self,
        field: &Field,
        wire_type: WireType,
        reader: &mut Reader<'_>,
        depth: usize,
        mut comma: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let packed = wire_type == WireType::Length && field.kind.wire_type() != WireType::Length;
        if !packed {
            if comma {
                out.push(b',');
            }
            return self.value(field, reader, depth, out);
        }
        let mut run = Reader::new(reader.bytes()?);
        while !run.is_empty() {
            if std::mem::replace(&mut comma, true) {
                out.push(b',');
            }
            self.value(field, &mut run, depth, out)?;
            self.check_room(out, 0)?;
        }
        Ok(())
    }

    /// One value, whose tag was read.
    #[inline]
    pub(super) fn value(
        &self,
        field: &Field,
        reader: &mut Reader<'_>,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match field.kind {
            Kind::Double => text::put_double(out, f64::from_le_bytes(reader.fixed64()?)),
            Kind::Float => text::put_float(out, f32::from_le_bytes(reader.fixed32()?)),
            Kind::Int32 => text::put_integer(out, reader.varint()? as i32),
            Kind::Int64 => text::put_quoted_integer(out, reader.varint()? as i64),
            Kind::Uint32 => text::put_integer(out, reader.varint()? as u32),
            Kind::Uint64 => text::put_quoted_integer(out, reader.varint()?),
            Kind::Sint32 => text::put_integer(out, wire::unzigzag(reader.varint()? & 0xffff_ffff) as i32),
            Kind::Sint64 => text::put_quoted_integer(out, wire::unzigzag(reader.varint()?)),
            Kind::Fixed32 => text::put_integer(out, u32::from_le_bytes(reader.fixed32()?)),
            Kind::Fixed64 => text::put_quoted_integer(out, u64::from_le_bytes(reader.fixed64()?)),
            Kind::Sfixed32 => text::put_integer(out, i32::from_le_bytes(reader.fixed32()?)),
            Kind::Sfixed64 => text::put_quoted_integer(out, i64::from_le_bytes(reader.fixed64()?)),
            Kind::Bool => {
                let literal: &[u8] = if reader.varint()? == 0 { b"false" } else { b"true" };
                out.extend_from_slice(literal);
            }
            Kind::String => self.text(utf8(reader.bytes()?)?, out)?,
            Kind::Bytes => self.base64(reader.bytes()?, out)?,
            Kind::Enum(_) => self.enumeration(field.kind, reader.varint()? as i32, out),
            Kind::Message(id) => self.message(id, reader.bytes()?, depth, out)?,
            Kind::Group(id) => self.message(id, reader.group(field.number, depth)?, depth, out)?,
        }
        Ok(())
    }

    /// A text, which may take six times its bytes: it is measured where it might be too much.
    #[inline]
    pub(super) fn text(&self, text: &str, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        const ESCAPE_BYTES_MAX: usize = 6;
        if self.check_room(out, text.len().saturating_mul(ESCAPE_BYTES_MAX)).is_err() {
            self.check_room(out, text::string_length(text))?;
        }
        text::put_string(out, text);
        Ok(())
    }

    pub(super) fn base64(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.check_room(out, bytes.len().div_ceil(3).saturating_mul(4))?;
        text::put_base64(out, bytes);
        Ok(())
    }

    pub(super) fn enumeration(&self, kind: Kind, number: i32, out: &mut Vec<u8>) {
        let plan = match kind {
            Kind::Enum(id) => Some(self.schema.enumeration(id)),
            _ => None,
        };
        if plan.is_some_and(|plan| plan.is_null) {
            out.extend_from_slice(b"null");
            return;
        }
        let name = plan.and_then(|plan| plan.name(number)).filter(|_| !self.printing.options.enum_numbers);
        match name {
            // An enum name is an identifier: nothing in it needs an escape.
            Some(name) => {
                out.push(b'"');
                out.extend_from_slice(name.as_bytes());
                out.push(b'"');
            }
            None => text::put_integer(out, number),
        }
    }

    pub(super) fn wrapper(
        &self,
        id: MessageId,
        bytes: &[u8],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let Some(field) = self.schema.message(id).fields.first() else { return Err(EncodeError::Scattered) };
        let mut reader = Reader::new(bytes);
        if reader.is_empty() {
            put_default(self.schema, field, self.printing.options, out);
            return Ok(());
        }
        let (number, wire_type) = reader.tag()?;
        if number != field.number || !fits(field, wire_type) {
            return Err(EncodeError::Scattered);
        }
        self.value(field, &mut reader, depth, out)?;
        if reader.is_empty() { Ok(()) } else { Err(EncodeError::Scattered) }
    }
}

/// Of what is to fit into 32 bits the upper ones do not count.
#[inline]
pub(super) fn is_zero(kind: Kind, reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    Ok(match kind.wire_type() {
        WireType::Varint => {
            let value = reader.varint()?;
            match kind {
                Kind::Bool | Kind::Int64 | Kind::Uint64 | Kind::Sint64 => value == 0,
                _ => value as u32 == 0,
            }
        }
        WireType::Fixed32 => reader.fixed32()? == [0; 4],
        WireType::Fixed64 => reader.fixed64()? == [0; 8],
        WireType::Length => reader.bytes()?.is_empty(),
        WireType::GroupStart | WireType::GroupEnd => false,
    })
}
