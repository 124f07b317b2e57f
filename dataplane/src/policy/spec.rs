//! What a snapshot is compiled from.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::fingerprint::SynMatch;
use super::rate::RateSpec;
use super::region::{Family, Range};
use super::{Action, Fallback, Strays};

/// One rule as the control side states it. An empty list admits everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSpec {
    /// Client addresses.
    pub sources: Vec<Prefix>,
    /// Server addresses.
    pub destinations: Vec<Prefix>,
    /// Client ports, host order.
    pub source_ports: Vec<RangeInclusive<u16>>,
    /// Server ports, host order.
    pub destination_ports: Vec<RangeInclusive<u16>>,
    /// VLAN stacks.
    pub vlans: Vec<VlanMatch>,
    /// What the SYN itself is like.
    pub syn: Option<SynMatch>,
    /// How many SYNs that match all of the above come in a second.
    pub rate: Option<RateSpec>,
    /// What happens to the SYN.
    pub action: Action,
}

/// What holds where no rule speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// For SYNs that no rule matches.
    pub action: Action,
    /// For segments without a flow, to protected destinations.
    pub strays: Strays,
    /// For SYNs while a table is full.
    pub flows_full: Fallback,
    /// For SYNs while the control core does not move.
    pub on_control_stall: Fallback,
}

/// An address prefix of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// A prefix length beyond 32 or 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixError;

impl Prefix {
    /// From an address and a length in bits; bits of the address beyond the length are ignored.
    pub const fn new(address: IpAddr, length: u8) -> Result<Prefix, PrefixError> {
        let widest = if address.is_ipv4() { 32 } else { 128 };
        if length > widest { Err(PrefixError) } else { Ok(Prefix { address, length }) }
    }

    /// Its first and last address as numbers; `None` for the other family.
    pub(super) fn range(&self, family: Family) -> Option<Range<u128>> {
        let (address, width) = match (self.address, family) {
            (IpAddr::V4(address), Family::V4) => (u128::from(u32::from(address)), 32),
            (IpAddr::V6(address), Family::V6) => (u128::from(address), 128),
            _ => return None,
        };
        let host_bits = width - u32::from(self.length);
        let hosts = u128::MAX.checked_shr(128 - host_bits).unwrap_or(0);
        Some(Range { first: address & !hosts, last: address | hosts })
    }
}

/// Which VLAN stacks a rule admits: ids under a mask, laid out as in [`crate::flow::quad::Segment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VlanMatch {
    value: u32,
    mask: u32,
}

impl VlanMatch {
    /// The bits of a segment that are VLAN ids.
    const MASK: u32 = 0x00ff_ffff;

    /// Frames without a tag (a priority tag is none).
    pub const UNTAGGED: VlanMatch = VlanMatch { value: 0, mask: Self::MASK };

    /// Frames whose tag next to the payload has this id, whatever is around it.
    pub const fn inner(id: u16) -> VlanMatch {
        VlanMatch { value: (id & 0xfff) as u32, mask: 0xfff }
    }

    /// Frames with exactly this outer and inner tag.
    pub const fn stack(outer: u16, inner: u16) -> VlanMatch {
        VlanMatch { value: ((outer & 0xfff) as u32) << 12 | (inner & 0xfff) as u32, mask: Self::MASK }
    }

    /// The stacks that it admits, as [`super::region::vlan_order`] numbers them: one tag's id is a range there.
    pub(super) fn range(self) -> Range<u128> {
        let (outer, inner) = (self.value >> 12, self.value & 0xfff);
        let (first, last) = match self.mask {
            Self::MASK => (outer, outer),
            _ => (0, 0xfff),
        };
        Range { first: (inner << 12 | first).into(), last: (inner << 12 | last).into() }
    }
}

impl fmt::Display for VlanMatch {
    /// `none`, `7` or `100.7`, as in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (outer, inner) = (self.value >> 12, self.value & 0xfff);
        match (*self == Self::UNTAGGED, self.mask == Self::MASK) {
            (true, _) => f.write_str("none"),
            (_, true) => write!(f, "{outer}.{inner}"),
            (_, false) => write!(f, "{inner}"),
        }
    }
}

/// More rules or list entries than the compiled form is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge {
    /// What there is too much of.
    pub what: &'static str,
    /// How many there may be.
    pub most: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "too many {}; at most {} fit", self.what, self.most)
    }
}

impl std::error::Error for TooLarge {}

impl RuleSpec {
    /// The most rules in a snapshot.
    pub const MOST: usize = 1 << 20;
    /// The most entries in the lists of all rules of a snapshot.
    pub const MOST_ENTRIES: usize = 1 << 22;

    /// A rule that matches every SYN.
    pub const fn everything(action: Action) -> RuleSpec {
        RuleSpec {
            sources: Vec::new(),
            destinations: Vec::new(),
            source_ports: Vec::new(),
            destination_ports: Vec::new(),
            vlans: Vec::new(),
            syn: None,
            rate: None,
            action,
        }
    }

    /// Entries in all of its lists.
    fn entries(&self) -> usize {
        let addresses = self.sources.len() + self.destinations.len();
        let syn = self.syn.as_ref().map_or(0, SynMatch::entries);
        addresses + self.source_ports.len() + self.destination_ports.len() + self.vlans.len() + syn
    }

    /// Whether so many rules can be compiled.
    pub(super) fn check(rules: &[RuleSpec]) -> Result<(), TooLarge> {
        if rules.len() > RuleSpec::MOST {
            return Err(TooLarge { what: "rules", most: RuleSpec::MOST });
        }
        match rules.iter().map(RuleSpec::entries).sum::<usize>() {
            0..=RuleSpec::MOST_ENTRIES => Ok(()),
            _ => Err(TooLarge { what: "entries in the lists of all rules", most: RuleSpec::MOST_ENTRIES }),
        }
    }
}
