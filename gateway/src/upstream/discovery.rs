//! Which nodes there are: what the names among the upstreams' addresses stand for, looked up again and again, and at once
//! when a node cannot be reached.
//!
//! A name with several addresses is as many nodes (a headless service of Kubernetes). A node that is new is called from
//! then on; one that is gone gets no new calls, and those under way end as they began. A look-up that fails, or finds
//! nothing, changes nothing: a resolver that is down is no reason to stop.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;

use super::{Pool, Upstream, remote::Address};

/// Addresses that one name may have; more are left out.
const ADDRESSES_MAX: usize = 1000;

/// How long is waited between two looks at least, however many nodes fail.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// How long a look-up may take.
const LOOK_UP_MAX: Duration = Duration::from_secs(5);

/// Addresses to come.
pub type Resolving<'r> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'r>>;

/// Finds the addresses of a name.
pub trait Resolver: Send + Sync + 'static {
    /// All that it has now.
    fn resolve<'r>(&'r self, name: &'r str) -> Resolving<'r>;
}

/// The system's own: hosts file, search domains and all.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'r>(&'r self, name: &'r str) -> Resolving<'r> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// See the module.
pub struct Discovery {
    addresses: Vec<Address>,
    resolver: Arc<dyn Resolver>,
    /// What each of the addresses stood for when it was last known.
    known: Vec<BTreeSet<IpAddr>>,
}

impl std::fmt::Debug for Discovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Discovery").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Discovery {
    /// The nodes behind `addresses`. One that is no name stands for itself.
    pub fn new(addresses: Vec<Address>, resolver: impl Resolver) -> Self {
        let known = vec![BTreeSet::new(); addresses.len()];
        Self { addresses, resolver: Arc::new(resolver), known }
    }

    /// Looks all names up, and has the pool call what they stand for.
    pub async fn look(&mut self, pool: &Pool) {
        let found = join_all(self.addresses.iter().map(|address| self.find(address))).await;
        for ((known, found), address) in self.known.iter_mut().zip(found).zip(&self.addresses) {
            match found {
                Ok(found) if !found.is_empty() => *known = found,
                Ok(_) => tracing::warn!(host = address.host(), "the name of a node stands for no address"),
                Err(error) => {
                    tracing::warn!(host = address.host(), %error, "the name of a node is not found")
                }
            }
        }
        let mut nodes = BTreeMap::new();
        for (address, known) in self.addresses.iter().zip(&self.known) {
            for at in known {
                nodes.insert(format!("{} at {at}", address.url()), (address, *at));
            }
        }
        let names: Vec<String> = nodes.keys().cloned().collect();
        pool.set(&names, |name| {
            let (address, at) = nodes[name];
            Arc::new(address.remote(Some(at))) as Arc<dyn Upstream>
        });
    }

    async fn find(&self, address: &Address) -> io::Result<BTreeSet<IpAddr>> {
        if let Ok(itself) = address.host().parse() {
            return Ok([itself].into());
        }
        let found = tokio::time::timeout(LOOK_UP_MAX, self.resolver.resolve(address.host())).await;
        let mut found: BTreeSet<IpAddr> = found.map_err(|_| io::ErrorKind::TimedOut)??.into_iter().collect();
        while found.len() > ADDRESSES_MAX {
            found.pop_last();
        }
        Ok(found)
    }

    /// Looks again and again, and when a node of the pool fails. To be spawned beside the gateway; ends when it is dropped.
    pub async fn follow(mut self, pool: Pool, every: Duration) {
        if self.addresses.iter().all(|address| address.host().parse::<IpAddr>().is_ok()) {
            // none of them ever stands for another
            return self.look(&pool).await;
        }
        loop {
            self.look(&pool).await;
            tokio::time::sleep(PAUSE_MIN.min(every)).await;
            tokio::select! {
                () = tokio::time::sleep(every.saturating_sub(PAUSE_MIN)) => {}
                () = pool.failed() => {}
            }
        }
    }
}
