//! What a single pass cannot print, put together first: a list scattered over the message, a value that a later one
//! overrides.
//!
//! prost-reflect does the merging. It keeps what it does not know and gives up where a known number comes with another wire
//! type, which protobuf takes for unknown; so both are left out before.

use prost::Message as _;
use prost_reflect::DynamicMessage;

use super::{EncodeError, fits};
use crate::{
    schema::{MessageId, Schema},
    transcode::wire::{self, Malformed, Reader, WireType},
};

/// As deep as prost-reflect reads.
const DEPTH_MAX: usize = 100;

/// The same message in the order and number that a pass can print.
pub(super) fn merged(schema: &Schema, id: MessageId, bytes: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let mut known = Vec::with_capacity(bytes.len());
    put_known(schema, id, bytes, DEPTH_MAX, &mut known)?;
    let message = DynamicMessage::decode(schema.message(id).descriptor.clone(), &*known)
        .map_err(|_| EncodeError::Malformed(Malformed("cannot be merged")))?;
    Ok(message.encode_to_vec())
}

/// Appends the fields that the descriptors know, all the way down.
fn put_known(
    schema: &Schema,
    id: MessageId,
    bytes: &[u8],
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let inside = depth.checked_sub(1).ok_or(EncodeError::TooDeep)?;
    let plan = schema.message(id);
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let before = reader.rest();
        let (number, wire_type) = reader.tag()?;
        let field = plan.field_by_number(number).map(|index| &plan.fields[index]);
        let Some(field) = field.filter(|field| fits(field, wire_type)) else {
            reader.skip(number, wire_type, depth)?;
            continue;
        };
        match (field.kind.message(), wire_type) {
            (Some(inner), WireType::Length) => {
                out.extend_from_slice(field.tag.as_bytes());
                let start = wire::begin_length(out);
                put_known(schema, inner, reader.bytes()?, inside, out)?;
                wire::end_length(out, start);
            }
            (Some(inner), _) => {
                out.extend_from_slice(field.tag.as_bytes());
                put_known(schema, inner, reader.group(number, depth)?, inside, out)?;
                wire::put_varint(out, u64::from(number) << 3 | WireType::GroupEnd as u64);
            }
            (None, _) => {
                reader.skip(number, wire_type, depth)?;
                out.extend_from_slice(&before[..before.len() - reader.rest().len()]);
            }
        }
    }
    Ok(())
}
