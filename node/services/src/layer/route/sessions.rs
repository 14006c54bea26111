//! The session that a request acts for, where it is not of the node that was asked, or the request is answered elsewhere.
//!
//! Invariants: every use of a session renews its lease and one that has ended is refused, whichever node was asked; the
//! node that was asked sees to it, and whoever answers in its place takes its word. A session of another node is asked for
//! there once in [`FRESH`], not at each use: a lease that is shorter has to be renewed by its client.

use super::origin::ask_for;
use super::{ForeignSession, Router, SESSION};
use crate::caller::{Principal, own_session};
use crate::status::failure;
use crate::wire::Call;
use arsenal_proto::v1::RenewSessionRequest;
use arsenal_proto::v1::session_service_client::SessionServiceClient;
use arsenal_runtime::{OwnedId, Pid};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tonic::{Code, Request, Status};

/// How long what the session's node has said of it is good for.
const FRESH: Duration = Duration::from_secs(1);
/// How long that node may take to say it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Sessions of other nodes that are remembered.
const REMEMBERED_MAX: usize = 65_536;

/// A session, and for whom it was renewed: who else asks is asked about anew.
type Used = (Pid, Option<Principal>);

/// The sessions of other nodes that were renewed from here, and when.
#[derive(Debug, Default)]
pub(super) struct Renewed(Mutex<HashMap<Used, Instant>>);

impl Renewed {
    fn is_fresh(&self, session: &Used, now: Instant) -> bool {
        self.0.lock().get(session).is_some_and(|then| now.duration_since(*then) < FRESH)
    }

    /// Remembers one; where there are too many, those are forgotten that say nothing any more, and then all.
    fn note(&self, session: Used, now: Instant) {
        let mut sessions = self.0.lock();
        if sessions.len() >= REMEMBERED_MAX {
            sessions.retain(|_, then| now.duration_since(*then) < FRESH);
        }
        if sessions.len() >= REMEMBERED_MAX {
            sessions.clear();
        }
        sessions.insert(session, now);
    }
}

/// A session of another node, as the caller named it, and who asks.
pub(super) struct Elsewhere {
    session: String,
    pid: Pid,
    principal: Option<Principal>,
}

impl Router {
    /// Notes that the request's session is of another node of the cluster.
    pub(super) fn mark_session(&self, call: &mut Call) {
        let Some((_, pid)) = session(call) else { return };
        if pid.node != self.shared.node.id() && self.shared.is_up(pid.node) {
            call.request.extensions_mut().insert(ForeignSession);
        }
    }

    /// The session of another node that has to be asked for there before this request, which a client sent, is answered.
    pub(super) fn unsure_of(&self, call: &Call) -> Option<Pid> {
        call.request.extensions().get::<ForeignSession>()?;
        let (_, pid) = session(call)?;
        let used = (pid, call.request.extensions().get::<Principal>().cloned());
        let known = self.is_sent_on(call) || self.renewed.is_fresh(&used, Instant::now());
        Some(pid).filter(|_| !known)
    }

    /// Uses the session of a request that is answered on the node `there`, or here: renews its lease, where whoever answers
    /// does not. Gives a session that has to be renewed on its own node.
    pub(super) fn use_session(&self, call: &Call, there: Option<u32>) -> Result<Option<Elsewhere>, Status> {
        let Some((text, pid)) = session(call) else { return Ok(None) };
        if call.request.extensions().get::<ForeignSession>().is_none() {
            return if there.is_some() { self.renew_here(call, text).map(|()| None) } else { Ok(None) };
        }
        // its own node renews it as it answers
        let unsure = self.unsure_of(call).filter(|pid| there != Some(pid.node));
        let principal = call.request.extensions().get::<Principal>().cloned();
        Ok(unsure.map(|_| Elsewhere { session: text.to_owned(), pid, principal }))
    }

    /// Where a request is answered nobody knows whether a session of this node lives.
    fn renew_here(&self, call: &Call, session: &str) -> Result<(), Status> {
        let node = &self.shared.node;
        let pid = own_session(node, session, call.request.extensions().get())?;
        // one that ended just now has no lease
        let _ = node.renew_receive(pid, None);
        Ok(())
    }

    /// Has the node of a session renew it.
    pub(super) async fn renew_there(&self, elsewhere: Elsewhere) -> Result<(), Status> {
        let Elsewhere { session, pid, principal } = elsewhere;
        let away = |why: String| {
            let message =
                format!("nothing was done for session `{session}`: n{}, which has it, {why}", pid.node);
            failure(Code::Unavailable, "NOCONNECTION", message).resource("session", &session).status()
        };
        let channel = self.shared.nodes.channel(pid.node);
        let mut client =
            SessionServiceClient::new(channel.map_err(|error| away(format!("is away: {error}")))?);
        let mut request = Request::new(RenewSessionRequest { session: session.clone(), lease: None });
        ask_for(principal.as_ref(), request.metadata_mut());
        let now = Instant::now();
        let renewed = tokio::time::timeout(PATIENCE, client.renew_session(request)).await;
        match renewed.map_err(|_| away(format!("does not answer within {PATIENCE:?}")))? {
            Ok(_) => {}
            // it lives by its stream, and has no lease
            Err(status) if status.code() == Code::FailedPrecondition => {}
            Err(status) if matches!(status.code(), Code::NotFound | Code::PermissionDenied) => {
                return Err(status);
            }
            Err(status) => return Err(away(format!("does not say whether it lives: {}", status.message()))),
        }
        self.renewed.note((pid, principal), now);
        Ok(())
    }
}

/// The session that a request acts for, if its header has the form of one, and its process.
fn session(call: &Call) -> Option<(&str, Pid)> {
    let text = call.request.headers().get(&SESSION)?.to_str().ok()?;
    let id = text.parse::<OwnedId>().ok()?;
    Some((text, Pid::new(id.node, id.incarnation, id.number())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_of_a_session_is_good_for_a_second_and_of_no_other_and_for_nobody_else() {
        let (renewed, now) = (Renewed::default(), Instant::now());
        let session = (Pid::new(2, 1, 7), Some(Principal::new("alice")));
        assert!(!renewed.is_fresh(&session, now));
        renewed.note(session.clone(), now);
        assert!(renewed.is_fresh(&session, now + FRESH / 2));
        assert!(!renewed.is_fresh(&session, now + FRESH));
        assert!(!renewed.is_fresh(&(Pid::new(2, 2, 7), session.1), now));
        for other in [None, Some(Principal::new("bob"))] {
            assert!(!renewed.is_fresh(&(session.0, other), now));
        }
    }

    #[test]
    fn no_more_sessions_are_remembered_than_there_is_room_for() {
        let (renewed, now) = (Renewed::default(), Instant::now());
        for serial in 0..=REMEMBERED_MAX as u64 {
            renewed.note((Pid::new(2, 1, serial), None), now);
        }
        assert!(renewed.0.lock().len() <= REMEMBERED_MAX);
        assert!(renewed.is_fresh(&(Pid::new(2, 1, REMEMBERED_MAX as u64), None), now));
    }
}
