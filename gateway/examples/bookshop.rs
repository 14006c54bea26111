//! A gRPC service of somebody else's, served as REST from its own descriptor set:
//!
//! ```text
//! cargo run -p arsenal-gateway --example bookshop
//! curl http://127.0.0.1:8090/v1/shelves/1/books/2
//! curl -X PATCH http://127.0.0.1:8090/v1/shelves/1/books/2 --json '{"title": "Emma"}'
//! curl -H 'accept: text/event-stream' 'http://127.0.0.1:8090/v1/prices:follow?count=3'
//! open http://127.0.0.1:8090/docs
//! ```
//!
//! The service is tonic's; what `tonic-prost-build` would generate is written out here, so that the example is one file.
//! A service of your own has a descriptor set from `protoc --include_imports --include_source_info
//! --descriptor_set_out`, or from protox as here, and hands its `tonic::service::Routes` to `upstream::service`.

use std::{net::SocketAddr, pin::Pin};

use arsenal_gateway::{Config, Gateway, Info, upstream};
use axum::{Router, body::Body, routing::post};
use futures_util::{Stream, stream};
use prost::Message;
use tonic::{Request, Response, Status, server::Grpc};
use tonic_prost::ProstCodec;

const PROTO: &str = r#"
syntax = "proto3";
package shop.v1;
import "google/api/annotations.proto";
import "google/protobuf/field_mask.proto";

// Books, and what they cost.
service Bookshop {
  // Gives a book.
  // Errors:
  //   NOT_FOUND NO_BOOK: the shelf has no such book.
  rpc GetBook(GetBookRequest) returns (Book) { option (google.api.http) = { get: "/v1/{name=shelves/*/books/*}" }; }
  // Changes a book.
  rpc UpdateBook(UpdateBookRequest) returns (Book) {
    option (google.api.http) = { patch: "/v1/{book.name=shelves/*/books/*}" body: "book" };
  }
  // Follows the prices.
  rpc FollowPrices(FollowPricesRequest) returns (stream Price) {
    option (google.api.http) = { get: "/v1/prices:follow" };
  }
}

message GetBookRequest { string name = 1; }
message UpdateBookRequest { Book book = 1; google.protobuf.FieldMask update_mask = 2; }
message FollowPricesRequest { uint64 after = 1; uint32 count = 2; }
// A book.
message Book {
  // Where it stands, such as `shelves/1/books/2`.
  string name = 1;
  // Its title, such as `Emma`.
  string title = 2;
  string etag = 3;
}
message Price { uint64 sequence = 1; int64 cents = 2; }
"#;

#[derive(Clone, PartialEq, Message)]
struct GetBookRequest {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct UpdateBookRequest {
    #[prost(message, tag = "1")]
    book: Option<Book>,
}

#[derive(Clone, PartialEq, Message)]
struct FollowPricesRequest {
    #[prost(uint64, tag = "1")]
    after: u64,
    #[prost(uint32, tag = "2")]
    count: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Book {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    title: String,
    #[prost(string, tag = "3")]
    etag: String,
}

#[derive(Clone, PartialEq, Message)]
struct Price {
    #[prost(uint64, tag = "1")]
    sequence: u64,
    #[prost(int64, tag = "2")]
    cents: i64,
}

async fn get_book(request: Request<GetBookRequest>) -> Result<Response<Book>, Status> {
    let name = request.into_inner().name;
    if name.ends_with("/books/0") {
        return Err(Status::not_found(format!("there is no `{name}`")));
    }
    Ok(Response::new(Book { name, title: "Persuasion".to_owned(), etag: "1".to_owned() }))
}

async fn update_book(request: Request<UpdateBookRequest>) -> Result<Response<Book>, Status> {
    let book = request.into_inner().book.ok_or_else(|| Status::invalid_argument("no `book`"))?;
    Ok(Response::new(Book { etag: "2".to_owned(), ..book }))
}

type Prices = Pin<Box<dyn Stream<Item = Result<Price, Status>> + Send>>;

async fn follow_prices(request: Request<FollowPricesRequest>) -> Result<Response<Prices>, Status> {
    let FollowPricesRequest { after, count } = request.into_inner();
    let last = after + u64::from(count);
    let prices = (after + 1..=last).map(|sequence| Ok(Price { sequence, cents: 995 }));
    Ok(Response::new(Box::pin(stream::iter(prices))))
}

/// What tonic would have generated: a path for each method.
fn grpc() -> Router {
    let unary = |request: axum::extract::Request| async {
        Grpc::new(ProstCodec::default()).unary(tower::service_fn(get_book), request).await.map(Body::new)
    };
    let change = |request: axum::extract::Request| async {
        Grpc::new(ProstCodec::default()).unary(tower::service_fn(update_book), request).await.map(Body::new)
    };
    let follow = |request: axum::extract::Request| async {
        let mut grpc = Grpc::new(ProstCodec::default());
        grpc.server_streaming(tower::service_fn(follow_prices), request).await.map(Body::new)
    };
    Router::new()
        .route("/shop.v1.Bookshop/GetBook", post(unary))
        .route("/shop.v1.Bookshop/UpdateBook", post(change))
        .route("/shop.v1.Bookshop/FollowPrices", post(follow))
}

/// REST, grpc-web, gRPC, `/openapi.json` and `/docs` of the service, as one router.
fn gateway(descriptor_set: Vec<u8>) -> Result<Router, Box<dyn std::error::Error>> {
    let info = Info { title: "Bookshop".to_owned(), ..Info::default() };
    let config = Config { info, health_path: None, sse_end: true, ..Config::default() };
    let gateway = Gateway::builder(descriptor_set).config(config).build()?;
    Ok(gateway.into_router(upstream::service(grpc())))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = SocketAddr::from(([127, 0, 0, 1], 8090));
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{address}/docs");
    axum::serve(listener, gateway(protos::descriptor_set(PROTO)?)?).await?;
    Ok(())
}

#[path = "../tests/support/protos.rs"]
mod protos;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(request: http::Request<Body>) -> (u16, String) {
        let router = gateway(protos::descriptor_set(PROTO).unwrap()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_service_that_knows_nothing_of_rest_is_served_as_rest() {
        let get = |path| http::Request::get(path).body(Body::empty()).unwrap();
        let book = r#"{"name":"shelves/1/books/2","title":"Persuasion","etag":"1"}"#;
        assert_eq!(ask(get("/v1/shelves/1/books/2")).await, (200, book.to_owned()));
        assert_eq!(ask(get("/v1/shelves/1/books/0")).await.0, 404);
        let patch = http::Request::patch("/v1/shelves/1/books/2").body(Body::from(r#"{"title":"Emma"}"#));
        let changed = r#"{"name":"shelves/1/books/2","title":"Emma","etag":"2"}"#;
        assert_eq!(ask(patch.unwrap()).await, (200, changed.to_owned()));
        let follow = get("/v1/prices:follow?after=4&count=2");
        let lines = "{\"sequence\":\"5\",\"cents\":\"995\"}\n{\"sequence\":\"6\",\"cents\":\"995\"}\n";
        assert_eq!(ask(follow).await, (200, lines.to_owned()));
        assert_eq!(ask(get("/openapi.json")).await.0, 200);
    }
}
