//! What a mailbox looks like as a whole, and why it is long.
//!
//! Pure: envelopes and counters in, findings out. Nothing is guessed: below [`MESSAGES_MIN`] messages there are no
//! findings, and without an earlier observation no growth.

use super::{Envelope, count};
use crate::queue_history::Window;
use arsenal_runtime::compact::PayloadKey;
use arsenal_runtime::info::{Header, Status};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// Fewer messages say nothing.
pub const MESSAGES_MIN: usize = 20;
/// A message that keeps its process busy this long, while no other is handled, is stuck.
pub const STUCK_AFTER: Duration = Duration::from_secs(1);

/// Messages of one type or sender.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The type, or the sender's pid; empty for clients without a process.
    pub name: String,
    /// How many wait.
    pub count: usize,
    /// Of all that wait, from 0 to 1.
    pub share: f64,
}

/// What most likely makes a queue long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Nothing is wrong.
    None,
    /// One sender sends most of it.
    Flood,
    /// Many senders, and the process is slower than they are.
    Slow,
    /// It waits for something that none of these messages is.
    Unmatched,
    /// It is paused or suspended.
    Held,
    /// One message keeps it busy.
    Stuck,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Patterns {
    /// Types with a share well above an even one, most first.
    pub dominant_types: Vec<Share>,
    /// Senders with a share well above an even one, most first.
    pub dominant_senders: Vec<Share>,
    /// Messages whose payload equals that of an earlier one.
    pub duplicates: usize,
    /// Types whose oldest message waits while later ones were handled.
    pub starved_types: Vec<String>,
    /// Why the queue is long.
    pub cause: Cause,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
}

/// What is known of the process whose messages wait.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Its header.
    pub header: &'a Header,
    /// Whether it waits for one of these messages.
    pub waits_for_any: bool,
    /// What changed lately, where it was observed before.
    pub window: Option<&'a Window>,
    /// Messages that surgery took out so far.
    pub removed: u64,
}

/// Looks at the messages that wait; nothing if there are too few.
pub fn analyze(envelopes: &[Envelope], of: Circumstances<'_>) -> Option<Patterns> {
    if envelopes.len() < MESSAGES_MIN {
        return None;
    }
    let tags: Vec<String> = envelopes.iter().map(Envelope::tag).collect();
    let sender = |envelope: &Envelope| envelope.from.map(|pid| pid.to_string()).unwrap_or_default();
    let dominant_senders = dominant(count(envelopes.iter().map(sender)), envelopes.len());
    let (cause, confidence) = cause(of, !dominant_senders.is_empty());
    Some(Patterns {
        dominant_types: dominant(count(tags.iter().cloned()), envelopes.len()),
        dominant_senders,
        duplicates: duplicates(envelopes),
        starved_types: starved(envelopes, &tags, of.window.map(|window| window.to.received), of.removed),
        cause,
        confidence,
    })
}

/// Those with at least twice an even share, or half of what an even share leaves to the others, a tenth at least, and
/// three standard deviations above what chance gives in an even mix.
fn dominant(counts: Vec<(String, usize)>, total: usize) -> Vec<Share> {
    #[expect(clippy::cast_precision_loss, reason = "mailboxes are far below 2^52 messages")]
    let (kinds, total) = (counts.len().max(1) as f64, total as f64);
    let even = 1.0 / kinds;
    let threshold = (2.0 * even).min(f64::midpoint(even, 1.0)).max(0.1);
    let chance = even * total + 3.0 * (total * even * (1.0 - even)).sqrt();
    let shares = counts.into_iter().map(|(name, count)| {
        #[expect(clippy::cast_precision_loss, reason = "mailboxes are far below 2^52 messages")]
        let share = count as f64 / total;
        Share { name, count, share }
    });
    shares.filter(|share| share.share >= threshold && share.share * total >= chance).collect()
}

fn duplicates(envelopes: &[Envelope]) -> usize {
    let mut seen = HashSet::new();
    envelopes.iter().filter(|envelope| !seen.insert(PayloadKey::of(&envelope.payload))).count()
}

/// A message is passed over if one that arrived after it waits no longer. Messages that surgery took out are not told
/// apart from handled ones, so that many of them are allowed for.
fn starved(envelopes: &[Envelope], tags: &[String], received: Option<u32>, removed: u64) -> Vec<String> {
    let Some(received) = received else { return Vec::new() };
    // ages in numbers, so that a wrap makes no difference
    let since = |envelope: &Envelope| received.wrapping_sub(envelope.number);
    let mut oldest: BTreeMap<&str, u32> = BTreeMap::new();
    for (envelope, tag) in envelopes.iter().zip(tags) {
        let entry = oldest.entry(tag).or_default();
        *entry = (*entry).max(since(envelope));
    }
    let passed_over = |age: u32| {
        let younger = envelopes.iter().filter(|envelope| since(envelope) < age).count();
        u64::from(age).saturating_sub(younger as u64) > removed
    };
    oldest.into_iter().filter(|(_, age)| passed_over(*age)).map(|(tag, _)| tag.to_owned()).collect()
}

fn cause(of: Circumstances<'_>, flood: bool) -> (Cause, f64) {
    let busy = matches!(of.header.status, Status::Running | Status::Blocked);
    let still = of.window.is_some_and(|window| window.handled() == 0 && window.span() >= STUCK_AFTER);
    if of.header.suspended || of.header.status == Status::Suspended {
        return (Cause::Held, 1.0);
    }
    if busy && still {
        return (Cause::Stuck, 0.9);
    }
    if !of.waits_for_any {
        return (Cause::Unmatched, 0.9);
    }
    if flood {
        return (Cause::Flood, 0.8);
    }
    match of.window {
        Some(window) if window.growth_rate() <= 0.0 => (Cause::None, 0.8),
        Some(_) => (Cause::Slow, 0.8),
        None => (Cause::Slow, 0.5),
    }
}
