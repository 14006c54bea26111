//! The answers by key. Pure but for the node's clock; nothing here knows HTTP.

use super::Answer;
use crate::caller::Principal;
use arsenal_runtime::Node;
use bytes::Bytes;
use fnv::FnvHasher;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::hash::Hasher as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long an answer is kept.
pub(super) const KEPT: Duration = Duration::from_secs(600);

/// What an answer is kept under.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    pub(super) path: String,
    pub(super) key: Bytes,
    /// Whose it is, where that is known: nobody gets another's answer.
    pub(super) principal: Option<Principal>,
}

enum Entry {
    /// The first still runs; the receiver learns when it does no longer.
    Running {
        input: u64,
        over: watch::Receiver<()>,
    },
    Answered {
        input: u64,
        answer: Arc<Answer>,
        expires_ns: u64,
    },
}

#[derive(Default)]
struct Answers {
    entries: HashMap<Key, Entry>,
    /// Those with an answer, oldest first.
    order: VecDeque<(u64, Key)>,
    bytes: usize,
}

pub(super) struct Store {
    node: Node,
    answers: Mutex<Answers>,
    answers_max: usize,
    bytes_max: usize,
}

/// What a request with a key finds.
pub(super) enum Claim {
    /// Nothing: it is the first, and runs.
    First(First),
    /// The first still runs.
    Running(watch::Receiver<()>),
    /// The answer of the first.
    Answered(Arc<Answer>),
    /// The key belongs to another input.
    Other,
}

/// The right to run and to answer; given up when it is dropped.
pub(super) struct First {
    store: Arc<Store>,
    key: Key,
    input: u64,
    answer: Option<Arc<Answer>>,
    /// Dropped last: who waits then looks again.
    _over: watch::Sender<()>,
}

impl First {
    /// Keeps the answer.
    pub(super) fn answer(mut self, answer: Answer) {
        self.answer = Some(Arc::new(answer));
    }
}

impl Drop for First {
    fn drop(&mut self) {
        self.store.finish(&self.key, self.input, self.answer.take());
    }
}

/// Enough to tell two inputs of one client's key apart.
fn fingerprint(input: &[u8]) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(input);
    hasher.finish()
}

impl Store {
    pub(super) fn new(node: Node, answers_max: usize, bytes_max: usize) -> Self {
        Self { node, answers: Mutex::default(), answers_max, bytes_max }
    }

    pub(super) fn claim(self: &Arc<Self>, key: &Key, input: &[u8]) -> Claim {
        let input = fingerprint(input);
        let mut answers = self.answers.lock();
        answers.drop_expired(self.node.now_ns());
        match answers.entries.get(key) {
            Some(Entry::Running { input: first, .. } | Entry::Answered { input: first, .. })
                if *first != input =>
            {
                Claim::Other
            }
            Some(Entry::Running { over, .. }) => Claim::Running(over.clone()),
            Some(Entry::Answered { answer, .. }) => Claim::Answered(Arc::clone(answer)),
            None => {
                let (sender, over) = watch::channel(());
                answers.entries.insert(key.clone(), Entry::Running { input, over });
                Claim::First(First {
                    store: Arc::clone(self),
                    key: key.clone(),
                    input,
                    answer: None,
                    _over: sender,
                })
            }
        }
    }

    fn finish(&self, key: &Key, input: u64, answer: Option<Arc<Answer>>) {
        let kept_ns = u64::try_from(KEPT.as_nanos()).unwrap_or(u64::MAX);
        let expires_ns = self.node.now_ns().saturating_add(kept_ns);
        let mut answers = self.answers.lock();
        answers.entries.remove(key);
        let Some(answer) = answer else { return };
        answers.bytes += answer.bytes();
        answers.order.push_back((expires_ns, key.clone()));
        answers.entries.insert(key.clone(), Entry::Answered { input, answer, expires_ns });
        while answers.order.len() > self.answers_max || answers.bytes > self.bytes_max {
            answers.drop_oldest();
        }
    }
}

impl Answers {
    fn drop_expired(&mut self, now_ns: u64) {
        while self.order.front().is_some_and(|(expires_ns, _)| *expires_ns <= now_ns) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((expires_ns, key)) = self.order.pop_front() else { return };
        let is = |entry: &Entry| matches!(entry, Entry::Answered { expires_ns: of, .. } if *of == expires_ns);
        if self.entries.get(&key).is_some_and(is)
            && let Some(Entry::Answered { answer, .. }) = self.entries.remove(&key)
        {
            self.bytes -= answer.bytes();
        }
    }
}
