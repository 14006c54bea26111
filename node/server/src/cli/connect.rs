//! The way to a node: plain, or encrypted by what the command line says of certificates.

use super::CommandError;
use super::overheard::{Overheard, Refusal};
use arsenal_tls::{Client, ClientFiles, H2, IdentityFiles};
use http::Uri;
use hyper_util::rt::TokioIo;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use tokio::net::TcpStream;
use tonic::transport::Channel;

/// The variable that names the node to call: the one of our variables that is no setting of a node.
pub(super) const NODE_VARIABLE: &str = "ARSENAL_NODE_URL";

/// Whom an `https` node has to be, and who asks it.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct TlsArguments {
    /// PEM file of the authority that has to have signed the node's certificate; those of the system without it.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// PEM file of the certificate to show, for nodes that ask for one.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file of its key.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The name that the node's certificate must have; the one in its address without it.
    #[arg(long, value_name = "NAME")]
    tls_name: Option<String>,
}

impl TlsArguments {
    fn client(&self) -> Result<Client, CommandError> {
        let identity = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                Some(IdentityFiles { certificate: certificate.clone(), key: key.clone() })
            }
            _ => None,
        };
        let files = ClientFiles { servers: self.tls_ca.clone(), identity };
        Client::load(files, &[H2]).map_err(|error| CommandError::Usage(error.to_string()))
    }

    /// The same for curl.
    pub(super) fn curl_options(&self, quote: impl Fn(&str) -> String) -> String {
        let files = [("--cacert", &self.tls_ca), ("--cert", &self.tls_cert), ("--key", &self.tls_key)];
        let mut options = String::new();
        for (option, file) in files {
            if let Some(file) = file.as_deref().map(Path::to_string_lossy) {
                let _ = write!(options, " {option} {}", quote(&file));
            }
        }
        options
    }
}

/// The way to a node.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) channel: Channel,
    address: String,
    refusal: Refusal,
}

impl Way {
    /// That the node has refused the connection, if that is why a call failed.
    pub(super) fn refused(&self) -> Option<CommandError> {
        self.refusal.said().map(|why| no_handshake(&self.address, &why))
    }
}

fn no_handshake(address: &str, why: &str) -> CommandError {
    CommandError::Unreachable(format!("no handshake with {address}: {why}"))
}

/// Connects to a node, and shakes hands where its address is `https`.
pub(super) async fn connect(address: &str, tls: &TlsArguments) -> Result<Way, CommandError> {
    let wrong = || {
        let like = "http://127.0.0.1:7450 or https://node.example.com:7450";
        CommandError::Usage(format!("`{address}` is no address; give one like {like}"))
    };
    let endpoint = Channel::from_shared(address.to_owned()).map_err(|_| wrong())?;
    let (scheme, host) = (endpoint.uri().scheme_str(), endpoint.uri().host());
    let (Some(scheme @ ("http" | "https")), Some(host)) = (scheme, host) else { return Err(wrong()) };
    let (refusal, way) =
        (Refusal::default(), |channel, refusal| Way { channel, address: address.to_owned(), refusal });
    if scheme == "http" {
        let connected = endpoint.connect().await;
        return connected.map(|channel| way(channel, refusal)).map_err(|_| away(address));
    }
    let client = tls.client()?;
    let name = Client::server_name(tls.tls_name.as_deref().unwrap_or(host));
    let name = name.map_err(|error| CommandError::Usage(error.to_string()))?;
    let heard = refusal.clone();
    let connector = tower::service_fn(move |node: Uri| {
        let (client, name, heard) = (client.clone(), name.clone(), heard.clone());
        async move {
            let host = node.host().unwrap_or_default().trim_matches(['[', ']']);
            let stream = TcpStream::connect((host, node.port_u16().unwrap_or(443))).await?;
            stream.set_nodelay(true)?;
            let stream = client.connect(name, stream).await.inspect_err(|error| heard.note(error))?;
            Ok::<_, io::Error>(TokioIo::new(Overheard::new(stream, heard)))
        }
    });
    match endpoint.connect_with_connector(connector).await {
        Ok(channel) => Ok(way(channel, refusal)),
        Err(_) => Err(refusal.said().map_or_else(|| away(address), |why| no_handshake(address, &why))),
    }
}

fn away(address: &str) -> CommandError {
    CommandError::Unreachable(format!(
        "no node answers at {address}; start one with `arsenal dev`, or name another with --node"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_address_is_a_wrong_command_line_and_not_a_node_that_is_away() {
        let connect = async |address| connect(address, &TlsArguments::default()).await.err();
        for address in ["nonsense", "localhost:7450", "", "://", "ftp://localhost:7450"] {
            let refused = connect(address).await;
            assert!(matches!(refused, Some(CommandError::Usage(_))), "{address}: {refused:?}");
        }
        let away = connect("http://127.0.0.1:1").await;
        assert!(matches!(away, Some(CommandError::Unreachable(_))), "{away:?}");
    }
}
