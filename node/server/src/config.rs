//! The configuration: one table of settings with name, default and meaning, from which the file, the environment and
//! the reference page follow.
//!
//! A setting is read from its default, then the file, then the environment (`ARSENAL_NODE_ID` for `node.id`).

mod address;
mod cluster;
mod gateway;
mod limits;
mod reference;
#[cfg(test)]
mod tests;
mod tls;

pub use address::OptionalAddress;
pub use cluster::ClusterSection;
pub use reference::{commented_file, reference_page};
pub use tls::TlsSection;

use arsenal_runtime::limits::{NodeLimits, PROCESSES_MAX};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// All settings of a node or gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The node itself.
    pub node: NodeSection,
    /// The cluster that it is in.
    pub cluster: ClusterSection,
    /// Where it listens.
    pub listen: ListenSection,
    /// How its ports are encrypted, and who may speak to them.
    pub tls: TlsSection,
    /// Bounds of the process runtime.
    pub limits: LimitsSection,
    /// Bounds of the gRPC side.
    pub grpc: GrpcSection,
    /// The REST gateway.
    pub gateway: GatewaySection,
    /// Tracing, logs and metrics.
    pub telemetry: TelemetrySection,
    /// How it stops.
    pub shutdown: ShutdownSection,
    /// Failures caused on purpose.
    pub chaos: ChaosSection,
}

/// `[node]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeSection {
    /// Number of a node that is alone, from 1; its name is `n` and this number. In a cluster it is given one.
    pub id: u32,
    /// Which life of a node that is alone this is, from 1. Pids of former lives are dead. In a cluster it counts by itself.
    pub incarnation: u32,
    /// Directory where a node of a cluster keeps who it is and what was agreed on. It belongs to one node for ever.
    pub data_dir: String,
    /// Scheduler threads; 0 is one a core.
    pub schedulers: usize,
}

/// `[listen]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenSection {
    /// Address of gRPC and gRPC-Web. Port 0 takes a free one.
    pub grpc: SocketAddr,
    /// Address of REST, `/openapi.json`, `/docs` and `/metrics`. Port 0 takes a free one.
    pub rest: SocketAddr,
    /// Address where gRPC health and `/metrics` are served once more, for probes and scrapers that have no certificate: never
    /// encrypted, nothing else is there. Empty for none, port 0 takes a free one.
    pub probes: OptionalAddress,
    /// Serve the gateway in the node too.
    pub embedded_gateway: bool,
    /// Connections that each of the two addresses serves at a time, at least 1. More wait until one ends.
    pub connections_max: usize,
    /// Connections that each of the two takes of one client's address at a time (of IPv6, of one network of 64 bits); 0 for
    /// as many as there are. One more is closed at once. Those of `gateway.trusted_proxies` are not counted.
    pub connections_per_address_max: usize,
    /// Milliseconds in which a new connection must have shaken hands, where it is encrypted, and then have said what it
    /// speaks, else it is closed.
    pub first_byte_ms: u64,
    /// Milliseconds in which a client must take something of what waits to be written to it, else its connection is closed;
    /// on the REST port also something of each answer, else its stream of HTTP/2 is reset.
    pub write_idle_ms: u64,
    /// Listen on addresses other than loopback although not everything is encrypted and every client known.
    pub insecure: bool,
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsSection {
    /// Live processes, at most 16,777,215. Beyond it a start is RESOURCE_EXHAUSTED.
    pub processes_max: usize,
    /// Exit records kept; the oldest go first.
    pub exit_records_max: usize,
    /// Events kept for each scheduler; the oldest go first.
    pub events_per_scheduler_max: usize,
    /// Dead letters kept; the oldest go first.
    pub dead_letters_max: usize,
    /// Bytes of the messages among them; the oldest go first, and one that is bigger is not kept.
    pub dead_letter_bytes_max: usize,
    /// Timers pending. Beyond it a new one is RESOURCE_EXHAUSTED.
    pub timers_max: usize,
    /// Requests from outside that wait for a process. Beyond it a new one is RESOURCE_EXHAUSTED.
    pub waiting_requests_max: usize,
    /// Threads for native code that blocks. Beyond it work waits.
    pub blocking_threads_max: usize,
    /// Pairs of processes whose traffic is counted, for each scheduler; quiet pairs go first.
    pub traffic_pairs_max: usize,
    /// Bytes that a message from outside may have.
    pub message_bytes_max: usize,
}

