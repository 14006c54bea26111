//! What two nodes say to each other on a link: greetings, acknowledgements and the heads of data frames, as bytes.
//!
//! A link is two lines, *control* and *data*, each an ordered stream of frames. Nothing but greetings, acknowledgements
//! and signs of life goes over control, so that they never wait behind data.

use arsenal_runtime::codec::{DecodeError, Reader, put_bytes};
use bytes::Bytes;

/// Oldest version of the link protocol that this build can speak.
pub const PROTOCOL_MIN: u16 = 1;
/// Newest version that it can speak.
pub const PROTOCOL_MAX: u16 = 1;

/// Lanes of a link: each has a sequence and credits of its own.
pub const LANES: usize = 8;

/// A frame on a line; only the two ends look inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// A control message, or the head of a data frame.
    pub head: Bytes,
    /// Signals, or a part of one; empty on control.
    pub body: Bytes,
}

/// The last sequence number seen in each lane.
pub(crate) type Received = [u64; LANES];

/// One life of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    /// The node's number.
    pub node: u32,
    /// Which life of it.
    pub incarnation: u32,
}

/// What a frame's head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    Hello(Hello),
    Welcome(Welcome),
    /// The data line of a session; first frame of that line.
    DataLine {
        from: Life,
        session: u64,
        attempt: u32,
    },
    Refusal {
        why: Refused,
        reason: String,
    },
    /// All up to these sequence numbers of these lanes has arrived.
    Ack(Vec<(u8, u64)>),
    Ping,
    /// Signals, one after the other, in the body.
    Batch {
        lane: u8,
        sequence: u64,
    },
    /// A part of a signal too big for a batch.
    Fragment {
        lane: u8,
        sequence: u64,
        signal: u32,
        last: bool,
    },
}

/// From who opens a link, first on its control line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) protocol_min: u16,
    pub(crate) protocol_max: u16,
    pub(crate) from: Life,
    /// The node that is meant.
    pub(crate) to: u32,
    /// Number of the session, of those that `from` has opened.
    pub(crate) session: u64,
    /// Number of the last session of the other side that this one welcomed: a hello that was on its way for longer than that
    /// one does not know of it.
    pub(crate) knows: u64,
    /// Number of this try to connect.
    pub(crate) attempt: u32,
    /// Whether the session goes on after a cut, and what arrived of it.
    pub(crate) resume: bool,
    pub(crate) received: Received,
}

/// The answer to a [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Welcome {
    pub(crate) protocol: u16,
    pub(crate) from: Life,
    pub(crate) session: u64,
    pub(crate) attempt: u32,
    pub(crate) received: Received,
}

/// Why a hello was not welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No version that both speak.
    Version = 1,
    /// Another node was meant, or another life of this one spoke since.
    Stranger = 2,
    /// The session is over.
    UnknownSession = 3,
    /// This side is opening a link itself, and goes first.
    Busy = 4,
}

mod tag {
    pub(super) const HELLO: u8 = 1;
    pub(super) const WELCOME: u8 = 2;
    pub(super) const DATA_LINE: u8 = 3;
    pub(super) const REFUSAL: u8 = 4;
    pub(super) const ACK: u8 = 5;
    pub(super) const PING: u8 = 6;
    pub(super) const BATCH: u8 = 16;
    pub(super) const FRAGMENT: u8 = 17;
}

impl Frame {
    /// Whether it says nothing but that its sender is there.
    pub(crate) fn is_ping(&self) -> bool {
        *self.head == [tag::PING]
    }
}

impl Head {
    /// The frame with this head and nothing else.
    pub(crate) fn alone(&self) -> Frame {
        self.with(Bytes::new())
    }

    /// The frame with this head and that body.
    pub(crate) fn with(&self, body: Bytes) -> Frame {
        let mut out = Vec::with_capacity(24);
        self.write(&mut out);
        Frame { head: out.into(), body }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello(hello) => {
                out.push(tag::HELLO);
                out.extend_from_slice(&hello.protocol_min.to_le_bytes());
                out.extend_from_slice(&hello.protocol_max.to_le_bytes());
                write_life(hello.from, out);
                out.extend_from_slice(&hello.to.to_le_bytes());
                out.extend_from_slice(&hello.session.to_le_bytes());
                out.extend_from_slice(&hello.knows.to_le_bytes());
                out.extend_from_slice(&hello.attempt.to_le_bytes());
                out.push(u8::from(hello.resume));
                write_received(&hello.received, out);
            }
            Self::Welcome(welcome) => {
                out.push(tag::WELCOME);
                out.extend_from_slice(&welcome.protocol.to_le_bytes());
                write_life(welcome.from, out);
                out.extend_from_slice(&welcome.session.to_le_bytes());
                out.extend_from_slice(&welcome.attempt.to_le_bytes());
                write_received(&welcome.received, out);
            }
            Self::DataLine { from, session, attempt } => {
                out.push(tag::DATA_LINE);
                write_life(*from, out);
                out.extend_from_slice(&session.to_le_bytes());
                out.extend_from_slice(&attempt.to_le_bytes());
            }
            Self::Refusal { why, reason } => {
                out.extend_from_slice(&[tag::REFUSAL, *why as u8]);
                put_bytes(reason.as_bytes(), out);
            }
            Self::Ack(lanes) => {
                out.push(tag::ACK);
                for (lane, sequence) in lanes {
                    out.push(*lane);
                    out.extend_from_slice(&sequence.to_le_bytes());
                }
            }
            Self::Ping => out.push(tag::PING),
            Self::Batch { lane, sequence } => {
                out.extend_from_slice(&[tag::BATCH, *lane]);
                out.extend_from_slice(&sequence.to_le_bytes());
            }
            Self::Fragment { lane, sequence, signal, last } => {
                out.extend_from_slice(&[tag::FRAGMENT, *lane]);
                out.extend_from_slice(&sequence.to_le_bytes());
                out.extend_from_slice(&signal.to_le_bytes());
                out.push(u8::from(*last));
            }
        }
    }

    /// Reads the head of a frame.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes);
        let head = read_head(&mut from)?;
        from.finish()?;
        Ok(head)
    }
}

