//! How fast the gateway is: `cargo bench -p arsenal-gateway`.
//!
//! Requests a second with 64 connections through the embedded gateway (a tonic echo beneath, called in process), beside
//! a bare axum JSON echo of the same message; and nanoseconds a message for the plans beside DynamicMessage. Client and
//! server share the machine, so the ratio counts, not the number. One JSON line a row; the name of a row as argument
//! runs that row alone.

#![expect(clippy::unwrap_used, reason = "what fails here fails the run, which is its purpose")]

#[path = "../tests/support/protos.rs"]
mod protos;

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task,
    time::{Duration, Instant},
};

use arsenal_gateway::{
    Config, Gateway, JsonOptions,
    transcode::{
        decode,
        encode::{self, Printing},
        lexer::JsonLimits,
        reference,
    },
    upstream,
};
use axum::{Json, Router, routing::post};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};

const PROTO: &str = r#"
syntax = "proto3";
package t;
import "google/api/annotations.proto";
service Echo { rpc Say(Message) returns (Message) { option (google.api.http) = { post: "/say" body: "*" }; } }
message Message {
  string name = 1; int32 count = 2; bool active = 3; repeated string tags = 4; repeated Item items = 5; bytes data = 6;
}
message Item { string id = 1; int64 size = 2; double weight = 3; map<string, string> labels = 4; }
"#;

const CONNECTIONS: usize = 64;
const MEASURED: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(500);
/// The two are measured in turn, so that whatever else the machine does falls on both; the median counts.
const ROUNDS: usize = 5;

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "2")]
    count: i32,
    #[prost(bool, tag = "3")]
    active: bool,
    #[prost(string, repeated, tag = "4")]
    tags: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    items: Vec<Item>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Item {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(int64, tag = "2")]
    size: i64,
    #[prost(double, tag = "3")]
    weight: f64,
    #[prost(map = "string, string", tag = "4")]
    labels: HashMap<String, String>,
}

/// What the bare echo reads and writes: the same JSON, by serde alone.
#[derive(Serialize, Deserialize)]
struct Bare {
    name: String,
    count: i32,
    active: bool,
    tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    items: Vec<BareItem>,
}

#[derive(Serialize, Deserialize)]
struct BareItem {
    id: String,
    size: String,
    weight: f64,
    labels: HashMap<String, String>,
}

/// tonic's own server code around an echo.
#[derive(Clone)]
struct TonicEcho;

struct Say;

impl tonic::server::UnaryService<Message> for Say {
    type Response = Message;
    type Future = std::future::Ready<Result<tonic::Response<Message>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<Message>) -> Self::Future {
        std::future::ready(Ok(tonic::Response::new(request.into_inner())))
    }
}

impl tower::Service<Request<axum::body::Body>> for TonicEcho {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<axum::body::Body>) -> Self::Future {
        Box::pin(async move {
            let codec = tonic_prost::ProstCodec::<Message, Message>::default();
            Ok(tonic::server::Grpc::new(codec).unary(Say, request).await)
        })
    }
}

fn small() -> String {
    r#"{"name":"order-processing","count":42,"active":true,"tags":["alpha","beta","gamma"]}"#.to_owned()
}

/// About 4 KB, nested.
fn medium() -> String {
    let item = |index: u32| {
        format!(
            r#"{{"id":"item-{index}","size":"{}","weight":{}.25,"labels":{{"zone":"eu-west-1","owner":"team-{index}"}}}}"#,
            u64::from(index) * 1_000_003,
            index
        )
    };
    let items: Vec<String> = (0..40).map(item).collect();
    format!(
        r#"{{"name":"order-processing","count":42,"active":true,"tags":["a","b"],"items":[{}]}}"#,
        items.join(",")
    )
}

fn gateway() -> Gateway {
    let set = protos::descriptor_set(PROTO).unwrap();
    Gateway::builder(set).config(Config::default()).build().unwrap()
}

