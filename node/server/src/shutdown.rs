//! A node taken apart in order, within a time.
//!
//! Health says so first; nothing new starts; the cluster is told, and another node leads; process trees end from the
//! youngest root to the oldest, each told and waited for; the session with the cluster ends; streams are told; requests get
//! their answers; the listeners close. A root that does not end when it is told is killed when half of what time is left
//! is over, so that it costs the others their turn as little as may be; the last one has all of it.

use crate::assembly::Running;
use crate::health;
use arsenal_runtime::{Pid, Term};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use tonic_health::ServingStatus;

/// How long the node's threads may take to end; one that is in native code that never yields does not.
const THREADS_MAX: Duration = Duration::from_secs(1);

/// How long a killed process may take to end: until its next preemption point.
const KILL_MAX: Duration = Duration::from_millis(50);

impl Running {
    /// Stops it in order, within `limit`. Gives whether everything ended by itself.
    pub async fn stop(mut self, limit: Duration) -> bool {
        let begun = Instant::now();
        health::tell(&self.health, ServingStatus::NotServing).await;
        self.node.stop_accepting();
        if let Some(membership) = &self.membership {
            membership.leave().await;
        }
        // a fifth is kept for telling streams and closing
        let processes = self.stop_processes(begun + limit * 4 / 5).await;
        if let Some(membership) = &self.membership {
            membership.stop().await;
        }
        let _ = self.stop.send(true);
        let listeners = self.close_listeners(begun + limit).await;
        let threads = self.close_threads().await;
        self.gatherer.abort();
        processes & listeners & threads
    }

    /// Ends what has no living parent with `shutdown`, youngest first; a supervisor takes its tree along in order.
    async fn stop_processes(&self, until: Instant) -> bool {
        let mut all = true;
        for (behind, root) in self.roots().into_iter().enumerate().rev() {
            let ended = self.node.await_exit(root);
            self.node.shut_down(root, Term::SHUTDOWN);
            let left = until.saturating_duration_since(Instant::now());
            let patience = if behind == 0 { left } else { left / 2 };
            if timeout(patience, ended).await.is_err() {
                tracing::warn!(process = %root, "it did not end when it was told to, and is killed");
                let killed = self.node.await_exit(root);
                self.node.kill(root, Term::KILLED);
                // so that whoever follows sees it; one in native code that never yields does not end
                let _ = timeout_at((Instant::now() + KILL_MAX).min(until), killed).await;
                all = false;
            }
        }
        all
    }

    fn roots(&self) -> Vec<Pid> {
        let mut roots = Vec::new();
        self.node.visit_processes(0, |process| {
            let header = self.node.header(process);
            if header.parent.is_none_or(|parent| !self.node.is_alive(parent)) {
                roots.push(process.pid());
            }
            true
        });
        roots
    }

    async fn close_listeners(&mut self, until: Instant) -> bool {
        let mut all = true;
        for listener in &mut self.listeners {
            if timeout_at(until, &mut *listener).await.is_err() {
                tracing::warn!("a client keeps its connection busy, and is cut off");
                listener.abort();
                all = false;
            }
        }
        all
    }

    /// On a thread of its own, which the program's end does not wait for.
    async fn close_threads(&self) -> bool {
        let (node, (sender, closed)) = (self.node.clone(), tokio::sync::oneshot::channel());
        let close = move || {
            node.close();
            // nobody listens any more if it took too long
            let _ = sender.send(());
        };
        let begun = std::thread::Builder::new().name("arsenal-close".into()).spawn(close);
        let closed = begun.is_ok() && timeout(THREADS_MAX, closed).await.is_ok();
        if !closed {
            tracing::warn!("a scheduler is in native code that does not yield, and is cut off");
        }
        closed
    }
}
