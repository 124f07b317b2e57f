//! The far side of a flow: how it looks beyond the appliance, when that is not what the client's SYN says (seed 000:
//! the connection goes to "another server", or the saved SYN to "another proxy").
//!
//! Most flows have none. Inside the appliance, in its events and orders too, a flow looks as its client sees it: what
//! comes from the far side is translated when it comes in, what goes there when it leaves (`worker/far.rs`).

use arrayvec::ArrayVec;

use super::quad::{FlowKey, Quad, Segment};
use crate::port::PortId;
use crate::wire::ethernet::{self, HEADER_LEN};
use crate::wire::vlan::{MAX_LINK_LEN, TPID_CUSTOMER, TPID_SERVICE, VlanTag};

/// Destination MAC, source MAC, tags and EtherType as they stand in a frame.
pub type LinkHeader = ArrayVec<u8, MAX_LINK_LEN>;

/// Where frames go next, as far as it is not where they would go anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NextHop {
    /// Destination MAC; else that of the client's SYN, which is right when it is a router's.
    pub mac: Option<[u8; 6]>,
    /// Outer and inner VLAN id, 0 for none, instead of the tags of the client's SYN.
    pub vlans: Option<(u16, u16)>,
    /// Port that they leave by; else the one opposite to the client's.
    pub port: Option<PortId>,
}

/// A far side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FarSide {
    /// Client → server as the far network sees it. The port pair in it is for the worker to fill in.
    pub key: FlowKey,
    /// Port behind which the server is.
    pub port: PortId,
    /// Of frames to the server.
    pub to_server: LinkHeader,
    /// Of frames to the client: what its SYN carried, turned round. The client is answered by the way that it came, and
    /// needs no address resolution (elsewhere called auto last hop).
    pub to_client: LinkHeader,
}

impl FarSide {
    /// The far side on which the flow of `syn`, whose IP header begins at `l3`, is `quad` and leaves by `hop`; `opposite`
    /// is the port opposite to the client's. `None` for a frame that has no link header up to there.
    pub fn of_syn(syn: &[u8], l3: u16, quad: Quad, hop: NextHop, opposite: PortId) -> Option<FarSide> {
        let link =
            syn.get(..usize::from(l3)).filter(|link| (HEADER_LEN..=MAX_LINK_LEN).contains(&link.len()))?;
        let mut to_client: LinkHeader = link.iter().copied().collect();
        let (destination, source) = to_client[..12].split_at_mut(6);
        destination.swap_with_slice(source);
        let to_server = onwards(link, hop);
        let segment = ethernet::link(&to_server).ok()?.segment;
        let key = FlowKey { quad, segment };
        Some(FarSide { key, port: hop.port.unwrap_or(opposite), to_server, to_client })
    }

    /// The same behind a port of pair `pair`.
    pub fn on_pair(mut self, pair: u8) -> FarSide {
        let segment = self.key.segment;
        self.key.segment = Segment::new(pair, segment.outer_vlan(), segment.inner_vlan());
        self
    }
}

/// A link header that goes to `hop` instead. Tags of its own have the priority that the innermost tag had.
fn onwards(link: &[u8], hop: NextHop) -> LinkHeader {
    let mut header = LinkHeader::new();
    header.extend(hop.mac.unwrap_or([link[0], link[1], link[2], link[3], link[4], link[5]]));
    header.extend(link[6..12].iter().copied());
    let Some((outer, inner)) = hop.vlans else {
        header.extend(link[12..].iter().copied());
        return header;
    };
    let last = link.len().checked_sub(4).filter(|at| *at >= HEADER_LEN);
    let priority = last.and_then(|at| VlanTag::view(link, at)).map_or(0, |tag| tag.control.get() & 0xf000);
    for (tpid, id) in [(TPID_SERVICE, outer), (TPID_CUSTOMER, inner)] {
        if id != 0 {
            header.extend(tpid.to_be_bytes());
            header.extend((priority | id & 0xfff).to_be_bytes());
        }
    }
    header.extend(link[link.len() - 2..].iter().copied());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syn(tags: &[u8]) -> Vec<u8> {
        [&[2; 6][..], &[1; 6], tags, &[8, 0], &[0x45; 40]].concat()
    }

    fn quad() -> Quad {
        Quad::between("10.0.0.1:1".parse().unwrap(), "10.0.0.9:80".parse().unwrap()).unwrap()
    }

    fn far(tags: &[u8], hop: NextHop) -> FarSide {
        FarSide::of_syn(&syn(tags), 14 + tags.len() as u16, quad(), hop, PortId(1)).unwrap()
    }

    #[test]
    fn without_a_hop_it_goes_where_the_syn_went_and_the_answer_where_it_came_from() {
        let tags = [0x81, 0, 0x60, 7];
        let side = far(&tags, NextHop::default());
        assert_eq!(side.to_server[..], syn(&tags)[..18]);
        assert_eq!(side.to_client[..], [&[1; 6][..], &[2; 6], &tags, &[8, 0]].concat());
        assert_eq!((side.key.segment, side.port), (Segment::new(0, 0, 7), PortId(1)));
        assert_eq!(side.on_pair(3).key.segment, Segment::new(3, 0, 7));
    }

    #[test]
    fn a_hop_replaces_mac_tags_and_port() {
        let to = |vlans| NextHop { mac: Some([9; 6]), vlans: Some(vlans), port: Some(PortId(2)) };
        type Case = (&'static [u8], (u16, u16), &'static [u8], Segment);
        let table: [Case; 4] = [
            (&[], (0, 20), &[0x81, 0, 0, 20], Segment::new(0, 0, 20)),
            (&[0x81, 0, 0x60, 7], (0, 0), &[], Segment(0)),
            (&[0x81, 0, 0x60, 7], (0, 20), &[0x81, 0, 0x60, 20], Segment::new(0, 0, 20)),
            (&[0x81, 0, 0x60, 7], (5, 20), &[0x88, 0xa8, 0x60, 5, 0x81, 0, 0x60, 20], Segment::new(0, 5, 20)),
        ];
        for (tags, vlans, expected, segment) in table {
            let side = far(tags, to(vlans));
            assert_eq!(side.to_server[..], [&[9; 6][..], &[1; 6], expected, &[8, 0]].concat());
            assert_eq!((side.key.segment, side.port), (segment, PortId(2)));
        }
    }

    #[test]
    fn a_frame_without_that_link_header_has_no_far_side() {
        for l3 in [0, 13, 23, 500] {
            assert_eq!(FarSide::of_syn(&syn(&[]), l3, quad(), NextHop::default(), PortId(1)), None);
        }
    }
}
