use crate::Shared;
use crate::session::SessionApi;
use crate::wire::{Ahead, Call, Run, Table, WireLimits, encode_one, whole_message};
use arsenal_proto::v1::open_session_request::{self as request, Frame, Open};
use arsenal_proto::v1::open_session_response::{self as answer, Result as Answer};
use arsenal_proto::v1::{OpenSessionRequest, OpenSessionResponse};
use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event, Node, NodeConfig, Pid, Receive, StartOptions, Step,
};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, poll, stream};
use http::Request;
use http_body_util::BodyExt as _;
use prost::Message as _;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;
use tower::Service as _;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Takes every message and answers none.
struct Silent;

impl Body for Silent {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        if matches!(event, Event::Start) {
            context.started();
        }
        Step::Wait(Receive::any())
    }
}

fn frame(id: u64, frame: Frame) -> Bytes {
    encode_one(&OpenSessionRequest { id, frame: Some(frame) }, 1 << 10).unwrap()
}

/// The answers of a session, and how many of its frames were read.
struct Opened {
    answers: axum::body::Body,
    come: BytesMut,
    read: Arc<AtomicUsize>,
}

impl Opened {
    async fn with(node: &Node, frames: Vec<Bytes>) -> Self {
        let mut table = Table::new(WireLimits::default(), []);
        let api = SessionApi::new(Shared::alone(node.clone(), "127.0.0.1:7450"));
        arsenal_proto::v1::list_session_service(&Arc::new(api), &mut table);
        let read = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&read);
        let frames = stream::iter(frames).map(move |frame| {
            counted.fetch_add(1, Relaxed);
            Ok::<_, Infallible>(frame)
        });
        // a client that stays
        let body = axum::body::Body::from_stream(frames.chain(stream::pending()));
        let rpc = table.find("/arsenal.v1.SessionService/OpenSession");
        let call = Call { rpc, request: Request::new(body), ahead: Ahead::default() };
        let answers = Run.call(call).await.unwrap().into_body();
        let mut opened = Self { answers, come: BytesMut::new(), read };
        assert!(matches!(opened.next().await, answer::Frame::Opened(_)));
        opened
    }

    async fn next(&mut self) -> answer::Frame {
        loop {
            if let Some(message) = whole_message(&mut self.come) {
                return OpenSessionResponse::decode(&message[5..]).unwrap().frame.unwrap();
            }
            let data = tokio::time::timeout(DEADLINE, self.answers.frame()).await.unwrap().unwrap().unwrap();
            self.come.extend_from_slice(data.data_ref().unwrap());
        }
    }
}

fn call(id: u64, to: Pid) -> Bytes {
    let timeout = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    frame(id, Frame::Call(request::Call { process: to.to_string(), timeout, ..Default::default() }))
}

#[tokio::test]
async fn frames_behind_as_many_calls_as_may_wait_are_read_when_those_have_their_results() {
    const MORE: usize = 100;
    let node = Node::start(NodeConfig { schedulers: 1, ..NodeConfig::default() }).unwrap();
    let description = Arc::new(Description::native("silent", Behaviour::Plain));
    let silent = node.spawn(&description, Box::new(Silent), StartOptions::default()).unwrap().pid();
    let calls = (1..).map(|id| call(id, silent)).take(super::CALLS_MAX + MORE);
    let frames = std::iter::once(frame(0, Frame::Open(Open::default()))).chain(calls).collect();
    let mut session = Opened::with(&node, frames).await;
    quiet_until_read(&mut session, 1 + super::CALLS_MAX).await;
    assert_eq!(session.read.load(Relaxed), 1 + super::CALLS_MAX);
    node.kill(silent, "enough".into());
    for _ in 0..super::CALLS_MAX + MORE {
        let next = session.next().await;
        assert!(matches!(next, answer::Frame::Result(Answer { error: Some(_), .. })), "{next:?}");
    }
}

/// Asks for the next answer until so many frames were read: none comes.
async fn quiet_until_read(session: &mut Opened, frames: usize) {
    while session.read.load(Relaxed) < frames {
        assert!(matches!(poll!(session.answers.frame()), Poll::Pending));
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        assert!(matches!(poll!(session.answers.frame()), Poll::Pending));
    }
}

fn bye() -> arsenal_proto::Value {
    arsenal_proto::Value::from_json(&"bye".into()).unwrap()
}

/// A session whose last frames are a call that nobody answers and `close`.
async fn closing(node: &Node) -> (Pid, Opened) {
    let description = Arc::new(Description::native("silent", Behaviour::Plain));
    let silent = node.spawn(&description, Box::new(Silent), StartOptions::default()).unwrap().pid();
    let close = Frame::Close(request::Close { reason: Some(bye()) });
    let frames = vec![frame(0, Frame::Open(Open::default())), call(1, silent), frame(0, close)];
    let mut session = Opened::with(node, frames).await;
    quiet_until_read(&mut session, 3).await;
    (silent, session)
}

#[tokio::test]
async fn a_close_waits_for_the_calls_before_it() {
    let node = Node::start(NodeConfig { schedulers: 1, ..NodeConfig::default() }).unwrap();
    let (silent, mut session) = closing(&node).await;
    node.kill(silent, "enough".into());
    let next = session.next().await;
    assert!(matches!(next, answer::Frame::Result(Answer { id: 1, error: Some(_), .. })), "{next:?}");
    let answer::Frame::Closed(closed) = session.next().await else { panic!("not the end") };
    assert_eq!(closed.reason, Some(bye()));
}

#[tokio::test]
async fn a_close_waits_for_no_call_for_ever() {
    let node = Node::start(NodeConfig { schedulers: 1, ..NodeConfig::default() }).unwrap();
    let (_, mut session) = closing(&node).await;
    tokio::time::pause();
    tokio::time::advance(super::DRAIN_MAX).await;
    tokio::time::resume();
    let answer::Frame::Closed(closed) = session.next().await else { panic!("not the end") };
    assert_eq!(closed.reason, Some(bye()));
}