/// `[grpc]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcSection {
    /// Bytes of one request message. A larger one is RESOURCE_EXHAUSTED.
    pub message_bytes_max: usize,
    /// Bytes of one response message.
    pub response_bytes_max: usize,
    /// Concurrent calls on one connection; more wait for a place.
    pub streams_per_connection_max: u32,
    /// Bytes of a request's headers. It is to be more than a gateway takes, which adds some.
    pub header_bytes_max: u32,
    /// Milliseconds for which the bytes of a message may stop coming. Longer is DEADLINE_EXCEEDED. Between two messages of a
    /// stream they may pause as long as they like.
    pub request_idle_ms: u64,
    /// Bytes of a message that must come in a second of waiting for them, on the whole, with `request_idle_ms` in hand; 0 asks
    /// for none. Fewer is DEADLINE_EXCEEDED.
    pub request_bytes_per_second_min: u32,
    /// Bytes of all messages together that are still coming. Beyond it one more is RESOURCE_EXHAUSTED.
    pub requests_bytes_max: usize,
    /// Bytes that answers, and items of streams, may have in memory together until their clients have read them, but for
    /// those of up to 16 KiB. Beyond it one more is RESOURCE_EXHAUSTED, or ABORTED where it tells of a change.
    pub answers_bytes_max: usize,
    /// Milliseconds between HTTP/2 pings on a quiet connection; 0 for none.
    pub keepalive_ms: u64,
    /// Milliseconds in which a ping must be answered, else the connection is closed.
    pub keepalive_timeout_ms: u64,
}

