//! REST as a plain HTTP client sees it.

use crate::api::{Answers, Failure};
use arsenal_server::dynamic::{self, RestRequest};
use arsenal_services::operations::Operation;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::net::SocketAddr;

pub(crate) struct RestClient {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
}

impl RestClient {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), address }
    }

    async fn send(
        &self,
        operation: &Operation,
        request: &Value,
        headers: &[(String, String)],
        accept: &str,
    ) -> Result<http::Response<Incoming>, Failure> {
        let RestRequest { verb, path, body } = dynamic::rest_request(operation, request);
        let mut builder = http::Request::builder()
            .method(verb.as_str())
            .uri(format!("http://{}{path}", self.address))
            .header("content-type", "application/json")
            .header("accept", accept);
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        let body = Full::new(body.map(|body| Bytes::from(body.to_string())).unwrap_or_default());
        let request = builder.body(body).unwrap_or_else(|error| panic!("{verb} {path}: {error}"));
        let response = self.client.request(request).await;
        Ok(response.unwrap_or_else(|error| panic!("{verb} {path}: {error}")))
    }

    pub(crate) async fn call(
        &self,
        operation: &Operation,
        request: &Value,
        headers: &[(String, String)],
    ) -> Result<Value, Failure> {
        let response = self.send(operation, request, headers, "application/json").await?;
        let success = response.status().is_success();
        let json = read(response).await;
        if success { Ok(json) } else { Err(of_envelope(&json)) }
    }

    pub(crate) async fn stream(
        &self,
        operation: &Operation,
        request: &Value,
        headers: &[(String, String)],
    ) -> Result<Answers, Failure> {
        let response = self.send(operation, request, headers, "application/x-ndjson").await?;
        if !response.status().is_success() {
            return Err(of_envelope(&read(response).await));
        }
        let mut body = response.into_body();
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        tokio::spawn(async move {
            let mut pending = Vec::new();
            while let Some(Ok(frame)) = body.frame().await {
                pending.extend_from_slice(frame.data_ref().map(|data| &data[..]).unwrap_or_default());
                while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = pending.drain(..=end).collect();
                    if line.trim_ascii().is_empty() {
                        continue;
                    }
                    let json: Value = serde_json::from_slice(&line).unwrap_or_default();
                    let item = if json.get("error").is_some() { Err(of_envelope(&json)) } else { Ok(json) };
                    if sender.send(item).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Answers::new(tokio_stream::wrappers::ReceiverStream::new(receiver).boxed()))
    }
}

async fn read(response: http::Response<Incoming>) -> Value {
    let status = response.status();
    let body = response.into_body().collect().await;
    let bytes = body.unwrap_or_else(|error| panic!("the body of a {status} broke off: {error}")).to_bytes();
    serde_json::from_slice(&bytes)
        .unwrap_or_else(|error| panic!("{status} with a body that is no JSON ({error}): {:?}", bytes))
}

/// AIP-193's envelope.
fn of_envelope(json: &Value) -> Failure {
    let error = &json["error"];
    let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    let details = error["details"].as_array().cloned().unwrap_or_default();
    Failure::new(text("status"), text("message"), details)
}
