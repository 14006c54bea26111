//! How slowly the body of a request may come, and a body that is held to it.
//!
//! A body may stop for a while, and has to come at a rate on the whole, with some time in hand. Without the rate a client
//! that sends a byte now and then holds a request for as long as it likes: each byte would begin the while anew. Only
//! time in which more was waited for counts, so that nobody pays for an upstream that takes the body slowly. What came
//! quickly is credited, but no more than a silence may last: a body that came but for its last bytes could drip these for
//! hours else.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::Body as _;
use tokio::time::{Instant, Sleep};

use crate::{
    coding::DecodeError,
    config::Limits,
    failure::{Failure, Reason},
    gateway::Compiled,
};

/// How long room is held in all for what of a body has not come yet. A client that lets it be waited for longer is slow, and
/// has room for what it has sent.
pub(crate) const AHEAD_MAX: Duration = Duration::from_secs(2);

/// How a body came so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    received: usize,
    waited: Duration,
    /// How much longer it may be waited for, were there no limit on silence.
    credit: Duration,
}

/// What is wrong with a body that has come too slowly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TooSlow {
    /// Nothing came for so long.
    Silent(Duration),
    /// So many bytes came within this time of waiting, where so many a second are the least.
    Dripping { received: usize, waited: Duration, least: u32 },
}

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TooSlow::Silent(idle_max) => write!(f, "nothing more of the body within {idle_max:?}"),
            TooSlow::Dripping { received, waited, least } => {
                write!(f, "{received} bytes of the body within {waited:?}, of at least {least} a second")
            }
        }
    }
}

impl Account {
    /// Nothing came yet.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { received: 0, waited: Duration::ZERO, credit: limits.body_grace }
    }

    /// More came.
    pub(crate) fn receive(&mut self, bytes: usize, limits: &Limits) {
        self.received = self.received.saturating_add(bytes);
        let least = limits.body_bytes_per_second_min;
        if least > 0 {
            let worth = Duration::try_from_secs_f64(bytes as f64 / f64::from(least)).unwrap_or(Duration::MAX);
            let most = limits.body_grace.max(limits.body_idle_max);
            self.credit = self.credit.saturating_add(worth).min(most);
        }
    }

    /// It was waited for, so long.
    pub(crate) fn wait(&mut self, waited: Duration) {
        self.waited = self.waited.saturating_add(waited);
        self.credit = self.credit.saturating_sub(waited);
    }

    /// Bytes that came.
    pub(crate) fn received(&self) -> usize {
        self.received
    }

    /// How long it was waited for in all.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }

    /// How long the next wait may last, and what is wrong if it lasts longer.
    pub(crate) fn patience(&self, limits: &Limits) -> (Duration, TooSlow) {
        let silent = (limits.body_idle_max, TooSlow::Silent(limits.body_idle_max));
        let least = limits.body_bytes_per_second_min;
        if least == 0 {
            return silent;
        }
        if self.credit >= silent.0 {
            return silent;
        }
        let waited = self.waited.saturating_add(self.credit);
        (self.credit, TooSlow::Dripping { received: self.received, waited, least })
    }
}

/// A body whose pieces have to come at the configured pace.
pub(crate) struct Paced {
    body: Body,
    compiled: Arc<Compiled>,
    account: Account,
    /// Since when the next piece is waited for, and until when it may be.
    waiting: Option<(Instant, Pin<Box<Sleep>>, TooSlow)>,
}

impl Paced {
    pub(crate) fn new(compiled: Arc<Compiled>, body: Body) -> Self {
        let account = Account::new(&compiled.config.limits);
        Self { body, compiled, account, waiting: None }
    }

    /// Lets the body pause here for as long as it likes; what comes next is held to the pace anew.
    pub(crate) fn rest(&mut self) {
        (self.account, self.waiting) = (Account::new(&self.compiled.config.limits), None);
    }

