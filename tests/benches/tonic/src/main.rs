//! A bare tonic echo: what a unary call over gRPC costs before there is any service behind it.
//! `bench-tonic grpc_unary` prints one JSON line; exit status 77 for any other name.

use bench_load::{Measured, PAYLOAD, grpc_unary, server};
use prost::Message as _;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll};
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(bytes = "bytes", tag = "1")]
    data: bytes::Bytes,
}

/// What tonic-build would generate for `service Echo { rpc Say(Payload) returns (Payload); }`.
#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "bench.Echo";
}

struct Say;

impl tonic::server::UnaryService<Payload> for Say {
    type Response = Payload;
    type Future = Ready<Result<tonic::Response<Payload>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<Payload>) -> Self::Future {
        ready(Ok(tonic::Response::new(request.into_inner())))
    }
}

impl Service<http::Request<tonic::body::Body>> for Echo {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move {
            let codec = tonic_prost::ProstCodec::<Payload, Payload>::default();
            Ok(tonic::server::Grpc::new(codec).unary(Say, request).await)
        })
    }
}

fn echo() -> Measured {
    let address = server(|| async {
        let loopback = ([127, 0, 0, 1], 0).into();
        let incoming = TcpIncoming::bind(loopback).expect("a free port").with_nodelay(Some(true));
        let address = incoming.local_addr().expect("it listens");
        let server = tonic::transport::Server::builder()
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .add_service(Echo)
            .serve_with_incoming(incoming);
        (address, tokio::spawn(server))
    });
    let message = Payload { data: bytes::Bytes::from_static(&PAYLOAD) }.encode_to_vec();
    grpc_unary(address, "/bench.Echo/Say", &message)
}

fn main() -> ExitCode {
    bench_load::run("tonic", |name| (name == "grpc_unary").then_some(echo as fn() -> Measured))
}
