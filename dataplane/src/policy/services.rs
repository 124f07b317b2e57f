//! Addresses that are the appliance's own: those that it lends to connections in place of their clients'.

use std::net::IpAddr;

/// The addresses, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Services(Box<[IpAddr]>);

impl Services {
    /// From any list.
    pub fn new(mut addresses: Vec<IpAddr>) -> Services {
        addresses.sort_unstable();
        addresses.dedup();
        Services(addresses.into())
    }

    /// Whether `address` is one of them.
    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.binary_search(&address).is_ok()
    }

    /// Whether there is none, as nearly always.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
