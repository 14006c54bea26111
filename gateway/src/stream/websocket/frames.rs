//! Frames of a WebSocket as they go by (RFC 6455, 5.2): how large the message is that comes, and where it ends. Whether
//! they are right is told by whoever takes them apart.

/// The longest head of a frame: flags, a length of eight bytes, a mask.
const HEAD_BYTES_MAX: usize = 14;

const FINAL: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const PING: u8 = 9;
/// Opcodes from here on are of frames that are no part of a message.
const CONTROL: u8 = 8;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// What is seen of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A message has so many bytes, as far as its frames have begun.
    Message(usize),
    /// It is whole.
    Whole,
    /// A ping, which has to be answered.
    Ping,
}

/// How far they have come.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: usize,
    /// What of the payload is still to come, once the head has.
    payload: Option<u64>,
    /// The bytes of the message whose frames come; nothing between two.
    message: Option<usize>,
    /// The message ends with this frame.
    last: bool,
}

impl Frames {
    /// Whether a frame or a message has begun and is not at its end.
    pub(super) fn is_within(&self) -> bool {
        self.head_bytes > 0 || self.payload.is_some() || self.message.is_some()
    }

    /// Goes over bytes up to the next thing that is seen; nothing once it has gone over all.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<Seen> {
        loop {
            if let Some(payload) = &mut self.payload {
                let passed = usize::try_from(*payload).unwrap_or(usize::MAX).min(bytes.len());
                *bytes = &bytes[passed..];
                *payload -= passed as u64;
                if *payload > 0 {
                    return None;
                }
                self.payload = None;
                if std::mem::take(&mut self.last) {
                    self.message = None;
                    return Some(Seen::Whole);
                }
            }
            let (&next, rest) = bytes.split_first()?;
            *bytes = rest;
            self.head[self.head_bytes] = next;
            self.head_bytes += 1;
            if self.head_bytes == self.head_length()
                && let Some(seen) = self.begin()
            {
                return Some(seen);
            }
        }
    }

    /// The bytes of the head, as far as can be told.
    fn head_length(&self) -> usize {
        if self.head_bytes < 2 {
            return 2;
        }
        let length = match self.head[1] & LENGTH {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.head[1] & MASKED > 0 { 4 } else { 0 }
    }

    /// The head is there.
    fn begin(&mut self) -> Option<Seen> {
        let [flags, length, long @ ..] = self.head;
        let [a, b, c, d, e, f, g, h, ..] = long;
        let bytes = match length & LENGTH {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            short => u64::from(short),
        };
        (self.head_bytes, self.payload) = (0, Some(bytes));
        let opcode = flags & OPCODE;
        if opcode >= CONTROL {
            return (opcode == PING).then_some(Seen::Ping);
        }
        self.last = flags & FINAL > 0;
        let before = self.message.unwrap_or_default();
        let message = before.saturating_add(usize::try_from(bytes).unwrap_or(usize::MAX));
        self.message = Some(message);
        Some(Seen::Message(message))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(bytes: &[u8], cut: usize) -> (Vec<Seen>, Frames) {
        let (mut frames, mut all) = (Frames::default(), Vec::new());
        for mut piece in bytes.chunks(cut) {
            while let Some(seen) = frames.next(&mut piece) {
                all.push(seen);
            }
        }
        (all, frames)
    }

    #[test]
    fn a_message_is_as_large_as_its_frames_and_a_ping_between_them_is_no_part_of_it() {
        let mut bytes = vec![0x01, 0x83, 1, 2, 3, 4, b'a', b'b', b'c'];
        bytes.extend([0x89, 0x80, 1, 2, 3, 4]);
        bytes.extend([0x00, 0xfe, 0x01, 0x00, 1, 2, 3, 4]);
        bytes.extend([b'd'; 256]);
        bytes.extend([0x80, 0x80, 1, 2, 3, 4]);
        bytes.extend([0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4]);
        let expected = [
            Seen::Message(3),
            Seen::Ping,
            Seen::Message(259),
            Seen::Message(259),
            Seen::Whole,
            Seen::Message(65_536),
        ];
        for cut in [1, 2, 7, 1_000] {
            let (all, frames) = seen(&bytes, cut);
            assert_eq!(all, expected, "pieces of {cut}");
            assert!(frames.is_within());
        }
        let whole = bytes.len() - 14;
        assert!(!seen(&bytes[..whole], 3).1.is_within());
    }

    proptest! {
        #[test]
        fn any_bytes_are_gone_over_alike_however_they_are_cut(bytes: Vec<u8>, cut in 1usize..20) {
            let whole = seen(&bytes, bytes.len().max(1));
            let cut = seen(&bytes, cut);
            prop_assert_eq!(whole.0, cut.0);
            prop_assert_eq!(whole.1.is_within(), cut.1.is_within());
        }
    }
}
