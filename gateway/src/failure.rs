//! What the gateway answers when a call fails: a gRPC status with details, printed as AIP-193 has it.
//!
//! A failure comes from upstream (trailers) or from the gateway itself; the latter always carries an ErrorInfo whose
//! `reason` is stable.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::{
    code::Code,
    config::{Config, ErrorFormat},
    metadata::Crossing,
    schema::{GOOGLE_RPC, Schema},
    transcode::{
        JsonOptions,
        encode::{self, Printing},
        text,
        wire::{self, Reader, WireType},
    },
};

/// Where a call's status stands in the trailers.
pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// A failed call.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The gRPC code.
    pub code: Code,
    /// For people.
    pub message: String,
    /// The HTTP status, where it is not the code's own.
    pub http: Option<StatusCode>,
    /// Encoded google.protobuf.Any.
    pub details: Vec<Bytes>,
    /// Response headers of the gateway's own, such as `allow`.
    pub headers: Box<HeaderMap>,
    /// The metadata that came with the status; what of it crosses is decided when the answer is made.
    pub metadata: Box<HeaderMap>,
}

/// The stable names of the gateway's own failures, in ErrorInfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No route has this path.
    RouteNotFound,
    /// The path is known, the method is not.
    MethodNotAllowed,
    /// The path or query is malformed.
    InvalidTarget,
    /// Path and query are too long.
    TargetTooLong,
    /// The headers are too many, or too long.
    HeadersTooLarge,
    /// A query parameter that the request has no field for.
    UnknownQueryParameter,
    /// A query parameter that does not fit its field.
    InvalidQueryParameter,
    /// A path capture that does not fit its field.
    InvalidPathParameter,
    /// The body and the path contradict each other.
    PathCollision,
    /// The body is no JSON of the request.
    InvalidBody,
    /// The body is too large.
    BodyTooLarge,
    /// The body broke off.
    BodyIncomplete,
    /// The body did not come in time.
    BodyTooSlow,
    /// The body is no JSON by its content type.
    UnsupportedMediaType,
    /// Nothing that the client accepts can be given.
    NotAcceptable,
    /// A header that cannot be understood.
    InvalidHeader,
    /// The deadline passed.
    DeadlineExceeded,
    /// Upstream cannot be reached.
    UpstreamUnavailable,
    /// Upstream broke the protocol.
    UpstreamBroken,
    /// An answer larger than the limit.
    ResponseTooLarge,
    /// An answer that has no JSON form.
    ResponseUnprintable,
    /// The state asked for is not the one there is.
    PreconditionFailed,
    /// A WebSocket handshake that is none.
    InvalidHandshake,
    /// A page of an origin that may not speak to this gateway.
    OriginNotAllowed,
    /// A host that this gateway is not called by.
    HostNotAllowed,
    /// The bodies of all requests together would be too many bytes.
    Overloaded,
    /// A version of HTTP that cannot carry what is asked for.
    VersionNotSupported,
}

impl Reason {
    /// All of them, in their order.
    pub const ALL: [Reason; 27] = [
        Reason::RouteNotFound,
        Reason::MethodNotAllowed,
        Reason::InvalidTarget,
        Reason::TargetTooLong,
        Reason::HeadersTooLarge,
        Reason::UnknownQueryParameter,
        Reason::InvalidQueryParameter,
        Reason::InvalidPathParameter,
        Reason::PathCollision,
        Reason::InvalidBody,
        Reason::BodyTooLarge,
        Reason::BodyIncomplete,
        Reason::BodyTooSlow,
        Reason::UnsupportedMediaType,
        Reason::NotAcceptable,
        Reason::InvalidHeader,
        Reason::DeadlineExceeded,
        Reason::UpstreamUnavailable,
        Reason::UpstreamBroken,
        Reason::ResponseTooLarge,
        Reason::ResponseUnprintable,
        Reason::PreconditionFailed,
        Reason::InvalidHandshake,
        Reason::OriginNotAllowed,
        Reason::HostNotAllowed,
        Reason::Overloaded,
        Reason::VersionNotSupported,
    ];

