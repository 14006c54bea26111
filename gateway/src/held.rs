//! The bytes of bodies that lie in memory whole, of requests and of answers: bounded for all together.
//!
//! Each body has its limit, and each connection its streams; multiplied they are more than any machine has. So what a body
//! takes beyond a small size is taken from an account, one for requests and one for answers that their clients have not
//! read, and who finds it empty is refused, with the word that he may come again. A small body takes nothing: it is not
//! larger than its own headers may be.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::{HeaderValue, header};

use crate::{
    failure::{Failure, Reason},
    gateway::Compiled,
};

/// What a body may have for nothing.
const FREE_BYTES: usize = 16 << 10;

/// What is taken at a time.
const STEP_BYTES: usize = 64 << 10;

/// What is taken by all that take from it.
#[derive(Debug, Default)]
pub(crate) struct Account(AtomicUsize);

impl Account {
    pub(crate) fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one body holds, until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Where it is taken from; nothing if it is nothing.
    from: Option<Arc<Account>>,
    bytes: usize,
}

impl Held {
    /// Holds at least so many bytes from now on, if there is so much, or else gives what all hold. What nobody else holds
    /// anything beside is never too much.
    fn grow(&mut self, bytes: usize, account: &Arc<Account>, max: usize) -> Result<(), usize> {
        if bytes <= FREE_BYTES.max(self.bytes) {
            return Ok(());
        }
        let more = bytes.next_multiple_of(STEP_BYTES) - self.bytes;
        let before = account.0.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > max && before > self.bytes {
            account.0.fetch_sub(more, Ordering::Relaxed);
            return Err(before);
        }
        self.from.get_or_insert_with(|| Arc::clone(account));
        self.bytes += more;
        Ok(())
    }

    /// Holds at least so many bytes of a request's body from now on.
    pub(crate) fn grow_body(&mut self, bytes: usize, compiled: &Compiled) -> Result<(), Failure> {
        let max = compiled.config.limits.bodies_bytes_max;
        self.grow(bytes, compiled.config.metrics.bodies(), max).map_err(|before| {
            overloaded(
                compiled,
                format!("bodies of {before} bytes are being read, of at most {max} together"),
            )
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(account) = &self.from {
            account.0.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// An answer, or a piece of one, that counts as held until the last of it was sent.
pub(crate) fn answer(body: Bytes, compiled: &Compiled) -> Result<Bytes, Failure> {
    struct Unread {
        body: Bytes,
        _held: Held,
    }
    impl AsRef<[u8]> for Unread {
        fn as_ref(&self) -> &[u8] {
            &self.body
        }
    }
    if body.len() <= FREE_BYTES {
        return Ok(body);
    }
    let (mut held, max) = (Held::default(), compiled.config.limits.answers_bytes_max);
    held.grow(body.len(), compiled.config.metrics.answers(), max).map_err(|before| {
        overloaded(compiled, format!("answers of {before} bytes are not read yet, of at most {max} together"))
    })?;
    Ok(Bytes::from_owner(Unread { body, _held: held }))
}

fn overloaded(compiled: &Compiled, message: String) -> Failure {
    let mut failure = compiled.failure(Reason::Overloaded, message);
    failure.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    failure
}
