//! TLS by files that may change while the program runs: who it is, and whom it believes.
//!
//! A [`Server`] shows a certificate, and where an authority for clients is named it admits only those that show one of
//! that authority's. A [`Client`] believes one authority, or those of the system, and may show a certificate too. Both
//! read PEM files and look at them again ([`Server::follow`], [`Client::follow`]): connections that are there stay as they
//! are, the next one finds what is new. Files that cannot be used are told in the log by name, and what was in use stays.
//!
//! Listeners, upstreams of a gateway and links between nodes take their TLS from here. Which connections have to have it
//! is decided where they are made, and what a peer may do where it asks: [`PeerIdentity`] says who it is.

mod client;
mod error;
mod files;
mod peer;
mod rotating;
mod server;
mod stream;

pub use client::{Client, ClientFiles};
pub use error::TlsError;
pub use files::IdentityFiles;
pub use peer::PeerIdentity;
pub use server::{Server, ServerFiles};
pub use stream::Stream;
pub use tokio_rustls::{TlsStream, client::TlsStream as ClientStream, server::TlsStream as ServerStream};

pub use rustls::pki_types::ServerName;

use rustls::crypto::CryptoProvider;
use std::sync::{Arc, LazyLock};

/// HTTP/2, as ALPN names it.
pub const H2: &[u8] = b"h2";

/// HTTP/1.1, as ALPN names it.
pub const HTTP_1_1: &[u8] = b"http/1.1";

/// Handed to each configuration rather than installed for the process: whoever embeds us may have installed another.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    PROVIDER.clone()
}
