//! The gateway as this program's configuration sets it.

use crate::assembly::StartupError;
use crate::config::Config;
use crate::rest::METRICS_PATH;
use arsenal_gateway::config::ResumeFields;
use arsenal_gateway::{Gateway, Hosts};
use std::time::Duration;

/// The gateway of this contract.
///
/// # Errors
/// If its descriptor set or a limit cannot be used.
pub(crate) fn built(config: &Config) -> Result<Gateway, StartupError> {
    of(settings(config))
}

/// The same, of settings that are made already.
pub(crate) fn of(settings: arsenal_gateway::Config) -> Result<Gateway, StartupError> {
    Gateway::builder(arsenal_proto::FILE_DESCRIPTOR_SET)
        .config(settings)
        .build()
        .map_err(|error| StartupError::Descriptor(error.to_string()))
}

/// The hosts that its REST port is called by: on loopback it does not answer to whichever name somebody has for it. Where it is
/// encrypted its certificate sees to that.
pub(crate) fn hosts(config: &Config) -> Hosts {
    let local = config.listen.rest.ip().to_canonical().is_loopback();
    if !local || !config.tls.certificate.is_empty() {
        return Hosts::Any;
    }
    let names = config.gateway.hosts.iter().chain(&config.gateway.origins);
    Hosts::local(names.map(String::as_str))
}

/// How a gateway is set. What it says of itself is of this contract, or comes from the descriptors that it is told to follow.
pub(crate) fn settings(config: &Config) -> arsenal_gateway::Config {
    let mut settings = arsenal_gateway::Config::default();
    settings.limits.request_bytes_max = config.gateway.body_bytes_max;
    settings.limits.bodies_bytes_max = config.gateway.bodies_bytes_max;
    settings.limits.answers_bytes_max = config.gateway.answers_bytes_max;
    settings.limits.json_bytes_max = config.gateway.json_bytes_max;
    settings.limits.room_wait_max = Duration::from_millis(config.gateway.room_wait_ms);
    settings.limits.answer_idle_max = Duration::from_millis(config.listen.write_idle_ms);
    settings.limits.response_bytes_max = config.grpc.response_bytes_max;
    settings.limits.depth_max = config.gateway.json_depth_max;
    settings.limits.json_values_max = config.gateway.json_values_max;
    settings.limits.target_bytes_max = config.gateway.target_bytes_max;
    settings.limits.header_bytes_max = config.gateway.header_bytes_max as usize;
    settings.limits.headers_max = config.gateway.headers_max;
    settings.limits.body_idle_max = Duration::from_millis(config.gateway.body_idle_ms);
    settings.limits.body_bytes_per_second_min = config.gateway.body_bytes_per_second_min;
    settings.limits.body_grace = Duration::from_millis(config.gateway.body_grace_ms);
    settings.json.enum_case_insensitive = true;
    settings.json.emit_defaults = config.gateway.emit_defaults;
    settings.json.enum_numbers = config.gateway.enum_numbers;
    settings.json.proto_names = config.gateway.proto_names;
    settings.timeout_max = Some(Duration::from_millis(config.gateway.timeout_max_ms));
    settings.heartbeat = Duration::from_millis(config.gateway.heartbeat_ms.max(1));
    settings.heartbeat_lines = config.gateway.heartbeat_lines;
    settings.health_max = Duration::from_millis(config.gateway.health_timeout_ms);
    settings.sse_retry =
        (config.gateway.reconnect_ms > 0).then(|| Duration::from_millis(config.gateway.reconnect_ms));
    settings.sse_end = config.gateway.end_event;
    settings.grpc = config.gateway.grpc_calls().unwrap_or_default();
    let resumed =
        ResumeFields { id: config.gateway.resume_id.clone(), after: config.gateway.resume_after.clone() };
    settings.resumption.fields = Some(resumed).filter(|resumed| !resumed.id.is_empty());
    settings.compress_bytes_min = Some(config.gateway.compress_bytes_min).filter(|&bytes_min| bytes_min > 0);
    settings.origins.clone_from(&config.gateway.origins);
    settings.hosts = hosts(config);
    settings.metadata.trusted_proxies = config.gateway.proxies().unwrap_or_default();
    settings.mutual_tls = config.tls.authenticates();
    settings.metadata.request_headers = ["arsenal-session", "arsenal-node"].map(str::to_owned).into();
    settings.metadata.response_headers.push(arsenal_services::layer::OPERATION_HEADER.to_owned());
    settings.metadata.request_headers.extend_from_slice(&config.gateway.request_headers);
    settings.metadata.response_headers.extend_from_slice(&config.gateway.response_headers);
    settings.taken_paths = vec![METRICS_PATH.to_owned()];
    if config.gateway.descriptors.is_empty() {
        settings.error_domain = arsenal_services::status::DOMAIN.to_owned();
        settings.info = arsenal_gateway::Info {
            title: "Arsenal".to_owned(),
            version: "v1".to_owned(),
            description: "OTP as a service: processes, supervisors, messages and names.".to_owned(),
        };
    }
    settings
}
