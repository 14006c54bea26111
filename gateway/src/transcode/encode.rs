//! Wire to JSON in one forward pass.
//!
//! The wire form allows what a single pass cannot print: a list scattered between other fields, a value that a later one
//! overrides, a map key that comes twice. Such bytes are merged first (rare: no encoder in use writes them) and then take the
//! same pass, so that there is one printer only. It runs twice at most, over the whole.
//!
//! The bound on what is printed is looked at behind each member and element, and before each text.

mod any;
mod default;
mod entry;
mod merge;
mod structure;
mod value;
mod well_known;

use default::put_default;
use value::is_zero;

use super::{
    JsonOptions, Keys, Seen,
    wire::{Malformed, Reader, WireType},
};
use crate::schema::{Cardinality, Field, Form, MessageId, Schema};

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
    /// More JSON than the limit allows, in bytes.
    #[error("more than {0} bytes of JSON")]
    TooLarge(usize),
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
    /// How many bytes of JSON it may be. A few bytes of a message can stand for a hundred times as many, so that it is looked
    /// at while they are written.
    pub bytes_max: usize,
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
    whole(&Encoder::new(schema, printing, out), id, bytes, out)
}

/// Prints in one pass, or else merges the whole message, whatever lies within it, and prints that. There is no third pass and
/// none for a part alone: an Any in an Any in an Any would double them at each level.
fn whole(encoder: &Encoder<'_>, id: MessageId, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (start, depth) = (out.len(), encoder.printing.depth);
    let mut result = encoder.message(id, bytes, depth, out);
    if result.as_ref().is_err_and(EncodeError::may_be_overridden) {
        out.truncate(start);
        result = merge::merged(encoder.schema, id, bytes)
            .and_then(|bytes| Encoder { merged: true, ..*encoder }.message(id, &bytes, depth, out));
    }
    result = result.and_then(|()| encoder.check_room(out, 0));
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
    whole(&Encoder { bare: true, ..Encoder::new(schema, printing, out) }, id, &only, out)?;
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

struct Encoder<'s> {
    schema: &'s Schema,
    printing: Printing,
    /// How long the buffer may become, with what stood in it before.
    length_max: usize,
    /// The outermost message is only there to hold one field, and has no defaults to print.
    bare: bool,
    /// The bytes are those of the merged message: what cannot be printed now cannot be printed at all.
    merged: bool,
}

/// Which list or map is open while fields are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    List(usize),
    Map(usize),
}

impl<'s> Encoder<'s> {
    fn new(schema: &'s Schema, printing: Printing, out: &[u8]) -> Self {
        let length_max = out.len().saturating_add(printing.bytes_max);
        Self { schema, printing, length_max, bare: false, merged: false }
    }

    /// Whether so much more may be written.
    #[inline]
    fn check_room(&self, out: &[u8], more: usize) -> Result<(), EncodeError> {
        if out.len().saturating_add(more) > self.length_max {
            return Err(EncodeError::TooLarge(self.printing.bytes_max));
        }
        Ok(())
    }

    fn message(
        &self,
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
            Form::Struct => self.structure(bytes, depth, out),
            Form::Value => self.structure_value(bytes, depth, out),
            Form::ListValue => self.structure_list(bytes, depth, out),
            Form::Wrapper => self.wrapper(id, bytes, depth, out),
        }
    }

    /// The members of an object, without its braces; `first` says that none stands before them.
    fn fields(
        &self,
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
            self.check_room(out, 0)?;
        }
        close(&mut open, out);
        if self.tells_defaults(depth) {
            self.defaults(id, &printed, first, out);
        }
        self.check_room(out, 0)
    }

    /// The members that were not printed, if they have defaults.
    fn defaults(&self, id: MessageId, printed: &Seen, mut first: bool, out: &mut Vec<u8>) {
        for (index, field) in self.schema.message(id).fields.iter().enumerate() {
            let unset = field.cardinality == Cardinality::Singular && field.presence;
            if !printed.contains(index) && !unset {
                self.key(field, &mut first, out);
                put_default(self.schema, field, self.printing.options, out);
            }
        }
    }

    /// Whether defaults are printed of a message whose members have this depth. Sparse ones are those of the answer alone,
    /// which lies within the outermost message where that only holds it.
    fn tells_defaults(&self, depth: usize) -> bool {
        let level = self.printing.depth.saturating_sub(depth);
        let told = match (level, self.bare) {
            (1, bare) => !bare,
            (2, true) => true,
            _ => !self.printing.options.sparse,
        };
        told && self.printing.options.emit_defaults
    }

    fn key(&self, field: &Field, first: &mut bool, out: &mut Vec<u8>) {
        if !std::mem::take(first) {
            out.push(b',');
        }
        out.extend_from_slice(field.key(self.printing.options.proto_names));
    }

    /// A value on the wire that counts as not being there: a default without presence, an empty packed run.
    fn is_absent(
        &self,
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

fn close(open: &mut Open, out: &mut Vec<u8>) {
    match std::mem::replace(open, Open::Nothing) {
        Open::Nothing => {}
        Open::List(_) => out.push(b']'),
        Open::Map(_) => out.push(b'}'),
    }
}
