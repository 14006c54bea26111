//! An upstream that answers what it is told to and remembers what it was asked.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arsenal_gateway::upstream::{Answer, Upstream};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

/// What to answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Canned {
    /// The HTTP status; 200 by default.
    pub(crate) http_status: Option<u16>,
    /// Headers beside the content type.
    pub(crate) headers: Vec<(String, String)>,
    /// The messages, unframed.
    pub(crate) messages: Vec<Vec<u8>>,
    /// The trailers; a status of 0 by default.
    pub(crate) trailers: Option<Vec<(String, String)>>,
    /// Put the trailers into the headers, and send no body.
    pub(crate) trailers_only: bool,
    /// Break off instead of ending.
    pub(crate) abort: bool,
    /// Wait before answering.
    pub(crate) delay: Duration,
    /// Answer no gRPC.
    pub(crate) plain: bool,
    /// The body as it is, in place of framed messages.
    pub(crate) raw: Option<Vec<u8>>,
}

/// What was asked.
#[derive(Clone, Debug, Default)]
#[allow(dead_code, reason = "not every test binary that shares this file looks at all of it")]
pub(crate) struct Asked {
    /// The path.
    pub(crate) path: String,
    /// The metadata.
    pub(crate) metadata: HeaderMap,
    /// The frames' messages.
    pub(crate) messages: Vec<Vec<u8>>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    canned: Canned,
    asked: Arc<Mutex<Vec<Asked>>>,
    ended: Arc<Mutex<Option<Arc<tokio::sync::Notify>>>>,
    has_ended: Arc<AtomicBool>,
}

impl Recorder {
    /// Answers so.
    pub(crate) fn new(canned: Canned) -> Self {
        Self { canned, ..Self::default() }
    }

    /// The calls so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Whether a call's future was dropped, done or not.
    #[allow(dead_code, reason = "not every test binary that shares this file looks for the end of a call")]
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// Is notified when a call's future is dropped, done or not.
    #[allow(dead_code, reason = "not every test binary that shares this file cancels a call")]
    pub(crate) fn notify_end(&self, notify: Arc<tokio::sync::Notify>) {
        *self.ended.lock().unwrap() = Some(notify);
    }
}

struct OnDrop(Option<Arc<tokio::sync::Notify>>, Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
        if let Some(notify) = &self.0 {
            notify.notify_one();
        }
    }
}

/// Splits frames, trusting them.
pub(crate) fn unframe(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while bytes.len() >= 5 {
        let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
        messages.push(bytes[5..5 + length].to_vec());
        bytes = &bytes[5 + length..];
    }
    messages
}

/// A message behind its prefix.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut frame = vec![0; 5];
    frame.extend_from_slice(message);
    arsenal_gateway::grpc::seal(&mut frame);
    frame.into()
}

impl Upstream for Recorder {
    fn call(&self, request: Request<Body>) -> Answer {
        let (canned, asked) = (self.canned.clone(), self.asked.clone());
        let guard = OnDrop(self.ended.lock().unwrap().clone(), self.has_ended.clone());
        Box::pin(async move {
            let _guard = guard;
            let (parts, mut body) = request.into_parts();
            let mut bytes = Vec::new();
            // what came before a stream broke off was asked too
            while let Some(Ok(frame)) = body.frame().await {
                bytes.extend(frame.into_data().unwrap_or_default());
            }
            asked.lock().unwrap().push(Asked {
                path: parts.uri.path().to_owned(),
                metadata: parts.headers,
                messages: unframe(&bytes),
            });
            tokio::time::sleep(canned.delay).await;
            Ok(response(canned))
        })
    }
}

fn response(canned: Canned) -> Response<Body> {
    let mut builder =
        Response::builder().status(StatusCode::from_u16(canned.http_status.unwrap_or(200)).unwrap());
    if !canned.plain {
        builder = builder.header("content-type", "application/grpc");
    }
    for (name, value) in &canned.headers {
        builder = builder.header(name, value);
    }
    if canned.plain {
        return builder.body(Body::from("no gRPC")).unwrap();
    }
    let trailers = canned.trailers.unwrap_or_else(|| vec![("grpc-status".into(), "0".into())]);
    if canned.trailers_only {
        for (name, value) in &trailers {
            builder = builder.header(name, value);
        }
        return builder.body(Body::empty()).unwrap();
    }
    let data: Vec<Bytes> = match canned.raw {
        Some(raw) => vec![raw.into()],
        None => canned.messages.iter().map(|message| frame(message)).collect(),
    };
    let mut frames: Vec<Result<Frame<Bytes>, std::io::Error>> =
        data.into_iter().map(|data| Ok(Frame::data(data))).collect();
    if canned.abort {
        frames.push(Err(std::io::Error::other("upstream is gone")));
    } else {
        let map = trailers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        frames.push(Ok(Frame::trailers(map.collect::<HeaderMap>())));
    }
    builder.body(Body::new(StreamBody::new(futures_util::stream::iter(frames)))).unwrap()
}
