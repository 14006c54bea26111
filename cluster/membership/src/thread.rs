//! The thread that a node's membership runs on: a runtime of its own, which other threads hand work to.

use parking_lot::Mutex;
use std::io;
use std::thread::JoinHandle;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A thread with a runtime. It ends when it is stopped or dropped, and what runs on it with it.
pub(crate) struct Thread {
    handle: Handle,
    running: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl Thread {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("arsenal-cluster".to_owned()).spawn(move || {
            // told, or the owner is gone
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { handle, running: Mutex::new(Some((stop, thread))) })
    }

    /// Where tasks of it are spawned.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Does something there; nothing if the thread ends before it is done, or what is done panics. What nobody waits for
    /// any more is given up.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let mut task = AbortOnDrop(self.handle.spawn(work));
        (&mut task.0).await.ok()
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        if let Some((stop, thread)) = self.running.lock().take() {
            drop(stop);
            // it has panicked otherwise, and then there is nothing to wait for
            let _ = thread.join();
        }
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop();
    }
}
