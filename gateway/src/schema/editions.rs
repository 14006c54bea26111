//! Files of an edition (2023, 2024), written anew as prost-reflect reads files: in proto3, or in proto2 where an enum
//! does not begin at 0. What an edition's features say is said by the field itself: that its presence counts, that it is
//! packed, that it is a group.
//!
//! Of the features only those change what JSON means. `enum_type`: an enum's unknown numbers pass, open or closed, as
//! they do in files without an edition. `json_format` and `utf8_validation` only forbid what could be declared or sent.
//!
//! A set without such a file stays as it is; of one that has some the options stay, byte for byte.

use std::borrow::Cow;

use super::tags::{edition, enumeration, features, field, file, message, options};
use crate::transcode::wire::{self, Malformed, Reader, WireType};

/// Why a set with editions cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditionError {
    /// It is no descriptor set.
    #[error("the descriptor set is not valid: {0}")]
    Malformed(#[from] Malformed),
    /// The edition is none that is known.
    #[error("file `{file}` is of edition {edition}, which is not known; 2023 and 2024 are")]
    Unknown {
        /// The file.
        file: String,
        /// The edition, by its name or its number in `google.protobuf.Edition`.
        edition: String,
    },
    /// What it says together cannot be said in one file of proto2 or proto3.
    #[error(
        "file `{file}` has a field with IMPLICIT presence, `{field}`, beside an enum that does not begin at 0: put one of \
         them into a file of its own"
    )]
    Mixed {
        /// The file.
        file: String,
        /// The field.
        field: String,
    },
}

/// Messages and groups within each other that are followed.
const DEPTH_MAX: usize = 100;

/// The features that count, as they hold at one place.
#[derive(Clone, Copy, Debug)]
struct Features {
    presence: u64,
    repeated: u64,
    message: u64,
}

/// What a file becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    Proto2,
    Proto3,
}

/// One field of an encoded message.
struct Part<'a> {
    number: u32,
    wire_type: WireType,
    /// The tag and the value.
    whole: &'a [u8],
    /// The value: without its length, where it has one.
    value: &'a [u8],
}

/// The set as prost-reflect reads it.
///
/// # Errors
/// As [`EditionError`] says.
pub(crate) fn lower(set: &[u8]) -> Result<Cow<'_, [u8]>, EditionError> {
    let files = parts(set)?;
    let mut edited = Vec::new();
    for (index, part) in files.iter().enumerate().filter(|(_, part)| part.number == file::OF_SET) {
        if text(part.value, file::SYNTAX)? == Some(b"editions") {
            edited.push((index, lower_file(part.value)?));
        }
    }
    if edited.is_empty() {
        return Ok(Cow::Borrowed(set));
    }
    let (mut lowered, mut edited) = (Vec::with_capacity(set.len() + 64), edited.into_iter().peekable());
    for (index, part) in files.iter().enumerate() {
        match edited.next_if(|(edited, _)| *edited == index) {
            Some((_, file)) => put(&mut lowered, file::OF_SET, &file),
            None => lowered.extend_from_slice(part.whole),
        }
    }
    Ok(Cow::Owned(lowered))
}

fn lower_file(bytes: &[u8]) -> Result<Vec<u8>, EditionError> {
    let name = text(bytes, file::NAME)?.unwrap_or_default();
    let name = String::from_utf8_lossy(name);
    let number = number(bytes, file::EDITION)?.unwrap_or_default();
    if !edition::KNOWN.contains(&number) {
        return Err(EditionError::Unknown { file: name.into_owned(), edition: edition::name(number) });
    }
    let syntax = if begins_elsewhere(bytes, DEPTH_MAX)? { Syntax::Proto2 } else { Syntax::Proto3 };
    let lowering = Lowering { file: &name, syntax };
    let defaults = Features {
        presence: features::EXPLICIT,
        repeated: features::PACKED,
        message: features::LENGTH_PREFIXED,
    };
    let here = defaults.within(bytes, file::OPTIONS, options::FEATURES_OF_FILE)?;
    let mut lowered = Vec::with_capacity(bytes.len() + 64);
    for part in parts(bytes)? {
        match part.number {
            file::MESSAGE => put(&mut lowered, part.number, &lowering.message(part.value, here, DEPTH_MAX)?),
            file::EXTENSION => put(&mut lowered, part.number, &lowering.field(part.value, here, &[])?),
            file::SYNTAX | file::EDITION => {}
            _ => lowered.extend_from_slice(part.whole),
        }
    }
    let syntax: &[u8] = if syntax == Syntax::Proto2 { b"proto2" } else { b"proto3" };
    put(&mut lowered, file::SYNTAX, syntax);
    Ok(lowered)
}

