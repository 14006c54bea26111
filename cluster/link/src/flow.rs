//! The two directions of a session: what was sent and is not acknowledged, and what has arrived.
//!
//! Invariants: a frame is kept until the other side says that it has it; in each lane the frames that arrive are handed on
//! in the order of their sequence numbers, each once, across any number of cuts.

use crate::config::LinkConfig;
use crate::frame::{Frame, Head, LANES, Received};
use crate::outgoing::Outgoing;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Sent, and not known to have arrived.
struct Unacknowledged {
    sequence: u64,
    bytes: usize,
    is_part: bool,
    frame: Frame,
}

#[derive(Default)]
struct LaneOut {
    last: u64,
    bytes: usize,
    unacknowledged: VecDeque<Unacknowledged>,
}

/// What goes out.
#[derive(Default)]
pub(crate) struct Outflow {
    lanes: [LaneOut; LANES],
    /// Bytes of fragments on their way.
    part_bytes: usize,
    /// What has to be sent once more, after a cut.
    again: VecDeque<Frame>,
    next_lane: usize,
    part_next: bool,
}

impl Outflow {
    /// The next data frame, as far as credits go.
    pub(crate) fn next(&mut self, outgoing: &Outgoing, config: &LinkConfig) -> Option<Frame> {
        if let Some(frame) = self.again.pop_front() {
            return Some(frame);
        }
        // batches and fragments in turns: neither starves, and a batch waits behind one fragment at most
        self.part_next = !self.part_next;
        if self.part_next {
            self.next_part(outgoing, config).or_else(|| self.next_batch(outgoing, config))
        } else {
            self.next_batch(outgoing, config).or_else(|| self.next_part(outgoing, config))
        }
    }

    /// Whether [`Outflow::next`] would give a frame.
    pub(crate) fn may_send(&self, outgoing: &Outgoing, config: &LinkConfig) -> bool {
        let part = |lane| self.part_bytes < config.fragment_window_bytes && outgoing.has_part(lane);
        let of_lane = |lane| outgoing.has_batch(lane) || part(lane);
        !self.again.is_empty() || (!outgoing.is_empty() && self.lanes_in_turn(config).any(of_lane))
    }

    fn next_batch(&mut self, outgoing: &Outgoing, config: &LinkConfig) -> Option<Frame> {
        let lane = self.lanes_in_turn(config).find(|lane| outgoing.has_batch(*lane))?;
        let batch = outgoing.take_batch(lane)?;
        Some(self.sent(lane, false, batch, |lane, sequence| Head::Batch { lane, sequence }))
    }

    fn next_part(&mut self, outgoing: &Outgoing, config: &LinkConfig) -> Option<Frame> {
        if self.part_bytes >= config.fragment_window_bytes {
            return None;
        }
        let (lane, part) =
            self.lanes_in_turn(config).find_map(|lane| Some((lane, outgoing.take_part(lane)?)))?;
        let (signal, last) = (part.signal, part.last);
        let head = |lane, sequence| Head::Fragment { lane, sequence, signal, last };
        Some(self.sent(lane, true, part.bytes, head))
    }

    /// Lanes with credit, the one after the last that sent first.
    fn lanes_in_turn(&self, config: &LinkConfig) -> impl Iterator<Item = usize> + use<'_> {
        let (first, window) = (self.next_lane, config.lane_window_bytes);
        let lanes = (0..LANES).map(move |offset| (first + offset) % LANES);
        lanes.filter(move |lane| self.lanes[*lane].bytes < window)
    }

    fn sent(&mut self, lane: usize, is_part: bool, body: Bytes, head: impl FnOnce(u8, u64) -> Head) -> Frame {
        self.next_lane = (lane + 1) % LANES;
        let out = &mut self.lanes[lane];
        out.last += 1;
        let bytes = body.len();
        let frame = head(lane as u8, out.last).with(body);
        out.bytes += bytes;
        if is_part {
            self.part_bytes += bytes;
        }
        let frame_kept = frame.clone();
        out.unacknowledged.push_back(Unacknowledged {
            sequence: out.last,
            bytes,
            is_part,
            frame: frame_kept,
        });
        frame
    }

    /// All up to this sequence number has arrived. `false` if that was never sent.
    pub(crate) fn acknowledged(&mut self, lane: u8, sequence: u64) -> bool {
        let Some(out) = self.lanes.get_mut(usize::from(lane)) else { return false };
        if sequence > out.last {
            return false;
        }
        while out.unacknowledged.front().is_some_and(|sent| sent.sequence <= sequence)
            && let Some(sent) = out.unacknowledged.pop_front()
        {
            out.bytes -= sent.bytes;
            if sent.is_part {
                self.part_bytes -= sent.bytes;
            }
        }
        true
    }

    /// The link goes on after a cut: what the other side lacks is sent once more. `false` if it has what was never sent.
    pub(crate) fn resume(&mut self, received: &Received) -> bool {
        let known =
            received.iter().enumerate().all(|(lane, sequence)| self.acknowledged(lane as u8, *sequence));
        let missing = self.lanes.iter().flat_map(|out| &out.unacknowledged);
        self.again = missing.map(|sent| sent.frame.clone()).collect();
        known
    }
}