/// `[gateway]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewaySection {
    /// Nodes that a gateway of its own calls, `http://127.0.0.1:7450` or `https://nodes.example.com:7450`, with commas
    /// between. A name with several addresses is as many nodes. The less loaded of two gets a call; one that fails or says
    /// that it stops is left alone, and idempotent calls are made again on another.
    pub upstream: String,
    /// PEM file of the authorities one of which must have signed the certificate of an `https` upstream; empty for those of
    /// the system.
    pub upstream_ca: String,
    /// PEM file of the certificate that upstream is shown where it asks; empty for none.
    pub upstream_certificate: String,
    /// PEM file of its key.
    pub upstream_key: String,
    /// The name that the certificates of `https` upstreams must have; empty for the one in each address.
    pub upstream_server_name: String,
    /// Milliseconds between two look-ups of the names in `upstream`. A node that cannot be reached has them looked up at
    /// once. Calls to an address that is gone end as they began.
    pub resolve_ms: u64,
    /// What a gateway of its own serves: empty for Arsenal's contract, `reflection` for what the upstream's own
    /// reflection tells, else the path of a descriptor set. The latter two are followed without a restart.
    pub descriptors: String,
    /// Milliseconds between two looks at them.
    pub descriptors_ms: u64,
    /// Connections to each node, and four times as many while it takes no more calls on these.
    pub connections: usize,
    /// Milliseconds in which a connection to a node must be there, and then have shaken hands where it is encrypted.
    pub connect_ms: u64,
    /// Milliseconds of silence after which a node that has calls under way is pinged. 0 is what it surely bears: 1000 before
    /// Arsenal's own nodes, where `descriptors` is empty, and 300000 before others, since servers of gRPC hang up on whoever
    /// pings them more often.
    pub ping_ms: u64,
    /// Milliseconds in which it must answer that. A frozen node does not: its calls end, and idempotent ones are made again
    /// on another.
    pub ping_timeout_ms: u64,
    /// Milliseconds between two questions to each node for its health. One that does not answer, or says that it stops, gets
    /// calls only if no other is left.
    pub health_ms: u64,
    /// Milliseconds in which it must answer them, and whoever is asked for `/healthz`. Idempotent calls on a node that
    /// answers nothing meanwhile, neither them nor any call, are made again on another that serves.
    pub health_timeout_ms: u64,
    /// Threads of a gateway of its own, 1,024 at most; 0 is one a core. The one in a node has the node's own.
    pub threads: usize,
    /// Bytes of a request body. A larger one is 413.
    pub body_bytes_max: usize,
    /// Bytes that the bodies of all requests may have in memory together, but for those of up to 16 KiB. A request
    /// beyond it waits for `room_wait_ms` and is then 503; one that is alone is taken.
    pub bodies_bytes_max: usize,
    /// Bytes that answers, and items of streams, may have in memory together until their clients have read them, but
    /// for those of up to 16 KiB. A large answer beyond it waits for `room_wait_ms` and is then 503.
    pub answers_bytes_max: usize,
    /// Bytes of JSON that one answer, or one item of a stream, may become: with defaults printed they can be some hundred
    /// times those of the message. More is RESOURCE_EXHAUSTED, found while it is printed.
    pub json_bytes_max: usize,
    /// Milliseconds for which a large body or answer waits until others are done with; 0 refuses it at once.
    pub room_wait_ms: u64,
    /// Milliseconds for which the bytes of a request body may stop coming. Longer is 408.
    pub body_idle_ms: u64,
    /// Bytes of a request body that must come in a second of waiting for them, on the whole; 0 asks for none. Fewer is 408.
    /// In a client's stream that holds for each message from its first byte, and not between two.
    pub body_bytes_per_second_min: u32,
    /// Milliseconds that a body may take longer than at that rate. What came quicker is credited, up to `body_idle_ms`.
    pub body_grace_ms: u64,
    /// Nesting of a JSON body. A deeper one is 400.
    pub json_depth_max: usize,
    /// Members and elements of a JSON body. More is 400.
    pub json_values_max: usize,
    /// Bytes of a request's path and query. More is 414.
    pub target_bytes_max: usize,
    /// Bytes of a request's headers, names and values and 32 for each, as HTTP/2 counts them. More is 431.
    pub header_bytes_max: u32,
    /// Headers of a request. More is 431.
    pub headers_max: usize,
    /// Milliseconds in which an HTTP/1 connection must send the headers of its next request, else it is closed.
    pub header_read_ms: u64,
    /// Concurrent requests on one HTTP/2 connection; more wait for a place.
    pub streams_per_connection_max: u32,
    /// Milliseconds of the longest deadline that a client can ask for; a longer one is cut to it, and a stream ends
    /// with it. A stream whose client asks for none has none.
    pub timeout_max_ms: u64,
    /// Milliseconds between heartbeats on a quiet event stream, and between pings on a quiet WebSocket.
    pub heartbeat_ms: u64,
    /// Send such heartbeats on streams of lines too, as empty lines, for proxies that end what is quiet. Not every
    /// reader of lines passes over one.
    pub heartbeat_lines: bool,
    /// Milliseconds after which an event stream's client is told to reconnect; 0 leaves it to the client.
    pub reconnect_ms: u64,
    /// Say by a last `event: end` that an event stream ended well, on which a page closes its EventSource: browsers ask again
    /// for what ended as for what broke off.
    pub end_event: bool,
    /// Calls that pass in gRPC and gRPC-Web: `described`, of methods that the descriptors have and of gRPC's health; `all`
    /// that the upstream has; `none`.
    pub grpc_calls: String,
    /// Field of a server stream's items that becomes the id of an event, with dots between where it lies deeper; empty where
    /// no stream is resumed.
    pub resume_id: String,
    /// Field of the request that says behind which id a stream goes on: it gets what a browser tells in Last-Event-ID.
    pub resume_after: String,
    /// Bytes from which an answer is compressed, with gzip or zstd, for clients that accept it; 0 for never.
    pub compress_bytes_min: usize,
    /// Print fields that have their default, as 0, "" or an empty list, in answers.
    pub emit_defaults: bool,
    /// Print values of enums as numbers.
    pub enum_numbers: bool,
    /// Print names of fields as the proto files have them, `child_id` and not `childId`. Both are read.
    pub proto_names: bool,
    /// Origins whose pages may speak to it, `["https://example.com"]`; `["*"]` for all. Its own needs no mention, unless
    /// it is a domain over plain HTTP: whoever owns a domain can point it at this gateway.
    pub origins: Vec<String>,
    /// Names by which clients may call it where it listens on loopback alone, `["arsenal.test"]`, besides addresses,
    /// `localhost` and those of `origins`; `["*"]` for all. A request for another is 421: whoever owns a domain can
    /// point it at this machine, and have a page read what is answered. A proxy on the same machine that passes on what
    /// its clients call it by needs its names here.
    pub hosts: Vec<String>,
    /// Headers of requests that services see, `["x-tenant"]`, besides `authorization`, `traceparent`, `tracestate`,
    /// `idempotency-key`, `x-request-id` and, without that prefix, all behind `grpc-metadata-`. No others do.
    pub request_headers: Vec<String>,
    /// Metadata of answers that clients see as headers, or behind a stream as trailers, besides `etag`, `retry-after`,
    /// `x-request-id` and `arsenal-operation-id`. No other is shown.
    pub response_headers: Vec<String>,
    /// Networks of the proxies before the gateway, `["10.0.0.0/8"]`. What they say in `x-forwarded-for`, `-proto` and
    /// `-host` is believed; from anybody else it is replaced by what the connection says.
    pub trusted_proxies: Vec<String>,
}

