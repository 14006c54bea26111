//! The places that the connections of a listener take, as many as are configured. Beyond them a connection waits in the
//! kernel's backlog.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All places of a listener.
#[derive(Clone, Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    all: u32,
}

/// One of them, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place(
    #[expect(dead_code, reason = "it is held, and not looked at")] Option<OwnedSemaphorePermit>,
);

impl Places {
    pub(super) fn new(connections_max: usize) -> Self {
        let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
        let all = all.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Self { free: Arc::new(Semaphore::new(all as usize)), all }
    }

    /// Waits for a place.
    pub(super) async fn take(&self) -> Place {
        // nobody closes the semaphore
        Place(self.free.clone().acquire_owned().await.ok())
    }

    /// Waits until no connection is left.
    pub(super) async fn all_free(&self) {
        let _ = self.free.acquire_many(self.all).await;
    }
}
