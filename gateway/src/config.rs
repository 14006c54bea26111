//! Everything about a gateway that can be set, with the defaults that a public service can run with.

use std::{collections::HashMap, time::Duration};

use ipnet::IpNet;

use crate::{
    hosts::Hosts,
    metrics::Metrics,
    path::Unescape,
    transcode::{JsonOptions, lexer::JsonLimits, query::QueryOptions},
};

/// The settings of a gateway.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is too much.
    pub limits: Limits,
    /// How JSON is read and written. Strictly canonical by default; whoever wants `one_for_one` beside `ONE_FOR_ONE` sets
    /// `enum_case_insensitive`.
    pub json: JsonOptions,
    /// How query parameters are read.
    pub query: QueryOptions,
    /// How captures of several segments are decoded.
    pub unescape: Unescape,
    /// A colon in the last segment always begins a verb; by default a verb that no rule has is text.
    pub strict_verbs: bool,
    /// `/shelves/` is `/shelves`; by default only what `**` takes may end in a slash.
    pub ignore_trailing_slash: bool,
    /// A body that contradicts the path is refused; by default the path wins.
    pub refuse_path_collision: bool,
    /// A PATCH without `update_mask` gets the fields present in its body.
    pub patch_mask: bool,
    /// Answers of at least so many bytes, and streams, are pressed for clients that accept it; `None` never presses.
    /// Whoever answers secrets beside what a stranger can choose, over TLS, has a reason (BREACH) to do without.
    pub compress_bytes_min: Option<usize>,
    /// How fields named `etag` hold an entity tag.
    pub etag_fields: EtagFields,
    /// The form of error bodies.
    pub error_format: ErrorFormat,
    /// The domain in the ErrorInfo of the gateway's own errors.
    pub error_domain: String,
    /// The form of a server stream whose client accepts anything.
    pub stream_format: StreamFormat,
    /// How long headers are held for the first item of a stream, which may turn out to be an error with an HTTP status of
    /// its own. Upstream has accepted the call by then, and a follow of something quiet must not look hung.
    pub first_item_wait: Duration,
    /// How often an SSE stream or a WebSocket shows that it lives while nothing happens.
    pub heartbeat: Duration,
    /// Streams of lines show that too, by an empty line. Not every reader of lines passes over one.
    pub heartbeat_lines: bool,
    /// How long an SSE client is told to wait before it reconnects; `None` leaves it to the client.
    pub sse_retry: Option<Duration>,
    /// An SSE stream that ended well says so by a last `event: end`, with `{}` as its data. A page that closes its
    /// `EventSource` on it asks once; else browsers ask again for what has ended, as for what broke off.
    pub sse_end: bool,
    /// The origins whose pages may speak to it: `https://example.com`, or `*` for all. Its own needs no mention, unless it
    /// is a domain over plain HTTP: whoever owns a domain can point it at this gateway.
    pub origins: Vec<String>,
    /// The hosts that requests may name; all by default. A gateway on loopback takes [`Hosts::local`], for what it is worth to
    /// be out of others' reach.
    pub hosts: Hosts,
    /// Which calls of clients with stubs pass, in gRPC or gRPC-Web.
    pub grpc: GrpcCalls,
    /// By which fields a stream that broke off is taken up again.
    pub resumption: Resumption,
    /// Clients have to show a certificate to whoever serves the gateway, which the OpenAPI document then says.
    pub mutual_tls: bool,
    /// Which metadata crosses.
    pub metadata: MetadataConfig,
    /// A request without `x-request-id` gets one, and every answer tells it, whatever it is an answer to.
    pub request_id: bool,
    /// The deadline of a unary call whose client sets none.
    pub default_timeout: Option<Duration>,
    /// The longest deadline that a client can ask for; one that is longer is cut to it. `None` cuts none.
    pub timeout_max: Option<Duration>,
    /// Where grpc.health.v1 is served as HTTP, such as `/healthz`.
    pub health_path: Option<String>,
    /// How long upstream may take to tell its health there; one that takes longer does not serve.
    pub health_max: Duration,
    /// Paths that whoever serves the gateway answers before it, such as `/metrics`: no rule may have them.
    pub taken_paths: Vec<String>,
    /// The title and version in the OpenAPI document.
    pub info: Info,
    /// Which transcoder works: the plans, or prost-reflect as the reference.
    pub transcoder: Transcoder,
    /// Where requests are counted.
    pub metrics: Metrics,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            json: JsonOptions::default(),
            query: QueryOptions::default(),
            unescape: Unescape::default(),
            strict_verbs: false,
            ignore_trailing_slash: false,
            refuse_path_collision: false,
            patch_mask: true,
            compress_bytes_min: Some(1024),
            etag_fields: EtagFields::default(),
            error_format: ErrorFormat::default(),
            error_domain: "gateway".to_owned(),
            stream_format: StreamFormat::Ndjson,
            first_item_wait: Duration::from_secs(1),
            heartbeat: Duration::from_secs(15),
            heartbeat_lines: false,
            sse_retry: None,
            sse_end: false,
            origins: Vec::new(),
            hosts: Hosts::Any,
            grpc: GrpcCalls::default(),
            resumption: Resumption::default(),
            mutual_tls: false,
            metadata: MetadataConfig::default(),
            request_id: true,
            default_timeout: None,
            timeout_max: None,
            health_path: Some("/healthz".to_owned()),
            health_max: Duration::from_secs(2),
            taken_paths: Vec::new(),
            info: Info::default(),
            transcoder: Transcoder::Plan,
            metrics: Metrics::default(),
        }
    }
}

