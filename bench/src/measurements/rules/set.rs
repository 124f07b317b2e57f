//! A list of rules as firewalls have them, and SYNs for it.
//!
//! After ClassBench's access lists (Taylor and Turner, INFOCOM 2005): prefixes of the usual lengths from a company's and from
//! foreign networks, most rules with both ends and one well-known port, some with one end only or a range of ports. All of them
//! offer, so that the number of rules is all that differs.

use std::net::{IpAddr, SocketAddr};

use dataplane::flow::quad::Quad;
use dataplane::policy::{Defaults, Per, Prefix, RateSpec, RuleSpec, Side, Snapshot, SynMatch};
use dataplane::refusal::Rejection;

use crate::measurements::flood::REFUSE;
use crate::traffic::Family;
use crate::worker::OFFER;

/// A network by address and length.
type Network = (IpAddr, u8);

struct Rule {
    source: Option<Network>,
    destination: Option<Network>,
    ports: (u16, u16),
}

/// The list.
pub struct Set {
    family: Family,
    rules: Vec<Rule>,
}

fn network(rng: &mut fastrand::Rng, family: Family, is_ours: bool) -> Network {
    let pick = |rng: &mut fastrand::Rng, lengths: &[u8]| lengths[rng.usize(..lengths.len())];
    match (family, is_ours) {
        (Family::V4, true) => {
            let length = pick(rng, &[16, 20, 22, 24, 24, 24, 27, 28, 30, 32, 32, 32]);
            ((10 << 24 | rng.u32(..1 << 22)).to_be_bytes().into(), length)
        }
        (Family::V4, false) => {
            let length = pick(rng, &[8, 12, 16, 16, 19, 21, 24, 24, 24, 32]);
            ((rng.u32(1 << 24..0xdfff_ffff)).to_be_bytes().into(), length)
        }
        (Family::V6, true) => {
            let bits = 0x2001_0db8 << 96 | u128::from(rng.u32(..1 << 22)) << 64 | u128::from(rng.u16(..));
            (bits.to_be_bytes().into(), pick(rng, &[48, 52, 56, 60, 64, 64, 64, 128, 128, 128]))
        }
        (Family::V6, false) => {
            let bits = 0x2 << 124 | u128::from(rng.u64(..)) << 60 | u128::from(rng.u64(..));
            (bits.to_be_bytes().into(), pick(rng, &[20, 29, 32, 32, 32, 44, 48, 48, 64, 128]))
        }
    }
}

fn rule(rng: &mut fastrand::Rng, family: Family) -> Rule {
    let kind = rng.u8(..100);
    Rule {
        source: (!(70..95).contains(&kind)).then(|| network(rng, family, false)),
        destination: (kind < 95).then(|| network(rng, family, true)),
        ports: match rng.u8(..100) {
            0..30 => (443, 443),
            30..50 => (80, 80),
            50..58 => (22, 22),
            58..75 => {
                let port = rng.u16(1..10_000);
                (port, port)
            }
            75..80 => (1024, 65_535),
            80..85 => {
                let first = rng.u16(1024..60_000);
                (first, first + rng.u16(1..1000))
            }
            _ => (0, 65_535),
        },
    }
}

/// A host of a network.
fn host(rng: &mut fastrand::Rng, (address, length): Network) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let hosts = u32::MAX.checked_shr(length.into()).unwrap_or(0);
            IpAddr::from((u32::from(address) & !hosts | rng.u32(..) & hosts).to_be_bytes())
        }
        IpAddr::V6(address) => {
            let hosts = u128::MAX.checked_shr(length.into()).unwrap_or(0);
            IpAddr::from((u128::from(address) & !hosts | rng.u128(..) & hosts).to_be_bytes())
        }
    }
}

impl Set {
    /// The same list every time.
    pub fn new(family: Family, rules: usize) -> Set {
        let mut rng = fastrand::Rng::with_seed(20);
        Set { family, rules: (0..rules).map(|_| rule(&mut rng, family)).collect() }
    }

    /// Four of five SYNs are for a rule somewhere in the list, the others for anybody in the networks.
    pub fn quads(&self, count: usize) -> Vec<Quad> {
        let mut rng = fastrand::Rng::with_seed(21);
        let mut quad = || {
            let rule = (rng.u8(..5) > 0).then(|| &self.rules[rng.usize(..self.rules.len())]);
            let mut end = |network: Option<Network>, is_ours| {
                let network = network.unwrap_or_else(|| self::network(&mut rng, self.family, is_ours));
                host(&mut rng, network)
            };
            let source = end(rule.and_then(|rule| rule.source), false);
            let destination = end(rule.and_then(|rule| rule.destination), true);
            let (first, last) = rule.map_or((1, 65_535), |rule| rule.ports);
            let ports = (rng.u16(1024..), rng.u16(first.max(1)..=last));
            Quad::between(SocketAddr::new(source, ports.0), SocketAddr::new(destination, ports.1))
        };
        (0..count).map(|_| quad().expect("one family")).collect()
    }

    /// The first so many rules, each of which decides where it matches.
    pub fn compile(&self, rules: usize) -> Snapshot {
        self.compile_with(rules, OFFER, |_, spec| spec)
    }

    /// The same with rules that all refuse, each SYN with a RST.
    pub fn compile_refusing(&self, rules: usize) -> Snapshot {
        self.compile_with(rules, REFUSE, |_, spec| spec).with_rejections(vec![Rejection::Reset])
    }

    /// The first so many rules, none of which decides: by turns they ask for SYNs that are not sent here, and for more of them
    /// than are. Every rule about a SYN is asked, up to the default.
    pub fn compile_asking(&self, rules: usize) -> Snapshot {
        let syn = SynMatch { windows: vec![1..=1], ..SynMatch::default() };
        let rate = RateSpec { per_second: 1 << 30, burst: 1 << 30, side: Side::Above, per: Per::Rule };
        self.compile_with(rules, OFFER, |index, spec| match index % 2 {
            0 => RuleSpec { syn: Some(syn.clone()), ..spec },
            _ => RuleSpec { rate: Some(rate), ..spec },
        })
    }

    fn compile_with(
        &self,
        rules: usize,
        all: Defaults,
        change: impl Fn(usize, RuleSpec) -> RuleSpec,
    ) -> Snapshot {
        let prefix = |network: &Network| Prefix::new(network.0, network.1).expect("lengths of the family");
        let specs: Vec<RuleSpec> = self.rules[..rules]
            .iter()
            .map(|rule| RuleSpec {
                sources: rule.source.iter().map(prefix).collect(),
                destinations: rule.destination.iter().map(prefix).collect(),
                destination_ports: match rule.ports {
                    (0, _) => Vec::new(),
                    (first, last) => vec![first..=last],
                },
                ..RuleSpec::everything(all.action)
            })
            .enumerate()
            .map(|(index, spec)| change(index, spec))
            .collect();
        Snapshot::compile(&specs, all).expect("ten thousand rules fit")
    }
}
