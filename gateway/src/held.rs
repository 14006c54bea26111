//! The bytes of bodies that lie in memory whole, of requests and of answers: bounded for all together.
//!
//! Each body has its limit, and each connection its streams; multiplied they are more than any machine has. So what a body
//! takes beyond a small size is taken from an account, one for requests and one for answers that their clients have not
//! read. Who finds too little there waits his turn for a while, with the rest of the body left where it comes from, and is
//! then refused, with the word that he may come again. A small body takes nothing: it is not larger than its own headers
//! may be.
//!
//! Who holds something already and needs more does not wait: two that did might wait for each other. Nor does he come before
//! those that wait, to whom all that is left belongs.
//!
//! What a pool reads ahead of an answer, so as to ask again if it breaks off, has an account of its own there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Version, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    failure::{Failure, Reason},
    gateway::Compiled,
    transcode::text::length_guess,
};

/// What a body may have for nothing.
const FREE_BYTES: usize = 16 << 10;

/// What is taken at a time.
const STEP_BYTES: usize = 64 << 10;

/// Steps that are taken for so many bytes.
fn steps(bytes: usize) -> usize {
    if bytes <= FREE_BYTES { 0 } else { bytes.div_ceil(STEP_BYTES) }
}

/// What is there for all that take from it.
#[derive(Debug)]
pub(crate) struct Account {
    /// A step each, given to those that wait in their order.
    left: Arc<Semaphore>,
    /// Steps there are in all.
    size: AtomicUsize,
    /// How many wait in whose way others are.
    in_the_way: AtomicUsize,
}

impl Default for Account {
    /// An account of nothing.
    fn default() -> Self {
        Self { left: Arc::new(Semaphore::new(0)), size: AtomicUsize::new(0), in_the_way: AtomicUsize::new(0) }
    }
}

/// Where the rest of a body is left while it waits for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOn {
    /// A connection of its own.
    Connection,
    /// A stream of a connection that others share, and its window: so few may wait that most of that is left.
    Stream,
}

impl LeftOn {
    /// Where a request's body is left.
    pub(crate) fn of(version: Version) -> Self {
        if version < Version::HTTP_2 { Self::Connection } else { Self::Stream }
    }
}

/// Bodies on streams that may wait for room at a time, at one account: a server is to give a connection at least twice
/// the windows of so many streams.
const ON_STREAMS_MAX: usize = 24;

impl Account {
    /// Lets all together have so many bytes, if they may not have more already.
    pub(crate) fn allow(&self, bytes: usize) {
        let size = (bytes / STEP_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        let before = self.size.fetch_max(size, Ordering::Relaxed);
        self.left.add_permits(size.saturating_sub(before));
    }

    fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Bytes that are taken.
    pub(crate) fn taken(&self) -> usize {
        self.size().saturating_sub(self.left.available_permits()).saturating_mul(STEP_BYTES)
    }

    /// Takes so many steps when it is their turn; nothing if there were not so many within `patience`, or too many wait.
    async fn take(&self, steps: u32, left_on: LeftOn, patience: Duration) -> Option<OwnedSemaphorePermit> {
        let _waiting = match left_on {
            LeftOn::Connection => None,
            LeftOn::Stream => Some(InTheWay::of(&self.in_the_way)?),
        };
        if patience.is_zero() {
            return None;
        }
        let turn = Arc::clone(&self.left).acquire_many_owned(steps);
        // it is never closed
        tokio::time::timeout(patience, turn).await.ok()?.ok()
    }
}

/// Counts one that waits on a stream.
struct InTheWay<'a>(&'a AtomicUsize);

impl<'a> InTheWay<'a> {
    /// One more, if there may be.
    fn of(count: &'a AtomicUsize) -> Option<Self> {
        let this = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < ON_STREAMS_MAX).then_some(this)
    }
}

impl Drop for InTheWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one body holds, until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Held(Option<OwnedSemaphorePermit>);

impl Held {
    fn steps(&self) -> usize {
        self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Steps that are missing for so many bytes. Nobody needs more than there is in all: what is alone is never too much.
    fn missing(&self, bytes: usize, account: &Account) -> u32 {
        let missing = steps(bytes).min(account.size()).saturating_sub(self.steps());
        u32::try_from(missing).unwrap_or(u32::MAX)
    }

    fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.0 {
            Some(held) => held.merge(more),
            None => self.0 = Some(more),
        }
    }

    /// Holds what another of the same account does, too.
    pub(crate) fn merge(&mut self, other: Self) {
        if let Some(more) = other.0 {
            self.add(more);
        }
    }

    /// Holds at least so many bytes from now on, and says whether there was so much.
    pub(crate) fn grow(&mut self, bytes: usize, account: &Account) -> bool {
        let missing = self.missing(bytes, account);
        if missing > 0 {
            let Ok(more) = Arc::clone(&account.left).try_acquire_many_owned(missing) else { return false };
            self.add(more);
        }
        true
    }

    /// As [`Held::grow`], but whoever holds nothing yet waits his turn.
    async fn wait(&mut self, bytes: usize, account: &Account, left_on: LeftOn, patience: Duration) -> bool {
        if self.grow(bytes, account) {
            return true;
        }
        if self.0.is_none()
            && let Some(taken) = account.take(self.missing(bytes, account), left_on, patience).await
        {
            self.add(taken);
            return true;
        }
        false
    }

