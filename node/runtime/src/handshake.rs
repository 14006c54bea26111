//! Starting a process from outside: it is spawned, and the starter waits until its init has ended.
//!
//! Invariant: where the start fails, or the starter stops waiting, nothing is left running.

use crate::alias::Answer;
use crate::body::Body;
use crate::message::ReplyTo;
use crate::module::Description;
use crate::node::Node;
use crate::outbox::Outbox;
use crate::pid::{Pid, Ref};
use crate::process::flag;
use crate::start::{StartError, StartOptions, Started};
use crate::term::Term;
use std::sync::Arc;
use std::time::Duration;

impl Node {
    /// Starts a process of `module` and waits for its init (`gen_server:start`). Dropping the future kills a process
    /// whose init has not ended.
    ///
    /// # Errors
    /// As [`StartError`] says; nothing is left running.
    pub async fn start_process(
        &self,
        module: &str,
        args: &Term,
        options: StartOptions,
        timeout: Option<Duration>,
    ) -> Result<Started, StartError> {
        self.start_with(options, timeout, |options, outbox| {
            self.start_in(module, args, options, outbox, None)
        })
        .await
    }

    /// As [`Node::start_process`], of a body of your own under a description; it answers with
    /// [`Context::started`](crate::context::Context::started).
    ///
    /// # Errors
    /// As [`StartError`] says; nothing is left running.
    pub async fn start_body(
        &self,
        description: &Arc<Description>,
        body: Box<dyn Body>,
        options: StartOptions,
        timeout: Option<Duration>,
    ) -> Result<Started, StartError> {
        let spawn = |options, outbox: &mut Outbox| {
            self.spawn_in(description, body, options, outbox, None).map(|process| process.pid())
        };
        self.start_with(options, timeout, spawn).await
    }

    async fn start_with(
        &self,
        mut options: StartOptions,
        timeout: Option<Duration>,
        start: impl FnOnce(StartOptions, &mut Outbox) -> Result<Pid, StartError>,
    ) -> Result<Started, StartError> {
        let waiting = self.aliases().open(self, Pid::NONE);
        let mut waiting = waiting.ok_or(StartError::TooManyProcesses(self.limits().waiting_requests_max))?;
        options.ack = Some(ReplyTo { to: waiting.alias, reference: waiting.reference });
        let (parent, monitor) = (options.parent.filter(|_| options.link), options.monitor);
        let name = options.name.as_ref().map(|name| name.name.to_string()).unwrap_or_default();
        let pid = self.with_outbox(|outbox| start(options, outbox))?;
        waiting.server = pid;
        let guard = UnlessStarted { node: self, pid, parent, monitor };
        let answer = match timeout {
            Some(timeout) => self.sleep_or(timeout, waiting.answer()).await,
            None => Some(waiting.answer().await),
        };
        let outcome = match answer {
            None => Err(StartError::Timeout(timeout.unwrap_or_default())),
            Some(Answer::Reply(reply)) => read_ack(pid, &reply),
            Some(Answer::Down(reason)) => Err(StartError::Init(reason)),
        };
        match outcome {
            Ok(Started::Running(_)) => guard.defuse(),
            Err(StartError::Timeout(_)) => drop(guard),
            _ => guard.let_end(),
        }
        match outcome {
            Err(StartError::Init(_) | StartError::NameTaken { .. }) => {
                // nothing is left running when the starter hears of it
                self.await_exit(pid).await;
                if let Some(parent) = parent.filter(|parent| self.dies_of(*parent, pid)) {
                    let end = self.await_exit(parent).await;
                    let known = self.events().exit_of(parent).map(|record| record.reason);
                    return Err(StartError::ParentDied { parent, reason: known.unwrap_or(end) });
                }
            }
            // code that never yields is not waited for
            Err(StartError::Timeout(_)) => {
                let _ = tokio::time::timeout(ENDING_MAX, self.await_exit(pid)).await;
            }
            _ => {}
        }
        outcome.map_err(|error| match error {
            StartError::NameTaken { holder, .. } => StartError::NameTaken { name, holder },
            error => error,
        })
    }

    /// Whether the exit signal of the failed child ends its parent.
    fn dies_of(&self, parent: Pid, child: Pid) -> bool {
        let Some(process) = self.process(parent) else { return true };
        let reason = self.events().exit_of(child).map(|record| record.reason);
        !process.0.has(flag::TRAP_EXIT) && reason.is_some_and(|reason| !reason.is("normal"))
    }

    /// Waits for an answer for this long by the node's own clock; nothing if it did not come.
    pub(crate) async fn sleep_or<T>(&self, timeout: Duration, answer: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(timeout, answer).await.ok()
    }
}

/// What the starter was told.
pub(crate) fn read_ack(pid: Pid, reply: &Term) -> Result<Started, StartError> {
    match reply.as_list() {
        Some([tag, _]) if tag.is("ok") => Ok(Started::Running(pid)),
        Some([tag, reason]) if tag.is("error") => match reason.as_list() {
            Some([tag, holder]) if tag.is("already_started") && holder.as_pid().is_some() => {
                let holder = holder.as_pid().unwrap_or_default();
                Err(StartError::NameTaken { name: String::new(), holder })
            }
            _ => Err(StartError::Init(reason.clone())),
        },
        _ => Ok(Started::Ignored),
    }
}

/// How long a starter waits for the end of a process that it killed.
const ENDING_MAX: Duration = Duration::from_secs(1);

/// Ends a process that has not started when its starter stops waiting; as OTP does, unlinked, so that the parent is not
/// told.
struct UnlessStarted<'a> {
    node: &'a Node,
    pid: Pid,
    parent: Option<Pid>,
    monitor: Option<(Pid, Ref)>,
}

impl UnlessStarted<'_> {
    fn defuse(mut self) {
        self.pid = Pid::NONE;
    }

    /// It ends by itself: its links hear of it, the watcher does not.
    fn let_end(mut self) {
        self.forget_monitor();
        self.pid = Pid::NONE;
    }

    fn forget_monitor(&self) {
        if let Some((watcher, reference)) = self.monitor {
            // a watcher that is gone watches nothing
            let _ = self.node.demonitor(watcher, self.node.owned(b'm', reference.number()), true);
        }
    }
}

impl Drop for UnlessStarted<'_> {
    fn drop(&mut self) {
        if self.pid.is_none() {
            return;
        }
        if let Some(parent) = self.parent {
            // a parent that is gone has no links
            let _ = self.node.unlink(parent, self.pid);
        }
        self.forget_monitor();
        self.node.abort_start(self.pid);
    }
}
