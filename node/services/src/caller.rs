//! Who asks: the session that the request acts for, its principal, and the operation id, as the layers have found them; and
//! for whom a client may act.

use crate::Shared;
use crate::cluster::ask;
use crate::layer::route::ask_for;
use crate::reference;
use crate::status::{bad_argument, failure, no_process};
use arsenal_proto::v1::GetSessionRequest;
use arsenal_proto::v1::session_service_client::SessionServiceClient;
use arsenal_runtime::hold::Holder;
use arsenal_runtime::{Node, OwnedId, Pid};
use std::sync::Arc;
use tonic::{Code, Request, Status};

/// The header that names the caller's session.
pub const SESSION_HEADER: &str = "arsenal-session";
/// Who asks where TLS does not say.
pub const ANONYMOUS: &str = "anonymous";

/// The number behind `arsenal-operation-id`, put into the request's extensions by [`crate::layer`].
#[derive(Clone, Copy, Debug)]
pub struct Operation(pub u64);

/// The process of the session that the request acts for, put into its extensions by [`crate::layer`], which has made sure of
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acting(pub Pid);

/// Who asks, by the certificate that the client has shown. Whoever accepts its connection puts this into the extensions of
/// its requests; nothing that a request says becomes one, save what another node of the cluster says of a request that it
/// was asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal(Arc<str>);

impl Principal {
    /// Known by this name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// Who asks.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    session: Option<Pid>,
    principal: Option<Principal>,
    /// The operation's number, 0 for a read.
    pub operation: u64,
}

impl Caller {
    /// Reads what the layers have put into the request's extensions.
    pub fn of<T>(request: &Request<T>) -> Self {
        let session = request.extensions().get::<Acting>().map(|acting| acting.0);
        let operation = request.extensions().get::<Operation>().map_or(0, |operation| operation.0);
        let principal = request.extensions().get::<Principal>().cloned();
        Self { session, principal, operation }
    }

    /// As [`Caller::of`], of a request that names the process that acts in `field`. One of another node may be a session, of
    /// which that node alone knows who may use it: it is asked, where nodes know who their clients are.
    ///
    /// # Errors
    /// `PERMISSION_DENIED NOT_OWNER`; `UNAVAILABLE`, `DEADLINE_EXCEEDED` if that node does not say.
    pub(crate) async fn naming<T>(
        shared: &Shared,
        request: &Request<T>,
        field: impl Fn(&T) -> &str,
    ) -> Result<Self, Status> {
        let (caller, text) = (Self::of(request), field(request.get_ref()));
        if text.is_empty() || shared.recognition.is_open() || !shared.is_clustered() {
            return Ok(caller);
        }
        // what means no process is for the handler to refuse
        let Ok(pid) = reference::pid(&shared.node, "", text) else { return Ok(caller) };
        if caller.session != Some(pid) && shared.is_elsewhere(pid) {
            caller.ask_for_whom(shared, pid).await?;
        }
        Ok(caller)
    }

    /// Has the node of a process say whether it is a session of another.
    async fn ask_for_whom(&self, shared: &Shared, pid: Pid) -> Result<(), Status> {
        let session = session_id(pid).to_string();
        let request = self.asking(GetSessionRequest { session });
        let found = ask::one(shared, pid.node, ask::TIMEOUT_DEFAULT, |channel| async move {
            SessionServiceClient::new(channel).get_session(request).await.map(tonic::Response::into_inner)
        });
        match found.await {
            Ok(found) => permit(pid, &found.principal, self.principal.as_ref()),
            Err(status) if status.code() == Code::NotFound => Ok(()),
            Err(status) => Err(status),
        }
    }

    /// The process of the caller's session; nothing without a session.
    pub fn session(&self) -> Option<Pid> {
        self.session
    }

    /// The process of a session that the caller may use.
    ///
    /// # Errors
    /// As [`own_session`].
    pub(crate) fn own_session(&self, node: &Node, session: &str) -> Result<Pid, Status> {
        own_session(node, session, self.principal.as_ref())
    }

    /// The acting process: the one named in `field`, else the session's; nothing if there is neither.
    ///
    /// # Errors
    /// `NOT_FOUND CALLER_NOPROC` if the one named is not alive; as [`Caller::for_whom`].
    pub fn acting(&self, node: &Node, field: &str, text: &str) -> Result<Option<Pid>, Status> {
        if text.is_empty() {
            return Ok(self.session);
        }
        let pid = reference::pid(node, field, text)?;
        // whether a process of another node lives is not known here
        if node.is_alive(pid) || pid.node != node.id() {
            return self.for_whom(node, pid).map(Some);
        }
        let message = format!("the acting process {pid} is not alive");
        Err(failure(Code::NotFound, "CALLER_NOPROC", message).resource("process", &pid.to_string()).status())
    }