    /// As ErrorInfo has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::RouteNotFound => "ROUTE_NOT_FOUND",
            Reason::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Reason::InvalidTarget => "INVALID_TARGET",
            Reason::TargetTooLong => "TARGET_TOO_LONG",
            Reason::HeadersTooLarge => "HEADERS_TOO_LARGE",
            Reason::UnknownQueryParameter => "UNKNOWN_QUERY_PARAMETER",
            Reason::InvalidQueryParameter => "INVALID_QUERY_PARAMETER",
            Reason::InvalidPathParameter => "INVALID_PATH_PARAMETER",
            Reason::PathCollision => "PATH_COLLISION",
            Reason::InvalidBody => "INVALID_BODY",
            Reason::BodyTooLarge => "BODY_TOO_LARGE",
            Reason::BodyIncomplete => "BODY_INCOMPLETE",
            Reason::BodyTooSlow => "BODY_TOO_SLOW",
            Reason::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Reason::NotAcceptable => "NOT_ACCEPTABLE",
            Reason::InvalidHeader => "INVALID_HEADER",
            Reason::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Reason::UpstreamUnavailable => "UPSTREAM_UNAVAILABLE",
            Reason::UpstreamBroken => "UPSTREAM_BROKEN",
            Reason::ResponseTooLarge => "RESPONSE_TOO_LARGE",
            Reason::ResponseUnprintable => "RESPONSE_UNPRINTABLE",
            Reason::PreconditionFailed => "PRECONDITION_FAILED",
            Reason::InvalidHandshake => "INVALID_HANDSHAKE",
            Reason::OriginNotAllowed => "ORIGIN_NOT_ALLOWED",
            Reason::HostNotAllowed => "HOST_NOT_ALLOWED",
            Reason::Overloaded => "OVERLOADED",
            Reason::VersionNotSupported => "VERSION_NOT_SUPPORTED",
        }
    }

    fn code(self) -> Code {
        match self {
            Reason::RouteNotFound => Code::NotFound,
            Reason::MethodNotAllowed | Reason::VersionNotSupported => Code::Unimplemented,
            Reason::BodyTooLarge | Reason::HeadersTooLarge | Reason::ResponseTooLarge => {
                Code::ResourceExhausted
            }
            Reason::DeadlineExceeded | Reason::BodyTooSlow => Code::DeadlineExceeded,
            Reason::UpstreamUnavailable | Reason::Overloaded => Code::Unavailable,
            Reason::OriginNotAllowed | Reason::HostNotAllowed => Code::PermissionDenied,
            Reason::PreconditionFailed => Code::FailedPrecondition,
            Reason::UpstreamBroken | Reason::ResponseUnprintable => Code::Internal,
            _ => Code::InvalidArgument,
        }
    }

    fn http(self) -> Option<StatusCode> {
        match self {
            Reason::MethodNotAllowed => Some(StatusCode::METHOD_NOT_ALLOWED),
            Reason::TargetTooLong => Some(StatusCode::URI_TOO_LONG),
            Reason::HeadersTooLarge => Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            Reason::BodyTooLarge => Some(StatusCode::PAYLOAD_TOO_LARGE),
            Reason::BodyTooSlow => Some(StatusCode::REQUEST_TIMEOUT),
            Reason::UnsupportedMediaType => Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Reason::NotAcceptable => Some(StatusCode::NOT_ACCEPTABLE),
            Reason::PreconditionFailed => Some(StatusCode::PRECONDITION_FAILED),
            // the code's own 429 would have the client come again, for an answer that is no smaller
            Reason::ResponseTooLarge => Some(StatusCode::INTERNAL_SERVER_ERROR),
            Reason::HostNotAllowed => Some(StatusCode::MISDIRECTED_REQUEST),
            Reason::VersionNotSupported => Some(StatusCode::HTTP_VERSION_NOT_SUPPORTED),
            _ => None,
        }
    }
}

impl Failure {
    /// A failure of the gateway's own.
    pub fn new(reason: Reason, domain: &str, message: impl Into<String>) -> Self {
        let mut info = Vec::new();
        put_text_field(&mut info, 1, reason.as_str());
        put_text_field(&mut info, 2, domain);
        Self {
            code: reason.code(),
            message: message.into(),
            http: reason.http(),
            details: vec![any("google.rpc.ErrorInfo", &info)],
            headers: Box::default(),
            metadata: Box::default(),
        }
    }

    /// Adds which field is at fault, as a BadRequest detail.
    pub fn about_field(mut self, field: &str) -> Self {
        let mut violation = Vec::new();
        put_text_field(&mut violation, 1, field);
        put_text_field(&mut violation, 2, &self.message);
        let mut request = vec![1 << 3 | WireType::Length as u8];
        wire::put_bytes(&mut request, &violation);
        self.details.push(any("google.rpc.BadRequest", &request));
        self
    }

    /// The failure that trailers tell of; `None` when they tell of success. Without a status they tell nothing, which
    /// is a failure too.
    pub fn from_trailers(trailers: &HeaderMap) -> Option<Self> {
        let number = trailers.get(GRPC_STATUS).and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
        if number == Some(0) {
            return None;
        }
        let plain = || trailers.get(GRPC_MESSAGE).map(message_of).unwrap_or_default();
        let mut failure = Failure {
            code: number.map_or(Code::Unknown, Code::from_number),
            message: String::new(),
            http: None,
            details: Vec::new(),
            headers: Box::default(),
            metadata: Box::new(trailers.clone()),
        };
        let binary = trailers.get(GRPC_STATUS_DETAILS).and_then(|value| value.to_str().ok());
        match binary.and_then(crate::transcode::base64).as_deref().and_then(status_of) {
            Some((code, message, details)) => {
                // The binary form is the richer one; a code that contradicts the header's is not believed.
                if code == failure.code.number() || number.is_none() {
                    failure.code = Code::from_number(code.into());
                }
                failure.message = message.unwrap_or_else(plain);
                failure.details = details;
            }
            None => failure.message = plain(),
        }
        Some(failure)
    }