/// What came in and has to be handed on: signals, one after the other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) lane: u8,
    pub(crate) signals: Bytes,
}

/// A frame that a peer which keeps to the protocol does not send.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("frame {sequence} of lane {lane} came after frame {last}")]
    Gap { lane: u8, sequence: u64, last: u64 },
    #[error("a signal of more than {0} bytes")]
    TooBig(usize),
}

#[derive(Default)]
struct LaneIn {
    received: u64,
    acknowledged: u64,
    /// Bytes that arrived since the last acknowledgement, and when the first of them did.
    bytes: usize,
    since: Duration,
    /// Credits are held back until then.
    not_before: Duration,
    /// Big signals of which parts have arrived.
    parts: BTreeMap<u32, BytesMut>,
}

/// What comes in.
#[derive(Default)]
pub(crate) struct Inflow {
    lanes: [LaneIn; LANES],
}

impl Inflow {
    pub(crate) fn received(&self) -> Received {
        std::array::from_fn(|lane| self.lanes[lane].received)
    }

    /// Takes a data frame; gives what is whole with it.
    pub(crate) fn take(
        &mut self,
        head: &Head,
        body: Bytes,
        now: Duration,
        config: &LinkConfig,
    ) -> Result<Option<Arrived>, Violation> {
        let (lane, sequence) = match head {
            Head::Batch { lane, sequence } | Head::Fragment { lane, sequence, .. } => (*lane, *sequence),
            _ => return Ok(None),
        };
        let into = &mut self.lanes[usize::from(lane) % LANES];
        if sequence <= into.received {
            // sent once more after a cut; the acknowledgement may have been lost with the line
            return Ok(None);
        }
        if sequence > into.received + 1 {
            return Err(Violation::Gap { lane, sequence, last: into.received });
        }
        into.received = sequence;
        if into.bytes == 0 {
            into.since = now;
        }
        into.bytes += body.len().max(1);
        let Head::Fragment { signal, last, .. } = head else {
            return Ok(Some(Arrived { lane, signals: body }));
        };
        let parts = into.parts.entry(*signal).or_default();
        if parts.len() + body.len() > config.signal_bytes_max.saturating_mul(2) {
            return Err(Violation::TooBig(config.signal_bytes_max));
        }
        parts.extend_from_slice(&body);
        if !last {
            return Ok(None);
        }
        let whole = into.parts.remove(signal).unwrap_or_default();
        Ok(Some(Arrived { lane, signals: whole.freeze() }))
    }

    /// Credits of a lane are held back until then.
    pub(crate) fn hold_back(&mut self, lane: u8, until: Duration) {
        let into = &mut self.lanes[usize::from(lane) % LANES];
        into.not_before = into.not_before.max(until);
    }

    /// When the next acknowledgement is due, if any is.
    pub(crate) fn due(&self, config: &LinkConfig) -> Option<Duration> {
        self.lanes.iter().filter(|lane| lane.received > lane.acknowledged).map(|lane| lane.due(config)).min()
    }

    /// What is to be acknowledged now.
    pub(crate) fn acknowledge(&mut self, now: Duration, config: &LinkConfig) -> Vec<(u8, u64)> {
        let mut due = Vec::new();
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            if lane.received > lane.acknowledged && lane.due(config) <= now {
                lane.acknowledged = lane.received;
                lane.bytes = 0;
                due.push((number as u8, lane.received));
            }
        }
        due
    }

    /// The other side was told all that has arrived.
    pub(crate) fn told(&mut self) {
        for lane in &mut self.lanes {
            lane.acknowledged = lane.received;
            lane.bytes = 0;
        }
    }
}

impl LaneIn {
    fn due(&self, config: &LinkConfig) -> Duration {
        // soon enough that a sender with much to send never waits for credit
        let many = self.bytes >= config.lane_window_bytes.min(config.fragment_window_bytes) / 4;
        let due = if many { self.since } else { self.since + config.ack_delay };
        due.max(self.not_before)
    }
}
