use super::*;
use futures_util::poll;
use http_body_util::BodyExt as _;
use prost::Message as _;
use prost_reflect::prost_types::{
    DescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};

/// Answers with a stream that has nothing yet, and does not end.
struct Silent;

impl Upstream for Silent {
    fn call(&self, _: Request<Body>) -> Answer {
        let nothing = futures_util::stream::pending::<Result<Bytes, Infallible>>();
        Box::pin(std::future::ready(Ok(Response::new(Body::from_stream(nothing)))))
    }
}

/// A gateway of a service that is none of the contract.
fn foreign() -> Gateway {
    let method = |name: &str, streams| MethodDescriptorProto {
        name: Some(name.into()),
        input_type: Some(".other.Nothing".into()),
        output_type: Some(".other.Nothing".into()),
        server_streaming: Some(streams),
        ..MethodDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("other.proto".into()),
        package: Some("other".into()),
        syntax: Some("proto3".into()),
        message_type: vec![DescriptorProto { name: Some("Nothing".into()), ..DescriptorProto::default() }],
        service: vec![ServiceDescriptorProto {
            name: Some("Other".into()),
            method: vec![method("Watch", true), method("Get", false)],
            ..ServiceDescriptorProto::default()
        }],
        ..FileDescriptorProto::default()
    };
    Gateway::builder(FileDescriptorSet { file: vec![file] }.encode_to_vec()).build().unwrap()
}

#[tokio::test]
async fn the_streams_of_any_service_that_is_served_are_told_of_a_stop_and_no_other_answer_is() {
    let (stop, stopped) = watch::channel(false);
    let streams = Streams::known();
    let upstream = PartingUpstream::new(PartingLayer::new("gateway", stopped), streams.clone(), Silent);
    // as those are that come with a change of descriptors
    streams.follow(&foreign());
    let mut answers = Vec::new();
    for (path, is_told) in [
        ("/other.Other/Watch", true),
        ("/other.Other/Get", false),
        ("/grpc.health.v1.Health/Watch", true),
        ("/arsenal.v1.IntrospectionService/WatchProcesses", true),
    ] {
        let request = Request::post(path).body(Body::empty()).unwrap();
        let mut body = upstream.call(request).await.unwrap().into_body();
        assert!(poll!(body.frame()).is_pending());
        answers.push((path, body, is_told));
    }
    stop.send(true).unwrap();
    for (path, mut body, is_told) in answers {
        match poll!(body.frame()) {
            Poll::Ready(Some(Ok(frame))) => {
                assert_eq!(frame.trailers_ref().unwrap()["grpc-status"], "14", "{path}");
                assert!(is_told, "{path}");
            }
            answer => assert!(answer.is_pending() && !is_told, "{path}: {answer:?}"),
        }
    }
}