/// `[telemetry]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySection {
    /// What is logged, in `tracing`'s filter syntax.
    pub log: String,
    /// OTLP endpoint to which spans are exported, `http://127.0.0.1:4317`; empty for none.
    pub otlp_endpoint: String,
    /// Name of the service in exported spans.
    pub service_name: String,
    /// Share of traces that are exported, from 0 to 1, where the caller has not decided.
    pub sample_ratio: f64,
}

/// `[shutdown]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownSection {
    /// Milliseconds in which everything has to end after SIGTERM.
    pub timeout_ms: u64,
}

/// `[chaos]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChaosSection {
    /// Let failures be caused on purpose, as by SimulateNetworkPartition. `arsenal dev` does so anyway.
    pub allowed: bool,
}

impl Default for NodeSection {
    fn default() -> Self {
        Self { id: 1, incarnation: 1, data_dir: String::new(), schedulers: 0 }
    }
}

impl Default for ListenSection {
    fn default() -> Self {
        Self {
            grpc: SocketAddr::from(([127, 0, 0, 1], 7450)),
            rest: SocketAddr::from(([127, 0, 0, 1], 8080)),
            probes: OptionalAddress(None),
            embedded_gateway: true,
            connections_max: 10_000,
            connections_per_address_max: 1_000,
            first_byte_ms: 10_000,
            write_idle_ms: 60_000,
            insecure: false,
        }
    }
}

impl Default for LimitsSection {
    fn default() -> Self {
        let NodeLimits {
            processes_max,
            exit_records_max,
            events_per_scheduler_max,
            dead_letters_max,
            dead_letter_bytes_max,
            timers_max,
            waiting_requests_max,
            blocking_threads_max,
            traffic_pairs_max,
            message_bytes_max,
        } = NodeLimits::default();
        Self {
            processes_max,
            exit_records_max,
            events_per_scheduler_max,
            dead_letters_max,
            dead_letter_bytes_max,
            timers_max,
            waiting_requests_max,
            blocking_threads_max,
            traffic_pairs_max,
            message_bytes_max,
        }
    }
}

impl LimitsSection {
    /// As the runtime takes them.
    pub fn to_node(&self) -> NodeLimits {
        NodeLimits {
            processes_max: self.processes_max,
            exit_records_max: self.exit_records_max,
            events_per_scheduler_max: self.events_per_scheduler_max,
            dead_letters_max: self.dead_letters_max,
            dead_letter_bytes_max: self.dead_letter_bytes_max,
            timers_max: self.timers_max,
            waiting_requests_max: self.waiting_requests_max,
            blocking_threads_max: self.blocking_threads_max,
            traffic_pairs_max: self.traffic_pairs_max,
            message_bytes_max: self.message_bytes_max,
        }
    }
}

impl Default for GrpcSection {
    fn default() -> Self {
        Self {
            message_bytes_max: 4 << 20,
            response_bytes_max: 64 << 20,
            streams_per_connection_max: 1_024,
            header_bytes_max: 48 << 10,
            request_idle_ms: 30_000,
            request_bytes_per_second_min: 1_024,
            requests_bytes_max: 128 << 20,
            answers_bytes_max: 256 << 20,
            keepalive_ms: 30_000,
            keepalive_timeout_ms: 10_000,
        }
    }
}

