//! The tasks of HTTP/2 streams, which can be ended from outside: a server resets the stream whose task is gone.
//!
//! A server waits in such a task until its client has room, and asks nobody meanwhile. What the task runs finds the task
//! by the thread that it runs on.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use pin_project_lite::pin_project;

thread_local! {
    /// The stream whose task is running.
    static RUNNING: RefCell<Option<Stream>> = const { RefCell::new(None) };
}

/// How a stream is ended from outside, once somebody may want to.
type Stream = Option<Arc<Ending>>;

/// Ends the task of a stream.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    over: AtomicBool,
    task: AtomicWaker,
}

impl Ending {
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.task.wake();
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// How the stream whose task is running is ended; nothing if its server's tasks cannot be.
pub(crate) fn ending_of_stream() -> Option<Arc<Ending>> {
    RUNNING.with_borrow_mut(|stream| Some(Arc::clone(stream.as_mut()?.get_or_insert_default())))
}

/// Runs the streams of a server of HTTP/2, as hyper's `TokioExecutor` does, so that one whose client gives it no room for
/// its answer is reset after [`Limits::answer_idle_max`](crate::Limits::answer_idle_max):
/// `hyper_util::server::conn::auto::Builder::new(StreamTasks)`. With any other the call to upstream ends then, and what the
/// answer holds is given back, but the stream goes on to stand until its connection ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamTasks;

impl<F> hyper::rt::Executor<F> for StreamTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        // what a stream begins, as the writing half of a WebSocket, ends with it
        let stream = RUNNING.with_borrow(|stream| stream.clone().flatten());
        tokio::spawn(Task { future, stream });
    }
}

/// What ran on a thread before a stream's task did, and does so again afterwards: also when that panics, or the thread
/// would take each stream that comes for the dead one.
struct Outer(Option<Stream>);

impl Drop for Outer {
    fn drop(&mut self) {
        RUNNING.set(self.0.take());
    }
}

pin_project! {
    struct Task<F> {
        #[pin]
        future: F,
        stream: Stream,
    }
}

impl<F: Future<Output = ()>> Future for Task<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let task = self.project();
        if task.stream.as_ref().is_some_and(|ending| ending.is_over()) {
            return Poll::Ready(());
        }
        let outer = Outer(RUNNING.replace(Some(task.stream.take())));
        let polled = task.future.poll(context);
        *task.stream = RUNNING.take().flatten();
        drop(outer);
        let Some(ending) = task.stream.as_ref().filter(|_| polled.is_pending()) else { return polled };
        ending.task.register(context.waker());
        // it may have been ended before it could be woken
        if ending.is_over() { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_that_panics_is_not_taken_for_the_one_that_runs_on_its_thread_next() {
        let future = async {
            assert!(ending_of_stream().is_some());
            panic!("as a service may");
        };
        // all tasks of a test are on one thread
        let ended = tokio::spawn(Task { future, stream: None }).await;
        assert!(ended.unwrap_err().is_panic());
        assert!(ending_of_stream().is_none());
    }
}
