//! The rules of an event manager, without a process: the list of handlers and what is done with it.
//!
//! Pure: requests go in; [`Act`]s come out one by one, and the result of each callback goes back in before the next is
//! asked for; all acts are done before the next request. The order is that of OTP's `gen_event`: the newest handler is
//! first, a swap from within keeps the place, owners are told after terminate, and an event goes only to the handlers
//! that were there when its turn came.

mod act;

pub use super::handler::Callback;
pub use act::{Act, Key, Verdict};

use super::Swap;
use super::request::EventRequest;
use act::{swapped, tell};
use arsenal_runtime::message::ReplyTo;
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::{Reason, Term};
use std::collections::VecDeque;

#[derive(Clone, Debug, PartialEq)]
struct Slot {
    key: Key,
    handler: Term,
    owner: Option<Pid>,
}

#[derive(Debug)]
enum Task {
    Offer { callback: Callback, content: Term, keys: VecDeque<Key> },
    Ask { handler: Term, request: Term, from: ReplyTo },
    Retire { slot: Slot, argument: Term, told: Term, next: AfterRetire },
    Install { slot: Slot, args: Term, handed_over: Option<Term>, place: usize, next: AfterInstall },
    Act(Act),
}

/// What follows a handler's terminate.
#[derive(Debug)]
enum AfterRetire {
    Nothing,
    Answer(ReplyTo),
    Install { slot: Slot, args: Term, place: usize, next: AfterInstall },
}

/// Who hears how an init ended.
#[derive(Debug)]
enum AfterInstall {
    Answer(ReplyTo),
    TellOwner,
}

/// The callback whose result is awaited.
#[derive(Debug)]
enum InHand {
    Handle { key: Key, from: Option<ReplyTo> },
    Retire { slot: Slot, told: Term, next: AfterRetire },
    Install { slot: Slot, place: usize, next: AfterInstall },
}

/// An event manager's handlers and what is left to do with them.
#[derive(Debug, Default)]
pub struct Core {
    /// The newest first.
    slots: Vec<Slot>,
    tasks: VecDeque<Task>,
    in_hand: Option<InHand>,
    hibernate: bool,
    last_key: Key,
}

impl Core {
    /// The installed handlers with their keys, the newest first.
    pub fn handlers(&self) -> impl Iterator<Item = (Key, &Term)> {
        self.slots.iter().map(|slot| (slot.key, &slot.handler))
    }

    /// Whether a handler asked for hibernation since this was asked last.
    pub fn take_hibernate(&mut self) -> bool {
        std::mem::take(&mut self.hibernate)
    }

    /// An event for all handlers.
    pub fn notify(&mut self, event: Term) {
        self.offer(Callback::Event, event);
    }

    /// Another message for all handlers.
    pub fn inform(&mut self, info: Term) {
        self.offer(Callback::Info, info);
    }

    /// A process ended: handlers that it owned go, the others see `info`.
    pub fn owner_ended(&mut self, owner: Pid, reason: &Reason, info: Term) {
        let (gone, left) = std::mem::take(&mut self.slots).into_iter().partition(|s| s.owner == Some(owner));
        self.slots = left;
        self.retire_all(gone, &Term::tagged("stop", reason.clone()));
        self.inform(info);
    }

    /// The manager stops: all handlers go, their owners are unlinked, but never `parent`.
    pub fn stop(&mut self, reason: Reason, parent: Option<Pid>) {
        let gone = std::mem::take(&mut self.slots);
        let owners: Vec<Pid> =
            gone.iter().filter_map(|slot| slot.owner).filter(|o| Some(*o) != parent).collect();
        self.retire_all(gone, &Term::Atom("stop"));
        self.tasks.extend(owners.into_iter().map(|owner| Task::Act(Act::Unlink(owner))));
        self.tasks.push_back(Task::Act(Act::Exit(reason)));
    }

