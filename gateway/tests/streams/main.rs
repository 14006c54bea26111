//! Streams of both sides through the gateway, over connections in memory whose buffers are small: WebSockets, and lines
//! over HTTP/2.

#![expect(clippy::unwrap_used, reason = "what fails here fails the run, which is its purpose")]

mod chat;
mod frames;
mod lines;
#[path = "../support/protos.rs"]
mod protos;
mod stalled;
mod websocket;

use std::{pin::pin, sync::LazyLock, time::Duration};

use arsenal_gateway::{Config, Gateway, GatewayService, upstream};
use chat::Seen;
use futures_util::FutureExt as _;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// The bytes that a connection in memory holds each way.
const PIPE_BYTES: usize = 4096;

fn chat(config: Config) -> (GatewayService, Seen) {
    static DESCRIPTORS: LazyLock<Vec<u8>> = LazyLock::new(|| protos::descriptor_set(chat::PROTO).unwrap());
    let seen = Seen::default();
    let gateway = Gateway::builder(DESCRIPTORS.clone()).config(config).build().unwrap();
    (gateway.service(upstream::service(chat::router(seen.clone()))), seen)
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it happens in time")
}

/// Gives everything else every chance to run ahead.
async fn let_others_run() {
    for _ in 0..2000 {
        tokio::task::yield_now().await;
    }
}

/// Whether a future is done once others have run for a good while; one that is not waits for somebody.
async fn is_soon_done<F: Future>(future: F) -> bool {
    let mut future = pin!(future);
    for _ in 0..20 {
        if future.as_mut().now_or_never().is_some() {
            return true;
        }
        let_others_run().await;
    }
    future.now_or_never().is_some()
}
