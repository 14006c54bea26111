//! Wire to JSON in one forward pass.
//!
//! The wire form allows what a single pass cannot print: a list scattered between other fields, a value that a later one
//! overrides, a map key that comes twice. Such bytes are merged first (rare: no encoder in use writes them) and then take the
//! same pass, so that there is one printer only.

mod any;
mod default;
mod entry;
mod merge;
mod well_known;

use super::{
    JsonOptions, Keys, Seen, structure, text,
    wire::{self, Malformed, Reader, WireType},
};
use crate::schema::{Cardinality, Field, Form, Kind, MessageId, Schema};
use default::put_default;

/// Why a message has no JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The bytes are no message.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A value that JSON has no form for, such as a Timestamp of the year 10000.
    #[error("{0} has no JSON form")]
    Unprintable(&'static str),
    /// An Any of a type that nobody described.
    #[error("an Any of the unknown type `{0}` has no JSON form")]
    UnknownType(String),
    /// More nesting than the limit allows.
    #[error("nested too deep")]
    TooDeep,
    /// What only the merged message can print. Never leaves this module.
    #[error("fields scattered over the message")]
    Scattered,
}

impl EncodeError {
    /// A later value may take the place of what could not be printed.
    fn may_be_overridden(&self) -> bool {
        matches!(self, Self::Scattered | Self::Unprintable(_) | Self::UnknownType(_))
    }
}

/// How to print.
#[derive(Clone, Copy, Debug)]
pub struct Printing {
    /// The JSON options.
    pub options: JsonOptions,
    /// How deep messages may nest.
    pub depth: usize,
    /// Print an Any of an unknown type with its bytes as base64 in `value`, instead of refusing it.
    pub opaque_any: bool,
}

/// Appends the JSON of a message. On an error, what was appended is taken back.
pub fn message(
    schema: &Schema,
    id: MessageId,
    bytes: &[u8],
    printing: Printing,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    whole(Encoder { schema, printing, bare: false }, id, bytes, out)
}

fn whole(encoder: Encoder<'_>, id: MessageId, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let result = encoder.merged(id, bytes, encoder.printing.depth, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Appends the JSON of one field's value alone. A field that is not there prints its default.
pub fn field(
    schema: &Schema,
    id: MessageId,
    index: usize,
    bytes: &[u8],
    printing: Printing,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let plan = schema.message(id);
    let Some(field) = plan.fields.get(index) else { return Err(EncodeError::Scattered) };
    let mut only = Vec::with_capacity(bytes.len());
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let before = reader.rest();
        let (number, wire_type) = reader.tag()?;
        reader.skip(number, wire_type, printing.depth)?;
        if number == field.number {
            only.extend_from_slice(&before[..before.len() - reader.rest().len()]);
        }
    }
    let start = out.len();
    whole(Encoder { schema, printing, bare: true }, id, &only, out)?;
    let frame = 1 + field.key(printing.options.proto_names).len();
    if out.len() - start <= 2 {
        out.truncate(start);
        put_default(schema, field, printing.options, out);
        return Ok(());
    }
    out.drain(start..start + frame);
    out.pop();
    Ok(())
}

#[derive(Clone, Copy)]
struct Encoder<'s> {
    schema: &'s Schema,
    printing: Printing,
    /// The outermost message is only there to hold one field, and has no defaults to print.
    bare: bool,
}

/// Which list or map is open while fields are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    List(usize),
    Map(usize),
}

