//! How `arsenal call` gets to a node: the address, and who both ends have to be where it is encrypted.

use super::CommandError;
use arsenal_tls::{Client, ClientFiles, ClientStream, H2, IdentityFiles};
use hyper_util::rt::TokioIo;
use std::io;
use std::path::PathBuf;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Uri};
use tower::service_fn;

/// The port of a URL that names none.
const PORT_DEFAULT: u16 = 7450;

#[derive(Debug, clap::Args)]
pub(super) struct ConnectArguments {
    /// The node to call; `https` where it is encrypted.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7450", env = "ARSENAL_NODE_URL")]
    node: String,
    /// PEM file of the authorities that an `https` node's certificate may come from; those of the system by default.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM file of the certificate that the node is shown where it asks.
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// PEM file of its key.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// The name that the node's certificate must have; the one in the URL by default.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
}

impl ConnectArguments {
    /// A connection to the node.
    pub(super) async fn connect(&self) -> Result<Channel, CommandError> {
        let address = &self.node;
        let wrong =
            || CommandError::Usage(format!("`{address}` is no address; give one like http://127.0.0.1:7450"));
        let endpoint = Channel::from_shared(address.clone()).map_err(|_| wrong())?;
        if endpoint.uri().host().is_none() {
            return Err(wrong());
        }
        let connected = match endpoint.uri().scheme_str() {
            Some("http") => endpoint.connect().await,
            Some("https") => {
                let (tls, name) = (self.tls()?, self.server_name.clone());
                let connector = service_fn(move |uri: Uri| shake_hands(tls.clone(), name.clone(), uri));
                // the connector encrypts; tonic has no TLS of its own here, and would refuse the scheme
                let plain = address.replacen("https", "http", 1);
                let endpoint = Channel::from_shared(plain).map_err(|_| wrong())?;
                endpoint.connect_with_connector(connector).await
            }
            _ => return Err(wrong()),
        };
        connected.map_err(|error| {
            let why =
                std::error::Error::source(&error).map(|source| format!(" ({source})")).unwrap_or_default();
            CommandError::Unreachable(format!(
                "no node answers at {address}{why}; start one with `arsenal dev`, or name another with --node"
            ))
        })
    }

    fn tls(&self) -> Result<Client, CommandError> {
        let identity = self.certificate.clone().zip(self.key.clone());
        let identity = identity.map(|(certificate, key)| IdentityFiles { certificate, key });
        let files = ClientFiles { servers: self.ca.clone(), identity };
        Client::load(files, &[H2]).map_err(|error| CommandError::Usage(error.to_string()))
    }
}

async fn shake_hands(
    tls: Client,
    name: Option<String>,
    uri: Uri,
) -> io::Result<TokioIo<ClientStream<TcpStream>>> {
    let host = uri.host().ok_or_else(|| io::Error::other("the address has no host"))?;
    let name = Client::server_name(name.as_deref().unwrap_or(host)).map_err(io::Error::other)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let socket = TcpStream::connect((bare, uri.port_u16().unwrap_or(PORT_DEFAULT))).await?;
    socket.set_nodelay(true)?;
    Ok(TokioIo::new(tls.connect(name, socket).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(node: &str) -> ConnectArguments {
        ConnectArguments { node: node.into(), ca: None, certificate: None, key: None, server_name: None }
    }

    #[tokio::test]
    async fn what_is_no_address_is_a_wrong_command_line_and_not_a_node_that_is_away() {
        for address in ["nonsense", "localhost:7450", "", "://"] {
            let refused = to(address).connect().await.err();
            assert!(matches!(refused, Some(CommandError::Usage(_))), "{address}: {refused:?}");
        }
        let away = to("http://127.0.0.1:1").connect().await.err();
        assert!(matches!(away, Some(CommandError::Unreachable(_))), "{away:?}");
    }
}
