//! What becomes of a signal that a carrier does not take: nobody waits for ever for what will not come.
//!
//! Invariants: a refused message is a dead letter, and its caller hears why; of a signal that is too big what others wait
//! for arrives nevertheless, with `system_limit` in the place of what it says.

use super::Parcel;
use crate::dead_letters::DeadLetterReason;
use crate::message::{Kind, Message, Signal};
use crate::node::Node;
use crate::outbox::Outbox;
use crate::pid::Pid;
use crate::term::Term;

/// What Erlang calls a bound of the system, here of a signal's bytes.
const SYSTEM_LIMIT: Term = Term::Atom("system_limit");

impl Outbox {
    /// There is no room for it.
    pub(super) fn refused(&mut self, node: &Node, parcel: Parcel) {
        let to = parcel.to.stand_in();
        match parcel.signal {
            Signal::Message(message) => self.drop_message(node, to, message, Term::Atom("queue_full")),
            signal => self.bounce(node, to, signal),
        }
    }

    /// No carrier takes it, however little waits.
    #[cold]
    pub(super) fn too_big(&mut self, node: &Node, parcel: Parcel) {
        let Parcel { to, signal, via } = parcel;
        let reason = SYSTEM_LIMIT;
        let signal = match signal {
            Signal::Message(Message { kind: Kind::Reply, from, reference: Some(reference), .. }) => {
                Signal::Down { reference, from, object: from.into(), reason }
            }
            Signal::Message(message) => return self.drop_message(node, to.stand_in(), message, reason),
            Signal::Exit { from, .. } => Signal::Exit { from, reason },
            Signal::LinkExit { from, .. } => Signal::LinkExit { from, reason },
            Signal::Kill { from, .. } => Signal::Kill { from, reason },
            Signal::Down { reference, from, object, .. } => Signal::Down { reference, from, object, reason },
            signal => return self.bounce(node, to.stand_in(), signal),
        };
        self.flush(node);
        // it is small now; that the connection is lost is told to all
        node.remote().carry(&Parcel { to, signal, via });
    }

    fn drop_message(&mut self, node: &Node, to: Pid, message: Message, reason: Term) {
        let call = message.reply_to().filter(|_| message.kind == Kind::Call);
        node.lost(to, [message], DeadLetterReason::Limit);
        if let Some(call) = call {
            let down = Signal::Down { reference: call.reference, from: to, object: Term::Pid(to), reason };
            self.send(node, call.to, down);
        }
    }
}
