//! What is written in `[gateway]` and stands for something else, networks and names of headers, or has a bound.

use super::{ConfigError, GatewaySection};
use arsenal_gateway::config::GrpcCalls;
use http::HeaderName;
use ipnet::IpNet;
use std::net::IpAddr;

/// Threads of a gateway of its own at most.
const THREADS_MAX: usize = 1_024;

impl GatewaySection {
    /// The networks of the proxies before the gateway.
    ///
    /// # Errors
    /// [`ConfigError::Value`] with the first that is none.
    pub fn proxies(&self) -> Result<Vec<IpNet>, ConfigError> {
        let network = |text: &String| {
            // one address is a network of its own
            let parsed = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            parsed.map_err(|_| ConfigError::Value {
                setting: "gateway.trusted_proxies",
                value: text.clone(),
                why: "a network is written 10.0.0.0/8 or fd00::/8",
            })
        };
        self.trusted_proxies.iter().map(network).collect()
    }

    /// Which calls of clients with stubs pass.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if it is none of the three words.
    pub fn grpc_calls(&self) -> Result<GrpcCalls, ConfigError> {
        match self.grpc_calls.as_str() {
            "described" => Ok(GrpcCalls::Described),
            "all" => Ok(GrpcCalls::All),
            "none" => Ok(GrpcCalls::None),
            other => Err(ConfigError::Value {
                setting: "gateway.grpc_calls",
                value: other.to_owned(),
                why: "it is `described`, `all` or `none`",
            }),
        }
    }

    /// Whether what is written is what it has to be.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.proxies()?;
        self.grpc_calls()?;
        if self.threads > THREADS_MAX {
            let (setting, value) = ("gateway.threads", self.threads.to_string());
            return Err(ConfigError::Value { setting, value, why: "it is 1024 at most" });
        }
        let headers = [
            ("gateway.request_headers", &self.request_headers),
            ("gateway.response_headers", &self.response_headers),
        ];
        for (setting, names) in headers {
            // the gateway compares them as HTTP/2 writes them
            let is_name = |name: &&String| {
                HeaderName::from_bytes(name.as_bytes()).is_ok()
                    && !name.bytes().any(|byte| byte.is_ascii_uppercase())
            };
            if let Some(name) = names.iter().find(|name| !is_name(name)) {
                let why = "a header's name is written in lower case: x-tenant";
                return Err(ConfigError::Value { setting, value: name.clone(), why });
            }
        }
        Ok(())
    }
}
