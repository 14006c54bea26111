//! The rules of a state machine, without a process: which event comes next, and what a transition does.
//!
//! Pure: events and actions go in, events and [`Effect`]s come out; the owner starts and cancels the timers and sends
//! the replies. The order is that of OTP's `gen_statem`: inserted events come before replayed ones, those before what
//! arrived later, and a timeout of zero comes when all of them are done. One transition is under way at a time; while it
//! waits for a state enter call, the state is the new one already.

use super::timers::Timeouts;
use arsenal_runtime::message::ReplyTo;
use arsenal_runtime::term::Term;
use std::collections::VecDeque;
use std::time::Duration;

/// An event of a state machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Where it comes from.
    pub kind: EventKind,
    /// What it says; for [`EventKind::Info`] the message as OTP shows it.
    pub content: Term,
}

/// Where an event comes from: OTP's event type.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// A call, to be answered there.
    Call(ReplyTo),
    /// A cast.
    Cast,
    /// Any other message.
    Info,
    /// Inserted by the machine itself.
    Internal,
    /// A timeout fired.
    Timeout(TimeoutKind),
}

/// The timeouts of a machine; there is one of each at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum TimeoutKind {
    /// Ended by any event.
    Event,
    /// Ended by a change of state.
    State,
    /// Ended by nothing but its cancellation.
    Named(Term),
}

/// What an action does to a timeout.
#[derive(Clone, Debug, PartialEq)]
pub enum TimeoutChange {
    /// Starts it, anew if it runs; `None` is `infinity` and cancels it.
    Set(Option<Duration>, Term),
    /// Changes its content, not its time. One that does not run fires at once.
    Update(Term),
    /// Cancels it.
    Cancel,
}

/// What becomes of the state.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It stays.
    Keep,
    /// It stays; the state enter call is repeated.
    Repeat,
    /// It becomes this one.
    To(Term),
}

/// What a callback wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Handle this event again when the state has changed.
    Postpone,
    /// Hibernate before the next wait.
    Hibernate,
    /// Answer a call.
    Reply(ReplyTo, Term),
    /// Insert an event before all that are queued.
    NextEvent(Event),
    /// Change a timeout.
    Timeout(TimeoutKind, TimeoutChange),
}

impl Action {
    /// Starts a timeout.
    pub fn set_timeout(kind: TimeoutKind, after: Duration, content: impl Into<Term>) -> Self {
        Self::Timeout(kind, TimeoutChange::Set(Some(after), content.into()))
    }

    /// The name of an action that a state enter call may not ask for.
    const fn forbidden_on_entry(&self) -> Option<&'static str> {
        match self {
            Self::Postpone => Some("postpone"),
            Self::NextEvent(_) => Some("next_event"),
            _ => None,
        }
    }
}

/// Names one start of a timer, for the owner to know it by.
pub type TimerToken = u32;

/// What the owner is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Answer a call.
    Reply(ReplyTo, Term),
    /// Start a timer and say [`Core::fired`] when it is over.
    Start(TimerToken, Duration),
    /// Cancel it; it must not be reported any more.
    Cancel(TimerToken),
}

/// How far a transition is.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// It is over.
    Done,
    /// The state enter call is due: its result goes to [`Core::entered`].
    Enter {
        /// The state that was left.
        previous: Term,
    },
}

/// What a callback asked for and no machine may do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TransitionError {
    /// A state enter call postponed or inserted an event.
    #[error("a state enter call asked for {0}")]
    ActionOnEntry(&'static str),
    /// A state enter call changed the state.
    #[error("a state enter call changed the state to {0}")]
    ChangeOnEntry(Term),
}

impl TransitionError {
    /// OTP's error reason.
    pub fn to_term(&self) -> Term {
        match self {
            Self::ActionOnEntry(action) => {
                Term::tagged("bad_state_enter_action_from_state_function", Term::Atom(action))
            }
            Self::ChangeOnEntry(state) => Term::tagged(
                "bad_state_enter_return_from_state_function",
                Term::tagged("next_state", state.clone()),
            ),
        }
    }
}

/// A transition under way.
#[derive(Debug, Default)]
struct Pending {
    event: Option<Event>,
    previous: Term,
    inserted: Vec<Event>,
    timeouts: Vec<(TimeoutKind, TimeoutChange)>,
    postpone: bool,
    hibernate: bool,
}

/// A state machine's state, queues and timeouts.
#[derive(Debug)]
pub struct Core {
    state: Term,
    state_enter: bool,
    hibernate: bool,
    /// Events that are due, the next one first.
    queue: VecDeque<Event>,
    /// Events that wait for another state, the oldest first.
    postponed: Vec<Event>,
    timeouts: Timeouts,
    effects: Vec<Effect>,
    pending: Option<Box<Pending>>,
}

impl Core {
    /// A machine in its first state; `state_enter` says whether states are entered by a call.
    pub fn new(state: Term, state_enter: bool) -> Self {
        Self {
            state,
            state_enter,
            hibernate: false,
            queue: VecDeque::new(),
            postponed: Vec::new(),
            timeouts: Timeouts::default(),
            effects: Vec::new(),
            pending: None,
        }
    }

