//! Stopping a process in order, as `gen_server:stop/3`: asked, and waited for; killed only by who wants it.

use crate::message::{Kind, Message};
use crate::module::Behaviour;
use crate::node::Node;
use crate::pid::Pid;
use crate::request::CallError;
use crate::system::request::TERMINATE;
use crate::term::{Reason, Term};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// What became of the wish to stop a process.
#[derive(Clone, Debug, PartialEq)]
pub enum Stopped {
    /// It was not alive.
    NoProcess,
    /// It ended, with this reason.
    Ended(Reason),
    /// It ended with this reason before it read the wish: it had decided to already.
    EndedBefore(Reason),
    /// It lives; the wish waits in its mailbox.
    Pending,
}

impl Node {
    /// Asks a process to end with `reason` and waits for it, for `timeout` at most. One with a behaviour runs its
    /// terminate callback (`sys:terminate`); a plain one gets an exit signal from `from`, which it may trap.
    pub async fn stop(
        &self,
        from: Pid,
        pid: Pid,
        reason: Reason,
        timeout: Duration,
        operation: u64,
    ) -> Stopped {
        let Some(process) = self.process(pid) else { return Stopped::NoProcess };
        if process.0.code.description.behaviour == Behaviour::Plain {
            self.exit_by(from, pid, reason, operation);
            return self.await_exit_within(pid, timeout).await.map_or(Stopped::Pending, Stopped::Ended);
        }
        drop(process);
        let request =
            Message::of(Kind::System, Pid::NONE, Term::tagged(TERMINATE, reason)).with_operation(operation);
        let stopping = self.stop_behaviour(pid, request);
        tokio::time::timeout(timeout, stopping).await.unwrap_or(Stopped::Pending)
    }

    async fn stop_behaviour(&self, pid: Pid, request: Message) -> Stopped {
        // a terminate that was read is answered before it begins, if at all; one that was not is answered with the end
        let mut request = pin!(self.request(pid, request, None));
        let mut end = pin!(self.await_exit(pid));
        let mut answered = false;
        poll_fn(|context| {
            if !answered && let Poll::Ready(answer) = request.as_mut().poll(context) {
                answered = true;
                match answer {
                    Err(CallError::Died { reason, .. }) => return Poll::Ready(Stopped::EndedBefore(reason)),
                    Err(CallError::NoProcess(_)) => return Poll::Ready(Stopped::NoProcess),
                    _ => {}
                }
            }
            if let Poll::Ready(reason) = end.as_mut().poll(context) {
                if answered {
                    return Poll::Ready(Stopped::Ended(self.reason_of(pid, reason)));
                }
                // a caller hears of the end before a watcher does: what the request has not got now never comes
                return match request.as_mut().poll(context) {
                    Poll::Ready(Err(CallError::Died { reason, .. })) => {
                        Poll::Ready(Stopped::EndedBefore(reason))
                    }
                    _ => Poll::Ready(Stopped::Ended(self.reason_of(pid, reason))),
                };
            }
            Poll::Pending
        })
        .await
    }

    /// Waits until a process has ended, for this long at most; gives why, as recorded where that is still known.
    pub async fn await_exit_within(&self, pid: Pid, timeout: Duration) -> Option<Reason> {
        let end = tokio::time::timeout(timeout, self.await_exit(pid)).await.ok()?;
        Some(self.reason_of(pid, end))
    }

    /// Why a process ended: as recorded, since who asks too late is only told `noproc`.
    fn reason_of(&self, pid: Pid, told: Reason) -> Reason {
        self.events().exit_of(pid).map_or(told, |record| record.reason)
    }
}