/// What is too much. Beyond a limit a request fails precisely and breaks nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The bytes of a request body, and of one message of a client stream. More is 413.
    pub request_bytes_max: usize,
    /// The bytes that the bodies of all requests may have in memory together, but for those of up to 16 KiB. Beyond it a
    /// request waits until others are done, and is then 503.
    pub bodies_bytes_max: usize,
    /// The bytes that answers, and items of streams, may have in memory together until their clients have read them, but for
    /// those of up to 16 KiB. Beyond it a large answer waits until others were read, as some may at a time, and is then
    /// 503.
    pub answers_bytes_max: usize,
    /// How long a body or an answer waits for its part of these.
    pub room_wait_max: Duration,
    /// How long a client may take nothing of an answer that waits for it, or of an item of a stream. Then the answer is
    /// given up, with the call to upstream; over HTTP/2 its stream is reset where the server runs [`StreamTasks`].
    ///
    /// [`StreamTasks`]: crate::StreamTasks
    pub answer_idle_max: Duration,
    /// How long the next piece of a request body may take. Longer is 408.
    pub body_idle_max: Duration,
    /// The bytes of a request body that must come in a second of waiting for them, on the whole; 0 asks for none. Fewer is
    /// 408. In a client's stream that holds for each message from its first byte, and not between two.
    pub body_bytes_per_second_min: u32,
    /// How much longer than at that rate a body may take. What came quicker is credited, up to `body_idle_max`.
    pub body_grace: Duration,
    /// The bytes of one message from upstream. More is RESOURCE_EXHAUSTED, found from its prefix before memory is taken.
    pub response_bytes_max: usize,
    /// The bytes of JSON that one message from upstream may become: with defaults printed they can be some hundred times those
    /// of the message. More is RESOURCE_EXHAUSTED, found while it is printed.
    pub json_bytes_max: usize,
    /// How deep JSON and messages may nest.
    pub depth_max: usize,
    /// How many members and elements one JSON text may have.
    pub json_values_max: usize,
    /// The bytes of path and query. More is 414.
    pub target_bytes_max: usize,
    /// The bytes of a request's headers: names and values, and 32 for each, as HTTP/2 counts them. More is 431.
    pub header_bytes_max: usize,
    /// How many headers a request may have. More is 431.
    pub headers_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes_max: 4 << 20,
            bodies_bytes_max: 128 << 20,
            answers_bytes_max: 256 << 20,
            room_wait_max: Duration::from_secs(5),
            answer_idle_max: Duration::from_secs(60),
            body_idle_max: Duration::from_secs(30),
            body_bytes_per_second_min: 240,
            body_grace: Duration::from_secs(5),
            response_bytes_max: 4 << 20,
            json_bytes_max: 64 << 20,
            depth_max: 100,
            json_values_max: 1 << 20,
            target_bytes_max: 16 << 10,
            header_bytes_max: 32 << 10,
            headers_max: 100,
        }
    }
}

impl Limits {
    /// Those that concern JSON.
    pub fn json(&self) -> JsonLimits {
        JsonLimits { depth: self.depth_max, values: self.json_values_max }
    }
}

