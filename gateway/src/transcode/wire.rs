//! Protobuf's wire format: varints, tags, lengths. Reading never panics and never allocates.

/// How a value is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireType {
    /// A varint.
    Varint = 0,
    /// Eight bytes.
    Fixed64 = 1,
    /// A length and as many bytes.
    Length = 2,
    /// The start of a group.
    GroupStart = 3,
    /// The end of a group.
    GroupEnd = 4,
    /// Four bytes.
    Fixed32 = 5,
}

/// The bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed protobuf: {0}")]
pub struct Malformed(pub &'static str);

/// A reader over the bytes of one message.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// A field number and how its value is delimited.
    #[inline]
    pub fn tag(&mut self) -> Result<(u32, WireType), Malformed> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or(Malformed("field number out of range"))?;
        let wire_type = match tag & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Length,
            3 => WireType::GroupStart,
            4 => WireType::GroupEnd,
            5 => WireType::Fixed32,
            _ => return Err(Malformed("unknown wire type")),
        };
        Ok((number, wire_type))
    }

    /// A varint of at most ten bytes.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        if let [first @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*first));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                if index == 9 && byte > 1 {
                    return Err(Malformed("varint beyond 64 bits"));
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(Malformed(if self.rest.len() < 10 { "truncated varint" } else { "varint beyond 64 bits" }))
    }

    /// Four bytes.
    #[inline]
    pub fn fixed32(&mut self) -> Result<[u8; 4], Malformed> {
        let (value, rest) = self.rest.split_first_chunk().ok_or(Malformed("truncated value"))?;
        self.rest = rest;
        Ok(*value)
    }

    /// Eight bytes.
    #[inline]
    pub fn fixed64(&mut self) -> Result<[u8; 8], Malformed> {
        let (value, rest) = self.rest.split_first_chunk().ok_or(Malformed("truncated value"))?;
        self.rest = rest;
        Ok(*value)
    }

    /// The bytes behind a length.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.varint()?;
        let length = usize::try_from(length).ok().filter(|&length| length <= self.rest.len());
        let (value, rest) = self.rest.split_at(length.ok_or(Malformed("length beyond the end"))?);
        self.rest = rest;
        Ok(value)
    }

    /// The bytes of a group, up to its end tag, which is consumed.
    pub fn group(&mut self, number: u32, depth: usize) -> Result<&'a [u8], Malformed> {
        let start = self.rest;
        loop {
            let before = self.rest;
            let (inner, wire_type) = self.tag()?;
            if wire_type == WireType::GroupEnd {
                if inner != number {
                    return Err(Malformed("a group ended by another"));
                }
                return Ok(&start[..start.len() - before.len()]);
            }
            self.skip(inner, wire_type, depth)?;
        }
    }

    /// Passes over a value.
    pub fn skip(&mut self, number: u32, wire_type: WireType, depth: usize) -> Result<(), Malformed> {
        match wire_type {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed64 => self.fixed64().map(drop),
            WireType::Length => self.bytes().map(drop),
            WireType::Fixed32 => self.fixed32().map(drop),
            WireType::GroupStart if depth == 0 => Err(Malformed("groups nested too deep")),
            WireType::GroupStart => self.group(number, depth - 1).map(drop),
            WireType::GroupEnd => Err(Malformed("a group ends that never began")),
        }
    }
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length and the bytes.
#[inline]
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Begins a value behind a length that is not known yet; give the answer to [`end_length`].
#[inline]
pub fn begin_length(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len()
}

/// Sets the length of what was appended since [`begin_length`]. One byte was kept for it; what is longer moves, which
/// costs at most one copy a nesting level.
#[inline]
pub fn end_length(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    if length < 0x80 {
        out[start - 1] = length as u8;
        return;
    }
    let extra = varint_length(length as u64) - 1;
    out.resize(out.len() + extra, 0);
    out.copy_within(start..start + length, start + extra);
    let mut rest = length;
    for slot in &mut out[start - 1..start + extra] {
        *slot = if rest >= 0x80 { rest as u8 | 0x80 } else { rest as u8 };
        rest >>= 7;
    }
}

fn varint_length(value: u64) -> usize {
    (63 - (value | 1).leading_zeros() as usize) / 7 + 1
}

/// The unsigned form of a signed value in which small magnitudes are short.
pub fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// The inverse of [`zigzag`].
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_varint_reads_back(value: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_length(value));
            prop_assert_eq!(Reader::new(&out).varint(), Ok(value));
        }

        #[test]
        fn a_patched_length_is_the_canonical_one(length in 0usize..40_000) {
            let mut patched = vec![9];
            let start = begin_length(&mut patched);
            patched.resize(start + length, 7);
            end_length(&mut patched, start);
            let mut direct = vec![9];
            put_bytes(&mut direct, &vec![7; length]);
            prop_assert_eq!(patched, direct);
        }

        #[test]
        fn zigzag_has_an_inverse(value: i64) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }

        #[test]
        fn no_bytes_make_skipping_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while let Ok((number, wire_type)) = reader.tag() {
                if reader.skip(number, wire_type, 10).is_err() {
                    break;
                }
            }
        }
    }
}
