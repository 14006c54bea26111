//! Who asks: the session in the header `arsenal-session`, and the operation id that the layer gave the request.

use crate::layer::route::{ForeignSession, ask_for};
use crate::reference;
use crate::status::{bad_argument, failure, no_process};
use arsenal_runtime::hold::Holder;
use arsenal_runtime::{Node, OwnedId, Pid};
use http::HeaderName;
use std::sync::Arc;
use tonic::{Code, Request, Status};

/// The header that names the caller's session.
pub const SESSION_HEADER: &str = "arsenal-session";
/// As a name that needs no parsing at each request.
const SESSION: HeaderName = HeaderName::from_static(SESSION_HEADER);
/// Who asks where TLS does not say.
pub const ANONYMOUS: &str = "anonymous";

/// The number behind `arsenal-operation-id`, put into the request's extensions by [`crate::layer`].
#[derive(Clone, Copy, Debug)]
pub struct Operation(pub u64);

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
    session: Option<String>,
    principal: Option<Principal>,
    /// The session is of another node, which alone knows whether it lives.
    foreign: bool,
    /// The operation's number, 0 for a read.
    pub operation: u64,
}

impl Caller {
    /// Reads the request's headers.
    pub fn of<T>(request: &Request<T>) -> Self {
        let session = request.metadata().as_ref().get(&SESSION).and_then(|value| value.to_str().ok());
        let operation = request.extensions().get::<Operation>().map_or(0, |operation| operation.0);
        let principal = request.extensions().get::<Principal>().cloned();
        let foreign = request.extensions().get::<ForeignSession>().is_some();
        Self { session: session.map(str::to_owned), principal, foreign, operation }
    }

    /// The process of the caller's session; nothing without a session.
    ///
    /// # Errors
    /// As [`Caller::own_session`].
    pub fn session(&self, node: &Node) -> Result<Option<Pid>, Status> {
        let Some(text) = &self.session else { return Ok(None) };
        if self.foreign {
            let id: OwnedId = text.parse().map_err(|_| no_session(text))?;
            return Ok(Some(Pid::new(id.node, id.incarnation, id.number())));
        }
        let pid = self.own_session(node, text)?;
        // every use of a session renews its lease; one that ended just now has none
        let _ = node.renew_receive(pid, None);
        Ok(Some(pid))
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
    /// `NOT_FOUND CALLER_NOPROC` if the one named is not alive.
    pub fn acting(&self, node: &Node, field: &str, text: &str) -> Result<Option<Pid>, Status> {
        if text.is_empty() {
            return self.session(node);
        }
        let pid = reference::pid(node, field, text)?;
        // whether a process of another node lives is not known here
        if node.is_alive(pid) || pid.node != node.id() {
            return Ok(Some(pid));
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
    /// As [`Caller::session`].
    pub fn holder(&self, node: &Node, text: &str) -> Result<Holder, Status> {
        if text.is_empty() {
            return Ok(match self.session(node)? {
                Some(pid) => Holder::Process(pid),
                None => Holder::Principal(self.principal().into()),
            });
        }
        match text.parse::<Pid>() {
            Ok(pid) if node.is_alive(pid) => Ok(Holder::Process(pid)),
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
    let pid = session_process(node, session)?;
    let owner = node.session_owner(pid);
    let asks = principal.map_or("", Principal::name);
    if owner.is_empty() || *owner == *asks {
        return Ok(pid);
    }
    let asks = principal.map_or(ANONYMOUS, Principal::name);
    let message = format!("session `{session}` was opened by another than `{asks}`");
    Err(failure(Code::PermissionDenied, "NOT_OWNER", message).resource("session", session).status())
}

/// `NOT_FOUND NO_SESSION`.
fn no_session(session: &str) -> Status {
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
