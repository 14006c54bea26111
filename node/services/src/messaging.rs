//! Messages: `MessagingService`.
//!
//! Sending, calling and timers are the node's; what waits in a mailbox is told by `arsenal_observe::mailbox` and changed
//! by the runtime's surgery; handlers are the event manager's. This file only says which RPC is which call.

mod analysis;
mod call;
mod carried;
mod dead_letters;
mod deadline;
mod envelope;
mod handlers;
mod mailbox;
mod queue;
mod send;
mod surgery;
mod timers;

pub(crate) use send::check_count;

use crate::Shared;
use crate::caller::Caller;
use arsenal_observe::queue_history::QueueHistory;
use arsenal_proto::v1::{self, messaging_service_server::MessagingService};
use deadline::Deadline;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The messages of a node as a service.
#[derive(Clone, Debug)]
pub struct MessagingApi {
    shared: Shared,
    history: Arc<QueueHistory>,
}

impl MessagingApi {
    /// Serves the messages of this node.
    pub fn new(shared: Shared) -> Self {
        Self { shared, history: Arc::default() }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl MessagingService for MessagingApi {
    async fn send_message(
        &self,
        request: Request<v1::SendMessageRequest>,
    ) -> Answer<v1::SendMessageResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        send::message(&self.shared, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn send_message_after(
        &self,
        request: Request<v1::SendMessageAfterRequest>,
    ) -> Answer<v1::SendMessageAfterResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        timers::start(&self.shared, &caller, request.into_inner()).map(Response::new)
    }

    async fn send_exit_signal(
        &self,
        request: Request<v1::SendExitSignalRequest>,
    ) -> Answer<v1::SendExitSignalResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        send::exit_signal(&self.shared, &caller, request.into_inner()).map(Response::new)
    }

    async fn cast_message(
        &self,
        request: Request<v1::CastMessageRequest>,
    ) -> Answer<v1::CastMessageResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        send::cast(&self.shared, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn call_process(
        &self,
        request: Request<v1::CallProcessRequest>,
    ) -> Answer<v1::CallProcessResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        let deadline = Deadline::of(&request);
        call::call(&self.shared, &caller, deadline, request.into_inner()).await.map(Response::new)
    }

    async fn call_process_sync(
        &self,
        request: Request<v1::CallProcessSyncRequest>,
    ) -> Answer<v1::CallProcessSyncResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        let deadline = Deadline::of(&request);
        call::call_sync(&self.shared, &caller, deadline, request.into_inner()).await.map(Response::new)
    }

