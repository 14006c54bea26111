//! A gateway whose descriptors change while it serves: requests under way end as they began, the next ones find the new
//! routes.
//!
//! Where descriptors come from is a [`Source`]: a file, or the upstream's own server reflection. One that cannot be read,
//! or that makes no gateway, is told in the log, and what was served before is served on.

mod file;
mod reflection;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task,
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use tokio::time::Instant;
use tower::{BoxError, Service};

pub use file::DescriptorFile;
pub use reflection::{Reflected, ReflectionError};

use crate::{
    code::Code,
    config::Config,
    gateway::{BuildError, Gateway},
    service::GatewayService,
    upstream::Upstream,
};

/// Descriptor bytes to come.
pub type Fetching<'s> = Pin<Box<dyn Future<Output = Result<Bytes, BoxError>> + Send + 's>>;

/// Where an encoded `google.protobuf.FileDescriptorSet` comes from. The same descriptors are the same bytes.
pub trait Source: Send + Sync + 'static {
    /// Reads it as it is now.
    fn fetch(&self) -> Fetching<'_>;
}

/// How long a source may take to tell all that it has. One that never does would be the last that is looked at.
const FETCH_MAX: Duration = Duration::from_secs(30);

async fn fetch(source: &dyn Source, within: Duration) -> Result<Bytes, LiveError> {
    let fetched = tokio::time::timeout(within, source.fetch()).await;
    fetched.map_err(|_| LiveError::Late(within))?.map_err(LiveError::Fetch)
}

/// How long is waited before a source that was not there is asked again; each time twice as long, up to the second.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];

/// Asks again while the source is not there, for as long as there is patience.
async fn fetch_patiently(source: &dyn Source, patience: Duration) -> Result<Bytes, LiveError> {
    let (began, [mut pause, longest]) = (Instant::now(), PAUSES);
    loop {
        match fetch(source, FETCH_MAX).await {
            Err(error) if error.may_pass() && began.elapsed() + pause <= patience => {
                tracing::warn!(%error, "nobody tells the descriptors yet: they are asked for again");
                tokio::time::sleep(pause).await;
                pause = longest.min(pause * 2);
            }
            told => return told,
        }
    }
}

/// Why a gateway cannot be made of a source.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// There are no descriptors.
    #[error("the descriptors cannot be read: {0}")]
    Fetch(BoxError),
    /// They do not come.
    #[error("the descriptors do not come within {0:?}")]
    Late(Duration),
    /// They make no gateway.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// They make one without any route: an empty file, or descriptors that have lost their options.
    #[error("the descriptors have no method with an annotation `google.api.http`")]
    NoRoutes,
}

impl LiveError {
    /// Nobody was there who could tell; somebody may come.
    fn may_pass(&self) -> bool {
        match self {
            Self::Fetch(error) => matches!(
                error.downcast_ref(),
                Some(ReflectionError::Unreached(_) | ReflectionError::Status(Code::Unavailable))
            ),
            Self::Late(_) => true,
            Self::Build(_) | Self::NoRoutes => false,
        }
    }
}

/// See the module.
#[derive(Clone)]
pub struct Live {
    current: Arc<RwLock<GatewayService>>,
    source: Arc<dyn Source>,
    config: Config,
    /// What the current gateway was made of, or what could not be made one.
    seen: Bytes,
    /// Who is told of each gateway.
    told: Arc<dyn Fn(&Gateway) + Send + Sync>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

impl Live {
    /// A gateway in front of `upstream`, of the descriptors that `source` has now. `told` is called with it, and with each
    /// that comes in its place, before it serves.
    pub async fn start(
        source: impl Source,
        config: Config,
        upstream: impl Upstream,
        told: impl Fn(&Gateway) + Send + Sync + 'static,
    ) -> Result<Self, LiveError> {
        Self::start_patiently(source, config, upstream, told, Duration::ZERO).await
    }