    /// Somebody asked for this.
    pub fn request(&mut self, request: EventRequest, from: ReplyTo) {
        match request {
            EventRequest::Which => {
                let handlers = Term::list(self.slots.iter().map(|slot| slot.handler.clone()));
                self.reply(from, handlers);
            }
            EventRequest::Installed => {
                let entry = |slot: &Slot| {
                    Term::list([slot.handler.clone(), slot.owner.map_or(Term::Null, Term::from)])
                };
                let handlers = Term::list(self.slots.iter().map(entry));
                self.reply(from, handlers);
            }
            EventRequest::SyncNotify(event) => {
                self.notify(event);
                self.reply(from, Term::OK);
            }
            EventRequest::Call { handler, request } => {
                self.tasks.push_back(Task::Ask { handler, request, from });
            }
            EventRequest::Add { handler, args, owner } => {
                self.tasks.extend(owner.map(|owner| Task::Act(Act::Link(owner))));
                let slot = self.slot(handler, owner);
                let next = AfterInstall::Answer(from);
                self.tasks.push_back(Task::Install { slot, args, handed_over: None, place: 0, next });
            }
            EventRequest::Delete { handler, argument } => match self.take(&handler) {
                Some(slot) => {
                    let (told, next) = (Term::NORMAL, AfterRetire::Answer(from));
                    self.tasks.push_back(Task::Retire { slot, argument, told, next });
                }
                None => self.reply(from, Term::tagged("error", "module_not_found".into())),
            },
            EventRequest::Swap { old, argument, new, args, owner } => {
                self.swap(&old, argument, new, args, owner, from);
            }
        }
    }

    fn swap(&mut self, old: &Term, argument: Term, new: Term, args: Term, owner: Option<Pid>, from: ReplyTo) {
        let retired = self.take(old);
        let owner = owner.or_else(|| retired.as_ref()?.owner);
        let told = swapped(&new, owner);
        let slot = self.slot(new, owner);
        let next = AfterInstall::Answer(from);
        match retired {
            Some(retired) => {
                let next = AfterRetire::Install { slot, args, place: 0, next };
                self.tasks.push_back(Task::Retire { slot: retired, argument, told, next });
            }
            None => {
                self.tasks.extend(owner.map(|owner| Task::Act(Act::Link(owner))));
                let handed_over = Some(Term::Atom("error"));
                self.tasks.push_back(Task::Install { slot, args, handed_over, place: 0, next });
            }
        }
    }

    /// What is to be done next; nothing when all is done, or while a callback's result is awaited.
    pub fn next_act(&mut self) -> Option<Act> {
        if self.in_hand.is_some() {
            return None;
        }
        loop {
            match self.tasks.pop_front()? {
                Task::Act(act) => return Some(act),
                Task::Offer { callback, content, mut keys } => {
                    let Some(key) = keys.pop_front() else { continue };
                    if !keys.is_empty() {
                        self.tasks.push_front(Task::Offer { callback, content: content.clone(), keys });
                    }
                    self.in_hand = Some(InHand::Handle { key, from: None });
                    return Some(Act::Handle { key, callback, content });
                }
                Task::Ask { handler, request, from } => {
                    let Some(slot) = self.slots.iter().find(|slot| slot.handler == handler) else {
                        return Some(Act::Reply(from, Term::tagged("error", "bad_module".into())));
                    };
                    let key = slot.key;
                    self.in_hand = Some(InHand::Handle { key, from: Some(from) });
                    return Some(Act::Handle { key, callback: Callback::Call, content: request });
                }
                Task::Retire { slot, argument, told, next } => {
                    let key = slot.key;
                    self.in_hand = Some(InHand::Retire { slot, told, next });
                    return Some(Act::Terminate { key, argument });
                }
                Task::Install { slot, args, handed_over, place, next } => {
                    let act =
                        Act::Install { key: slot.key, handler: slot.handler.clone(), args, handed_over };
                    self.in_hand = Some(InHand::Install { slot, place, next });
                    return Some(act);
                }
            }
        }
    }

    /// A callback ended so.
    pub fn handled(&mut self, verdict: Verdict) {
        let Some(InHand::Handle { key, from }) = self.in_hand.take() else { return };
        let normal = (Term::Atom("remove_handler"), Term::NORMAL, None);
        let (argument, told, swap) = match (verdict, from) {
            (Verdict::Ok, None) => return,
            (Verdict::Hibernate, None) => {
                self.hibernate = true;
                return;
            }
            (Verdict::Reply(reply), Some(from)) => {
                self.tasks.push_front(Task::Act(Act::Reply(from, reply)));
                return;
            }
            (Verdict::Remove, None) => normal,
            (Verdict::RemoveReply(reply), Some(from)) => {
                self.tasks.push_front(Task::Act(Act::Reply(from, reply)));
                normal
            }
            (Verdict::Swap(swap), None) => (swap.argument.clone(), Term::Null, Some(swap)),
            (Verdict::SwapReply(swap, reply), Some(from)) => {
                self.tasks.push_front(Task::Act(Act::Reply(from, reply)));
                (swap.argument.clone(), Term::Null, Some(swap))
            }
            (verdict, from) => {
                let value = verdict.into_value();
                if let Some(from) = from {
                    let answer = Term::tagged("error", value.clone());
                    self.tasks.push_front(Task::Act(Act::Reply(from, answer)));
                }
                (Term::tagged("error", value.clone()), value, None)
            }
        };
        self.replace(key, argument, told, swap);
    }