impl Encoder<'_> {
    /// A message that stands on its own bytes, so that it can be merged if it must.
    fn merged(self, id: MessageId, bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let result = self.message(id, bytes, depth, out);
        if !result.as_ref().is_err_and(EncodeError::may_be_overridden) {
            return result;
        }
        out.truncate(start);
        self.message(id, &merge::merged(self.schema, id, bytes)?, depth, out)
    }

    fn message(
        self,
        id: MessageId,
        bytes: &[u8],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let depth_inside = depth.checked_sub(1).ok_or(EncodeError::TooDeep)?;
        match self.schema.message(id).form {
            Form::Object => {
                out.push(b'{');
                self.fields(id, bytes, depth_inside, true, out)?;
                out.push(b'}');
                Ok(())
            }
            Form::Any => self.any(bytes, depth_inside, out),
            Form::Timestamp => well_known::timestamp(bytes, out),
            Form::Duration => well_known::duration(bytes, out),
            Form::FieldMask => well_known::field_mask(bytes, out),
            Form::Struct => structure::print_struct(bytes, depth, out),
            Form::Value => structure::print_value(bytes, depth, out),
            Form::ListValue => structure::print_list(bytes, depth, out),
            Form::Wrapper => self.wrapper(id, bytes, depth, out),
        }
    }

    /// The members of an object, without its braces; `first` says that none stands before them.
    fn fields(
        self,
        id: MessageId,
        bytes: &[u8],
        depth: usize,
        mut first: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let plan = self.schema.message(id);
        let (mut seen, mut printed, mut oneofs) = (Seen::default(), Seen::default(), Seen::default());
        let mut open = Open::Nothing;
        let mut keys: Keys<&[u8]> = Keys::new();
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let (number, wire_type) = reader.tag()?;
            let known = plan.field_by_number(number).map(|index| (index, &plan.fields[index]));
            let Some((index, field)) = known.filter(|(_, field)| fits(field, wire_type)) else {
                reader.skip(number, wire_type, depth)?;
                continue;
            };
            let continues = open == Open::List(index) || open == Open::Map(index);
            if !continues {
                if self.is_absent(field, wire_type, reader)? {
                    reader.skip(number, wire_type, depth)?;
                    // A later value overrides this one as it would any other.
                    if field.cardinality == Cardinality::Singular && !seen.insert(index) {
                        return Err(EncodeError::Scattered);
                    }
                    continue;
                }
                close(&mut open, out);
                let again = !seen.insert(index);
                if again || field.oneof.is_some_and(|oneof| !oneofs.insert(usize::from(oneof))) {
                    return Err(EncodeError::Scattered);
                }
                printed.insert(index);
                self.key(field, &mut first, out);
            }
            match field.cardinality {
                Cardinality::Singular => self.value(field, &mut reader, depth, out)?,
                Cardinality::Repeated { .. } => {
                    if !continues {
                        out.push(b'[');
                        open = Open::List(index);
                    }
                    self.elements(field, wire_type, &mut reader, depth, continues, out)?;
                }
                Cardinality::Map => {
                    if !continues {
                        out.push(b'{');
                        open = Open::Map(index);
                        keys = Keys::new();
                    }
                    let key = self.entry(field, reader.bytes()?, depth, continues, out)?;
                    if !keys.insert(key) {
                        return Err(EncodeError::Scattered);
                    }
                }
            }
        }
        close(&mut open, out);
        let outermost = depth + 1 == self.printing.depth;
        let told = if outermost { !self.bare } else { !self.printing.options.sparse };
        if self.printing.options.emit_defaults && told {
            for (index, field) in plan.fields.iter().enumerate() {
                let unset = field.cardinality == Cardinality::Singular && field.presence;
                if !printed.contains(index) && !unset {
                    self.key(field, &mut first, out);
                    put_default(self.schema, field, self.printing.options, out);
                }
            }
        }
        Ok(())
    }

    fn key(self, field: &Field, first: &mut bool, out: &mut Vec<u8>) {
        if !std::mem::take(first) {
            out.push(b',');
        }
        out.extend_from_slice(field.key(self.printing.options.proto_names));
    }

    /// A value on the wire that counts as not being there: a default without presence, an empty packed run.
    fn is_absent(
        self,
        field: &Field,
        wire_type: WireType,
        mut reader: Reader<'_>,
    ) -> Result<bool, Malformed> {
        match field.cardinality {
            Cardinality::Singular if !field.presence => is_zero(field.kind, &mut reader),
            Cardinality::Repeated { .. }
                if wire_type == WireType::Length && field.kind.wire_type() != wire_type =>
            {
                Ok(reader.bytes()?.is_empty())
            }
            _ => Ok(false),
        }
    }

    fn elements(
        self,
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
        }
        Ok(())
    }

    /// One value, whose tag was read.
    #[inline]
    fn value(
        self,
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
            Kind::String => text::put_string(out, structure::utf8(reader.bytes()?)?),
            Kind::Bytes => text::put_base64(out, reader.bytes()?),
            Kind::Enum(_) => self.enumeration(field.kind, reader.varint()? as i32, out),
            Kind::Message(id) => self.message(id, reader.bytes()?, depth, out)?,
            Kind::Group(id) => self.message(id, reader.group(field.number, depth)?, depth, out)?,
        }
        Ok(())
    }

    fn enumeration(self, kind: Kind, number: i32, out: &mut Vec<u8>) {
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

    fn wrapper(
        self,
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

/// Whether a value that comes with this wire type belongs to the field; what does not is unknown, as protobuf has it.
#[inline]
fn fits(field: &Field, wire_type: WireType) -> bool {
    let own = field.kind.wire_type();
    own == wire_type
        || (wire_type == WireType::Length
            && matches!(field.cardinality, Cardinality::Repeated { .. })
            && own != WireType::GroupStart)
}

/// Of what is to fit into 32 bits the upper ones do not count.
#[inline]
fn is_zero(kind: Kind, reader: &mut Reader<'_>) -> Result<bool, Malformed> {
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

fn close(open: &mut Open, out: &mut Vec<u8>) {
    match std::mem::replace(open, Open::Nothing) {
        Open::Nothing => {}
        Open::List(_) => out.push(b']'),
        Open::Map(_) => out.push(b'}'),
    }
}
