//! A vector's `options` as a gateway's configuration.

use arsenal_gateway::{
    Config,
    config::{ErrorFormat, StreamFormat, Transcoder, UnlistedMetadata},
    path::Unescape,
};
use serde_json::Value;

/// The configuration, or the name of an option that the gateway does not have.
pub(crate) fn config(options: &Value, transcoder: Transcoder) -> Result<Config, String> {
    let mut config = Config { transcoder, ..Config::default() };
    for (name, value) in options.as_object().into_iter().flatten() {
        let flag = value.as_bool().unwrap_or_default();
        match (name.as_str(), value.as_str().unwrap_or_default()) {
            ("unescape", text) => config.unescape = unescape(text)?,
            ("plus_as_space", _) => config.query.plus_as_space = flag,
            ("unknown_query", text) => config.query.ignore_unknown = text == "ignore",
            ("ignored_query", _) => {
                let names = value.as_array().into_iter().flatten().filter_map(Value::as_str);
                config.query.ignored = names.map(str::to_owned).collect();
            }
            ("unknown_fields", text) => config.json.ignore_unknown_fields = text == "ignore",
            ("match_unregistered_verb", _) => config.strict_verbs = flag,
            ("trailing_slash", text) => config.ignore_trailing_slash = text == "ignore",
            ("path_collision", text) => config.refuse_path_collision = text == "reject",
            ("emit_defaults", _) => config.json.emit_defaults = flag,
            ("enums_as_ints", _) => config.json.enum_numbers = flag,
            ("proto_names", _) => config.json.proto_names = flag,
            ("case_insensitive_enum", _) => config.json.enum_case_insensitive = flag,
            ("stream_format", "sse") => config.stream_format = StreamFormat::Sse,
            ("stream_format", "ndjson") => config.stream_format = StreamFormat::Ndjson,
            ("stream_format", "json_array") => config.stream_format = StreamFormat::JsonArray,
            ("stream_format", "gateway_result") => {
                config.stream_format = StreamFormat::GatewayResult;
                config.error_format = ErrorFormat::Status;
            }
            ("error_format", "status") => config.error_format = ErrorFormat::Status,
            ("error_format", "google") => config.error_format = ErrorFormat::Envelope,
            ("max_request_bytes", _) => {
                config.limits.request_bytes_max = value.as_u64().unwrap_or(0) as usize
            }
            ("max_response_bytes", _) => {
                config.limits.response_bytes_max = value.as_u64().unwrap_or(0) as usize
            }
            ("default_timeout_ms", _) => {
                config.default_timeout = value.as_u64().map(std::time::Duration::from_millis);
            }
            ("response_metadata", "prefixed") => {
                config.metadata.unlisted_response = UnlistedMetadata::Prefixed
            }
            ("response_metadata", "as_is") => config.metadata.unlisted_response = UnlistedMetadata::AsIs,
            ("patch_mask", text) => config.patch_mask = text == "auto",
            ("forwarded", text) => config.metadata.trust_forwarded = text == "append",
            _ => return Err(format!("no option {name}={value}")),
        }
    }
    Ok(config)
}

/// How captures are decoded.
pub(crate) fn unescape(text: &str) -> Result<Unescape, String> {
    match text {
        "slash_kept" => Ok(Unescape::SlashKept),
        "reserved_kept" => Ok(Unescape::ReservedKept),
        "all" => Ok(Unescape::All),
        other => Err(format!("no option unescape={other}")),
    }
}
