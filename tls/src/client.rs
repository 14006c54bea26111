//! The side that connects.

use crate::files::{IdentityFiles, Material};
use crate::rotating::Rotating;
use crate::{ClientStream, TlsError};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

/// What a client is made of. The default believes what the system believes, and shows no certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFiles {
    /// PEM: the authorities one of which must have signed a server's certificate; none takes those of the system.
    pub servers: Option<PathBuf>,
    /// Who it is, for servers that ask.
    pub identity: Option<IdentityFiles>,
}

/// A client's TLS. Clones share it.
#[derive(Clone)]
pub struct Client(Arc<Rotating<ClientConfig>>);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Of the files as they are now. `protocols` are what is spoken inside, best first, as ALPN names it.
    ///
    /// # Errors
    /// As [`TlsError`] says, with the file.
    pub fn load(files: ClientFiles, protocols: &[&[u8]]) -> Result<Self, TlsError> {
        let protocols: Vec<Vec<u8>> = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let rotating =
            Rotating::load(files.identity, files.servers, move |material| make(material, &protocols));
        Ok(Self(Arc::new(rotating?)))
    }

    /// The name that a server's certificate must have: a DNS name or an address, that in a URI's brackets too.
    ///
    /// # Errors
    /// [`TlsError::ServerName`] if it is neither.
    pub fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        ServerName::try_from(bare.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))
    }

    /// Shakes hands with the server of that name. How long that may take is the caller's to bound.
    ///
    /// # Errors
    /// Those of the connection; a server that is not believed is `InvalidData`.
    pub async fn connect<IO: AsyncRead + AsyncWrite + Unpin>(
        &self,
        server: ServerName<'static>,
        io: IO,
    ) -> io::Result<ClientStream<IO>> {
        TlsConnector::from(self.0.current()).connect(server, io).await
    }

    /// The settings as they are now, for what shakes hands by itself.
    pub fn settings(&self) -> Arc<ClientConfig> {
        self.0.current()
    }

    /// Reads the files again. Gives whether they changed; if they cannot be used, what was in use stays so.
    ///
    /// # Errors
    /// As [`TlsError`] says, with the file.
    pub fn look(&self) -> Result<bool, TlsError> {
        self.0.look()
    }

    /// Looks again and again. To be spawned beside what connects; ends when it is dropped.
    pub async fn follow(self, every: Duration) {
        self.0.follow(every).await;
    }
}

fn make(material: &Material, protocols: &[Vec<u8>]) -> Result<ClientConfig, TlsError> {
    let builder =
        ClientConfig::builder_with_provider(crate::provider()).with_safe_default_protocol_versions()?;
    let authorities = match material.authorities()? {
        Some(authorities) => authorities,
        None => Arc::new(system_authorities()?),
    };
    let builder = builder.with_root_certificates(authorities);
    let mut config = match material.identity()? {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(|error| material.identity_error(error))?
        }
    };
    config.alpn_protocols = protocols.to_vec();
    Ok(config)
}

/// Those that cannot be read, or that rustls does not know, are left out, as everybody does.
fn system_authorities() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::NoSystemAuthorities(why.join("; ")));
    }
    Ok(store)
}
