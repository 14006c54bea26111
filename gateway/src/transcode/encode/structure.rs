//! Struct, Value and ListValue of google.protobuf: the JSON that they stand for.

use super::{EncodeError, Encoder};
use crate::transcode::{
    Keys,
    structure::utf8,
    text,
    wire::{Reader, WireType},
};

impl Encoder<'_> {
    /// Prints a Struct as an object.
    pub(super) fn structure(&self, bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let depth = depth.checked_sub(1).ok_or(EncodeError::TooDeep)?;
        let mut keys = Keys::new();
        let mut reader = Reader::new(bytes);
        out.push(b'{');
        while !reader.is_empty() {
            let (1, WireType::Length) = reader.tag()? else { return Err(EncodeError::Scattered) };
            let mut entry = Reader::new(reader.bytes()?);
            let (mut key, mut value): (&[u8], Option<&[u8]>) = (b"", None);
            while !entry.is_empty() {
                match entry.tag()? {
                    (1, WireType::Length) => key = entry.bytes()?,
                    (2, WireType::Length) if value.is_none() => value = Some(entry.bytes()?),
                    _ => return Err(EncodeError::Scattered),
                }
            }
            if !keys.insert(key) {
                return Err(EncodeError::Scattered);
            }
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            self.text(utf8(key)?, out)?;
            out.push(b':');
            self.structure_value(value.unwrap_or_default(), depth, out)?;
            self.check_room(out, 0)?;
        }
        out.push(b'}');
        Ok(())
    }

    /// Prints a ListValue as an array.
    pub(super) fn structure_list(
        &self,
        bytes: &[u8],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let depth = depth.checked_sub(1).ok_or(EncodeError::TooDeep)?;
        let mut reader = Reader::new(bytes);
        let mut first = true;
        out.push(b'[');
        while !reader.is_empty() {
            let (1, WireType::Length) = reader.tag()? else { return Err(EncodeError::Scattered) };
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            self.structure_value(reader.bytes()?, depth, out)?;
            self.check_room(out, 0)?;
        }
        out.push(b']');
        Ok(())
    }

    /// Prints a Value as what it stands for. One that stands for nothing has no JSON form.
    pub(super) fn structure_value(
        &self,
        bytes: &[u8],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let mut reader = Reader::new(bytes);
        if reader.is_empty() {
            return Err(EncodeError::Unprintable("a google.protobuf.Value without a kind"));
        }
        match reader.tag()? {
            (1, WireType::Varint) => {
                reader.varint()?;
                out.extend_from_slice(b"null");
            }
            (2, WireType::Fixed64) => {
                let value = f64::from_le_bytes(reader.fixed64()?);
                if !value.is_finite() {
                    return Err(EncodeError::Unprintable("a google.protobuf.Value that is not finite"));
                }
                text::put_double(out, value);
            }
            (3, WireType::Length) => self.text(utf8(reader.bytes()?)?, out)?,
            (4, WireType::Varint) => {
                let value: &[u8] = if reader.varint()? == 0 { b"false" } else { b"true" };
                out.extend_from_slice(value);
            }
            (5, WireType::Length) => self.structure(reader.bytes()?, depth, out)?,
            (6, WireType::Length) => self.structure_list(reader.bytes()?, depth, out)?,
            _ => return Err(EncodeError::Scattered),
        }
        if reader.is_empty() { Ok(()) } else { Err(EncodeError::Scattered) }
    }
}
