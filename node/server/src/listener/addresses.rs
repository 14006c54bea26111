//! How many connections each client has, told apart by its address: one client alone cannot take the places of all.
//!
//! The table has an entry for each client with a connection, so it is bounded by the places of the listener.

use ipnet::IpNet;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A client, as far as its address tells: of IPv6 whoever has one has a network of 64 bits.
type Client = IpAddr;

/// How many connections each client has that has one.
type Table = Arc<Mutex<HashMap<Client, usize>>>;

/// The connections of one listener by client.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// 0 for any number.
    max: usize,
    /// Addresses that stand for many clients.
    uncounted: Arc<[IpNet]>,
    open: Table,
}

/// One connection of a client, until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted(Option<(Client, Table)>);

impl Addresses {
    pub(super) fn new(max: usize, uncounted: Arc<[IpNet]>) -> Self {
        Self { max, uncounted, open: Arc::default() }
    }

    /// One more connection from there; nothing if that is one too many.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Admitted> {
        let address = address.to_canonical();
        if self.max == 0 || self.uncounted.iter().any(|network| network.contains(&address)) {
            return Some(Admitted(None));
        }
        let client = client_of(address);
        let mut open = lock(&self.open);
        let count = open.entry(client).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Admitted(Some((client, Arc::clone(&self.open)))))
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let Some((client, open)) = &self.0 else { return };
        let mut open = lock(open);
        if let Some(count) = open.get_mut(client) {
            *count -= 1;
            if *count == 0 {
                open.remove(client);
            }
        }
    }
}

fn client_of(address: IpAddr) -> Client {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

fn lock(open: &Mutex<HashMap<Client, usize>>) -> MutexGuard<'_, HashMap<Client, usize>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_client_gets_its_share_and_no_other_pays_for_it() {
        let addresses = Addresses::new(2, Arc::new([]));
        let held = [0, 1].map(|_| addresses.admit(address("192.0.2.1")).unwrap());
        assert!(addresses.admit(address("192.0.2.1")).is_none());
        assert!(addresses.admit(address("::ffff:192.0.2.1")).is_none(), "the same in the form of IPv6");
        assert!(addresses.admit(address("192.0.2.2")).is_some());
        drop(held);
        assert!(addresses.admit(address("192.0.2.1")).is_some());
        assert!(lock(&addresses.open).is_empty(), "a client without a connection is remembered");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_a_trusted_proxy_is_many() {
        let addresses = Addresses::new(1, Arc::new(["10.0.0.0/8".parse().unwrap()]));
        let _held = addresses.admit(address("2001:db8::1")).unwrap();
        assert!(addresses.admit(address("2001:db8::2:1")).is_none());
        assert!(addresses.admit(address("2001:db8:0:1::1")).is_some());
        let proxies: Vec<_> = (0..10).map(|_| addresses.admit(address("10.0.0.1"))).collect();
        assert!(proxies.iter().all(Option::is_some));
    }

    #[test]
    fn without_a_bound_nobody_is_counted() {
        let addresses = Addresses::new(0, Arc::new([]));
        let held: Vec<_> = (0..100).map(|_| addresses.admit(address("192.0.2.1")).unwrap()).collect();
        assert!(lock(&addresses.open).is_empty());
        drop(held);
    }
}