async fn serve(router: Router) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Requests a second of one server under load.
async fn load(address: std::net::SocketAddr, body: &'static str) -> f64 {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (stop, done) = (stop.clone(), done.clone());
        clients.spawn(async move {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            while !stop.load(Ordering::Relaxed) {
                let request = Request::post("/say")
                    .header("host", "bench")
                    .header("content-type", "application/json")
                    .body(Full::new(Bytes::from_static(body.as_bytes())))
                    .unwrap();
                let response = sender.send_request(request).await.unwrap();
                assert_eq!(response.status(), 200);
                response.into_body().collect().await.unwrap();
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(WARM_UP).await;
    let (before, started) = (done.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(MEASURED).await;
    let rate = (done.load(Ordering::Relaxed) - before) as f64 / started.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}
    rate
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn row(peer: &str, bench: &str, value: f64, unit: &str) {
    println!("{}", serde_json::json!({"peer": peer, "bench": bench, "value": value.round(), "unit": unit}));
}

fn throughput(name: &str, body: String) {
    let body: &'static str = Box::leak(body.into_boxed_str());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bare =
            Router::new().route("/say", post(|Json(message): Json<Bare>| async move { Json(message) }));
        let embedded = gateway().into_router(upstream::service(TonicEcho));
        let (bare, embedded) = (serve(bare).await, serve(embedded).await);
        let (mut bare_rates, mut embedded_rates) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare_rates.push(load(bare, body).await);
            embedded_rates.push(load(embedded, body).await);
        }
        let (bare, embedded) = (median(bare_rates), median(embedded_rates));
        row("axum", name, bare, "requests/s");
        row("arsenal", name, embedded, "requests/s");
        println!("# {name}: {:.2} of bare axum", embedded / bare);
    });
}

/// Nanoseconds of one call.
fn time(mut work: impl FnMut()) -> f64 {
    let started = Instant::now();
    let mut rounds = 0u32;
    while started.elapsed() < Duration::from_secs(1) {
        for _ in 0..100 {
            work();
        }
        rounds += 100;
    }
    started.elapsed().as_nanos() as f64 / f64::from(rounds)
}

fn transcoding(name: &str, json: &str) {
    let gateway = gateway();
    let schema = gateway.schema();
    let id = schema.message_id("t.Message").unwrap();
    let descriptor = schema.message(id).descriptor.clone();
    let (options, limits) = (JsonOptions::default(), JsonLimits { depth: 100, values: 1_000_000 });
    let mut wire = Vec::new();
    decode::message(schema, id, json, options, limits, &mut wire).unwrap();
    let mut out = Vec::new();
    let printing = Printing { options, depth: 100, opaque_any: false };
    let decode = time(|| {
        out.clear();
        decode::message(schema, id, json, options, limits, &mut out).unwrap();
    });
    let encode = time(|| {
        out.clear();
        encode::message(schema, id, &wire, printing, &mut out).unwrap();
    });
    let dynamic_decode = time(|| drop(reference::json_to_wire(descriptor.clone(), json, options).unwrap()));
    let dynamic_encode = time(|| drop(reference::wire_to_json(descriptor.clone(), &wire, options).unwrap()));
    row("arsenal", &format!("{name} json to wire"), decode, "ns");
    row("prost-reflect", &format!("{name} json to wire"), dynamic_decode, "ns");
    row("arsenal", &format!("{name} wire to json"), encode, "ns");
    row("prost-reflect", &format!("{name} wire to json"), dynamic_encode, "ns");
    println!(
        "# {name} ({} bytes of JSON): {:.1}x and {:.1}x DynamicMessage",
        json.len(),
        dynamic_decode / decode,
        dynamic_encode / encode
    );
}

fn main() {
    // cargo passes `--bench`.
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    for (name, body) in [("small", small()), ("medium", medium())] {
        if wanted(&format!("transcode {name}")) {
            transcoding(&format!("transcode {name}"), &body);
        }
        if wanted(&format!("rest {name}")) {
            throughput(&format!("rest {name}"), body);
        }
    }
}
