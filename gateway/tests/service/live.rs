//! Descriptors that change while the gateway serves, by file and by reflection.

use std::sync::{Arc, Mutex};

use arsenal_gateway::{
    Config, Live,
    live::{DescriptorFile, LiveService, Reflected},
    upstream::{Answer, Upstream},
};
use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use prost::Message as _;
use prost_reflect::prost_types::{FileDescriptorProto, FileDescriptorSet};
use tower::ServiceExt as _;

use crate::{
    canned::{Canned, Recorder, unframe},
    protos,
};

fn proto(path: &str) -> Vec<u8> {
    let source = format!(
        r#"syntax = "proto3"; package t; import "google/api/annotations.proto";
        service Greeter {{ rpc Greet(Name) returns (Name) {{ option (google.api.http) = {{ get: "{path}" }}; }} }}
        message Name {{ string name = 1; }}"#
    );
    protos::descriptor_set(&source).unwrap()
}

/// Answers calls, and tells its descriptors by one version of reflection.
#[derive(Clone)]
struct Reflecting {
    version: &'static str,
    set: Arc<Mutex<Vec<u8>>>,
    greeter: Recorder,
}

impl Reflecting {
    fn new(version: &'static str, set: Vec<u8>) -> Self {
        let greeter = Recorder::new(Canned { messages: vec![vec![]], ..Canned::default() });
        Self { version, set: Arc::new(Mutex::new(set)), greeter }
    }

    /// The file that is asked for by name, or that has the service; raw, as a set has it.
    fn told(&self, asked: &[u8]) -> Vec<u8> {
        let set = self.set.lock().unwrap().clone();
        let files = FileDescriptorSet::decode(&*set).unwrap().file;
        let raw: Vec<Vec<u8>> = raw_files(&set);
        // field, length, text: each question is one short string
        let (field, text) = (asked[0] >> 3, std::str::from_utf8(&asked[2..]).unwrap());
        let has = |file: &FileDescriptorProto| match field {
            3 => file.name() == text,
            _ => file.service.iter().any(|service| format!("t.{}", service.name()) == text),
        };
        let mut out = Vec::new();
        if field == 7 {
            let mut services = Vec::new();
            for name in ["grpc.health.v1.Health", "t.Greeter"] {
                let mut service = Vec::new();
                prost::encoding::string::encode(1, &name.to_owned(), &mut service);
                prost::encoding::bytes::encode(1, &service, &mut services);
            }
            prost::encoding::bytes::encode(6, &services, &mut out);
        } else {
            let index = files.iter().position(has).unwrap();
            let mut answer = Vec::new();
            prost::encoding::bytes::encode(1, &raw[index], &mut answer);
            prost::encoding::bytes::encode(4, &answer, &mut out);
        }
        out
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct RawSet {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

fn raw_files(set: &[u8]) -> Vec<Vec<u8>> {
    RawSet::decode(set).unwrap().file
}

impl Upstream for Reflecting {
    fn call(&self, request: Request<Body>) -> Answer {
        let path = request.uri().path().to_owned();
        if !path.starts_with("/grpc.reflection.") {
            return self.greeter.call(request);
        }
        let reflecting = self.clone();
        Box::pin(async move {
            let unimplemented = Canned {
                trailers: Some(vec![("grpc-status".into(), "12".into())]),
                trailers_only: true,
                ..Canned::default()
            };
            if path
                != format!("/grpc.reflection.{}.ServerReflection/ServerReflectionInfo", reflecting.version)
            {
                return Recorder::new(unimplemented).call(Request::new(Body::empty())).await;
            }
            let asked = unframe(&request.into_body().collect().await?.to_bytes());
            let messages = asked.iter().map(|asked| reflecting.told(asked)).collect();
            Recorder::new(Canned { messages, ..Canned::default() }).call(Request::new(Body::empty())).await
        })
    }
}

async fn get(service: &LiveService, path: &str) -> u16 {
    let response: Response<Body> =
        service.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    response.status().as_u16()
}

#[tokio::test]
async fn a_service_is_served_by_its_reflection_alone_and_followed_when_it_changes() {
    for version in ["v1", "v1alpha"] {
        let upstream = Reflecting::new(version, proto("/v1/{name}"));
        let source = Reflected::new(upstream.clone());
        let mut live = Live::start(source, Config::default(), upstream.clone(), |_| ()).await.unwrap();
        let service = live.service();
        assert_eq!((get(&service, "/v1/ann").await, get(&service, "/v2/ann").await), (200, 404));
        assert!(!live.look().await.unwrap(), "the same is no change");
        *upstream.set.lock().unwrap() = proto("/v2/{name}");
        assert!(live.look().await.unwrap());
        assert_eq!((get(&service, "/v1/ann").await, get(&service, "/v2/ann").await), (404, 200));
        let asked = upstream.greeter.asked();
        assert_eq!(asked.last().unwrap().messages, [b"\x0a\x03ann".to_vec()]);
    }
}

#[tokio::test]
async fn descriptors_that_make_no_gateway_leave_the_one_before_in_place() {
    let path = std::env::temp_dir().join(format!("gateway-descriptors-{}.bin", std::process::id()));
    std::fs::write(&path, proto("/v1/{name}")).unwrap();
    let upstream = Recorder::new(Canned { messages: vec![vec![]], ..Canned::default() });
    let mut live =
        Live::start(DescriptorFile(path.clone()), Config::default(), upstream, |_| ()).await.unwrap();
    let service = live.service();
    std::fs::write(&path, proto("/v1/{nobody}")).unwrap();
    let refused = live.look().await.unwrap_err().to_string();
    assert!(refused.contains("`t.Greeter.Greet`") && refused.contains("nobody"), "{refused}");
    assert_eq!(get(&service, "/v1/ann").await, 200);
    assert!(!live.look().await.unwrap(), "what was refused is not tried again and again");
    std::fs::write(&path, proto("/v3/{name}")).unwrap();
    assert!(live.look().await.unwrap());
    assert_eq!((get(&service, "/v1/ann").await, get(&service, "/v3/ann").await), (404, 200));
    std::fs::remove_file(&path).unwrap();
    let gone = live.look().await.unwrap_err().to_string();
    assert!(gone.contains(&path.display().to_string()), "{gone}");
    assert_eq!(get(&service, "/v3/ann").await, 200);
}
