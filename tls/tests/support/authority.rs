//! Certificates for tests: an authority of one's own, and those whom it knows. Included by the tests of other crates too.

use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use std::path::{Path, PathBuf};

/// Signs certificates.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The files of one identity.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

#[allow(dead_code, reason = "each test that includes this uses its part")]
impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// Writes its certificate.
    pub(crate) fn write(&self, path: &Path) -> PathBuf {
        std::fs::write(path, self.pem()).unwrap();
        path.to_owned()
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.as_ref().pem()
    }

    /// A certificate and its key as PEM, for these DNS names, addresses and URIs; the subject is the first of them.
    pub(crate) fn issue(&self, names: &[&str]) -> (String, String) {
        let (uris, others): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
        let others: Vec<String> = others.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(others).unwrap();
        for uri in uris {
            params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        }
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, names[0]);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// The same as files in a folder, `STEM.crt` and `STEM.key`, in place of what may be there.
    pub(crate) fn issue_to(&self, folder: &Path, stem: &str, names: &[&str]) -> Issued {
        let (certificate, key) = self.issue(names);
        let path = |extension| folder.join(format!("{stem}.{extension}"));
        let issued = Issued { certificate: path("crt"), key: path("key") };
        std::fs::write(&issued.certificate, certificate).unwrap();
        std::fs::write(&issued.key, key).unwrap();
        issued
    }
}
