//! Sessions: a client as a process. `SessionService`.
//!
//! A session's state is its process: the mailbox is the runtime's, the lease is the time that the process waits, its
//! id is the process's serial. Nothing of it is kept here.

mod delivery;
mod mailbox;
mod process;
mod stream;

use crate::Shared;
use crate::caller::Caller;
use arsenal_proto::v1::{self, session_service_server::SessionService};
use arsenal_runtime::Node;
use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status, Streaming};

/// The sessions of a node as a service.
#[derive(Clone, Debug)]
pub struct SessionApi {
    shared: Shared,
}

impl SessionApi {
    /// Serves the sessions of this node.
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }

    fn node(&self) -> &Node {
        &self.shared.node
    }
}

type Answer<T> = Result<Response<T>, Status>;
type Answers<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl SessionService for SessionApi {
    type OpenSessionStream = Answers<v1::OpenSessionResponse>;

    async fn open_session(
        &self,
        request: Request<Streaming<v1::OpenSessionRequest>>,
    ) -> Answer<Self::OpenSessionStream> {
        let caller = Caller::of(&request);
        stream::open(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }

    async fn create_session(&self, request: Request<v1::CreateSessionRequest>) -> Answer<v1::Session> {
        let caller = Caller::of(&request);
        process::create(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }

    async fn get_session(&self, request: Request<v1::GetSessionRequest>) -> Answer<v1::Session> {
        process::get(self.node(), &request.into_inner()).map(Response::new)
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Answer<v1::ListSessionsResponse> {
        process::list(self.node(), &request.into_inner()).map(Response::new)
    }

    async fn renew_session(&self, request: Request<v1::RenewSessionRequest>) -> Answer<v1::Session> {
        let caller = Caller::of(&request);
        process::renew(self.node(), &caller, &request.into_inner()).map(Response::new)
    }

    async fn receive_messages(
        &self,
        request: Request<v1::ReceiveMessagesRequest>,
    ) -> Answer<v1::ReceiveMessagesResponse> {
        let caller = Caller::of(&request);
        mailbox::receive(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }

    type WatchSessionMessagesStream = Answers<v1::Delivery>;

    async fn watch_session_messages(
        &self,
        request: Request<v1::WatchSessionMessagesRequest>,
    ) -> Answer<Self::WatchSessionMessagesStream> {
        let caller = Caller::of(&request);
        mailbox::watch(self.node(), &caller, &request.into_inner()).map(Response::new)
    }

    async fn reply_message(
        &self,
        request: Request<v1::ReplyMessageRequest>,
    ) -> Answer<v1::ReplyMessageResponse> {
        let caller = Caller::of(&request);
        mailbox::reply(self.node(), &caller, request.into_inner()).map(Response::new)
    }

    async fn close_session(
        &self,
        request: Request<v1::CloseSessionRequest>,
    ) -> Answer<v1::CloseSessionResponse> {
        let caller = Caller::of(&request);
        process::close(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }
}