    /// The same, but as long as there is patience a server whose reflection cannot be reached is asked again.
    pub async fn start_patiently(
        source: impl Source,
        config: Config,
        upstream: impl Upstream,
        told: impl Fn(&Gateway) + Send + Sync + 'static,
        patience: Duration,
    ) -> Result<Self, LiveError> {
        let seen = fetch_patiently(&source, patience).await?;
        let gateway = build(seen.clone(), &config)?;
        told(&gateway);
        let current = Arc::new(RwLock::new(gateway.service(upstream)));
        Ok(Self { current, source: Arc::new(source), config, seen, told: Arc::new(told) })
    }

    /// The service that serves whatever is current.
    pub fn service(&self) -> LiveService {
        LiveService { current: self.current.clone() }
    }

    /// Looks at the source again and again. To be spawned beside the service; ends when it is dropped.
    pub async fn follow(mut self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            match self.look().await {
                Ok(false) => {}
                Ok(true) => tracing::info!("the descriptors changed, and what is served with them"),
                Err(error) => tracing::warn!(%error, "what was served before is served on"),
            }
        }
    }

    /// Looks at the source. Gives whether what is served changed.
    pub async fn look(&mut self) -> Result<bool, LiveError> {
        let bytes = fetch(&*self.source, FETCH_MAX).await?;
        if bytes == self.seen {
            return Ok(false);
        }
        self.seen = bytes.clone();
        let gateway = build(bytes, &self.config)?;
        (self.told)(&gateway);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = GatewayService::new(gateway.compiled, current.upstream.clone());
        Ok(true)
    }
}

/// A gateway of descriptors that a source had.
///
/// # Errors
/// If they make none, or one without a route.
pub fn build(descriptors: Bytes, config: &Config) -> Result<Gateway, LiveError> {
    let gateway = Gateway::builder(descriptors).config(config.clone()).build()?;
    let routed = gateway.methods().next().is_some();
    routed.then_some(gateway).ok_or(LiveError::NoRoutes)
}

/// Serves the current gateway of a [`Live`].
#[derive(Clone)]
pub struct LiveService {
    current: Arc<RwLock<GatewayService>>,
}

impl std::fmt::Debug for LiveService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveService").finish_non_exhaustive()
    }
}

impl Service<Request<Body>> for LiveService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move { Ok(service.handle(request).await) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn descriptors_without_a_route_are_refused() {
        let empty = build(Bytes::new(), &Config::default());
        assert!(matches!(empty, Err(LiveError::NoRoutes)), "{empty:?}");
    }

    #[tokio::test]
    async fn a_source_that_never_tells_is_not_waited_for() {
        struct Silent;
        impl Source for Silent {
            fn fetch(&self) -> Fetching<'_> {
                Box::pin(std::future::pending())
            }
        }
        let late = fetch(&Silent, Duration::from_millis(1)).await;
        assert!(matches!(late, Err(LiveError::Late(_))), "{late:?}");
    }

    /// Cannot be reached so often, and then tells something.
    struct Coming(AtomicUsize, fn() -> BoxError);

    impl Source for Coming {
        fn fetch(&self) -> Fetching<'_> {
            let left = self.0.load(Ordering::Relaxed);
            self.0.store(left.saturating_sub(1), Ordering::Relaxed);
            Box::pin(async move { if left == 0 { Ok(Bytes::new()) } else { Err((self.1)()) } })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_comes_up_later_is_asked_again_while_there_is_patience() {
        let minute = Duration::from_secs(60);
        let absent = || ReflectionError::Unreached("nobody there".into()).into();
        let coming = Coming(AtomicUsize::new(10), absent);
        assert!(fetch_patiently(&coming, minute).await.is_ok());
        let never = Coming(AtomicUsize::new(usize::MAX), absent);
        let began = Instant::now();
        let told = fetch_patiently(&never, minute).await.unwrap_err().to_string();
        assert!(told.contains("nobody there") && began.elapsed() <= minute, "{told}");
        assert!(fetch_patiently(&never, Duration::ZERO).await.is_err());
        // a server that has no reflection will have none the next time
        let without = Coming(AtomicUsize::new(1), || ReflectionError::Status(Code::Unimplemented).into());
        assert!(fetch_patiently(&without, minute).await.is_err());
    }
}