fn read_head(from: &mut Reader<'_>) -> Result<Head, DecodeError> {
    let [tag] = from.word()?;
    Ok(match tag {
        tag::HELLO => Head::Hello(Hello {
            protocol_min: u16::from_le_bytes(from.word()?),
            protocol_max: u16::from_le_bytes(from.word()?),
            from: read_life(from)?,
            to: u32::from_le_bytes(from.word()?),
            session: u64::from_le_bytes(from.word()?),
            knows: u64::from_le_bytes(from.word()?),
            attempt: u32::from_le_bytes(from.word()?),
            resume: read_flag(from)?,
            received: read_received(from)?,
        }),
        tag::WELCOME => Head::Welcome(Welcome {
            protocol: u16::from_le_bytes(from.word()?),
            from: read_life(from)?,
            session: u64::from_le_bytes(from.word()?),
            attempt: u32::from_le_bytes(from.word()?),
            received: read_received(from)?,
        }),
        tag::DATA_LINE => Head::DataLine {
            from: read_life(from)?,
            session: u64::from_le_bytes(from.word()?),
            attempt: u32::from_le_bytes(from.word()?),
        },
        tag::REFUSAL => {
            let [why] = from.word()?;
            let why = match why {
                1 => Refused::Version,
                2 => Refused::Stranger,
                3 => Refused::UnknownSession,
                4 => Refused::Busy,
                tag => return Err(DecodeError::Tag { what: "refusal", tag }),
            };
            Head::Refusal { why, reason: from.text()?.to_string() }
        }
        tag::ACK => {
            let mut lanes = Vec::new();
            while !from.is_empty() {
                lanes.push((read_lane(from)?, u64::from_le_bytes(from.word()?)));
            }
            Head::Ack(lanes)
        }
        tag::PING => Head::Ping,
        tag::BATCH => Head::Batch { lane: read_lane(from)?, sequence: u64::from_le_bytes(from.word()?) },
        tag::FRAGMENT => Head::Fragment {
            lane: read_lane(from)?,
            sequence: u64::from_le_bytes(from.word()?),
            signal: u32::from_le_bytes(from.word()?),
            last: read_flag(from)?,
        },
        tag => return Err(DecodeError::Tag { what: "frame", tag }),
    })
}

fn write_life(life: Life, out: &mut Vec<u8>) {
    out.extend_from_slice(&life.node.to_le_bytes());
    out.extend_from_slice(&life.incarnation.to_le_bytes());
}

fn read_life(from: &mut Reader<'_>) -> Result<Life, DecodeError> {
    Ok(Life { node: u32::from_le_bytes(from.word()?), incarnation: u32::from_le_bytes(from.word()?) })
}

fn write_received(received: &Received, out: &mut Vec<u8>) {
    received.iter().for_each(|sequence| out.extend_from_slice(&sequence.to_le_bytes()));
}

fn read_received(from: &mut Reader<'_>) -> Result<Received, DecodeError> {
    let mut received = Received::default();
    for sequence in &mut received {
        *sequence = u64::from_le_bytes(from.word()?);
    }
    Ok(received)
}

fn read_lane(from: &mut Reader<'_>) -> Result<u8, DecodeError> {
    let [lane] = from.word()?;
    if usize::from(lane) < LANES { Ok(lane) } else { Err(DecodeError::Tag { what: "lane", tag: lane }) }
}

fn read_flag(from: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match from.word()? {
        [0] => Ok(false),
        [1] => Ok(true),
        [tag] => Err(DecodeError::Tag { what: "flag", tag }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_head_reads_back_as_it_was_written() {
        let (from, received) = (Life { node: 1, incarnation: 2 }, [7; LANES]);
        let (session, attempt) = (9, 3);
        let heads = [
            Head::Hello(Hello {
                protocol_min: 1,
                protocol_max: 4,
                from,
                to: 5,
                session,
                knows: 8,
                attempt,
                resume: true,
                received,
            }),
            Head::Welcome(Welcome { protocol: 1, from, session, attempt, received }),
            Head::DataLine { from, session, attempt },
            Head::Refusal { why: Refused::Busy, reason: "later".into() },
            Head::Ack(vec![(0, 1), (7, u64::MAX)]),
            Head::Ping,
            Head::Batch { lane: 7, sequence: 8 },
            Head::Fragment { lane: 0, sequence: 9, signal: 10, last: true },
        ];
        for head in heads {
            assert_eq!(Head::read(&head.alone().head), Ok(head));
        }
    }

    #[test]
    fn a_lane_that_does_not_exist_is_refused() {
        let frame = Head::Batch { lane: LANES as u8, sequence: 1 }.alone();
        assert!(Head::read(&frame.head).is_err());
    }

    proptest! {
        #[test]
        fn bytes_that_are_no_head_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Head::read(&bytes);
        }
    }
}
