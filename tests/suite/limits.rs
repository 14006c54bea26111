//! What is bounded: connections, streams, what may stay half open, what a node keeps for a slow or vanished client. Each
//! bound is a setting, and beyond it comes a precise status or a wait that ends.

mod connections;
mod http2;
mod kept;
mod requests;

use arsenal_server::config::Config;
use arsenal_tests::{Api, DEADLINE, Sandbox, SandboxConfig, Transport};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A node with other settings.
fn limited<F: Future<Output = ()>>(set: impl FnOnce(&mut Config), test: impl FnOnce(Arc<Sandbox>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = SandboxConfig::default();
        set(&mut config.config);
        let sandbox = Arc::new(Sandbox::start_with(config).await);
        let outcome = tokio::time::timeout(DEADLINE, test(sandbox)).await;
        assert!(outcome.is_ok(), "the test did not end within {DEADLINE:?}");
    });
}

async fn still_serves(api: &Api) {
    let pid = api.start("counter", json!({})).await;
    let call = json!({"process": pid, "message": ["add", 2]});
    assert_eq!(api.ok("CallProcess", call).await["reply"], json!(2));
}

/// Returns once a new client is served by a node whose patience is so short that it may end for anybody whom the machine
/// keeps waiting: that one asks again.
async fn serves_others(sandbox: &Arc<Sandbox>, transport: Transport) {
    let served = || {
        let sandbox = Arc::clone(sandbox);
        tokio::spawn(async move { still_serves(&sandbox.api(transport).await).await })
    };
    while served().await.is_err() {}
}

/// What the other side sends until it closes.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // a reset is an end too
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An HTTP/1 request on a connection that stays open; gives the status line.
async fn get(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "the connection was closed");
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return head.lines().next().unwrap_or_default().to_owned();
        }
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}
