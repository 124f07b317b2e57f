//! An end of a tunnel.

use std::fmt;

use crate::module::tunnel::option::KEY_LEN;

/// What makes a module an end of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// Which end.
    pub role: Role,
    /// At least one: the first signs, each verifies.
    pub keys: Vec<TunnelKey>,
}

/// The ends of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The near one: names the original server and sends connections on.
    Enter,
    /// The far one: sends them to their original servers.
    Leave,
}

/// A key that both ends have.
#[derive(Clone, PartialEq, Eq)]
pub struct TunnelKey([u8; KEY_LEN]);

impl TunnelKey {
    /// Of these bytes.
    pub(crate) fn new(bytes: [u8; KEY_LEN]) -> TunnelKey {
        TunnelKey(bytes)
    }

    /// The key itself.
    pub(crate) fn bytes(&self) -> [u8; KEY_LEN] {
        self.0
    }
}

impl fmt::Debug for TunnelKey {
    /// Nothing of it: whatever is printed ends up in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TunnelKey")
    }
}
