//! An address that may be absent: the empty string in files and variables, as everywhere in the configuration.

use serde::{Deserialize, Serialize};
use std::net::{AddrParseError, SocketAddr};

/// Where something is served, if it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OptionalAddress(pub Option<SocketAddr>);

impl TryFrom<String> for OptionalAddress {
    type Error = AddrParseError;

    fn try_from(text: String) -> Result<Self, AddrParseError> {
        if text.is_empty() { Ok(Self(None)) } else { text.parse().map(|address| Self(Some(address))) }
    }
}

impl From<OptionalAddress> for String {
    fn from(OptionalAddress(address): OptionalAddress) -> Self {
        address.map(|address| address.to_string()).unwrap_or_default()
    }
}
