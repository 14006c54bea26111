//! Descriptors from the upstream itself, by grpc.reflection.v1, or v1alpha where that is all it has.
//!
//! What comes back is only as good as the server's reflection: one that encodes its descriptors anew loses the options
//! that it does not know, `google.api.http` among them, and comments are there only if its set has them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::BodyExt as _;
use prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;
use tower::BoxError;

use super::{Fetching, Source};
use crate::{
    code::Code,
    failure::GRPC_STATUS,
    grpc::{self, Deframer},
    upstream::Upstream,
};

/// The two versions, the newer first; their messages are the same.
const PATHS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The bytes that one answer, and all files together, may have.
const BYTES_MAX: usize = 64 << 20;

/// Descriptors by the server reflection of an upstream.
#[derive(Clone)]
pub struct Reflected {
    upstream: Arc<dyn Upstream>,
}

/// Why reflection told nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReflectionError {
    /// There was nobody to ask.
    #[error("reflection cannot be reached: {0}")]
    Unreached(BoxError),
    /// The call failed.
    #[error("reflection answered {0:?}")]
    Status(Code),
    /// The server does not know what it listed or imports itself.
    #[error("reflection does not know `{asked}`: {message}")]
    Unknown {
        /// What was asked for.
        asked: String,
        /// What it said.
        message: String,
    },
    /// There is no answer in the answer.
    #[error("reflection answered nothing that can be used")]
    Empty,
    /// More than a gateway takes.
    #[error("reflection has more than {BYTES_MAX} bytes of descriptors")]
    TooLarge,
}

/// grpc.reflection.v1.ServerReflectionRequest.
#[derive(Clone, PartialEq, prost::Message)]
struct Ask {
    #[prost(oneof = "What", tags = "3, 4, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    File(String),
    #[prost(string, tag = "4")]
    Symbol(String),
    #[prost(string, tag = "7")]
    Services(String),
}

/// grpc.reflection.v1.ServerReflectionResponse.
#[derive(Clone, PartialEq, prost::Message)]
struct Told {
    #[prost(message, optional, tag = "4")]
    files: Option<Files>,
    #[prost(message, optional, tag = "6")]
    services: Option<Services>,
    #[prost(message, optional, tag = "7")]
    error: Option<Refused>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Files {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Services {
    #[prost(message, repeated, tag = "1")]
    service: Vec<Named>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Refused {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

impl std::fmt::Debug for Reflected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reflected").finish_non_exhaustive()
    }
}

impl Source for Reflected {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(self.read())
    }
}

impl Reflected {
    /// The reflection of `upstream`.
    pub fn new(upstream: impl Upstream) -> Self {
        Self { upstream: Arc::new(upstream) }
    }

    /// The files of all services and what they import, in the order of their names.
    async fn read(&self) -> Result<Bytes, BoxError> {
        let mut path = PATHS[0];
        let all = || What::Services(String::new());
        let told = match self.ask(path, all()).await {
            Err(error) if is_unimplemented(&error) => {
                path = PATHS[1];
                self.ask(path, all()).await?
            }
            told => told?,
        };
        let mut known = Known::default();
        let services = told.services.ok_or(ReflectionError::Empty)?.service;
        for name in services.into_iter().map(|service| service.name) {
            // reflection and health have no routes
            if !name.starts_with("grpc.") {
                known.add(self.ask(path, What::Symbol(name)).await?)?;
            }
        }
        while let Some(name) = known.missing() {
            known.add(self.ask(path, What::File(name.clone())).await?)?;
            if !known.files.contains_key(&name) {
                return Err(
                    ReflectionError::Unknown { asked: name, message: "another file came".into() }.into()
                );
            }
        }
        Ok(known.set())
    }

    /// One question on a stream of its own.
    async fn ask(&self, path: &'static str, what: What) -> Result<Told, BoxError> {
        let asked = match &what {
            What::File(name) | What::Symbol(name) | What::Services(name) => name.clone(),
        };
        let mut frame = vec![0; grpc::PREFIX];
        Ask { what: Some(what) }.encode(&mut frame)?;
        grpc::seal(&mut frame);
        let mut request = Request::new(Body::from(frame));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static(path);
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        let answer = self.upstream.call(request).await.map_err(ReflectionError::Unreached)?;
        let told = Told::decode(first_message(answer).await?)?;
        match told.error {
            Some(Refused { message, .. }) => Err(ReflectionError::Unknown { asked, message }.into()),
            None => Ok(told),
        }
    }
}

fn is_unimplemented(error: &BoxError) -> bool {
    matches!(error.downcast_ref(), Some(ReflectionError::Status(Code::Unimplemented)))
}

async fn first_message(response: http::Response<Body>) -> Result<Bytes, BoxError> {
    refused(response.headers())?;
    let mut deframer = Deframer::of_answer(response.headers());
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await.transpose()? {
        if let Some(trailers) = frame.trailers_ref() {
            refused(trailers)?;
        }
        if let Ok(data) = frame.into_data() {
            deframer.push(data);
        }
        if let Some(message) = deframer.next(BYTES_MAX)? {
            return Ok(message);
        }
    }
    Err(ReflectionError::Empty.into())
}

fn refused(status: &HeaderMap) -> Result<(), ReflectionError> {
    let number = status.get(GRPC_STATUS).and_then(|code| code.to_str().ok()?.parse().ok());
    match number.map(Code::from_number) {
        None | Some(Code::Ok) => Ok(()),
        Some(code) => Err(ReflectionError::Status(code)),
    }
}

/// The files that were told, and those that they import.
#[derive(Default)]
struct Known {
    files: BTreeMap<String, Bytes>,
    imported: BTreeSet<String>,
    bytes: usize,
}

impl Known {
    fn add(&mut self, told: Told) -> Result<(), BoxError> {
        for bytes in told.files.ok_or(ReflectionError::Empty)?.file {
            let file = FileDescriptorProto::decode(bytes.clone())?;
            let length = bytes.len();
            // some send what a file imports along with it, each time
            if self.files.insert(file.name().to_owned(), bytes).is_none() {
                self.bytes += length;
            }
            if self.bytes > BYTES_MAX {
                return Err(ReflectionError::TooLarge.into());
            }
            self.imported.extend(file.dependency);
        }
        Ok(())
    }

    fn missing(&self) -> Option<String> {
        self.imported.iter().find(|name| !self.files.contains_key(*name)).cloned()
    }

    /// As a FileDescriptorSet.
    fn set(&self) -> Bytes {
        let mut set = Vec::with_capacity(self.bytes + self.files.len() * 8);
        for file in self.files.values() {
            prost::encoding::bytes::encode(1, file, &mut set);
        }
        set.into()
    }
}
