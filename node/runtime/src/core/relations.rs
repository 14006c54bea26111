//! Whom a process is tied to: links, monitors either way, requests that it waits for, calls that it owes an answer.
//!
//! Only what is noted of them at this end; the signals that make or end them are sent by whoever changes it.

use super::Core;
use crate::message::ReplyTo;
use crate::pid::{Pid, Ref};
use crate::term::Term;

impl Core {
    pub(crate) fn add_link(&mut self, to: Pid) -> bool {
        self.links.insert(to, ()).is_none()
    }

    pub(crate) fn remove_link(&mut self, to: Pid) -> bool {
        let was_there = self.links.remove(to).is_some();
        if was_there {
            self.loosen_link(to);
        }
        was_there
    }

    pub(crate) fn links(&self) -> impl Iterator<Item = Pid> + '_ {
        self.links.iter().map(|(pid, ())| pid)
    }

    pub(crate) fn add_monitor(&mut self, reference: Ref, of: Pid) {
        self.monitors.insert(reference, of);
    }

    pub(crate) fn remove_monitor(&mut self, reference: Ref) -> Option<Pid> {
        let of = self.monitors.remove(reference);
        if of.is_some() {
            self.loosen_monitor(reference);
        }
        of
    }

    pub(crate) fn monitors(&self) -> impl Iterator<Item = (Ref, Pid)> + '_ {
        self.monitors.iter().map(|(reference, pid)| (reference, *pid))
    }

    pub(crate) fn add_watcher(&mut self, watcher: Pid, reference: Ref, name: Option<Box<Term>>) {
        self.watchers.insert((watcher, reference), name);
    }

    pub(crate) fn remove_watcher(&mut self, watcher: Pid, reference: Ref) -> bool {
        self.watchers.remove((watcher, reference)).is_some()
    }

    pub(crate) fn watchers(&self) -> impl Iterator<Item = (Pid, Ref)> + '_ {
        self.watchers.iter().map(|(key, _)| key)
    }

    /// As [`Core::expect_reply`] in the turn that made the reference.
    pub(crate) fn expect_fresh_reply(&mut self, reference: Ref, from: Pid) {
        self.inner.mark(reference);
        self.expect_reply(reference, from);
    }

    pub(crate) fn expect_reply(&mut self, reference: Ref, from: Pid) {
        self.pending.insert(reference, from);
    }

    /// An answer has come to a request, or never will; whether one was awaited.
    pub(crate) fn settle_reply(&mut self, reference: Ref) -> Option<Pid> {
        self.pending.remove(reference)
    }

    /// Gives up on a request; tells whom it went to if no answer has come.
    pub(crate) fn forget_reply(&mut self, reference: Ref) -> Option<Pid> {
        let server = self.pending.remove(reference);
        if server.is_none() {
            self.inner.remove_reply(reference);
        }
        server
    }

    pub(crate) fn pending(&self) -> impl Iterator<Item = (Ref, Pid)> + '_ {
        self.pending.iter().map(|(reference, pid)| (reference, *pid))
    }

    /// The body has a call in hand.
    pub(crate) fn open_call(&mut self, call: ReplyTo) {
        self.open_calls.push(call);
    }

    /// The body answered a call.
    pub(crate) fn close_call(&mut self, call: ReplyTo) {
        if let Some(at) = self.open_calls.iter().rposition(|open| *open == call) {
            self.open_calls.swap_remove(at);
        }
    }

    pub(crate) fn open_calls(&self) -> &[ReplyTo] {
        &self.open_calls
    }
}