    /// The next piece; trailers say nothing here. `hurried` is whether it must come in time.
    pub(crate) fn poll_piece(
        &mut self,
        hurried: bool,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Failure>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                return if hurried {
                    self.poll_late(context).map(|late| Some(Err(late)))
                } else {
                    Poll::Pending
                };
            };
            if let Some((since, ..)) = self.waiting.take() {
                self.account.wait(since.elapsed());
            }
            let broke_off = |error| broke_off(error, &self.compiled);
            match frame.transpose().map_err(broke_off) {
                Err(failure) => return Poll::Ready(Some(Err(failure))),
                Ok(None) => return Poll::Ready(None),
                Ok(Some(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.account.receive(data.len(), &self.compiled.config.limits);
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    }

    /// Waits until it is too late for more.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<Failure> {
        let (account, limits) = (&self.account, &self.compiled.config.limits);
        let (_, late, why) = self.waiting.get_or_insert_with(|| {
            let (patience, why) = account.patience(limits);
            (Instant::now(), Box::pin(tokio::time::sleep(patience)), why)
        });
        ready!(late.as_mut().poll(context));
        Poll::Ready(self.compiled.failure(Reason::BodyTooSlow, why.to_string()))
    }
}

/// What is said of a body that ends with an error: its own, or that of its coding.
fn broke_off(error: axum::Error, compiled: &Compiled) -> Failure {
    let error = error.into_inner();
    let (reason, what) = match error.downcast_ref() {
        Some(DecodeError::TooDense(..)) => (Reason::BodyTooLarge, "body"),
        None | Some(DecodeError::Broken(_)) => (Reason::BodyIncomplete, "the body broke off"),
        Some(_) => (Reason::InvalidBody, "body"),
    };
    compiled.failure(reason, format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(idle_max: u64, grace: u64, least: u32) -> Limits {
        Limits {
            body_idle_max: Duration::from_secs(idle_max),
            body_grace: Duration::from_secs(grace),
            body_bytes_per_second_min: least,
            ..Limits::default()
        }
    }

    #[test]
    fn a_byte_now_and_then_does_not_begin_the_patience_anew() {
        let limits = limits(30, 5, 100);
        let mut account = Account::new(&limits);
        let mut elapsed = Duration::ZERO;
        let why = loop {
            let (patience, why) = account.patience(&limits);
            let pause = Duration::from_secs(1);
            if patience < pause {
                break why;
            }
            elapsed += pause;
            account.wait(pause);
            account.receive(1, &limits);
        };
        assert_eq!(elapsed, Duration::from_secs(5));
        assert!(matches!(why, TooSlow::Dripping { received: 5, least: 100, .. }), "{why:?}");
    }

    #[test]
    fn without_a_rate_only_silence_counts() {
        let limits = limits(30, 5, 0);
        let mut account = Account::new(&limits);
        account.wait(Duration::from_secs(3_600));
        let silent = (Duration::from_secs(30), TooSlow::Silent(Duration::from_secs(30)));
        assert_eq!(account.patience(&limits), silent);
    }

    #[test]
    fn what_came_quickly_pays_for_no_longer_a_drip_than_a_silence_may_last() {
        let limits = limits(30, 5, 240);
        let mut account = Account::new(&limits);
        account.receive(4 << 20, &limits);
        let mut elapsed = 0;
        while account.patience(&limits).0 >= Duration::from_secs(1) {
            elapsed += 1;
            account.wait(Duration::from_secs(1));
            account.receive(1, &limits);
        }
        assert_eq!(elapsed, 30);
    }

    proptest! {
        #[test]
        fn a_body_that_comes_at_the_rate_is_never_too_slow(
            seconds in proptest::collection::vec(0u64..20, 1..50),
            least in 1u32..10_000,
        ) {
            let limits = limits(30, 5, least);
            let mut account = Account::new(&limits);
            for seconds in seconds {
                let waited = Duration::from_secs(seconds);
                account.wait(waited);
                account.receive(seconds as usize * least as usize, &limits);
                let (patience, _) = account.patience(&limits);
                // but for what a float rounds
                prop_assert!(patience > Duration::from_millis(4_999), "{patience:?}");
            }
        }
    }
}
