//! The two DPDK drivers that carry packets between a worker and a veth device.

/// A poll-mode driver for kernel interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pmd {
    /// `net_af_packet`: packet sockets; works without root in a user namespace.
    AfPacket,
    /// `net_af_xdp`: XDP sockets in copy mode; needs root.
    AfXdp,
}

impl Pmd {
    /// Both.
    pub const ALL: [Self; 2] = [Self::AfPacket, Self::AfXdp];

    /// The driver's name in DPDK.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AfPacket => "net_af_packet",
            Self::AfXdp => "net_af_xdp",
        }
    }

    /// The vdev string for device number `index` on `interface`.
    pub fn device(self, index: usize, interface: &str, queues: u16) -> String {
        let name = self.name();
        match self {
            Self::AfPacket => format!("{name}{index},iface={interface},qpairs={queues}"),
            Self::AfXdp => format!("{name}{index},iface={interface},queue_count={queues},force_copy=1"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vdev_strings() {
        assert_eq!(Pmd::AfPacket.device(0, "qc", 1), "net_af_packet0,iface=qc,qpairs=1");
        assert_eq!(Pmd::AfXdp.device(1, "qs", 2), "net_af_xdp1,iface=qs,queue_count=2,force_copy=1");
    }
}
