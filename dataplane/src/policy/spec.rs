//! What a snapshot is compiled from, and the flat arrays that it is compiled to.

use std::fmt;
use std::net::IpAddr;
use std::ops::{BitAnd, RangeInclusive};

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
}

/// Which VLAN stacks a rule admits: ids under a mask, laid out as in [`crate::flow::quad::Segment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VlanMatch {
    value: u32,
    mask: u32,
}

impl VlanMatch {
    /// The bits of a segment that are VLAN ids.
    pub(super) const MASK: u32 = 0x00ff_ffff;

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

    pub(super) const fn contains(self, vlans: u32) -> bool {
        vlans & self.mask == self.value
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

/// More rules or list entries than the compiled form can index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge {
    /// What there is too much of.
    pub what: &'static str,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "too many {} in all rules together; at most {} fit", self.what, u16::MAX)
    }
}

impl std::error::Error for TooLarge {}

/// An address as a number: `u32` for IPv4, `u128` for IPv6.
pub(super) trait Word: Copy + PartialEq + BitAnd<Output = Self> {}

impl Word for u32 {}
impl Word for u128 {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Masked<W> {
    value: W,
    mask: W,
}

impl<W: Word> Masked<W> {
    pub(super) fn contains(self, address: W) -> bool {
        address & self.mask == self.value
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    pub(super) const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

/// A slice of one of the shared arrays; `ANY` instead of one admits everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    start: u16,
    len: u16,
}

impl Slice {
    const ANY: Slice = Slice { start: u16::MAX, len: u16::MAX };

    pub(super) fn admits<T: Copy>(self, array: &[T], test: impl Fn(T) -> bool) -> bool {
        if self == Slice::ANY {
            return true;
        }
        let start = self.start as usize;
        array[start..start + self.len as usize].iter().any(|entry| test(*entry))
    }
}

/// 28 bytes: two rules a cache line, their lists packed in rule order behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CompiledRule {
    pub(super) destination_ports: Slice,
    pub(super) destinations: Slice,
    pub(super) sources: Slice,
    pub(super) source_ports: Slice,
    pub(super) vlans: Slice,
    pub(super) action: Action,
    pub(super) index: u16,
}

/// The rules that can match a SYN of one family, and their prefixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RuleTable<W> {
    pub(super) rules: Box<[CompiledRule]>,
    pub(super) prefixes: Box<[Masked<W>]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) v4: RuleTable<u32>,
    pub(super) v6: RuleTable<u128>,
    pub(super) ports: Box<[PortRange]>,
    pub(super) vlans: Box<[VlanMatch]>,
}

impl Tables {
    pub(super) fn build(rules: &[RuleSpec]) -> Result<Tables, TooLarge> {
        if rules.len() >= u16::MAX as usize {
            return Err(TooLarge { what: "rules" });
        }
        let (mut ports, mut vlans) = (Vec::new(), Vec::new());
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let (mut v4_prefixes, mut v6_prefixes) = (Vec::new(), Vec::new());
        for (index, rule) in rules.iter().enumerate() {
            let common = CompiledRule {
                destination_ports: append(&mut ports, rule.destination_ports.iter().map(range), "ports")?,
                source_ports: append(&mut ports, rule.source_ports.iter().map(range), "ports")?,
                vlans: append(&mut vlans, rule.vlans.iter().copied(), "VLANs")?,
                destinations: Slice::ANY,
                sources: Slice::ANY,
                action: rule.action,
                index: index as u16,
            };
            v4.extend(for_family(common, rule, &mut v4_prefixes, v4_prefix)?);
            v6.extend(for_family(common, rule, &mut v6_prefixes, v6_prefix)?);
        }
        Ok(Tables {
            v4: RuleTable { rules: v4.into(), prefixes: v4_prefixes.into() },
            v6: RuleTable { rules: v6.into(), prefixes: v6_prefixes.into() },
            ports: ports.into(),
            vlans: vlans.into(),
        })
    }
}

/// The rule as one family's table holds it; `None` when it names addresses of the other family only.
fn for_family<W: Word>(
    common: CompiledRule,
    rule: &RuleSpec,
    prefixes: &mut Vec<Masked<W>>,
    convert: fn(&Prefix) -> Option<Masked<W>>,
) -> Result<Option<CompiledRule>, TooLarge> {
    let mut lists = [Slice::ANY; 2];
    for (list, slice) in [&rule.destinations, &rule.sources].into_iter().zip(&mut lists) {
        *slice = append(prefixes, list.iter().filter_map(convert), "addresses")?;
        if *slice == Slice::ANY && !list.is_empty() {
            return Ok(None);
        }
    }
    Ok(Some(CompiledRule { destinations: lists[0], sources: lists[1], ..common }))
}

fn append<T>(
    array: &mut Vec<T>,
    entries: impl Iterator<Item = T>,
    what: &'static str,
) -> Result<Slice, TooLarge> {
    let start = array.len();
    array.extend(entries);
    let len = array.len() - start;
    if array.len() >= u16::MAX as usize {
        return Err(TooLarge { what });
    }
    Ok(if len == 0 { Slice::ANY } else { Slice { start: start as u16, len: len as u16 } })
}

fn range(range: &RangeInclusive<u16>) -> PortRange {
    PortRange { first: *range.start(), last: *range.end() }
}

fn v4_prefix(prefix: &Prefix) -> Option<Masked<u32>> {
    let IpAddr::V4(address) = prefix.address else { return None };
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix.length)).unwrap_or(0);
    Some(Masked { value: u32::from(address) & mask, mask })
}

fn v6_prefix(prefix: &Prefix) -> Option<Masked<u128>> {
    let IpAddr::V6(address) = prefix.address else { return None };
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix.length)).unwrap_or(0);
    Some(Masked { value: u128::from(address) & mask, mask })
}