impl Default for GatewaySection {
    fn default() -> Self {
        Self {
            upstream: "http://127.0.0.1:7450".into(),
            upstream_ca: String::new(),
            upstream_certificate: String::new(),
            upstream_key: String::new(),
            upstream_server_name: String::new(),
            resolve_ms: 5_000,
            descriptors: String::new(),
            descriptors_ms: 10_000,
            connections: 4,
            connect_ms: 3_000,
            ping_ms: 0,
            ping_timeout_ms: 3_000,
            health_ms: 2_000,
            health_timeout_ms: 2_000,
            threads: 0,
            body_bytes_max: 4 << 20,
            bodies_bytes_max: 128 << 20,
            answers_bytes_max: 256 << 20,
            json_bytes_max: 256 << 20,
            room_wait_ms: 5_000,
            body_idle_ms: 30_000,
            body_bytes_per_second_min: 240,
            body_grace_ms: 5_000,
            json_depth_max: 100,
            json_values_max: 1 << 20,
            target_bytes_max: 16 << 10,
            header_bytes_max: 32 << 10,
            headers_max: 100,
            header_read_ms: 30_000,
            streams_per_connection_max: 1_024,
            timeout_max_ms: 7 * 24 * 3_600_000,
            heartbeat_ms: 15_000,
            heartbeat_lines: false,
            reconnect_ms: 2_000,
            end_event: true,
            grpc_calls: "described".to_owned(),
            resume_id: "sequence".to_owned(),
            resume_after: "after".to_owned(),
            compress_bytes_min: 1_024,
            emit_defaults: true,
            enum_numbers: false,
            proto_names: false,
            origins: Vec::new(),
            hosts: Vec::new(),
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            trusted_proxies: Vec::new(),
        }
    }
}

impl Default for TelemetrySection {
    fn default() -> Self {
        Self {
            // what openraft does is told by who uses it; it calls an election an error
            log: "info,openraft=off".into(),
            otlp_endpoint: String::new(),
            service_name: "arsenal".into(),
            sample_ratio: 1.0,
        }
    }
}

impl Default for ShutdownSection {
    fn default() -> Self {
        Self { timeout_ms: 10_000 }
    }
}

