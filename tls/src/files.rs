//! PEM files, read whole and within a bound, and what is in them.

use crate::TlsError;
use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// More than any chain or bundle of authorities has.
const BYTES_MAX: u64 = 4 << 20;

/// Who one is: a certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// PEM: the certificate, then those that lead from it to its authority.
    pub certificate: PathBuf,
    /// PEM: the key, as PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// What is in the files, as it was read at one moment.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Material {
    /// Certificate and key.
    pub(crate) identity: Option<(Pem, Pem)>,
    /// The authorities of the other side.
    pub(crate) authorities: Option<Pem>,
}

/// A file's bytes and name.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pem {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// A chain and its key, for rustls.
pub(crate) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Material {
    pub(crate) fn read(
        identity: Option<&IdentityFiles>,
        authorities: Option<&PathBuf>,
    ) -> Result<Self, TlsError> {
        let pair = |files: &IdentityFiles| -> Result<_, TlsError> {
            Ok((Pem::read(&files.certificate)?, Pem::read(&files.key)?))
        };
        Ok(Self {
            identity: identity.map(pair).transpose()?,
            authorities: authorities.map(|path| Pem::read(path)).transpose()?,
        })
    }

    /// The chain and key, if there are any.
    pub(crate) fn identity(&self) -> Result<Option<Identity>, TlsError> {
        let Some((certificate, key)) = &self.identity else { return Ok(None) };
        Ok(Some((certificate.certificates()?, key.private_key()?)))
    }

    /// rustls does not know of files.
    pub(crate) fn identity_error(&self, error: rustls::Error) -> TlsError {
        match &self.identity {
            Some((certificate, key)) => {
                TlsError::Identity { certificate: certificate.path.clone(), key: key.path.clone(), error }
            }
            None => error.into(),
        }
    }

    /// The authorities, if a file names any.
    pub(crate) fn authorities(&self) -> Result<Option<Arc<RootCertStore>>, TlsError> {
        self.authorities.as_ref().map(|pem| pem.authorities().map(Arc::new)).transpose()
    }

    /// An error that rustls has with the authorities.
    pub(crate) fn authority_error(&self, error: impl std::fmt::Display) -> TlsError {
        let path = self.authorities.as_ref().map(|pem| pem.path.clone()).unwrap_or_default();
        TlsError::Authority { path, error: error.to_string() }
    }
}

impl Pem {
    fn read(path: &Path) -> Result<Self, TlsError> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes));
        let read = read.map_err(|error| TlsError::Read { path: path.to_owned(), error })?;
        if read as u64 > BYTES_MAX {
            return Err(TlsError::TooLarge { path: path.to_owned(), bytes_max: BYTES_MAX });
        }
        Ok(Self { path: path.to_owned(), bytes })
    }

    fn broken(&self, error: &PemError) -> TlsError {
        TlsError::Pem { path: self.path.clone(), error: error.to_string() }
    }

    fn missing(&self, wanted: &'static str) -> TlsError {
        TlsError::Missing { path: self.path.clone(), wanted }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let sections: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        let certificates = sections.map_err(|error| self.broken(&error))?;
        if certificates.is_empty() { Err(self.missing("certificate")) } else { Ok(certificates) }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| match error {
            PemError::NoItemsFound => self.missing("private key"),
            error => self.broken(&error),
        })
    }

    fn authorities(&self) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        for certificate in self.certificates()? {
            store
                .add(certificate)
                .map_err(|error| TlsError::Authority { path: self.path.clone(), error: error.to_string() })?;
        }
        Ok(store)
    }
}