/// The form of an error body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorFormat {
    /// AIP-193: `{"error": {"code": 404, "message": ..., "status": "NOT_FOUND", "details": [...]}}`.
    #[default]
    Envelope,
    /// The bare google.rpc.Status: `{"code": 5, "message": ..., "details": [...]}`.
    Status,
}

/// Which calls in gRPC and gRPC-Web pass through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrpcCalls {
    /// None: such a request is one like any other.
    None,
    /// Those of methods that the descriptors have, with or without an HTTP rule, and of `grpc.health.v1` where there is a
    /// [`Config::health_path`]. What else upstream serves, such as its reflection, is for those who reach it.
    #[default]
    Described,
    /// All that upstream has.
    All,
}

/// How a field named `etag` holds what HTTP writes in quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EtagFields {
    /// Without the quotes.
    #[default]
    Bare,
    /// With them, as AIP-154 would have it.
    Quoted,
}

/// The form of a server stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFormat {
    /// Server-sent events.
    Sse,
    /// One message a line.
    Ndjson,
    /// One JSON array; one that was cut off never looks complete.
    JsonArray,
    /// grpc-gateway's `{"result": ...}` lines.
    GatewayResult,
}

/// By which fields server streams are resumed: each item's id, which a browser repeats as `Last-Event-ID`, and the field of
/// the request where that goes. Names are those of the proto file or of JSON, with dots between where they lie deeper.
#[derive(Clone, Debug)]
pub struct Resumption {
    /// Those that are looked for in every method; where both are there, the stream can be resumed.
    pub fields: Option<ResumeFields>,
    /// Those of single methods, by full names such as `bookshop.v1.Books.Follow`; nothing for a stream that cannot be
    /// resumed though its fields are called so.
    pub methods: HashMap<String, Option<ResumeFields>>,
}

/// The two fields: integers of any kind but `fixed32`, or strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeFields {
    /// Of an item: what becomes its id.
    pub id: String,
    /// Of the request: behind which id to go on.
    pub after: String,
}

impl Default for Resumption {
    /// `sequence` and `after`, as Arsenal's own contract has them.
    fn default() -> Self {
        let fields = ResumeFields { id: "sequence".to_owned(), after: "after".to_owned() };
        Self { fields: Some(fields), methods: HashMap::new() }
    }
}

/// Which transcoder works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transcoder {
    /// The compiled plans.
    Plan,
    /// prost-reflect's DynamicMessage, for comparison. It has no form of a field alone: a rule's `response_body` is printed
    /// by the plans, which tests hold against it.
    Reference,
}

/// What becomes of response metadata that is not listed. What steers the call itself never crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnlistedMetadata {
    /// It stays inside.
    Dropped,
    /// It becomes headers behind `grpc-metadata-`, as grpc-gateway has it; what comes with the status becomes trailers
    /// behind `grpc-trailer-`, for clients that say `te: trailers`.
    Prefixed,
    /// It becomes headers under its own names.
    AsIs,
}

/// Which metadata crosses. Names are in lower case.
#[derive(Clone, Debug)]
pub struct MetadataConfig {
    /// Request headers that become metadata, besides `authorization`, the W3C trace context, `idempotency-key`,
    /// `x-request-id`, and what begins with `grpc-metadata-`.
    pub request_headers: Vec<String>,
    /// Response metadata that become headers under their own names; what comes at a stream's end become trailers, for
    /// clients that say `te: trailers`.
    pub response_headers: Vec<String>,
    /// What becomes of response metadata that is not listed.
    pub unlisted_response: UnlistedMetadata,
    /// Believe anybody's `x-forwarded-*` headers and append to them; else those of strangers are replaced.
    pub trust_forwarded: bool,
    /// The networks whose `x-forwarded-*` headers are believed in any case: those of the proxies before the gateway.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for MetadataConfig {
    fn default() -> Self {
        Self {
            request_headers: Vec::new(),
            response_headers: ["etag", "retry-after", "x-request-id"].map(str::to_owned).into(),
            unlisted_response: UnlistedMetadata::Dropped,
            trust_forwarded: false,
            trusted_proxies: Vec::new(),
        }
    }
}

/// What the OpenAPI document says of the service. What is empty comes from the descriptors.
#[derive(Clone, Debug, Default)]
pub struct Info {
    /// Its title; else the name of the only service, or of the package.
    pub title: String,
    /// Its version; else the one in the package's name.
    pub version: String,
    /// What it is, in Markdown; else the comment of the package.
    pub description: String,
}