    /// Removes the handler with this key; one to swap in takes its place and its owner.
    fn replace(&mut self, key: Key, argument: Term, told: Term, swap: Option<Swap>) {
        let Some(place) = self.slots.iter().position(|slot| slot.key == key) else { return };
        let retired = self.slots.remove(place);
        let (told, next) = match swap {
            None => (told, AfterRetire::Nothing),
            Some(Swap { handler, args, .. }) => {
                let told = swapped(&handler, retired.owner);
                let slot = self.slot(handler, retired.owner);
                (told, AfterRetire::Install { slot, args, place, next: AfterInstall::TellOwner })
            }
        };
        self.tasks.push_front(Task::Retire { slot: retired, argument, told, next });
    }

    /// A terminate ended with this value, or failed with `["EXIT", reason]`.
    pub fn terminated(&mut self, result: Result<Term, Term>) {
        let Some(InHand::Retire { slot, told, next }) = self.in_hand.take() else { return };
        let (value, told) = match result {
            Ok(value) => (value, told),
            Err(exit) => (exit.clone(), exit),
        };
        match next {
            AfterRetire::Nothing => {}
            AfterRetire::Answer(from) => self.tasks.push_front(Task::Act(Act::Reply(from, value))),
            AfterRetire::Install { slot, args, place, next } => {
                let link = slot.owner.filter(|_| matches!(next, AfterInstall::Answer(_)));
                let handed_over = Some(value);
                self.tasks.push_front(Task::Install { slot, args, handed_over, place, next });
                self.act_first(link.map(Act::Link));
            }
        }
        self.act_first(slot.owner.map(|owner| tell(owner, &slot.handler, told)));
    }

    /// An init ended well, or gave this instead of a handler: `["error", reason]`, `["EXIT", reason]`, another value.
    pub fn installed(&mut self, result: Result<(), Term>) {
        let Some(InHand::Install { slot, place, next }) = self.in_hand.take() else { return };
        let act = match (&result, next) {
            (_, AfterInstall::Answer(from)) => {
                Some(Act::Reply(from, result.as_ref().err().cloned().unwrap_or(Term::OK)))
            }
            (Ok(()), AfterInstall::TellOwner) => None,
            (Err(value), AfterInstall::TellOwner) => {
                slot.owner.map(|owner| tell(owner, &slot.handler, value.clone()))
            }
        };
        if result.is_ok() {
            self.slots.insert(place.min(self.slots.len()), slot);
        }
        self.act_first(act);
    }

    /// Puts an act before all that is left to do.
    fn act_first(&mut self, act: Option<Act>) {
        if let Some(act) = act {
            self.tasks.push_front(Task::Act(act));
        }
    }

    fn offer(&mut self, callback: Callback, content: Term) {
        let keys = self.slots.iter().map(|slot| slot.key).collect();
        self.tasks.push_back(Task::Offer { callback, content, keys });
    }

    fn reply(&mut self, from: ReplyTo, reply: Term) {
        self.tasks.push_back(Task::Act(Act::Reply(from, reply)));
    }

    fn retire_all(&mut self, slots: Vec<Slot>, argument: &Term) {
        let retire = |slot| Task::Retire {
            slot,
            argument: argument.clone(),
            told: Term::SHUTDOWN,
            next: AfterRetire::Nothing,
        };
        self.tasks.extend(slots.into_iter().map(retire));
    }

    fn take(&mut self, handler: &Term) -> Option<Slot> {
        let place = self.slots.iter().position(|slot| slot.handler == *handler)?;
        Some(self.slots.remove(place))
    }

    fn slot(&mut self, handler: Term, owner: Option<Pid>) -> Slot {
        self.last_key += 1;
        Slot { key: self.last_key, handler, owner }
    }
}

#[cfg(test)]
mod tests;
