//! The side that listens.

use crate::files::{IdentityFiles, Material};
use crate::rotating::Rotating;
use crate::{ServerStream, TlsError};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

/// What a server is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// Who it is.
    pub identity: IdentityFiles,
    /// PEM: the authorities one of which must have signed a client's certificate; none asks clients for none.
    pub clients: Option<PathBuf>,
}

/// A server's TLS. Clones share it.
#[derive(Clone)]
pub struct Server(Arc<Rotating<ServerConfig>>);

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    /// Of the files as they are now. `protocols` are what is spoken inside, best first, as ALPN names it.
    ///
    /// # Errors
    /// As [`TlsError`] says, with the file.
    pub fn load(files: ServerFiles, protocols: &[&[u8]]) -> Result<Self, TlsError> {
        let protocols: Vec<Vec<u8>> = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let rotating =
            Rotating::load(Some(files.identity), files.clients, move |material| make(material, &protocols));
        Ok(Self(Arc::new(rotating?)))
    }

    /// Whether clients have to show a certificate.
    pub fn asks_clients(&self) -> bool {
        self.0.has_authorities()
    }

    /// Shakes hands. It bounds neither how long that takes nor whose address it is.
    ///
    /// # Errors
    /// Those of the connection; what the other side did wrong is `InvalidData`.
    pub async fn accept<IO: AsyncRead + AsyncWrite + Unpin>(&self, io: IO) -> io::Result<ServerStream<IO>> {
        TlsAcceptor::from(self.0.current()).accept(io).await
    }

    /// As [`Server::accept`], where a connection that failed is given back too: the other side has been told why, and hears
    /// it only if the connection is not reset before it has read that.
    ///
    /// # Errors
    /// Those of the connection, and the connection.
    pub async fn accept_or_return<IO: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: IO,
    ) -> Result<ServerStream<IO>, (io::Error, IO)> {
        TlsAcceptor::from(self.0.current()).accept(io).into_fallible().await
    }

    /// The settings as they are now, for what shakes hands by itself.
    pub fn settings(&self) -> Arc<ServerConfig> {
        self.0.current()
    }

    /// Reads the files again. Gives whether they changed; if they cannot be used, what was in use stays so.
    ///
    /// # Errors
    /// As [`TlsError`] says, with the file.
    pub fn look(&self) -> Result<bool, TlsError> {
        self.0.look()
    }

    /// Looks again and again. To be spawned beside the listener; ends when it is dropped.
    pub async fn follow(self, every: Duration) {
        self.0.follow(every).await;
    }
}

fn make(material: &Material, protocols: &[Vec<u8>]) -> Result<ServerConfig, TlsError> {
    let builder =
        ServerConfig::builder_with_provider(crate::provider()).with_safe_default_protocol_versions()?;
    let builder = match material.authorities()? {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(authorities, crate::provider());
            let verifier = verifier.build().map_err(|error| material.authority_error(error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    // whoever makes a server names its files
    let (chain, key) = material.identity()?.ok_or(rustls::Error::NoCertificatesPresented)?;
    let mut config = builder.with_single_cert(chain, key).map_err(|error| material.identity_error(error))?;
    config.alpn_protocols = protocols.to_vec();
    Ok(config)
}