/// Whether an enum of a file or message has a first value other than 0, which proto3 forbids.
fn begins_elsewhere(bytes: &[u8], depth: usize) -> Result<bool, EditionError> {
    if depth == 0 {
        return Err(Malformed("messages nested too deep").into());
    }
    // a file and a message have their enums and messages under different numbers
    let of_file = depth == DEPTH_MAX;
    let (enums, messages) =
        if of_file { (file::ENUM, file::MESSAGE) } else { (message::ENUM, message::MESSAGE) };
    for part in parts(bytes)? {
        if part.number == enums {
            let first = parts(part.value)?.into_iter().find(|part| part.number == enumeration::VALUE);
            let first = first.map(|first| number(first.value, enumeration::NUMBER)).transpose()?.flatten();
            if first.unwrap_or_default() != 0 {
                return Ok(true);
            }
        } else if part.number == messages && begins_elsewhere(part.value, depth - 1)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How the things of one file are written anew.
struct Lowering<'f> {
    file: &'f str,
    syntax: Syntax,
}

impl Lowering<'_> {
    fn message(&self, bytes: &[u8], above: Features, depth: usize) -> Result<Vec<u8>, EditionError> {
        if depth == 0 {
            return Err(Malformed("messages nested too deep").into());
        }
        let here = above.within(bytes, message::OPTIONS, options::FEATURES_OF_MESSAGE)?;
        let all = parts(bytes)?;
        let mut entries = Vec::new();
        for nested in all.iter().filter(|part| part.number == message::MESSAGE) {
            if is_entry(nested.value)? {
                entries.extend(text(nested.value, message::NAME)?);
            }
        }
        let mut lowered = Vec::with_capacity(bytes.len() + 16);
        for part in all {
            match part.number {
                message::MESSAGE if is_entry(part.value)? => {
                    // key and value are as they ever were
                    put(&mut lowered, part.number, part.value);
                }
                message::MESSAGE => {
                    put(&mut lowered, part.number, &self.message(part.value, here, depth - 1)?);
                }
                message::FIELD | message::EXTENSION => {
                    put(&mut lowered, part.number, &self.field(part.value, here, &entries)?);
                }
                _ => lowered.extend_from_slice(part.whole),
            }
        }
        Ok(lowered)
    }

    /// `entries` are the names of the message's map entries.
    fn field(&self, bytes: &[u8], above: Features, entries: &[&[u8]]) -> Result<Vec<u8>, EditionError> {
        let here = above.within(bytes, field::OPTIONS, options::FEATURES_OF_FIELD)?;
        let label = number(bytes, field::LABEL)?.unwrap_or(field::OPTIONAL);
        let kind = number(bytes, field::TYPE)?.unwrap_or_default();
        let of_type = text(bytes, field::TYPE_NAME)?.unwrap_or_default();
        let in_oneof = number(bytes, field::ONEOF)?.is_some();
        let is_entry = entries.iter().any(|entry| of_type.ends_with(entry) && label == field::REPEATED);
        // what comes later wins
        let (mut lowered, mut said) = (Vec::with_capacity(bytes.len() + 8), Vec::new());
        for part in parts(bytes)? {
            if part.number == field::OPTIONS {
                said.extend_from_slice(part.value)
            } else {
                lowered.extend_from_slice(part.whole)
            }
        }
        if label == field::REPEATED {
            if field::PACKABLE.contains(&kind) {
                put_number(&mut said, options::PACKED, u64::from(here.repeated == features::PACKED));
            }
        } else if !in_oneof && kind != field::MESSAGE {
            self.put_presence(bytes, here, &mut lowered)?;
        }
        if kind == field::MESSAGE && here.message == features::DELIMITED && !is_entry {
            put_number(&mut lowered, field::TYPE, field::GROUP);
        }
        if here.presence == features::LEGACY_REQUIRED && label == field::OPTIONAL && !in_oneof {
            put_number(&mut lowered, field::LABEL, field::REQUIRED);
        }
        if !said.is_empty() {
            put(&mut lowered, field::OPTIONS, &said);
        }
        Ok(lowered)
    }

    /// Says whether an unset field differs from one that is set to its default.
    fn put_presence(&self, bytes: &[u8], here: Features, lowered: &mut Vec<u8>) -> Result<(), EditionError> {
        let implicit = here.presence == features::IMPLICIT;
        match self.syntax {
            Syntax::Proto3 if !implicit => put_number(lowered, field::PROTO3_OPTIONAL, 1),
            Syntax::Proto2 if implicit => {
                let name = text(bytes, field::NAME)?.unwrap_or_default();
                let field = String::from_utf8_lossy(name).into_owned();
                return Err(EditionError::Mixed { file: self.file.to_owned(), field });
            }
            Syntax::Proto2 | Syntax::Proto3 => {}
        }
        Ok(())
    }
}

