//! What the programs of the benchmark share: the line that each prints, a server's thread, and the load on it over gRPC
//! and REST. Nothing here knows any peer, so that all are measured by the same code.

mod grpc;
mod http2;
mod memory;
mod processor;
mod report;
mod rest;
mod windows;

pub use grpc::{grpc_on, grpc_unary};
pub use memory::resident_bytes;
pub use processor::this_thread_time;
pub use report::{Measured, milliseconds, per_second, run};
pub use rest::{Posted, Waiting, rest, rest_all, rest_multiplexed, rest_unary};
pub use windows::{Answers, Load, load};

use std::net::SocketAddr;
use std::sync::mpsc::channel;
use tokio::task::LocalSet;

/// Calls that are under way at any time.
pub const CONCURRENCY: usize = 64;

/// Bytes that an echo over gRPC carries.
pub const PAYLOAD: [u8; 64] = [b'x'; 64];

/// The object of three fields that an echo over REST carries.
pub const OBJECT: &str = r#"{"name":"order-processing","count":42,"active":true}"#;

/// A tokio runtime on the calling thread.
pub fn current_thread() -> tokio::runtime::Runtime {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("no tokio runtime: {error}"),
    }
}

/// Runs a client on the calling thread, with the tasks that it spawns there.
pub fn on_this_thread<F: Future>(client: F) -> F::Output {
    LocalSet::new().block_on(&current_thread(), client)
}

/// As [`server_named`], under the name `server`.
pub fn server<Start, Started, Kept>(start: Start) -> SocketAddr
where
    Start: FnOnce() -> Started + Send + 'static,
    Started: Future<Output = (SocketAddr, Kept)>,
{
    server_named("server", start)
}

/// Runs a server on a thread of its own until the program ends; what `start` gives beside the address is kept. Profiles
/// and [`Load::processor_time`] tell threads by their names.
pub fn server_named<Start, Started, Kept>(name: &str, start: Start) -> SocketAddr
where
    Start: FnOnce() -> Started + Send + 'static,
    Started: Future<Output = (SocketAddr, Kept)>,
{
    let (listening, address) = channel();
    let serving = move || {
        current_thread().block_on(async move {
            let (address, _kept) = start().await;
            let _ = listening.send(address);
            std::future::pending::<()>().await;
        });
    };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(serving);
    match thread.map(|_| address.recv()) {
        Ok(Ok(address)) => address,
        Ok(Err(_)) => panic!("the server did not start"),
        Err(error) => panic!("no thread for the server: {error}"),
    }
}
