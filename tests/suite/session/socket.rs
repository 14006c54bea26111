//! Sessions over a WebSocket of the gateway: the same frames as JSON.

use arsenal_tests::{Api, DEADLINE, Sandbox, Transport, on};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// A socket whose first frame was said.
    async fn connect(sandbox: &Sandbox, first: Value) -> Self {
        let stream = TcpStream::connect(sandbox.rest()).await.unwrap();
        let target = format!("ws://{}/v1/sessions:connect", sandbox.rest());
        let shaken = tokio::time::timeout(DEADLINE, tokio_tungstenite::client_async(target, stream)).await;
        let mut socket = Self(shaken.unwrap().unwrap().0);
        socket.say(first).await;
        socket
    }

    async fn say(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next frame that is no ping.
    async fn frame(&mut self) -> Message {
        loop {
            let next = tokio::time::timeout(DEADLINE, self.0.next()).await;
            match next.unwrap_or_else(|_| panic!("no frame in {DEADLINE:?}")).unwrap().unwrap() {
                Message::Ping(_) => {}
                frame => return frame,
            }
        }
    }

    async fn json(&mut self) -> Value {
        serde_json::from_str(self.frame().await.to_text().unwrap()).unwrap()
    }

    async fn close_code(&mut self) -> u16 {
        match self.frame().await {
            Message::Close(Some(close)) => close.code.into(),
            other => panic!("{other:?}, where a close is expected"),
        }
    }
}

fn over_rest<F: Future<Output = ()>>(test: impl Fn(Arc<Sandbox>, Api) -> F) {
    on(Transport::Rest, test);
}

#[test]
fn a_session_over_a_websocket_calls_answers_and_hears_of_exits() {
    over_rest(|sandbox, api| async move {
        let mut socket = Socket::connect(&sandbox, json!({"open": {"name": "client"}})).await;
        let opened = socket.json().await["opened"].clone();
        let me = opened["pid"].as_str().unwrap().to_owned();
        assert_eq!((&opened["name"], &opened["stream"]), (&json!("client"), &json!(true)));

        let counter = api.ok("StartProcess", json!({"module": "counter"})).await["pid"].clone();
        socket.say(json!({"id": 1, "call": {"process": counter, "message": ["add", 41]}})).await;
        assert_eq!(socket.json().await["result"]["reply"], 41);

        let call = api.call("CallProcess", json!({"process": "client", "message": "what?"}));
        let (answer, ()) = tokio::join!(call, async {
            let delivery = socket.json().await["delivery"].clone();
            assert_eq!((&delivery["kind"], &delivery["message"]), (&json!("CALL"), &json!("what?")));
            let reference = delivery["reference"].clone();
            socket.say(json!({"reply": {"reference": reference, "reply": {"that": 1}}})).await;
        });
        assert_eq!(answer.unwrap()["reply"], json!({"that": 1}));

        socket.say(json!({"id": 2, "link": {"process": counter}})).await;
        assert_eq!(socket.json().await["result"]["pid"], counter);
        api.ok("KillProcess", json!({"process": counter})).await;
        let exit = socket.json().await["delivery"].clone();
        assert_eq!(
            (&exit["kind"], &exit["from"], &exit["reason"]),
            (&json!("EXIT"), &counter, &json!("killed"))
        );

        drop(socket);
        let record = api.ok("AwaitExit", json!({"process": me, "timeout": "60s"})).await;
        assert_eq!(record["reason"], "noconnection");
    });
}

#[test]
fn how_a_session_over_a_websocket_ended_is_told_by_its_close_code() {
    over_rest(|sandbox, _| async move {
        let mut closing = Socket::connect(&sandbox, json!({"open": {}})).await;
        closing.json().await;
        closing.say(json!({"close": {}})).await;
        assert_eq!(closing.json().await["closed"]["reason"], "normal");
        let code = closing.close_code().await;
        assert!(code == 1000 || code == 4010, "{code}");

        let mut wrong = Socket::connect(&sandbox, json!({"trapExit": {}})).await;
        let error = wrong.json().await["error"].clone();
        assert_eq!(
            (&error["status"], &error["details"][0]["reason"]),
            (&json!("INVALID_ARGUMENT"), &json!("BAD_FRAME"))
        );
        assert_eq!(wrong.close_code().await, 4003);
    });
}

#[test]
fn a_websocket_is_told_that_the_node_stops() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sandbox = Sandbox::start().await;
        let mut socket = Socket::connect(&sandbox, json!({"open": {}})).await;
        socket.json().await;
        let (_, codes) = tokio::join!(sandbox.stop(), async {
            let mut frames = Vec::new();
            loop {
                match socket.frame().await {
                    Message::Close(close) => return (frames, close.map(|close| u16::from(close.code))),
                    frame => frames.push(frame.to_text().unwrap().to_owned()),
                }
            }
        });
        // its process was told to end first: the session says why, before or as the stream closes
        assert!(matches!(codes.1, Some(1000 | 4010 | 4014)), "{codes:?}");
        assert!(
            codes.0.iter().any(|frame| frame.contains("shutdown") || frame.contains("STOPPING")),
            "{codes:?}"
        );
    });
}