impl Features {
    /// What holds within something whose options may say otherwise.
    fn within(mut self, bytes: &[u8], options: u32, features: u32) -> Result<Self, Malformed> {
        for options in parts(bytes)?.iter().filter(|part| part.number == options) {
            for set in parts(options.value)?.iter().filter(|part| part.number == features) {
                let said = |feature: u32| number(set.value, feature);
                self.presence = said(features::PRESENCE)?.unwrap_or(self.presence);
                self.repeated = said(features::REPEATED)?.unwrap_or(self.repeated);
                self.message = said(features::MESSAGE)?.unwrap_or(self.message);
            }
        }
        Ok(self)
    }
}

/// Whether a nested message is what a map is made of.
fn is_entry(bytes: &[u8]) -> Result<bool, Malformed> {
    for options in parts(bytes)?.iter().filter(|part| part.number == message::OPTIONS) {
        if number(options.value, options::MAP_ENTRY)? == Some(1) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn parts(bytes: &[u8]) -> Result<Vec<Part<'_>>, Malformed> {
    let (mut reader, mut parts) = (Reader::new(bytes), Vec::new());
    while !reader.is_empty() {
        let start = reader.rest();
        let (number, wire_type) = reader.tag()?;
        let value = match wire_type {
            WireType::Length => reader.bytes()?,
            _ => {
                let before = reader.rest();
                reader.skip(number, wire_type, DEPTH_MAX)?;
                &before[..before.len() - reader.rest().len()]
            }
        };
        parts.push(Part { number, wire_type, whole: &start[..start.len() - reader.rest().len()], value });
    }
    Ok(parts)
}

/// The last bytes under a number.
fn text(bytes: &[u8], number: u32) -> Result<Option<&[u8]>, Malformed> {
    let parts = parts(bytes)?;
    let last = parts.iter().rfind(|part| part.number == number && part.wire_type == WireType::Length);
    Ok(last.map(|part| part.value))
}

/// The last varint under a number.
fn number(bytes: &[u8], number: u32) -> Result<Option<u64>, Malformed> {
    let parts = parts(bytes)?;
    let last = parts.iter().rfind(|part| part.number == number && part.wire_type == WireType::Varint);
    last.map(|part| Reader::new(part.value).varint()).transpose()
}

fn put(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    wire::put_varint(out, u64::from(number) << 3 | WireType::Length as u64);
    wire::put_bytes(out, bytes);
}

fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    wire::put_varint(out, u64::from(number) << 3 | WireType::Varint as u64);
    wire::put_varint(out, value);
}