    /// As [`Caller::acting`], where a process is needed.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming `field` if there is none.
    pub fn required(&self, node: &Node, field: &str, text: &str) -> Result<Pid, Status> {
        self.acting(node, field, text)?.ok_or_else(|| {
            bad_argument(
                field,
                format!("`{field}` names no process and the request has no `{SESSION_HEADER}` header"),
            )
        })
    }

    /// The process that acts because the request names it: one that is a session acts for those alone who may use the
    /// session.
    ///
    /// # Errors
    /// `PERMISSION_DENIED NOT_OWNER`.
    pub(crate) fn for_whom(&self, node: &Node, pid: Pid) -> Result<Pid, Status> {
        let is_session = node.process(pid).is_some_and(|process| node.header(&process).session);
        if !is_session || self.session == Some(pid) {
            return Ok(pid);
        }
        owned(node, pid, self.principal.as_ref())
    }

    /// Who asks, as TLS tells it; [`ANONYMOUS`] where it does not.
    pub fn principal(&self) -> &str {
        self.principal.as_ref().map_or(ANONYMOUS, Principal::name)
    }

    /// Who asks, as TLS tells it; empty where it does not.
    pub(crate) fn authenticated(&self) -> &str {
        self.principal.as_ref().map_or("", Principal::name)
    }

    /// A question that this node asks, of another or of itself, in the name of whoever asked it.
    pub(crate) fn asking<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        ask_for(self.principal.as_ref(), request.metadata_mut());
        if let Some(principal) = &self.principal {
            request.extensions_mut().insert(principal.clone());
        }
        request
    }

    /// Who holds: the process or principal named in `field`, else the session's process, else the caller's principal.
    ///
    /// # Errors
    /// `NOT_FOUND NOPROC` of a process that is not alive; as [`Caller::for_whom`].
    pub fn holder(&self, node: &Node, text: &str) -> Result<Holder, Status> {
        if text.is_empty() {
            return Ok(match self.session {
                Some(pid) => Holder::Process(pid),
                None => Holder::Principal(self.principal().into()),
            });
        }
        match text.parse::<Pid>() {
            Ok(pid) if node.is_alive(pid) => self.for_whom(node, pid).map(Holder::Process),
            Ok(pid) => Err(no_process(node, pid)),
            Err(_) => Ok(Holder::Principal(text.into())),
        }
    }
}

/// The process of a session: the session's number is its process's serial.
///
/// # Errors
/// `NOT_FOUND NO_SESSION`.
pub fn session_process(node: &Node, session: &str) -> Result<Pid, Status> {
    let id: OwnedId = session.parse().map_err(|_| no_session(session))?;
    let pid = Pid::new(id.node, id.incarnation, id.number());
    let is_session =
        id.kind() == b's' && node.process(pid).is_some_and(|process| node.header(&process).session);
    if is_session { Ok(pid) } else { Err(no_session(session)) }
}

/// The process of a session that whoever asks may use: its id is no secret, as ids count up, so where it is known who opened
/// it nobody else may.
///
/// # Errors
/// `NOT_FOUND NO_SESSION`, `PERMISSION_DENIED NOT_OWNER`.
pub(crate) fn own_session(node: &Node, session: &str, principal: Option<&Principal>) -> Result<Pid, Status> {
    owned(node, session_process(node, session)?, principal)
}

/// As [`own_session`], by its process.
fn owned(node: &Node, pid: Pid, principal: Option<&Principal>) -> Result<Pid, Status> {
    permit(pid, &node.session_owner(pid), principal).map(|()| pid)
}

/// Whether this principal may use a session of `owner`, who is empty where nobody knows.
fn permit(pid: Pid, owner: &str, principal: Option<&Principal>) -> Result<(), Status> {
    if owner.is_empty() || owner == principal.map_or("", Principal::name) {
        return Ok(());
    }
    let asks = principal.map_or(ANONYMOUS, Principal::name);
    let session = session_id(pid).to_string();
    let message = format!("session `{session}` was opened by another than `{asks}`");
    Err(failure(Code::PermissionDenied, "NOT_OWNER", message).resource("session", &session).status())
}

/// `NOT_FOUND NO_SESSION`.
pub(crate) fn no_session(session: &str) -> Status {
    failure(Code::NotFound, "NO_SESSION", format!("no session `{session}`"))
        .resource("session", session)
        .status()
}

/// The id of the session whose process this is.
pub fn session_id(pid: Pid) -> OwnedId {
    OwnedId::new(pid.node, pid.incarnation, b's', pid.serial)
}

#[cfg(test)]
mod tests;
