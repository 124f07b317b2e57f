//! VLAN tags: IEEE 802.1Q, 802.1ad service tags and the older 0x9100.
//!
//! No input panics: a tag that the frame does not hold is an error.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ethernet::{HEADER_LEN, Link};
use crate::counters::Counter;
use crate::flow::quad::Segment;

/// 802.1Q customer tag.
pub const TPID_CUSTOMER: u16 = 0x8100;
/// 802.1ad service tag.
pub const TPID_SERVICE: u16 = 0x88a8;
/// The service tag of devices older than 802.1ad.
pub const TPID_OLD_SERVICE: u16 = 0x9100;
/// Bytes of a tag.
pub const TAG_LEN: usize = 4;
/// Tags that are looked behind; frames with more cross untouched.
pub const MAX_TAGS: usize = 2;
/// Bytes of the longest link header that is interpreted.
pub const MAX_LINK_LEN: usize = HEADER_LEN + MAX_TAGS * TAG_LEN;

/// What follows a tag's TPID: priority, drop eligibility, VLAN id, and the type of what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct VlanTag {
    /// Bits 15–13 priority, 12 drop eligible, 11–0 VLAN id.
    pub control: U16,
    /// EtherType, or the TPID of the next tag.
    pub ethertype: U16,
}

impl VlanTag {
    /// The tag behind a TPID that ends at `offset`.
    pub fn view(frame: &[u8], offset: usize) -> Option<&VlanTag> {
        Some(Self::ref_from_prefix(frame.get(offset..)?).ok()?.0)
    }

    /// VLAN id; 0 in a priority tag, which names no VLAN (802.1Q section 9.6).
    pub fn id(&self) -> u16 {
        self.control.get() & 0xfff
    }

    /// Sets the VLAN id, keeps the priority.
    pub fn set_id(&mut self, id: u16) {
        self.control.set(self.control.get() & 0xf000 | id & 0xfff);
    }

    /// Priority code point, 0–7.
    pub fn priority(&self) -> u8 {
        (self.control.get() >> 13) as u8
    }
}

/// Whether an EtherType announces a tag.
#[inline]
pub const fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, TPID_CUSTOMER | TPID_SERVICE | TPID_OLD_SERVICE)
}

/// Reads the tags of a frame whose EtherType `first` announces one.
///
/// The segment takes the ids in order; a priority tag counts as none, so an only id left is the inner one.
pub fn tagged(frame: &[u8], first: u16) -> Result<Link, Counter> {
    let (mut ethertype, mut l3, mut outer, mut inner) = (first, HEADER_LEN, 0, 0);
    for _ in 0..MAX_TAGS {
        if !is_tag(ethertype) {
            break;
        }
        let tag = VlanTag::view(frame, l3).ok_or(Counter::DropMalformedEthernet)?;
        if tag.id() != 0 {
            (outer, inner) = (inner, tag.id());
        }
        ethertype = tag.ethertype.get();
        l3 += TAG_LEN;
    }
    Ok(Link { ethertype, l3, segment: Segment::new(0, outer, inner) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ethernet::{TYPE_IPV4, link};

    fn frame(words: &[u16]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        frame
    }

    #[test]
    fn tag_stacks_and_their_segments() {
        const T: u16 = TYPE_IPV4;
        let table: &[(&[u16], u16, usize, Segment)] = &[
            (&[T], T, 14, Segment(0)),
            (&[0x8100, 5, T], T, 18, Segment::new(0, 0, 5)),
            (&[0x88a8, 0xf005, T], T, 18, Segment::new(0, 0, 5)),
            (&[0x9100, 7, 0x8100, 5, T], T, 22, Segment::new(0, 7, 5)),
            (&[0x8100, 0xe000, T], T, 18, Segment(0)),
            (&[0x88a8, 7, 0x8100, 0xe000, T], T, 22, Segment::new(0, 0, 7)),
            (&[0x8100, 0, 0x8100, 7, T], T, 22, Segment::new(0, 0, 7)),
            (&[0x88a8, 7, 0x8100, 5, 0x8100, 3, T], 0x8100, 22, Segment::new(0, 7, 5)),
            (&[0x0026, 0x4242, 0x0300], 0x0026, 14, Segment(0)),
        ];
        for (words, ethertype, l3, segment) in table {
            let expected = Link { ethertype: *ethertype, l3: *l3, segment: *segment };
            assert_eq!(link(&frame(words)), Ok(expected), "{words:x?}");
        }
    }

    #[test]
    fn a_frame_that_ends_within_a_tag_is_malformed() {
        let whole = frame(&[0x88a8, 7, 0x8100, 5, TYPE_IPV4]);
        for len in 0..whole.len() {
            assert_eq!(link(&whole[..len]), Err(Counter::DropMalformedEthernet), "{len} bytes");
        }
    }

    #[test]
    fn setting_an_id_keeps_the_priority() {
        let mut tag = VlanTag { control: U16::new(0xb123), ethertype: U16::new(TYPE_IPV4) };
        tag.set_id(0x456);
        assert_eq!((tag.control.get(), tag.id(), tag.priority()), (0xb456, 0x456, 5));
    }
}
