//! A REST gateway for any gRPC service, from a descriptor set alone.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (descriptor_set, routes) = (Vec::new(), axum::Router::new());
//! use arsenal_gateway::{Config, Gateway, upstream};
//!
//! let gateway = Gateway::builder(descriptor_set).config(Config::default()).build()?;
//! // `routes` is tonic's, called in process; `upstream::Remote` goes over the wire.
//! let router: axum::Router = gateway.into_router(upstream::service(routes));
//! # Ok(())
//! # }
//! ```
//!
//! The descriptor set (`google.protobuf.FileDescriptorSet` with all imports, best with source info for the comments)
//! carries `google.api.http` annotations; the gateway compiles them and every message at load, and from then on
//! transcodes straight between JSON and the wire. It knows no service, no generated type, and no upstream but through
//! [`upstream::Upstream`].
//!
//! A request takes this way: [`service`] finds the route ([`route`]), `request` puts body, query and path together
//! ([`transcode`]), [`upstream`] makes the call, [`grpc`] takes the answer's frames apart, `response` or `stream` prints
//! them. [`failure`] is what goes wrong on the way. [`live`] is a gateway whose descriptors change while it serves.
//!
//! What it has to bear is fuzzed: `gateway/fuzz/run`, and in bounds with the tests.

pub mod code;
mod coding;
mod conditional;
pub mod config;
pub mod failure;
pub mod gateway;
pub mod grpc;
mod held;
pub mod hosts;
pub mod live;
pub mod metadata;
pub mod method;
mod metrics;
mod negotiate;
mod openapi;
mod pace;
pub mod path;
mod request;
mod response;
pub mod route;
pub mod rule;
pub mod schema;
pub mod service;
mod stalled;
pub mod stream;
pub mod template;
pub mod transcode;
pub mod upstream;
mod web;

pub use config::{Config, EtagFields, Info, Limits};
pub use gateway::{BuildError, Builder, Gateway};
pub use hosts::Hosts;
pub use live::Live;
pub use metadata::Peer;
pub use metrics::Metrics;
pub use service::GatewayService;
pub use stalled::StreamTasks;
pub use transcode::JsonOptions;
pub use upstream::Upstream;
