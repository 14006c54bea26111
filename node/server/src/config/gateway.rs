//! What is written in `[gateway]` and stands for something else, networks and names of headers, or has a bound.

use super::{ConfigError, GatewaySection};
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

    /// Whether what is written is what it has to be.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.proxies()?;
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