impl ShutdownSection {
    /// How long a stop may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is no configuration.
    #[error("{path}: {error}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: Box<toml::de::Error>,
    },
    /// A variable names no setting, or has a value that the setting cannot take.
    #[error("{variable}={value}: {why}")]
    Variable {
        /// The variable.
        variable: String,
        /// Its value.
        value: String,
        /// What is wrong.
        why: String,
    },
    /// A value is out of bounds.
    #[error("{setting} is {value}: {why}")]
    Value {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// What variables of the environment begin with.
pub const PREFIX: &str = "ARSENAL_";

impl Config {
    /// The defaults, overridden by the file (if one is named) and then by the environment.
    ///
    /// # Errors
    /// As [`ConfigError`] says.
    pub fn load(file: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut config = match file {
            None => Self::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
                toml::from_str(&text)
                    .map_err(|error| ConfigError::Parse { path: path.to_owned(), error: Box::new(error) })?
            }
        };
        for (variable, value) in environment.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            config = config.with_variable(variable, value)?;
        }
        config.check()?;
        Ok(config)
    }

    /// `ARSENAL_LISTEN_GRPC=...` sets `listen.grpc`.
    fn with_variable(&self, variable: &str, value: &str) -> Result<Self, ConfigError> {
        let wrong =
            |why: String| ConfigError::Variable { variable: variable.into(), value: value.into(), why };
        let path = variable[PREFIX.len()..].to_lowercase();
        let (section, key) = path.split_once('_').ok_or_else(|| wrong("names no setting".into()))?;
        let mut table = toml::Table::try_from(self).map_err(|error| wrong(error.to_string()))?;
        let setting = table
            .get_mut(section)
            .and_then(|section| section.as_table_mut())
            .and_then(|section| section.get_mut(key))
            .ok_or_else(|| wrong(format!("there is no setting `{section}.{key}`")))?;
        *setting = match setting {
            toml::Value::String(_) => toml::Value::String(value.to_owned()),
            _ => value
                .parse::<toml::Value>()
                .map_err(|_| wrong(format!("`{section}.{key}` takes a value like {setting}")))?,
        };
        table.try_into().map_err(|error: toml::de::Error| wrong(error.message().to_owned()))
    }

    /// Whether every value is within its bounds, and those fit together.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let zero = |setting, value: u64| {
            if value > 0 {
                Ok(())
            } else {
                Err(ConfigError::Value { setting, value: "0".into(), why: "it must be positive" })
            }
        };
        zero("node.id", self.node.id.into())?;
        zero("node.incarnation", self.node.incarnation.into())?;
        zero("limits.processes_max", self.limits.processes_max as u64)?;
        if self.limits.processes_max > PROCESSES_MAX {
            return Err(ConfigError::Value {
                setting: "limits.processes_max",
                value: self.limits.processes_max.to_string(),
                why: "a pid has room for 16777215",
            });
        }
        zero("limits.waiting_requests_max", self.limits.waiting_requests_max as u64)?;
        zero("grpc.message_bytes_max", self.grpc.message_bytes_max as u64)?;
        zero("gateway.descriptors_ms", self.gateway.descriptors_ms)?;
        zero("gateway.resolve_ms", self.gateway.resolve_ms)?;
        zero("tls.reload_ms", self.tls.reload_ms)?;
        zero("gateway.connections", self.gateway.connections as u64)?;
        zero("gateway.connect_ms", self.gateway.connect_ms)?;
        zero("gateway.ping_timeout_ms", self.gateway.ping_timeout_ms)?;
        zero("gateway.health_ms", self.gateway.health_ms)?;
        zero("gateway.health_timeout_ms", self.gateway.health_timeout_ms)?;
        zero("listen.connections_max", self.listen.connections_max as u64)?;
        zero("listen.first_byte_ms", self.listen.first_byte_ms)?;
        zero("listen.write_idle_ms", self.listen.write_idle_ms)?;
        zero("grpc.response_bytes_max", self.grpc.response_bytes_max as u64)?;
        zero("grpc.streams_per_connection_max", self.grpc.streams_per_connection_max.into())?;
        zero("grpc.header_bytes_max", self.grpc.header_bytes_max.into())?;
        zero("grpc.request_idle_ms", self.grpc.request_idle_ms)?;
        zero("grpc.requests_bytes_max", self.grpc.requests_bytes_max as u64)?;
        zero("grpc.answers_bytes_max", self.grpc.answers_bytes_max as u64)?;
        zero("gateway.body_bytes_max", self.gateway.body_bytes_max as u64)?;
        zero("gateway.bodies_bytes_max", self.gateway.bodies_bytes_max as u64)?;
        zero("gateway.answers_bytes_max", self.gateway.answers_bytes_max as u64)?;
        zero("gateway.json_bytes_max", self.gateway.json_bytes_max as u64)?;
        zero("gateway.body_idle_ms", self.gateway.body_idle_ms)?;
        zero("gateway.json_depth_max", self.gateway.json_depth_max as u64)?;
        zero("gateway.json_values_max", self.gateway.json_values_max as u64)?;
        zero("gateway.target_bytes_max", self.gateway.target_bytes_max as u64)?;
        zero("gateway.header_bytes_max", self.gateway.header_bytes_max.into())?;
        zero("gateway.headers_max", self.gateway.headers_max as u64)?;
        zero("gateway.header_read_ms", self.gateway.header_read_ms)?;
        zero("gateway.streams_per_connection_max", self.gateway.streams_per_connection_max.into())?;
        zero("gateway.timeout_max_ms", self.gateway.timeout_max_ms)?;
        zero("shutdown.timeout_ms", self.shutdown.timeout_ms)?;
        if !(0.0..=1.0).contains(&self.telemetry.sample_ratio) {
            return Err(ConfigError::Value {
                setting: "telemetry.sample_ratio",
                value: self.telemetry.sample_ratio.to_string(),
                why: "it is a share from 0 to 1",
            });
        }
        cluster::check(self)?;
        self.gateway.check()?;
        tls::check(self)
    }
}
