//! What can be wrong with files for TLS. Each names the file, since several are read at once.

use std::path::PathBuf;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file has more bytes than a chain or a bundle can need.
    #[error("{path} has more than {bytes_max} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How many are read.
        bytes_max: u64,
    },
    /// A file is no PEM.
    #[error("{path} is no PEM file: {error}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Where it breaks.
        error: String,
    },
    /// A file has no section of the kind that is looked for.
    #[error("{path} has no {wanted}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// What should be there.
        wanted: &'static str,
    },
    /// A certificate and a key do not belong together, or one of them is of a kind that is not known.
    #[error("the certificate in {certificate} cannot be used with the key in {key}: {error}")]
    Identity {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        error: rustls::Error,
    },
    /// A certificate cannot be one of an authority.
    #[error("{path} cannot be used as an authority: {error}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// The system has no authorities, and no file names one.
    #[error("the system has no certificate authorities that could be believed: {0}")]
    NoSystemAuthorities(String),
    /// The name under which a server is to be known is none.
    #[error("`{0}` is neither a DNS name nor an address")]
    ServerName(String),
    /// The library's own settings contradict each other.
    #[error(transparent)]
    Settings(#[from] rustls::Error),
}