    /// The HTTP status.
    pub fn http_status(&self) -> StatusCode {
        self.http.unwrap_or_else(|| self.code.http_status())
    }

    /// Appends the body.
    pub fn put_json(&self, schema: &Schema, config: &Config, out: &mut Vec<u8>) {
        let number = match config.error_format {
            ErrorFormat::Envelope => {
                out.extend_from_slice(b"{\"error\":");
                i32::from(self.http_status().as_u16())
            }
            ErrorFormat::Status => self.code.number(),
        };
        out.extend_from_slice(b"{\"code\":");
        text::put_integer(out, number);
        out.extend_from_slice(b",\"message\":");
        text::put_string(out, &self.message);
        if config.error_format == ErrorFormat::Envelope {
            out.extend_from_slice(b",\"status\":");
            text::put_string(out, self.code.name());
        }
        out.extend_from_slice(b",\"details\":[");
        for (index, detail) in self.details.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            put_detail(schema, config, detail, out);
        }
        out.extend_from_slice(b"]}");
        if config.error_format == ErrorFormat::Envelope {
            out.push(b'}');
        }
    }

    /// Appends what a stream ends with when it fails behind its headers: always an object with the member `error`.
    pub(crate) fn put_last_item(&self, schema: &Schema, config: &Config, out: &mut Vec<u8>) {
        let bare = config.error_format == ErrorFormat::Status;
        if bare {
            out.extend_from_slice(b"{\"error\":");
        }
        self.put_json(schema, config, out);
        if bare {
            out.push(b'}');
        }
    }

    /// The whole answer.
    pub fn into_response(mut self, schema: &Schema, config: &Config, crossing: &Crossing) -> Response<Body> {
        let mut body = Vec::with_capacity(256);
        self.put_json(schema, config, &mut body);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.http_status();
        let headers = response.headers_mut();
        *headers = std::mem::take(&mut *self.headers);
        crossing.response(&self.metadata, headers);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        if self.http_status() == StatusCode::UNAUTHORIZED && !headers.contains_key(header::WWW_AUTHENTICATE) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        *response.body_mut() = Body::from(body);
        response
    }
}

fn put_detail(schema: &Schema, config: &Config, detail: &[u8], out: &mut Vec<u8>) {
    let options = JsonOptions { emit_defaults: false, ..config.json };
    let (depth, bytes_max) = (config.limits.depth_max, config.limits.json_bytes_max);
    let printing = Printing { options, depth, bytes_max, opaque_any: true };
    // A schema without Any of its own prints through the shipped one; types that the service describes go before.
    let own = schema.message_id("google.protobuf.Any").map(|id| (schema, id));
    let any = own.or_else(|| GOOGLE_RPC.message_id("google.protobuf.Any").map(|id| (&*GOOGLE_RPC, id)));
    // A detail that its own type cannot print must not take the error with it.
    let printed = any.is_some_and(|(schema, id)| encode::message(schema, id, detail, printing, out).is_ok());
    if !printed {
        out.extend_from_slice(b"{\"value\":");
        text::put_base64(out, detail);
        out.push(b'}');
    }
}

fn put_text_field(out: &mut Vec<u8>, number: u8, value: &str) {
    out.push(number << 3 | WireType::Length as u8);
    wire::put_bytes(out, value.as_bytes());
}

fn any(name: &str, value: &[u8]) -> Bytes {
    let mut any = Vec::with_capacity(name.len() + value.len() + 32);
    put_text_field(&mut any, 1, &format!("type.googleapis.com/{name}"));
    any.push(2 << 3 | WireType::Length as u8);
    wire::put_bytes(&mut any, value);
    any.into()
}

/// A message as `grpc-message` carries it (gRPC over HTTP2, "Status-Message").
pub(crate) fn percent_encoded(message: &str) -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = Vec::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' | 0..=0x1f | 0x7f.. => {
                encoded.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            plain => encoded.push(plain),
        }
    }
    // printable ASCII is a value
    HeaderValue::from_maybe_shared(Bytes::from(encoded)).unwrap_or(HeaderValue::from_static(""))
}

/// `grpc-message` is percent-encoded; what is no escape in it is text as it came.
fn message_of(value: &HeaderValue) -> String {
    percent_encoding::percent_decode(value.as_bytes()).decode_utf8_lossy().into_owned()
}

/// Code, message and details of an encoded google.rpc.Status.
fn status_of(bytes: &[u8]) -> Option<(i32, Option<String>, Vec<Bytes>)> {
    let (mut code, mut message, mut details) = (0, None, Vec::new());
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        match reader.tag().ok()? {
            (1, WireType::Varint) => code = reader.varint().ok()? as i32,
            (2, WireType::Length) => {
                message = Some(String::from_utf8_lossy(reader.bytes().ok()?).into_owned())
            }
            (3, WireType::Length) => details.push(Bytes::copy_from_slice(reader.bytes().ok()?)),
            (number, wire_type) => reader.skip(number, wire_type, 10).ok()?,
        }
    }
    Some((code, message, details))
}