    async fn multi_call_processes(
        &self,
        request: Request<v1::MultiCallProcessesRequest>,
    ) -> Answer<v1::MultiCallProcessesResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        let deadline = Deadline::of(&request);
        call::multi_call(&self.shared, &caller, deadline, request.into_inner()).await.map(Response::new)
    }

    async fn broadcast_message(
        &self,
        request: Request<v1::BroadcastMessageRequest>,
    ) -> Answer<v1::BroadcastMessageResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        send::broadcast(&self.shared, &caller, request.into_inner()).map(Response::new)
    }

    async fn selective_send(
        &self,
        request: Request<v1::SelectiveSendRequest>,
    ) -> Answer<v1::SelectiveSendResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        send::selective(&self.shared, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn get_message_queue_length(
        &self,
        request: Request<v1::GetMessageQueueLengthRequest>,
    ) -> Answer<v1::GetMessageQueueLengthResponse> {
        queue::length(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn flush_message_queue(
        &self,
        request: Request<v1::FlushMessageQueueRequest>,
    ) -> Answer<v1::FlushMessageQueueResponse> {
        let caller = Caller::of(&request);
        surgery::flush(&self.shared, &caller, request.into_inner()).map(Response::new)
    }

    async fn peek_message_queue(
        &self,
        request: Request<v1::PeekMessageQueueRequest>,
    ) -> Answer<v1::PeekMessageQueueResponse> {
        queue::peek(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn drain_message_queue(
        &self,
        request: Request<v1::DrainMessageQueueRequest>,
    ) -> Answer<v1::DrainMessageQueueResponse> {
        let caller = Caller::of(&request);
        surgery::drain(&self.shared, &caller, request.into_inner()).map(Response::new)
    }

    async fn filter_message_queue(
        &self,
        request: Request<v1::FilterMessageQueueRequest>,
    ) -> Answer<v1::FilterMessageQueueResponse> {
        let caller = Caller::of(&request);
        surgery::filter(&self.shared, &caller, request.into_inner()).map(Response::new)
    }

    async fn prioritize_message_queue(
        &self,
        request: Request<v1::PrioritizeMessageQueueRequest>,
    ) -> Answer<v1::PrioritizeMessageQueueResponse> {
        let caller = Caller::of(&request);
        surgery::prioritize(&self.shared, &caller, request.into_inner()).map(Response::new)
    }

    async fn get_message_queue_stats(
        &self,
        request: Request<v1::GetMessageQueueStatsRequest>,
    ) -> Answer<v1::GetMessageQueueStatsResponse> {
        queue::stats(&self.shared, &self.history, request.get_ref()).map(Response::new)
    }

    async fn inspect_mailbox(
        &self,
        request: Request<v1::InspectMailboxRequest>,
    ) -> Answer<v1::InspectMailboxResponse> {
        mailbox::inspect(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn count_mailbox_messages(
        &self,
        request: Request<v1::CountMailboxMessagesRequest>,
    ) -> Answer<v1::CountMailboxMessagesResponse> {
        mailbox::count(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn search_mailbox(
        &self,
        request: Request<v1::SearchMailboxRequest>,
    ) -> Answer<v1::SearchMailboxResponse> {
        mailbox::search(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn compact_mailbox(
        &self,
        request: Request<v1::CompactMailboxRequest>,
    ) -> Answer<v1::CompactMailboxResponse> {
        let caller = Caller::of(&request);
        surgery::compact(&self.shared, &caller, request.into_inner()).map(Response::new)
    }

    async fn analyze_mailbox_patterns(
        &self,
        request: Request<v1::AnalyzeMailboxPatternsRequest>,
    ) -> Answer<v1::AnalyzeMailboxPatternsResponse> {
        analysis::analyze(&self.shared, &self.history, request.get_ref()).map(Response::new)
    }

    async fn add_event_handler(
        &self,
        request: Request<v1::AddEventHandlerRequest>,
    ) -> Answer<v1::AddEventHandlerResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.owner).await?;
        let deadline = Deadline::of(&request);
        handlers::add(&self.shared, &caller, deadline, request.into_inner()).await.map(Response::new)
    }

    async fn delete_event_handler(
        &self,
        request: Request<v1::DeleteEventHandlerRequest>,
    ) -> Answer<v1::DeleteEventHandlerResponse> {
        let (caller, deadline) = (Caller::of(&request), Deadline::of(&request));
        handlers::delete(&self.shared, &caller, deadline, request.into_inner()).await.map(Response::new)
    }

    async fn swap_event_handler(
        &self,
        request: Request<v1::SwapEventHandlerRequest>,
    ) -> Answer<v1::SwapEventHandlerResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.owner).await?;
        let deadline = Deadline::of(&request);
        handlers::swap(&self.shared, &caller, deadline, request.into_inner()).await.map(Response::new)
    }

    async fn list_event_handlers(
        &self,
        request: Request<v1::ListEventHandlersRequest>,
    ) -> Answer<v1::ListEventHandlersResponse> {
        let (caller, deadline) = (Caller::of(&request), Deadline::of(&request));
        handlers::list(&self.shared, &caller, deadline, request.into_inner()).await.map(Response::new)
    }

    async fn notify_event_manager(
        &self,
        request: Request<v1::NotifyEventManagerRequest>,
    ) -> Answer<v1::NotifyEventManagerResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        let deadline = Deadline::of(&request);
        handlers::notify(&self.shared, &caller, deadline, request.into_inner()).await.map(Response::new)
    }

    async fn call_event_handler(
        &self,
        request: Request<v1::CallEventHandlerRequest>,
    ) -> Answer<v1::CallEventHandlerResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        let deadline = Deadline::of(&request);
        handlers::call(&self.shared, &caller, deadline, request.into_inner()).await.map(Response::new)
    }

    async fn get_timer(&self, request: Request<v1::GetTimerRequest>) -> Answer<v1::GetTimerResponse> {
        timers::get(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn list_timers(&self, request: Request<v1::ListTimersRequest>) -> Answer<v1::ListTimersResponse> {
        timers::list(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn cancel_timer(
        &self,
        request: Request<v1::CancelTimerRequest>,
    ) -> Answer<v1::CancelTimerResponse> {
        let caller = Caller::of(&request);
        timers::cancel(&self.shared, &caller, request.into_inner()).map(Response::new)
    }

    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Answer<v1::ListDeadLettersResponse> {
        dead_letters::list(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn replay_dead_letters(
        &self,
        request: Request<v1::ReplayDeadLettersRequest>,
    ) -> Answer<v1::ReplayDeadLettersResponse> {
        let caller = Caller::of(&request);
        dead_letters::replay(&self.shared, &caller, request.into_inner()).map(Response::new)
    }
}
