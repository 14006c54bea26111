//! Wake-ups for a thread on which many requests from outside wait, gathered.
//!
//! To wake a task of another thread costs a system call, and an executor that is woken for one answer after the other
//! writes one answer after the other to its socket. A thread that serves requests therefore polls [`gather`] beside
//! them: the first answer that arrives rings for it, those that follow until it looks only queue up, and it wakes all of
//! them from within. The busier the thread, the more it finds at once; an idle one is woken by the first answer.
//!
//! Invariants: nothing is lost when a gatherer ends, since what is queued is woken then and what comes later is woken
//! directly, as on a thread that never had one. A queue holds one waker for each request that waits, so the bound on
//! those is its bound too.

use parking_lot::Mutex;
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

thread_local! {
    static HERE: RefCell<Option<Arc<Queue>>> = const { RefCell::new(None) };
}

/// What a thread's gatherer has still to wake.
#[derive(Default)]
pub(crate) struct Queue(Mutex<Queued>);

#[derive(Default)]
struct Queued {
    wakers: Vec<Waker>,
    /// Of the gatherer, while it sleeps.
    gatherer: Option<Waker>,
    ended: bool,
}

/// The queue of this thread's gatherer.
pub(crate) fn here() -> Option<Arc<Queue>> {
    HERE.with_borrow(Clone::clone)
}

impl Queue {
    /// Has the gatherer wake this one.
    pub(crate) fn push(&self, waker: Waker) {
        let mut queued = self.0.lock();
        if queued.ended {
            drop(queued);
            return waker.wake();
        }
        queued.wakers.push(waker);
        let gatherer = queued.gatherer.take();
        drop(queued);
        if let Some(gatherer) = gatherer {
            gatherer.wake();
        }
    }
}

/// Gathers the wake-ups of requests that begin to wait on this thread, for as long as it is polled here.
pub fn gather() -> Gather {
    Gather { queue: Arc::default(), batch: Vec::new(), here: false }
}

/// See [`gather`].
pub struct Gather {
    queue: Arc<Queue>,
    /// Emptied before each poll ends; kept for its capacity.
    batch: Vec<Waker>,
    here: bool,
}

impl Future for Gather {
    type Output = Infallible;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Infallible> {
        if !self.here {
            HERE.set(Some(Arc::clone(&self.queue)));
            self.here = true;
        }
        let Self { queue, batch, .. } = &mut *self;
        let mut queued = queue.0.lock();
        std::mem::swap(&mut queued.wakers, batch);
        queued.gatherer = Some(context.waker().clone());
        drop(queued);
        batch.drain(..).for_each(Waker::wake);
        Poll::Pending
    }
}

impl Drop for Gather {
    fn drop(&mut self) {
        let mut queued = self.queue.0.lock();
        queued.ended = true;
        let wakers = std::mem::take(&mut queued.wakers);
        drop(queued);
        wakers.into_iter().for_each(Waker::wake);
        // the thread may be another one, or gone, or have a younger gatherer
        let _ = HERE.try_with(|here| {
            let mut here = here.borrow_mut();
            if here.as_ref().is_some_and(|queue| Arc::ptr_eq(queue, &self.queue)) {
                *here = None;
            }
        });
    }
}

impl std::fmt::Debug for Gather {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gather").field("here", &self.here).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