    /// The current state; during a transition the new one.
    pub const fn state(&self) -> &Term {
        &self.state
    }

    /// Puts the machine into another state as `sys:replace_state` does: nothing else happens.
    pub fn replace_state(&mut self, state: Term) {
        self.state = state;
    }

    /// Whether the last transition asked for hibernation.
    pub const fn hibernates(&self) -> bool {
        self.hibernate
    }

    /// Whether nothing is left to do but to wait for a message, and no event or timeout is remembered.
    pub fn is_at_rest(&self) -> bool {
        self.queue.is_empty()
            && self.postponed.is_empty()
            && self.timeouts.is_empty()
            && self.pending.is_none()
    }

    /// Whether [`Core::next_event`] has one.
    pub fn has_event(&self) -> bool {
        !self.queue.is_empty() || self.timeouts.has_due()
    }

    /// The next event, or nothing when the machine waits for a message.
    pub fn next_event(&mut self) -> Option<Event> {
        self.queue.pop_front().or_else(|| self.timeouts.pop_due())
    }

    /// An event comes after all that are queued. An owner that reads messages only while [`Core::next_event`] has none
    /// may as well handle it at once.
    pub fn arrived(&mut self, event: Event) {
        self.queue.push_back(event);
    }

    /// A timer is over: the event of its timeout, unless it was cancelled.
    pub fn fired(&mut self, token: TimerToken) -> Option<Event> {
        self.timeouts.fired(token)
    }

    /// Gives back spare capacity.
    pub fn shrink(&mut self) {
        self.queue.shrink_to_fit();
        self.postponed.shrink_to_fit();
        self.effects.shrink_to_fit();
    }

    /// What the owner is to do, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// The machine starts: its first state is entered with the actions of init.
    ///
    /// # Errors
    /// If init postponed: there is no event to postpone.
    pub fn begin(&mut self, actions: Vec<Action>) -> Result<Progress, TransitionError> {
        if actions.contains(&Action::Postpone) {
            return Err(TransitionError::ActionOnEntry("postpone"));
        }
        self.pending = Some(Box::new(Pending { previous: self.state.clone(), ..Pending::default() }));
        Ok(self.proceed(self.state_enter, actions))
    }

    /// `event` was handled with this result.
    pub fn handled(&mut self, event: Event, change: Change, actions: Vec<Action>) -> Progress {
        let previous = self.state.clone();
        let enters = match change {
            Change::Keep => false,
            Change::Repeat => true,
            Change::To(state) => {
                self.state = state;
                self.state != previous
            }
        };
        self.pending = Some(Box::new(Pending { event: Some(event), previous, ..Pending::default() }));
        self.proceed(enters && self.state_enter, actions)
    }

    /// The state enter call ended with this result.
    ///
    /// # Errors
    /// If it asked for what only an event may: the machine then crashes.
    pub fn entered(&mut self, change: Change, actions: Vec<Action>) -> Result<Progress, TransitionError> {
        let repeats = match change {
            Change::Keep => false,
            Change::Repeat => true,
            Change::To(state) if state == self.state => false,
            Change::To(state) => return Err(TransitionError::ChangeOnEntry(state)),
        };
        if let Some(name) = actions.iter().find_map(Action::forbidden_on_entry) {
            return Err(TransitionError::ActionOnEntry(name));
        }
        Ok(self.proceed(repeats, actions))
    }

    /// Collects a callback's actions; ends the transition unless the state is to be entered first.
    fn proceed(&mut self, enters: bool, actions: Vec<Action>) -> Progress {
        let mut pending = self.pending.take().unwrap_or_default();
        for action in actions {
            match action {
                Action::Postpone => pending.postpone = true,
                Action::Hibernate => pending.hibernate = true,
                Action::Reply(to, reply) => self.effects.push(Effect::Reply(to, reply)),
                Action::NextEvent(event) => pending.inserted.push(event),
                Action::Timeout(kind, change) => pending.timeouts.push((kind, change)),
            }
        }
        if enters {
            let previous = pending.previous.clone();
            self.pending = Some(pending);
            return Progress::Enter { previous };
        }
        self.finish(*pending);
        Progress::Done
    }

    fn finish(&mut self, pending: Pending) {
        self.hibernate = pending.hibernate;
        if pending.postpone {
            self.postponed.extend(pending.event);
        }
        self.timeouts.cancel(&TimeoutKind::Event, &mut self.effects);
        if self.state != pending.previous {
            self.timeouts.cancel(&TimeoutKind::State, &mut self.effects);
            for event in self.postponed.drain(..).rev() {
                self.queue.push_front(event);
            }
        }
        for event in pending.inserted.into_iter().rev() {
            self.queue.push_front(event);
        }
        self.timeouts.change(pending.timeouts, &mut self.effects);
    }
}

#[cfg(test)]
mod tests;
