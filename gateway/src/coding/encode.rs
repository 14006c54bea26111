//! Answers pressed: whole ones at once, streams item by item, each flushed so that it arrives when it is sent.
//!
//! What is pressed counts in the account of answers as what it was made of does.

use std::{
    io::{self, Write as _},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;

use super::{Coding, tag};
use crate::{
    gateway::Compiled,
    held::{self, Held},
};

/// Levels at which pressing costs about as much as sending would: the answer is made once and read once.
const GZIP_LEVEL: flate2::Compression = flate2::Compression::fast();
const ZSTD_LEVEL: i32 = 1;

/// More than this is pressed on a thread that may block.
const INLINE_BYTES_MAX: usize = 256 << 10;

enum Encoder {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Gzip => Encoder::Gzip(flate2::write::GzEncoder::new(Vec::new(), GZIP_LEVEL)),
            Coding::Zstd => Encoder::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
        })
    }

    /// What of `plain` and all before it must be sent for the client to read it.
    fn flushed(&mut self, plain: &[u8]) -> io::Result<Vec<u8>> {
        let out = match self {
            Encoder::Gzip(encoder) => {
                encoder.write_all(plain)?;
                encoder.flush()?;
                encoder.get_mut()
            }
            Encoder::Zstd(encoder) => {
                encoder.write_all(plain)?;
                encoder.flush()?;
                encoder.get_mut()
            }
        };
        Ok(std::mem::take(out))
    }

    fn finished(self, plain: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Encoder::Gzip(mut encoder) => {
                encoder.write_all(plain)?;
                encoder.finish()
            }
            Encoder::Zstd(mut encoder) => {
                encoder.write_all(plain)?;
                encoder.finish()
            }
        }
    }
}

/// The answer as the client accepts it, if it is [worth it](is_worth_it).
pub(crate) async fn encoded(
    accepted: Option<Coding>,
    mut response: Response<Body>,
    compiled: &Arc<Compiled>,
) -> Response<Body> {
    vary(response.headers_mut());
    match accepted {
        Some(coding) => Box::pin(pressed(coding, response, compiled)).await,
        None => response,
    }
}

/// Another client gets another form of it.
fn vary(headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
}

/// Has the headers of an answer without its body, to HEAD or since the client has it already, say what they would with it,
/// if it is [worth it](is_worth_it). How long the pressed body is nobody knows.
pub(crate) fn announce(accepted: Option<Coding>, headers: &mut HeaderMap) {
    vary(headers);
    if let Some(coding) = accepted {
        headers.remove(header::CONTENT_LENGTH);
        say(coding, headers);
    }
}

fn say(coding: Coding, headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    tag::mark(coding, headers);
}

async fn pressed(coding: Coding, response: Response<Body>, compiled: &Arc<Compiled>) -> Response<Body> {
    let size = response.body().size_hint().exact();
    let (mut parts, body) = response.into_parts();
    let body = match size {
        // a body of a known size is there already
        Some(_) => match whole(coding, body, compiled).await {
            Ok(bytes) => {
                parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
                Body::from(bytes)
            }
            Err(body) => return Response::from_parts(parts, body),
        },
        None => match Encoder::new(coding) {
            Ok(encoder) => {
                parts.headers.remove(header::CONTENT_LENGTH);
                let (compiled, encoder) = (compiled.clone(), Some(encoder));
                Body::new(Encoded { body, encoder, compiled, trailers: None })
            }
            Err(_) => return Response::from_parts(parts, body),
        },
    };
    say(coding, &mut parts.headers);
    Response::from_parts(parts, body)
}

/// Presses a body whole; gives it back as it was if that cannot be done, or there is no room for both of them: what is sent
/// plain is held already.
async fn whole(coding: Coding, body: Body, compiled: &Compiled) -> Result<Bytes, Body> {
    let plain = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Err(Body::from_stream(futures_util::stream::iter([Err::<Bytes, _>(error)]))),
    };
    let press = move |plain: &[u8]| Encoder::new(coding).and_then(|encoder| encoder.finished(plain));
    let pressed = if plain.len() <= INLINE_BYTES_MAX {
        press(&plain)
    } else {
        let plain = plain.clone();
        let pressed = tokio::task::spawn_blocking(move || press(&plain)).await;
        pressed.unwrap_or_else(|error| Err(io::Error::other(error)))
    };
    let pressed = pressed.ok().and_then(|pressed| Held::made_of_answer(pressed.into(), compiled).ok());
    pressed.ok_or_else(|| Body::from(plain))
}

/// What is small, or is no text, stays as it is. The size is that of the body, if it is known.
pub(crate) fn is_worth_it(
    status: StatusCode,
    headers: &HeaderMap,
    size: Option<u64>,
    bytes_min: usize,
) -> bool {
    if size.is_some_and(|size| size < bytes_min as u64) {
        return false;
    }
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED, StatusCode::SWITCHING_PROTOCOLS];
    if bodiless.contains(&status) || headers.contains_key(header::CONTENT_ENCODING) {
        return false;
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|content_type| {
        let is_text = content_type.starts_with("text/");
        is_text || (content_type.contains("json") && !content_type.starts_with("application/grpc"))
    })
}

/// A stream that is pressed as it goes.
struct Encoded {
    body: Body,
    /// Nothing once the end was written.
    encoder: Option<Encoder>,
    compiled: Arc<Compiled>,
    trailers: Option<HeaderMap>,
}

impl http_body::Body for Encoded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        loop {
            let Some(encoder) = &mut this.encoder else {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            };
            let (plain, pressed) = match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let pressed = encoder.flushed(&data);
                        (data, pressed)
                    }
                    Err(frame) => {
                        this.trailers = frame.into_trailers().ok();
                        continue;
                    }
                },
                None => match this.encoder.take() {
                    Some(encoder) => (Bytes::new(), encoder.finished(b"")),
                    None => continue,
                },
            };
            return Poll::Ready(Some(pressed.map_err(axum::Error::new).map(|pressed| {
                let kept = Held::made_of_answer(pressed.into(), &this.compiled);
                // without room for both, what the plain one holds stands for this: the encoder cannot go back
                Frame::data(kept.unwrap_or_else(|pressed| held::beside(pressed, plain)))
            })));
        }
    }
}
