//! What an event manager can be asked for, as the payload of a call.

use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::Term;

/// A request to an event manager. A handler is named by its module, or by `[module, id]`.
#[derive(Clone, Debug, PartialEq)]
pub enum EventRequest {
    /// `gen_event:sync_notify/2`: answered once all handlers are done.
    SyncNotify(Term),
    /// `gen_event:call/3` to one handler.
    Call {
        /// Which handler.
        handler: Term,
        /// What it is asked.
        request: Term,
    },
    /// `gen_event:add_handler/3`, or `add_sup_handler/3` with an owner.
    Add {
        /// The new handler.
        handler: Term,
        /// What its init sees.
        args: Term,
        /// Who is linked to the manager and told of the handler's removal.
        owner: Option<Pid>,
    },
    /// `gen_event:delete_handler/3`.
    Delete {
        /// Which handler.
        handler: Term,
        /// What its terminate sees.
        argument: Term,
    },
    /// `gen_event:swap_handler/3`, or `swap_sup_handler/3` with an owner.
    Swap {
        /// The old handler.
        old: Term,
        /// What its terminate sees.
        argument: Term,
        /// The new handler.
        new: Term,
        /// What its init sees, beside what the old one left.
        args: Term,
        /// The new handler's owner; without one it keeps the old one's.
        owner: Option<Pid>,
    },
    /// `gen_event:which_handlers/1`.
    Which,
    /// The same with the handlers' owners: a list of `[handler, owner]`, null for none.
    Installed,
}

/// A payload that is no request to an event manager.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("an event manager does not know the request {0}")]
pub struct EventRequestError(pub Term);

impl EventRequest {
    /// The payload that says so.
    pub fn to_term(&self) -> Term {
        let tag = Term::Atom(self.tag());
        match self.clone() {
            Self::SyncNotify(event) => [tag, event].into(),
            Self::Call { handler, request } => [tag, handler, request].into(),
            Self::Add { handler, args, owner: None } => [tag, handler, args].into(),
            Self::Add { handler, args, owner: Some(owner) } => [tag, handler, args, owner.into()].into(),
            Self::Delete { handler, argument } => [tag, handler, argument].into(),
            Self::Swap { old, argument, new, args, owner: None } => [tag, old, argument, new, args].into(),
            Self::Swap { old, argument, new, args, owner: Some(owner) } => {
                [tag, old, argument, new, args, owner.into()].into()
            }
            Self::Which | Self::Installed => tag,
        }
    }

    const fn tag(&self) -> &'static str {
        match self {
            Self::SyncNotify(_) => "sync_notify",
            Self::Call { .. } => "call",
            Self::Add { owner: None, .. } => "add_handler",
            Self::Add { .. } => "add_sup_handler",
            Self::Delete { .. } => "delete_handler",
            Self::Swap { owner: None, .. } => "swap_handler",
            Self::Swap { .. } => "swap_sup_handler",
            Self::Which => "which_handlers",
            Self::Installed => "installed_handlers",
        }
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// If it is none of these requests.
    pub fn from_term(payload: &Term) -> Result<Self, EventRequestError> {
        let arguments = payload.as_list().and_then(|terms| terms.get(1..)).unwrap_or_default();
        let owner = |term: &Term| term.as_pid().ok_or_else(|| EventRequestError(payload.clone())).map(Some);
        match (payload.tag(), arguments) {
            (Some("which_handlers"), []) => Ok(Self::Which),
            (Some("installed_handlers"), []) => Ok(Self::Installed),
            (Some("sync_notify"), [event]) => Ok(Self::SyncNotify(event.clone())),
            (Some("call"), [handler, request]) => {
                Ok(Self::Call { handler: handler.clone(), request: request.clone() })
            }
            (Some("add_handler"), [handler, args]) => {
                Ok(Self::Add { handler: handler.clone(), args: args.clone(), owner: None })
            }
            (Some("add_sup_handler"), [handler, args, pid]) => {
                Ok(Self::Add { handler: handler.clone(), args: args.clone(), owner: owner(pid)? })
            }
            (Some("delete_handler"), [handler, argument]) => {
                Ok(Self::Delete { handler: handler.clone(), argument: argument.clone() })
            }
            (Some("swap_handler"), [old, argument, new, args]) => Ok(Self::Swap {
                old: old.clone(),
                argument: argument.clone(),
                new: new.clone(),
                args: args.clone(),
                owner: None,
            }),
            (Some("swap_sup_handler"), [old, argument, new, args, pid]) => Ok(Self::Swap {
                old: old.clone(),
                argument: argument.clone(),
                new: new.clone(),
                args: args.clone(),
                owner: owner(pid)?,
            }),
            _ => Err(EventRequestError(payload.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_back_as_it_was_written() {
        let owner = Some(Pid::new(1, 1, 7));
        let handler = || Term::tagged("log", Term::Int(1));
        for request in [
            EventRequest::Which,
            EventRequest::Installed,
            EventRequest::SyncNotify("ping".into()),
            EventRequest::Call { handler: handler(), request: "count".into() },
            EventRequest::Add { handler: handler(), args: Term::Null, owner: None },
            EventRequest::Add { handler: handler(), args: Term::Null, owner },
            EventRequest::Delete { handler: handler(), argument: "args".into() },
            EventRequest::Swap {
                old: handler(),
                argument: "swap".into(),
                new: "count".into(),
                args: Term::Null,
                owner,
            },
        ] {
            assert_eq!(EventRequest::from_term(&request.to_term()), Ok(request));
        }
    }

    #[test]
    fn an_owner_that_is_no_pid_is_refused() {
        let payload: Term = ["add_sup_handler".into(), "log".into(), Term::Null, "nobody".into()].into();
        assert!(EventRequest::from_term(&payload).is_err());
    }
}
