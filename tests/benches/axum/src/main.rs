//! A bare axum echo of JSON: what a request over REST costs before there is any service behind it.
//! `bench-axum rest_unary` prints one JSON line; exit status 77 for any other name.

use axum::routing::post;
use axum::{Json, Router};
use bench_load::{Measured, OBJECT, rest_unary, server};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Serialize, Deserialize)]
struct Object {
    name: String,
    count: i64,
    active: bool,
}

async fn say(Json(object): Json<Object>) -> Json<Object> {
    Json(object)
}

fn echo() -> Measured {
    let address = server(|| async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let app = Router::new().route("/echo", post(say));
        (address, tokio::spawn(axum::serve(listener, app).into_future()))
    });
    rest_unary(address, "/echo", OBJECT, OBJECT)
}

fn main() -> ExitCode {
    bench_load::run("axum", |name| (name == "rest_unary").then_some(echo as fn() -> Measured))
}
