//! The gRPC service beneath the gateway: tonic's own code around an echo.

use crate::messages::Size;
use bench_load::{Answers, Load, load, on_this_thread};
use echo_service_server::{EchoService, EchoServiceServer};
use http::uri::PathAndQuery;
use prost::Message;
use std::net::SocketAddr;
use std::time::Instant;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

tonic::include_proto!("bench.v1");

/// The descriptors of the service, with the options that make the routes.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/echo.bin"));

/// Answers with what it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Echo;

#[tonic::async_trait]
impl EchoService for Echo {
    async fn say_small(&self, request: Request<Small>) -> Result<Response<Small>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn say_medium(&self, request: Request<Medium>) -> Result<Response<Medium>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn say_large(&self, request: Request<Large>) -> Result<Response<Large>, Status> {
        Ok(Response::new(request.into_inner()))
    }
}

/// The service as tonic serves it.
pub fn service() -> EchoServiceServer<Echo> {
    EchoServiceServer::new(Echo)
}

/// The load of `concurrency` callers that call the service with `wire`, the encoded message of a size, by tonic's own
/// client over one connection.
///
/// # Panics
/// If a call fails.
pub fn calls(server: SocketAddr, size: Size, wire: &[u8], concurrency: usize) -> Load {
    match size {
        Size::Small => calls_with::<Small>(server, size.call(), wire, concurrency),
        Size::Medium => calls_with::<Medium>(server, size.call(), wire, concurrency),
        Size::Large => calls_with::<Large>(server, size.call(), wire, concurrency),
    }
}

fn calls_with<M>(server: SocketAddr, path: &'static str, wire: &[u8], concurrency: usize) -> Load
where
    M: Message + Default + Clone + PartialEq + 'static,
{
    let message = M::decode(wire).expect("it was encoded for this");
    on_this_thread(async move {
        let channel = Channel::from_shared(format!("http://{server}")).expect("an address").connect().await;
        let client = Grpc::new(channel.expect("the server listens"));
        let path = PathAndQuery::from_static(path);
        load(concurrency, |answers| call(client.clone(), path.clone(), message.clone(), answers)).await
    })
}

/// One call after another, until the benchmark is over; the first answer is compared.
async fn call<M>(mut client: Grpc<Channel>, path: PathAndQuery, message: M, answers: Answers)
where
    M: Message + Default + Clone + PartialEq + 'static,
{
    let mut compared = false;
    loop {
        let begin = Instant::now();
        client.ready().await.expect("the connection lives");
        let codec = ProstCodec::<M, M>::default();
        let answer = client.unary(Request::new(message.clone()), path.clone(), codec).await;
        let answer = answer.expect("the call succeeds").into_inner();
        assert!(compared || answer == message, "the answer is not what was sent");
        compared = true;
        answers.count(begin);
    }
}
