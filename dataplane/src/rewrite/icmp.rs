//! The quoted segment inside an ICMP error, moved back into the space of the sender that the error is for.
//!
//! The error comes back from beyond the appliance, so it quotes numbers of the far leg; its addressee knows only its
//! own. What the quotation holds of sequence, acknowledgment and TCP checksum is kept consistent.

use crate::packet::IcmpError;
use crate::wire::checksum::Update;
use crate::wire::seq::Seq;

use super::delta::Deltas;

/// Offsets in the quoted TCP header, bytes.
const SEQ: usize = 4;
const ACK: usize = 8;
const FLAGS: usize = 13;
const ACK_FLAG: u8 = 0x10;
const CHECKSUM: usize = 16;
/// Offset of the checksum in the ICMP header.
const ICMP_CHECKSUM: usize = 2;

/// Undoes in the quotation what `deltas` (those of the quoted segment's direction) did to the segment.
pub fn restore_quoted(frame: &mut [u8], error: &IcmpError, deltas: Deltas) {
    let (icmp, quoted, end) = (usize::from(error.l4), usize::from(error.quoted_l4), usize::from(error.end));
    let mut whole = Update::NONE;
    if let Some(tcp) = frame.get_mut(quoted..end) {
        let mut inner = Update::NONE;
        let odd = (quoted - icmp) % 2;
        replace(tcp, SEQ, odd, &mut inner, &mut whole, |seq| seq.minus(deltas.own));
        if tcp.get(FLAGS).is_some_and(|flags| flags & ACK_FLAG != 0) {
            replace(tcp, ACK, odd, &mut inner, &mut whole, |ack| ack.plus(deltas.other));
        }
        if let Some(checksum) = word16(tcp, CHECKSUM) {
            let new = inner.apply(checksum);
            tcp[CHECKSUM..CHECKSUM + 2].copy_from_slice(&new.to_be_bytes());
            // As the high half of a 32-bit word: the same value modulo 0xffff as a 16-bit word at that offset.
            whole.word32_at(odd, u32::from(checksum), u32::from(new));
        }
    }
    if let Some(checksum) = frame.get(icmp..).and_then(|icmp| word16(icmp, ICMP_CHECKSUM)) {
        let at = icmp + ICMP_CHECKSUM;
        frame[at..at + 2].copy_from_slice(&whole.apply(checksum).to_be_bytes());
    }
}

fn word16(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..offset + 2).map(|b| u16::from_be_bytes([b[0], b[1]]))
}

fn replace(
    tcp: &mut [u8],
    offset: usize,
    odd: usize,
    inner: &mut Update,
    whole: &mut Update,
    change: impl Fn(Seq) -> Seq,
) {
    if let Some(bytes) =
        tcp.get_mut(offset..offset + 4).and_then(|bytes| <&mut [u8; 4]>::try_from(bytes).ok())
    {
        let old = u32::from_be_bytes(*bytes);
        let new = change(Seq(old)).0;
        *bytes = new.to_be_bytes();
        inner.word32_at(offset, old, new);
        whole.word32_at(offset + odd, old, new);
    }
}