    /// Holds no more than is taken for so many bytes from now on.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let needless = self.steps().saturating_sub(steps(bytes));
        drop(self.0.as_mut().and_then(|held| held.split(needless)));
        // whoever holds nothing may wait again
        self.0.take_if(|held| held.num_permits() == 0);
    }

    /// Whether more is held than is taken for so many bytes.
    pub(crate) fn exceeds(&self, bytes: usize) -> bool {
        self.steps() > steps(bytes)
    }

    /// Holds at least so many bytes of a request's body from now on.
    pub(crate) fn grow_body(&mut self, bytes: usize, compiled: &Compiled) -> Result<(), Failure> {
        if self.grow(bytes, compiled.config.metrics.bodies()) {
            Ok(())
        } else {
            Err(no_room_for_body(compiled))
        }
    }

    /// As [`Held::grow_body`], but whoever holds nothing yet waits for it.
    pub(crate) async fn wait_for_body(
        &mut self,
        bytes: usize,
        left_on: LeftOn,
        compiled: &Compiled,
    ) -> Result<(), Failure> {
        let patience = compiled.config.limits.room_wait_max;
        if self.wait(bytes, compiled.config.metrics.bodies(), left_on, patience).await {
            Ok(())
        } else {
            Err(no_room_for_body(compiled))
        }
    }

    /// Room for the JSON of a message of so many bytes, if it is there without waiting. It is enough for the message too:
    /// both are there only while one is made from the other, which nothing interrupts.
    pub(crate) fn for_answer(message: usize, compiled: &Compiled) -> Option<Self> {
        let mut held = Self::default();
        held.grow(length_guess(message), compiled.config.metrics.answers()).then_some(held)
    }

    /// As [`Held::for_answer`], waited for.
    pub(crate) async fn wait_for_answer(message: usize, compiled: Arc<Compiled>) -> Result<Self, Failure> {
        let mut held = Self::default();
        let patience = compiled.config.limits.room_wait_max;
        if held.wait(length_guess(message), compiled.config.metrics.answers(), LeftOn::Stream, patience).await
        {
            Ok(held)
        } else {
            Err(no_room_for_answer(&compiled))
        }
    }

    /// As [`Held::for_answer`], for a message that is there already and needs more than was thought.
    pub(crate) fn grow_for_answer(&mut self, message: usize, compiled: &Compiled) -> Result<(), Failure> {
        self.grow_answer(length_guess(message), compiled)
    }

    /// Holds at least so many bytes of an answer from now on.
    pub(crate) fn grow_answer(&mut self, bytes: usize, compiled: &Compiled) -> Result<(), Failure> {
        if self.grow(bytes, compiled.config.metrics.answers()) {
            Ok(())
        } else {
            Err(no_room_for_answer(compiled))
        }
    }

    /// An answer, or a piece of one, that counts as held until the last of it was sent.
    pub(crate) fn until_sent(self, body: Bytes, compiled: &Compiled) -> Result<Bytes, Failure> {
        self.keep(body, compiled.config.metrics.answers()).map_err(|_| no_room_for_answer(compiled))
    }

    /// What was made of an answer, or of a piece of one, to be sent in place of it: it counts as held likewise. Given back
    /// where there is no room for it beside the other.
    pub(crate) fn made_of_answer(made: Bytes, compiled: &Compiled) -> Result<Bytes, Bytes> {
        Self::default().keep(made, compiled.config.metrics.answers())
    }

    /// The body, with this for as long as it is there; as it was if there is too little room.
    fn keep(mut self, body: Bytes, account: &Account) -> Result<Bytes, Bytes> {
        if body.len() <= FREE_BYTES {
            return Ok(body);
        }
        if !self.grow(body.len(), account) {
            return Err(body);
        }
        self.shrink(body.len());
        Ok(beside(body, self))
    }
}

/// Bytes with which something else is kept, until the last of them is gone.
pub(crate) fn beside(body: Bytes, kept: impl Send + 'static) -> Bytes {
    struct Kept<T> {
        body: Bytes,
        _kept: T,
    }
    impl<T> AsRef<[u8]> for Kept<T> {
        fn as_ref(&self) -> &[u8] {
            &self.body
        }
    }
    Bytes::from_owner(Kept { body, _kept: kept })
}

fn no_room_for_body(compiled: &Compiled) -> Failure {
    let taken = compiled.config.metrics.bodies().taken();
    let max = compiled.config.limits.bodies_bytes_max;
    overloaded(compiled, format!("bodies of {taken} bytes are being read, of at most {max} together"))
}

fn no_room_for_answer(compiled: &Compiled) -> Failure {
    let taken = compiled.config.metrics.answers().taken();
    let max = compiled.config.limits.answers_bytes_max;
    overloaded(compiled, format!("answers of {taken} bytes are not read yet, of at most {max} together"))
}

fn overloaded(compiled: &Compiled, message: String) -> Failure {
    let mut failure = compiled.failure(Reason::Overloaded, message);
    failure.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    failure
}
