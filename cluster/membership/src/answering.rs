//! The side of a stream between voters that answers: checks who speaks, hands each frame to the voter if it is in that one's
//! name, and sends what that says, in the order in which it is said.
//!
//! Bounds: frames being answered a stream, and answers that wait to be sent. Who reads no answers is read no further.

use crate::hello::Introduction;
use crate::recognition::PeerNode;
use arsenal_proto::internal::v1::raft_message::Content;
use arsenal_proto::internal::v1::raft_service_server::RaftService;
use arsenal_proto::internal::v1::{RaftFrame, RaftMessage, Refusal};
use arsenal_raft::Group;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Frames of one stream that are being answered.
pub(crate) const IN_FLIGHT_MAX: usize = 256;
/// Answers that wait to be sent.
const ANSWERS_MAX: usize = 64;
/// How long who opened a stream may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// A voter that answers, and how it introduces itself.
#[derive(Clone)]
pub struct Voting {
    /// The voter.
    pub group: Group,
    /// As whom it speaks.
    pub introduction: Introduction,
}

/// Answers frames while there is a voter; its streams end with it.
#[derive(Clone)]
pub struct Answering {
    voting: watch::Receiver<Option<Voting>>,
    /// Where frames are taken: what the first one of the log begins stays there.
    thread: Handle,
}

impl Voting {
    /// The version of the protocol between nodes that its cluster agreed on, as far as it knows.
    pub(crate) fn agreed(&self) -> u32 {
        self.group.look(|state| state.nodes().protocol())
    }

    /// How it introduces itself now.
    fn introduce(&self) -> Introduction {
        self.introduction.clone().since(self.agreed())
    }
}

type Sender = mpsc::Sender<Result<RaftMessage, Status>>;

impl Answering {
    /// Answers for the voter that will be, or is, there. It runs on `thread`, and nowhere else: whoever votes must not be late
    /// because requests are many.
    pub fn new(voting: watch::Receiver<Option<Voting>>, thread: Handle) -> Self {
        Self { voting, thread }
    }

    /// The voter to answer for, and the number that the other side has said it has, once `peer` may be that node.
    async fn greet(
        &self,
        incoming: &mut Streaming<RaftMessage>,
        peer: Option<&PeerNode>,
    ) -> Result<(Voting, u64), String> {
        let first = tokio::time::timeout(HELLO_TIMEOUT, incoming.message()).await;
        let first = first.map_err(|_| "nothing was said".to_owned())?.map_err(|status| status.to_string())?;
        let Some(Content::Hello(theirs)) = first.and_then(|message| message.content) else {
            return Err("the first message says who speaks".to_owned());
        };
        let Some(voting) = self.voting.borrow().clone() else {
            // versions first: they may be why it never will be one
            Introduction::new(0, 0).agree(&theirs)?;
            return Err("this node is no voter yet".to_owned());
        };
        voting.introduce().agree(&theirs)?;
        check_speaker(&voting.group, peer, theirs.node)?;
        Ok((voting, theirs.node))
    }

    /// Returns once the voter is gone that was greeted for.
    async fn gone(mut self) {
        // whoever would tell is gone with it
        let _ = self.voting.wait_for(Option::is_none).await;
    }

    async fn serve(self, mut incoming: Streaming<RaftMessage>, peer: Option<PeerNode>, answers: Sender) {
        let (voting, sender) = match self.greet(&mut incoming, peer.as_ref()).await {
            Ok(greeted) => greeted,
            Err(reason) => {
                tracing::info!(%reason, "a stream of another voter is refused");
                // who asked may be gone
                let _ = answers.send(Ok(message(Content::Refusal(Refusal { reason })))).await;
                return;
            }
        };
        if answers.send(Ok(message(Content::Hello(voting.introduce().hello())))).await.is_err() {
            return;
        }
        let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        let thread = self.thread.clone();
        let mut gone = pin!(self.gone());
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let content = tokio::select! {
                () = answers.closed() => return,
                () = &mut gone => return,
                next = incoming.message() => match next {
                    Ok(Some(next)) => next.content,
                    Ok(None) | Err(_) => return,
                },
            };
            let Some(Content::Request(RaftFrame { correlation, frame })) = content else { return };
            let (group, answers) = (voting.group.clone(), answers.clone());
            thread.spawn(async move {
                let frame = group.receive_from(sender, frame).await;
                // who asked may be gone
                let _ = answers.send(Ok(message(Content::Answer(RaftFrame { correlation, frame })))).await;
                drop(place);
            });
        }
    }
}

/// Whether who says that it is this node may be it, by the addresses that the voters know; 0 is no node yet.
///
/// # Errors
/// Why not, for both sides to read.
pub(crate) fn check_speaker(group: &Group, peer: Option<&PeerNode>, node: u64) -> Result<(), String> {
    // who had to show that it is a node and did not was refused before
    let (Some(peer), Ok(node @ 1..)) = (peer, u32::try_from(node)) else { return Ok(()) };
    let may_be = group.look(|state| {
        let nodes = state.nodes().nodes().iter();
        peer.may_be(node, nodes.map(|(id, record)| (*id, &*record.candidate.address)))
    });
    if may_be { Ok(()) } else { Err(format!("the certificate of `{}` is not that of n{node}", peer.name())) }
}

pub(crate) fn message(content: Content) -> RaftMessage {
    RaftMessage { content: Some(content) }
}

#[tonic::async_trait]
impl RaftService for Answering {
    type ExchangeStream = ReceiverStream<Result<RaftMessage, Status>>;

    async fn exchange(
        &self,
        request: Request<Streaming<RaftMessage>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let (answers, stream) = mpsc::channel(ANSWERS_MAX);
        let peer = PeerNode::of(request.extensions()).cloned();
        tokio::spawn(self.clone().serve(request.into_inner(), peer, answers));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
