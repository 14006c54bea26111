//! The same transcoding through prost-reflect's DynamicMessage: slower and simpler, and written by others.
//!
//! The tests hold the plans against it; the gateway runs it when `Config::transcoder` says so.

use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};

use super::JsonOptions;

/// JSON to wire.
pub fn json_to_wire(
    descriptor: MessageDescriptor,
    json: &str,
    options: JsonOptions,
) -> Result<Vec<u8>, String> {
    let strict = DeserializeOptions::new().deny_unknown_fields(!options.ignore_unknown_fields);
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize_with_options(descriptor, &mut deserializer, &strict)
        .map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(message.encode_to_vec())
}

/// Wire to JSON.
pub fn wire_to_json(
    descriptor: MessageDescriptor,
    bytes: &[u8],
    options: JsonOptions,
) -> Result<Vec<u8>, String> {
    let message = DynamicMessage::decode(descriptor, bytes).map_err(|error| error.to_string())?;
    let how = SerializeOptions::new()
        .use_enum_numbers(options.enum_numbers)
        .use_proto_field_name(options.proto_names)
        .skip_default_fields(!options.emit_defaults);
    let mut json = Vec::new();
    message
        .serialize_with_options(&mut serde_json::Serializer::new(&mut json), &how)
        .map_err(|error| error.to_string())?;
    Ok(json)
}
