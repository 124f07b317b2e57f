//! Every packet that is not forwarded is counted under a name (DESIGN invariant 4). One list makes the enum, the
//! names that `stats` prints and the help texts.

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A counter's index. Names that begin with `drop_` count packets that went nowhere.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Counter { $($(#[doc = $doc])+ $variant,)+ }

        impl Counter {
            /// All of them, in index order.
            pub const ALL: &'static [Counter] = &[$(Counter::$variant,)+];

            /// The name in `stats`.
            pub const fn name(self) -> &'static str {
                match self { $(Counter::$variant => $name,)+ }
            }

            /// What it counts, one sentence.
            pub const fn help(self) -> &'static str {
                match self { $(Counter::$variant => concat!($($doc),+),)+ }
            }
        }
    };
}

counters! {
    /// Frames received.
    Received = "received",
    /// Bytes received, without FCS.
    ReceivedBytes = "received_bytes",
    /// Frames given to a device.
    Transmitted = "transmitted",
    /// Bytes given to a device, without FCS.
    TransmittedBytes = "transmitted_bytes",
    /// Malformed Ethernet or VLAN header.
    DropMalformedEthernet = "drop_malformed_ethernet",
    /// Malformed IPv4 header: version, header length or total length.
    DropMalformedIpv4 = "drop_malformed_ipv4",
    /// Wrong IPv4 header checksum.
    DropIpv4Checksum = "drop_ipv4_checksum",
    /// Malformed IPv6 header or extension header chain.
    DropMalformedIpv6 = "drop_malformed_ipv6",
    /// Malformed TCP header: truncated, or data offset out of range.
    DropMalformedTcp = "drop_malformed_tcp",
    /// Contradictory TCP options: a bad length, or one beyond the header.
    DropTcpOptions = "drop_tcp_options",
    /// TTL or hop limit of zero.
    DropTtlZero = "drop_ttl_zero",
    /// Source equal to destination.
    DropLand = "drop_land",
    /// A combination of TCP flags that no stack sends: SYN+FIN, SYN+RST, or none of SYN, RST and ACK.
    DropTcpFlags = "drop_tcp_flags",
    /// TCP source or destination port of zero.
    DropTcpPortZero = "drop_tcp_port_zero",
    /// A fragment too small to hold the TCP header, or one that would overwrite it (RFC 1858, RFC 3128).
    DropTinyFragment = "drop_tiny_fragment",
}
