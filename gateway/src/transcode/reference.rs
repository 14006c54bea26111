//! The same transcoding through prost-reflect's DynamicMessage: slower and simpler, and written by others.
//!
//! The tests hold the plans against it; the gateway runs it when `Config::transcoder` says so. Two things are added: it
//! passes over members that come twice, which both ways refuse, and what it does not read is respelled for it.

mod spelling;

use std::collections::HashSet;

use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};

use super::JsonOptions;

/// JSON to wire.
pub fn json_to_wire(
    descriptor: MessageDescriptor,
    json: &str,
    options: JsonOptions,
) -> Result<Vec<u8>, String> {
    serde_json::from_str::<NoTwins>(json).map_err(|error| error.to_string())?;
    let refused = match read(descriptor.clone(), json, options) {
        Ok(message) => return Ok(message.encode_to_vec()),
        Err(error) => error.to_string(),
    };
    let Ok(mut value) = serde_json::from_str::<serde_json::Value>(json) else { return Err(refused) };
    spelling::respell(&descriptor, &mut value, options);
    read(descriptor, &value.to_string(), options).map(|message| message.encode_to_vec()).map_err(|_| refused)
}

fn read(
    descriptor: MessageDescriptor,
    json: &str,
    options: JsonOptions,
) -> Result<DynamicMessage, serde_json::Error> {
    let strict = DeserializeOptions::new().deny_unknown_fields(!options.ignore_unknown_fields);
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize_with_options(descriptor, &mut deserializer, &strict)?;
    deserializer.end()?;
    Ok(message)
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

/// JSON in whose objects no member comes twice. Nothing is kept of it.
struct NoTwins;

impl<'de> Deserialize<'de> for NoTwins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NoTwins)
    }
}

impl<'de> Visitor<'de> for NoTwins {
    type Value = NoTwins;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("JSON without a member that comes twice")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NoTwins, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value::<NoTwins>()?;
            if let Some(twin) = seen.replace(key) {
                return Err(A::Error::custom(format!("`{twin}` comes twice")));
            }
        }
        Ok(NoTwins)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<NoTwins, A::Error> {
        while list.next_element::<NoTwins>()?.is_some() {}
        Ok(NoTwins)
    }

    fn visit_bool<E>(self, _: bool) -> Result<NoTwins, E> {
        Ok(NoTwins)
    }

    fn visit_i64<E>(self, _: i64) -> Result<NoTwins, E> {
        Ok(NoTwins)
    }

    fn visit_u64<E>(self, _: u64) -> Result<NoTwins, E> {
        Ok(NoTwins)
    }

    fn visit_f64<E>(self, _: f64) -> Result<NoTwins, E> {
        Ok(NoTwins)
    }

    fn visit_str<E>(self, _: &str) -> Result<NoTwins, E> {
        Ok(NoTwins)
    }

    fn visit_unit<E>(self) -> Result<NoTwins, E> {
        Ok(NoTwins)
    }
}
