//! Sessions on a stream, over gRPC: frames both ways.

use arsenal_proto::Value as Payload;
use arsenal_proto::v1::open_session_request::{self as request, Frame};
use arsenal_proto::v1::open_session_response::{Frame as Answer, Result as Outcome};
use arsenal_proto::v1::session_service_client::SessionServiceClient;
use arsenal_proto::v1::{Delivery, OpenSessionRequest, OpenSessionResponse, Session};
use arsenal_tests::{Api, DEADLINE, Sandbox, Transport, on};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

/// A client with its stream.
struct Client {
    frames: Sender<OpenSessionRequest>,
    answers: Streaming<OpenSessionResponse>,
    session: Session,
}

fn json_of(payload: Option<&Payload>) -> Value {
    payload.map(|payload| payload.to_json().unwrap()).unwrap_or_default()
}

fn payload(value: Value) -> Payload {
    Payload::from_json(&value).unwrap()
}

impl Client {
    async fn open(sandbox: &Arc<Sandbox>, open: request::Open) -> Result<Self, Status> {
        let first = OpenSessionRequest { id: 0, frame: Some(Frame::Open(open)) };
        let mut client = Self::connect(sandbox, first).await?;
        match client.answer().await? {
            Some(Answer::Opened(session)) => client.session = session,
            other => panic!("the first frame is {other:?}"),
        }
        Ok(client)
    }

    async fn connect(sandbox: &Arc<Sandbox>, first: OpenSessionRequest) -> Result<Self, Status> {
        let mut service = SessionServiceClient::connect(format!("http://{}", sandbox.grpc())).await.unwrap();
        let (frames, outgoing) = channel(16);
        frames.send(first).await.unwrap();
        let answers = service.open_session(ReceiverStream::new(outgoing)).await?.into_inner();
        Ok(Self { frames, answers, session: Session::default() })
    }

    async fn say(&self, id: u64, frame: Frame) {
        self.frames.send(OpenSessionRequest { id, frame: Some(frame) }).await.unwrap();
    }

    async fn answer(&mut self) -> Result<Option<Answer>, Status> {
        let next = tokio::time::timeout(DEADLINE, self.answers.message()).await;
        Ok(next.unwrap_or_else(|_| panic!("no frame in {DEADLINE:?}"))?.and_then(|answer| answer.frame))
    }

    async fn delivery(&mut self) -> Delivery {
        match self.answer().await.unwrap() {
            Some(Answer::Delivery(delivery)) => delivery,
            other => panic!("not a delivery: {other:?}"),
        }
    }

    async fn outcome(&mut self) -> Outcome {
        match self.answer().await.unwrap() {
            Some(Answer::Result(outcome)) => outcome,
            other => panic!("not a result: {other:?}"),
        }
    }

    async fn send(&self, to: &str, message: Value) {
        let payload = Some(request::send::Payload::Message(payload(message)));
        self.say(0, Frame::Send(request::Send { process: to.into(), payload })).await;
    }

    async fn call(&self, id: u64, to: &str, message: Value) {
        let payload = Some(request::call::Payload::Message(payload(message)));
        self.say(id, Frame::Call(request::Call { process: to.into(), payload, timeout: None })).await;
    }
}

fn message(delivery: &Delivery) -> Value {
    use arsenal_proto::v1::delivery::Payload;
    match &delivery.payload {
        Some(Payload::Message(message)) => json_of(Some(message)),
        other => panic!("{other:?}"),
    }
}

fn reply(outcome: &Outcome) -> Value {
    use arsenal_proto::v1::open_session_response::result::Payload;
    match &outcome.payload {
        Some(Payload::Reply(reply)) => json_of(Some(reply)),
        other => panic!("{other:?}"),
    }
}

fn streamed<F: Future<Output = ()>>(test: impl Fn(Arc<Sandbox>, Api) -> F) {
    on(Transport::Grpc, test);
}

#[test]
fn a_client_on_a_stream_sends_calls_and_receives() {
    streamed(|sandbox, api| async move {
        let open = request::Open { name: "client".into(), ..Default::default() };
        let mut client = Client::open(&sandbox, open).await.unwrap();
        assert!(client.session.stream && client.session.expire_time.is_none());
        let me = client.session.pid.clone();
        client.send("client", json!(["hello", 1])).await;
        let delivery = client.delivery().await;
        assert_eq!((message(&delivery), &delivery.from), (json!(["hello", 1]), &me));

        let counter = api.start("counter", json!({"initial": 3})).await;
        client.call(7, &counter, json!("incr")).await;
        let outcome = client.outcome().await;
        assert_eq!((outcome.id, reply(&outcome)), (7, json!(4)));
        client.call(8, "nobody", json!(1)).await;
        let failed = client.outcome().await;
        assert_eq!((failed.id, failed.error.unwrap().code), (8, Code::NotFound as i32));

        // a call from elsewhere is answered by a frame
        let calling = api.call("CallProcess", json!({"process": me, "message": "question"}));
        let answering = async {
            let call = client.delivery().await;
            let payload = Some(request::reply::Payload::Reply(payload(json!("answer"))));
            client.say(0, Frame::Reply(request::Reply { reference: call.reference, payload })).await;
        };
        let (answer, ()) = tokio::join!(calling, answering);
        assert_eq!(answer.unwrap()["reply"], "answer");
        let session = client.session.session.clone();
        let refused = api.err("ReceiveMessages", json!({"session": session})).await;
        assert_eq!((refused.code.as_str(), refused.reason.as_str()), ("FAILED_PRECONDITION", "HAS_STREAM"));
    });
}

