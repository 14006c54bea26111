//! A configuration made of files, made anew when they change.

use crate::TlsError;
use crate::files::{IdentityFiles, Material};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// Makes a configuration of what is in the files.
type Make<T> = dyn Fn(&Material) -> Result<T, TlsError> + Send + Sync;

/// What is in use, and the files that it was made of.
pub(crate) struct Rotating<T> {
    identity: Option<IdentityFiles>,
    authorities: Option<PathBuf>,
    make: Box<Make<T>>,
    current: RwLock<Arc<T>>,
    /// What the current one was made of, or what could not be used.
    seen: Mutex<Material>,
}

impl<T: Send + Sync + 'static> Rotating<T> {
    /// Made of the files as they are now.
    pub(crate) fn load(
        identity: Option<IdentityFiles>,
        authorities: Option<PathBuf>,
        make: impl Fn(&Material) -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let seen = Material::read(identity.as_ref(), authorities.as_ref())?;
        let current = RwLock::new(Arc::new(make(&seen)?));
        Ok(Self { identity, authorities, make: Box::new(make), current, seen: Mutex::new(seen) })
    }

    pub(crate) fn current(&self) -> Arc<T> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn has_authorities(&self) -> bool {
        self.authorities.is_some()
    }

    /// Reads the files again. Gives whether what is in use changed.
    pub(crate) fn look(&self) -> Result<bool, TlsError> {
        let found = Material::read(self.identity.as_ref(), self.authorities.as_ref())?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == found {
            return Ok(false);
        }
        // a pair of which one file is written yet is told once, and looked at again when the other is
        *seen = found;
        let made = Arc::new((self.make)(&seen)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = made;
        Ok(true)
    }

    /// Looks again and again.
    pub(crate) async fn follow(self: Arc<Self>, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            let this = self.clone();
            let looked = tokio::task::spawn_blocking(move || this.look()).await;
            let files = self.files();
            match looked {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => tracing::info!(files, "new files for TLS are in use"),
                Ok(Err(error)) => tracing::warn!(%error, "the files for TLS that were in use stay so"),
                // the runtime ends
                Err(_) => return,
            }
        }
    }

    fn files(&self) -> String {
        let pair = self.identity.iter().flat_map(|files| [&files.certificate, &files.key]);
        let paths = pair.chain(&self.authorities).map(|path| path.display().to_string());
        paths.collect::<Vec<_>>().join(", ")
    }
}
