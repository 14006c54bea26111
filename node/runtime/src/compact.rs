//! Compacting a mailbox: equal payloads share one, spare capacity goes back.
//!
//! Which payloads are equal is found on a copy, while the process goes on; the exchange itself is one step between two
//! turns and touches only messages that still wait.

use crate::node::Node;
use crate::process::ProcessRef;
use crate::term::Term;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// What compacting a mailbox came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compaction {
    /// Bytes of the mailbox before, a shared payload counted once.
    pub bytes_before: usize,
    /// Bytes of it after.
    pub bytes_after: usize,
    /// Messages that now share the payload of another.
    pub shared: usize,
}

/// By what payloads are told to be equal: one that came encoded by its bytes, so that comparing decodes nothing.
#[derive(PartialEq, Eq, Hash)]
pub enum PayloadKey {
    /// Encoded.
    Encoded(bytes::Bytes),
    /// Its JSON text.
    Text(String),
}

impl PayloadKey {
    /// The key of a payload.
    pub fn of(payload: &Term) -> Self {
        match payload {
            Term::Encoded(encoded) => Self::Encoded(encoded.bytes().clone()),
            term => Self::Text(term.to_string()),
        }
    }
}

impl Node {
    /// Gives back spare capacity and lets equal payloads share one.
    pub fn compact_mailbox(&self, process: &ProcessRef) -> Compaction {
        let waiting = self.mailbox(process, |_, message| Some((message.number, message.payload.clone())));
        let mut first: HashMap<PayloadKey, Term> = HashMap::new();
        let mut exchange: HashMap<u32, Term> = HashMap::new();
        for (number, payload) in waiting {
            match first.entry(PayloadKey::of(&payload)) {
                Entry::Occupied(same) => {
                    let apart =
                        same.get().address().is_some_and(|address| Some(address) != payload.address());
                    if apart {
                        exchange.insert(number, same.get().clone());
                    }
                }
                Entry::Vacant(place) => drop(place.insert(payload)),
            }
        }
        self.with_core(&process.0, |core, _| {
            let bytes_before = core.inner.bytes();
            let mut shared = 0;
            let bound = core.extras().and_then(|extras| extras.byte_bound.clone());
            for message in core.inner.iter_mut() {
                if let Some(payload) = exchange.remove(&message.number) {
                    // equal payloads may weigh differently: a pid and its text
                    bound.iter().for_each(|bound| bound.taken(message));
                    message.payload = payload;
                    bound.iter().for_each(|bound| bound.put(message));
                    shared += 1;
                }
            }
            core.inner.shrink();
            Compaction { bytes_before, bytes_after: core.inner.bytes(), shared }
        })
    }
}