#[test]
fn links_and_monitors_of_a_stream_fire_on_it() {
    streamed(|sandbox, api| async move {
        let mut client = Client::open(&sandbox, request::Open::default()).await.unwrap();
        let pid = api.start("plain", json!({})).await;
        client.say(1, Frame::Link(request::Link { process: pid.clone() })).await;
        assert_eq!(client.outcome().await.pid, pid);
        client.say(2, Frame::Monitor(request::Monitor { process: pid.clone() })).await;
        let monitor = client.outcome().await.monitor;
        client
            .say(0, Frame::Exit(request::Exit { process: pid.clone(), reason: Some(payload(json!("boom"))) }))
            .await;
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let delivery = client.delivery().await;
            assert_eq!(json_of(delivery.reason.as_ref()), "boom");
            if !delivery.monitor.is_empty() {
                assert_eq!(delivery.monitor, monitor);
            }
            kinds.push(delivery.kind().as_str_name());
        }
        kinds.sort_unstable();
        assert_eq!(kinds, ["DOWN", "EXIT"]);
        client.say(3, Frame::TrapExit(request::TrapExit { trap_exit: false })).await;
        assert!(client.outcome().await.old_trap_exit);
    });
}

#[test]
fn a_client_that_closes_and_says_no_more_is_told_of_its_end() {
    streamed(|sandbox, _| async move {
        let mut client = Client::open(&sandbox, request::Open::default()).await.unwrap();
        client.say(1, Frame::Close(request::Close::default())).await;
        drop(std::mem::replace(&mut client.frames, channel(1).0));
        assert_eq!(client.outcome().await.id, 1);
        assert!(matches!(client.answer().await, Ok(Some(Answer::Closed(_)))));
        assert!(matches!(client.answer().await, Ok(None)));
    });
}

#[test]
fn a_broken_stream_is_noconnection_and_a_close_its_own_reason() {
    streamed(|sandbox, api| async move {
        let lost = Client::open(&sandbox, request::Open::default()).await.unwrap();
        let pid = lost.session.pid.clone();
        drop(lost);
        let record = api.ok("AwaitExit", json!({"process": pid, "timeout": "60s"})).await;
        assert_eq!(record["reason"], "noconnection");

        let mut closing = Client::open(&sandbox, request::Open::default()).await.unwrap();
        let pid = closing.session.pid.clone();
        closing.say(0, Frame::Close(request::Close { reason: Some(payload(json!("bye"))) })).await;
        match closing.answer().await.unwrap() {
            Some(Answer::Closed(closed)) => assert_eq!(json_of(closed.reason.as_ref()), "bye"),
            other => panic!("not the end: {other:?}"),
        }
        assert!(closing.answer().await.unwrap().is_none());
        let record = api.ok("GetExit", json!({"process": pid})).await;
        assert_eq!(record["reason"], "bye");

        let mut killed = Client::open(&sandbox, request::Open::default()).await.unwrap();
        api.ok("KillProcess", json!({"process": killed.session.pid})).await;
        assert!(matches!(killed.answer().await.unwrap(), Some(Answer::Closed(_))));
        assert_eq!(killed.answer().await.unwrap_err().code(), Code::Aborted);
    });
}

#[test]
fn what_is_not_acknowledged_never_exceeds_the_window() {
    streamed(|sandbox, api| async move {
        let open = request::Open { window: 2, ..Default::default() };
        let mut client = Client::open(&sandbox, open).await.unwrap();
        let me = client.session.pid.clone();
        for number in 0..5 {
            client.send(&me, json!(number)).await;
        }
        let first = client.delivery().await;
        let second = client.delivery().await;
        assert_eq!((message(&first), message(&second)), (json!(0), json!(1)));
        // the answer to a frame comes, a third delivery does not
        let counter = api.start("counter", json!({})).await;
        client.call(9, &counter, json!("get")).await;
        assert_eq!(client.outcome().await.id, 9);
        client.say(0, Frame::Ack(request::Ack { sequence: second.sequence })).await;
        assert_eq!(message(&client.delivery().await), 2);
        assert_eq!(message(&client.delivery().await), 3);
    });
}

#[test]
fn a_frame_out_of_place_ends_the_stream() {
    streamed(|sandbox, _| async move {
        let link = Frame::Link(request::Link { process: "n1.1.1".into() });
        let first = OpenSessionRequest { id: 0, frame: Some(link) };
        let refused = Client::connect(&sandbox, first).await.err().unwrap();
        assert_eq!(refused.code(), Code::InvalidArgument);

        let mut twice = Client::open(&sandbox, request::Open::default()).await.unwrap();
        twice.say(0, Frame::Open(request::Open::default())).await;
        assert_eq!(twice.answer().await.unwrap_err().code(), Code::InvalidArgument);

        let named = || request::Open { name: "one".into(), ..Default::default() };
        let _first = Client::open(&sandbox, named()).await.unwrap();
        let taken = Client::open(&sandbox, named()).await.err().unwrap();
        assert_eq!(taken.code(), Code::AlreadyExists);
    });
}
