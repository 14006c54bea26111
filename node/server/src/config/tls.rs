//! Encryption: of what listens here, and of what a gateway of its own calls.

use super::{Config, ConfigError, GatewaySection};
use arsenal_membership::Recognition;
use arsenal_tls::{ClientFiles, IdentityFiles, ServerFiles};
use serde::{Deserialize, Serialize};

/// `[tls]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSection {
    /// PEM file of the certificate that both ports show, and of those that lead from it to its authority; empty for ports
    /// that are not encrypted.
    pub certificate: String,
    /// PEM file of its key.
    pub key: String,
    /// PEM file of the authorities one of which must have signed a client's certificate; empty asks clients for none.
    pub client_ca: String,
    /// A DNS name that the certificate of every node of a cluster has, and no client's: where clients show certificates, it
    /// tells nodes from them. Empty, without `client_ca`, for the name in each node's address.
    pub node_name: String,
    /// Milliseconds between two looks at the files, those of `gateway.upstream_*` too. What changed counts from the next
    /// connection on; what cannot be used is told in the log, and what was in use stays so.
    pub reload_ms: u64,
}

impl Default for TlsSection {
    fn default() -> Self {
        Self {
            certificate: String::new(),
            key: String::new(),
            client_ca: String::new(),
            node_name: String::new(),
            reload_ms: 10_000,
        }
    }
}

impl TlsSection {
    /// What the ports are encrypted with, if they are.
    pub fn server_files(&self) -> Option<ServerFiles> {
        let identity = identity(&self.certificate, &self.key)?;
        Some(ServerFiles { identity, clients: path(&self.client_ca) })
    }

    /// Whom a node believes that it connects to in its cluster, and whom it is there; nothing where ports are not encrypted.
    pub fn peer_files(&self) -> Option<ClientFiles> {
        let identity = identity(&self.certificate, &self.key)?;
        Some(ClientFiles { servers: path(&self.client_ca), identity: Some(identity) })
    }

    /// Who counts as a node of the cluster: where clients are known, who has the name of the nodes; else anybody who gets
    /// in.
    pub(crate) fn recognition(&self) -> Recognition {
        match self.authenticates() {
            true => Recognition::Named(self.node_name.as_str().into()),
            false => Recognition::Anybody,
        }
    }

    /// Whether clients are known, and nobody can listen in.
    pub(crate) fn authenticates(&self) -> bool {
        self.server_files().is_some_and(|files| files.clients.is_some())
    }
}

impl GatewaySection {
    /// Whom a gateway of its own believes upstream, and whom it is there.
    pub fn upstream_files(&self) -> ClientFiles {
        let identity = identity(&self.upstream_certificate, &self.upstream_key);
        ClientFiles { servers: path(&self.upstream_ca), identity }
    }
}

fn path(setting: &str) -> Option<std::path::PathBuf> {
    (!setting.is_empty()).then(|| setting.into())
}

fn identity(certificate: &str, key: &str) -> Option<IdentityFiles> {
    Some(IdentityFiles { certificate: path(certificate)?, key: path(key)? })
}

/// Whether what belongs together is there together, and nothing is open that should not be.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let (tls, gateway) = (&config.tls, &config.gateway);
    let pairs = [
        (("tls.certificate", &tls.certificate), ("tls.key", &tls.key)),
        (
            ("gateway.upstream_certificate", &gateway.upstream_certificate),
            ("gateway.upstream_key", &gateway.upstream_key),
        ),
    ];
    for (certificate, key) in pairs {
        for ((setting, value), (_, other)) in [(certificate, key), (key, certificate)] {
            if !value.is_empty() && other.is_empty() {
                let why = "a certificate and its key are set together";
                return Err(ConfigError::Value { setting, value: value.clone(), why });
            }
        }
    }
    if !tls.client_ca.is_empty() && tls.certificate.is_empty() {
        let why = "clients are asked for a certificate only where `tls.certificate` and `tls.key` are set";
        return Err(ConfigError::Value { setting: "tls.client_ca", value: tls.client_ca.clone(), why });
    }
    if config.cluster.is_wanted() && tls.authenticates() && tls.node_name.is_empty() {
        let why = "in a cluster whose clients show certificates it tells nodes from clients: a name that the \
                   certificate of every node has, and no client's";
        return Err(ConfigError::Value { setting: "tls.node_name", value: "empty".to_owned(), why });
    }
    check_open(config)
}

/// Refuses to let the whole network in where nobody is asked who he is.
fn check_open(config: &Config) -> Result<(), ConfigError> {
    let ports = [("listen.grpc", config.listen.grpc), ("listen.rest", config.listen.rest)];
    let Some((setting, address)) = ports.into_iter().find(|(_, address)| !address.ip().is_loopback()) else {
        return Ok(());
    };
    if config.listen.insecure || config.tls.authenticates() {
        return Ok(());
    }
    let why = if config.tls.certificate.is_empty() {
        "only loopback is listened on unless `tls.certificate`, `tls.key` and `tls.client_ca` are set, or \
         `listen.insecure` (`--insecure`) says that nothing need be encrypted and nobody known"
    } else {
        "only loopback is listened on unless `tls.client_ca` is set too, so that clients are known, or \
         `listen.insecure` (`--insecure`) says that they need not be"
    };
    Err(ConfigError::Value { setting, value: address.to_string(), why })
}
